"""Chips out of the host's own tensors."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.errors import ChipError
from pairx_plugin.hosts.wildbook.inputs import host_chip, hosted_model
from pairx_plugin.models.resizing import resize_pixels

SIZE = (40, 56)
MEAN = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1) * 255
SPREAD = 1 / (torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1) * 255)


def host_tensor(bgr):
    """What the host makes of a chip: blue first, normalised with the values for red first."""
    return (torch.from_numpy(bgr.transpose(2, 0, 1).astype(np.float32)) - MEAN) * SPREAD


class Controller:
    """The getters of the host's controller that a chip needs."""

    def __init__(self, viewpoint="left", theta=0.3, size=(100, 60)):
        self.viewpoint, self.theta, self.size = viewpoint, theta, size

    def get_annot_bboxes(self, aid):
        return (10, 20, *self.size)

    def get_annot_thetas(self, aid):
        return self.theta

    def get_annot_gids(self, aid):
        return 1

    def get_image_sizes(self, gid):
        return (300, 200)

    def get_annot_image_paths(self, aid):
        return "photo.jpg"

    def get_annot_viewpoints(self, aid):
        return self.viewpoint


def plugin_with(tensor):
    return SimpleNamespace(_load_data=lambda ibs, aids, config, batch_size: ([(tensor, "name", "path")], None))


@pytest.fixture()
def config():
    return SimpleNamespace(
        data=SimpleNamespace(image_size=list(SIZE)), test=SimpleNamespace(fliplr=True, fliplr_view=["right"])
    )


@pytest.fixture()
def model(config):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return hosted_model(network, config, "toy")


@pytest.fixture()
def bgr():
    return resize_pixels(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8), SIZE)


def test_chip_shows_red_as_red_and_the_network_gets_the_very_tensor(model, config, bgr):
    tensor = host_tensor(bgr)
    chip = host_chip(plugin_with(tensor[None]), Controller(size=(56, 40)), 7, config, model)
    assert (chip.pixels == bgr[..., ::-1]).all()
    assert torch.equal(model.embedding_model.tensor([chip.pixels])[0], tensor)


SHAPES = {
    "wide": ((112, 40), (112, 40)),
    "high": ((20, 60), (56, 168)),
    "as the tensor": ((2800, 2000), (56, 40)),
    "beyond the limit": ((4000, 40), (1024, 10)),
    "thin": ((4000, 2), (1024, 8)),
    "no box": ((0, 0), (56, 40)),
}


@pytest.mark.parametrize("box, size", SHAPES.values(), ids=SHAPES)
def test_chip_has_the_proportions_of_its_box_and_the_network_the_very_tensor(model, config, bgr, box, size):
    tensor = host_tensor(bgr)
    chip = host_chip(plugin_with(tensor[None]), Controller(size=box), 7, config, model)
    assert (chip.width, chip.height) == size
    assert torch.equal(model.embedding_model.tensor([chip.pixels])[0], tensor)


def test_place_in_the_stretched_chip_is_the_same_share_of_the_tensor(model, config):
    bgr = np.zeros((*SIZE, 3), np.uint8)
    bgr[10:14, 42:49] = 255  # a mark whose middle lies at 0.8125 of the width and 0.3 of the height
    chip = host_chip(plugin_with(host_tensor(bgr)[None]), Controller(size=(300, 100)), 7, config, model)
    rows, columns = np.nonzero(chip.pixels[..., 0] > 127)
    assert (columns.mean() + 0.5) / chip.width == pytest.approx(45.5 / 56, abs=0.005)
    assert (rows.mean() + 0.5) / chip.height == pytest.approx(12 / 40, abs=0.005)


def test_changed_pixels_are_normalised_as_the_host_does(model, config, bgr):
    chip = host_chip(plugin_with(host_tensor(bgr)[None]), Controller(size=(56, 40)), 7, config, model)
    changed = np.array(chip.pixels)
    changed[:10] = 0
    made = model.embedding_model.tensor([changed])[0]
    assert torch.allclose(made, host_tensor(np.ascontiguousarray(changed[..., ::-1])), atol=1e-5)


def test_stretched_chip_with_a_part_hidden_is_the_hosts_tensor_everywhere_else(model, config, bgr):
    tensor = host_tensor(bgr)
    chip = host_chip(plugin_with(tensor[None]), Controller(size=(112, 40)), 7, config, model)
    changed = np.array(chip.pixels)
    changed[:, :30] = 7
    made = model.embedding_model.tensor([changed])[0]
    assert torch.equal(made[:, :, 16:], tensor[:, :, 16:])  # 30 of 112 columns are 15 of 56
    hidden = host_tensor(np.full((*SIZE, 3), 7, np.uint8))
    assert torch.allclose(made[:, :, :14], hidden[:, :, :14], atol=1e-5)
    assert not torch.equal(made[:, :, :14], tensor[:, :, :14])


def test_picture_of_another_animal_owes_nothing_to_a_kept_one(model, config, bgr):
    host_chip(plugin_with(host_tensor(bgr)[None]), Controller(size=(56, 40)), 7, config, model)
    other = np.random.default_rng(5).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    made = model.embedding_model.tensor([other])[0]
    assert torch.allclose(made, host_tensor(np.ascontiguousarray(other[..., ::-1])), atol=1e-5)


def test_tensors_live_as_long_as_the_chips_that_show_them(model, config, bgr):
    loader = plugin_with(host_tensor(bgr)[None])
    chips = [host_chip(loader, Controller(size=(56 + n, 40)), 7, config, model) for n in range(40)]
    twin = host_chip(loader, Controller(size=(56, 40)), 7, config, model)
    assert len(model.tensors) == 40
    for chip in chips:
        assert torch.equal(model.embedding_model.tensor([chip.pixels])[0], host_tensor(bgr))
    del chips, chip
    gc.collect()
    assert len(model.tensors) == 1
    assert torch.equal(model.embedding_model.tensor([twin.pixels])[0], host_tensor(bgr))
    del twin
    gc.collect()
    assert len(model.tensors) == 0


def test_chip_knows_its_place_in_the_photograph_mirrored_or_not(model, config, bgr):
    loader = plugin_with(host_tensor(bgr)[None])
    plain = host_chip(loader, Controller("left"), 7, config, model)
    mirrored = host_chip(loader, Controller("right"), 7, config, model)
    assert plain.image_points([[0.5, 0.5]]) == pytest.approx(np.array([[60.0, 50.0]]))
    assert mirrored.image_points([[0.2, 0.7]]) == pytest.approx(plain.image_points([[0.8, 0.7]]))
    assert plain.warnings == () and mirrored.warnings[0].code == "CHIP_MIRRORED"
    assert plain.image_size == (300, 200) and plain.bbox == (10.0, 20.0, 100.0, 60.0) and plain.theta == 0.3


@pytest.mark.parametrize("theta", [None, float("nan")])
def test_unknown_turn_is_none(model, config, bgr, theta):
    chip = host_chip(plugin_with(host_tensor(bgr)[None]), Controller(theta=theta), 7, config, model)
    assert chip.theta == 0.0 and [item.field for item in chip.warnings] == ["theta"]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1, 1, *SIZE),
        torch.zeros(2, 3, *SIZE),
        torch.full((1, 3, *SIZE), 0.123),
        torch.full((1, 3, *SIZE), float("nan")),
        torch.full((1, 3, *SIZE), 50.0),
    ],
    ids=["grey", "two", "no level", "nan", "too bright"],
)
def test_tensor_that_shows_no_picture_is_refused(model, config, tensor):
    with pytest.raises(ChipError, match="annotation 7"):
        host_chip(plugin_with(tensor), Controller(), 7, config, model)


def test_fingerprint_is_the_same_for_every_object_made_of_a_network(config):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    one, other = (hosted_model(network, config, "toy").embedding_model.fingerprint() for _ in range(2))
    assert one == other
