"""Plugins by name, and calls to them one by one, so that each one's failure stays its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .discovery import PluginDescription, describe_entry_point, find_entry_points, load
from .errors import HookCallError, HookValidationError, OwnFailure, PluginNameError
from .failures import FailureLog, PluginFailure, in_words
from .markers import PROJECT_NAME
from .validation import check_plugin

if TYPE_CHECKING:
    from pluggy import HookImpl

__all__ = ["PluginRegistry"]


class _Pluggy(pluggy.PluginManager):
    """Looks for implementations also where an attribute cannot be read; pluggy's releases differ on that."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        try:
            return super().parse_hookimpl_opts(plugin, name)
        except Exception:  # a property of the plugin's own, not ready yet: no hook
            return None


class PluginRegistry:
    """The registered plugins and their implementations of the hooks; threads may share it.

    pluggy ends a call at the first exception, and older ``subset_hook_caller`` miss implementations under
    another name (``specname``). Implementations are called here directly, in pluggy's order: the plugin
    that was registered last comes first, save for ``tryfirst`` and ``trylast``. What is isolated: Exception
    and SystemExit.

    Args:
        blocked: names of plugins that are neither loaded nor registered.
        n_failures: how many failures are kept.
    """

    def __init__(self, *, blocked: Sequence[str], n_failures: int) -> None:
        self._pluggy = _Pluggy(PROJECT_NAME)
        self._pluggy.add_hookspecs(hookspecs)
        for name in (blocked,) if isinstance(blocked, str) else blocked:
            self._pluggy.set_blocked(name)
        self._installed: dict[str, PluginDescription] = {}
        self._lock = threading.RLock()
        self.failures = FailureLog(n_failures)
        self.not_loaded: list[PluginDescription] = []

    def register(self, plugin: object, name: str | None = None) -> str:
        """Register a module or object and return its name; one that is registered already keeps its name.

        Raises:
            HookValidationError: it implements a hook that does not exist, or wrongly, or none at all.
            PluginNameError: `name` is taken or blocked, or the plugin has another name already.
        """
        with self._lock:
            for known, registered in self._pluggy.list_name_plugin():
                if registered is plugin and name in (None, known):
                    return known
                if registered is plugin:
                    raise PluginNameError(
                        f"plugin '{name}' is registered already, as '{known}'; use that name"
                    )
            chosen = self._free_name(plugin, name)
            check_plugin(self._pluggy, plugin, chosen)
            try:
                self._pluggy.register(plugin, chosen)
            except (pluggy.PluginValidationError, ValueError) as error:
                self._pluggy.unregister(name=chosen)  # older releases leave half of it behind
                raise HookValidationError(f"plugin '{chosen}' cannot be registered: {error}") from error
            return chosen

    def load_entry_points(self) -> None:
        """Load and register the plugins of installed distributions; record and pass over those that fail."""
        for entry_point in find_entry_points(self.failures):
            if self._pluggy.is_blocked(entry_point.name):
                continue
            try:
                name = self.register(load(entry_point), entry_point.name)
                self._installed[name] = describe_entry_point(entry_point)
            except (Exception, SystemExit) as error:
                failure = self.failures.add(entry_point.name, None, error)
                self.not_loaded.append(describe_entry_point(entry_point, failure.error))

    def names(self) -> list[str]:
        """Return the names of the registered plugins, in the order of registration."""
        return [name for name, plugin in self._pluggy.list_name_plugin() if plugin is not None]

    def describe(self, name: str) -> PluginDescription:
        """Return what is known of a registered plugin, apart from its explainers."""
        plugin, installed = self._pluggy.get_plugin(name), self._installed.get(name)
        hooks = [
            hook
            for hook in hookspecs.__all__
            if name in (item.plugin_name for item in self.implementations(hook))
        ]
        return PluginDescription(
            name=name,
            module=getattr(plugin, "__name__", None) or type(plugin).__module__,
            distribution=installed.distribution if installed else None,
            version=installed.version if installed else None,
            hooks=tuple(sorted(hooks)),
        )

    def implementations(self, hook: str) -> list[HookImpl]:
        """Return the implementations of a hook in the order in which they are asked."""
        found: list[HookImpl] = getattr(self._pluggy.hook, hook).get_hookimpls()
        return found[::-1]

    def first(self, hook: str, subject: str, **arguments: Any) -> Any | None:
        """Return the first answer that is not None; None where every plugin says None.

        A plugin that raises OwnFailure ends the asking; after any other exception the next one is asked.

        Args:
            hook: its name.
            subject: what is missing if nobody answers, for the message: ``no model 'x'``.
            arguments: of the hook.

        Raises:
            HookCallError: nobody answered and at least one plugin failed, or one failed at what is its own.
        """
        first_error: tuple[str, BaseException] | None = None
        for implementation in self.implementations(hook):
            try:
                answer = _call(implementation, arguments)
            except (Exception, SystemExit) as error:
                self.failures.add(implementation.plugin_name, hook, error)
                if isinstance(error, OwnFailure):
                    first_error = implementation.plugin_name, error
                    break
                first_error = first_error or (implementation.plugin_name, error)
                continue
            if answer is not None:
                return answer
        if first_error is None:
            return None
        plugin, cause = first_error
        raise HookCallError(
            f"{subject}: plugin '{plugin}' failed: {in_words(cause)}", plugin=plugin, cause=cause
        ) from cause

    def every(self, hook: str, **arguments: Any) -> tuple[PluginFailure, ...]:
        """Call every plugin, and return the failures of those that raised."""
        failed = []
        for implementation in self.implementations(hook):
            try:
                _call(implementation, arguments)
            except (Exception, SystemExit) as error:
                failed.append(self.failures.add(implementation.plugin_name, hook, error))
        return tuple(failed)

    def items(
        self, implementation: HookImpl, hook: str, arguments: dict[str, Any]
    ) -> Iterator[tuple[Any, BaseException | None]]:
        """Yield (item, None) for each item of a plugin's answer, and (None, error) last if it raises."""
        try:
            answer = _call(implementation, arguments)
            for item in () if answer is None else answer:
                yield item, None
        except (Exception, SystemExit) as error:
            self.failures.add(implementation.plugin_name, hook, error)
            yield None, error

    def _free_name(self, plugin: object, name: str | None) -> str:
        names = {known for known, _ in self._pluggy.list_name_plugin()}
        if name is not None:
            if not isinstance(name, str) or not name.strip():
                raise PluginNameError(f"a plugin's name must be a text that is not empty, not {name!r:.80}")
            if name in names:
                state = "blocked" if self._pluggy.is_blocked(name) else "taken by another plugin"
                raise PluginNameError(
                    f"the plugin name '{name}' is {state}; names: {', '.join(sorted(names))}"
                )
            return name
        own = getattr(plugin, "__name__", None)
        own = own if isinstance(own, str) else f"{type(plugin).__module__}.{type(plugin).__qualname__}"
        if self._pluggy.is_blocked(own):
            raise PluginNameError(f"the plugin name '{own}' is blocked; unblock it or leave the plugin out")
        return next(each for each in _numbered(own) if each not in names)


def _call(implementation: HookImpl, arguments: dict[str, Any]) -> Any:
    # arguments with a default, passed where the hook has them: older releases of pluggy leave them out
    optional = {name: arguments[name] for name in implementation.kwargnames if name in arguments}
    return implementation.function(*(arguments[name] for name in implementation.argnames), **optional)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
