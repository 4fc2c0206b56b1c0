from __future__ import annotations

import numpy as np
import pytest

from pairx_plugin.errors import EvidenceError
from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence, cell_points


def matches(*relevance: float) -> Matches:
    cells = np.arange(2 * len(relevance), dtype=np.int32).reshape(-1, 2)
    return Matches(
        cells_0=cells, cells_1=cells[::-1], distance=np.ones(len(relevance), np.float32), relevance=np.array(relevance)
    )


def layer(**changes) -> LayerEvidence:
    arguments = dict(
        layer_key="blocks.1",
        relevance_0=np.ones((4, 6), np.float32),
        relevance_1=np.ones((5, 7), np.float32),
        matches=matches(3.0, 1.0),
        pixels_0=np.zeros((1, 8, 8), np.float32),
        pixels_1=np.zeros((1, 8, 8), np.float32),
        k_lines=1,
    )
    return LayerEvidence(**{**arguments, **changes})


def test_cell_centres_lie_half_a_step_in():
    points = cell_points(np.array([[0, 0], [27, 27], [3, 1]]), (28, 28), (440, 440))
    step = 440 / 28
    np.testing.assert_allclose(points, [[step / 2] * 2, [440 - step / 2] * 2, [1.5 * step, 3.5 * step]], rtol=1e-6)


def test_lines_are_the_leading_matches_at_both_ends():
    evidence = layer()
    assert len(evidence.lines) == 1 and len(evidence.matches) == 2
    start, end = evidence.line_points((40, 60), (50, 70))
    assert start.tolist() == [[15.0, 5.0]] and end.tolist() == [[35.0, 25.0]]
    assert evidence.grid_0 == (4, 6) and evidence.grid_1 == (5, 7)


def test_shares_are_of_all_matches_and_survive_zero():
    assert matches(6.0, 2.0).shares().tolist() == [0.75, 0.25]
    assert matches(0.0, 0.0).shares().tolist() == [0.0, 0.0]
    assert len(matches().shares()) == 0


@pytest.mark.parametrize(
    "make, says",
    [
        pytest.param(lambda: matches(1.0, 2.0), "sorted", id="unsorted"),
        pytest.param(lambda: matches(float("nan")), "not finite", id="nan"),
        pytest.param(
            lambda: Matches(
                cells_0=np.zeros((2, 2), np.int32),
                cells_1=np.zeros((1, 2), np.int32),
                distance=np.zeros(2, np.float32),
                relevance=np.zeros(2),
            ),
            "one length",
            id="lengths",
        ),
        pytest.param(lambda: layer(relevance_0=np.full((4, 6), np.inf, np.float32)), "24 values", id="infinite map"),
        pytest.param(lambda: layer(pixels_0=np.zeros((2, 8, 8), np.float32)), "in pairs", id="unpaired maps"),
        pytest.param(lambda: PairEvidence(similarity=0.5, layers=()), "at least one layer", id="no layers"),
        pytest.param(lambda: PairEvidence(similarity=float("nan"), layers=(layer(),)), "finite", id="similarity"),
        pytest.param(lambda: PairEvidence(similarity=0.5, layers=(layer(),)).layer("x"), "blocks.1", id="other layer"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(make, says):
    with pytest.raises(EvidenceError, match=says):
        make()
