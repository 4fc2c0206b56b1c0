"""Explanations on disk beside the host's pictures."""

import json
import math
import os
import subprocess
import sys
import threading

import pytest

from pairx_hooks import Artifact
from pairx_plugin.atomic_files import write_whole
from pairx_plugin.errors import StoreError
from pairx_plugin.hosts.wildbook.annotations import best_candidates, model_id_of
from pairx_plugin.hosts.wildbook.pictures import version_of
from pairx_plugin.hosts.wildbook.records import key_of
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
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    shelf.write_pair(QUERY, CANDIDATE, {}, [picture("matches", b"new")])
    assert len(list(folder.glob("pairx_*_matches.webp"))) == 1
    assert shelf.picture(QUERY, CANDIDATE, "matches")[0] == b"new"
    assert (folder / "version_matches_orient_horizontal.png").read_bytes() == b"host"


DAMAGED = {"empty": b"", "cut": b'{"a": 1', "list": b"[1]", "bytes": b"\xff", "nan": b'{"a": NaN}'}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
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


def test_full_disk_leaves_nothing_of_ours_in_the_way_of_the_host(shelf, tmp_path, monkeypatch):
    from pairx_plugin.hosts.wildbook import shelf as room

    before = shelf.write_pair(QUERY, CANDIDATE, {"n": 1}, [picture("clean", b"1"), picture("matches", b"2")])
    there = {path.name for path in tmp_path.rglob("*")}
    written = []

    def until_full(path, data):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write_whole(path, data)

    monkeypatch.setattr(room, "write_whole", until_full)
    with pytest.raises(StoreError, match="make room"):
        shelf.write_pair(QUERY, CANDIDATE, {}, [picture(v, b"1") for v in ("clean", "heatmask", "matches")])
    assert [path.name.split("_")[-1] for path in written] == ["clean.webp", "heatmask.webp"]
    assert {path.name for path in tmp_path.rglob("*")} == there
    assert shelf.has_pictures(before, QUERY, CANDIDATE) and shelf.read_pair(QUERY, CANDIDATE) == before


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


WRITER = """
import sys
from pairx_hooks import Artifact
from pairx_plugin.hosts.wildbook.shelf import Shelf
folder, query, candidate, own = sys.argv[1:]
shelf = Shelf(folder, "r")
print("ready", flush=True)
sys.stdin.readline()
for n in range(60):
    data = f"{own}{n}".encode()
    pictures = [
        Artifact(version=v, media_type="image/png", width=1, height=1, data=data + v.encode())
        for v in ("matches", "heatmask", "clean")
    ]
    shelf.write_pair(query, candidate, {"own": own, "n": n}, pictures)
"""


def test_processes_that_explain_one_pair_differently_leave_a_record_with_all_its_pictures(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path), QUERY, CANDIDATE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([*command, own], **pipes) for own in "ab"]
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for writer in writers:
            writer.stdin.write("\n")
            writer.stdin.flush()
        shelf, n_read = Shelf(tmp_path, "r"), 0
        while any(writer.poll() is None for writer in writers) or n_read == 0:
            record = shelf.read_pair(QUERY, CANDIDATE)
            if record is not None:  # whole, with all its pictures, at every moment
                n_read += 1
                for version in ("matches", "heatmask", "clean"):
                    data, _ = shelf.picture_of(record, QUERY, CANDIDATE, version)
                    assert data == f"{record['own']}{record['n']}{version}".encode()
        assert [writer.wait() for writer in writers] == [0, 0] and n_read > 10
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


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
