"""Opens a database of Wildbook IA for a command of ours, in a process of its own, with the plugin attached."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import HostError, SettingsError
from ...settings import Settings
from .options import FLAG, read_options, server_options

if TYPE_CHECKING:
    from .shared_models import SharedModels

__all__ = ["OpenedHost", "open_host", "server_settings"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedHost:
    """The host, open.

    Attributes:
        ibs: its controller.
        plugin: its MiewID plugin, a module that is attached.
        models: its networks.
    """

    ibs: Any
    plugin: Any
    models: SharedModels


def open_host(dbdir: str) -> OpenedHost:
    """Open a database, with the plugin attached to the host.

    Raises:
        HostError: there is no database in that folder, where the host would make one, or it cannot be opened.
        HostUnavailable: Wildbook IA or its MiewID plugin cannot be imported.
    """
    if not (Path(dbdir) / "_ibsdb").is_dir():
        raise HostError(f"there is no database of Wildbook IA in {dbdir!r}; give the folder that holds '_ibsdb'")
    from .installing import PLUGIN_MODULE, imported, install

    wbia = imported("wbia")  # first, as in the host's own processes
    installation = install()
    try:
        ibs = wbia.opendb(dbdir=dbdir, use_cache=False, web=False)
    except Exception as error:  # the host's database layer raises what its driver raises
        raise HostError(f"the database {dbdir!r} cannot be opened: {type(error).__name__}: {error!s:.300}") from error
    return OpenedHost(ibs=ibs, plugin=sys.modules[PLUGIN_MODULE], models=installation.models)


def server_settings() -> Settings:
    """Return the settings that a query has which names none itself, on a server with this process's environment.

    Raises:
        SettingsError: an option in the environment does not fit.
    """
    options = read_options({**server_options(), FLAG: True})
    if options.failure is not None:
        raise SettingsError(options.failure.message)
    return options.settings
