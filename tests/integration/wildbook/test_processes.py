"""The plugin in every process of the host: job engines are spawned, and what was attached before is not in them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FEW_ENGINES = ["--engine-slow-lane-workers", "1", "--engine-fast-lane-workers", "1"]


@pytest.fixture(scope="module")
def database(attached_host, tmp_path_factory):
    """A database that other processes open while this one does not write."""
    import host_files

    folder = tmp_path_factory.mktemp("engine") / "db"
    host_files.make_database(folder)
    return folder


@pytest.fixture()
def path_file(tmp_path):
    """PYTHONPATH with a folder whose .pth file every Python reads, as it does those of its environment."""
    from pairx_plugin.hosts.wildbook.loading import write_path_file

    (tmp_path / "sites").mkdir()
    write_path_file(tmp_path / "sites")
    (tmp_path / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(tmp_path / 'sites')!r})\n")
    return os.pathsep.join((str(tmp_path), str(HERE)))


def run_engine(database, folder, **environment):
    done = subprocess.run(
        [sys.executable, str(HERE / "engine_main.py"), str(database), *FEW_ENGINES],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout[-3000:] + done.stderr[-5000:]
    return json.loads(lines[0][len("RESULT"):])


def test_path_file_explains_in_spawned_engines_without_a_change_to_the_start(database, tmp_path, path_file):
    """Engines explain, and after a restart of all processes what they kept is read back and used."""
    told = run_engine(database, tmp_path, PYTHONPATH=path_file, PAIRX_WILDBOOK_LOAD="1")
    assert told["here"] is True and told["status"] == "completed"
    answer = told["result"]["cm_dict"][told["query"]]["pairx"]
    assert answer["status"] == "ready" and answer["n_explained"] == 2
    # the first process never explained anything: what it serves was kept by the engine
    assert [item["id"] for item in told["answer"]["explanations"]] == [item["id"] for item in answer["explanations"]]
    again = run_engine(database, tmp_path, PYTHONPATH=path_file, PAIRX_WILDBOOK_LOAD="1")
    restarted = again["result"]["cm_dict"][again["query"]]["pairx"]
    for before, now in zip(answer["explanations"], restarted["explanations"]):
        assert now == before  # whole records, the time of making among it: nothing was computed again


def test_engine_without_the_plugin_is_told_by_the_missing_answer(database, tmp_path, path_file):
    from pairx_plugin.hosts.wildbook import absence

    told = run_engine(database, tmp_path, PYTHONPATH=path_file, PAIRX_WILDBOOK_LOAD="0")
    assert told["status"] == "completed" and told["here"] is False
    assert "pairx" not in told["result"]["cm_dict"][told["query"]]
    assert "had not loaded pairx-plugin" in absence(told["result"], told["query"])
    assert told["answer"] == 404


def test_process_that_is_killed_leaves_whole_records_and_the_next_one_goes_on(attached_host, tmp_path):
    import host_files

    database, asked = tmp_path / "db", json.dumps({"pairx_top_k": 8})
    cache = Path(host_files.make_database(database).cachedir)
    command = [sys.executable, str(HERE / "query_main.py"), str(database), asked]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        deadline = time.monotonic() + 900
        while len(kept := list(cache.glob("query_match/*/*/*/pairx_explanation.json"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    before = {}
    for path in cache.glob("query_match/*/*/*/pairx_explanation.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "ready" and len(record["host"]["files"]) == 3
        assert all((path.parent / name).stat().st_size > 1000 for name in record["host"]["files"].values())
        before[record["host"]["dannot_uuid"]] = record["created"]
    assert len(before) >= len(kept) and not list(cache.glob("query_match/*/*/pairx_query.json"))
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    (entry,) = json.loads(line[len("RESULT"):])["entries"]
    assert entry["pairx"]["status"] == "ready" and entry["pairx"]["n_explained"] == 8
    again = {record["host"]["dannot_uuid"]: record["created"] for record in entry["pairx"]["explanations"]}
    assert {name: again[name] for name in before} == before  # what was whole was used and not made again
    assert all(flag is True for flag in entry["dannot_extern_list"])


def test_two_processes_that_explain_the_same_pairs_at_once_both_answer_and_leave_whole_records(attached_host, tmp_path):
    import host_files

    database, asked = tmp_path / "db", json.dumps({"pairx_top_k": 3})
    cache = Path(host_files.make_database(database).cachedir)
    command = [sys.executable, str(HERE / "query_main.py"), str(database), asked]
    how = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "cwd": tmp_path, "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how) for _ in range(2)]
    try:
        outputs = [process.communicate(timeout=1500)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    for output in outputs:
        lines = [line for line in output.splitlines() if line.startswith("RESULT")]
        assert lines, output[-5000:]
        (entry,) = json.loads(lines[0][len("RESULT"):])["entries"]
        assert entry["pairx"]["status"] == "ready" and entry["pairx"]["n_explained"] == 3
    kept = list(cache.glob("query_match/*/*/*/pairx_explanation.json"))
    assert len(kept) == 3 and not list(cache.rglob("*.part"))
    for path in kept:
        record = json.loads(path.read_text())
        assert record["status"] == "ready" and len(record["host"]["files"]) == 3
        assert all((path.parent / name).stat().st_size > 1000 for name in record["host"]["files"].values())


class Server:
    """The host's web server and its engines, started as the README says."""

    def __init__(self, database, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rsplit(":", 1)[1]
        program = [sys.executable, "-m", "pairx_plugin.hosts.wildbook.serve", "--dbdir", str(database)]
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [*program, "--web", "--port", port, "--miew-id", "--pairx-explain", "--pairx-k-lines=7", *FEW_ENGINES],
            env={**os.environ, "PYTHONPATH": str(HERE / "site"), "OMP_NUM_THREADS": "1", "HOME": str(folder)},
            cwd=folder,
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(self, rule, **form):
        """Send a request; return the host's response, or bytes where it is no JSON."""
        data = urllib.parse.urlencode(form).encode() if form else None
        with urllib.request.urlopen(self.address + rule, data, timeout=300) as answer:
            content = answer.read()
        return json.loads(content)["response"] if "json" in answer.headers["Content-Type"] else content

    def wait(self, seconds=900):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.ask("/api/pairx/state/")
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-5000:]
                time.sleep(1)

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)  # the session that was started for it, engines included
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)


def test_server_started_as_the_readme_says_explains_jobs_by_default(database, tmp_path):
    server = Server(database, tmp_path)
    try:
        assert "MiewIdRequest.postprocess_execute" in server.wait()["attached"]
        assert "is attached to wbia" in server.log.read_text()
        aids = server.ask("/api/annot/")
        uuids = server.ask(f"/api/annot/uuid/?aid_list={json.dumps(aids)}".replace(" ", ""))
        job = server.ask(
            "/api/engine/query/graph/",
            query_annot_uuid_list=json.dumps(uuids[:1]),
            database_annot_uuid_list=json.dumps(uuids),
            query_config_dict=json.dumps({"pipeline_root": "MiewId", "pairx_top_k": "1"}),
        )
        deadline = time.monotonic() + 900
        while server.ask(f"/api/engine/job/status/?jobid={job}")["jobstatus"] not in ("completed", "exception"):
            assert time.monotonic() < deadline, server.log.read_text()[-5000:]
            time.sleep(0.5)
        result = server.ask(f"/api/engine/job/result/?jobid={job}")["json_result"]
        ((query, entry),) = result["cm_dict"].items()
        assert entry["pairx"]["status"] == "ready" and entry["pairx"]["n_explained"] == 1
        names = {"extern_reference": entry["dannot_extern_reference"], "query_annot_uuid": query}
        where = urllib.parse.urlencode(names)
        assert b"Not a probability" in server.ask(f"/pairx/report/?{where}")
        assert query.encode() in server.ask(f"/pairx/review/?{where}")
        (record,) = entry["pairx"]["explanations"]
        assert record["params"]["k_lines"] == 7  # of the command line, in an engine that was spawned
        assert server.ask(record["assets"][0]["url"])[:4] == b"RIFF"
    finally:
        server.close()
