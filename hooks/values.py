"""What a field of a record may hold: plain values, frozen to the bottom, that survive JSON.

:func:`fit` brings a value into the type that a field declares, or says why it does not fit. JSON data inside
a record becomes :class:`FrozenDict` and :class:`FrozenList`: still a dict and a list for ``json.dumps`` and
for ``==``, but nobody who is handed the record can change them.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from numbers import Integral, Real
from typing import Any, NoReturn, Union

from .errors import RecordError, nearest

__all__ = ["FrozenDict", "FrozenList", "fit", "frozen_json", "item_kinds", "shown", "without_none"]

_DEEPEST = 64


def _refuse(self: object, *_: Any, **__: Any) -> NoReturn:
    raise TypeError("records are frozen; copy the data first, for example with dict(...) or list(...)")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed; equal to a plain dict of the same items."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)  # the default would fill an empty one item by item


class FrozenList(list[Any]):
    """A list that cannot be changed; equal to a plain list of the same items."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = _refuse
    extend = insert = pop = remove = reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (list(self),)


def frozen_json(value: Any, where: str, depth: int = 0) -> Any:
    """Return JSON data as plain, frozen values; NaN and infinities become None, since JSON has neither.

    Scalars of NumPy become Python's.

    Args:
        value: the data.
        where: what it is part of, for messages.
        depth: how deep `value` lies already.

    Raises:
        RecordError: something in it is no JSON value, a key is no text, or it is nested too deeply (or in
            itself).
    """
    if depth > _DEEPEST:
        raise RecordError(
            f"{where:.60}… is nested deeper than {_DEEPEST} levels, or holds itself; flatten it"
        )
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return frozen_json(value.value, where, depth)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return frozen_json(value.item(), where, depth + 1)  # NumPy's bool and arrays without an axis
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise RecordError(
                    f"{where} has the key {key!r} of type {_name(key)}; JSON keys are texts, such as '{key}'"
                )
        return FrozenDict(
            {str.__str__(key): frozen_json(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        )
    if isinstance(value, (list, tuple)):
        return FrozenList(frozen_json(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
    raise RecordError(
        f"{where} holds a {_name(value)}, which is no JSON value: {shown(value)}; "
        "give None, bool, number, text, list or dict (arrays by .tolist(), paths and dates by str(...))"
    )


def without_none(kind: Any) -> tuple[Any, bool]:
    """Return the type that a field declares without its ``| None``, and whether that was there."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        rest = [part for part in typing.get_args(kind) if part is not type(None)]
        return rest[0], len(rest) < len(typing.get_args(kind))
    return kind, False


def item_kinds(kinds: tuple[Any, ...], n_items: int) -> tuple[Any, ...]:
    """Return the types of a tuple's items: as declared, or X `n_items` times for ``tuple[X, ...]``."""
    return (kinds[0],) * n_items if kinds[-1] is Ellipsis else kinds


def fit(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as the type that a field declares.

    Args:
        kind: str, int, float, bool, bytes, an Enum, ``tuple[X, ...]``, ``tuple[X, Y]`` or a Mapping, each
            with or without ``| None``.
        value: what was given.
        where: ``Record.field`` for messages.

    Raises:
        RecordError: it does not fit.
    """
    kind, optional = without_none(kind)
    if value is None and optional:
        return None
    origin = typing.get_origin(kind) or kind
    if origin is tuple:
        return _fit_tuple(typing.get_args(kind), value, where)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            _unfit(where, "a mapping of JSON values", value)
        return frozen_json(value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _fit_choice(kind, value, where)
    return _fit_scalar(kind, value, where, optional)


def _fit_scalar(kind: type, value: Any, where: str, optional: bool) -> Any:
    # bool is an int and NumPy's numbers are none: both are sorted by what they mean, not by their class
    number = isinstance(value, Real) and not isinstance(value, bool)
    if kind is str and isinstance(value, str):
        return str.__str__(value)
    if kind is int and number and isinstance(value, Integral):
        return int(value)
    if kind is float and number:
        try:
            return float(value)
        except OverflowError:
            _unfit(where, "a number that a float can hold", value)
    if kind is bytes and isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if kind not in (str, int, float, bytes) and isinstance(value, kind):
        return value
    _unfit(where, _WANTED.get(kind, f"of type {kind.__name__}") + (" or None" if optional else ""), value)


def _fit_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        _unfit(where, "a tuple or list", value)
    items = tuple(value)
    kinds = item_kinds(kinds, len(items))
    if len(kinds) != len(items):
        _unfit(where, f"{len(kinds)} values", value)
    return tuple(fit(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, items)))


def _fit_choice(kind: type[Enum], value: Any, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = [str(item.value) for item in kind]
        raise RecordError(
            f"{where} has no choice {value!r}{nearest(str(value), known)}; choose from: {', '.join(known)}"
        ) from None


def _unfit(where: str, wanted: str, value: Any) -> NoReturn:
    raise RecordError(f"{where} must be {wanted}, not {_name(value)} {shown(value)}")


def shown(value: object) -> str:
    """Return the beginning of a value's repr, for messages."""
    try:
        return f"{value!r:.80}"
    except Exception:  # a foreign object's repr must not hide what is wrong with it; huge ints have none
        return "(no repr)"


def _name(value: object) -> str:
    return type(value).__name__


_WANTED: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    bytes: "bytes",
}
