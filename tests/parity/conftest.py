"""The networks of the goldens, with the same weights on every torch and timm version."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDENS = Path(__file__).parents[2] / "sample_data" / "parity"
MEAN, SPREAD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


class Case:
    """One golden network with its figures."""

    def __init__(self, name: str, wrap) -> None:
        with np.load(GOLDENS / f"{name}.npz") as archive:
            self.figures = {key: archive[key] for key in archive.files}
        self.layers = [str(layer) for layer in self.figures["layers"]]
        self.network = _build(name, wrap)
        state = self.network.state_dict()
        with torch.no_grad():
            for key, values in self.figures.items():
                if key.startswith("bn/"):
                    state[key[3:]].copy_(torch.from_numpy(values))

    def tensor(self, index: int) -> torch.Tensor:
        picture = self.figures[f"image_{index}"]
        return torch.from_numpy(((picture / 255.0 - MEAN) / SPREAD).transpose(2, 0, 1).astype(np.float32))[None]

    def figure(self, *path: str) -> np.ndarray:
        return self.figures["/".join(path)]


def _build(name: str, wrap) -> torch.nn.Module:
    if name == "torchvision_resnet50":
        network = pytest.importorskip("torchvision").models.resnet50(weights=None)
        network.fc = torch.nn.Identity()
    else:
        backbone = pytest.importorskip("timm").create_model(name, pretrained=False)
        features = backbone.num_features
        backbone.reset_classifier(0, "")
        network = wrap(backbone, features)
    _draw_weights(network)
    return network.eval()


@torch.no_grad()
def _draw_weights(network: torch.nn.Module) -> None:
    """One PCG64 stream per tensor, seeded by its name; the last batch norm of each residual block is quiet."""
    state = network.state_dict()
    last_norm: dict[str, str] = {}
    for key in sorted(state):
        if ".bn" in key and key.endswith("weight"):
            last_norm[key.rsplit(".bn", 1)[0]] = key
    quiet = {key for block, key in last_norm.items() if "blocks." in block or "layer" in block}
    for key, tensor in state.items():
        if "running_" in key or "num_batches" in key or key.endswith("pooling.p"):
            continue
        stream = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
        draw = stream.standard_normal(tuple(tensor.shape), dtype=np.float32)
        if tensor.ndim > 1:
            draw *= np.sqrt(2.0 / np.prod(tensor.shape[1:]))
        elif key.endswith("weight"):
            draw = (0.1 if key in quiet else 1.0) * (1.0 + 0.1 * draw)
        else:
            draw *= 0.1
        tensor.copy_(torch.from_numpy(draw))


@pytest.fixture(scope="session", params=["efficientnetv2_rw_t", "torchvision_resnet50"])
def case(request, miewid_shaped) -> Case:
    return Case(request.param, miewid_shaped)
