"""The arithmetic of the re-ranking in Wildbook, and what happens to the host's scores."""

import pytest

from pairx_plugin.errors import CalibrationRefused
from pairx_plugin.hosts.wildbook.options import Reranking
from pairx_plugin.hosts.wildbook.reranking import apply_scores, plausibility_of, reranked_scores


def record_of(ratio):
    calibration = {"status": "calibrated", "likelihood_ratio": ratio}
    return {"status": "ready", "plausibility": {"irm_rob": 0.5, "match_coverage": 0.5, "calibration": calibration}}


def test_plausibility_is_the_calibrated_likelihood_ratio_as_a_share():
    assert plausibility_of(record_of(4.0)) == pytest.approx(0.8)
    assert plausibility_of(record_of(1.0)) == pytest.approx(0.5)
    assert plausibility_of(record_of(0.25)) == pytest.approx(0.2)


def test_pair_without_figures_keeps_its_score_whatever_the_calibration():
    assert plausibility_of({"status": "failed"}) is None
    assert plausibility_of({"status": "ready"}) is None
    unjudged = {"status": "ready", "plausibility": {"calibration": {"status": "not_assessed"}}}
    assert plausibility_of(unjudged) is None


@pytest.mark.parametrize(
    "calibration, words",
    [
        ({}, "calibrate_wildbook"),
        ({"status": "uncalibrated", "reason": ""}, "calibrate_wildbook"),
        ({"status": "uncalibrated", "reason": "FIGURES_DO_NOT_SEPARATE"}, "did not tell"),
        ({"status": "stale", "reason": "LAYER_DIFFERS"}, "another layer"),
        ({"status": "unreadable", "reason": "no file there"}, "no file there"),
    ],
    ids=["earlier record", "none", "useless", "stale", "unreadable"],
)
def test_uncalibrated_plausibility_is_refused(calibration, words):
    figures = {"irm_rob": 1.0, "match_coverage": 1.0, "calibration": calibration}
    with pytest.raises(CalibrationRefused, match=words):
        plausibility_of({"status": "ready", "plausibility": figures})


def test_shortlist_is_mixed_the_rest_is_scaled_and_what_failed_keeps_its_score():
    changed = reranked_scores([0.9, 0.8, 0.7, 0.6], {0: 0.0, 1: 1.0, 2: None}, Reranking(alpha=0.8))
    assert changed == pytest.approx([0.72, 0.84, 0.7, 0.48])


class Match:
    """The scores of the host's match."""

    def __init__(self):
        self.name_groupxs = [[0, 2], [1]]
        self.annot_score_list, self.name_score_list, self.score_list = [0.1, 0.2, 0.3], [0.3, 0.2], [0.0, 0.2, 0.3]

    def set_cannonical_name_score(self, scores, names):
        self.annot_score_list = scores
        if names == "broken":
            raise RuntimeError("broken on purpose")
        self.name_score_list, self.score_list = names, "aligned"


def test_new_scores_reach_names_and_where_that_fails_all_are_as_before(monkeypatch):
    match = Match()
    apply_scores(match, [0.9, 0.2, 0.3])
    assert match.annot_score_list == [0.9, 0.2, 0.3] and match.name_score_list == [0.9, 0.2]
    setter = Match.set_cannonical_name_score
    monkeypatch.setattr(Match, "set_cannonical_name_score", lambda self, scores, names: setter(self, scores, "broken"))
    match = Match()
    with pytest.raises(RuntimeError):
        apply_scores(match, [0.9, 0.2, 0.3])
    assert vars(match) == vars(Match())


def test_nothing_judged_changes_no_score():
    assert reranked_scores([0.9, 0.1], {0: None, 1: None}, Reranking()) == [0.9, 0.1]
    assert reranked_scores([0.9, 0.1], {}, Reranking()) == [0.9, 0.1]
