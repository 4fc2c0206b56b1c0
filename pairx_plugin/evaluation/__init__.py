"""Evidence about the evidence: which explanation to believe, measured.

``pairx-plugin evaluate`` runs it. Metrics are small functions on arrays; `measures` applies them to pairs; null
baselines that cannot know anything stand beside every explainer.
"""

from __future__ import annotations

from .data_source import DataSource
from .plan import MEASURES, PROFILES, Plan
from .report import write_files
from .running import EvaluationRun, evaluate
from .sources import find_source
from .summary import Summary, summarise
from .variants import Variant, parse_variant, plain_variant

__all__ = [
    "DataSource",
    "EvaluationRun",
    "MEASURES",
    "PROFILES",
    "Plan",
    "Summary",
    "Variant",
    "evaluate",
    "find_source",
    "parse_variant",
    "plain_variant",
    "summarise",
    "write_files",
]
