"""The fingerprint: equal for equal models, another after every change, and cheap to ask for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.errors import ModelError
from pairx_plugin.models import EmbeddingModel
from pairx_plugin.models import fingerprint as module


def half_scale(chip: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(chip[:8, :8].astype(np.float64)).permute(2, 0, 1) / 510


def test_fingerprint_is_the_same_for_equal_models_and_stable(tiny_network):
    twin = type(tiny_network)().eval()
    twin.load_state_dict(tiny_network.state_dict())
    first = EmbeddingModel(tiny_network).fingerprint()
    assert first.startswith("sha256:") and len(first) == 71
    assert first == EmbeddingModel(twin).fingerprint()


def update_in_place(network: nn.Module) -> None:
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] += 1e-3


def update_behind_the_counter(network: nn.Module) -> None:
    network.conv.weight.data.mul_(1.001)


def swap_behind_the_counter(network: nn.Module) -> None:
    network.conv.weight.data[:2] = network.conv.weight.data[:2].flip(0)


def replace_tensor(network: nn.Module) -> None:
    network.conv.weight = nn.Parameter(network.conv.weight.detach() + 1e-3)


def change_buffer(network: nn.Module) -> None:
    network.bn.running_mean[1] = 0.5


def change_dtype(network: nn.Module) -> None:
    network.double()


def change_stride(network: nn.Module) -> None:
    network.conv.stride = (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        update_in_place, update_behind_the_counter, swap_behind_the_counter, replace_tensor, change_buffer,
        change_dtype, change_stride,
    ],
    ids=lambda change: change.__name__,
)
def test_fingerprint_notices(tiny_network, change):
    model = EmbeddingModel(tiny_network)
    before = model.fingerprint()
    change(tiny_network)
    after = model.fingerprint()
    assert after != before
    assert after == EmbeddingModel(tiny_network).fingerprint()


@pytest.mark.parametrize(
    "settings",
    [{"input_size": (8, 8)}, {"mean": (0.5, 0.5, 0.5)}, {"channel_order": "bgr"}, {"preprocess": half_scale}],
    ids=lambda settings: next(iter(settings)),
)
def test_fingerprint_includes_the_preprocessing(tiny_network, settings):
    assert EmbeddingModel(tiny_network).fingerprint() != EmbeddingModel(tiny_network, **settings).fingerprint()


def test_unchanged_weights_are_not_hashed_twice(tiny_network, monkeypatch):
    hashed = []

    class Counting:
        @staticmethod
        def sha256(data=b""):
            hashed.append(data)
            return hashlib.sha256(data)

    model = EmbeddingModel(tiny_network)
    monkeypatch.setattr(module, "hashlib", Counting)
    first = model.fingerprint()
    assert len(hashed) == 8  # seven tensors and the whole
    assert model.fingerprint() == first and len(hashed) == 9
    update_in_place(tiny_network)
    assert model.fingerprint() != first and len(hashed) == 11


@pytest.mark.parametrize(
    "change", [lambda x: x.mul_(1.001), lambda x: x.copy_(x.flip(0)), lambda x: x[3].add_(1)],
    ids=["scaled", "turned-round", "one-value"],
)
def test_checksum_for_accelerators_notices_the_same_changes(change):
    values = torch.linspace(0, 1, 50)
    before = module._weighted_sum(module._bits(values))
    assert before == module._weighted_sum(module._bits(values.clone()))
    change(values)
    assert module._weighted_sum(module._bits(values)) != before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_fingerprint_reads_every_float_type(tiny_network, dtype):
    assert EmbeddingModel(tiny_network.to(dtype)).fingerprint() != EmbeddingModel(type(tiny_network)()).fingerprint()


def test_fingerprint_of_inference_tensors_equals_that_of_plain_ones_and_notices_updates(tiny_network):
    with torch.inference_mode():
        frozen = type(tiny_network)().eval()
        frozen.load_state_dict(tiny_network.state_dict())
        frozen.conv.weight = nn.Parameter(tiny_network.conv.weight.clone(), requires_grad=False)
    assert frozen.conv.weight.is_inference()
    model = EmbeddingModel(frozen)
    assert model.fingerprint() == EmbeddingModel(tiny_network).fingerprint()
    with torch.inference_mode():
        frozen.conv.weight.add_(1e-3)
    assert model.fingerprint() != EmbeddingModel(tiny_network).fingerprint()


def test_fingerprint_of_channels_last_weights_is_the_same(tiny_network):
    before = EmbeddingModel(tiny_network).fingerprint()
    assert EmbeddingModel(tiny_network.to(memory_format=torch.channels_last)).fingerprint() == before


def test_fingerprint_without_values_is_a_clear_error(tiny_network):
    with pytest.raises(ModelError, match="conv.weight.*load the weights"):
        EmbeddingModel(tiny_network.to("meta")).fingerprint()


def test_address_of_own_preprocessing_stays_out_of_the_fingerprint(tiny_network):
    class Callable:
        def __call__(self, chip):
            return half_scale(chip)

    prints = {EmbeddingModel(tiny_network, preprocess=Callable()).fingerprint() for _ in range(3)}
    assert len(prints) == 1
