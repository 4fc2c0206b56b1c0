"""What a query with the flag on gives: pictures, records, counted loads, and what survives."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairx_plugin.rendering.layout import lay_out
from pairx_plugin.rendering.style import Style

VERSIONS = ("matches", "heatmask", "clean")


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def shown_by_the_hosts_tensor(host, aid):
    """The host's own input tensor as RGB pixels, undone by hand: blue first, normalised as if red came first."""
    config = host.plugin.read_config_and_load_model(host.ibs.get_annot_species_texts(aid))[1]
    tensor = next(iter(host.plugin._load_data(host.ibs, [aid], config, batch_size=1)[0]))[0][0].numpy()
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    levels = np.rint((tensor * std + mean) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])


def as_shown(square, host, aid):
    """The network's square in the proportions of the annotation's box, by hand."""
    _, _, width, height = host.ibs.get_annot_bboxes(aid)
    rows, columns = square.shape[:2]
    scale = min(max(columns / width, rows / height), 1024 / max(width, height))
    size = round(width * scale), round(height * scale)
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))


def chip_digest(picture):
    digest = hashlib.sha256(f"{picture.shape[0]}x{picture.shape[1]}x3 uint8 RGB\n".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def counting(monkeypatch):
    """Count how many pairs the explainer works on."""
    from pairx_plugin.explainers.pairx import PairXSession

    explained = []
    steps = PairXSession.steps

    def counted(self, candidates, stop):
        explained.extend(candidates)
        return steps(self, candidates, stop)

    monkeypatch.setattr(PairXSession, "steps", counted)
    return explained


def test_three_versions_are_three_pictures_made_once(host, monkeypatch):
    explained = counting(monkeypatch)
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    assert len(explained) == 2
    for annot_uuid in host.best(now.entry)[:2]:
        matches, heatmask, clean = (pixels(now.thumbs[host.aid(annot_uuid), version]) for version in VERSIONS)
        photographs = clean.shape[0]  # the others have a legend below
        for one, other in ((matches, heatmask), (matches, clean), (heatmask, clean)):
            assert np.abs(one[:photographs].astype(int) - other[:photographs]).mean() > 3


def test_clean_picture_shows_the_hosts_own_input_and_the_record_names_it(host):
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.best(now.entry)[0]
    (record,) = now.entry["pairx"]["explanations"]
    aids = host.qaid, host.aid(best)
    inputs = [as_shown(shown_by_the_hosts_tensor(host, aid), host, aid) for aid in aids]
    assert [image["chip"]["sha256"] for image in record["images"]] == [chip_digest(item) for item in inputs]
    for image, aid in zip(record["images"], aids):
        _, _, width, height = host.ibs.get_annot_bboxes(aid)
        assert image["chip"]["width"] / image["chip"]["height"] == pytest.approx(width / height, rel=0.02)
    clean = pixels(now.thumbs[host.aid(best), "clean"])
    layout = lay_out(inputs[0].shape[:2], inputs[1].shape[:2], Style())
    for box, saw in zip((layout.box_0, layout.box_1), inputs):
        shown = clean[box.window]
        size = shown.shape[1], shown.shape[0]
        enlarged = np.array(Image.fromarray(saw).resize(size, Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(enlarged - shown).mean() < 4  # WebP and JPEG; with red and blue swapped it is above 20
        assert np.abs(enlarged[..., ::-1] - shown).mean() > 8


def test_network_is_handed_the_hosts_own_tensor_bit_for_bit(host, monkeypatch):
    import torch

    from pairx_plugin.relevance.sides import Side

    handed = []
    side = Side.__init__

    def noted(self, relevance_model, tensor, *args, **kwargs):
        handed.append(tensor.clone())
        side(self, relevance_model, tensor, *args, **kwargs)

    monkeypatch.setattr(Side, "__init__", noted)
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    config = host.plugin.read_config_and_load_model("striped_horse")[1]
    assert len(handed) == 2
    for tensor, aid in zip(handed, (host.qaid, host.aid(host.best(entry)[0]))):
        own = next(iter(host.plugin._load_data(host.ibs, [aid], config, batch_size=1)[0]))[0]
        assert torch.equal(tensor, own.float())


def test_only_the_best_are_explained_and_the_rest_are_plain(host):
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    best = host.best(now.entry)
    records = now.entry["pairx"]["explanations"]
    assert [record["host"]["dannot_uuid"] for record in records] == best[:2]
    assert [record["rank"] for record in records] == [1, 2]
    assert all(flag is True for flag in now.entry["dannot_extern_list"])
    for annot_uuid in best[2:]:
        for version in VERSIONS:
            key = host.aid(annot_uuid), version
            assert now.thumbs[key] == host.before.thumbs[key]
    none = host.ask(pairx_explain=True, pairx_top_k=0)
    assert none.thumbs == host.before.thumbs and none.entry["pairx"]["explanations"] == []


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


def test_record_has_the_schema_and_the_hosts_facts_and_is_strict_json(host, encoded):
    result, entry = host.graph(pairx_explain=True, pairx_top_k=2)
    answer = encoded(entry["pairx"])
    assert answer["schema"] == "pairx.wildbook/1" and answer["status"] == "ready"
    assert answer["extern_reference"] == entry["dannot_extern_reference"]
    record = answer["explanations"][0]
    assert record["schema"] == "pairx.explanation/1" and record["status"] == "ready"
    assert record["id"].startswith("sha256:") and record["algorithm"] == "pairx"
    assert record["score"] == max(entry["annot_score_list"]) and record["score_scale"] == "half_cosine"
    assert abs((1 + record["similarity"]) / 2 - record["score"]) < 1e-5
    assert record["ranked_by"]["same_model"] is True and record["model_id"] == "miew_id.sample"
    assert record["images"][0]["annotation_id"] == host.query_uuid
    assert record["num_matches"] > 20 and len(record["matches"]) == 20
    assert {asset["version"] for asset in record["assets"]} == set(VERSIONS)
    assert record["warnings"] == [] and record["errors"] == []
    match = host.ibs.query_chips(
        [host.qaid], host.aids, cfgdict={"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": 2}
    )[0]
    assert [item["id"] for item in match.pairx["explanations"]] == [item["id"] for item in answer["explanations"]]
    encoded(match.pairx)


def test_points_of_a_record_lie_in_the_box_of_the_photograph(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    (record,) = entry["pairx"]["explanations"]
    for image in record["images"]:
        x, y, width, height = image["bbox"]
        a, b, c, d, e, f = image["chip"]["to_image"]
        assert (a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f) == pytest.approx((x + width / 2, y + height / 2))


def test_kept_explanations_are_used_again_without_work(host, monkeypatch):
    explained = counting(monkeypatch)
    first = host.graph(pairx_explain=True, pairx_top_k=2)[1]["pairx"]
    again = host.graph(pairx_explain=True, pairx_top_k=2)[1]["pairx"]
    assert len(explained) == 2
    assert [item["created"] for item in again["explanations"]] == [item["created"] for item in first["explanations"]]


def test_pictures_come_back_after_the_host_lost_its_own(host, monkeypatch):
    explained = counting(monkeypatch)
    first = host.ask(pairx_explain=True, pairx_top_k=2)
    for path in Path(host.ibs.get_match_thumbdir()).iterdir():
        path.unlink()
    host.graph(pairx_explain=True, pairx_top_k=2)
    assert host.thumbs() == first.thumbs and len(explained) == 2


def pair_folder(host, entry, rank=1):
    record = entry["pairx"]["explanations"][rank - 1]
    reference = f"qreq_cfgstr_{entry['dannot_extern_reference']}"
    query, candidate = f"qannot_uuid_{host.query_uuid}", f"dannot_uuid_{record['host']['dannot_uuid']}"
    return Path(host.ibs.cachedir) / "query_match" / reference / query / candidate


def test_record_lies_beside_the_hosts_pictures_and_no_half_file_is_left(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    folder = pair_folder(host, entry)
    names = {path.name for path in folder.iterdir()}
    assert {f"version_{version}_orient_horizontal.png" for version in VERSIONS} <= names
    kept = json.loads((folder / "pairx_explanation.json").read_text())
    assert kept == entry["pairx"]["explanations"][0]
    assert set(kept["host"]["files"].values()) < names
    assert not [name for name in names if name.endswith(".part")]


@pytest.mark.parametrize("damage", ["cut off", "picture gone", "gone"])
def test_damaged_record_is_made_again(host, monkeypatch, damage):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    file = pair_folder(host, entry) / "pairx_explanation.json"
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "gone":
        file.unlink()
    else:
        (file.parent / entry["pairx"]["explanations"][0]["host"]["files"]["heatmask"]).unlink()
    explained = counting(monkeypatch)
    _, again = host.graph(pairx_explain=True, pairx_top_k=1)
    assert len(explained) == 1 and again["pairx"]["status"] == "ready"
    assert json.loads(file.read_text())["id"] == entry["pairx"]["explanations"][0]["id"]


def test_changed_box_is_noticed_and_explained_anew_with_new_pictures(host, client):
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.best(now.entry)[0]
    aid = host.aid(best)
    (x, y, width, height) = host.ibs.get_annot_bboxes(aid)
    where = {
        "extern_reference": now.entry["dannot_extern_reference"],
        "query_annot_uuid": host.query_uuid,
        "database_annot_uuid": best,
    }
    assert client.get("/api/pairx/explanation/", query_string=where).json["response"]["stale"] is False
    try:
        host.ibs.set_annot_bboxes([aid], [(x + 20, y + 10, width - 40, height - 20)])
        response = client.get("/api/pairx/explanation/", query_string=where).json["response"]
        assert response["stale"] is True and "candidate" in response["stale_reason"]
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
        (record,) = entry["pairx"]["explanations"]
        assert record["id"] != now.entry["pairx"]["explanations"][0]["id"]
        assert host.thumbs()[aid, "clean"] != now.thumbs[aid, "clean"]
        assert client.get("/api/pairx/explanation/", query_string=where).json["response"]["stale"] is False
        # the host's score still comes from the former box, since it keeps embeddings by annotation alone
        assert [item["code"] for item in record["warnings"]] in ([], ["SCORE_NOT_REPRODUCED"])
    finally:
        host.ibs.set_annot_bboxes([aid], [(x, y, width, height)])


def test_score_of_another_network_is_a_doubt(host):
    embeddings = getattr(host.plugin, "GLOBAL_EMBEDDING_CACHE", None) or host.plugin._embeddings
    kept = embeddings[host.qaid]
    embeddings[host.qaid] = -kept  # as if it came from elsewhere: the worst are the best now
    try:
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    finally:
        embeddings[host.qaid] = kept
    (record,) = entry["pairx"]["explanations"]
    assert [item["code"] for item in record["warnings"]] == ["SCORE_NOT_REPRODUCED"]


def test_candidate_that_is_not_explained_any_more_is_plain_again(host):
    embeddings = getattr(host.plugin, "GLOBAL_EMBEDDING_CACHE", None) or host.plugin._embeddings
    first = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.aid(host.best(first.entry)[0])
    assert first.thumbs[best, "matches"] != host.before.thumbs[best, "matches"]
    kept = embeddings[host.qaid]
    embeddings[host.qaid] = -kept  # the worst are the best now
    try:
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    finally:
        embeddings[host.qaid] = kept
    assert host.aid(host.best(entry)[0]) != best
    thumbs = host.thumbs()
    assert all(thumbs[best, version] == host.before.thumbs[best, version] for version in VERSIONS)
    host.graph(pairx_explain=True, pairx_top_k=1)
    assert host.thumbs()[best, "matches"] == first.thumbs[best, "matches"]


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


def test_mirrored_chips_say_so_and_map_back_to_the_photograph(host):
    right = next(aid for aid in host.aids if host.ibs.get_annot_viewpoints(aid) == "left")
    host.ibs.set_annot_viewpoints([right], ["right"])
    try:
        from pairx_plugin.hosts.wildbook.explaining import load_host_model
        from pairx_plugin.hosts.wildbook.inputs import host_chip

        model = load_host_model(host.plugin, host.installation.models, "striped_horse")
        mirrored = host_chip(host.plugin, host.ibs, right, model.config, model.hosted)
        host.ibs.set_annot_viewpoints([right], ["left"])
        plain = host_chip(host.plugin, host.ibs, right, model.config, model.hosted)
    finally:
        host.ibs.set_annot_viewpoints([right], ["left"])
    assert [item.code for item in mirrored.warnings] == ["CHIP_MIRRORED"] and plain.warnings == ()
    # resizing rounds differently from the other side
    assert np.abs(mirrored.pixels[:, ::-1].astype(int) - plain.pixels).max() <= 2
    shares = np.array([[0.1, 0.3], [0.9, 0.8]])
    opposite = np.stack([1 - shares[:, 0], shares[:, 1]], axis=1)
    assert np.allclose(mirrored.image_points(shares), plain.image_points(opposite))
