"""Pairs that the host's reviewers decided, and the files that were fitted on them."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path

import pytest

from pairx_plugin.hosts.wildbook.decided_pairs import (
    HostPair,
    decided_pairs,
    decisions,
    in_proportion,
    in_turns,
    named_pairs,
)
from pairx_plugin.hosts.wildbook.own_files import calibration_file, files_of, layer_choice_file, with_own_files
from pairx_plugin.settings import Settings


class Host:
    """The host's getters, of a database with five annotations of which one was deleted."""

    const = types.SimpleNamespace(
        EVIDENCE_DECISION=types.SimpleNamespace(
            POSITIVE=1, NEGATIVE=0, INT_TO_CODE={1: "match", 0: "nomatch", 2: "notcomp", 3: "unknown"}
        )
    )
    names = {1: "ana", 2: "ana", 3: "____", 4: "ben", 5: "ana"}
    matches = [(1, 2, 1), (1, 3, 0), (3, 4, None), (2, 4, 2), (4, 9, 1)]  # aids and evidence decisions

    def __init__(self, folder=Path(".")):
        self.folder = folder

    def get_ibsdir(self):
        return str(self.folder)

    def get_valid_aids(self):
        return list(self.names)

    def _get_all_annotmatch_rowids(self):
        return list(range(len(self.matches)))

    def _column(self, place, rowids):
        return [self.matches[rowid][place] for rowid in rowids]

    def get_annotmatch_aid1(self, rowids):
        return self._column(0, rowids)

    def get_annotmatch_aid2(self, rowids):
        return self._column(1, rowids)

    def get_annotmatch_evidence_decision(self, rowids):
        return self._column(2, rowids)

    def get_annot_names(self, aids):
        return [self.names[aid] for aid in aids]

    def get_annot_species_texts(self, aids):
        return ["zebra" for _ in aids]

    def get_annot_bboxes(self, aids):
        return [(0, 0, 10, 10) for _ in aids]

    def __getattr__(self, name):  # every other column is the row id itself
        if not name.startswith("get_"):
            raise AttributeError(name)
        return lambda aids: [0.0 if name == "get_annot_thetas" else aid for aid in aids]


def test_matches_and_no_matches_are_read_and_what_is_undecided_or_gone_is_not():
    found = decided_pairs(Host())
    assert [(pair.aids, pair.same) for pair in found] == [((1, 2), True), ((1, 3), False)]
    assert [(pair.individual, pair.other) for pair in found] == [("ana", "ana"), ("ana", "3")]
    assert found[0].species == "zebra"
    assert decisions(Host()) == {"match": 1, "nomatch": 1, "unreviewed": 1, "notcomp": 1}


def test_database_without_reviews_has_no_pairs():
    host = Host()
    host.matches = []
    assert decided_pairs(host) == [] and decisions(host) == {}


def test_annotations_of_one_name_are_pairs_and_the_unknown_are_not():
    assert [pair.aids for pair in named_pairs(Host())] == [(1, 2), (2, 5)]
    assert all(pair.same for pair in named_pairs(Host()))


def test_individuals_take_turns():
    pairs = some_pairs("aaabbc")
    assert [pair.aids[0] for pair in in_turns(pairs, 4)] == [0, 3, 5, 1]


def test_some_of_the_pairs_are_confirmed_as_often_as_all():
    pairs = some_pairs("aabbccddee") + some_pairs("fghij", same=False)
    found = in_proportion(pairs, 6)
    assert [pair.same for pair in found] == [True] * 4 + [False] * 2
    assert len({pair.individual for pair in found}) == 6
    assert in_proportion(pairs, 15) == pairs


def some_pairs(names, same=True):
    return [
        HostPair(aids=(number, 9), individual=name, other="x", species="s", same=same)
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("model_id", ["miew_id.msv3", "../../etc/passwd", "", "a b", "x" * 400])
def test_files_lie_in_one_folder_of_the_host_whatever_the_network_is_called(tmp_path, model_id):
    for path in (layer_choice_file(Host(tmp_path), model_id), calibration_file(Host(tmp_path), model_id)):
        assert path.parent == tmp_path / "pairx" and not path.name.startswith(".") and len(path.name) < 140


def test_settings_find_the_hosts_own_files_where_they_name_none(tmp_path):
    host, auto = Host(tmp_path), Settings(layers="auto")
    assert with_own_files(auto, host, "net") == auto and files_of(auto) == {}
    (tmp_path / "pairx").mkdir()
    choice, calibration = layer_choice_file(host, "net"), calibration_file(host, "net")
    choice.write_text("{}")
    calibration.write_text("{}")
    found = with_own_files(auto, host, "net")
    assert files_of(found) == {"calibration": str(calibration), "layer_choice": str(choice)}
    assert with_own_files(Settings(), host, "net").layer_choice == ""  # nobody asked for a choice
    assert with_own_files(auto, host, "other") == auto
    named = dataclasses.replace(auto, layer_choice="none", calibration="none")
    assert with_own_files(named, host, "net") == named
