"""Optional re-ranking by calibrated plausibility, with the parameters of the host's own re-ranking.

new score = alpha x host's score + (1 - alpha) x plausibility, for the shortlist; alpha x score for the rest, which
keeps it behind. A candidate whose explanation failed, or whose links cannot be judged, keeps its score: a failure of
ours is no evidence against an animal. Where nothing could be explained, no score changes.

Plausibility counts here only where it was calibrated on the host's own decisions (``python -m
pairx_plugin.cli.calibrate_wildbook``, or a file that the option `pairx_calibration` names): figures in arbitrary units
must not move a ranking, so without a calibration that fits the network, the layer and the settings, re-ranking is
refused. The calibrated figure is the likelihood ratio as a share, ratio / (1 + ratio): 0.5 where such figures are as
frequent among rejected pairs as among confirmed ones. It needs no stretching, so the host's `sigmoid_k` and
`sigmoid_x0` are read and have no effect.

Source: wbia-plugin-miew-id:docs/plans/pairx-reranking.md, for the formula and the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import CalibrationRefused
from .options import Reranking

__all__ = ["apply_scores", "plausibility_of", "reranked_scores"]

_SCORES = ("annot_score_list", "name_score_list", "score_list")  # of the host's match
_REASONS = {
    "": "there is no calibration; make one on this database's decisions with `python -m "
    "pairx_plugin.cli.calibrate_wildbook --dbdir DATABASE`, or name a file in pairx_calibration",
    "FIGURES_DO_NOT_SEPARATE": "on the host's own decisions the figures did not tell confirmed from rejected pairs",
    "MODEL_DIFFERS": "the calibration is for another network; make it again with this one",
    "LAYER_DIFFERS": "the calibration is for another layer; make it again for this one, or explain that layer",
    "EXPLAINER_DIFFERS": "the calibration is for another explainer, or another version of it; make it again",
    "SETTINGS_DIFFER": "the calibration is for other settings; make it again with these",
}


def plausibility_of(record: Mapping[str, Any]) -> float | None:
    """Return a pair's calibrated plausibility in [0, 1]; None where it cannot be judged.

    Raises:
        CalibrationRefused: the record has figures, and no calibration that says what they mean.
    """
    figures = record.get("plausibility")
    if record.get("status") not in ("ready", "partial") or not isinstance(figures, Mapping):
        return None
    said = figures.get("calibration")
    said = said if isinstance(said, Mapping) else {}
    status, ratio = said.get("status"), said.get("likelihood_ratio")
    if status == "calibrated" and ratio is not None:
        return float(ratio) / (1.0 + float(ratio))
    if status == "not_assessed":
        return None
    reason = str(said.get("reason") or "")
    raise CalibrationRefused(f"nothing is re-ranked by plausibility: {_REASONS.get(reason, reason)}")


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
    """Set the annotation scores of a match of the host, and the name scores that follow: each name's best one.

    Where that fails, all scores are what they were.
    """
    names = [max(scores[int(index)] for index in group) for group in match.name_groupxs]
    before = {name: getattr(match, name) for name in _SCORES}
    try:
        match.set_cannonical_name_score(scores, names)
    except BaseException:
        for name, value in before.items():
            setattr(match, name, value)
        raise
