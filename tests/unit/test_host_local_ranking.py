"""From embeddings to ranked candidates: scores against a slow oracle, figures, and what cannot be ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairx_hooks import Annotation
from pairx_plugin.errors import HostError
from pairx_plugin.hosts.local.gallery import Gallery
from pairx_plugin.hosts.local.ranking import Ranking, rank_gallery


def vectors(rows: Sequence[Sequence[float]], names: Sequence[str | None] | None = None) -> Gallery:
    raw = np.array(rows, np.float64)
    names = names or [None] * len(raw)
    return Gallery(
        annotations=tuple(
            Annotation(annotation_id=f"i{n}", image=f"{n}.png", name=name) for n, name in enumerate(names)
        ),
        embeddings=raw / np.linalg.norm(raw, axis=1, keepdims=True),
        chip_sha256=tuple(f"sha{n}" for n in range(len(raw))),
        left_out={},
        doubts={},
    )


def rank(gallery: Gallery, query: int, n_candidates: int = 100) -> Ranking:
    return rank_gallery(
        gallery, gallery.annotations[query], query_id="q", model_id="m", n_candidates=n_candidates
    )


def test_scores_are_half_of_one_plus_the_cosine_best_first() -> None:
    ranked = rank(vectors([[1, 0], [0, 2], [3, 3], [-5, 0]]), 0).ranked_query
    assert [candidate.annotation.annotation_id for candidate in ranked.candidates] == ["i2", "i1", "i3"]
    assert [candidate.score for candidate in ranked.candidates] == pytest.approx(
        [(1 + math.sqrt(0.5)) / 2, 0.5, 0.0]
    )
    assert [candidate.rank for candidate in ranked.candidates] == [1, 2, 3]
    assert (ranked.score_scale, ranked.n_searched, ranked.model_id) == ("half_cosine", 3, "m")


def test_names_are_scored_by_their_best_annotation_and_nameless_ones_are_not() -> None:
    gallery = vectors([[1, 0], [0, 2], [3, 3], [-5, 0], [1, 0.1]], ["Q", "A", "B", "A", None])
    found = {c.annotation.annotation_id: c for c in rank(gallery, 0).ranked_query.candidates}
    assert found["i1"].name_score == found["i3"].name_score == found["i1"].score == 0.5
    assert found["i2"].name_score == found["i2"].score
    assert found["i4"].name_score is None


def test_equal_scores_keep_the_order_of_the_file() -> None:
    ranked = rank(vectors([[1, 0], [0, 1], [0, 2], [0, 3]]), 0).ranked_query
    assert [candidate.annotation.annotation_id for candidate in ranked.candidates] == ["i1", "i2", "i3"]


def test_fewer_candidates_are_the_first_of_all() -> None:
    gallery = vectors([[1, 0], [0, 2], [3, 3], [-5, 0]])
    assert rank(gallery, 0, 2).ranked_query.candidates == rank(gallery, 0).ranked_query.candidates[:2]
    assert rank(gallery, 0, 2).ranked_query.n_searched == 3


def test_figures_count_all_that_were_searched() -> None:
    gallery = vectors([[1, 0], [0, 2], [3, 3], [-5, 0], [1, 0.1]], ["A", "A", "B", "A", "B"])
    ranking = rank(gallery, 0, 1)
    assert ranking.correct_rank == 3  # order: i4 (B), i2 (B), i1 (A), i3 (A)
    assert ranking.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)


@pytest.mark.parametrize("names", [[None, "A", "A"], ["Q", "A", None]], ids=["nameless", "alone"])
def test_a_query_that_cannot_be_right_has_no_figures(names: list[str | None]) -> None:
    ranking = rank(vectors([[1, 0], [0, 1], [1, 1]], names), 0)
    assert (ranking.correct_rank, ranking.average_precision) == (None, None)


def test_a_query_without_others_has_no_candidates_and_says_so() -> None:
    ranking = rank(vectors([[1, 0]]), 0)
    assert ranking.ranked_query.candidates == ()
    assert [problem.code for problem in ranking.warnings] == ["NO_CANDIDATES"]


def test_a_query_outside_of_the_gallery_is_an_error() -> None:
    with pytest.raises(HostError, match="the query 'zz' is not in the gallery"):
        rank_gallery(
            vectors([[1, 0]]), Annotation(annotation_id="zz"), query_id="q", model_id="m", n_candidates=1
        )


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.lists(st.lists(st.floats(-9, 9), min_size=5, max_size=5), min_size=n, max_size=n)
    )
)
def test_ranking_agrees_with_a_slow_oracle(rows: list[list[float]]) -> None:
    rows = [[*row, 1.0] for row in rows]  # no zero vectors
    ranked = rank(vectors(rows), 0).ranked_query
    own = rows[0]
    for candidate in ranked.candidates:
        other = rows[int(candidate.annotation.annotation_id[1:])]
        cosine = sum(a * b for a, b in zip(own, other)) / (math.hypot(*own) * math.hypot(*other))
        assert candidate.score == pytest.approx((2 - (1 - cosine)) / 2, abs=1e-12)
        assert 0.0 <= candidate.score <= 1.0
    scores = [candidate.score or 0.0 for candidate in ranked.candidates]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(rows) - 1 and "i0" not in {
        c.annotation.annotation_id for c in ranked.candidates
    }


@given(st.permutations(range(1, 8)))
def test_the_order_of_the_gallery_changes_no_bit_of_a_score(order: list[int]) -> None:
    rows = np.random.default_rng(5).normal(size=(8, 33)).tolist()
    before = {c.annotation.annotation_id: c.score for c in rank(vectors(rows), 0).ranked_query.candidates}
    shuffled = rank(vectors([rows[0], *(rows[n] for n in order)]), 0).ranked_query
    after = {f"i{order[int(c.annotation.annotation_id[1:]) - 1]}": c.score for c in shuffled.candidates}
    assert after == before
