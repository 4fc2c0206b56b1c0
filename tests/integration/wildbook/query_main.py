"""A script that asks the first annotation of a database, in a process that knows no other database.

    python query_main.py DATABASE '{"pairx_top_k": 3}' ...

Each argument behind the database is a query's options as JSON, with the flag on. Prints ``RESULT`` with the host's
folder, its cache folder and what each query gave.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import host_files


def main(database: str, queries: Sequence[str]) -> None:
    """Ask the queries one after another."""
    plugin = host_files.import_plugin()
    import utool
    import wbia

    from pairx_plugin.hosts.wildbook import install

    install(plugin)
    ibs = wbia.opendb(dbdir=database, use_cache=False, web=False)
    aids = ibs.get_valid_aids()
    entries = []
    for options in queries:
        config = {"pipeline_root": "MiewId", "pairx_explain": True, **json.loads(options)}
        (entry,) = ask(ibs, aids, config)["cm_dict"].values()
        entries.append(entry)
    print("RESULT" + utool.to_json({"folder": ibs.get_ibsdir(), "cache": ibs.cachedir, "entries": entries}))


def ask(ibs: Any, aids: Sequence[int], config: dict[str, Any]) -> dict[str, Any]:
    """Query as the host's job engines do: up to six times, where two processes add the same rows of scores at once."""
    import sqlalchemy

    for _ in range(5):
        try:
            return ibs.query_chips_graph(aids[:1], aids, query_config_dict=config)
        except sqlalchemy.exc.IntegrityError as error:
            print(f"the host's caches: {error}; asked again")
    return ibs.query_chips_graph(aids[:1], aids, query_config_dict=config)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
