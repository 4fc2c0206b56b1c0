"""Makes attribute heads: labels in, one JSON file out. Needs the extra ``attributes``; using a head does not."""

from __future__ import annotations

from .head_training import HeadReport, TrainingPlan, train_head
from .labels import LabelledPhotograph, read_labelled

__all__ = ["HeadReport", "LabelledPhotograph", "TrainingPlan", "read_labelled", "train_head"]
