"""Products where the library of products is slow."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pairx_plugin.relevance.arithmetic import products
from pairx_plugin.relevance.arithmetic.linear_steps import LinearStep
from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.arithmetic.winograd import Convolution

AMD, INTEL = "vendor_id : AuthenticAMD", "vendor_id : GenuineIntel"


@pytest.fixture
def decide():
    products.are_slow.cache_clear()
    yield products.are_slow
    products.are_slow.cache_clear()


@pytest.mark.parametrize(
    ("library", "processor", "slow"),
    [
        ("Intel(R) Math Kernel Library Version 2020.0.0 Product Build 20191122", AMD, True),
        ("Intel(R) Math Kernel Library Version 2020.0.0 Product Build 20191122", INTEL, False),
        ("Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605", AMD, False),
        ("BLAS_INFO=open", AMD, False),
    ],
)
def test_products_are_slow_where_an_old_mkl_meets_amd(library, processor, slow, decide, monkeypatch):
    monkeypatch.setattr(torch.__config__, "show", lambda: f"PyTorch built with:\n  - {library}\n")
    monkeypatch.setattr(products, "_processor", lambda: processor)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert decide() is slow


@pytest.fixture
def slow(monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("needs oneDNN")
    monkeypatch.setattr(products, "are_slow", lambda: True)
    torch.manual_seed(3)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(1, 0, 1), (3, 1, 1), (3, 2, 2), (5, 0, 1)])
def test_convolutions_are_what_they_are(kernel, padding, dilation):
    x, weight = torch.randn(2, 20, 15, 17), torch.randn(30, 20, kernel, kernel)
    expected = F.conv2d(x.double(), weight.double(), None, 1, padding, dilation)
    found = Convolution(weight, (dilation, dilation))(x, (padding, padding))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("corners", [None, ((3, 2),)], ids=["whole maps", "a part"])
def test_pointwise_steps_go_both_ways(corners):
    step, weight = LinearStep(nn.Conv2d(12, 25, 1)), torch.randn(25, 12, 1, 1)
    x, offset = torch.randn(1, 12, 9, 9), torch.randn(25)
    output = step.forward(x, weight, None)
    expected = (output + F.conv2d(x, weight.abs(), offset)) / 2
    assert torch.allclose(step.mean_with(output, x, weight.abs(), offset), expected, atol=1e-5)
    size = (9, 9) if corners is None else (4, 5)
    upper = Patch(torch.randn(1, 25, *size), Images((0,), 1), corners)
    (found,) = step.transposed(upper, weight, x)
    assert torch.allclose(found, F.conv_transpose2d(upper.values, weight), atol=1e-5)
