"""What holds for explanations whatever the chips are."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairx_plugin import explain_ranking

LAYER = "backbone.blocks.1"
FEW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def explained(network, query, candidates, **changes):
    settings_of = {"layer": LAYER, "input_size": (64, 64), "k_colors": 1, **changes}
    return explain_ranking(network, query, candidates, **settings_of)


def cells(explanation):
    matches = explanation.layers[0].matches
    return list(zip(map(tuple, matches.cells_0.tolist()), map(tuple, matches.cells_1.tolist())))


@FEW
@given(order=st.permutations(range(3)), seed=st.integers(0, 50))
def test_permuting_candidates_permutes_the_explanations(miewid_network, make_texture, order, seed):
    query, *candidates = (make_texture(seed + index) for index in range(4))
    straight = explained(miewid_network, query, candidates)
    permuted = explained(miewid_network, query, [candidates[index] for index in order])
    for place, index in enumerate(order):
        assert permuted[place].explanation_id == straight[index].explanation_id
        assert cells(permuted[place]) == cells(straight[index])
        # Cells of the query that an earlier candidate asked for are in another product: the last bit may differ.
        found, expected = (one.layers[0].pixels_1 for one in (permuted[place], straight[index]))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())


@FEW
@given(seed=st.integers(0, 50), k_lines=st.integers(0, 30), k_colors=st.integers(0, 3))
def test_counts_are_what_was_asked_for_or_what_there_is(miewid_network, make_texture, seed, k_lines, k_colors):
    pair = make_texture(seed), make_texture(seed + 1)
    (explanation,) = explained(miewid_network, pair[0], [pair[1]], k_lines=k_lines, k_colors=k_colors)
    layer = explanation.layers[0]
    assert len(layer.lines) == min(k_lines, len(layer.matches))
    assert len(layer.pixels_0) == len(layer.pixels_1) == min(k_colors, len(layer.matches))
    assert len(set(cells(explanation))) == len(layer.matches)


@FEW
@given(seed=st.integers(0, 50), tolerance=st.floats(0, 0.1))
def test_relevance_is_never_negative_and_what_is_cut_off_is_bounded(miewid_network, make_texture, seed, tolerance):
    pair = make_texture(seed), make_texture(seed + 7)
    (explanation,) = explained(miewid_network, pair[0], [pair[1]], pixel_tolerance=tolerance)
    layer = explanation.layers[0]
    for values in (layer.relevance_0, layer.relevance_1, layer.pixels_0, layer.pixels_1, layer.matches.relevance):
        assert np.isfinite(values).all() and (values >= 0).all()
    assert (layer.cut_off_0 <= tolerance).all() and (layer.cut_off_1 <= tolerance).all()


@FEW
@given(seed=st.integers(0, 50), factor=st.floats(0.25, 4.0))
def test_scale_of_an_embedding_changes_no_match(miewid_network, make_texture, seed, factor):
    pair = make_texture(seed), make_texture(seed + 3)
    (before,) = explained(miewid_network, pair[0], [pair[1]])
    norm = miewid_network.bn
    kept = norm.weight.detach().clone(), norm.bias.detach().clone()
    try:
        norm.weight.data.mul_(factor)
        norm.bias.data.mul_(factor)
        (after,) = explained(miewid_network, pair[0], [pair[1]])
    finally:
        norm.weight.data.copy_(kept[0])
        norm.bias.data.copy_(kept[1])
    np.testing.assert_allclose(after.evidence.similarity, before.evidence.similarity, atol=1e-5)
    assert set(cells(after)) == set(cells(before))
