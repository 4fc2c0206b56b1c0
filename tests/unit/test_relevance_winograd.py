"""Convolutions on tiles."""

import pytest
import torch
from torch.nn import functional as F

from pairx_plugin.relevance.arithmetic.scratch import lent, scratch
from pairx_plugin.relevance.arithmetic.winograd import Convolution


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(8)


@pytest.mark.parametrize("size", [(12, 12), (13, 14), (27, 31), (40, 12)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 2), (0, 2)])
def test_tiles_give_what_a_convolution_gives(size, padding):
    x, weight = torch.randn(2, 96, *size), torch.randn(128, 96, 3, 3)
    expected = F.conv2d(x.double(), weight.double(), None, 1, padding)
    found = Convolution(weight)(x, padding)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 3e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("channels", "kernel", "dilation", "dtype"),
    [
        pytest.param((16, 16), 3, (1, 1), torch.float32, id="few channels"),
        pytest.param((96, 96), 5, (1, 1), torch.float32, id="other kernel"),
        pytest.param((96, 96), 3, (2, 2), torch.float32, id="dilated"),
        pytest.param((96, 96), 3, (1, 1), torch.float64, id="other precision"),
    ],
)
def test_what_tiles_do_not_fit_is_pytorch_s_to_the_bit(channels, kernel, dilation, dtype):
    x = torch.randn(1, channels[0], 24, 24, dtype=dtype)
    weight = torch.randn(*channels[::-1], kernel, kernel, dtype=dtype)
    expected = F.conv2d(x, weight, None, 1, (1, 1), dilation)
    assert torch.equal(Convolution(weight, dilation)(x, (1, 1)), expected)


def test_small_maps_and_empty_batches_pass():
    weight = torch.randn(96, 96, 3, 3)
    small = torch.randn(1, 96, 5, 5)
    assert torch.equal(Convolution(weight)(small, (2, 2)), F.conv2d(small, weight, None, 1, 2))
    assert Convolution(weight)(torch.randn(0, 96, 24, 24), (1, 1)).shape == (0, 96, 24, 24)


def test_lent_results_are_overwritten_and_others_are_not():
    convolution = Convolution(torch.randn(96, 96, 3, 3))
    x, other = torch.randn(1, 96, 16, 16), torch.randn(1, 96, 16, 16)
    with scratch():
        own, borrowed = convolution(x, (1, 1)), convolution(x, (1, 1), lend=True)
        before = own.clone()
        assert torch.equal(borrowed, own)
        convolution(other, (1, 1), lend=True)
        assert torch.equal(own, before) and not torch.equal(borrowed, own)


def test_memory_is_lent_by_name_until_the_outermost_context_ends():
    like = torch.zeros(1)
    with scratch():
        first = lent("map", (4, 4), like)
        with scratch():
            assert lent("map", (2, 3), like).data_ptr() == first.data_ptr()
        assert lent("map", (16,), like).data_ptr() == first.data_ptr()
        assert lent("other", (4, 4), like).data_ptr() != first.data_ptr()
        assert lent("map", (4, 4), like.double()).dtype == torch.float64
        assert lent("map", (100,), like).shape == (100,)
    one, two = lent("map", (4, 4), like), lent("map", (4, 4), like)
    assert one.data_ptr() != two.data_ptr()
