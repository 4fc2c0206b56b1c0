"""What `Settings.options` says about SANE: names that begin with ``sane_``, their ranges and their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import SettingsError, nearest

__all__ = ["FILLS", "PREFIX", "REFERENCES", "SALIENCIES", "SaneOptions"]

PREFIX = "sane_"
SALIENCIES = ("auto", "slide", "rise", "lime", "mask")
REFERENCES = ("fixed", "paired")
FILLS = ("blur", "mean", "zero")

_CPU = {"masks": {"rise": 400, "lime": 200}, "steps": 100}
_FAST = {"masks": {"rise": 2000, "lime": 1000}, "steps": 500}
_CELLS = {"slide": 14, "rise": 8, "lime": 7, "mask": 8}


def _option(default: Any, **checks: Any) -> Any:
    return field(default=default, metadata=checks)


@dataclass(frozen=True, kw_only=True)
class SaneOptions:
    """How SANE looks at a pair.

    Attributes:
        saliency: ``slide`` (sliding window), ``rise`` (random masks), ``lime`` (linear model on superpixels), ``mask``
            (learned mask), or ``auto``: the sliding window on a CPU, random masks on anything faster.
        reference: ``fixed``: the other picture is left as it is; ``paired``: it is masked as well, and the maps are
            averaged over its masked versions.
        fill: what stands where a picture is hidden: ``blur`` (the picture itself, blurred), ``mean`` (its mean colour)
            or ``zero`` (the mean of the data that the network was trained on).
        masks: how many random masks; 0 for 2000 (RISE) or 1000 (LIME), on a CPU 400 or 200.
        cells: windows, mask cells or superpixels on each axis; 0 for 14, 8 and 7.
        window: side of a sliding window, as a share of the picture's.
        steps: of the learned mask's descent; 0 for 500, on a CPU 100.
        batch: pictures in one forward pass; 0 for what fits into the memory.
        head: path of an attribute head; empty for the one that belongs to the model, ``without`` for saliency alone.

    Raises:
        SettingsError: a value is not of its kind or out of its range.
    """

    saliency: str = _option("auto", choices=SALIENCIES)
    reference: str = _option("fixed", choices=REFERENCES)
    fill: str = _option("blur", choices=FILLS)
    masks: int = _option(0, least=0, most=100_000)
    cells: int = _option(0, least=0, most=64)
    window: float = _option(0.2, least=0.02, most=0.9)
    steps: int = _option(0, least=0, most=10_000)
    batch: int = _option(0, least=0, most=4096)
    head: str = _option("")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SaneOptions:
        """Read the options that are SANE's; those of other explainers are passed over.

        Raises:
            SettingsError: a name beginning with ``sane_`` is unknown, or its value does not fit.
        """
        names = [item.name for item in dataclasses.fields(cls)]
        own = {key[len(PREFIX) :]: value for key, value in options.items() if str(key).startswith(PREFIX)}
        for name in own:
            if name not in names:
                known = [PREFIX + other for other in names]
                raise SettingsError(
                    f"unknown option '{PREFIX}{name}' of the explainer 'sane'{nearest(PREFIX + name, known)}; "
                    f"known: {', '.join(known)}"
                )
        return cls(**own)

    def settled(self, device_type: str) -> SaneOptions:
        """Return the options with every default filled in for a device."""
        slow = device_type == "cpu"
        usual: dict[str, Any] = _CPU if slow else _FAST
        saliency = ("slide" if slow else "rise") if self.saliency == "auto" else self.saliency
        return dataclasses.replace(
            self,
            saliency=saliency,
            masks=self.masks or usual["masks"].get(saliency, 0),
            cells=self.cells or _CELLS[saliency],
            steps=self.steps or usual["steps"],
        )


def _checked(item: dataclasses.Field[Any], value: Any) -> Any:
    name, checks = PREFIX + item.name, item.metadata
    if item.type == "str":
        if not isinstance(value, str):
            raise SettingsError(f"option '{name}' must be a text, not {type(value).__name__} {value!r}")
        if "choices" in checks and value not in checks["choices"]:
            raise SettingsError(
                f"option '{name}' has no choice {value!r}{nearest(value, checks['choices'])}; "
                f"choose from: {', '.join(checks['choices'])}"
            )
        return value
    number = _number(name, value)
    if not checks["least"] <= number <= checks["most"] or (item.type == "int" and number != int(number)):
        kind = "a whole number" if item.type == "int" else "a number"
        raise SettingsError(f"option '{name}' is {value!r}; give {kind} in {checks['least']}..{checks['most']}")
    return int(number) if item.type == "int" else number


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError(value)
        return float(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"option '{name}' must be a number, not {type(value).__name__} {value!r}") from error
