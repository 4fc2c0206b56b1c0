"""Composites by name, as settings name them.

The names are those of zennit's registry, ``zennit.composites.COMPOSITES``; what was registered there by others counts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import SettingsError, nearest
from .translation import default_composite

__all__ = ["DEFAULT_COMPOSITE", "InputRange", "composite_named", "resolve_composite"]

DEFAULT_COMPOSITE = "epsilon_plus"

InputRange = tuple[Sequence[float], Sequence[float]]
"""Lowest and highest value that an image can have after preprocessing, by channel."""


def resolve_composite(composite: Any, mode: str = "reference") -> Any:
    """Return a zennit composite, made by name where a name is given.

    Args:
        composite: a name or a zennit composite.
        mode: see :func:`composite_named`.

    Raises:
        SettingsError: it is neither; see also :func:`composite_named`.
    """
    if isinstance(composite, str):
        return composite_named(composite, mode=mode)
    if not callable(getattr(composite, "module_map", None)):
        raise SettingsError(
            f"a composite must be a name or a zennit composite, not {composite!r}; such as 'epsilon_plus', or "
            f"zennit.composites.EpsilonPlus()"
        )
    return composite


def composite_named(name: str, input_range: InputRange | None = None, *, mode: str = "reference") -> Any:
    """Return a new composite of zennit's registry.

    Args:
        name: such as ``epsilon_plus``.
        input_range: for composites whose rule of the first layer asks for it; None where it is not known.
        mode: see :func:`..program.canonization.canonize`; ``epsilon_plus`` is what the mode makes of it.

    Raises:
        SettingsError: no composite has that name, or it asks for something that is not known.
    """
    from zennit.composites import COMPOSITES

    if name == DEFAULT_COMPOSITE:
        return default_composite(mode)
    make = COMPOSITES.get(name)
    if make is None:
        raise SettingsError(
            f"setting 'composite' has no choice {name!r}{nearest(name, COMPOSITES)}; choose from: "
            f"{', '.join(sorted(COMPOSITES))}"
        )
    asked = _asked_for(make)
    strange = [argument for argument in asked if argument not in ("low", "high")]
    if strange:
        raise SettingsError(
            f"composite '{name}' asks for {', '.join(strange)}, which a name cannot give; {_own_name(name, strange)}"
        )
    if asked and input_range is None:
        raise SettingsError(
            f"composite '{name}' asks for the lowest and highest value of an image after preprocessing, which are not "
            f"known here: they are read off `mean` and `std` of an EmbeddingModel that has no `preprocess` of its own; "
            f"{_own_name(name, asked)}"
        )
    bounds = dict(zip(("low", "high"), input_range or ()))
    return make(**{argument: _column(bounds[argument]) for argument in asked})


def _asked_for(make: Callable[..., Any]) -> list[str]:
    """Return the arguments that have no default."""
    parameters = inspect.signature(make).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [item.name for item in parameters if item.kind in kinds and item.default is item.empty]


def _own_name(name: str, arguments: Sequence[str]) -> str:
    given = ", ".join(f"{argument}=..." for argument in arguments)
    return (
        f"give RelevanceModel a composite that has them, or register one under a name of its own: "
        f"zennit.composites.register_composite('mine')(functools.partial(COMPOSITES[{name!r}], {given}))"
    )


def _column(values: Sequence[float]) -> torch.Tensor:
    """Return (1, C, 1, 1), float64; the rule takes it to the image's type and device."""
    return torch.tensor([float(value) for value in values], dtype=torch.float64).reshape(1, -1, 1, 1)
