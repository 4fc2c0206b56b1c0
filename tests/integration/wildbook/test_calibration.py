"""From decisions in the host's tables to re-ranking: the command, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
SPECIES = ("ridge_whale", "spotted_cat", "star_shark", "striped_horse")


def run(*arguments):
    """Run a Python program as people do, in an environment where Wildbook IA can be imported."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE / "site"), str(HERE))), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
    )


def calibrate(database, *options):
    return run("-m", "pairx_plugin.cli.calibrate_wildbook", "--dbdir", database, *options)


def query(database):
    """Ask a query without re-ranking, and the same one with it."""
    asked = {"pairx_top_k": 1}
    reranked = {**asked, "pairx_rerank": True, "pairx_shortlist_k": 3, "pairx_alpha": 0.5}
    done = run(HERE / "query_main.py", database, json.dumps(asked), json.dumps(reranked))
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout[-3000:] + done.stderr[-5000:]
    return json.loads(lines[0][len("RESULT"):])["entries"]


def decide(ibs, pairs, decision):
    """Have the host's own tools note a decision."""
    rowids = ibs.add_annotmatch_undirected(*map(list, zip(*pairs)))
    ibs.set_annotmatch_evidence_decision(rowids, [ibs.const.EVIDENCE_DECISION.CODE_TO_INT[decision]] * len(rowids))


def decide_all(ibs, firsts):
    """Have every animal's two photographs confirmed, and its first one rejected as that of the next animal."""
    decide(ibs, [(aid, aid + 1) for aid in firsts], "match")
    decide(ibs, [(aid, firsts[4 * (place // 4) + (place + 1) % 4]) for place, aid in enumerate(firsts)], "nomatch")


@pytest.fixture(scope="module")
def database(attached_host, tmp_path_factory):
    """Two photographs of each of sixteen animals of four species; half of the animals were looked at."""
    import host_files

    folder = tmp_path_factory.mktemp("calibrated") / "db"
    rows = host_files.some_rows(SPECIES, 4, 2)
    ibs = host_files.make_database(folder, rows)
    aids = ibs.get_valid_aids()
    firsts = aids[::2]
    decide(ibs, [(aid, aid + 1) for aid in firsts[:4]], "match")
    decide(ibs, [(aids[0], aids[-1])], "notcomp")
    yield folder, ibs, firsts


def test_decisions_of_the_host_are_fitted_and_reranking_works_from_then_on(database):
    folder, ibs, firsts = database
    refused = calibrate(folder)
    assert refused.returncode == 2
    assert "4 confirmed, 1 not comparable." in refused.stderr
    missing = "4 decisions, 100 needed; 4 confirmed pairs, 30 needed; 0 rejected pairs, 30 needed"
    assert missing in refused.stderr and "pairs are explained" not in refused.stderr

    told = query(folder)[1]["pairx"]["reranking"]
    assert told["failure"]["code"] == "CALIBRATION_REFUSED"
    assert "calibrate_wildbook" in told["failure"]["message"]

    decide_all(ibs, firsts)
    done = calibrate(folder, "--least", 20)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "16 confirmed, 16 rejected, 1 not comparable." in done.stderr
    words = "16 confirmed and 16 rejected pairs of 16 individuals (8 ridge_whale, 8 spotted_cat, 8 star_shark, 8 "
    assert words in done.stdout and "do not tell confirmed from rejected" not in done.stdout
    path, page = (
        Path(next(line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith(word)))
        for word in ("calibration: ", "reliability: ")
    )
    assert path == Path(ibs.get_ibsdir()) / "pairx" / "miew_id.sample.calibration.json" and path.is_file()
    assert "16" in page.read_text()

    plain, reranked = query(folder)
    answer, told = reranked["pairx"], reranked["pairx"]["reranking"]
    assert told["failure"] is None and told["n_judged"] == 3 and answer["files"] == {"calibration": str(path)}
    before, after = (np.array(entry["annot_score_list"]) for entry in (plain, reranked))
    assert told["scores_before"] == before.tolist()
    shortlist = np.argsort(-before)[:3]
    rest = np.setdiff1d(np.arange(len(before)), shortlist)
    assert after[rest] == pytest.approx(0.5 * before[rest])
    assert ((after[shortlist] > 0.5 * before[shortlist]) & (after[shortlist] < 0.5 * before[shortlist] + 0.5)).all()
    (record,) = answer["explanations"]
    said = record["plausibility"]["calibration"]
    assert said["status"] == "calibrated" and said["prevalence"] == 0.5
    assert [doubt["code"] for doubt in record["warnings"]] == []  # neither stale nor unreadable


def test_command_that_chooses_a_layer_reads_the_same_decisions(database):
    folder, ibs, firsts = database
    decide_all(ibs, firsts)
    done = run(
        "-m", "pairx_plugin.hosts.wildbook.choose_layer", "--dbdir", folder, "--species", "striped_horse",
        "--layer", "backbone.blocks.3",
    )
    assert done.returncode == 2 and "4 individuals are too few" in done.stderr


def test_command_makes_no_database_where_there_is_none(tmp_path):
    done = calibrate(tmp_path)
    assert done.returncode == 2 and "no database of Wildbook IA" in done.stderr
    assert list(tmp_path.iterdir()) == []
