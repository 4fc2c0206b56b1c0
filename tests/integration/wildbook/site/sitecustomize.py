"""Has every Python of a test prepare itself for the host, and import the MiewID plugin with it.

The latter is what the host's own flag ``--miew-id`` does, from a fixed folder that a test has not.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import host_process  # noqa: E402, F401


class _WithTheHost(importlib.abc.MetaPathFinder):
    """Has the import of ``wbia`` followed by that of the MiewID plugin."""

    def find_spec(self, fullname, path, target=None):
        if fullname != "wbia":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            import host_files

            host_files.import_plugin()

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _WithTheHost())
