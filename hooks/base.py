"""What all records have in common: checked and frozen on the way in, JSON both ways."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeVar

from .errors import RecordError
from .values import fit, item_kinds, without_none

__all__ = ["Record", "at_least", "not_empty"]

R = TypeVar("R", bound="Record")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Base of the records: frozen to the bottom, every field checked, JSON both ways.

    Lists become tuples, and mappings become dicts that cannot be changed. NaN and infinities are None in
    JSON; where a number cannot be None, such as in a bbox, it comes back as NaN.
    """

    _kinds: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls._kinds = typing.get_type_hints(cls)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            where = f"{type(self).__name__}.{item.name}"
            object.__setattr__(self, item.name, fit(self._kinds[item.name], getattr(self, item.name), where))
        self._check()

    def _check(self) -> None:
        """Raise RecordError where the fields, each sound in itself, do not fit together."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: new dicts and lists; bytes are left out."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in values.items() if not isinstance(value, bytes)}

    @classmethod
    def from_json(cls: type[R], data: Mapping[str, Any]) -> R:
        """Build the record from :meth:`to_json`'s values; keys that it does not know are ignored.

        Raises:
            RecordError: a required key is missing or a value does not fit.
        """
        if not isinstance(data, Mapping):
            raise RecordError(
                f"{cls.__name__} is read from a mapping, not from {type(data).__name__}: {data!r:.80}"
            )
        fields = dataclasses.fields(cls)
        missing = [item.name for item in fields if _required(item) and item.name not in data]
        if missing:
            there = ", ".join(map(str, data)) or "nothing"
            raise RecordError(f"{cls.__name__} needs {', '.join(missing)}; there is {there:.200}")
        return cls(
            **{
                item.name: _revive(cls._kinds[item.name], data[item.name], f"{cls.__name__}.{item.name}")
                for item in fields
                if item.name in data
            }
        )


def not_empty(record: object, name: str) -> None:
    """Raise RecordError where the text `name` of `record` is empty or blank."""
    if not getattr(record, name).strip():
        raise RecordError(f"{type(record).__name__}.{name} must not be empty")


def at_least(record: object, name: str, least: int) -> None:
    """Raise RecordError where the number `name` of `record` is below `least`; None passes."""
    value = getattr(record, name)
    if value is not None and value < least:
        raise RecordError(f"{type(record).__name__}.{name} must be {least} or more, not {value}")


def _required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _revive(kind: Any, value: Any, where: str) -> Any:
    """Undo :func:`_plain` as far as the constructor does not do it: nested records, and None for a number."""
    kind, optional = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, Record) and isinstance(value, Mapping):
        try:
            return kind.from_json(value)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from error
    if typing.get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        kinds = item_kinds(typing.get_args(kind), len(value))
        if len(kinds) == len(value):
            return tuple(
                _revive(part, item, f"{where}[{i}]") for i, (part, item) in enumerate(zip(kinds, value))
            )
    return math.nan if kind is float and value is None and not optional else value
