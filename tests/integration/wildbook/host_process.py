"""Makes Wildbook IA importable in this process, and shuts it off from the network.

Import it first in every process of a test, spawned ones included: at the top of the main module.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import types
import warnings
from pathlib import Path

import distutils.version  # noqa: F401  the host uses it without importing it, and newer Pythons load it no more

HERE = Path(__file__).resolve().parent
_HESAFF = ("detect_feats", "extract_vecs", "argparse_hesaff_params", "detect_feats_list", "detect_feats2")


def prepare() -> None:
    """Put stand-ins for what cannot run here in place, and checkouts that were given on the path."""
    _without_hesaff()
    _without_network()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("MPLBACKEND", "agg")
    # checkouts by path: PAIRX_WILDBOOK_IA has wbia/ in it, PAIRX_MIEW_ID has wbia_miew_id/
    for path in (os.environ.get("PAIRX_MIEW_ID") or str(HERE / "stand_in"), os.environ.get("PAIRX_WILDBOOK_IA")):
        if path and path not in sys.path:
            sys.path.insert(0, path)


def _without_hesaff() -> None:
    """pyhesaff's library ends the process on recent systems while it is loaded; MiewID has no use for it."""
    for name in ("pyhesaff", "pyhesaff._pyhesaff"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        for function in _HESAFF:
            setattr(module, function, None)
        module.DESC_DIM, module.KPTS_DIM = 128, 5
        module.get_hesaff_default_params = dict
        sys.modules[name] = module
    sys.modules["pyhesaff"]._pyhesaff = sys.modules["pyhesaff._pyhesaff"]


def _without_network() -> None:
    """The host reports errors to its makers, and looks for models on the web."""
    os.environ["SENTRY_DSN"] = ""
    try:
        import sentry_sdk

        sentry_sdk.init = lambda *args, **kwargs: None
    except ImportError:
        pass
    lookup = socket.getaddrinfo

    def only_here(host, *args, **kwargs):
        if host not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname()):
            raise OSError(f"tests do not go to the network ({host!r})")
        return lookup(host, *args, **kwargs)

    socket.getaddrinfo = only_here


prepare()
