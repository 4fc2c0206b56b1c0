"""EmbeddingModel: what it accepts from a network, and that the network stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.errors import ModelError, SettingsError
from pairx_plugin.models import EmbeddingModel, as_embedding_model, check_embeddings, check_evaluation_mode


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_embeddings_equal_the_networks_own_in_every_batch_size(tiny_network):
    chips = [noise(10 + i, 20, seed=i) for i in range(5)]
    model = EmbeddingModel(tiny_network, input_size=(16, 16))
    with torch.no_grad():
        expected = tiny_network(model.tensor(chips)).numpy()
    for batch_size in (1, 2, 16):
        embeddings = model.embed(chips, batch_size=batch_size)
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_embedding_leaves_the_network_as_it_was(tiny_network):
    before = {key: value.clone() for key, value in tiny_network.state_dict().items()}
    tiny_network.conv.weight.requires_grad_(False)
    EmbeddingModel(tiny_network, input_size=(8, 8)).embed([noise(4, 4)])
    assert all(torch.equal(before[key], value) for key, value in tiny_network.state_dict().items())
    assert not tiny_network.training
    assert not tiny_network.conv.weight.requires_grad and tiny_network.bn.weight.requires_grad
    assert tiny_network.conv.weight.grad is None and not tiny_network._forward_hooks


def test_half_precision_network_gives_float32_embeddings(tiny_network):
    embeddings = EmbeddingModel(tiny_network.to(torch.bfloat16), input_size=(8, 8)).embed([noise(4, 4)])
    assert embeddings.dtype == np.float32 and embeddings.shape == (1, 4)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, "4"], ids=repr)
def test_unusable_batch_size_is_refused(tiny_network, batch_size):
    with pytest.raises(SettingsError, match="batch_size"):
        EmbeddingModel(tiny_network, input_size=(8, 8)).embed([noise(4, 4)], batch_size=batch_size)


def test_training_mode_is_an_error_and_stays_on(tiny_network):
    tiny_network.train()
    with pytest.raises(ModelError, match=r"2 batch-norm or dropout layers: 'bn', 'drop'.*call \.eval\(\)"):
        EmbeddingModel(tiny_network).embed([noise(4, 4)])
    assert tiny_network.training and int(tiny_network.bn.num_batches_tracked) == 0


def test_single_layer_in_training_mode_is_named(tiny_network):
    tiny_network.drop.train()
    with pytest.raises(ModelError, match="'drop'"):
        check_evaluation_mode(tiny_network)


def test_training_flag_of_a_harmless_layer_does_not_matter(tiny_network):
    tiny_network.conv.train()
    check_evaluation_mode(tiny_network)


class Returns(nn.Module):
    """Returns what it is told to, whatever comes in."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: torch.Tensor) -> object:
        return self.output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "None"),
        ((torch.zeros(2, 5), torch.zeros(2, 7)), r"tuple of 2 elements \(\(2, 5\), \(2, 7\)\).*element 0"),
        ([None, torch.zeros(2, 5)], "list of 2 elements.*element 1"),
        ({"loss": 1.0, "emb": torch.zeros(2, 5)}, r"dict with the keys \['loss', 'emb'\].*output\['emb'\]"),
        (np.zeros((2, 5)), "ndarray"),
        (torch.zeros(2, 5, 1, 1), r"flatten\(1\)"),
        (torch.zeros(2, 5, 7, 7), "feature map"),
        (torch.zeros(2, 9, 5), "tokens"),
        (torch.zeros(5), "keep the batch dimension"),
        (torch.zeros(3, 5), "one embedding for each of 2"),
        (torch.zeros(2, 0), "one embedding for each of 2"),
        (torch.zeros(2, 5, dtype=torch.int64), "int64"),
        (torch.zeros(2, 5, dtype=torch.complex64), "complex64"),
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0]]), r"in 1 of 2 embeddings \(first image 1\)"),
        (torch.tensor([[float("inf")], [1.0]]), r"first image 0"),
    ],
    ids=[
        "none", "tuple", "list", "dict", "array", "unflattened", "map", "tokens", "one-dimension", "batch",
        "no-features", "integer", "complex", "nan", "inf",
    ],
)
def test_output_that_is_no_embedding_says_what_came_and_what_would_do(output, message):
    with pytest.raises(ModelError, match=message):
        EmbeddingModel(Returns(output).eval(), input_size=(8, 8)).embed([noise(4, 4), noise(4, 4)])


def test_good_embeddings_pass_through_unchanged():
    embeddings = torch.rand(2, 3, dtype=torch.float64)
    assert check_embeddings(embeddings, 2) is embeddings


def test_device_and_dtype_follow_the_network(tiny_network):
    model = EmbeddingModel(tiny_network, input_size=(8, 8))
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    tiny_network.double()
    assert model.dtype == torch.float64 and model.tensor([noise(4, 4)]).dtype == torch.float64


def test_network_without_parameters_is_float32_on_the_cpu():
    model = EmbeddingModel(nn.Flatten().eval(), input_size=(2, 2))
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.embed([noise(3, 3)]).shape == (1, 12)


def test_parameters_on_several_devices_are_an_error(tiny_network):
    tiny_network.bn.to("meta")
    with pytest.raises(ModelError, match="several devices.*cpu.*meta"):
        EmbeddingModel(tiny_network).device


def test_network_without_values_is_an_error(tiny_network):
    with pytest.raises(ModelError, match="load its weights"):
        EmbeddingModel(tiny_network.to("meta")).device


def test_dataparallel_wrapper_is_taken_off_and_mentioned(tiny_network):
    model = EmbeddingModel(nn.DataParallel(tiny_network))
    assert model.network is tiny_network
    assert any("DataParallel" in note for note in model.notes)


@pytest.mark.parametrize("obj", [None, "resnet18", len, {}], ids=["none", "name", "function", "dict"])
def test_what_is_no_network_is_refused(obj):
    with pytest.raises(ModelError, match="torch.nn.Module"):
        as_embedding_model(obj)


def test_as_embedding_model_passes_models_and_wraps_networks(tiny_network):
    model = as_embedding_model(tiny_network, input_size=(8, 8), model_id="mine")
    assert model.input_size == (8, 8) and model.model_id == "mine"
    assert as_embedding_model(model) is model
    with pytest.raises(ModelError, match="input_size"):
        as_embedding_model(model, input_size=(4, 4))
