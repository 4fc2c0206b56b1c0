"""The plugin as a host meets it: through a manager, with models and chips that come by hooks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from pairx_hooks import (
    Annotation,
    Candidate,
    ExplainerEntry,
    ExplanationRequest,
    RankedQuery,
    Status,
    build_manager,
    hookimpl,
)
from pairx_plugin import EmbeddingModel, plugin
from pairx_plugin.errors import MissingExtra

LAYER = "backbone.blocks.1"


def annotation(name: str) -> Annotation:
    return Annotation(annotation_id=name)


def ranked(*names: str) -> RankedQuery:
    candidates = tuple(
        Candidate(annotation=annotation(name), rank=rank, score=1.0 - 0.1 * rank) for rank, name in enumerate(names, 1)
    )
    return RankedQuery(
        query_id="q", query=annotation("query"), candidates=candidates, model_id="m", score_scale="cosine"
    )


class Host:
    """A host with its model and its chips in memory."""

    def __init__(self, model, chips):
        self.model, self.chips, self.attached, self.observed = model, chips, [], []

    @hookimpl
    def provide_embedding_model(self, model_id):
        return self.model if model_id == "m" else None

    @hookimpl
    def load_chip(self, annotation):
        chip = self.chips[annotation.annotation_id]
        if isinstance(chip, Exception):
            raise chip
        return chip

    @hookimpl
    def explanation_finished(self, candidate, explanation):
        self.observed.append((candidate.annotation.annotation_id, explanation.status))

    @hookimpl
    def explanation_failed(self, candidate, failure):
        self.observed.append((candidate.annotation.annotation_id, failure.code))

    @hookimpl
    def attach_explanations(self, ranked_query, explanations):
        self.attached.append(explanations)


@pytest.fixture
def host(miewid_network, make_texture):
    chips = {"query": make_texture(1), "a": make_texture(2), "b": make_texture(3), "gone": OSError("disk is gone")}
    return Host(EmbeddingModel(miewid_network, input_size=(64, 64), model_id="m"), chips)


@pytest.fixture
def manager(host):
    return build_manager(plugin, host, entry_points=False)


def request(**changes) -> ExplanationRequest:
    settings = {"k_lines": 4, "k_colors": 1, **changes.pop("settings", {})}
    return ExplanationRequest(layers=(LAYER,), settings=settings, **changes)


def test_ranked_query_comes_back_explained(manager, host):
    explanations = manager.explain(ranked("a", "b"), request(pictures=("matches", "clean"), picture_format="png"))
    assert [(one.candidate_id, one.rank, one.status) for one in explanations] == [
        ("a", 1, Status.READY),
        ("b", 2, Status.READY),
    ]
    record = json.loads(json.dumps(explanations[0].to_json(), allow_nan=False))["record"]
    assert (record["score"], record["score_scale"], len(record["matches"])) == (0.9, "cosine", 4)
    assert [artifact.version for artifact in explanations[0].artifacts] == ["matches", "clean"]
    for artifact in explanations[0].artifacts:
        picture = Image.open(io.BytesIO(artifact.data))
        assert (picture.format, picture.size) == ("PNG", (artifact.width, artifact.height))
    assert host.observed == [("a", Status.READY), ("b", Status.READY)]
    assert not manager.failures


def test_candidates_behind_top_k_are_skipped_not_lost(manager):
    explanations = manager.explain(ranked("a", "b", "gone"), request(top_k=1))
    assert [one.status for one in explanations] == [Status.READY, Status.SKIPPED, Status.SKIPPED]


def test_candidate_without_a_chip_keeps_its_rank_and_says_why(manager, host):
    explanations = manager.explain(ranked("a", "gone", "b"), request())
    assert [one.status for one in explanations] == [Status.READY, Status.FAILED, Status.READY]
    assert "gone" in explanations[1].failure.message and explanations[1].rank == 2
    assert ("gone", explanations[1].failure.code) in host.observed


@pytest.mark.parametrize(
    "changes, status, code, says",
    [
        pytest.param({"explainer": "pairy"}, Status.UNSUPPORTED, "EXPLAINER_UNKNOWN", "pairx", id="explainer"),
        pytest.param({"settings": {"k_line": 3}}, Status.FAILED, "SETTING_INVALID", "k_lines", id="setting"),
        pytest.param({"settings": {"mode": "correct"}}, Status.FAILED, "SETTING_INVALID", "'corrected'", id="mode"),
        pytest.param({"picture_format": "gif"}, Status.FAILED, "SETTING_INVALID", "webp", id="format"),
    ],
)
def test_what_makes_all_impossible_is_every_candidate_s_failure(manager, changes, status, code, says):
    explanations = manager.explain(ranked("a", "b"), request(**changes))
    assert [(one.status, one.failure.code) for one in explanations] == [(status, code)] * 2
    assert says in explanations[0].failure.message


def test_model_that_no_plugin_provides_is_said(manager, host):
    host.model = None
    explanations = manager.explain(ranked("a"), request())
    assert explanations[0].failure.code == "MODEL_UNKNOWN" and "'m'" in explanations[0].failure.message


def test_bare_module_is_taken_as_the_model(manager, host, miewid_network):
    host.model = miewid_network
    (explanation,) = manager.explain(ranked("a"), request(settings={"k_colors": 0}))
    assert explanation.status is Status.READY


def test_data_is_kept_where_pictures_fail(manager, monkeypatch):
    def without_opencv(*args, **kwargs):
        raise MissingExtra("cv2", extra="opencv", purpose="drawing")

    monkeypatch.setattr("pairx_plugin.explanation.render", without_opencv)
    (explanation,) = manager.explain(ranked("a"), request())
    assert explanation.status is Status.PARTIAL and explanation.failure.code == "PICTURES_FAILED"
    assert "pairx-plugin[opencv]" in explanation.failure.message
    assert explanation.record["matches"] and explanation.record["status"] == "partial"


def test_third_party_s_explainer_arrives_through_the_hook(manager, make_texture):
    from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence

    class Constant:
        explainer_id, version = "constant", "1"

        def prepare(self, model, query, settings):
            self.options = settings.options
            return self

        def explain(self, candidates):
            empty = np.zeros((0, 2), np.int32)
            matches = Matches(cells_0=empty, cells_1=empty, distance=np.zeros(0, np.float32), relevance=np.zeros(0))
            maps = dict.fromkeys(("relevance_0", "relevance_1"), np.full((2, 2), self.options["level"], np.float32))
            pixels = dict.fromkeys(("pixels_0", "pixels_1"), np.zeros((0, 8, 8), np.float32))
            layer = LayerEvidence(layer_key="whole", matches=matches, **maps, **pixels)
            return [PairEvidence(similarity=0.25, layers=(layer,)) for _ in candidates]

    class Third:
        @hookimpl
        def register_explainers(self):
            return [ExplainerEntry(explainer_id="constant", title="Constant", create=Constant)]

    manager.register(Third(), "third")
    asked = request(explainer="constant", pictures=("heatmask",), settings={"options": {"level": 2.0}})
    (explanation,) = manager.explain(ranked("a"), asked)
    assert explanation.status is Status.READY and explanation.record["similarity"] == 0.25
    assert explanation.record["maps"][0]["vmax"] == 2.0 and explanation.artifacts


def test_photograph_is_read_where_no_host_brings_a_chip(tmp_path, host, make_texture):
    class ModelOnly:
        @hookimpl
        def provide_embedding_model(self, model_id):
            return host.model

    paths = []
    for index in range(2):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(make_texture(40 + index, 96)).save(paths[-1])
    query = RankedQuery(
        query_id="q",
        query=Annotation(annotation_id="query", image=str(paths[0]), bbox=(8, 8, 64, 64)),
        candidates=(
            Candidate(annotation=Annotation(annotation_id="a", image=str(paths[1]), bbox=(8, 8, 64, 64)), rank=1),
            Candidate(annotation=Annotation(annotation_id="b", image=str(paths[1]), bbox=(99, 8, -4, 64)), rank=2),
            Candidate(annotation=Annotation(annotation_id="c"), rank=3),
        ),
        model_id="m",
    )
    explanations = build_manager(plugin, ModelOnly(), entry_points=False).explain(query, request())
    assert [one.status for one in explanations] == [Status.READY, Status.FAILED, Status.FAILED]
    assert explanations[0].record["images"][0]["bbox"] == [8, 8, 64, 64]
    assert "-4" in explanations[1].failure.message
    assert "load_chip" in explanations[2].failure.message


def test_plugin_is_found_by_its_entry_point_in_a_fresh_process():
    program = """
        import sys
        from pairx_hooks import build_manager
        manager = build_manager()
        found = {plugin.name: plugin for plugin in manager.describe()}
        assert "pairx" in found["pairx"].explainers, found
        heavy = {"torch", "numpy", "cv2", "PIL", "timm", "zennit"} & set(sys.modules)
        assert not heavy, heavy
        print("found")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "found", done.stderr
