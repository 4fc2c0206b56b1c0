"""The sample host as a whole, with a toy network and plugins that behave, misbehave and lie."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import (
    Annotation,
    Artifact,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    Status,
    hookimpl,
)
from pairx_plugin.chips import Chip
from pairx_plugin.errors import HostError, HostUnavailable, SettingsError
from pairx_plugin.hosts.base import Host
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig, RunSummary
from pairx_plugin.hosts.local import pictures as pictures_module

PICTURE = b"\x89PNG\r\n\x1a\n and so on"


class ToyNetwork:
    """Embeds a chip as its 4 x 4 thumbnail."""

    model_id = "toy"

    def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
        small = [np.asarray(Image.fromarray(chip).resize((4, 4)), np.float32) for chip in pixels]
        return np.stack([chip.ravel() - 110 for chip in small])

    def fingerprint(self) -> str:
        return "sha256:toy"


class Explainer:
    """A plugin that behaves: one picture and one small record for each candidate that is asked for."""

    def __init__(self) -> None:
        self.requests: list[ExplanationRequest] = []
        self.chips: dict[str, Chip] = {}
        self.models: list[Any] = []

    @hookimpl
    def explain_ranked_query(
        self, ranked_query: RankedQuery, request: ExplanationRequest, review: Any
    ) -> Iterator[Explanation]:
        self.requests.append(request)
        self.models.append(review.embedding_model(ranked_query.model_id))
        for candidate in ranked_query.candidates[: request.top_k]:
            for annotation in (ranked_query.query, candidate.annotation):
                self.chips[annotation.annotation_id] = review.chip(annotation)
            yield explanation(ranked_query, candidate.rank)


def explanation(ranked_query: RankedQuery, rank: int, **changes: Any) -> Explanation:
    values: dict[str, Any] = {
        "query_id": ranked_query.query_id,
        "candidate_id": ranked_query.candidates[rank - 1].annotation.annotation_id,
        "rank": rank,
        "status": Status.READY,
        "explainer": "toy",
        "record": {"schema": "toy/1", "rank": rank, "status": "ready"},
        "artifacts": (Artifact(version="matches", media_type="image/png", width=2, height=1, data=PICTURE),),
    }
    return Explanation(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight photographs of four animals, and one file that is no photograph."""
    rng = np.random.default_rng(3)
    rows = ["theta,viewpoint,name,file_name,species,file_path,x,y,w,h"]
    for animal in ("Ngaio", "Rata", "Kowhai", "____"):
        coat = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)
        for n in range(2):
            pixels = np.asarray(Image.fromarray(coat).resize((72, 48)), np.int64) + rng.integers(
                -40, 40, (48, 72, 3)
            )
            name = f"{animal.strip('_') or 'nobody'}{n}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
            rows.append(f"0.05,left,{animal},{name},toy,{name},4,4,64,40")
    (tmp_path / "broken.png").write_bytes(b"nothing to see")
    rows.append("0,left,Rata,broken.png,toy,broken.png,0,0,20,20")
    (tmp_path / "annotations.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def host(folder: Path, *plugins: object, **values: Any) -> LocalHost:
    flag = {"pairx_explain": True} if plugins else {}
    keys = {"annotations": "annotations.csv", "n_candidates": 4, **flag, **values}
    config = LocalHostConfig.from_mapping(keys, folder=folder)
    return LocalHost(config, model=ToyNetwork(), plugins=plugins, entry_points=False)


def run(folder: Path, *plugins: object, **values: Any) -> RunSummary:
    with host(folder, *plugins, **values) as local:
        return local.run()


def ranks(folder: Path, summary: RunSummary) -> list[tuple[Any, ...]]:
    """What the database holds about the ranking of a run, scores as their exact bits."""
    config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
    with LocalHost(config) as reader:
        return [
            (
                match.annotation_id,
                match.status,
                match.n_searched,
                [
                    (
                        r.rank,
                        r.candidate_id,
                        r.score.hex(),
                        r.name_score.hex() if r.name_score is not None else None,
                    )
                    for r in match.reviews
                ],
            )
            for match in reader.database.matches(summary.run_id)
        ]


def reviews(folder: Path, summary: RunSummary) -> list[Any]:
    config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
    with LocalHost(config) as reader:
        return [review for match in reader.database.matches(summary.run_id) for review in match.reviews]


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


class Raises:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterable[Explanation]:
        raise ValueError("no idea")


class Leaves:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterable[Explanation]:
        raise SystemExit(3)


class StopsHalfWay:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterator[Explanation]:
        yield explanation(ranked_query, 1)
        raise MemoryError


class TalksNonsense:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
        return ["nonsense", None, 7, explanation(ranked_query, 1, candidate_id="nobody")]


class AnswersForOthers:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
        return [explanation(ranked_query, 1, query_id="another query"), explanation(ranked_query, 99 % 4 + 1)]


class HoldsOnAndChanges:
    """Keeps what it is given and, later, changes whatever can be changed."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    @hookimpl
    def explain_ranked_query(
        self, ranked_query: RankedQuery, request: Any, review: Any
    ) -> Iterator[Explanation]:
        for earlier in self.kept:
            self.spoil(earlier)
        self.kept.append(ranked_query)
        chip = review.chip(ranked_query.query)
        try:
            chip.pixels[:] = 0
        except ValueError:
            self.kept.append("read-only")
        for candidate in ranked_query.candidates:
            yield explanation(ranked_query, candidate.rank, record={"score": 99.0, "rank": 1})
        self.spoil(ranked_query)

    @hookimpl
    def attach_explanations(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        self.spoil(ranked_query)
        raise RuntimeError("and it raises on top")

    @staticmethod
    def spoil(ranked_query: Any) -> None:
        if isinstance(ranked_query, RankedQuery):
            for candidate in ranked_query.candidates:
                for name, value in (("score", -1.0), ("rank", 1)):
                    with pytest.raises((AttributeError, TypeError)):
                        setattr(candidate, name, value)
            with pytest.raises(TypeError):
                ranked_query.query.extra["file_name"] = "spoilt"  # type: ignore[index]


PLUGINS = [Explainer, Raises, Leaves, StopsHalfWay, TalksNonsense, AnswersForOthers, HoldsOnAndChanges]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.__name__)
def test_no_plugin_changes_a_rank_or_a_bit_of_a_score(folder: Path, plugin: type) -> None:
    plain = run(folder)
    explained = run(folder, plugin(), pairx_top_k=3)
    assert ranks(folder, explained) == ranks(folder, plain)

    def results(summary: RunSummary) -> list[Any]:
        return [
            [(c.rank, c.annotation_id, c.score, c.name_score) for c in q.candidates] for q in summary.queries
        ]

    assert results(explained) == results(plain)
    assert (explained.rank_1, explained.mean_average_precision) == (
        plain.rank_1,
        plain.mean_average_precision,
    )
    statuses = [review.explanation_status for review in reviews(folder, explained)]
    assert set(statuses) <= {"ready", "failed", "skipped"} and statuses.count("queued") == 0
    assert sum(explained.statuses.values()) == len(statuses)


ACTIONS = ["ready", "failed", "skipped", "nothing", "twice", "stranger", "nonsense", "raise"]


class Scripted:
    """Does for each candidate of each query what a list of actions says, over and over."""

    def __init__(self, actions: list[str]) -> None:
        self.actions = itertools.cycle(actions)

    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterator[Any]:
        failure = Failure(code="X", message="y")
        for candidate in ranked_query.candidates:
            action = next(self.actions)
            if action == "raise":
                raise OSError("gone")
            if action in ("ready", "twice"):
                yield explanation(ranked_query, candidate.rank, record={"score": 1e9})
            if action == "twice":
                yield explanation(ranked_query, candidate.rank, record={"score": -1e9})
            if action in ("failed", "skipped"):
                yield explanation(ranked_query, candidate.rank, status=Status(action), failure=failure)
            if action == "stranger":
                yield explanation(ranked_query, candidate.rank, candidate_id=ranked_query.query.annotation_id)
            if action == "nonsense":
                yield {"rank": 1, "score": 3}


TWO = ["Ngaio0.png", "Rata1.png"]


@pytest.fixture
def plain_ranks(folder: Path) -> list[tuple[Any, ...]]:
    return ranks(folder, run(folder, queries=TWO))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=9), top_k=st.integers(0, 6))
def test_whatever_a_plugin_answers_ranks_and_scores_stay_bit_by_bit(
    folder: Path, plain_ranks: list[tuple[Any, ...]], actions: list[str], top_k: int
) -> None:
    explained = run(folder, Scripted(actions), queries=TWO, pairx_top_k=top_k)
    assert ranks(folder, explained) == plain_ranks
    found = reviews(folder, explained)
    assert len(found) == 8
    for review in found:
        assert review.explanation_status in {"ready", "failed", "skipped"}
        assert review.rank > top_k or review.explanation_status != "skipped" or "skipped" in actions
        assert review.explanation_status != "failed" or review.explanation_failure["code"]


@pytest.mark.parametrize(
    ("plugin", "first", "words"),
    [
        (Raises, "failed", "no idea"),
        (Leaves, "failed", "SystemExit"),
        (StopsHalfWay, "ready", "MemoryError"),
        (TalksNonsense, "failed", ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_failing_plugin_leaves_the_reason_on_each_record(
    folder: Path, plugin: type, first: str, words: str
) -> None:
    summary = run(folder, plugin(), queries=["Ngaio0.png"], pairx_top_k=3)
    found = reviews(folder, summary)
    assert [review.explanation_status for review in found] == [first, "failed", "failed", "skipped"]
    for review in found[1:3]:
        assert words in review.explanation_failure["message"] and review.explanation_failure["code"]
        assert (review.explanation, review.pictures, review.record_path) == (None, [], None)
    failed = summary.queries[0].candidates[1]
    assert failed.status == "failed" and failed.failure == found[1].explanation_failure


def test_no_plugin_at_all_is_said_on_the_record(folder: Path) -> None:
    values = {
        "annotations": "annotations.csv",
        "queries": ["Ngaio0.png"],
        "pairx_explain": True,
        "pairx_top_k": 1,
    }
    config = LocalHostConfig.from_mapping(values, folder=folder)
    with LocalHost(config, model=ToyNetwork(), entry_points=False) as local:
        summary = local.run()
    assert summary.statuses == {"failed": 1, "skipped": 6}
    assert summary.queries[0].candidates[0].failure is not None


def test_a_plugin_that_cannot_be_registered_costs_the_explanations_only(folder: Path) -> None:
    class Unsound:
        @hookimpl
        def explain_everything(self) -> None:
            """No such hook."""

    plain = run(folder)
    summary = run(folder, Unsound(), pairx_top_k=1)
    assert ranks(folder, summary) == ranks(folder, plain)
    assert summary.explanation_failure is not None and summary.explanation_failure.code == "HOOKS_FAILED"
    assert "explain_everything" in summary.explanation_failure.message
    assert summary.statuses == {"failed": 8, "skipped": 24}
    first = reviews(folder, summary)[0]
    assert first.explanation_failure["message"] == summary.explanation_failure.message


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


def test_scores_are_in_the_database_before_the_first_explanation(folder: Path) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    class Looks:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> None:
            config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
            with LocalHost(config) as reader:
                matches = list(reader.database.matches())
            seen.append(
                [(m.annotation_id, r.rank, r.score, r.explanation_status) for m in matches for r in m.reviews]
            )

    run(folder, Looks(), pairx_top_k=1)
    assert len(seen) == 8 and len(seen[0]) == 32
    assert [status for *_, status in seen[0]] == ["queued", None, None, None] * 8
    assert [row[:3] for row in seen[-1]] == [row[:3] for row in seen[0]]


def test_a_full_disk_costs_the_picture_and_the_record_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, replace = run(folder), os.replace

    def full(source: str, target: Path) -> None:
        if "001-" in str(target) and Path(target).suffix == ".png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(pictures_module.os, "replace", full)
    summary = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=2)
    first, second = reviews(folder, summary)[:2]
    assert (first.explanation_status, second.explanation_status) == ("partial", "ready")
    assert (
        first.explanation_failure["code"] == "PICTURE_NOT_WRITTEN" and first.explanation_failure["retryable"]
    )
    assert "No space left on device; make room on the disk" in first.explanation_failure["message"]
    assert first.pictures == [] and first.explanation["rank"] == 1 and first.explanation["assets"] == []
    assert first.explanation["status"] == "partial"
    assert first.explanation["errors"] == [first.explanation_failure]
    assert len(second.pictures) == 1
    assert (first.score, first.rank) == (plain.queries[0].candidates[0].score, 1)
    assert [path for path in folder.rglob("*.part")] == []


def test_an_output_folder_that_cannot_be_made_costs_the_pictures_only(folder: Path) -> None:
    (folder / "taken").write_text("a file stands where the folder should be")
    summary = run(
        folder,
        Explainer(),
        output="taken",
        database="sqlite:///output.sqlite3",
        pairx_top_k=1,
        embedding_cache=False,
    )
    assert summary.statuses == {"partial": 8, "skipped": 24} and summary.rank_1 == 1.0
    first = reviews(folder, summary)[0]
    assert first.explanation["schema"] == "toy/1" and first.record_path is None and first.pictures == []
    assert "check the rights of the output folder" in first.explanation_failure["message"]


def test_pictures_that_are_none_are_not_kept(folder: Path) -> None:
    artifacts = [
        Artifact(version="matches", media_type="image/png", width=1, height=1, data=b""),
        Artifact(version="matches", media_type="application/x-sh", width=1, height=1, data=b"#!/bin/sh"),
        Artifact(version="../../../evil", media_type="image/png", width=1, height=1, data=b"a"),
        Artifact(version="matches", media_type="image/webp", width=1, height=1, data=b"b"),
        Artifact(version="matches", media_type="image/webp", width=1, height=1, data=b"c"),
    ]

    class Odd:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
            return [explanation(ranked_query, 1, artifacts=artifacts)]

    summary = run(folder, Odd(), queries=["Ngaio0.png"], pairx_top_k=1)
    first = reviews(folder, summary)[0]
    kept = [folder / "output" / picture["path"] for picture in first.pictures]
    assert [path.read_bytes() for path in kept] == [b"a", b"b", b"c"]
    assert [path.name for path in kept] == ["---------evil.png", "matches.webp", "matches-2.webp"]
    assert len({path.parent for path in kept}) == 1 and (folder / "output/pictures") in kept[0].parents
    assert (
        first.explanation_status == "partial" and "application/x-sh" in first.explanation_failure["message"]
    )


def test_what_the_database_refuses_costs_one_candidate(folder: Path) -> None:
    class Surrogate:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
            return [
                explanation(ranked_query, rank, explainer="\ud800" if rank == 2 else "toy")
                for rank in (1, 2, 3)
            ]

    summary = run(folder, Surrogate(), queries=["Ngaio0.png"], pairx_top_k=3)
    found = reviews(folder, summary)
    assert [review.explanation_status for review in found] == ["ready", "failed", "ready", "skipped"]
    assert found[1].explanation_failure["code"] == "REVIEW_NOT_WRITTEN"
    assert summary.statuses == {"ready": 2, "failed": 1, "skipped": 1}


def test_a_database_that_goes_away_leaves_the_ranking_and_a_summary(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(folder)
    with host(folder, Explainer(), pairx_top_k=1) as local:

        def gone(*_: Any, **__: Any) -> None:
            raise HostUnavailable("the database has gone away")

        monkeypatch.setattr(local.database, "save_explanations", gone)
        monkeypatch.setattr(local.database, "finish_run", gone)
        summary = local.run()
    assert ranks(folder, summary) == ranks(folder, plain)
    assert summary.statuses == {"failed": 8, "skipped": 24}
    failure = summary.queries[0].candidates[0].failure
    assert failure is not None and failure["code"] == "REVIEW_NOT_WRITTEN" and failure["retryable"]
    assert summary.problems[-1].code == "HOST_UNAVAILABLE"


def test_progress_goes_from_nothing_to_all_whatever_plugins_do(folder: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    values = {"annotations": "annotations.csv", "pairx_explain": True, "pairx_top_k": 2, "n_candidates": 4}
    config = LocalHostConfig.from_mapping(values, folder=folder)
    for plugin in (Explainer(), StopsHalfWay(), Raises(), TalksNonsense()):
        steps.clear()
        with LocalHost(
            config,
            model=ToyNetwork(),
            plugins=[plugin],
            entry_points=False,
            progress=lambda *step: steps.append(step),
        ) as local:
            local.run()
        assert ("embed", 9, 9) in steps and ("rank", 9, 9) in steps
        explained = [(done, total) for stage, done, total in steps if stage == "explain"]
        assert explained[0] == (0, 16) and explained[-1] == (16, 16)
        assert explained == sorted(explained)


def test_two_runs_keep_their_own_pictures(folder: Path) -> None:
    first = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=1)
    second = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=1)
    paths = {s.queries[0].candidates[0].record_path for s in (first, second)}
    assert len(paths) == 2 and all(path and (folder / "output" / path).exists() for path in paths)


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


def test_an_explanation_can_be_attached_later(folder: Path) -> None:
    summary = run(folder)
    with host(folder) as local:
        match = local.database.get_match(summary.queries[0].query_id)
        ranked = local.rank(local.annotations[0])
        later = RankedQuery(query_id=match.query_id, query=ranked.query, candidates=ranked.candidates)
        local.attach(later, [explanation(later, 1)])
        review = local.database.get_match(match.query_id).reviews[0]
    assert review.explanation_status == "ready" and len(review.pictures) == 1
    failure = Failure(code="X", message="y")
    with host(folder) as local:
        local.attach(
            later, [explanation(later, 1, status=Status.FAILED, failure=failure, artifacts=(), record={})]
        )
        review = local.database.get_match(match.query_id).reviews[0]
    assert (review.explanation_status, review.pictures) == ("failed", [])
