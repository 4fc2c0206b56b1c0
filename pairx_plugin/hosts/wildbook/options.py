"""The host's one flag and its sub-options: read from whatever a request holds, coerced, or refused with a reason.

Nothing here knows the host. A value that does not fit costs the explanation and never the query: reading returns
a failure instead of raising.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pairx_hooks import Failure
from pairx_hooks.errors import nearest

from ...errors import SettingsError
from ...settings import PREFIX, Settings
from .reranking_options import RANGES, Reranking, checked_number, shown, without_effect

__all__ = [
    "FLAG",
    "LAYER_KEY",
    "OFF",
    "Options",
    "REFUSED",
    "Reranking",
    "VIEWS",
    "canonical",
    "flag_is_on",
    "option_defaults",
    "own_key",
    "read_options",
    "server_options",
    "with_server_options",
]

FLAG = f"{PREFIX}explain"
LAYER_KEY = f"{PREFIX}layer_key"  # the host's spelling of one layer
REFUSED = f"{PREFIX}refused"  # set by us: why the options of a request could not be read
VIEWS = ("matches", "heatmask", "clean")  # the host's three versions of a match picture

_FIXED = ("explain", "pictures")  # the flag itself, and what the host decides
_OFF = ("", "0", "false", "no", "off", "none", "null")
_ALIASES = ("MiewId_", "MiewIdConfig_")  # prefixes that the host takes off a key
_FILES = (f"{PREFIX}calibration", f"{PREFIX}layer_choice")
_LARGEST_FILE = 16_000_000
_LONGEST_MESSAGE, _LONGEST_VALUE = 1_200, 10_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What one request asks for.

    Attributes:
        explain: the flag is on, or holds something that is neither on nor off.
        settings: of the explanation; the defaults where `failure` is there.
        reranking: None unless it was asked for.
        failure: why nothing can be explained although it was asked for.
        warnings: names of settings that nobody knows, such as a misspelt one, and values without effect.
    """

    explain: bool = False
    settings: Settings = field(default_factory=Settings)
    reranking: Reranking | None = None
    failure: Failure | None = None
    warnings: tuple[Failure, ...] = ()


OFF = Options()


def option_defaults() -> dict[str, Any]:
    """Return every sub-option's key and its built-in default, as a plain value that a configuration string can hold."""
    settings = Settings()
    own = {PREFIX + name: _plain(getattr(settings, name)) for name in Settings.names() if name not in _FIXED}
    rerank = {f"{PREFIX}{item.name}": item.default for item in dataclasses.fields(Reranking)}
    return {**own, LAYER_KEY: "", f"{PREFIX}rerank": False, **rerank, REFUSED: ""}


def with_server_options(given: Mapping[str, Any], server: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request holds on top of the server's defaults; a layer key of its own rules out their layers.

    None says nothing of an option; of the flag it says off.
    """
    said = {key: value for key, value in given.items() if value is not None or key == FLAG}
    layers = PREFIX + "layers"
    overruled = LAYER_KEY in said and layers not in said
    theirs = {key: value for key, value in server.items() if not (overruled and key == layers)}
    return {**given, **theirs, **said}


def server_options(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the defaults of this process as they stand there: ``PAIRX_EXPLAIN``, ``PAIRX_TOP_K`` and the like.

    ``UTOOL_PAIRX_EXPLAIN``, the host's own way to write a flag, is read as well. Variables that are no option are
    somebody else's.
    """
    environment = os.environ if environment is None else environment
    found = {}
    if "UTOOL_PAIRX_EXPLAIN" in environment:
        found[FLAG] = environment["UTOOL_PAIRX_EXPLAIN"]
    for key in (FLAG, *option_defaults()):
        if key.upper() in environment:
            found[key] = environment[key.upper()]
    return found


def flag_is_on(value: Any) -> bool:
    """True unless a flag says off; a value that is neither counts as on, so that somebody hears of it."""
    try:
        return value.strip().lower() not in _OFF if isinstance(value, str) else bool(value)
    except (Exception, SystemExit):  # an array, say: neither on nor off
        return True


def own_key(key: Any) -> str | None:
    """Return a request's key as ours, with the host's prefixes taken off, or None where it is not ours."""
    if not isinstance(key, str):
        return None
    for alias in _ALIASES:
        key = key[len(alias) :] if key.startswith(alias) else key
    return key if key.startswith(PREFIX) else None


def canonical(key: str, value: Any) -> Any:
    """Return a value as its option understands it: a number, a text, True or False.

    Equal meanings give equal values, so that ``"5"`` and 5 share what the host keeps by configuration.

    Raises:
        SettingsError: it does not fit.
    """
    name = key[len(PREFIX) :]
    if key == REFUSED:
        return shown(value)
    if name == "rerank":
        return _as_bool(value)
    if name in RANGES:
        return checked_number(name, value, *RANGES[name])
    if key == LAYER_KEY:
        name = "layers"
    if name == "options" and isinstance(value, str):
        value = _parsed(value)
    return _plain(getattr(Settings.from_mapping({name: value}), name))


def read_options(values: Mapping[str, Any]) -> Options:
    """Read what a request asks for; never raises.

    Args:
        values: keys and values, ours and foreign ones; server-wide defaults are among them already.
    """
    given = {own: value for key, value in values.items() if (own := own_key(key)) is not None}
    if not flag_is_on(given.get(FLAG)):
        return OFF
    known = {FLAG, *option_defaults()}
    warnings = tuple(_unknown(key, given[key], known) for key in given if key not in known)
    try:
        if flag_is_on(given.get(REFUSED)):
            raise SettingsError(shown(given[REFUSED]))
        settings = _settings(given)
        for key in option_defaults():
            if given.get(key) is not None:
                _check_writable(key, canonical(key, given[key]))
        for key in _FILES:
            _check_file(key, getattr(settings, key[len(PREFIX) :]))
        reranking = _reranking(given)
        warnings += without_effect(reranking)
    except (Exception, SystemExit) as error:
        return Options(explain=True, failure=_refusal(error), warnings=warnings)
    return Options(explain=True, settings=settings, reranking=reranking, warnings=warnings)


def _refusal(error: BaseException) -> Failure:
    """Return why options were refused, as a message that can stand in a configuration: writable, and not endless."""
    told = str(error) if isinstance(error, SettingsError) else f"an option cannot be read: {shown(error):.300}"
    if len(told) > _LONGEST_MESSAGE:  # it holds the value; what would do stands at its end
        told = f"{told[: _LONGEST_MESSAGE // 2]} ... {told[-_LONGEST_MESSAGE // 2 :]}"
    message = told.encode("utf-8", "backslashreplace").decode("utf-8")
    return Failure(code=SettingsError.code, message=message)


def _check_writable(key: str, value: Any) -> None:
    """Refuse what the host cannot hash and store with its configuration; it would fail on it, and the query with it.

    Such are half characters (surrogates), which JSON can carry, and NaN or objects among a third party's options. What
    is endless would stand in every name that the host makes of a configuration.
    """
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(f"option '{key}' holds what cannot be written as JSON: {error!s:.160}") from error
    if len(written) > _LONGEST_VALUE:
        raise SettingsError(f"option '{key}' is {len(written)} bytes long; {_LONGEST_VALUE} at most will do")


def _check_file(key: str, path: str) -> None:
    """Refuse what reading would never end: a device, a pipe, a file far too large; one that is missing is told later.

    Requests of the host come from anybody.
    """
    try:
        status = os.stat(os.path.expanduser(path))
    except ValueError as error:
        raise SettingsError(f"option '{key}' names no file: {shown(path)!r} ({error})") from error
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
        raise SettingsError(
            f"option '{key}' names {shown(path)!r}, which is no file of at most {_LARGEST_FILE // 1_000_000} MB"
        )


def _settings(given: Mapping[str, Any]) -> Settings:
    values = {name: given[PREFIX + name] for name in Settings.names() if given.get(PREFIX + name) is not None}
    values["pictures"] = VIEWS
    if isinstance(values.get("options"), str):
        values["options"] = _parsed(values["options"])
    # a stored configuration names both, and its layer key may be the host's default instead of a wish
    if PREFIX + "layers" not in given and given.get(LAYER_KEY):
        values["layers"] = given[LAYER_KEY]
    return Settings.from_mapping(values)


def _reranking(given: Mapping[str, Any]) -> Reranking | None:
    values = {item.name: given.get(f"{PREFIX}{item.name}") for item in dataclasses.fields(Reranking)}
    reranking = Reranking(**{name: value for name, value in values.items() if value is not None})
    return reranking if _as_bool(given.get(f"{PREFIX}rerank", False)) else None


def _unknown(key: str, value: Any, known: set[str]) -> Failure:
    return Failure(
        code="SETTING_UNKNOWN",
        message=f"'{key}' (value {shown(value)!r}) is no option and was not read{nearest(key, known)}; "
        f"known: {', '.join(sorted(known - {REFUSED}))}",
    )


def _as_bool(value: Any) -> bool:
    text = str(int(value) if isinstance(value, float) and value in (0.0, 1.0) else value)
    if text.strip().lower() in (*_OFF, "1", "true", "yes", "on"):
        return flag_is_on(text)
    raise SettingsError(f"option '{PREFIX}rerank' must be true or false, not {type(value).__name__} {shown(value)!r}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError as error:
        raise SettingsError(f"option '{PREFIX}options' must be a JSON object, not {shown(text)!r}: {error}") from error


def _plain(value: Any) -> Any:
    """Return a setting's value as a number or a text, since a configuration string is made of these."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, allow_nan=False) if value else ""
    return value
