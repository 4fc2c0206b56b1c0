"""``pairx_layers = auto``: the stated rule, or what the host's own decisions showed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from pairx_plugin.hosts.wildbook.choose_layer import choose_layer
from pairx_plugin.hosts.wildbook.own_files import layer_choice_file

MODEL_ID = "miew_id.sample"


@pytest.fixture()
def decided(host):
    """The host with reviews of four pairs, and without a choice of a layer before and after."""
    ibs, aids = host.ibs, host.aids
    names = ibs.get_annot_names(aids)
    same = [(a, b) for a in aids for b in aids if a < b and names[aids.index(a)] == names[aids.index(b)]][::3]
    other = [(aids[0], aids[-1])]
    rowids = ibs.add_annotmatch_undirected(*zip(*same, *other))
    ibs.set_annotmatch_evidence_decision(rowids, [1] * len(same) + [0] * len(other))
    host.n_confirmed = len(same)
    yield host
    ibs.delete_annotmatch(ibs._get_all_annotmatch_rowids())
    layer_choice_file(ibs, MODEL_ID).unlink(missing_ok=True)


def choice_of(entry):
    (record,) = entry["pairx"]["explanations"]
    return record["layer_key"], record["provenance"]["layer_choice"]


@pytest.mark.parametrize("option", ["pairx_layers", "pairx_layer_key"])
def test_auto_without_decisions_is_the_layer_that_is_taken_unasked_and_says_so(host, option):
    _, unasked = host.graph(pairx_explain=True, pairx_top_k=1, pairx_layers="")
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1, **{option: "auto"})
    layer, told = choice_of(entry)
    assert layer == unasked["pairx"]["explanations"][0]["layer_key"]
    assert told["rule"] in ("GRID", "MODEL_DEFAULT") and told["asked"] == "auto" and told["layer"] == layer


def test_too_few_individuals_are_refused_in_words(decided):
    from pairx_plugin.errors import SettingsError

    with pytest.raises(SettingsError, match="3 individuals are too few"):
        choose_layer(decided.ibs, decided.plugin, decided.installation.models)
    assert not layer_choice_file(decided.ibs, MODEL_ID).exists()


def test_decisions_of_the_host_choose_the_layer_and_a_new_choice_makes_records_stale(decided, monkeypatch):
    from pairx_plugin import layer_sweep

    monkeypatch.setattr(layer_sweep, "LEAST_INDIVIDUALS", 3)
    layers = ["backbone.blocks.2", "backbone.blocks.3"]
    found, path = choose_layer(decided.ibs, decided.plugin, decided.installation.models, layers=layers)
    assert path == layer_choice_file(decided.ibs, MODEL_ID) and path.is_file()
    assert (found.n_confirmed, found.n_rejected, found.n_individuals) == (decided.n_confirmed, 1, 3)
    for layer in layers:
        dataclasses.replace(found, layer_key=layer, reason="it was told to").write(path)
        _, entry = decided.graph(pairx_explain=True, pairx_top_k=1, pairx_layers="auto")
        chosen, told = choice_of(entry)  # under one reference: the record of the former choice was noticed
        assert (chosen, told["rule"], told["reason"]) == (layer, "CONFIRMED_PAIRS", "it was told to")
    _, entry = decided.graph(pairx_explain=True, pairx_top_k=1, pairx_layers="auto", pairx_layer_choice="none")
    assert choice_of(entry)[1]["rule"] in ("GRID", "MODEL_DEFAULT")
    _, entry = decided.graph(pairx_explain=True, pairx_top_k=1, pairx_layers="auto", pairx_k_lines=3)
    assert choice_of(entry)[1]["file_refused"] == "SETTINGS_DIFFER"


def test_names_count_where_they_are_asked_for(host):
    from pairx_plugin.errors import HostError, SettingsError

    with pytest.raises(HostError, match="--names"):
        choose_layer(host.ibs, host.plugin, host.installation.models)
    with pytest.raises(SettingsError, match="confirmed pairs of 3 individuals"):
        choose_layer(host.ibs, host.plugin, host.installation.models, names=True, layers=["backbone.blocks.3"])


def test_command_makes_no_database_where_there_is_none(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pairx_plugin.hosts.wildbook.choose_layer", "--dbdir", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no database of Wildbook IA" in done.stderr
    assert list(tmp_path.iterdir()) == []
