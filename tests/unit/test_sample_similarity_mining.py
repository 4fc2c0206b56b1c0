"""Similarity mining of the sample training: triplets, maps by hand, what is hidden, and what stays untouched."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from pairx_sample_data import path_of  # noqa: E402
from pairx_sample_data.network import EmbeddingNetwork, GeneralisedMean, load_network  # noqa: E402
from pairx_sample_data.plan import Plan, Stage  # noqa: E402
from pairx_sample_data.similarity_mining import (  # noqa: E402
    attention_maps,
    hidden,
    left_over,
    mining_loss,
    settled_neck,
    statistics_kept,
    triplet_weights,
    triplets,
)
from pairx_sample_data.train import start, take_step  # noqa: E402


class SmallBackbone(torch.nn.Module):
    """Stands in for a timm model: a convolution and a batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 6, 4, stride=4), torch.nn.BatchNorm2d(6)

    def forward_features(self, images):
        return self.norm(self.conv(images)).relu()


@pytest.fixture
def network():
    made = EmbeddingNetwork.__new__(EmbeddingNetwork)
    torch.nn.Module.__init__(made)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made.backbone, made.pooling, made.bn = SmallBackbone(), GeneralisedMean(), torch.nn.BatchNorm1d(6)
        made.bn.running_mean.normal_(), made.bn.running_var.uniform_(0.5, 2.0)
    return made


def test_triplets_are_anchor_positive_and_the_hardest_negative():
    unit = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.1], [0.8, 0.3], [0.1, 1.0]])
    rows = triplets(unit, 2, np.random.default_rng(0), count=3)
    assert rows.shape == (3, 3) and sorted((rows[:, 0] // 2).tolist()) == [0, 1, 2]
    for anchor, positive, negative in rows.tolist():
        assert anchor != positive and anchor // 2 == positive // 2
        others = [row for row in range(6) if row // 2 != anchor // 2]
        cosines = torch.nn.functional.normalize(unit) @ torch.nn.functional.normalize(unit)[anchor]
        assert negative == max(others, key=lambda row: float(cosines[row]))
    assert triplets(unit, 2, np.random.default_rng(0), count=1).shape == (1, 3)


def test_weights_and_left_over_of_tiny_cases():
    anchor, positive, negative = torch.tensor([[[0.5, 0.0]], [[0.25, 0.5]], [[0.5, 1.0]]])
    assert triplet_weights(anchor, positive, negative).tolist() == [[0.0, 0.5]]
    embeddings = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]], [[1.0, 0.0], [1.0, 1.0], [2.0, 0.0]]])
    assert float(left_over(embeddings)) == pytest.approx((3.0 + 0.0) / 2)


def test_maps_are_those_of_the_explainers_formula(network):
    from pairx_plugin.explainers.similarity_attention import attention_map

    features = torch.rand(2, 6, 3, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    weights = torch.rand(2, 6, generator=torch.Generator().manual_seed(3))
    maps = attention_maps(network, features, weights)
    unit = torch.nn.functional.normalize(settled_neck(network, features))
    (gradient,) = torch.autograd.grad((weights * unit).sum(), features)
    plain = attention_map(features.detach(), gradient)
    torch.testing.assert_close(maps.detach(), plain / plain.amax((1, 2), keepdim=True).clamp(min=1e-12))
    assert maps.requires_grad and float(maps.detach().max()) == pytest.approx(1.0)


def test_map_of_nothing_is_zero_and_hides_next_to_nothing(network):
    assert not attention_maps(network, torch.zeros(1, 6, 2, 2), torch.ones(1, 6)).any()
    images = torch.ones(1, 3, 8, 8)
    assert float((images - hidden(images, torch.zeros(1, 2, 2))).max()) < 0.01


def test_attended_places_are_hidden_and_others_kept():
    maps = torch.zeros(1, 4, 4)
    maps[0, 0, 0] = 1.0
    images = torch.ones(1, 3, 16, 16)
    without = hidden(images, maps)
    assert float(without[0, :, :2, :2].max()) < 0.01 and float(without[0, :, 8:, 8:].min()) > 0.99


def test_loss_reaches_the_weights_and_leaves_running_statistics_alone(network):
    network.train()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    features = network.backbone.forward_features(images)
    before = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    loss = mining_loss(network, images, features, 2, np.random.default_rng(0))
    loss.backward()
    assert float(loss.detach()) > 0
    assert float(network.backbone.conv.weight.grad.abs().max()) > 0
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert network.bn.momentum == network.backbone.norm.momentum == 0.1


def test_statistics_are_remembered_again_after_an_error(network):
    with pytest.raises(RuntimeError), statistics_kept(network):
        assert network.bn.momentum == 0.0
        raise RuntimeError
    assert network.bn.momentum == 0.1


def test_step_with_mining_starts_from_given_weights_and_differs_from_one_without():
    checkpoint = path_of("checkpoint")
    kept = load_network(checkpoint, path_of("config")).backbone.conv_stem.weight.detach()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    stepped = {}
    for mining in (0.0, 0.5):
        plan = Plan(individuals=4, reading_first=0.0, mining=mining, stages=(Stage(side=32, epochs=1, animals=1),))
        run = start(plan, checkpoint)
        assert torch.equal(run.network.backbone.conv_stem.weight.detach(), kept)
        run.network.train()
        loss, _ = take_step(run, plan, images, np.repeat(np.arange(4), 2), np.zeros(8, bool), 0.5)
        stepped[mining] = run.network.backbone.conv_stem.weight.detach()
        assert np.isfinite(loss) and 0 < float((stepped[mining] - kept).abs().max()) < 0.05
    assert not torch.equal(stepped[0.0], stepped[0.5])
