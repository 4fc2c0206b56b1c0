"""A script that serves a database of sample photographs by the host's own web server, one query explained.

    python web_main.py FOLDER PORT

Prints ``ADDRESS`` with the path of the query's page once it is served. Browser tests start it in the host's own
environment.
"""

from __future__ import annotations

import functools
import logging
import sys
from pathlib import Path

import host_files
import torch

from pairx_plugin.hosts.wildbook import install


def main(folder: Path, port: int) -> None:
    """Make the database, ask one query, and serve until somebody ends the process."""
    torch.set_num_threads(1)
    host_files.write_models(folder / "models")
    plugin = host_files.import_plugin()
    plugin.get_model = functools.partial(plugin.get_model, use_gpu=False)
    ibs = host_files.make_database(folder / "db")
    install(ibs=ibs)
    logging.disable(logging.INFO)
    aids = ibs.get_valid_aids()
    config = {"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": 2}
    result = ibs.query_chips_graph(aids[:1], aids, query_config_dict=config)
    ((query, entry),) = result["cm_dict"].items()
    from wbia.web import app

    app.start_tornado(ibs, port=port, browser=False, start_web_loop=False, fallback=False)
    reference = entry["dannot_extern_reference"]
    print(f"ADDRESS /pairx/review/?extern_reference={reference}&query_annot_uuid={query}", flush=True)
    import tornado.ioloop

    tornado.ioloop.IOLoop.instance().start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
