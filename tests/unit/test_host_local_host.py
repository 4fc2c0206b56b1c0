"""The sample host as a whole, with a toy network and a plugin that behaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pairx_hooks import Annotation, hookimpl
from pairx_plugin.chips import Chip
from pairx_plugin.errors import HostError, HostUnavailable, SettingsError
from pairx_plugin.hosts.base import Host
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig
from toy_host import PICTURE, Explainer, ToyNetwork, explanation, host, ranks, reviews, run, write_photographs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The toy photographs with their annotations."""
    write_photographs(tmp_path)
    return tmp_path


def test_without_the_flag_the_host_ranks_and_nothing_is_explained(folder: Path) -> None:
    explainer = Explainer()
    summary = run(folder, explainer, pairx_explain=False)
    assert explainer.requests == [] and not summary.explain and summary.statuses == {}
    assert (summary.n_annotations, len(summary.queries), summary.n_judged) == (8, 9, 6)
    assert summary.rank_1 == 1.0 and summary.mean_average_precision == 1.0
    best = summary.queries[0].candidates[0]
    assert (best.name, best.correct, best.status, best.rank) == ("Ngaio", True, None, 1)
    assert summary.queries[0].candidates[1].correct is False
    assert summary.queries[6].candidates[0].correct is None  # the query has no name
    assert all(review.explanation_status is None for review in reviews(folder, summary))
    assert not (folder / "output" / "pictures").exists()


def test_a_query_that_cannot_be_read_is_an_error_of_its_own(folder: Path) -> None:
    summary = run(folder)
    (failed,) = [query for query in summary.queries if query.failure is not None]
    assert failed.image.endswith("broken.png") and failed.candidates == ()
    assert failed.failure is not None and failed.failure.code == "IMAGE_UNREADABLE"
    assert summary.n_failed_queries == 1
    assert [(problem.code, problem.where) for problem in summary.problems] == [
        ("IMAGE_UNREADABLE", failed.annotation_id)
    ]
    assert ranks(folder, summary)[-1] == (failed.annotation_id, "failed", 0, [])


def test_with_the_flag_the_leading_candidates_have_explanations_and_pictures(folder: Path) -> None:
    explainer = Explainer()
    summary = run(folder, explainer, pairx_top_k=2, pairx_k_lines=7, pairx_layers=["blocks.3"])
    assert summary.statuses == {"ready": 16, "skipped": 16} and summary.explanation_failure is None
    request = explainer.requests[0]
    assert (request.explainer, request.top_k, request.layers) == ("pairx", 2, ("blocks.3",))
    assert request.settings["k_lines"] == 7 and request.settings["mode"] == "reference"
    for review in reviews(folder, summary):
        if review.rank > 2:
            assert (review.explanation_status, review.explanation, review.pictures) == ("skipped", None, [])
            continue
        assert (review.explanation_status, review.explainer) == ("ready", "toy")
        (picture,) = review.pictures
        assert (folder / "output" / picture["path"]).read_bytes() == PICTURE
        assert (picture["version"], picture["width"], picture["height"]) == ("matches", 2, 1)
        written = json.loads((folder / "output" / review.record_path).read_text())
        assert written == review.explanation
        assert written["schema"] == "toy/1" and written["rank"] == review.rank
        asset = written["assets"][0]
        assert ((folder / "output" / review.record_path).parent / asset["url"]).read_bytes() == PICTURE
        assert review.evidence_decision == "unreviewed"
    shown = summary.queries[0].candidates[0]
    assert shown.status == "ready" and (folder / "output" / shown.pictures[0]["path"]).exists()
    json.dumps(summary.to_json(), allow_nan=False)


def test_plugins_get_the_network_and_the_pixels_that_ranked(folder: Path) -> None:
    explainer, network = Explainer(), ToyNetwork()
    values = {"annotations": "annotations.csv", "queries": ["Ngaio0.png"], "pairx_explain": True}
    config = LocalHostConfig.from_mapping(values, folder=folder)
    with LocalHost(config, model=network, plugins=[explainer], entry_points=False) as local:
        summary = local.run()
        match = local.database.get_match(summary.queries[0].query_id)
    assert explainer.models == [network]
    digests = {
        match.annotation_id: match.chip_sha256,
        **{r.candidate_id: r.chip_sha256 for r in match.reviews},
    }
    assert len(explainer.chips) == 6
    assert {key: chip.sha256 for key, chip in explainer.chips.items()} == {
        key: digests[key] for key in explainer.chips
    }


def test_the_host_answers_before_a_plugin_that_offers_another_network(folder: Path) -> None:
    class Usurper:
        @hookimpl(tryfirst=False)
        def provide_embedding_model(self, model_id: str) -> object:
            return "another network"

        @hookimpl
        def load_chip(self, annotation: Annotation) -> object:
            return "another chip"

    explainer = Explainer()
    run(folder, explainer, Usurper(), queries=["Ngaio0.png"])
    assert isinstance(explainer.models[0], ToyNetwork)
    assert all(isinstance(chip, Chip) for chip in explainer.chips.values())


def test_settings_that_cannot_be_read_cost_the_explanations_only(folder: Path) -> None:
    plain, explainer = run(folder), Explainer()
    summary = run(folder, explainer, pairx_k_line=3)
    assert explainer.requests == [] and ranks(folder, summary) == ranks(folder, plain)
    assert summary.explanation_failure is not None
    assert summary.explanation_failure.code == SettingsError.code
    assert "unknown setting 'pairx_k_line'" in summary.explanation_failure.message
    with host(folder) as local:
        assert local.database.runs()[0].explanation_failure == summary.explanation_failure.to_json()
    assert {review.explanation_status for review in reviews(folder, summary)} == {"failed"}


def test_nonsense_for_the_plugin_is_not_looked_at_while_the_flag_is_off(folder: Path) -> None:
    summary = run(folder, pairx_k_lines="many", pairx_nonsense=[1])
    assert summary.problems[0].code == "IMAGE_UNREADABLE" and len(summary.problems) == 1
    assert summary.rank_1 == 1.0 and summary.explanation_failure is None


def test_a_misspelt_flag_is_a_problem_of_the_run(folder: Path) -> None:
    summary = run(folder, pairx_explian=True)
    assert [problem.code for problem in summary.problems] == ["IMAGE_UNREADABLE", "FLAG_MISSPELT"]


def test_a_host_without_photographs_or_database_says_so_at_once(folder: Path) -> None:
    with pytest.raises(HostError, match="cannot read the annotations"):
        run(folder, annotations="none.csv")
    (folder / "file").write_text("")
    with pytest.raises(HostUnavailable, match="cannot be made"):
        run(folder, database="sqlite:///file/r.sqlite3")
    with pytest.raises(HostError, match="no query is left to rank"):
        run(folder, queries=["nobody.png"])


def test_the_local_host_is_a_host(folder: Path) -> None:
    with host(folder) as local:
        assert isinstance(local, Host)
        first = local.annotations[0]
        ranked = local.rank(first)
        assert ranked.candidates[0].annotation.name == "Ngaio" and len(ranked.candidates) == 4
        assert local.chip(first).pixels.shape == (40, 64, 3)
        assert local.embedding_model("another") is None and local.known_chip("nobody") is None
        summary = local.run()
        query = summary.queries[0]
        stored = local.rank(first)
        with pytest.raises(HostError, match="cannot be attached"):
            local.attach(stored, [explanation(stored, 1, query_id=query.query_id)])
