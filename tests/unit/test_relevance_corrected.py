"""Mode corrected: relevance is conserved and keeps its size and its sign, on every architecture that it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin import explain_ranking
from pairx_plugin.errors import ModelError, UnsupportedArchitecture
from pairx_plugin.relevance.conservation import balance_of
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.seeds import product_seeds

CONSERVED = 1e-3  # of the similarity, at every layer

NETWORKS = {
    "timm efficientnetv2": ("timm", "tf_efficientnetv2_b0"),
    "timm efficientnet without gates": ("timm", "efficientnet_lite0"),
    "torchvision efficientnet": ("torchvision", "efficientnet_b0"),
    "timm resnet": ("timm", "resnet18"),
    "timm resnet with bottlenecks": ("timm", "resnet26d"),
    "timm resnet with gates": ("timm", "seresnext26d_32x4d"),
    "timm resnet with channel attention": ("timm", "ecaresnet26t"),
    "torchvision resnet": ("torchvision", "resnet18"),
    "timm convnext": ("timm", "convnext_atto"),
    "timm convnext v2": ("timm", "convnextv2_atto"),
    "torchvision convnext": ("torchvision", "convnext_tiny"),
}
HEADS = {"resnet18": "fc", "efficientnet_b0": "classifier", "convnext_tiny": "classifier"}


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def network(request, settled):
    package, name = request.param
    library = pytest.importorskip(package)
    if package == "timm":
        return settled(library.create_model(name, num_classes=0))
    made = getattr(library.models, name)(weights=None)
    head = getattr(made, HEADS[name])
    setattr(made, HEADS[name], nn.Identity() if isinstance(head, nn.Linear) else nn.Sequential(*head[:-1]))
    return settled(made)


@pytest.fixture(scope="module")
def images(make_tensor, make_texture):
    return make_tensor(make_texture(31), make_texture(32))


def terms_of(network, images):
    with torch.no_grad():
        embeddings = network(images)
    return product_seeds(embeddings[:1], embeddings[1:2])


def test_relevance_is_conserved_at_every_layer_and_does_not_grow(network, images):
    cosine, terms = terms_of(network, images)
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms.float())
    assert balance.total == pytest.approx(cosine.item(), rel=1e-5)
    assert len(balance.layers) > 10
    for layer in balance.layers:
        assert balance.loss(layer) < CONSERVED, layer
        assert balance.inflation(layer) < 1.001, layer


def test_reference_mode_doubles_at_every_skip_where_corrected_does_not(settled, images):
    network = settled(pytest.importorskip("timm").create_model("resnet26", num_classes=0))
    _, terms = terms_of(network, images)
    inflation = {}
    for mode in ("reference", "corrected"):
        balance = balance_of(RelevanceModel(network, mode=mode), images[:1], terms.float())
        inflation[mode] = {layer.layer_key: balance.inflation(layer) for layer in balance.layers}
    for key, skips in (("layer4", 0), ("layer3", 2), ("layer2", 4), ("layer1", 6)):  # sums above the layer's output
        assert 0.9 * skips - 1e-3 <= np.log2(inflation["reference"][key]) <= skips + 1e-3, key  # biases take a little
        assert inflation["corrected"][key] == pytest.approx(1.0, rel=1e-3), key


def test_sample_checkpoint_conserves_the_similarity_of_two_photographs(images):
    pytest.importorskip("timm"), pytest.importorskip("safetensors")
    from PIL import Image

    from pairx_plugin.models.catalogue import ModelCatalogue
    from pairx_sample_data import load_annotations

    model = ModelCatalogue().load("sample")
    pixels = [
        np.asarray(Image.open(item.file_path).convert("RGB").crop((item.x, item.y, item.x + item.w, item.y + item.h)))
        for item in load_annotations()[:2]
    ]
    tensor = model.tensor(pixels)
    _, terms = terms_of(model.network, tensor)
    inflation = {}
    for mode in ("reference", "corrected"):
        balance = balance_of(RelevanceModel(model.network, mode=mode), tensor[:1], terms.float())
        inflation[mode] = balance.inflation(balance.layers[-1])
        if mode == "corrected":
            assert max(map(balance.loss, balance.layers)) < 1e-4
    assert inflation["corrected"] == pytest.approx(1.0, rel=0.05)
    assert inflation["reference"] > 2.0**12  # of 15 skips; some relevance is lost to biases


def test_float32_is_as_good_as_float64(network, images):
    layer = suggested_layer(network)
    _, terms = terms_of(network, images)
    model = RelevanceModel(network, mode="corrected")
    narrow = model.forward(images[:1], [layer]).at_layers(terms.float(), [0], [layer])[layer]
    try:
        network.double()
        wide_model = RelevanceModel(network, mode="corrected")
        wide = wide_model.forward(images[:1].double(), [layer]).at_layers(terms, [0], [layer])[layer]
    finally:
        network.float()
    cells, wide_cells = narrow.sum(1).double(), wide.sum(1)
    assert (cells - wide_cells).abs().max() < 1e-3 * wide_cells.abs().max()


def suggested_layer(network):
    from pairx_plugin.models.layers import suggest_layer

    return suggest_layer(network, (64, 64)).key


def test_embedding_and_feature_maps_stay_the_host_s(network, images):
    layer = suggested_layer(network)
    seen = {}
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, out: seen.update(map=out))
    with torch.no_grad():
        embedding = network(images)
    handle.remove()
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    assert torch.equal(encoded.embedding, embedding)
    assert torch.equal(encoded.feature_maps[layer], seen["map"])


def agreeing_sum():
    """The rule of sums as a zennit hook: terms of the sum's sign share in proportion."""
    from zennit.core import BasicHook

    def mapped(relevance, outputs):
        raised, lowered = outputs
        upward = raised + lowered >= 0
        return [
            torch.where(chosen & (part != 0), relevance / part, torch.zeros_like(part))
            for part, chosen in ((raised, upward), (lowered, ~upward))
        ]

    return BasicHook(
        input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0)],
        gradient_mapper=mapped,
        reducer=lambda inputs, gradients: sum(x * gradient for x, gradient in zip(inputs, gradients)),
    )


def test_relevance_equals_zennit_s_where_zennit_canonises_all(settled, images):
    """Of torchvision's ResNets zennit merges batch norms and marks sums; with our rule of sums its numbers are ours."""
    composites = pytest.importorskip("zennit.composites")
    from zennit.layer import Sum
    from zennit.torchvision import ResNetCanonizer

    network = pytest.importorskip("torchvision").models.resnet18(weights=None)
    network.fc = nn.Identity()
    network = settled(network).double()
    x = images[:1].double()
    _, terms = terms_of(network, images.double())
    found = {}
    composite = composites.EpsilonPlus(
        zero_params="bias",
        stabilizer=1e-12,
        layer_map=[((Sum,), agreeing_sum())],
        canonizers=[ResNetCanonizer()],
    )
    with composite.context(network) as hooked:
        leaf = x.clone().requires_grad_()
        handle = hooked.layer2.register_full_backward_hook(lambda _, __, out: found.update(layer=out[0].detach()))
        (pixels,) = torch.autograd.grad(hooked(leaf), leaf, terms)
        handle.remove()
    encoded = RelevanceModel(network, mode="corrected").forward(x, ["layer2"])
    ours = encoded.at_layers(terms, [0], ["layer2"])["layer2"]
    assert (ours - found["layer"]).abs().max() < 1e-4 * found["layer"].abs().max()
    assert pixels.sum().item() == pytest.approx(ours.sum().item(), rel=1e-6)


def test_batch_norm_after_pooling_passes_all_that_it_receives(miewid_network, images):
    model = RelevanceModel(miewid_network, mode="corrected")
    found = model.forward(images, []).canonization
    assert found.lone_norms == ("bn",) and "bn" not in {merge.norm_key for merge in found.merged.values()}
    assert len(found.merged) == sum(isinstance(module, nn.BatchNorm2d) for module in miewid_network.modules())


def test_pair_s_maps_add_up_to_its_similarity_and_pixels_to_their_cell(miewid_network, make_texture):
    chips = [make_texture(seed) for seed in (41, 42)]
    (found,) = explain_ranking(
        miewid_network,
        chips[0],
        [chips[1]],
        layer="backbone.blocks.1",
        input_size=(64, 64),
        k_colors=4,
        mode="corrected",
        pixel_tolerance=0.0,
    )
    (layer,) = found.layers
    for side, cells in ((0, layer.matches.cells_0), (1, layer.matches.cells_1)):
        relevance = (layer.relevance_0, layer.relevance_1)[side]
        pixels = (layer.pixels_0, layer.pixels_1)[side]
        assert relevance.sum() == pytest.approx(found.evidence.similarity, rel=CONSERVED)
        at_cells = [relevance[row, col] for row, col in cells[: len(pixels)]]
        np.testing.assert_allclose(pixels.sum((1, 2)), at_cells, rtol=2e-3)
    ends = [
        np.maximum(relevance, 0)[cells[:, 0], cells[:, 1]]
        for relevance, cells in ((layer.relevance_0, layer.matches.cells_0), (layer.relevance_1, layer.matches.cells_1))
    ]
    np.testing.assert_allclose(layer.matches.relevance, ends[0].astype(float) * ends[1], rtol=1e-6)
    assert len(layer.pixels_0) == 4 and found.provenance["canonization"]["mode"] == "corrected"


def test_what_speaks_against_a_match_is_below_zero(miewid_network, images):
    """The terms of two embeddings of which one is turned round are those of the two, with the other sign."""
    layer = "backbone.blocks.1"
    encoded = RelevanceModel(miewid_network, mode="corrected").forward(images[:1], [layer])
    terms = product_seeds(encoded.embedding, -encoded.embedding)[1].float()
    relevance = encoded.at_layers(terms, [0], [layer])[layer].sum(1)
    assert relevance.sum().item() == pytest.approx(-1.0, rel=CONSERVED)
    assert (relevance < 0).float().mean() > 0.9


def test_step_without_a_rule_is_refused(settled, images):
    class Ranked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = pytest.importorskip("torchvision").models.resnet18(weights=None)

        def forward(self, x):
            return self.net(x).cumsum(1)

    with pytest.raises(UnsupportedArchitecture, match="cumsum.* no rule that conserves"):
        RelevanceModel(Ranked().eval(), mode="corrected").forward(images, [])


def test_seeds_are_the_terms_of_the_cosine():
    first, second = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    cosine, terms = product_seeds(first, second)
    torch.testing.assert_close(cosine, nn.functional.cosine_similarity(first, second))
    torch.testing.assert_close(terms.sum(1), cosine)
    torch.testing.assert_close(product_seeds(second, first)[1], terms)
    with pytest.raises(ModelError, match="all zeros"):
        product_seeds(torch.zeros(1, 4), torch.ones(1, 4))
