"""The checkpoint of the sample network: how it is saved, what is in it, and how well it does."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")
from pairx_sample_data import path_of  # noqa: E402
from pairx_sample_data.network import EmbeddingNetwork, load_network, save_checkpoint  # noqa: E402
from pairx_sample_data.retrieval import retrieval_figures  # noqa: E402
from pairx_sample_data.measuring import embed, shipped_chips  # noqa: E402


def test_saving_keeps_running_statistics_in_float32_and_the_rest_in_float16(tmp_path):
    network = EmbeddingNetwork()
    save_checkpoint(network, tmp_path / "c.safetensors")
    state = safetensors_torch.load_file(str(tmp_path / "c.safetensors"))
    assert set(state) == set(network.state_dict())
    for key, value in state.items():
        expected = (
            torch.float32 if "running_" in key else torch.int64 if "num_batches" in key else torch.float16
        )
        assert value.dtype == expected, key


def test_shipped_checkpoint_has_miewid_keys_and_no_head():
    state = safetensors_torch.load_file(str(path_of("checkpoint")))
    assert {"pooling.p", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"} <= set(state)
    assert all(key.startswith(("backbone.", "pooling.", "bn.")) for key in state)
    assert not any("classifier" in key for key in state)
    config = json.loads(path_of("config").read_text())
    assert config["model_params"]["model_name"] == "tf_efficientnetv2_b0"
    assert config["data"]["crop_bbox"] is True and config["test"]["fliplr"] is False
    assert state["bn.weight"].numel() == config["model_params"]["embedding_size"] == 1280
    layers = dict(EmbeddingNetwork().named_modules())
    assert config["default_layer"] in layers


def test_shipped_checkpoint_loads_strictly_into_another_miewid_shaped_module_with_equal_embeddings():
    import timm

    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = timm.create_model("tf_efficientnetv2_b0", pretrained=False)
            self.backbone.classifier = torch.nn.Identity()
            self.backbone.global_pool = torch.nn.Identity()
            self.pooling = torch.nn.ParameterDict({"p": torch.nn.Parameter(torch.ones(1))})
            self.bn = torch.nn.BatchNorm1d(1280)

        def forward(self, images):
            features = self.backbone.forward_features(images).clamp(min=1e-6)
            pooled = torch.nn.functional.avg_pool2d(features.pow(self.pooling["p"]), features.shape[-2:])
            return self.bn(pooled.pow(1 / self.pooling["p"]).flatten(1))

    other = Other()
    other.load_state_dict(safetensors_torch.load_file(str(path_of("checkpoint"))), strict=True)
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load_network(path_of("checkpoint"), path_of("config"))(images)
        assert torch.allclose(other.eval()(images), expected, atol=1e-4)
    assert float(expected.std()) > 0.1


def test_shipped_checkpoint_finds_shipped_individuals_at_rank_one():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    network = load_network(path_of("checkpoint"), path_of("config"))
    side = json.loads(path_of("config").read_text())["data"]["image_size"][0]
    chips, names, species = shipped_chips(side)
    figures = retrieval_figures(embed(network, chips, side), names, species)
    torch.set_num_threads(threads)
    written = json.loads(path_of("figures").read_text())["shipped"]
    assert figures["rank_1"] >= 0.8
    assert figures["rank_1"] == pytest.approx(written["rank_1"], abs=0.04)
    assert figures["map"] == pytest.approx(written["map"], abs=0.03)


def test_figures_meet_the_promise_on_individuals_never_trained_on():
    figures = json.loads(path_of("figures").read_text())
    assert figures["measured"]["n_individuals"] >= 60
    assert figures["held_out"]["n_individuals"] >= 60
    assert all(figures[which]["rank_1"] >= 0.8 for which in ("measured", "held_out", "shipped"))
    assert set(figures["measured"]["per_species"]) == {
        "striped_horse",
        "spotted_cat",
        "star_shark",
        "ridge_whale",
    }
