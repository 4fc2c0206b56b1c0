"""Loads the plugin in every process of Wildbook IA, without a change to Wildbook IA.

The host has no list of plugins to add to, and starts its job engines by ``spawn``: whatever was attached in the first
process is not there in the others. Two ways lead into all of them.

1. Start the host through this project::

       python -m pairx_plugin.hosts.wildbook.serve --dbdir ... --web --miew-id

   It waits for the MiewID plugin to be imported, attaches to it, and runs ``wbia.dev`` with the same arguments.
   Spawned processes import the main module again, and so do the same.

2. Leave the start command as it is, and have Python itself wait for the MiewID plugin::

       python -m pairx_plugin.hosts.wildbook.loading write     # writes one .pth file into this environment, once
       PAIRX_WILDBOOK_LOAD=1 python -m wbia.dev --dbdir ... --web --miew-id

   The file does nothing unless the variable is set, which every process inherits.

Either way the host's flag ``--miew-id`` (or ``UTOOL_MIEW_ID=True``) brings the MiewID plugin in, also where the host
itself does not know the flag or looks for the plugin in another place.

A script of one's own calls :func:`wait_for_host` at its top level, not under ``if __name__ == "__main__"``, which
spawned processes skip.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import logging
import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["VARIABLE", "wait_for_host", "write_path_file"]

logger = logging.getLogger(__name__)

VARIABLE = "PAIRX_WILDBOOK_LOAD"
_PLUGIN_MODULE = "wbia_miew_id._plugin"  # installing.PLUGIN_MODULE, which is not imported before the host is
_PATH_FILE = "pairx_plugin_wildbook.pth"
_OFF = ("", "0", "false", "no", "off")


def wait_for_host(module: str = _PLUGIN_MODULE) -> bool:
    """Attach the plugin as soon as the host's MiewID plugin is imported; at once where it is already.

    Costs nothing until then, and raises nothing: what goes wrong is logged, and the host runs without us.

    Returns:
        True where it is attached now.
    """
    if module in sys.modules:
        return _attach(sys.modules[module])
    _watch(module, _attach)
    if module == _PLUGIN_MODULE and _is_ours_to_bring():
        _watch("wbia", _bring_plugin)
    return False


def wait_if_asked() -> None:
    """As :func:`wait_for_host`, where the variable asks for it; what the .pth file calls."""
    if os.environ.get(VARIABLE, "").strip().lower() not in _OFF:
        wait_for_host()


def write_path_file(folder: str | os.PathLike[str] | None = None) -> Path:
    """Write the .pth file that has every Python of this environment call :func:`wait_if_asked`.

    Args:
        folder: where; the environment's ``site-packages`` where it is not given.
    """
    place = Path(folder) if folder is not None else Path(sysconfig.get_path("purelib"))
    path = place / _PATH_FILE
    # one line, as .pth files need it; the variable is looked at first, so that nothing is imported for nothing
    path.write_text(
        f"import os; os.environ.get({VARIABLE!r}) and "
        "__import__('pairx_plugin.hosts.wildbook.loading', fromlist=['wait_if_asked']).wait_if_asked()\n",
        encoding="ascii",
    )
    return path


def _watch(module: str, then: Callable[[ModuleType], Any]) -> None:
    if not any(isinstance(finder, _Watcher) and finder.module == module for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher(module, then))


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds nothing itself; has the module's own loader followed by ours."""

    def __init__(self, module: str, then: Callable[[ModuleType], Any]) -> None:
        self.module, self._then = module, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that the other finders give, with a loader that attaches the plugin afterwards."""
        if fullname != self.module:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(fullname, path, target) if finder is not self and find_spec is not None else None
            if spec is not None and spec.loader is not None:
                spec.loader = _Follower(spec.loader, self._then)
                return spec
        return None


class _Follower(importlib.abc.Loader):
    """Loads a module with its own loader, then does something with it."""

    def __init__(self, loader: Any, then: Callable[[ModuleType], Any]) -> None:
        self._loader, self._then = loader, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader, and more."""
        self._loader.exec_module(module)
        self._then(module)


def _attach(module: ModuleType) -> bool:
    try:
        from .installing import install

        install(module)
        return True
    except KeyboardInterrupt:
        raise
    except BaseException:  # what our imports bring along may want to end the process, which is the host's
        logger.exception("pairx-plugin is not attached; the host runs without explanations")
        return False


def _is_ours_to_bring() -> bool:
    from .miew_id_flag import take_over_miew_id

    try:
        return take_over_miew_id()
    except Exception:
        logger.exception("the host's flag --miew-id is left to the host")
        return False


def _bring_plugin(_: ModuleType) -> None:
    """Import the MiewID plugin, once the host is imported and before it opens a database."""
    try:
        importlib.import_module(_PLUGIN_MODULE)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the host's plugins raise nearly anything while they are imported
        logger.exception("--miew-id was asked for, and %s cannot be imported; the host runs without it", _PLUGIN_MODULE)


def _main(arguments: Sequence[str]) -> int:
    if list(arguments) != ["write"]:
        sys.stderr.write(f"usage: python -m {__spec__.name if __spec__ else __name__} write\n")
        return 2
    sys.stdout.write(f"wrote {write_path_file()}; it takes effect where {VARIABLE}=1 is set\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
