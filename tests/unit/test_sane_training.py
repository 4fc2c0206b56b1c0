"""Training of attribute heads: tables of labels, what is written and kept, and the figures afterwards."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("sklearn", reason="needs the extra 'attributes'")
from pairx_plugin.errors import MissingExtra, SettingsError, StoreError  # noqa: E402
from pairx_plugin.explainers.sane.attribute_head import read_head  # noqa: E402
from pairx_plugin.explainers.sane.forward import Forward  # noqa: E402
from pairx_plugin.explainers.sane.training import TrainingPlan, read_labelled, train_head  # noqa: E402
from pairx_plugin.explainers.sane.training.concepts import similarity_gradients  # noqa: E402
from pairx_plugin.explainers.sane.training.fitting import fit_attribute  # noqa: E402
from pairx_plugin.explainers.sane.training.measuring import measure_head  # noqa: E402
from pairx_plugin.explainers.sane.training.pooled_features import default_layer, pooled_features  # noqa: E402
from pairx_plugin.models.embedding import EmbeddingModel  # noqa: E402

PLAN = TrainingPlan(folds=3, least_positive=4, least_individuals=3, precision=0.7, ranking_pairs=4)


@pytest.fixture
def model() -> EmbeddingModel:
    """A network whose feature map holds the picture's colours, so that a head can read them."""
    colours = nn.Conv2d(3, 6, 1)
    with torch.no_grad():
        colours.weight.copy_(torch.cat([torch.eye(3), -torch.eye(3)])[:, :, None, None])
        colours.bias.zero_()  # type: ignore[union-attr]
    network = nn.Sequential(nn.AvgPool2d(4), colours, nn.Hardtanh(-9, 9), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return EmbeddingModel(network.eval(), input_size=(32, 32), model_id="colours")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve individuals with three photographs each; half of them have a red mark at a place of their own."""
    rng = np.random.default_rng(0)
    rows = []
    for individual in range(12):
        marked, place = individual % 2 == 0, rng.integers(4, 20, 2)
        tone = rng.uniform(90, 110)
        for shot in range(3):
            picture = rng.normal(tone, 8, (32, 32, 3))
            if marked:
                picture[place[0] : place[0] + 8, place[1] : place[1] + 8] = (250, 20, 20)
            path = tmp_path / f"{individual}_{shot}.png"
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
            rows.append(
                {
                    "file_path": path.name,
                    "name": f"animal {individual}",
                    "species": "newt",
                    "viewpoint": ("left", "right")[shot % 2],
                    "mark:red": int(marked),
                    "mark:never": 0,
                    "nuisance:fog": "" if shot == 0 else int(shot == 1),
                }
            )
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "labels.csv"


def test_table_is_read_with_unknowns_and_viewpoints(table: Path) -> None:
    photographs = read_labelled([str(table)])
    assert len(photographs) == 36 and photographs[0].path == table.parent / "0_0.png"
    assert photographs[0].labels == {
        ("mark", "red"): True,
        ("mark", "never"): False,
        ("viewpoint", "left"): True,
        ("viewpoint", "right"): False,
    }
    assert photographs[1].labels["nuisance", "fog"] is True and photographs[0].bbox is None


def test_individuals_of_two_tables_are_never_the_same(table: Path) -> None:
    twice = read_labelled([str(table), str(table)])
    assert len({item.individual for item in twice}) == 24


@pytest.mark.parametrize(
    "header, row, words",
    [
        ("name,mark:scar", "a,1", "no column for the path"),
        ("file_path,mark:scar", "a.png,1", "no column for the individual"),
        ("file_path,name", "a.png,a", "has no attributes"),
        ("file_path,name,marks:scar", "a.png,a,1", "nearest: 'mark'"),
        ("file_path,name,mark:", "a.png,a,1", "GROUP:NAME"),
        ("file_path,name,mark:scar", "a.png,a,perhaps", "line 2 .*neither 1 nor 0"),
        ("file_path,name,mark:scar,theta", "a.png,a,1,north", "line 2 "),
        ("file_path,name,mark:scar,x,y,w,h", "a.png,a,1,1,2,3,wide", "line 2 "),
        ("file_path,name,mark:scar", "", "no labelled photographs"),
    ],
)
def test_table_that_does_not_fit_is_refused(tmp_path: Path, header: str, row: str, words: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(SettingsError, match=words):
        read_labelled([str(tmp_path / "labels.csv")])


def test_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no labelled photographs at"):
        read_labelled([str(tmp_path / "nothing.csv")])


def test_head_is_trained_calibrated_and_written(model: EmbeddingModel, table: Path, tmp_path: Path) -> None:
    stages = set()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    report = train_head(
        model, read_labelled([str(table)]), PLAN, sources=["labels.csv"], advance=lambda stage, *_: stages.add(stage)
    )
    head = report.head
    assert head.layer == default_layer(model) == "3" and head.model_sha256 == model.fingerprint()
    assert [(label.group, label.name) for label in head.labels][0] == ("mark", "red")
    red = head.labels[0]
    assert red.average_precision == 1.0 and red.n_positive == 18 and red.n_individuals == 6
    assert red.threshold is not None and red.threshold >= 0.5 and red.informativeness == pytest.approx(1.0)
    assert report.left_out == {("mark", "never"): "0 photographs of 0 individuals with it"}
    assert sum(head.ranking) == pytest.approx(1.0) and stages == {"features", "attributes", "pairs"}
    assert head.provenance["sources"] == ["labels.csv"] and head.provenance["n_individuals"] == 12
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())
    head.write(tmp_path / "head.json")
    assert read_head(tmp_path / "head.json").digest == head.digest


def test_seed_decides_the_head(model: EmbeddingModel, table: Path) -> None:
    photographs = read_labelled([str(table)])
    digests = [train_head(model, photographs, PLAN).head.digest for _ in range(2)]
    assert digests[0] == digests[1]


def test_too_few_photographs_are_refused(model: EmbeddingModel, table: Path) -> None:
    with pytest.raises(SettingsError, match="mark:red: 18 photographs of 6 individuals with it"):
        train_head(model, read_labelled([str(table)]), TrainingPlan())


def test_missing_photograph_is_told(model: EmbeddingModel, table: Path) -> None:
    (table.parent / "3_1.png").unlink()
    with pytest.raises(FileNotFoundError, match="3_1.png"):
        train_head(model, read_labelled([str(table)]), PLAN)


@pytest.mark.parametrize("values", [{"folds": 1}, {"least_positive": 1}, {"precision": 0.0}, {"ranking_pairs": -1}])
def test_plan_checks_itself(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        TrainingPlan(**values)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def refused(name: str, *args: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return importlib.import_module(name, *args)

    monkeypatch.setattr("pairx_plugin.models.optional.import_module", refused)
    with pytest.raises(MissingExtra, match=r"pairx-plugin\[attributes\]"):
        fit_attribute(np.zeros((4, 2), np.float32), [True, False] * 2, list("abcd"), folds=2, seed=0)


def test_features_are_kept_and_made_anew_for_other_photographs(
    model: EmbeddingModel, table: Path, tmp_path: Path
) -> None:
    photographs, kept = read_labelled([str(table)]), tmp_path / "kept" / "features.npz"
    first = pooled_features(model, "3", photographs, kept=kept)
    assert first.shape == (36, 6) and kept.is_file()
    calls: list[int] = []
    again = pooled_features(model, "3", photographs, kept=kept, advance=lambda done, _: calls.append(done))
    assert np.array_equal(first, again) and calls == []
    fewer = pooled_features(model, "3", photographs[:5], kept=kept)
    assert np.allclose(fewer, first[:5], atol=1e-6)
    kept.write_bytes(b"damaged")
    assert np.allclose(pooled_features(model, "3", photographs, kept=kept), first)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot keep the features"):
        pooled_features(model, "3", photographs[:2], kept=tmp_path / "file" / "features.npz")


def test_similarity_gradient_is_that_of_finite_differences(model: EmbeddingModel) -> None:
    """Adding a vector to every cell of the layer changes the cosine as the gradient says."""
    rng = torch.Generator().manual_seed(0)
    pair = tuple(torch.randn((1, 3, 32, 32), generator=rng) for _ in range(2))
    gradient = similarity_gradients(Forward(model.network, "1"), [pair])[0]  # type: ignore[list-item]
    network, vector = model.network, torch.randn(6, generator=rng).double()

    @torch.no_grad()
    def cosine(amount: float) -> float:
        pool, colours, *head = network.children()
        maps = [colours(pool(end)).double() + amount * vector[:, None, None] for end in pair]
        ends = [nn.Sequential(*head)(values) for values in maps]
        return float(nn.functional.cosine_similarity(*ends))

    slope = (cosine(1e-4) - cosine(-1e-4)) / 2e-4
    assert float(gradient @ vector.numpy()) == pytest.approx(slope, rel=1e-3)


def test_head_is_measured_on_pairs(model: EmbeddingModel, table: Path) -> None:
    photographs = read_labelled([str(table)])
    head = train_head(model, photographs, PLAN).head
    figures = measure_head(model, head, photographs, other_pairs=10)
    red = figures["labels"]["mark:red"]
    assert red["average_precision"] == 1.0 and red["n"] == 36 and red["prevalence"] == 0.5
    assert figures["map_evidence"] == 1.0 and 0 <= figures["calibration_error"] < 0.6
    same = figures["same"]
    assert same["n_pairs"] == 36 and figures["other"]["n_pairs"] == 10
    assert same["agreement"]["mean"] == 1.0 and same["coverage"]["mean"] == pytest.approx(0.5, abs=0.1)
    lost = {name: figure["mean"] for name, figure in same["lost"].items()}
    assert lost["attribute"] > lost["random_cells"]  # the red marks are what makes these animals alike
    assert same["curve"][0]["coverage"] == 1.0


def test_head_of_another_network_is_not_measured(model: EmbeddingModel, table: Path) -> None:
    photographs = read_labelled([str(table)])
    head = train_head(model, photographs, PLAN).head
    other = EmbeddingModel(model.network, input_size=(64, 64), model_id="other")
    with pytest.raises(SettingsError, match="another network"):
        measure_head(other, head, photographs)
