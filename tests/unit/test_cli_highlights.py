"""What the demo tells people to look at: its words must say no more than the figures behind them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from pairx_plugin.cli.highlights import find_highlights
from pairx_hooks import Annotation

WHOLE = [[0, 0, 100, 0, 100, 100, 0, 100]]
LEFT = [[0, 0, 50, 0, 50, 100, 0, 100]]


def record(n_inliers, places=((0.25, 0.5), (0.75, 0.5))):
    """Of a pair whose links begin and end at the same places, all of them on one pose."""
    image = {"width": 100, "height": 100, "bbox": [0, 0, 100, 100], "chip": {
        "width": 100, "height": 100, "to_image": [100.0, 0.0, 0.0, 0.0, 100.0, 0.0]}}
    matches = [
        {"rank": rank, "kpts0": list(place), "kpts1": list(place), "inlier": True, "relevance_share": 0.1}
        for rank, place in enumerate(places * 5, start=1)
    ]
    figures = {"n_inliers": n_inliers, "n_chance": 6, "n_tested": 20, "reasons": [
        {"code": "POSE_CONSISTENT", "values": {"n": n_inliers, "of": 20, "by_chance": 6}}]}
    return {
        "layer_key": "blocks.3", "matches": matches, "n_matches": len(matches), "plausibility": figures,
        "images": [{**image, "role": "query"}, {**image, "role": "candidate"}],
    }


def run(folder, *candidates):
    """A run of one query whose candidates are (correct, record), best first."""
    made = []
    for rank, (correct, found) in enumerate(candidates, start=1):
        (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
        made.append(SimpleNamespace(rank=rank, annotation_id=f"c{rank}", image=f"c{rank}.jpg", correct=correct,
                                    status="ready", record_path=f"{rank}.json"))
    query = SimpleNamespace(annotation_id="q", image="q.jpg", candidates=tuple(made))
    return SimpleNamespace(output=str(folder), queries=(query,))


def annotations(outline):
    return {key: Annotation(annotation_id=key, image=f"{key}.jpg", bbox=(0, 0, 100, 100),
                            extra={"segmentation": outline}) for key in ("q", "c1", "c2")}


def test_words_about_another_individual_say_what_they_are_about_and_that_nobody_calibrated_them(tmp_path):
    nice, doubtful = find_highlights(run(tmp_path, (True, record(20)), (False, record(15))))
    assert nice.sentence().startswith("a nice match: query q.jpg, candidate 1 (c1.jpg, the same individual). Strong")
    words = doubtful.sentence()
    assert words.startswith("a doubtful one: query q.jpg, candidate 2 (c2.jpg, another individual). Weak evidence that")
    about = "the links fit one pose, which can also happen with two different animals that stand alike (uncalibrated)"
    assert f"{about}: 15 of 20 links" in words
    assert doubtful.to_json()["level"] == 1 and "Doubt" not in words


@pytest.mark.parametrize("n_inliers, words", [(20, "a nice match"), (17, "a nice match"), (14, "with little support")])
def test_match_is_called_nice_from_some_evidence_on(tmp_path, n_inliers, words):
    [found] = find_highlights(run(tmp_path, (True, record(n_inliers))))
    assert words in found.sentence()


def test_outlines_tell_of_links_beside_the_animal(tmp_path):
    made = run(tmp_path, (False, record(18)), (False, record(15)))
    [whole] = find_highlights(made, annotations(WHOLE))
    [half] = find_highlights(made, annotations(LEFT))
    assert whole.doubt == "" and whole.candidate == "c1.jpg"
    assert half.doubt.startswith("5 of the 10 links that fit the pose end outside the animal")
    assert half.sentence().endswith(f"Doubt: {half.doubt}")
