"""The host's network: read once, shared, left as it was, and known by its weights."""

from __future__ import annotations

import os
from pathlib import Path

import host_files


def test_network_is_read_once_and_never_again(host):
    loads = host.loads
    _, cold = host.graph(pairx_explain=True, pairx_top_k=2)
    assert host.loads - loads == 1
    host.graph(pairx_explain=True, pairx_top_k=2)
    host.clear()
    _, warm = host.graph(pairx_explain=True, pairx_top_k=4)
    assert host.loads - loads == 1
    assert warm["pairx"]["n_explained"] == 4


def test_hosts_network_is_left_as_it_was(host):
    host.graph(pairx_explain=True, pairx_top_k=1)
    with host.installation.models.sharing():
        network = host.plugin.read_config_and_load_model("striped_horse")[0]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    host.graph(pairx_explain=True, pairx_top_k=3)
    assert set(network.state_dict()) == set(before)
    assert all((network.state_dict()[name] == value).all() for name, value in before.items())
    assert not network.training
    for module in network.modules():
        assert not module._forward_hooks and not module._backward_hooks and not module._forward_pre_hooks
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_other_weights_in_the_same_file_are_noticed(host):
    import torch

    from pairx_plugin.hosts.wildbook.freshness import staleness

    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    first = entry["pairx"]["explanations"][0]
    file = Path(first["host"]["model_file"]["path"])
    original, times = file.read_bytes(), os.stat(file)
    try:
        weights = torch.load(str(file))
        weights["bn.bias"] = weights["bn.bias"] + 0.5
        torch.save(weights, str(file))
        assert "file" in staleness(first, host.ibs)
        loads = host.loads
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
        assert host.loads - loads == 1
        second = entry["pairx"]["explanations"][0]
        assert second["model_sha256"] != first["model_sha256"] and second["id"] != first["id"]
    finally:
        file.write_bytes(original)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_species_that_share_a_file_share_one_network_each_with_its_own_input(host):
    from pairx_plugin.hosts.wildbook.explaining import load_host_model

    host_files.write_species("spotted_cat", size=160)
    models, loads = host.installation.models, host.loads
    species = ("striped_horse", "spotted_cat", "striped_horse")
    found = [load_host_model(host.plugin, models, name) for name in species]
    assert host.loads - loads == 1
    networks = [item.hosted.embedding_model for item in found]
    assert [item.preprocessing.input_size for item in networks] == [(224, 224), (160, 160), (224, 224)]
    assert networks[0] is networks[2] and networks[0].fingerprint() != networks[1].fingerprint()


def test_queries_of_two_species_that_share_a_file_read_it_once(host):
    host_files.write_species("spotted_cat", size=160)
    aid = host.aids[-1]
    before = host.ibs.get_annot_species_texts(aid)
    host.ibs.add_species(["spotted_cat"], ["spotted_cat"], ["SC"])
    host.ibs.set_annot_species([aid], ["spotted_cat"])
    try:
        assert host.ibs.get_annot_species_texts(aid) == "spotted_cat"
        loads = host.loads
        result, _ = host.graph(qaids=[host.qaid, aid], pairx_explain=True, pairx_top_k=1)
        assert host.loads - loads == 1
        cat = result["cm_dict"][str(host.ibs.get_annot_uuids(aid))]["pairx"]
        chip = cat["explanations"][0]["images"][0]["chip"]
        assert cat["status"] == "ready" and min(chip["width"], chip["height"]) == 160
        host.clear()
        host.graph(qaids=[host.qaid, aid], pairx_explain=True, pairx_top_k=2)
        assert host.loads - loads == 1
    finally:
        host.ibs.set_annot_species([aid], [before])
