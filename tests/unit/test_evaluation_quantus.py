"""Metrics of the package quantus on a pair, where their answers are known by hand; and without the package."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.chips import Chip
from pairx_plugin.errors import MissingExtra
from pairx_plugin.evaluation.measures.second_opinion import measure_by_quantus
from pairx_plugin.evaluation.pair_choice import EvaluationPair
from pairx_plugin.evaluation.plan import Plan
from pairx_plugin.evaluation.quantus_pairs import PairClassifier, PictureMetrics, attribution_of
from pairx_plugin.evaluation.subjects import Subject
from pairx_plugin.evaluation.variants import plain_variant
from pairx_plugin.models import EmbeddingModel

SIZE = 16
PAIR = EvaluationPair(
    pair_id="q | c", query_id="q", candidate_id="c", individual="a", same=True, similarity=0.9, stratum="", other_id="o"
)


class Corners(nn.Module):
    """Embeds a picture as how bright its upper left quarter is, and its lower right one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(2, 2, bias=False)
        self.scale.weight.data = torch.eye(2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        half = SIZE // 2
        quarters = pictures[:, :, :half, :half], pictures[:, :, half:, half:]
        return self.scale(torch.stack([quarter.mean((1, 2, 3)) for quarter in quarters], dim=1) + 1e-6)


def picture_of(upper: float, lower: float) -> torch.Tensor:
    picture = torch.zeros(1, 3, SIZE, SIZE)
    picture[:, :, : SIZE // 2, : SIZE // 2], picture[:, :, SIZE // 2 :, SIZE // 2 :] = upper, lower
    return picture


def quarter(first: bool) -> np.ndarray:
    values = np.zeros((2, 2), np.float32)
    values[(0, 0) if first else (1, 1)] = 1.0
    return values


def metrics(values: np.ndarray) -> PictureMetrics:
    classifier = PairClassifier(Corners(), np.eye(2))  # the partner is bright at the upper left, the other animal not
    return PictureMetrics(classifier, picture_of(1.0, 0.3), values)


def test_map_keeps_its_sum_when_it_grows():
    assert attribution_of([[1.0, -3.0], [0.5, 0.0]], (SIZE, SIZE)).sum() == pytest.approx(-1.5)
    assert attribution_of([[1.0, -1.0]], (SIZE, SIZE)).sum() == pytest.approx(0.0)
    assert np.isfinite(attribution_of(np.zeros((2, 2)), (4, 4))).all()


def test_classes_are_the_cosines_to_the_partners():
    cosines = PairClassifier(Corners(), np.eye(2))(picture_of(3.0, 4.0))
    torch.testing.assert_close(cosines, torch.tensor([[0.6, 0.8]]))


def test_measure_without_the_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "quantus", None)
    with pytest.raises(MissingExtra, match=r"pairx-plugin\[quantus\]"):
        metrics(quarter(True)).completeness()


@pytest.fixture(scope="module")
def quantus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports warn, and that is not what is tested
        return pytest.importorskip("quantus", reason="needs the extra 'quantus'")


def test_good_map_loses_the_cosine_first(quantus):
    good, bad = metrics(quarter(True)), metrics(quarter(False))
    assert good.pixel_flipping(8) < bad.pixel_flipping(8) - 0.1


def test_good_map_loses_the_partner_to_the_other_animal(quantus):
    assert metrics(quarter(True)).road() < metrics(quarter(False)).road()


def test_map_is_complete_only_if_it_adds_up(quantus):
    classifier = PairClassifier(Corners(), np.eye(2))
    whole, black = (float(classifier(picture_of(*values))[0, 0].detach()) for values in ((1.0, 0.3), (0.0, 0.0)))
    assert metrics(quarter(True) * np.float64(whole - black)).completeness() == 1.0
    assert metrics(quarter(True) * 2.0).completeness() == 0.0


def test_places_are_shares_of_the_mask(quantus):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[: SIZE // 2, : SIZE // 2] = True
    good, bad = metrics(quarter(True)), metrics(quarter(False))
    assert good.mass_accuracy(mask) > 0.7 and bad.mass_accuracy(mask) < 0.1
    assert good.rank_accuracy(mask) > 0.7 and bad.rank_accuracy(mask) < 0.1


def test_reset_network_is_explained_anew_and_generators_are_given_back(quantus):
    seen = []

    def explain(network):
        seen.append(network.scale.weight.detach().clone())
        return quarter(True) if torch.equal(seen[-1], torch.eye(2)) else quarter(False)

    torch.manual_seed(3), np.random.seed(3)
    wanted = torch.rand(1).item(), np.random.rand()
    measured = metrics(quarter(True))
    torch.manual_seed(3), np.random.seed(3)
    rho = measured.randomisation(explain)
    assert (torch.rand(1).item(), np.random.rand()) == wanted
    assert any(not torch.equal(weight, torch.eye(2)) for weight in seen) and rho < 0.0


def test_measure_gives_every_figure_or_says_why_not(quantus):
    model = EmbeddingModel(Corners().eval(), input_size=(SIZE, SIZE), mean=(0.0,) * 3, std=(1.0,) * 3)
    pictures = {}
    for name, values in zip("qco", ((1.0, 0.3), (0.9, 0.2), (0.1, 0.8))):
        pixels = (picture_of(*values)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        pictures[name] = Subject(subject_id=name, name=name, chip=Chip.from_array(pixels),
                                 mask=np.ones((SIZE, SIZE), bool) if name == "q" else None)

    def unit(chip):
        found = model.embed([chip.pixels])[0]
        return found / np.linalg.norm(found)

    bench = SimpleNamespace(
        model=model, plan=Plan(n_steps=8), embedding=unit, rivals=lambda pair: [],
        pair=lambda pair: (pictures["q"], pictures["c"]), other=lambda pair: pictures["o"],
        explain=lambda *asked, **more: SimpleNamespace(maps=(quarter(True), quarter(True))),
    )
    found = measure_by_quantus(bench, plain_variant("pairx"), PAIR)
    assert set(found.figures) == {
        "quantus_pixel_flipping", "quantus_completeness", "quantus_road", "quantus_mass_accuracy",
        "quantus_rank_accuracy", "quantus_randomised_rho",
    }
    assert found.figures["quantus_mass_accuracy"] == pytest.approx(1.0) and not found.dropped
    assert found.figures["quantus_randomised_rho"] == pytest.approx(1.0)  # the map minds no network
    bench.explain = lambda *asked, model=None, **more: SimpleNamespace(
        maps=(quarter(True) * (model is None), quarter(True))
    )
    dead = measure_by_quantus(bench, plain_variant("pairx"), PAIR)
    assert dead.dropped == {"quantus_randomised_rho": "RESET_NETWORK_UNEXPLAINED"}
    bench.explain = lambda *asked, **more: SimpleNamespace(maps=(quarter(True) * 0, quarter(True)))
    assert set(measure_by_quantus(bench, plain_variant("pairx"), PAIR).dropped.values()) == {"MAP_CONSTANT"}
    bench.explain = lambda *asked, **more: SimpleNamespace(maps=(quarter(True), quarter(True)))
    bench.other = lambda pair: None
    pictures["q"] = Subject(subject_id="q", name="q", chip=pictures["q"].chip)
    lost = measure_by_quantus(bench, plain_variant("pairx"), PAIR).dropped
    assert lost["quantus_road"] == "NO_OTHER_INDIVIDUAL" and lost["quantus_mass_accuracy"] == "NO_MASK"
