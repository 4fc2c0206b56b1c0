"""The flag and its sub-options among the parameters of the host's configuration.

The host drops keys that it does not know without a word, and makes its cache keys from those that it knows. So ours
are appended to its list, each hidden from the configuration string while the flag is off or while it says what it
says by default: a host with the flag off makes the same keys as a host without us.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from .options import (
    FLAG,
    OFF,
    REFUSED,
    Options,
    canonical,
    flag_is_on,
    option_defaults,
    own_key,
    read_options,
    with_server_options,
)
from .seams import harmless

__all__ = ["OPTIONS_ATTRIBUTE", "options_of", "with_our_parameters", "with_our_values"]

logger = logging.getLogger(__name__)

OPTIONS_ATTRIBUTE = "pairx_options"

ParamInfo = Callable[..., Any]
_LAYERS = "pairx_layers"


def with_our_parameters(
    listed: Callable[[Any], list[Any]], param_info: ParamInfo, server: Mapping[str, Any]
) -> Callable[[Any], list[Any]]:
    """Wrap the host's ``get_param_info_list`` so that it knows the flag and its sub-options.

    Args:
        listed: the host's own method.
        param_info: the host's ``utool.ParamInfo``.
        server: server-wide defaults by key.
    """

    def get_param_info_list(config: Any) -> list[Any]:
        theirs = listed(config)
        return [*theirs, *harmless("adding the explanation options", _ours, theirs, param_info, server, otherwise=())]

    return get_param_info_list


def with_our_values(new: Callable[..., Any], server: Mapping[str, Any]) -> Callable[..., Any]:
    """Wrap the host's ``Request.new`` so that our values are coerced before its strict types see them.

    The request remembers the options, because its configuration forgets what was said: the host's default for
    ``pairx_layer_key`` looks like a wish for that layer.
    """

    def with_values(cls: Any, depc: Any, *args: Any, **kwargs: Any) -> Any:
        place = _place_of_cfgdict(args, kwargs)
        given = place[0].get(place[1]) if isinstance(place[0], dict) else place[0][place[1]]
        prepared = harmless("reading the explanation options", _prepared, given, server)
        if prepared is None:
            return new(cls, depc, *args, **kwargs)
        values, options = prepared
        if isinstance(place[0], dict):
            kwargs = {**kwargs, "cfgdict": values}
        else:
            args = (*args[: place[1]], values, *args[place[1] + 1 :])
        request = new(cls, depc, *args, **kwargs)
        if options.explain and not hasattr(getattr(request, "config", None), FLAG):
            # its pictures would lie among those of queries with the flag off
            logger.error("the host's configuration does not know '%s'; nothing is explained", FLAG)
            options = OFF
        setattr(request, OPTIONS_ATTRIBUTE, options)
        return request

    return with_values


def options_of(request: Any) -> Options:
    """Return what a request of the host asks for; a request that came another way is read from its parameters."""
    options = getattr(request, OPTIONS_ATTRIBUTE, None)
    if isinstance(options, Options):
        return options
    read: Options = harmless("reading options", lambda: read_options(request.params or {}), otherwise=OFF)
    return read


def _ours(theirs: list[Any], param_info: ParamInfo, server: Mapping[str, Any]) -> list[Any]:
    known = {item.varname for item in theirs}
    ours = [param_info(FLAG, flag_is_on(server.get(FLAG, False)), type_=None, hideif=_flag_is_off)]
    for key, default in option_defaults().items():
        if key not in known:  # newer plugins of the host have some of them, for a re-ranking of their own
            ours.append(param_info(key, default, type_=None, hideif=_hidden_while_default(key, default)))
    return ours


def _place_of_cfgdict(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Return where ``new(depc, qaids, daids, cfgdict, tablename)`` finds its values: arguments and index or name."""
    return (args, 2) if len(args) > 2 else (kwargs, "cfgdict")


def _prepared(given: Mapping[str, Any] | None, server: Mapping[str, Any]) -> tuple[dict[str, Any], Options]:
    """Return what the host's configuration is made from, and what was asked for."""
    given = dict(given or {})
    ours = {own: value for key, value in given.items() if (own := own_key(key)) is not None}
    known = with_server_options(ours, server)
    options = read_options(known)
    if not options.explain:
        # with the flag off, the flag alone is ours to settle: parameters of like names are the host's
        rest = {key: value for key, value in given.items() if own_key(key) != FLAG}
        return ({**rest, FLAG: False} if FLAG in known else given), options
    rest = {key: value for key, value in given.items() if own_key(key) is None}
    if options.failure is not None:
        return {**rest, FLAG: True, REFUSED: options.failure.message}, options
    settled = {key: canonical(key, known[key]) for key in option_defaults() if known.get(key) is not None}
    settled[_LAYERS] = ",".join(options.settings.layers)
    return {**rest, **settled, FLAG: True}, options


def _flag_is_off(config: Any) -> bool:
    return not flag_is_on(getattr(config, FLAG, None))


def _hidden_while_default(key: str, default: Any) -> Callable[[Any], bool]:
    def hidden(config: Any) -> bool:
        if _flag_is_off(config):
            return True
        try:
            return bool(getattr(config, key, None) == default)
        except Exception:  # an array, say, which came past our own reading
            return False

    return hidden
