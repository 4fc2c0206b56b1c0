"""Optional re-ranking by plausibility, with the parameters of the host's own re-ranking.

new score = alpha x host's score + (1 - alpha) x stretched plausibility, for the shortlist; alpha x score for the
rest, which keeps it behind. A candidate whose explanation failed, or whose links cannot be judged, keeps its score:
a failure of ours is no evidence against an animal. Where nothing could be explained, no score changes.

Source: wbia-plugin-miew-id:docs/plans/pairx-reranking.md, for the formula and the parameters. Its plausibility is
half homography residual and half relevance coverage; ours takes both from :mod:`pairx_plugin.plausibility`, and is
uncalibrated too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .options import Reranking

__all__ = ["apply_scores", "plausibility_of", "reranked_scores"]


def plausibility_of(record: Mapping[str, Any], reranking: Reranking) -> float | None:
    """Return a pair's plausibility, stretched to [0, 1] by the sigmoid; None where it cannot be judged."""
    figures = record.get("plausibility")
    if record.get("status") not in ("ready", "partial") or not isinstance(figures, Mapping):
        return None
    residual, coverage = figures.get("irm_rob"), figures.get("match_coverage")
    if residual is None or coverage is None:
        return None
    raw = (float(residual) + float(coverage)) / 2.0
    return 1.0 / (1.0 + math.exp(-reranking.sigmoid_k * (raw - reranking.sigmoid_x0)))


def reranked_scores(
    scores: Sequence[float], shortlist: Mapping[int, float | None], reranking: Reranking
) -> list[float]:
    """Return new scores in the order of `scores`.

    Args:
        scores: the host's, one for each candidate.
        shortlist: plausibility by position in `scores`; None where there is none.

    >>> reranked_scores([0.9, 0.8, 0.7], {0: 0.0, 1: None}, Reranking(alpha=0.5))
    [0.45, 0.8, 0.35]
    """
    if all(value is None for value in shortlist.values()):
        return [float(score) for score in scores]
    changed = []
    for position, score in enumerate(scores):
        plausibility = shortlist.get(position)
        if position in shortlist and plausibility is None:
            changed.append(float(score))
        else:
            share = 0.0 if plausibility is None else (1.0 - reranking.alpha) * plausibility
            changed.append(reranking.alpha * float(score) + share)
    return changed


def apply_scores(match: Any, scores: Sequence[float]) -> None:
    """Set the annotation scores of a match of the host, and the name scores that follow: each name's best one."""
    names = [max(scores[int(index)] for index in group) for group in match.name_groupxs]
    match.set_cannonical_name_score(scores, names)
