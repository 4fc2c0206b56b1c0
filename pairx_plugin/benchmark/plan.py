"""What is measured, as plain values that also travel to processes of their own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError, nearest

__all__ = ["ROWS", "Plan"]

ROWS = {
    "pair": "one cold pair, through compat.explain",
    "ranking": "one query and its candidates, through explain_ranking",
    "lines": "the same, lines only",
    "memory": "peak memory of that ranking",
    "kept": "memory kept beside the host's network",
    "flatness": "cost of one more candidate, from short rankings to long ones",
    "batch": "batches of pairs; left out on a CPU unless it is asked for",
    "flag": "the sample host with the flag off",
}

_LEAST = {
    "threads": 1,
    "repeats": 1,
    "n_candidates": 1,
    "reference_pairs": 1,
    "pairs_at_once": 1,
    "host_runs": 3,
    "seed": 0,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and how often.

    Attributes:
        model: ``seeded:NAME`` for a network with weights drawn from the seed on a timm backbone, else an id of the
            model catalogue.
        layer: key of the layer; the model's own where none is given.
        input_size: (height, width) in pixels; the model's own where none is given.
        device: such as ``cpu`` or ``cuda``.
        threads: processor threads that torch may use.
        repeats: how many turns each implementation has.
        n_candidates: length of the ranking.
        reference_pairs: how many pairs of the ranking the public code explains in a turn; its time is scaled from
            them to the whole ranking.
        lengths: lengths of the rankings whose cost per candidate is compared, at least 2 each.
        pairs_at_once: size of the batches of pairs.
        host_runs: how many turns the sample host has with the flag off and without the plugin.
        seed: of weights and pictures.
        rows: keys of :data:`ROWS`; empty for all that suit the device.
        quick: a small trial; what was wanted of the engine's speed does not apply to it.

    Raises:
        SettingsError: a value has the wrong type or lies outside of its range.
    """

    model: str = "seeded:efficientnetv2_rw_m"
    layer: str | None = "backbone.blocks.3"
    input_size: tuple[int, int] | None = (440, 440)
    device: str = "cpu"
    threads: int = min(2, os.cpu_count() or 1)
    repeats: int = 3
    n_candidates: int = 20
    reference_pairs: int = 2
    lengths: tuple[int, ...] = (5, 20, 200)
    pairs_at_once: int = 8
    host_runs: int = 15
    seed: int = 0
    rows: tuple[str, ...] = ()
    quick: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(f"'{name}' must be a whole number of at least {least}, not {value!r}")
        if len(set(self.lengths)) != len(self.lengths) or len(self.lengths) < 2 or min(self.lengths) < 2:
            raise SettingsError(
                f"'lengths' must be two or more different numbers of candidates, each at least 2, not {self.lengths}"
            )
        for row in self.rows:
            if row not in ROWS:
                raise SettingsError(f"there is no row '{row}'{nearest(row, ROWS)}; choose from: {', '.join(ROWS)}")

    @classmethod
    def small(cls, **changes: Any) -> Plan:
        """Return a trial with a small network and small pictures, changed as asked."""
        trial: dict[str, Any] = {
            "model": "seeded:tf_efficientnetv2_b0",
            "layer": "backbone.blocks.2",
            "input_size": (128, 128),
            "threads": 1,
            "n_candidates": 4,
            "reference_pairs": 1,
            "lengths": (3, 12),
            "pairs_at_once": 2,
            "host_runs": 7,
            "quick": True,
        }
        return cls(**{**trial, **changes})

    @property
    def chosen_rows(self) -> tuple[str, ...]:
        """The rows that are measured, in the table's order."""
        if self.rows:
            return tuple(row for row in ROWS if row in self.rows)
        return tuple(row for row in ROWS if row != "batch" or self.device != "cpu")

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, which :meth:`from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Return the plan that :meth:`to_json` wrote."""
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**read)
