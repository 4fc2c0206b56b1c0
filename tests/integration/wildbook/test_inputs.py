"""What is explained and shown is what the host's network reads: its own tensors, mirrored and turned as they are."""

from __future__ import annotations

import numpy as np
import pytest
from host_views import as_shown, chip_digest, pixels, shown_by_the_hosts_tensor
from PIL import Image

from pairx_plugin.rendering.layout import lay_out
from pairx_plugin.rendering.style import Style


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


def test_points_of_a_record_lie_in_the_box_of_the_photograph(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    (record,) = entry["pairx"]["explanations"]
    for image in record["images"]:
        x, y, width, height = image["bbox"]
        a, b, c, d, e, f = image["chip"]["to_image"]
        assert (a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f) == pytest.approx((x + width / 2, y + height / 2))


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


@pytest.fixture()
def other_annotation(host):
    """An annotation whose viewpoint and angle a test may change."""
    aid = host.aids[1]
    before = host.ibs.get_annot_viewpoints(aid), host.ibs.get_annot_thetas(aid)
    yield aid
    host.ibs.set_annot_viewpoints([aid], [before[0]])
    host.ibs.set_annot_thetas([aid], [before[1]])


@pytest.mark.parametrize("theta", [0.0, 0.6, -2.0])
@pytest.mark.parametrize("viewpoint", ["left", "right"], ids=["as it is", "mirrored"])
def test_chip_is_the_hosts_tensor_and_lies_where_the_host_cut_it(host, other_annotation, viewpoint, theta):
    from pairx_plugin.hosts.wildbook.explaining import load_host_model
    from pairx_plugin.hosts.wildbook.inputs import host_chip

    aid = other_annotation
    host.ibs.set_annot_viewpoints([aid], [viewpoint])
    host.ibs.set_annot_thetas([aid], [theta])
    model = load_host_model(host.plugin, host.installation.models, "striped_horse")
    chip = host_chip(host.plugin, host.ibs, aid, model.config, model.hosted)
    assert (chip.pixels == as_shown(shown_by_the_hosts_tensor(host, aid), host, aid)).all()
    # the host's own matrix leads from the photograph to its chip
    matrix, width, height = host.ibs.depc_annot.get("chips", [aid], ("M", "width", "height"))[0]
    shares = np.array([[0.0, 0.0], [1.0, 0.0], [0.3, 0.9], [0.5, 0.5]])
    cut = np.array([((1 - x) if viewpoint == "right" else x, y) for x, y in shares]) * (width, height)
    homogeneous = np.linalg.inv(matrix) @ np.concatenate([cut, np.ones((len(cut), 1))], axis=1).T
    assert np.abs(chip.image_points(shares) - (homogeneous[:2] / homogeneous[2]).T).max() < 1.5
