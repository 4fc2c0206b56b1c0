"""Vision models of transformers, loaded from folders that transformers wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pairx_plugin import explain_ranking
from pairx_plugin.errors import ModelError, ModelNotFound, SettingsError
from pairx_plugin.models import ModelCatalogue

safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
transformers = pytest.importorskip("transformers", minversion="5.20", reason="layers had other names before")

SMALL = dict(
    image_size=56, patch_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
)
PROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_center_crop": True, "crop_size": {"height": 56, "width": 84}, "size": {"shortest_edge": 84},
    "do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4],
}  # fmt: skip


@pytest.fixture
def save(tmp_path):
    """Return what writes a small model of random weights, and its folder's name for the catalogue."""

    def saved(kind, processor=PROCESSOR, **options):
        with torch.random.fork_rng():
            torch.manual_seed(2)
            configuration = getattr(transformers, kind.replace("Model", "Config"))(**{**SMALL, **options})
            model = getattr(transformers, kind)(configuration).eval()
        model.save_pretrained(tmp_path / kind)
        if processor is not None:
            (tmp_path / kind / "preprocessor_config.json").write_text(json.dumps(processor), "utf-8")
        return model, f"transformers:{tmp_path / kind}"

    return saved


@pytest.fixture
def images():
    return torch.randn((2, 3, 56, 56), generator=torch.Generator().manual_seed(1))


def test_embedding_is_the_class_token_unless_another_pooling_is_asked_for(save, images):
    model, name = save("Dinov2Model")
    with torch.no_grad():
        output = model(images)
        expected = {
            "class": output.last_hidden_state[:, 0],
            "mean": output.last_hidden_state.mean(1),
            "pooler": output.pooler_output,
        }
        for pooling, embedding in expected.items():
            loaded = ModelCatalogue().load(name, pooling=pooling)
            assert torch.equal(loaded.network(images), embedding)
            assert pooling.replace("pooler", "own pooler") in loaded.notes[0]
        assert torch.equal(ModelCatalogue().load(name).network(images), expected["class"])


def test_size_and_normalisation_are_the_image_processor_s(save):
    _, name = save("Dinov2Model")
    model = ModelCatalogue().load(name)
    assert model.input_size == (56, 84)
    assert model.preprocessing.mean == (0.4, 0.5, 0.6) and model.preprocessing.std == (0.2, 0.3, 0.4)
    assert ModelCatalogue().load(name, input_size=(28, 28)).input_size == (28, 28)


def test_model_that_wants_no_normalisation_gets_none(save):
    _, name = save("Dinov2Model", processor={**PROCESSOR, "do_normalize": False})
    preprocessing = ModelCatalogue().load(name).preprocessing
    assert preprocessing.mean == (0.0, 0.0, 0.0) and preprocessing.std == (1.0, 1.0, 1.0)


def test_without_an_image_processor_size_is_the_configuration_s_and_a_note_says_so(save):
    _, name = save("ViTModel", processor=None)
    model = ModelCatalogue().load(name)
    assert model.input_size == (56, 56)
    assert model.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert any("has no image processor" in note and "ImageNet's mean and std" in note for note in model.notes)


def test_of_clip_the_half_that_sees_is_taken(tmp_path, images):
    vision = transformers.CLIPVisionConfig(**SMALL)
    text = transformers.CLIPTextConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20
    )
    configuration = transformers.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    with torch.random.fork_rng():
        model = transformers.CLIPModel(configuration).eval()
    model.save_pretrained(tmp_path)
    network = ModelCatalogue().load(f"transformers:{tmp_path}").network
    with torch.no_grad():
        assert torch.equal(network(images), model.vision_model(images).last_hidden_state[:, 0])


def test_loaded_model_is_explained(save):
    _, name = save("Dinov2WithRegistersModel", num_register_tokens=2)
    model = ModelCatalogue().load(name, input_size=(56, 56))
    chips = [np.random.default_rng(seed).integers(0, 255, (56, 56, 3), dtype=np.uint8) for seed in range(3)]
    found = explain_ranking(model, chips[0], chips[1:], mode="corrected", k_lines=4, k_colors=1)
    assert [item.failure for item in found] == [None, None]
    assert {item.layers[0].layer_key for item in found} == {"backbone.encoder.layer.1"}
    assert all(item.layers[0].pixels_0.shape == (1, 56, 56) and len(item.layers[0].matches) for item in found)


def test_changed_folder_is_loaded_anew(save):
    _, name = save("ViTModel")
    catalogue = ModelCatalogue()
    first = catalogue.load(name)
    assert catalogue.load(name) is first
    save("ViTModel", hidden_size=32)
    assert catalogue.load(name).network.backbone.config.hidden_size == 32


def test_what_cannot_be_loaded_says_why(save, tmp_path):
    _, name = save("ViTModel", processor=None)
    with pytest.raises(SettingsError, match="'pooling' must be one of class, mean, pooler, not 'cls'"):
        ModelCatalogue().load(name, pooling="cls")
    with pytest.raises(SettingsError, match="'pretrained' does not apply"):
        ModelCatalogue().load(name, pretrained=True)
    with pytest.raises(ModelNotFound, match="could not be fetched.*give 'transformers:' with the folder's path"):
        ModelCatalogue().load(f"transformers:{tmp_path / 'nowhere'}")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text('{"model_type": "nobody_s"}', "utf-8")
    with pytest.raises(ModelError, match=f"could not be loaded by transformers {transformers.__version__} "):
        ModelCatalogue().load(f"transformers:{tmp_path / 'strange'}")
    text = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20
    )
    with torch.random.fork_rng():
        transformers.BertModel(text).save_pretrained(tmp_path / "text")
    with pytest.raises(ModelError, match="BertModel, which sees no images; give a vision model"):
        ModelCatalogue().load(f"transformers:{tmp_path / 'text'}")


def test_weights_that_would_be_random_are_refused(save, images):
    model, name = save("ViTModel")
    weights = Path(name.partition(":")[2]) / "model.safetensors"
    whole = safetensors.load_file(weights)

    def without(state, part):
        safetensors.save_file({key: value for key, value in state.items() if part not in key}, weights)

    without(whole, "pooler")
    state = torch.get_rng_state()
    with pytest.raises(ModelError, match=r"lack pooler.dense.bias.*would be random; take pooling=class"):
        ModelCatalogue().load(name, pooling="pooler")
    with torch.no_grad():
        assert torch.equal(ModelCatalogue().load(name).network(images), model(images).last_hidden_state[:, 0])
    assert torch.equal(torch.get_rng_state(), state)
    without(whole, "layer.0.intermediate")
    with pytest.raises(ModelError, match=r"lack .*layers\.0\.mlp.*would be random; give others"):
        ModelCatalogue().load(name)


def test_code_that_comes_along_is_not_run(save):
    _, name = save("ViTModel")
    folder = Path(name.partition(":")[2])
    configuration = json.loads((folder / "config.json").read_text("utf-8"))
    configuration.update(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.OwnModel"})
    (folder / "config.json").write_text(json.dumps(configuration), "utf-8")
    (folder / "own.py").write_text("raise SystemExit('this was run')", "utf-8")
    with pytest.raises(ModelError, match="brings its own Python code, which is not run.*trust_remote_code=true"):
        ModelCatalogue().load(name)
