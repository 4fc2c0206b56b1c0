"""Point to point: the sum of all pairs is the similarity, a point finds its partner, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin import EmbeddingModel, explain_ranking
from pairx_plugin.chips import Chip
from pairx_plugin.errors import SettingsError, UnsupportedArchitecture
from pairx_plugin.explainers.contributions import Contributions
from pairx_plugin.explainers.point_to_point import PointToPoint
from pairx_plugin.settings import Settings


class Net(nn.Module):
    """A convolution, then whatever a test puts behind it."""

    def __init__(self, pool, *behind) -> None:
        super().__init__()
        self.conv, self.pool, self.behind = nn.Conv2d(3, 6, 8, stride=8), pool, nn.Sequential(*behind)

    def forward(self, x):
        return self.behind(self.pool(self.conv(x)))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Rectified(nn.Module):
    def forward(self, x):
        return nn.functional.relu(x, inplace=True).mean((2, 3))


class GeM(nn.Module):
    def __init__(self, p) -> None:
        super().__init__()
        self.p = p

    def forward(self, x):
        p = self.p if isinstance(self.p, float) else self.p.view(1, -1, 1, 1)
        return nn.functional.avg_pool2d(x.clamp(min=1e-6).pow(p), x.shape[-2:]).pow(1.0 / p).flatten(1)


class Softened(nn.Module):
    """A backbone whose map is positive, generalised-mean pooling, batch norm."""

    def __init__(self, power) -> None:
        super().__init__()
        self.conv, self.soft, self.pool, self.bn = nn.Conv2d(3, 6, 8, stride=8), nn.Softplus(), GeM(power), norm(6)

    def forward(self, x):
        return self.bn(self.pool(self.soft(self.conv(x))))


class Normalised(nn.Module):
    def __init__(self, width=6) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 5)

    def forward(self, x):
        return nn.functional.normalize(self.fc(x))


def norm(width=5):
    made = nn.BatchNorm1d(width)
    with torch.no_grad():
        made.running_mean.normal_(), made.running_var.uniform_(0.5, 2.0)
        made.weight.uniform_(0.5, 2.0), made.bias.normal_()
    return made


def adaptive():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def model_of(*parts):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        made = [part() if callable(part) and not isinstance(part, nn.Module) else part for part in parts]
        return EmbeddingModel(Net(*made).eval(), input_size=(32, 40))


@pytest.fixture
def chips(make_texture):
    return [Chip.from_array(make_texture(seed, 48)) for seed in range(4)]


AVERAGES = {
    "mean": [Mean],
    "adaptive pooling": [adaptive],
    "linear": [adaptive, lambda: nn.Linear(6, 5)],
    "linear and batch norm": [Mean, lambda: nn.Linear(6, 5), norm],
    "dropout and two linear": [Mean, lambda: nn.Linear(6, 7), lambda: nn.Dropout(0.5), lambda: nn.Linear(7, 5)],
    "rectified": [Rectified, lambda: nn.Linear(6, 5)],
    "normalised at the end": [Mean, Normalised],
}


@pytest.mark.parametrize("parts", AVERAGES.values(), ids=AVERAGES)
def test_contributions_add_up_to_the_cosine_with_average_pooling(parts, chips):
    model = model_of(*parts)
    session = PointToPoint().prepare(model, chips[0], Settings())
    embeddings = model.embed([chip.pixels for chip in chips]).astype(np.float64)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for chip, unit in zip(chips[1:], units[1:]):
        found = session.contributions(chip)
        assert found.table.shape == (20, 20) and found.grids == ((4, 5), (4, 5))
        assert found.table.sum() == pytest.approx(float(units[0] @ unit), abs=1e-5)
        assert found.overall(0).sum() == pytest.approx(float(units[0] @ unit), abs=1e-5)
        assert found.overall(1).sum() == pytest.approx(float(units[0] @ unit), abs=1e-5)
    (evidence,) = session.explain([chips[1]])
    assert not {doubt.code for doubt in evidence.doubts} & {"POOLING_LINEARISED", "SUM_INEXACT"}


def test_each_pair_of_cells_is_what_the_formula_says(chips):
    """<A f_a + b, A f_b + b> / (n n |e||e|), in float64 and by loops."""
    model = model_of(Mean, lambda: nn.Linear(6, 5), norm)
    conv, (linear, batch_norm) = model.network.conv.double(), model.network.behind.double()
    maps = [conv(model.tensor([chip.pixels]).double())[0].detach() for chip in chips[:2]]
    model.network.float()
    session = PointToPoint().prepare(model, chips[0], Settings())
    model.network.double()
    parts = [batch_norm(linear(each.flatten(1).T)).detach().numpy() for each in maps]
    lengths = [np.linalg.norm(batch_norm(linear(each.mean((1, 2))[None])).detach().numpy()) for each in maps]
    model.network.float()
    table = session.contributions(chips[1]).table
    for a in range(20):
        for b in range(20):
            expected = parts[0][a] @ parts[1][b] / (20 * 20 * lengths[0] * lengths[1])
            assert table[a, b] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "power",
    [
        pytest.param(lambda: nn.Parameter(torch.tensor([3.0])), id="learnt"),
        pytest.param(lambda: 2.5, id="fixed"),
        pytest.param(lambda: nn.Parameter(torch.linspace(1.5, 4.0, 6).view(1, 6)), id="by channel"),
    ],
)
def test_generalised_mean_is_linearised_and_its_residual_said(power, chips):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = EmbeddingModel(Softened(power()).eval(), input_size=(32, 32))
    (evidence,) = PointToPoint().prepare(model, chips[0], Settings()).explain([chips[1]])
    (doubt,) = evidence.doubts
    assert doubt.code == "POOLING_LINEARISED" and abs(doubt.values["residual"]) < 1e-4
    assert f"{doubt.values['residual']:.1e}" in doubt.message
    assert evidence.layers[0].layer_key == "soft"
    assert evidence.layers[0].relevance_0.sum() == pytest.approx(evidence.similarity, abs=1e-4)


def test_weights_of_the_linearisation_are_those_of_eulers_theorem(chips):
    """x_c dg/dx_c sums to g, and each cell's part follows that gradient."""
    from pairx_plugin.explainers.cell_parts import Pooling

    x = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    pooled = x.pow(2.7).mean((1, 2)).pow(1 / 2.7)
    cells = Pooling(kind="generalised mean", power=torch.tensor([2.7])).cells(x.detach())
    (gradient,) = torch.autograd.grad(pooled.sum(), x)
    np.testing.assert_allclose(cells, (8 * gradient * x).detach().flatten(1).T, rtol=1e-6)
    np.testing.assert_allclose(cells.mean(0), pooled.detach(), rtol=1e-6)


def test_miewid_shaped_networks_are_taken_apart(miewid_network, make_texture):
    (explanation,) = explain_ranking(
        miewid_network, make_texture(1), [make_texture(2)], input_size=(64, 64), explainer="point_to_point", k_lines=3
    )
    layer = explanation.layers[0]
    assert layer.layer_key == "backbone.bn2" and layer.grid_0 == (2, 2)
    assert len(layer.lines) == min(3, len(layer.matches)) > 0
    assert layer.relevance_0.sum() == pytest.approx(explanation.evidence.similarity, abs=1e-4)
    record = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    first = record["matches"][0]
    assert first["relevance"] == pytest.approx(float(layer.matches.relevance[0])) and record["plausibility"] is None
    for view in ("matches", "heatmask", "both"):
        assert explanation.picture(view).shape[2] == 3


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())], id="maximum"),
        pytest.param([Mean, lambda: nn.Linear(6, 5), nn.Tanh], id="not affine"),
        pytest.param([nn.Flatten, lambda: nn.Linear(6 * 20, 5)], id="flattened"),
        pytest.param([lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())], id="two by two"),
    ],
)
def test_other_ways_of_pooling_are_refused(parts, chips):
    with pytest.raises(UnsupportedArchitecture, match="cannot be taken apart.*another explainer"):
        PointToPoint().prepare(model_of(*parts), chips[0], Settings())


def test_layers_that_are_not_pooled_are_refused(miewid_network, make_texture):
    arguments = dict(input_size=(64, 64), explainer="point_to_point")
    with pytest.raises(SettingsError, match="'backbone.bn2', and not on 'backbone.blocks.3'"):
        explain_ranking(miewid_network, make_texture(1), [make_texture(2)], layer="backbone.blocks.3", **arguments)
    with pytest.raises(SettingsError, match="one layer"):
        keys = ["backbone.bn2", "backbone.blocks.3"]
        explain_ranking(miewid_network, make_texture(1), [make_texture(2)], layer=keys, **arguments)
    (same,) = explain_ranking(miewid_network, make_texture(1), [make_texture(2)], layer="backbone.bn2", **arguments)
    assert same.layers[0].layer_key == "backbone.bn2"


@pytest.fixture
def table():
    """Two cells against three; parts chosen so that contributions are round numbers."""
    parts = np.array([[6.0, 0.0], [0.0, 6.0]]), np.array([[3.0, 2.0], [4.0, 1.0], [-2.0, 5.0]])
    return Contributions(parts=parts, lengths=(1.0, 1.0), grids=((1, 2), (3, 1)), similarity=13.5)


def test_table_maps_and_partners_of_a_tiny_case(table):
    assert table.table.tolist() == [[3.0, 4.0, -2.0], [2.0, 1.0, 5.0]]
    assert table.overall(0).tolist() == [[5.0, 8.0]] and table.overall(1).tolist() == [[5.0], [5.0], [3.0]]
    assert table.residual == pytest.approx(0.5)
    assert table.partner((0.2, 0.5), 0).tolist() == [[3.0], [4.0], [-2.0]]
    assert table.partner((1.0, 1.0), 0).tolist() == [[2.0], [1.0], [5.0]]
    assert table.partner((0.5, 0.4), 1).tolist() == [[4.0, 1.0]]


def test_lines_of_a_tiny_case(table):
    once, mutual, every = (table.matches(rule) for rule in ("once", "mutual", "all"))
    assert once.relevance.tolist() == [5.0, 4.0]
    assert once.cells_0.tolist() == [[0, 1], [0, 0]] and once.cells_1.tolist() == [[2, 0], [1, 0]]
    assert once.distance.tolist() == pytest.approx([np.hypot(2, 1), np.hypot(2, 1)])
    assert mutual.relevance.tolist() == [5.0, 4.0]
    assert every.relevance.tolist() == [5.0, 4.0, 3.0, 2.0, 1.0], "what takes away is no line"
    assert once.shares().sum() == pytest.approx(1.0)


@pytest.mark.parametrize("point, side", [((1.1, 0.5), 0), ((0.5, -0.1), 1), ((0.5, float("nan")), 0), ((0.5, 0.5), 2)])
def test_points_outside_are_refused(table, point, side):
    with pytest.raises(SettingsError, match="0 to 1"):
        table.partner(point, side)


def test_point_finds_the_place_it_moved_to(make_texture):
    """The candidate is the query moved by two cells: a place has with the same place there what it has with itself."""
    wide = make_texture(21, 96)
    query, moved = Chip.from_array(wide[:64, :64]), Chip.from_array(wide[:64, 16:80])
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = EmbeddingModel(Net(Mean(), nn.Identity()).eval(), input_size=(64, 64))
    explainer = PointToPoint()
    session = explainer.prepare(model, query, Settings())
    contributions = session.contributions(moved)
    for col in range(2, 8):
        found = session.partner_map(moved, ((col + 0.5) / 8, 3.5 / 8))
        cell = contributions.parts[0][3 * 8 + col]
        itself = cell @ cell / (64 * 64 * contributions.lengths[0] * contributions.lengths[1])
        assert found.shape == (8, 8) and found[3, col - 2] == pytest.approx(float(itself), rel=1e-4)
    once = explainer.partner_map(model, query, moved, (2.5 / 8, 3.5 / 8), side=1)
    np.testing.assert_allclose(once, session.partner_map(moved, (2.5 / 8, 3.5 / 8), side=1), rtol=1e-6)


def test_same_picture_and_nothing_in_common_are_said(chips):
    model = model_of(Mean)
    session = PointToPoint().prepare(model, chips[0], Settings())
    (same,) = session.explain([chips[0]])
    assert [doubt.code for doubt in same.doubts] == ["SAME_PICTURE"] and same.similarity == pytest.approx(1.0)
    parts = np.eye(4), -np.eye(4)
    against = Contributions(parts=parts, lengths=(1.0, 1.0), grids=((2, 2), (2, 2)), similarity=-0.25)
    assert len(against.matches("once")) == len(against.matches("mutual")) == len(against.matches("all")) == 0


def test_option_that_does_not_fit_is_refused(chips):
    with pytest.raises(SettingsError, match="once, mutual, all"):
        PointToPoint().prepare(model_of(Mean), chips[0], Settings(options={"point_pairs": "twice"}))


def test_batches_give_what_single_candidates_give(chips):
    session = PointToPoint().prepare(model_of(Mean, lambda: nn.Linear(6, 5)), chips[0], Settings())
    for chip, together in zip(chips[1:], session.explain(chips[1:])):
        (alone,) = session.explain([chip])
        np.testing.assert_allclose(together.layers[0].relevance_1, alone.layers[0].relevance_1, atol=1e-6)
        assert together.layers[0].matches.cells_1.tolist() == alone.layers[0].matches.cells_1.tolist()
    assert session.explain([]) == []
