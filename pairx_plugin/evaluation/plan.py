"""How thorough an evaluation is: which measures it takes, on how many pairs, and how finely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import SettingsError, nearest
from .fills import FILLS

__all__ = ["MEASURES", "PROFILES", "UNASKED", "Plan"]

MEASURES = (
    "plausibility",
    "faithfulness",
    "sanity",
    "conservation",
    "correspondence",
    "stability",
    "attributes",
    "quantus",
)
UNASKED = MEASURES[:-1]
"""Measures that are taken unless others are asked for: all but that of the package quantus, an extra of its own."""
PROFILES = ("quick", "full")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        n_pairs: pairs of one individual; as many equally similar ones of two come on top where they can be had.
        n_photographs: that pairs are chosen among, and four for each pair at least. Many make equally similar pairs
            of two individuals easier to find.
        seed: of everything that draws.
        profile: ``quick``, or ``full`` with the protocol's own step width, all fills and all depths.
        n_steps: steps of an insertion or deletion curve.
        fills: what stands in for pixels that are taken away.
        depths: shares of the modules, from the top, whose weights are drawn anew.
        top_k: matches that are judged, most relevant first.
        necessity_k: matches whose ends are blurred for pair necessity.
        n_draws: random sets that pair necessity is compared with.
        n_seeds: seeds, besides the first, for seed noise.
        measures: which sections of the protocol.
    """

    n_pairs: int = 8
    n_photographs: int = 256
    seed: int = 0
    profile: str = "quick"
    n_steps: int = 10
    fills: tuple[str, ...] = ("blur",)
    depths: tuple[float, ...] = (0.5, 1.0)
    top_k: int = 20
    necessity_k: int = 10
    n_draws: int = 3
    n_seeds: int = 1
    measures: tuple[str, ...] = UNASKED

    def __post_init__(self) -> None:
        if self.n_pairs < 1:
            raise SettingsError(f"--pairs is {self.n_pairs}; evaluate at least one pair, and twenty to learn much")
        if self.n_photographs < 2:
            raise SettingsError(f"--photographs is {self.n_photographs}; two make a pair, hundreds a choice of them")
        for name, known in (("measures", MEASURES), ("fills", tuple(FILLS))):
            for item in getattr(self, name):
                if item not in known:
                    raise SettingsError(
                        f"there is no {item!r} among the {name}{nearest(item, known)}: {', '.join(known)}"
                    )

    @classmethod
    def of_profile(cls, profile: str, **changes: Any) -> Plan:
        """Return a profile's plan with changes; None stands for no change.

        Raises:
            SettingsError: there is no such profile, or a value does not fit.
        """
        if profile not in PROFILES:
            raise SettingsError(f"there is no profile {profile!r}{nearest(profile, PROFILES)}: {', '.join(PROFILES)}")
        full: dict[str, Any] = {
            "n_steps": 100,
            "fills": tuple(FILLS),
            "depths": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
            "n_seeds": 2,
        }
        plan = cls(profile=profile, **(full if profile == "full" else {}))
        return replace(plan, **{name: value for name, value in changes.items() if value is not None})

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def decides(self) -> dict[str, Any]:
        """Return what a kept result depends on: more pairs, or other measures, add results and change none.

        The photographs themselves are counted by their own digest.
        """
        free = ("n_pairs", "n_photographs", "measures")
        return {name: value for name, value in self.to_json().items() if name not in free}
