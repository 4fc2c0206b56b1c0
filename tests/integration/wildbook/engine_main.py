"""A script that starts the host's job engine by ``spawn``, has it run one query, and prints what comes back.

    python engine_main.py DATABASE

It knows nothing of explanations: whether they are made is up to Python, by the .pth file. Every spawned process
imports this module again.
"""

from __future__ import annotations

import functools
import logging
import sys
import time

import host_files

plugin = host_files.import_plugin()
if not hasattr(plugin, "__pairx_installation__"):  # without us the MiewID plugin insists on a GPU
    plugin.get_model = functools.partial(plugin.get_model, use_gpu=False)


def main(database: str) -> None:
    """Run one query in the engine and one in this process, and print what became of both."""
    import multiprocessing

    import utool
    import wbia

    multiprocessing.set_start_method("spawn", force=True)  # the host asks for it as well
    logging.disable(logging.CRITICAL)
    ibs = wbia.opendb(dbdir=database, use_cache=False, web=False)
    uuids = ibs.get_annot_uuids(ibs.get_valid_aids())
    config = {"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": 2}
    ibs.initialize_job_manager()
    try:
        job = ibs.start_identify_annots_query(
            query_annot_uuid_list=uuids[:1], database_annot_uuid_list=uuids, query_config_dict=config
        )
        deadline = time.monotonic() + 900
        while ibs.get_job_status(job)["jobstatus"] not in ("completed", "exception"):
            if time.monotonic() > deadline:
                raise TimeoutError(str(ibs.get_job_status(job)))
            time.sleep(0.5)
        status = ibs.get_job_status(job)["jobstatus"]
        result = ibs.job_manager.jobiface.get_unpacked_result(job)
    finally:
        ibs.close_job_manager()
    from wbia.control import controller_inject

    app = controller_inject.get_flask_app()
    app.ibs = ibs
    entry = result["cm_dict"][str(uuids[0])] if status == "completed" else {}
    where = {"extern_reference": entry.get("dannot_extern_reference"), "query_annot_uuid": str(uuids[0])}
    answered = app.test_client().get("/api/pairx/answer/", query_string=where)
    told = {
        "status": status,
        "result": result,
        "query": str(uuids[0]),
        "here": hasattr(plugin, "__pairx_installation__"),
        "answer": answered.json["response"] if answered.status_code == 200 else answered.status_code,
    }
    print("RESULT" + utool.to_json(told))


if __name__ == "__main__":
    main(sys.argv[1])
