"""Explanations on disk beside the host's pictures, and the arithmetic of the re-ranking."""

import json
import math
import threading

import pytest

from pairx_hooks import Artifact
from pairx_plugin.errors import CalibrationRefused, StoreError
from pairx_plugin.hosts.wildbook.annotations import best_candidates, model_id_of
from pairx_plugin.hosts.wildbook.options import Reranking
from pairx_plugin.hosts.wildbook.pictures import version_of
from pairx_plugin.hosts.wildbook.records import key_of
from pairx_plugin.hosts.wildbook.reranking import plausibility_of, reranked_scores
from pairx_plugin.hosts.wildbook.shelf import Shelf, plain_json
from pairx_plugin.settings import Settings

QUERY, CANDIDATE = "3f371af8-40d0-4283-adea-e9602fa6f467", "8621b927-465f-4495-b52b-689206c6ba02"


def picture(version, data):
    return Artifact(version=version, media_type="image/webp", width=4, height=2, data=data)


@pytest.fixture()
def shelf(tmp_path):
    return Shelf(tmp_path, "nrixprxnwlwttkzk")


def test_pair_is_read_back_with_its_pictures_by_another_shelf(shelf, tmp_path):
    written = shelf.write_pair(
        QUERY, CANDIDATE, {"status": "ready", "host": {"a": 1}}, [picture("matches", b"M"), picture("clean", b"C")]
    )
    other = Shelf(tmp_path, "nrixprxnwlwttkzk")
    assert other.read_pair(QUERY, CANDIDATE) == written and written["host"]["a"] == 1
    assert other.picture(QUERY, CANDIDATE, "matches") == (b"M", "image/webp")
    assert other.picture(QUERY, CANDIDATE, "heatmask") is None
    assert other.has_pictures(written, QUERY, CANDIDATE)
    assert Shelf(tmp_path, "other").read_pair(QUERY, CANDIDATE) is None


def test_replaced_pictures_go_and_foreign_files_stay(shelf, tmp_path):
    shelf.write_pair(QUERY, CANDIDATE, {}, [picture("matches", b"old")])
    folder = next(tmp_path.rglob("pairx_explanation.json")).parent
    (folder / "version_matches_orient_horizontal.png").write_bytes(b"host")
    shelf.write_pair(QUERY, CANDIDATE, {}, [picture("matches", b"new")])
    assert len(list(folder.glob("pairx_*_matches.webp"))) == 1
    assert shelf.picture(QUERY, CANDIDATE, "matches")[0] == b"new"
    assert (folder / "version_matches_orient_horizontal.png").read_bytes() == b"host"


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1]", b"\xff"], ids=["empty", "cut", "list", "bytes"])
def test_damaged_record_counts_as_missing(shelf, tmp_path, content):
    shelf.write_pair(QUERY, CANDIDATE, {}, [])
    next(tmp_path.rglob("pairx_explanation.json")).write_bytes(content)
    assert shelf.read_pair(QUERY, CANDIDATE) is None


def test_nan_is_refused_and_what_was_there_stays(shelf):
    shelf.write_pair(QUERY, CANDIDATE, {"n": 1}, [picture("clean", b"1")])
    with pytest.raises(StoreError):
        shelf.write_pair(QUERY, CANDIDATE, {"n": math.nan}, [picture("clean", b"2")])
    assert shelf.read_pair(QUERY, CANDIDATE)["n"] == 1
    assert shelf.picture(QUERY, CANDIDATE, "clean")[0] == b"1"


@pytest.mark.parametrize("reference", ["", "..", "a/b", "a b", "x" * 65, "a\n"])
def test_reference_that_is_no_hash_is_refused(tmp_path, reference):
    with pytest.raises(StoreError, match="no reference"):
        Shelf(tmp_path, reference)


@pytest.mark.parametrize("text", ["", "../x", "3f371af8"])
def test_annotation_that_is_no_uuid_is_refused(shelf, text):
    with pytest.raises(StoreError, match="no annotation UUID"):
        shelf.read_pair(QUERY, text)
    with pytest.raises(StoreError, match="no annotation UUID"):
        shelf.read_query(text)


def test_record_names_only_its_own_pictures(shelf, tmp_path):
    (tmp_path / "secret.webp").write_bytes(b"secret")
    record = shelf.write_pair(QUERY, CANDIDATE, {}, [])
    for name in ("../../../../secret.webp", "/etc/passwd", "pairx_0123456789ab_clean.svg"):
        record["host"]["files"] = {"clean": name}
        assert shelf.picture_of(record, QUERY, CANDIDATE, "clean") is None


def test_threads_that_write_one_pair_leave_a_whole_record(shelf):
    def write(n):
        for _ in range(5):
            shelf.write_pair(QUERY, CANDIDATE, {"n": n, "text": "x" * 5000}, [picture("clean", b"same")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.read_pair(QUERY, CANDIDATE)["text"] == "x" * 5000
    assert shelf.picture(QUERY, CANDIDATE, "clean")[0] == b"same"


def test_candidates_with_a_record_are_listed(shelf):
    assert shelf.candidates(QUERY) == []
    shelf.write_pair(QUERY, CANDIDATE, {}, [])
    shelf.write_pair(QUERY, QUERY, {}, [])
    assert shelf.candidates(QUERY) == [QUERY, CANDIDATE]


def test_note_of_a_plain_picture_is_taken_once(shelf):
    shelf.write_pair(QUERY, CANDIDATE, {}, [])
    assert not shelf.take_note(QUERY, CANDIDATE)
    shelf.note_plain(QUERY, CANDIDATE)
    assert shelf.take_note(QUERY, CANDIDATE) and not shelf.take_note(QUERY, CANDIDATE)


def test_query_is_read_back(shelf):
    assert shelf.read_query(QUERY) is None and not shelf.exists()
    shelf.write_query(QUERY, {"top_k": 3})
    assert shelf.read_query(QUERY) == {"top_k": 3} and shelf.exists()


def test_plain_json_is_made_of_dicts_and_lists_alone():
    from pairx_hooks.values import frozen_json

    plain = plain_json(frozen_json({"a": (1, 2), "b": {"c": None}}, "x"))
    assert plain == {"a": [1, 2], "b": {"c": None}}
    assert type(plain) is dict and type(plain["a"]) is list and type(plain["b"]) is dict
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    "arguments, version",
    [
        ({"draw_fmatches": True, "draw_fmatch": True, "show_matches": True, "heatmask": False}, "matches"),
        ({"draw_fmatches": True, "draw_fmatch": False, "show_matches": False, "heatmask": True}, "heatmask"),
        ({"draw_fmatches": True, "draw_fmatch": False, "show_matches": False, "heatmask": False}, "clean"),
    ],
)
def test_version_is_read_from_the_arguments_of_the_hosts_renderer(arguments, version):
    assert version_of(arguments) == version


def test_best_candidates_leave_out_what_is_no_number_and_keep_the_order_of_ties():
    scores = [0.5, math.nan, 0.9, 0.5, -math.inf, 0.0]
    assert best_candidates(range(6), scores, 10) == [2, 0, 3, 5]
    assert best_candidates(range(6), scores, 2) == [2, 0]


@pytest.mark.parametrize(
    "url, name",
    [("https://x.org/a/miew_id.msv3.bin", "miew_id.msv3"), ("", "MiewId"), (None, "MiewId"), ("/a/b/", "b")],
)
def test_model_id_is_the_name_of_its_file(url, name):
    assert model_id_of(url) == name


def record_of(ratio):
    calibration = {"status": "calibrated", "likelihood_ratio": ratio}
    return {"status": "ready", "plausibility": {"irm_rob": 0.5, "match_coverage": 0.5, "calibration": calibration}}


def test_plausibility_is_the_calibrated_likelihood_ratio_as_a_share():
    reranking = Reranking()
    assert plausibility_of(record_of(4.0), reranking) == pytest.approx(0.8)
    assert plausibility_of(record_of(1.0), reranking) == pytest.approx(0.5)
    assert plausibility_of(record_of(0.25), reranking) == pytest.approx(0.2)


def test_pair_without_figures_keeps_its_score_whatever_the_calibration():
    assert plausibility_of({"status": "failed"}, Reranking()) is None
    assert plausibility_of({"status": "ready"}, Reranking()) is None
    unjudged = {"status": "ready", "plausibility": {"calibration": {"status": "not_assessed"}}}
    assert plausibility_of(unjudged, Reranking()) is None


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
        plausibility_of({"status": "ready", "plausibility": figures}, Reranking())


def test_shortlist_is_mixed_the_rest_is_scaled_and_what_failed_keeps_its_score():
    changed = reranked_scores([0.9, 0.8, 0.7, 0.6], {0: 0.0, 1: 1.0, 2: None}, Reranking(alpha=0.8))
    assert changed == pytest.approx([0.72, 0.84, 0.7, 0.48])


def test_nothing_judged_changes_no_score():
    assert reranked_scores([0.9, 0.1], {0: None, 1: None}, Reranking()) == [0.9, 0.1]
    assert reranked_scores([0.9, 0.1], {}, Reranking()) == [0.9, 0.1]


@pytest.mark.parametrize("name", ["calibration", "layer_choice"])
def test_key_of_a_record_knows_what_is_in_a_file_and_not_where_it_lies(tmp_path, name):
    def key(path):
        return key_of(Settings(**{name: str(path)}), explainer_version="1", model="m", chips=("a", "b"))

    here, there = tmp_path / "here", tmp_path / "there"
    here.write_text("x")
    there.write_text("x")
    before = key(here)
    assert key(there) == before
    here.write_text("y")
    assert key(here) != before


@pytest.mark.parametrize("version", ["../../escaped", "a/b", "", "x" * 40, "with space"])
def test_picture_of_a_strange_version_is_refused_and_nothing_is_written(shelf, tmp_path, version):
    picture = Artifact(version=version, media_type="image/png", width=1, height=1, data=b"x")
    query = "00000000-0000-0000-0000-000000000001"
    with pytest.raises(StoreError, match="no version"):
        shelf.write_pair(query, query, {"status": "ready"}, [picture])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
