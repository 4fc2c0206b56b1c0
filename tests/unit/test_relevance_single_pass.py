"""Loops that do in one pass what PyTorch does in several, and PyTorch in their place."""

import logging
import sys

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.arithmetic import single_pass
from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.arithmetic.single_pass import by_sign, magnitudes
from pairx_plugin.relevance.arithmetic.winograd import Convolution
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.rules.linear import ZPlus

LAYER = "backbone.blocks.1"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


@pytest.fixture(params=["loops", "PyTorch"])
def either(request, monkeypatch):
    if request.param == "loops":
        pytest.importorskip("numba")
        assert single_pass._loops() is not None
    else:
        monkeypatch.setattr(single_pass, "_loops", lambda: None)
    return request.param


def inside(*shape):
    """Return a part of a larger map, whose rows do not follow one another."""
    return torch.randn(*shape[:-2], shape[-2] + 5, shape[-1] + 3)[..., 2:-3, 1:-2]


@pytest.mark.parametrize(
    ("up", "x"),
    [
        pytest.param(torch.Size((1, 7, 5, 9)), torch.Size((1, 7, 5, 9)), id="a map"),
        pytest.param(torch.Size((3, 7, 5, 9)), torch.Size((1, 7, 5, 9)), id="several seeds of one image"),
        pytest.param(torch.Size((2, 6, 11)), torch.Size((2, 6, 11)), id="tokens"),
        pytest.param(torch.Size((2, 11)), torch.Size((1, 11)), id="embeddings"),
        pytest.param(torch.Size((1, 4, 0, 6)), torch.Size((1, 4, 0, 6)), id="nothing"),
    ],
)
@pytest.mark.parametrize("make", [torch.randn, inside], ids=["whole", "part"])
@pytest.mark.usefixtures("either")
def test_parts_meet_inputs_of_their_sign(up, x, make):
    if make is inside and len(up) == 2:
        up, x = (1, *up), (1, *x)
    raised, lowered, inputs = make(*up), make(*up), make(*x)
    expected = torch.where(inputs > 0, raised, lowered).double() * inputs.double()
    assert torch.allclose(by_sign(raised, lowered, inputs).double(), expected, atol=1e-6)


@pytest.mark.usefixtures("either")
def test_maps_in_any_order_of_memory_are_read_right():
    raised, lowered, x = (torch.randn(2, 6, 5, 7).to(memory_format=torch.channels_last) for _ in range(3))
    expected = torch.where(x > 0, raised, lowered) * x
    assert torch.allclose(by_sign(raised, lowered, x), expected, atol=1e-6)
    by_row, by_column = magnitudes(x)
    assert torch.allclose(torch.from_numpy(by_row), x.abs().sum((1, 3)), rtol=1e-5)
    assert torch.allclose(torch.from_numpy(by_column), x.abs().sum((1, 2)), rtol=1e-5)


@pytest.mark.usefixtures("either")
def test_other_numbers_than_float32_keep_their_precision():
    raised, lowered, x = (torch.randn(1, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    assert torch.equal(by_sign(raised, lowered, x), torch.where(x > 0, raised, lowered) * x)


def by_channels(patch, x, module, zero_bias):
    """Return z-plus written out, in float64: relevance of the whole input."""
    weight, x = module.weight.double(), x.double()
    step = dict(stride=1, padding=module.padding, groups=module.groups)
    conv = nn.functional.conv2d
    below = conv(x.clamp(max=0), weight.clamp(max=0), None, **step)
    denominator = conv(x.clamp(min=0), weight.clamp(min=0), None, **step) + below + 1e-6
    if module.bias is not None and not zero_bias:
        denominator += module.bias.double().clamp(min=0)[:, None, None]
    shares = patch.whole(denominator.shape[2:]).double() / denominator
    back = nn.functional.conv_transpose2d
    raised, lowered = (back(shares, part, None, **step) for part in (weight.clamp(min=0), weight.clamp(max=0)))
    return x.clamp(min=0) * raised + x.clamp(max=0) * lowered


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (1, 3), (4, 2)], ids=str)
@pytest.mark.parametrize(
    ("corners", "size"),
    [
        pytest.param(None, None, id="whole maps"),
        pytest.param([(3, 4)], (4, 3), id="inside"),
        pytest.param([(0, 0)], (2, 5), id="corner"),
        pytest.param([(9, 10)], (2, 2), id="other corner"),
        pytest.param([(0, 3)], None, id="over the whole height"),
        pytest.param([(0, 0), (5, 6)], (3, 3), id="two seeds"),
    ],
)
@pytest.mark.parametrize("bias", ["none", "counted", "left out"])
def test_relevance_passes_single_channels_as_z_plus_says(kernel, corners, size, bias, either):
    module = nn.Conv2d(6, 6, kernel, groups=6, padding=tuple(k // 2 for k in kernel), bias=bias != "none")
    nn.init.normal_(module.weight)
    rule = ZPlus(module, module.weight.detach(), module.bias if module.bias is None else module.bias.detach())
    rule.zero_bias = bias == "left out"
    x = torch.randn(1, 6, 12, 13)
    with torch.no_grad():
        kept = rule.keep((x,), rule.run(x))
        height, width = rule.run(x).shape[2:]
        if corners is None:
            patch = Patch(torch.rand(2, 6, height, width), Images((0, 0), 1))
        else:
            rows, cols = size or (height, 4)
            corners = [(min(row, height - rows), min(col, width - cols)) for row, col in corners]
            patch = Patch(torch.rand(len(corners), 6, rows, cols), Images((0,) * len(corners), 1), tuple(corners))
        (lower,) = rule.propagate(patch, kept)
        expected = by_channels(patch, x, module, rule.zero_bias)
    assert lower.whole((12, 13)).shape == expected.shape
    error = {"loops": 1e-5, "PyTorch": 3e-4}[either]  # denominators of PyTorch's way are a difference; the loops' a sum
    assert (lower.whole((12, 13)) - expected).abs().max() < error * expected.abs().max()


@pytest.mark.parametrize("size", [(12, 12), (25, 31), (70, 13)])
@pytest.mark.usefixtures("either")
def test_convolutions_on_tiles_are_convolutions(size):
    x, weight = torch.randn(2, 96, *size), torch.randn(100, 96, 3, 3)
    expected = nn.functional.conv2d(x.double(), weight.double(), None, 1, (2, 1))
    assert (Convolution(weight)(x, (2, 1)) - expected).abs().max() < 3e-5 * expected.abs().max()


def relevance_of(network, images):
    encoded = RelevanceModel(network).forward(images, [LAYER])
    torch.manual_seed(1)
    relevance = encoded.at_layers(torch.rand(2, encoded.embedding.shape[1]), [0, 1], [LAYER])
    return relevance[LAYER], encoded.at_pixels(LAYER, [(1, 2), (0, 0)], [0, 1])[0]


def test_a_network_s_relevance_is_the_same_without_numba(miewid_network, make_tensor, make_texture, monkeypatch):
    pytest.importorskip("numba")
    images = make_tensor(make_texture(21), make_texture(22))
    fast = relevance_of(miewid_network, images)
    monkeypatch.setattr(single_pass, "_loops", lambda: None)
    for found, expected in zip(fast, relevance_of(miewid_network, images)):
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.fixture
def fresh_search():
    single_pass._loops.cache_clear()
    yield
    single_pass._loops.cache_clear()


@pytest.mark.usefixtures("fresh_search")
def test_numba_may_be_missing(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert single_pass.loops_for(torch.zeros(1)) is None
    assert not caplog.records


@pytest.mark.usefixtures("fresh_search")
def test_a_numba_that_cannot_compile_is_done_without_and_said(monkeypatch, caplog):
    pytest.importorskip("numba")

    class Broken:
        def __getattr__(self, name):
            raise OSError("libllvm is not there")

    monkeypatch.setitem(sys.modules, "numba", Broken())
    with caplog.at_level(logging.WARNING):
        assert single_pass.loops_for(torch.zeros(1)) is None
    assert "libllvm is not there" in caplog.text


@pytest.mark.usefixtures("fresh_search")
def test_loops_that_numba_was_told_not_to_compile_are_not_used(monkeypatch):
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert single_pass.loops_for(torch.zeros(1)) is None
