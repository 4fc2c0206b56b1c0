"""The host's command line: our options on it, spelt as the host spells its own.

The host hands its arguments on to the processes that it spawns, so these options hold in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .options import FLAG, REFUSED, option_defaults

__all__ = ["argument_options"]

_WITHOUT_VALUE = (FLAG, "pairx_rerank")


def argument_options(arguments: Sequence[str]) -> dict[str, str]:
    """Return our options on a command line of the host as they stand there; the last of several counts.

    >>> argument_options(["--web", "--pairx-explain", "--pairx-top-k", "3", "--pairx-k-lines=8"])
    {'pairx_explain': 'true', 'pairx_top_k': '3', 'pairx_k_lines': '8'}
    """
    known = {key for key in (FLAG, *option_defaults()) if key != REFUSED}
    return {key: value for key, value in _pairs(arguments) if key in known}


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, argument in enumerate(arguments):
        if not argument.startswith("--"):
            continue
        name, assigned, value = argument[2:].partition("=")
        key = name.replace("-", "_")
        if assigned:
            yield key, value
        elif key in _WITHOUT_VALUE:
            yield key, "true"
        elif key.startswith("no") and key[2:].lstrip("_") in _WITHOUT_VALUE:
            yield key[2:].lstrip("_"), "false"
        elif index + 1 < len(arguments) and not arguments[index + 1].startswith("--"):
            yield key, arguments[index + 1]
