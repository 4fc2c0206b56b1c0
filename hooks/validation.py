"""Is a plugin sound? Asked before it is registered, so that a mistake is found at the start.

pluggy itself checks that an implementation takes no unknown argument. It does not see an argument behind a
star (it would never be passed), a coroutine (it would never be awaited) or a class in place of an object;
this module does.
"""

from __future__ import annotations

import inspect
from typing import Any

import pluggy

from .errors import HookValidationError, nearest
from .hookspecs import __all__ as HOOK_NAMES

__all__ = ["check_plugin"]

_P = inspect.Parameter


def check_plugin(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Raise where `plugin` cannot be called as the contract says.

    Args:
        manager: knows the hooks' specifications and the marker of implementations.
        plugin: a module or an object.
        name: its name, for messages.

    Raises:
        HookValidationError: an unknown hook, arguments that the hook does not pass, an implementation that
            cannot be called by pluggy's rules, or no implementation at all.
    """
    found = False
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        hook, found = options.get("specname") or attribute, True
        if hook in HOOK_NAMES:
            _check_implementation(manager, plugin, name, attribute, hook, dict(options))
        elif not options.get("optionalhook"):
            raise HookValidationError(
                f"plugin '{name}' implements an unknown hook '{hook}'{nearest(hook, HOOK_NAMES)}; "
                f"hooks: {', '.join(HOOK_NAMES)} "
                "(one that only newer releases have: mark it with hookimpl(optionalhook=True))"
            )
    if not found:
        bare = [hook for hook in HOOK_NAMES if hasattr(plugin, hook)]
        hint = f"; decorate {', '.join(bare)} with pairx_hooks.hookimpl" if bare else ""
        raise HookValidationError(
            f"plugin '{name}' ({plugin!r:.80}) implements no hook of the contract{hint}"
        )


def _check_implementation(
    manager: pluggy.PluginManager,
    plugin: object,
    name: str,
    attribute: str,
    hook: str,
    options: dict[str, Any],
) -> None:
    function = getattr(plugin, attribute)
    wanted = getattr(manager.hook, hook).spec.argnames
    problem = _problem_of_kind(plugin, attribute, function, options)
    problem = problem or _problem_of_arguments(function, wanted)
    if problem:
        raise HookValidationError(
            f"plugin '{name}' cannot implement {hook}({', '.join(wanted)}) "
            f"as {attribute}{_signature(function)}: {problem}"
        )


def _problem_of_kind(plugin: object, attribute: str, function: Any, options: dict[str, Any]) -> str:
    if options.get("wrapper") or options.get("hookwrapper"):
        return (
            "wrappers would stand between one plugin and another; observe with explanation_finished instead"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "it is asynchronous and would never be awaited; write a plain function"
    if inspect.isclass(plugin) and inspect.isfunction(inspect.getattr_static(plugin, attribute)):
        return f"it is a method and {plugin.__name__} a class; register an object, {plugin.__name__}()"
    return ""


def _problem_of_arguments(function: Any, wanted: tuple[str, ...]) -> str:
    parameters = inspect.signature(function).parameters.values()
    plain = [item for item in parameters if item.kind in (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD)]
    unknown = [item.name for item in plain if item.name not in wanted and item.default is _P.empty]
    by_name = [item for item in parameters if item.kind is _P.KEYWORD_ONLY]
    unreached = [item.name for item in by_name if item.name in wanted or item.default is _P.empty]
    if unknown:
        return f"the hook has no argument {', '.join(map(repr, unknown))}{nearest(unknown[0], wanted)}"
    if unreached:
        return f"arguments behind a * are not passed; write {', '.join(unreached)} before it"
    if wanted and not plain and any(item.kind in (_P.VAR_POSITIONAL, _P.VAR_KEYWORD) for item in parameters):
        return "arguments are passed by the names that are written out; * and ** get nothing"
    return ""


def _signature(function: Any) -> str:
    names = ", ".join(
        str(item.replace(annotation=_P.empty)) for item in inspect.signature(function).parameters.values()
    )
    return f"({names})"
