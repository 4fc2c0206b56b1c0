"""Finding the plugins that installed distributions name in their entry points, one by one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint

from .base import Record
from .errors import PluginLoadError
from .failures import FailureLog, in_words
from .markers import ENTRY_POINT_GROUP

__all__ = ["PluginDescription", "describe_entry_point", "find_entry_points", "load"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginDescription(Record):
    """What is known of one plugin, for people.

    Attributes:
        name: under which it is registered, or would be.
        module: where its code is.
        distribution: that brought it by an entry point; None for a plugin that the host registered.
        version: of the distribution.
        hooks: that it implements, sorted.
        explainers: ids of those that it registers.
        error: why it could not be loaded; None where all is well.
    """

    name: str
    module: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    explainers: tuple[str, ...] = ()
    error: str | None = None


def find_entry_points(failures: FailureLog) -> list[EntryPoint]:
    """Return the entry points of our group, sorted by name.

    One distribution with unreadable metadata makes the usual look-up fail for all; then they are asked one by
    one.
    """
    try:
        found = list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
    except Exception as error:
        failures.add("(installed distributions)", None, error)
        found = list(_find_one_by_one())
    return sorted(found, key=lambda item: item.name)  # stable: of one name, the first on the path comes first


def _find_one_by_one() -> Iterator[EntryPoint]:
    for distribution in importlib.metadata.distributions():
        try:
            yield from [item for item in distribution.entry_points if item.group == ENTRY_POINT_GROUP]
        except Exception:  # that some metadata is unreadable is recorded already
            continue


def describe_entry_point(entry_point: EntryPoint, error: str | None = None) -> PluginDescription:
    """Return what is known of a plugin before it is loaded."""
    distribution, version = _distribution_of(entry_point)
    return PluginDescription(
        name=entry_point.name,
        module=entry_point.value.partition(":")[0].strip(),
        distribution=distribution,
        version=version,
        error=error,
    )


def load(entry_point: EntryPoint) -> object:
    """Import the plugin that an entry point names.

    Raises:
        PluginLoadError: the import raised something, be it SystemExit.
    """
    try:
        return entry_point.load()
    except (Exception, SystemExit) as error:
        brought_by = " ".join(filter(None, _distribution_of(entry_point))) or "an unnamed distribution"
        raise PluginLoadError(
            f"'{entry_point.value}' of {brought_by} cannot be imported: {in_words(error)}; "
            f"repair or uninstall it, or block the plugin '{entry_point.name}'"
        ) from error


def _distribution_of(entry_point: EntryPoint) -> tuple[str | None, str | None]:
    try:
        distribution = entry_point.dist
        return (distribution.metadata["Name"], distribution.version) if distribution else (None, None)
    except Exception:  # metadata without a name or version, which importlib.metadata meets in several ways
        return None, None
