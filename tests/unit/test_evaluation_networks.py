"""Networks drawn anew, and baselines that know nothing, on networks of several kinds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pairx_plugin.chips import Chip
from pairx_plugin.errors import SettingsError
from pairx_plugin.evaluation.baselines import BASELINES, baseline_named
from pairx_plugin.evaluation.measures.conservation import measure_conservation
from pairx_plugin.evaluation.randomisation import randomised
from pairx_plugin.evaluation.variants import plain_variant
from pairx_plugin.models import EmbeddingModel
from pairx_plugin.settings import Settings

pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
SWIN = dict(img_size=64, window_size=4, depths=(2, 2), embed_dim=24, num_heads=(2, 4))
VIT = dict(img_size=64, depth=2, embed_dim=24, num_heads=3)


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64))


@pytest.fixture(scope="module")
def pictures(make_texture):
    return [make_texture(seed) for seed in range(4)]


def parameters(model):
    return {name: value.detach().clone() for name, value in model.network.named_parameters()}


def test_upper_half_is_drawn_anew_with_its_mean_and_spread_and_the_host_keeps_its_own(model, pictures):
    before = parameters(model)
    drawn = parameters(randomised(model, 0.5, pictures, seed=1))
    for name, value in parameters(model).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    changed = [not torch.equal(drawn[name], value) for name, value in before.items()]
    first = changed.index(True)
    assert 0 < first < len(changed) - 1 and not any(changed[:first])
    wide = [name for name, value in before.items() if value.numel() > 2000 and not torch.equal(drawn[name], value)]
    assert wide
    for name in wide:
        assert float(drawn[name].std()) == pytest.approx(float(before[name].std()), rel=0.15)
        own, new = before[name].double().flatten(), drawn[name].double().flatten()
        assert abs(float(torch.corrcoef(torch.stack([own, new]))[0, 1])) < 0.1


def test_network_that_was_drawn_anew_is_alive_and_the_same_twice(model, pictures):
    network = randomised(model, 1.0, pictures, seed=2)
    embeddings = network.embed(pictures)
    assert np.isfinite(embeddings).all() and not network.network.training
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert (unit @ unit.T)[np.triu_indices(4, 1)].max() < 0.999  # it still tells pictures apart
    np.testing.assert_array_equal(randomised(model, 1.0, pictures, seed=2).embed(pictures), embeddings)
    assert not np.allclose(randomised(model, 1.0, pictures, seed=3).embed(pictures), embeddings)


def explained(model, baseline, query, candidates, **settings):
    session = baseline_named(baseline).prepare(model, Chip.from_array(query), Settings(**settings))
    return [found.layers[0] for found in session.explain([Chip.from_array(item) for item in candidates])]


@pytest.mark.parametrize("baseline", sorted(BASELINES))
def test_baseline_knows_no_partner(model, pictures, baseline):
    first, second = explained(model, baseline, pictures[0], pictures[1:3])
    same = np.array_equal(first.relevance_0, second.relevance_0)
    assert same == (baseline not in ("null_random", "null_matches"))  # those two draw for every pair
    assert first.relevance_0.min() >= 0 and first.relevance_0.max() > 0
    assert bool(len(first.matches)) == (baseline == "null_matches")
    (again,) = explained(model, baseline, pictures[0], pictures[1:2])
    np.testing.assert_array_equal(again.relevance_0, first.relevance_0)


def test_only_drawn_baselines_follow_the_seed(model, pictures):
    for baseline in BASELINES:
        maps = [explained(model, baseline, pictures[0], pictures[1:2], seed=seed)[0].relevance_0 for seed in (0, 1)]
        assert np.array_equal(*maps) == (baseline not in ("null_random", "null_matches"))


@pytest.mark.parametrize(
    "name, options, layer, grid",
    [
        ("swin_tiny_patch4_window7_224", SWIN, "layers.0", (16, 16)),
        ("vit_tiny_patch16_224", VIT, "blocks.0", (4, 4)),
    ],
    ids=["swin", "vit"],
)
def test_tokens_of_a_transformer_lie_where_the_picture_has_them(name, options, layer, grid, pictures):
    timm = pytest.importorskip("timm", reason="needs timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=0, **options).eval()
    model = EmbeddingModel(network, input_size=(64, 64))
    for baseline in ("null_edges", "null_matches"):
        (found,) = explained(model, baseline, pictures[0], pictures[:1], layers=(layer,))
        assert found.relevance_0.shape == grid
    # a picture finds its own cells, whatever they are weighed by
    np.testing.assert_array_equal(found.matches.cells_0, found.matches.cells_1)
    assert len(found.matches) == grid[0] * grid[1]


def bench_of(model, answer):
    """A bench whose explanations are the answers to what was asked; maps of 0.3 and -0.1, cosine 0.4."""

    def explain(variant, query, candidate, rivals=(), layers=()):
        keys = answer(layers)
        made = [SimpleNamespace(layer_key=key, relevance_0=np.array([[0.3, -0.1]]) * scale,
                                relevance_1=np.array([[0.3, -0.1]]) * scale) for key, scale in keys]
        return SimpleNamespace(layer=made[0], maps=(made[0].relevance_0, made[0].relevance_1),
                               evidence=SimpleNamespace(similarity=0.4, layers=tuple(made)))

    subject = SimpleNamespace(chip=None)
    return SimpleNamespace(model=model, pair=lambda pair: (subject, subject), explain=explain,
                           rivals=lambda pair: [])


def refusing(layers):
    if layers:
        raise SettingsError("one layer, and 2 were asked for")
    return [("layer of its own", 1.0)]


@pytest.mark.parametrize(
    "answer, inflation, worst, reason",
    [
        (lambda layers: [(layers[0], 6.0), (layers[1], 2.0)] if layers else [("low", 1.0)], 3.0, 2.0, None),
        (refusing, None, None, "ONE_LAYER_ONLY"),
        (lambda layers: [("low", 1.0)], None, None, "ONE_LAYER_ONLY"),
    ],
    ids=["two layers", "refuses two", "answers one"],
)
def test_relevance_is_held_against_the_cosine_and_the_last_map_that_has_places(
    model, answer, inflation, worst, reason
):
    asked = []

    def watched(layers):
        asked.append(layers)
        return answer(layers)

    found = measure_conservation(bench_of(model, watched), plain_variant("pairx"), None)
    assert found.figures["conservation_error"] == pytest.approx(0.5)
    assert found.figures.get("inflation") == (None if inflation is None else pytest.approx(inflation))
    assert found.figures.get("conservation_worst") == (None if worst is None else pytest.approx(worst))
    assert found.dropped.get("inflation") == found.dropped.get("conservation_worst") == reason
    assert found.details["signed"] is True
    key = asked[-1][-1]
    output = {}
    handle = model.network.get_submodule(key).register_forward_hook(lambda *event: output.update(shape=event[2].shape))
    model.embed([np.zeros((64, 64, 3), np.uint8)])
    handle.remove()
    assert output["shape"][2] * output["shape"][3] > 1  # and not the pooled one behind it


def test_every_stage_above_the_explained_layer_is_asked_for_at_once(model):
    from pairx_plugin.models.layers import list_layers

    known = list_layers(model.network, model.input_size)
    stages = [layer.key for layer in known if layer.is_stage and min(layer.grid) > 1]
    asked = []

    def answer(layers):
        asked.append(layers)
        return [(key, 2.0 ** -place) for place, key in enumerate(layers or (stages[1],))]

    found = measure_conservation(bench_of(model, answer), plain_variant("pairx"), None)
    assert len(stages) > 3 and asked[-1][: len(stages) - 1] == tuple(stages[1:])
    table = found.details["layers"]
    assert [row[0] for row in table] == list(asked[-1])
    # the sums are 0.2, 0.1, 0.05 ... of a cosine of 0.4: the last one is farthest off
    assert [row[1] for row in table] == pytest.approx([1 - 0.5 * 2.0 ** -place for place in range(len(table))])
    assert found.figures["conservation_worst"] == pytest.approx(table[-1][1])
    assert found.figures["inflation"] == pytest.approx(2.0 ** (len(table) - 1))


def test_baselines_conserve_nothing_and_are_not_asked(model):
    found = measure_conservation(bench_of(model, refusing), plain_variant("null_edges", baseline=True), None)
    assert set(found.dropped.values()) == {"NULL_BASELINE"}
