"""What a training run depends on: sizes, stages, seed and rates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Tuple

from .augmentation import Strength


@dataclass(frozen=True)
class Stage:
    """Some epochs at one image size; `animals` of each species and `shots` of each animal make a process's
    batch."""

    side: int
    epochs: int
    animals: int = 4
    shots: int = 2


@dataclass(frozen=True)
class Plan:
    """Everything that a training run depends on.

    Attributes:
        seed: of weights, order and augmentation.
        individuals, shots, stored_side: size of the training set and of its chips.
        measured, measured_shots: size of the set of unseen individuals that every epoch
            is measured on, and of the held-out set that only the finished network is.
        stages: image sizes and epochs.
        inference_side: image size that the configuration tells users to use.
        rate, decay: largest learning rate and weight decay of AdamW.
        margin: final ArcFace margin in radians.
        reading_first: share of the run in which only the coat is read.
        mining: weight of the similarity mining loss, 0 for none; see `similarity_mining`.
        threads: torch threads of each process.
        processes: how many share the work; each draws batches of its own.
    """

    seed: int = 20
    individuals: int = 700
    shots: int = 8
    stored_side: int = 288
    measured: int = 80
    measured_shots: int = 5
    stages: Tuple[Stage, ...] = (
        Stage(side=96, epochs=5, animals=4, shots=1),
        Stage(side=128, epochs=13),
        Stage(side=160, epochs=4),
        Stage(side=224, epochs=3),
    )
    inference_side: int = 224
    rate: float = 1e-3
    decay: float = 0.05
    margin: float = 0.25
    reading_first: float = 0.20
    mining: float = 0.0
    threads: int = 1
    processes: int = 1
    strength: Strength = field(default_factory=Strength)


def rate_at(progress: float, peak: float, warm: float = 0.05) -> float:
    """One-cycle learning rate: up over the first `warm` of the run, then down along a cosine to nothing."""
    if progress < warm:
        return peak * (0.05 + 0.95 * progress / warm)
    return peak * max(0.002, 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))))


def stage_of(plan: Plan, epoch: int) -> Stage:
    """The stage that epoch number `epoch` (from 0) belongs to."""
    for stage in plan.stages:
        if epoch < stage.epochs:
            return stage
        epoch -= stage.epochs
    return plan.stages[-1]
