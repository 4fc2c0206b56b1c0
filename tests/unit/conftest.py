"""What tests of several rooms share: a small MiewID checkpoint with its files, a tiny network, an empty database."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.models import EmbeddingModel, MiewIdNetwork, ModelCatalogue


class TinyNetwork(nn.Module):
    """Convolution, batch norm, mean: (N, 3, H, W) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.drop(self.bn(self.conv(images))).mean((2, 3))


@pytest.fixture
def tiny_network() -> TinyNetwork:
    """A seeded TinyNetwork in evaluation mode; ``type(tiny_network)()`` makes another."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return TinyNetwork().eval()


@pytest.fixture(scope="session")
def small_backbone() -> str:
    """The smallest EfficientNet of the installed timm, by its name."""
    timm = pytest.importorskip("timm", reason="needs timm")
    return "test_efficientnet" if timm.is_model("test_efficientnet") else "tf_efficientnetv2_b0"


@pytest.fixture(scope="module")
def miewid(small_backbone: str) -> MiewIdNetwork:
    """A seeded MiewID network on the small backbone."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = MiewIdNetwork(small_backbone)
        network.pooling.p.data.fill_(2.5)
        return network.eval()


@pytest.fixture
def state(miewid: MiewIdNetwork) -> dict[str, torch.Tensor]:
    """A copy of the network's tensors, for a test to change and to save."""
    return {key: value.clone() for key, value in miewid.state_dict().items()}


@pytest.fixture
def config(small_backbone: str) -> dict[str, Any]:
    """The network's configuration in MiewID's layout, for a test to change."""
    return {
        "data": {"image_size": [64, 48], "crop_bbox": True},
        "model_params": {"model_name": small_backbone, "use_fc": False},
        "test": {"fliplr": False},
    }


@pytest.fixture
def write_config(config: dict[str, Any]) -> Callable[..., None]:
    """Write a configuration: ``write_config(folder, content=config, name="config.json")``."""

    def write(folder: Path, content: object = config, name: str = "config.json") -> None:
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def save_tensors() -> Callable[[Any, Path], None]:
    """Save tensors as the file's name says, safetensors or torch's own: ``save_tensors(content, path)``."""
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")

    def save(content: Any, path: Path) -> None:
        if path.suffix == ".safetensors":
            safetensors.save_file(content, str(path), metadata={"format": "pt"})  # transformers asks for it
        else:
            torch.save(content, path)

    return save


@pytest.fixture(scope="session")
def same_weights() -> Callable[[EmbeddingModel, dict[str, torch.Tensor]], bool]:
    """Tell whether a loaded model has exactly these tensors: ``same_weights(model, state)``."""

    def same(model: EmbeddingModel, state: dict[str, torch.Tensor]) -> bool:
        own = model.network.state_dict()
        return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)

    return same


@pytest.fixture
def catalogue() -> ModelCatalogue:
    """A catalogue that has loaded nothing yet."""
    return ModelCatalogue()


@pytest.fixture(scope="session")
def chip() -> np.ndarray:
    """A chip of noise, (50, 70, 3) uint8 RGB."""
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that nothing was written to, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/made/reviews.sqlite3"
        return
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")
    server = os.environ.get("PAIRX_TEST_POSTGRESQL", "")  # such as postgresql://user:password@localhost/database
    if not server:
        pytest.skip("needs a PostgreSQL server: set PAIRX_TEST_POSTGRESQL to its URL")
    name = f"pairx_{uuid.uuid4().hex[:12]}"  # a schema of its own, so that tests do not meet
    engine = sqlalchemy.create_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f'CREATE SCHEMA "{name}"'))
    yield f"{server}?options=-csearch_path%3D{name}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f'DROP SCHEMA "{name}" CASCADE'))
    engine.dispose()
