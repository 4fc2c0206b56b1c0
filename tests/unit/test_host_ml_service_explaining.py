"""Pairs that are cut already: their pictures, and what memory does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pairx_hooks import Status

pytest.importorskip("fastapi")
pytest.importorskip("cv2")
from pairx_plugin.chips import Chip  # noqa: E402
from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence  # noqa: E402
from pairx_plugin.explainers.pairx import PairX  # noqa: E402
from pairx_plugin.explanation import PairExplanation  # noqa: E402
from pairx_plugin.hosts.ml_service.asked import Place  # noqa: E402
from pairx_plugin.hosts.ml_service.cutting import cut_place  # noqa: E402
from pairx_plugin.hosts.ml_service.explaining import CutPair, explain_pairs, ml_service_picture  # noqa: E402
from pairx_plugin.hosts.ml_service.refusals import refusal_of  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.photographs import Photograph  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")


def place():
    return Place(uri="a.png", box=(0.0, 0.0, 0.0, 0.0), theta=0.0, side=1, index=0)


@pytest.fixture(scope="module")
def pair(model, make_texture):
    cuts = [cut_place(Photograph(pixels=make_texture(seed)), place(), model) for seed in (1, 2)]
    return CutPair(query=cuts[0], candidate=cuts[1])


def settings(**more):
    return Settings(k_lines=4, k_colors=2, layers=("backbone.blocks.1",), **more)


def test_pictures_are_halves_of_one_and_keep_their_channels(model, pair):
    found = list(explain_pairs(model, [pair], PairX(), settings(), view="lines_and_colors"))
    both = found[0].picture
    assert both.shape == (128, 128, 3)
    for view, half in (("only_lines", both[:64]), ("only_colors", both[64:])):
        assert np.array_equal(next(explain_pairs(model, [pair], PairX(), settings(), view=view)).picture, half)
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    colours = ml_service_picture(found[0].explanation, (red, red), "only_colors")
    plain = np.median(colours.reshape(-1, 3), axis=0)
    assert plain[0] > plain[1] + 30 and plain[0] > plain[2] + 30


def test_pairs_of_one_query_equal_pairs_explained_alone(model, pair, make_texture):
    other = CutPair(query=pair.query, candidate=cut_place(Photograph(pixels=make_texture(5)), place(), model))
    together = list(explain_pairs(model, [pair, other], PairX(), settings(), view="only_colors"))
    alone = [next(explain_pairs(model, [item], PairX(), settings(), view="only_colors")) for item in (pair, other)]
    for one, two in zip(together, alone):
        assert one.explanation.explanation_id == two.explanation.explanation_id
        assert np.abs(one.picture.astype(int) - two.picture.astype(int)).max() <= 1


class Short:
    """PAIR-X on a machine whose memory is enough for so many colours."""

    explainer_id, version = "pairx", "1"

    def __init__(self, enough: int) -> None:
        self.enough, self.asked = enough, []

    def prepare(self, model, query, settings):
        self.asked.append(settings.k_colors)
        if settings.k_colors > self.enough:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return PairX().prepare(model, query, settings)


def test_out_of_memory_is_answered_with_fewer_colours_and_says_so(model, pair):
    short = Short(enough=2)
    (found,) = explain_pairs(model, [pair], short, replace(settings(), k_colors=8), view="only_colors")
    assert short.asked == [8, 8, 4, 2]
    assert found.explanation.status is Status.READY and len(found.explanation.layers[0].pixels_0) == 2
    assert found.picture is not None and found.warnings[0]["code"] == "FEWER_COLOURS"


def test_out_of_memory_to_the_end_is_a_failure_that_may_be_tried_again(model, pair):
    (found,) = explain_pairs(model, [pair], Short(enough=-1), settings(), view="only_colors")
    assert found.picture is None and found.explanation.failure.code == "OUT_OF_MEMORY"
    refusal = refusal_of(found.explanation.failure)
    assert refusal.status == 503


def test_one_candidate_that_fails_does_not_end_the_others(model, pair):
    class Picky(Short):
        def prepare(self, model, query, settings):
            session = PairX().prepare(model, query, settings)

            class Session:
                def explain(self, candidates):
                    if any(chip.sha256 == bad for chip in candidates):
                        raise ValueError("not this one")
                    return session.explain(candidates)

            return Session()

    white = cut_place(Photograph(pixels=np.full((64, 64, 3), 255, np.uint8)), place(), model)
    bad = white.chip.sha256
    pairs = [pair, CutPair(query=pair.query, candidate=white), pair]
    found = list(explain_pairs(model, pairs, Picky(9), settings(), view="only_colors"))
    assert [item.explanation.status for item in found] == [Status.READY, Status.FAILED, Status.READY]
    assert [item.picture is None for item in found] == [False, True, False]


def test_explainer_without_matches_is_drawn_with_its_map(make_texture):
    none = np.zeros((0, 2), np.int32)
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    layer = LayerEvidence(
        layer_key="x",
        relevance_0=ramp,
        relevance_1=ramp[::-1].copy(),
        matches=Matches(cells_0=none, cells_1=none, distance=np.zeros(0, np.float32), relevance=np.zeros(0)),
        pixels_0=np.zeros((0, 64, 64), np.float32),
        pixels_1=np.zeros((0, 64, 64), np.float32),
    )
    chip = Chip.from_array(make_texture(1))
    evidence = PairEvidence(similarity=0.5, layers=(layer,))
    explanation = PairExplanation(
        status=Status.READY, explainer="other", query=chip, candidate=chip, evidence=evidence
    )
    picture = ml_service_picture(explanation, (chip.pixels, chip.pixels), "only_colors")
    assert picture.shape == (64, 128, 3)
    assert picture[60, 30, 0] > picture[3, 30, 0] + 40  # JET: the high end is red, at the bottom of the left side
