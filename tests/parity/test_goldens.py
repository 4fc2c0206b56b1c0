"""Figures of the public PAIR-X, reproduced. Tolerances are shares of the public map's maximum."""

from __future__ import annotations

import numpy as np
import pytest

from pairx_plugin import compat, explain_ranking

PAIRS = {"same": (0, 1), "other": (0, 2)}
RELEVANCE = 1e-3
PIXELS = 5e-3  # the goldens are float16, which alone is 2.5e-4
AGREEING = 0.95


@pytest.fixture(scope="module", params=PAIRS)
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def found_by_pair(case):
    return {
        name: compat.pairx(None, case.tensor(first), case.tensor(second), case.network, case.layers, 20, 5)
        for name, (first, second) in PAIRS.items()
    }


@pytest.fixture
def found(found_by_pair, pair):
    return found_by_pair[pair]


def test_relevance_of_the_similarity_equals_the_fork_s(case, pair, found):
    for layer in case.layers:
        for side, relevance in enumerate(found[layer]["intermediate_relevances"]):
            golden = case.figure("fork", pair, layer, f"relevance_{side}")
            assert np.abs(relevance[0] - golden).max() <= RELEVANCE * golden.max(), (layer, side)


def test_matches_are_the_fork_s_with_their_distances_and_relevances(case, pair, found):
    for layer in case.layers:
        matches = found[layer]["matches"][0]
        by_cells = {(*match["coord0"], *match["coord1"]): match for match in matches}
        golden = [tuple(row) for row in case.figure("fork", pair, layer, "matches").tolist()]
        common = [index for index, cells in enumerate(golden) if cells in by_cells]
        assert len(common) >= AGREEING * len(golden)
        assert len(matches) == len(golden)
        for name in ("distance", "relevance"):
            ours = np.array([by_cells[golden[index]][name] for index in common])
            np.testing.assert_allclose(ours, case.figure("fork", pair, layer, name)[common], rtol=2e-3)


def test_pixel_relevances_equal_the_fork_s(case, found_by_pair):
    for layer in case.layers:
        found = found_by_pair["same"][layer]
        cells = [(*match["coord0"], *match["coord1"]) for match in found["matches"][0]]
        golden_cells = [tuple(row) for row in case.figure("fork", "same", layer, "matches").tolist()]
        for side in (0, 1):
            golden = case.figure("fork", "same", layer, f"pixel_{side}").astype(np.float32)
            golden *= case.figure("fork", "same", layer, f"pixel_scale_{side}")[:, None, None]
            assert len(golden) == 2
            for rank, values in enumerate(golden):
                ours = found["pixel_relevances"][side][cells.index(golden_cells[rank])][0]
                assert np.abs(ours - values).max() <= PIXELS * values.max(), (layer, side, rank)


def test_picture_equals_the_fork_s(case):
    (key,) = (name for name in case.figures if name.endswith("composite"))
    layer = key.split("/")[2]
    pictures = [case.figure("image_0")], [case.figure("image_1")]
    drawn = compat.explain(case.tensor(0), case.tensor(1), *pictures, case.network, [layer], k_colors=5)
    assert len(drawn) == 1
    golden = case.figures[key].astype(int)
    assert drawn[0].shape == golden.shape and drawn[0].dtype == np.uint8
    assert (np.abs(drawn[0] - golden).max(axis=2) > 2).mean() < 1e-3


def test_the_paper_s_own_reductions_are_a_setting(case, pair):
    first, second = PAIRS[pair]
    size = int(case.figure("size"))
    explanation, = explain_ranking(
        case.network,
        case.figure(f"image_{first}"),
        [case.figure(f"image_{second}")],
        layer=case.layers,
        input_size=(size, size),
        k_colors=0,
        channel_reduction="abs_sum",
        similarity_seed="one",
    )
    assert explanation.evidence is not None
    for layer in explanation.evidence.layers:
        for side, relevance in enumerate((layer.relevance_0, layer.relevance_1)):
            golden = case.figure("original", pair, layer.layer_key, f"relevance_{side}")
            assert np.abs(relevance - golden).max() <= RELEVANCE * golden.max()
        lines = layer.lines
        ours = {
            (*cell_0[::-1], *cell_1[::-1]) for cell_0, cell_1 in zip(lines.cells_0.tolist(), lines.cells_1.tolist())
        }
        golden_matches = {tuple(row) for row in case.figure("original", pair, layer.layer_key, "matches").tolist()}
        assert len(ours & golden_matches) >= AGREEING * len(golden_matches)
