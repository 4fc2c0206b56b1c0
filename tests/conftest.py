"""Networks and chips that the tests share: seeded, small, with known correspondences."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

torch.set_num_threads(1)


class GeM(nn.Module):
    """Generalised-mean pooling as MiewID has it."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x):
        return nn.functional.avg_pool2d(x.clamp(min=1e-6).pow(self.p), x.shape[-2:]).pow(1.0 / self.p)


class MiewIdShaped(nn.Module):
    """Backbone, generalised-mean pooling, batch-norm neck."""

    def __init__(self, backbone: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone, self.pooling, self.bn = backbone, GeM(), nn.BatchNorm1d(features)

    def forward(self, x):
        return self.bn(self.pooling(self.backbone.forward_features(x)).flatten(1))


def settle(network: nn.Module, seed: int = 0, size: int = 64) -> nn.Module:
    """Draw weights and give every batch norm the statistics of a few textured pictures, so that features are lively."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2.0 / parameter[0].numel()) ** 0.5, generator=generator)
            elif not name.endswith("pooling.p"):
                spread = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(spread * 0.1 + (1.0 if name.endswith("weight") else 0.0))
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.stack([as_tensor(texture(index, size)) for index in range(6)]))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def texture(seed: int, size: int = 64) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture of soft coloured blobs."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 9, 9)).astype(np.float32))
    fine = torch.from_numpy(rng.uniform(-60, 60, (1, 3, 24, 24)).astype(np.float32))
    grown = [nn.functional.interpolate(part, (size, size), mode="bilinear") for part in (coarse, fine)]
    return (grown[0] + grown[1]).clamp(0, 255)[0].permute(1, 2, 0).numpy().astype(np.uint8)


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    """Return a picture as a normalised (3, H, W) float32 tensor."""
    mean, spread = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    return torch.from_numpy(((picture / 255.0 - mean) / spread).transpose(2, 0, 1).astype(np.float32))


def pytest_runtest_setup(item):
    """Start every test, and the fixtures made for it, from one random state: alone, in a file and on every run."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


_LOGGER = logging.getLogger("pairx_plugin")
_LOG_AT_FIRST = _LOGGER.handlers[:], _LOGGER.level, _LOGGER.propagate


@pytest.fixture(autouse=True)
def log_as_it_was():
    """Take back what a command did to the log in this process, run by a test or by a fixture of a whole module."""
    yield
    _LOGGER.handlers[:], _LOGGER.propagate = _LOG_AT_FIRST[0], _LOG_AT_FIRST[2]
    _LOGGER.setLevel(_LOG_AT_FIRST[1])


@pytest.fixture(scope="session")
def miewid_network() -> nn.Module:
    """A small MiewID-shaped network on a timm EfficientNetV2; feature maps of 64 px chips: blocks.1 is 16 x 16."""
    timm = pytest.importorskip("timm")
    backbone = timm.create_model("tf_efficientnetv2_b0", pretrained=False)
    features = backbone.num_features
    backbone.reset_classifier(0, "")
    return settle(MiewIdShaped(backbone, features))


@pytest.fixture(scope="session")
def make_texture():
    """Build a procedural picture from a seed: ``make_texture(seed, size=64)``."""
    return texture


@pytest.fixture(scope="session")
def make_tensor():
    """Turn pictures into one normalised batch."""
    return lambda *pictures: torch.stack([as_tensor(picture) for picture in pictures])


@pytest.fixture(scope="session")
def settled():
    """Give a network lively weights: ``settled(network, seed=0, size=64)``."""
    return settle


@pytest.fixture(scope="session")
def miewid_shaped():
    """Wrap a timm backbone as MiewID does: ``miewid_shaped(backbone, features)``."""
    return MiewIdShaped
