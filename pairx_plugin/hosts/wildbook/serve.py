"""Runs ``wbia.dev``, the host's start command, with this plugin loaded in all its processes.

    python -m pairx_plugin.hosts.wildbook.serve --dbdir ... --web --miew-id --pairx-explain

The arguments are the host's. This must be the main module itself: a spawned process imports the main module of its
parent again, by which the lines below run there too; a package's ``__main__`` would be skipped.
"""

from __future__ import annotations

import logging

from pairx_plugin.hosts.wildbook.loading import wait_for_host

# This is a program, so it says what it does; the host sets up its own log, later and without us.
_handler = logging.StreamHandler()
_handler.setFormatter(logging.Formatter("[%(name)s] %(levelname)s %(message)s"))
logging.getLogger("pairx_plugin").addHandler(_handler)
logging.getLogger("pairx_plugin").setLevel(logging.INFO)
wait_for_host()

if __name__ == "__main__":
    import runpy

    runpy.run_module("wbia.dev", run_name="__main__")
