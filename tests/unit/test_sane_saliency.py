"""Saliency by masking: on networks that look at one known patch, and what it costs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.chips import Chip
from pairx_plugin.errors import ModelError, SettingsError
from pairx_plugin.explainers.base import Explainer, SteppedSession, Stop
from pairx_plugin.explainers.sane import Sane
from pairx_plugin.models.embedding import EmbeddingModel
from pairx_plugin.pipeline import explain_ranking
from pairx_plugin.settings import Settings

SIZE = 48
PATCH = (slice(8, 20), slice(28, 40))  # rows, columns that the network looks at


class PatchNetwork(nn.Module):
    """Embeds one patch of the picture and nothing else: (N, 3, 48, 48) to (N, 108)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patch = images[:, :, PATCH[0], PATCH[1]]
        return nn.functional.avg_pool2d(patch, 2).flatten(1) * self.scale


@pytest.fixture
def model() -> EmbeddingModel:
    return EmbeddingModel(PatchNetwork().eval(), input_size=(SIZE, SIZE), model_id="patch")


@pytest.fixture
def chips(make_texture: Any) -> list[Chip]:
    """Three chips that share the patch and nothing else."""
    shared = make_texture(9, SIZE)[PATCH]
    found = []
    for seed in (1, 2, 3):
        picture = make_texture(seed, SIZE).copy()
        picture[PATCH] = shared
        found.append(Chip.from_array(picture))
    return found


def explained(model: EmbeddingModel, chips: list[Chip], seed: int = 0, **options: Any) -> list[Any]:
    settings = Settings(explainer="sane", seed=seed, options={f"sane_{name}": value for name, value in options.items()})
    return Sane().prepare(model, chips[0], settings).explain(chips[1:])


def in_patch(values: np.ndarray) -> bool:
    """Whether the map is largest in the patch, give or take a cell; a superpixel is as large all over."""
    rows, columns = np.nonzero(values == values.max())
    y, x = (rows + 0.5) * SIZE / values.shape[0], (columns + 0.5) * SIZE / values.shape[1]
    slack = SIZE / min(values.shape)
    inside = (PATCH[0].start - slack <= y) & (y <= PATCH[0].stop + slack)
    return bool((inside & (PATCH[1].start - slack <= x) & (x <= PATCH[1].stop + slack)).any())


@pytest.mark.parametrize("reference", ["fixed", "paired"])
@pytest.mark.parametrize(
    "options",
    [
        {"saliency": "slide"},
        {"saliency": "slide", "fill": "mean"},
        {"saliency": "slide", "fill": "zero"},
        {"saliency": "rise", "masks": 300},
        {"saliency": "lime", "masks": 300, "cells": 6},
        {"saliency": "mask", "steps": 60},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_saliency_peaks_where_the_network_looks(
    model: EmbeddingModel, chips: list[Chip], options: dict[str, Any], reference: str
) -> None:
    evidence = explained(model, chips[:2], reference=reference, **options)[0]
    layer = evidence.layers[0]
    assert in_patch(layer.relevance_0) and in_patch(layer.relevance_1)
    assert evidence.similarity == pytest.approx(1.0, abs=1e-5)
    assert len(layer.matches) == 0 and layer.plausibility is None and layer.layer_key == "input"


def test_places_that_the_network_does_not_see_count_nothing(model: EmbeddingModel, chips: list[Chip]) -> None:
    layer = explained(model, chips[:2], saliency="slide", fill="mean")[0].layers[0]
    assert np.abs(layer.relevance_0[8:]).max() < 1e-6 < layer.relevance_0.max()


@pytest.mark.parametrize("reference", ["fixed", "paired"])
def test_masked_queries_serve_all_candidates(model: EmbeddingModel, chips: list[Chip], reference: str) -> None:
    settings = Settings(options={"sane_saliency": "slide", "sane_cells": 5, "sane_reference": reference})
    session = Sane().prepare(model, chips[0], settings)
    assert session.forward.n_pictures == 1
    session.explain(chips[1:2])
    assert session.forward.n_pictures == 1 + 25 + (1 + 25)
    session.explain(chips[2:3])
    assert session.forward.n_pictures == 1 + 25 + 2 * (1 + 25)


def test_first_and_later_candidates_get_the_same_evidence(model: EmbeddingModel, chips: list[Chip]) -> None:
    together = explained(model, chips, saliency="rise", masks=50)
    alone = explained(model, [chips[0], chips[2]], saliency="rise", masks=50)
    assert np.array_equal(together[1].layers[0].relevance_0, alone[0].layers[0].relevance_0)
    assert np.array_equal(together[1].layers[0].relevance_1, alone[0].layers[0].relevance_1)


@pytest.mark.parametrize("saliency", ["rise", "lime", "mask"])
def test_seed_decides_what_is_drawn(model: EmbeddingModel, chips: list[Chip], saliency: str) -> None:
    few = {"saliency": saliency, "masks": 40, "steps": 5}
    maps = [explained(model, chips[:2], seed=seed, **few)[0].layers[0].relevance_0 for seed in (0, 0, 1)]
    assert np.array_equal(maps[0], maps[1]) and not np.array_equal(maps[0], maps[2])


def test_batch_size_changes_nothing(model: EmbeddingModel, chips: list[Chip]) -> None:
    maps = [explained(model, chips[:2], saliency="slide", batch=n)[0].layers[0].relevance_0 for n in (1, 7, 0)]
    assert np.allclose(maps[0], maps[1], atol=1e-6) and np.allclose(maps[0], maps[2], atol=1e-6)


@pytest.mark.parametrize("saliency", ["slide", "rise", "lime", "mask"])
def test_host_is_left_as_it_was(tiny_network: nn.Module, make_texture: Any, saliency: str) -> None:
    model = EmbeddingModel(tiny_network, input_size=(24, 24))
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    flags = [parameter.requires_grad for parameter in tiny_network.parameters()]
    chips = [Chip.from_array(make_texture(seed, 24)) for seed in (1, 2)]
    explained(model, chips, saliency=saliency, masks=20, steps=3)
    assert all(torch.equal(before[name], value) for name, value in tiny_network.state_dict().items())
    assert [parameter.requires_grad for parameter in tiny_network.parameters()] == flags
    assert all(parameter.grad is None for parameter in tiny_network.parameters())
    assert all(not module._forward_hooks and not module.training for module in tiny_network.modules())


def test_threads_do_not_disturb_each_other(tiny_network: nn.Module, make_texture: Any) -> None:
    model = EmbeddingModel(tiny_network, input_size=(24, 24))
    chips = [Chip.from_array(make_texture(seed, 24)) for seed in range(5)]
    alone = [explained(model, [chips[0], chip], saliency="slide")[0].layers[0].relevance_1 for chip in chips[1:]]
    found: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        evidence = explained(model, [chips[0], chips[index + 1]], saliency="slide")[0]
        found[index] = evidence.layers[0].relevance_1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[index], alone[index]) for index in range(4))


def test_work_stops_between_batches(model: EmbeddingModel, chips: list[Chip]) -> None:
    settings = Settings(options={"sane_saliency": "slide", "sane_batch": 10})
    session = Sane().prepare(model, chips[0], settings)
    asked = iter([False, False, True])
    assert list(session.steps(chips[1:], Stop(lambda: next(asked, True)))) == []
    assert session.forward.n_pictures == 1 + 1 + 10  # the query, one candidate, one batch of masked queries


def test_learned_mask_stops_too(model: EmbeddingModel, chips: list[Chip]) -> None:
    session = Sane().prepare(model, chips[0], Settings(options={"sane_saliency": "mask", "sane_steps": 10_000}))
    asked = iter([False] * 5)
    assert list(session.steps(chips[1:], Stop(lambda: next(asked, True)))) == []


def test_explainer_and_session_follow_their_protocols(model: EmbeddingModel, chips: list[Chip]) -> None:
    explainer = Sane()
    session = explainer.prepare(model, chips[0], Settings())
    assert isinstance(explainer, Explainer) and isinstance(session, SteppedSession)
    assert session.explain([]) == []
    assert session.options.saliency == "slide" and session.options.cells == 14  # 196 forward passes on a CPU


@pytest.mark.parametrize(
    "options, words",
    [
        ({"sane_salience": "rise"}, "nearest: 'sane_saliency'"),
        ({"sane_saliency": "rsie"}, "choose from: auto, slide, rise, lime, mask"),
        ({"sane_fill": 3}, "must be a text"),
        ({"sane_masks": "many"}, "must be a number"),
        ({"sane_masks": -1}, r"0\.\.100000"),
        ({"sane_window": 2}, r"0\.02\.\.0\.9"),
        ({"sane_cells": True}, "must be a number"),
        ({"sane_cells": 3.5}, "whole number"),
        ({"sane_head": "/nowhere/head.json"}, "no attribute head at"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_options_are_refused(
    model: EmbeddingModel, chips: list[Chip], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        Sane().prepare(model, chips[0], Settings(options=options))


def test_network_in_training_mode_is_refused(chips: list[Chip]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    with pytest.raises(ModelError, match="training mode"):
        Sane().prepare(EmbeddingModel(network, input_size=(SIZE, SIZE)), chips[0], Settings())


def test_constant_network_is_doubted(chips: list[Chip]) -> None:
    class Constant(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones((len(images), 4))

    model = EmbeddingModel(Constant().eval(), input_size=(SIZE, SIZE))
    evidence = explained(model, chips[:2], saliency="slide", cells=4)[0]
    assert "SALIENCY_FLAT" in [doubt.code for doubt in evidence.doubts]
    assert np.isfinite(evidence.layers[0].relevance_0).all()


def test_picture_compared_with_itself_says_so(model: EmbeddingModel, chips: list[Chip]) -> None:
    evidence = explained(model, [chips[0], chips[0]], saliency="slide", cells=4)[0]
    assert "SAME_PICTURE" in [doubt.code for doubt in evidence.doubts]
    assert np.array_equal(evidence.layers[0].relevance_0, evidence.layers[0].relevance_1)


def test_memory_that_runs_out_halves_the_batch(model: EmbeddingModel, chips: list[Chip]) -> None:
    session = Sane().prepare(model, chips[0], Settings(options={"sane_saliency": "slide", "sane_cells": 6}))
    run, sizes = session.forward.run, []

    def small(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(len(tensor))
        if len(tensor) > 10:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return run(tensor)

    session.forward.run = small  # type: ignore[method-assign]
    evidence = session.explain(chips[1:2])[0]
    assert sizes[1:4] == [36, 18, 9] and in_patch(evidence.layers[0].relevance_0)


def test_it_is_registered_and_its_record_is_json(model: EmbeddingModel, chips: list[Chip]) -> None:
    import json

    found = explain_ranking(
        model, chips[0], chips[1:], explainer="sane", options={"sane_saliency": "slide", "sane_cells": 6}
    )
    record = json.loads(json.dumps(found[0].to_json(), allow_nan=False))
    assert record["status"] == "ready" and record["algorithm"] == "sane"
    assert record["attributes"] == [] and record["abstained"] is False
    assert "NO_ATTRIBUTE_HEAD" in [warning["code"] for warning in record["warnings"]]
    assert record["params"]["options"]["sane_cells"] == 6 and record["params"]["seed"] == 0
    assert found[0].picture("heatmask").shape[2] == 3
