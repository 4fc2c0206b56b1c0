"""What a benchmark found: one :class:`Row` per line of the table, and all of them with where they were measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..installed import version_of
from .exactness import Exactness
from .plan import Plan
from .statistics import Spread

__all__ = ["OURS", "PUBLIC", "SCHEMA", "Benchmark", "Row", "Wanted", "machine"]

SCHEMA = "pairx.benchmark/1"
OURS, PUBLIC = "ours", "public"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was wanted of the engine in a row.

    Attributes:
        limit: must be reached.
        aim: is hoped for; None where the limit is all.
        above: whether more is better.
    """

    limit: float
    aim: float | None = None
    above: bool

    def is_met(self, value: float) -> bool:
        """Return whether `value` reaches the limit."""
        return value >= self.limit if self.above else value <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"limit": self.limit, "aim": self.aim, "above": self.above}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        key: of :data:`.plan.ROWS`.
        title: what was measured, for people.
        unit: of `ours` and `public`: ``s``, ``bytes``.
        ours, public: what each implementation took, turn by turn; None where it was not measured.
        ratio: how many times less ours took, turn by turn; in row ``flag``, with the flag off by without the plugin.
            None where a side is missing.
        figure: the one number that is held against what was wanted.
        wanted: None where nothing was, or where it does not apply.
        exactness: largest differences from the public code; None where it was not compared.
        stages: seconds by stage, by implementation.
        details: further figures, as JSON values.
        notes: sentences that a reader of the figures needs.
        failures: why an implementation could not be measured, by its name.
    """

    key: str
    title: str
    unit: str
    ours: Spread | None = None
    public: Spread | None = None
    ratio: Spread | None = None
    figure: float | None = None
    wanted: Wanted | None = None
    exactness: Exactness | None = None
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the figure is what was wanted and nothing is wrong on our side; None where one of them is missing."""
        if self.wanted is None or self.figure is None:
            return None
        return OURS not in self.failures and self.wanted.is_met(self.figure)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        spreads = {"ours": self.ours, "public": self.public, "ratio": self.ratio}
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            **{name: None if spread is None else spread.to_json() for name, spread in spreads.items()},
            "figure": self.figure,
            "wanted": None if self.wanted is None else self.wanted.to_json(),
            "is_met": self.is_met,
            "exactness": None if self.exactness is None else self.exactness.to_json(),
            "stages": {name: dict(stages) for name, stages in self.stages.items()},
            "details": dict(self.details),
            "notes": list(self.notes),
            "failures": dict(self.failures),
        }


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """All rows, and where and on what they were measured.

    Attributes:
        plan: what was measured.
        layer: key of the layer that was explained.
        input_size: (height, width) in pixels.
        machine: processor, versions, threads; see :func:`machine`.
        public_code: folder and digest of the public code, None where it was not there.
        rows: in the table's order.
        seconds: what measuring took.
    """

    plan: Plan
    layer: str
    input_size: tuple[int, int]
    machine: Mapping[str, Any]
    public_code: Mapping[str, str] | None
    rows: tuple[Row, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values of schema ``pairx.benchmark/1``; no NaN, no infinity."""
        return {
            "schema": SCHEMA,
            "plan": self.plan.to_json(),
            "layer": self.layer,
            "input_size": list(self.input_size),
            "machine": dict(self.machine),
            "public_code": None if self.public_code is None else dict(self.public_code),
            "rows": [row.to_json() for row in self.rows],
            "seconds": self.seconds,
        }


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on besides the plan: processor, device, threads, versions."""
    packages = ("pairx-plugin", "torch", "timm", "zennit", "numpy")
    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version_of(package) for package in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()
