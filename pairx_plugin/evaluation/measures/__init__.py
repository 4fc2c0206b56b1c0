"""One module for each section of the protocol: from a pair and a variant to figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..bench import Bench
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .attributes import measure_attributes
from .conservation import measure_conservation
from .correspondence import measure_correspondence
from .faithfulness import measure_faithfulness
from .measured import Measured
from .plausibility import measure_plausibility
from .sanity import measure_sanity
from .second_opinion import measure_by_quantus
from .stability import measure_stability

__all__ = ["MEASURE_OF", "OF_BOTH_KINDS", "Measure", "Measured"]

Measure = Callable[[Bench, Variant, EvaluationPair], Measured]

MEASURE_OF: Mapping[str, Measure] = {
    "plausibility": measure_plausibility,
    "faithfulness": measure_faithfulness,
    "sanity": measure_sanity,
    "conservation": measure_conservation,
    "correspondence": measure_correspondence,
    "stability": measure_stability,
    "attributes": measure_attributes,
    "quantus": measure_by_quantus,
}
OF_BOTH_KINDS = ("plausibility",)
"""Measures that look at pairs of two individuals as well; the others explain pairs of one."""
