"""The review database: what is written stays, bit by bit; writers do not hurt each other; clear errors."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pairx_hooks import Annotation, Candidate, Failure, RankedQuery
from pairx_plugin.errors import HostError, HostUnavailable
from pairx_plugin.hosts.local.annotations import Problem
from pairx_plugin.hosts.local.connection import shown_url
from pairx_plugin.hosts.local.database import ExplanationEntry, ReviewDatabase
from pairx_plugin.hosts.local.ranking import Ranking


@pytest.fixture
def database(database_url: str) -> Iterator[ReviewDatabase]:
    with ReviewDatabase(database_url) as opened:
        yield opened


def annotation(key: str, **values: Any) -> Annotation:
    return Annotation(annotation_id=key, image=f"{key}.png", bbox=(1, 2, 3.5, 4), theta=0.1, **values)


def ranking(query_id: str = "q1", scores: tuple[float, ...] = (0.1 + 0.2, 1 / 3)) -> Ranking:
    candidates = tuple(
        Candidate(annotation=annotation(f"c{n}", name="Rata"), rank=n, score=score, name_score=max(scores))
        for n, score in enumerate(scores, start=1)
    )
    return Ranking(
        ranked_query=RankedQuery(
            query_id=query_id,
            query=annotation("c0", name="Rata"),
            candidates=candidates,
            model_id="m",
            score_scale="half_cosine",
            n_searched=9,
        ),
        correct_rank=1,
        average_precision=0.75,
        warnings=(Problem(code="W", message="w", where="c0", values={"share": 0.5}),),
        candidate_warnings={"c2": (Problem(code="SAME_PIXELS", message="s", where="c2"),)},
        chip_sha256={"c0": "0" * 64, "c1": "1" * 64},
    )


def begin(database: ReviewDatabase, n: int = 3) -> str:
    run_id = database.begin_run(
        config={"model": "m", "n": 1.5},
        model_id="m",
        model_fingerprint="sha256:m",
        explain=True,
        n_annotations=n,
        problems=[Problem(code="ROW_UNREADABLE", message="row 3", where="row 3")],
    )
    database.add_annotations([annotation(f"c{k}", name="Rata", extra={"file_name": "x"}) for k in range(n)])
    return run_id


def test_a_ranking_comes_back_as_it_was_written(database: ReviewDatabase) -> None:
    before = datetime.now(timezone.utc)
    run_id = begin(database)
    database.save_ranking(run_id, 0, ranking(), awaited=["c1"])
    match = database.get_match("q1")
    assert (match.status, match.n_searched, match.score_scale) == ("ranked", 9, "half_cosine")
    assert (match.correct_rank, match.average_precision, match.failure) == (1, 0.75, None)
    assert match.annotation.annotation_id == "c0" and match.annotation.extra == {"file_name": "x"}
    assert (match.annotation.x, match.annotation.w, match.annotation.theta) == (1.0, 3.5, 0.1)
    assert match.warnings == [{"code": "W", "message": "w", "where": "c0", "values": {"share": 0.5}}]
    assert [(r.rank, r.candidate_id, r.candidate.name) for r in match.reviews] == [
        (1, "c1", "Rata"),
        (2, "c2", "Rata"),
    ]
    assert [r.score for r in match.reviews] == [0.1 + 0.2, 1 / 3]  # bit by bit
    assert [r.name_score for r in match.reviews] == [1 / 3, 1 / 3]
    assert [r.explanation_status for r in match.reviews] == ["queued", None]
    assert [r.chip_sha256 for r in match.reviews] == ["1" * 64, None]
    assert match.reviews[1].warnings[0]["code"] == "SAME_PIXELS"
    assert {r.evidence_decision for r in match.reviews} == {"unreviewed"}
    assert {(r.meta_decision, r.confidence, r.comment) for r in match.reviews} == {
        ("null", "unspecified", "")
    }
    assert match.reviews[0].tags == [] and match.reviews[0].decided is None
    assert match.run.config == {"model": "m", "n": 1.5} and match.run.problems[0]["where"] == "row 3"
    for time in (match.created, match.run.created, match.annotation.updated):
        assert time.utcoffset() == timedelta(0)
        assert before - timedelta(seconds=1) <= time <= datetime.now(timezone.utc)


def test_an_explanation_fills_its_own_columns_and_no_other(database: ReviewDatabase) -> None:
    database.save_ranking(begin(database), 0, ranking(), awaited=["c1", "c2"])
    entries = [
        ExplanationEntry(
            candidate_id="c1",
            status="ready",
            explainer="pairx",
            record={"schema": "x", "n": [1, 2.5]},
            pictures=[{"version": "matches", "path": "p/m.png"}],
            record_path="p/e.json",
        ),
        ExplanationEntry(candidate_id="c2", status="failed", failure={"code": "X", "message": "why"}),
    ]
    database.save_explanations("q1", entries)
    first, second = database.get_match("q1").reviews
    assert (first.explanation_status, first.explainer, first.record_path) == ("ready", "pairx", "p/e.json")
    assert first.explanation == {"schema": "x", "n": [1, 2.5]} and first.explanation_failure is None
    assert first.pictures == [{"version": "matches", "path": "p/m.png"}]
    assert first.explained is not None and first.explained.utcoffset() == timedelta(0)
    assert (second.explanation_status, second.explanation) == ("failed", None)
    assert second.explanation_failure == {"code": "X", "message": "why"}
    assert [(r.rank, r.score, r.evidence_decision) for r in (first, second)] == [
        (1, 0.1 + 0.2, "unreviewed"),
        (2, 1 / 3, "unreviewed"),
    ]


def test_an_explanation_of_a_stranger_writes_nothing_at_all(database: ReviewDatabase) -> None:
    database.save_ranking(begin(database), 0, ranking(), awaited=["c1"])
    entries = [ExplanationEntry(candidate_id=key, status="ready") for key in ("c1", "zz")]
    with pytest.raises(HostError, match="query 'q1' has no review record of candidate 'zz'"):
        database.save_explanations("q1", entries)
    assert database.get_match("q1").reviews[0].explanation_status == "queued"


def test_a_failed_query_keeps_its_reason(database: ReviewDatabase) -> None:
    failure = Failure(code="IMAGE_UNREADABLE", message="it is no picture")
    database.save_failed_query(begin(database), 0, "q1", "c0", failure)
    match = database.get_match("q1")
    assert (match.status, match.reviews) == ("failed", [])
    assert match.failure == failure.to_json()


def test_a_second_run_adds_and_takes_nothing_away(database: ReviewDatabase) -> None:
    first = begin(database)
    database.save_ranking(first, 0, ranking("q1"))
    second = begin(database)
    database.add_annotations([annotation("c1", name="Kowhai")])
    database.save_ranking(second, 0, ranking("q2", (0.9,)))
    database.save_ranking(second, 1, Ranking(ranked_query=RankedQuery(query_id="q3", query=annotation("c1"))))
    database.finish_run(first, rank_1=1.0, mean_average_precision=0.5)
    assert [match.query_id for match in database.matches()] == ["q1", "q2", "q3"]
    assert [match.query_id for match in database.matches(second)] == ["q2", "q3"]
    assert [run.run_id for run in database.runs()] == [second, first]
    finished = database.runs()[1]
    assert (finished.rank_1, finished.mean_average_precision, finished.explanation_failure) == (
        1.0,
        0.5,
        None,
    )
    assert finished.finished is not None and database.runs()[0].finished is None
    assert len(database.get_match("q1").reviews) == 2
    assert database.get_match("q2").reviews[0].candidate.name == "Kowhai"


def test_a_query_is_written_whole_or_not_at_all(database: ReviewDatabase) -> None:
    run_id = begin(database, n=2)  # c2 is not there
    with pytest.raises(HostError):
        database.save_ranking(run_id, 0, ranking())
    with pytest.raises(HostError, match="no query 'q1'"):
        database.get_match("q1")
    with pytest.raises(HostError):
        database.save_ranking("no such run", 0, ranking("q2", ()))


def test_a_query_is_written_once(database: ReviewDatabase) -> None:
    run_id = begin(database)
    database.save_ranking(run_id, 0, ranking())
    with pytest.raises(HostError):
        database.save_ranking(run_id, 0, ranking(scores=(0.5,)))
    assert len(database.get_match("q1").reviews) == 2


def test_nan_never_reaches_the_json(database: ReviewDatabase) -> None:
    database.save_ranking(begin(database), 0, ranking())
    with pytest.raises(HostError):
        database.save_explanations(
            "q1", [ExplanationEntry(candidate_id="c1", status="ready", record={"x": float("nan")})]
        )
    assert database.get_match("q1").reviews[0].explanation is None


WRITER = """
import sys
from pairx_hooks import Annotation, Candidate, RankedQuery
from pairx_plugin.hosts.local.database import ExplanationEntry, ReviewDatabase
from pairx_plugin.hosts.local.ranking import Ranking

url, who = sys.argv[1:]
with ReviewDatabase(url) as database:
    annotations = [Annotation(annotation_id=f"c{n}", image=f"{n}.png") for n in range(6)]
    for n in range(15):
        database.add_annotations(annotations[::-1] if n % 2 else annotations)
        candidates = tuple(Candidate(annotation=annotations[k], rank=k, score=0.5) for k in range(1, 6))
        facts = {"config": {}, "model_id": who, "model_fingerprint": "f", "explain": True, "n_annotations": 6}
        run = database.begin_run(**facts)
        query = RankedQuery(query_id=f"{who}-{n}", query=annotations[0], candidates=candidates)
        database.save_ranking(run, 0, Ranking(ranked_query=query), awaited=["c1"])
        entry = ExplanationEntry(candidate_id="c1", status="ready", record={"w": who})
        database.save_explanations(f"{who}-{n}", [entry])
        database.finish_run(run, rank_1=None, mean_average_precision=None)
"""


def test_processes_write_at_the_same_time_and_nothing_is_lost(database_url: str) -> None:
    names = ["ana", "ben", "cleo"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, database_url, who], stderr=subprocess.PIPE, text=True
        )
        for who in names
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with ReviewDatabase(database_url) as database:
        matches = list(database.matches())
    assert sorted(match.query_id for match in matches) == sorted(
        f"{who}-{n}" for who in names for n in range(15)
    )
    assert all(len(match.reviews) == 5 for match in matches)
    assert all(match.reviews[0].explanation == {"w": match.query_id.split("-")[0]} for match in matches)


def test_sqlite_is_opened_for_many(tmp_path: Path) -> None:
    with ReviewDatabase(
        f"sqlite:///{tmp_path}/r.sqlite3"
    ) as database, database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30000


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite3").write_text("these are my notes, not a database " * 40)
    with pytest.raises(HostError, match="file is not a database"):
        ReviewDatabase(f"sqlite:///{tmp_path}/r.sqlite3")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostUnavailable, match="cannot be made.*choose another with the key 'database'"):
        ReviewDatabase(f"sqlite:///{tmp_path}/file/r.sqlite3")


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite3"
    ReviewDatabase(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE review_schema SET version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(HostError, match="holds tables of version 99, this host reads version 1"):
        ReviewDatabase(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("reviews.sqlite3", "cannot be read; give sqlite:///"),
        ("", "cannot be read; give sqlite:///"),
        ("nosuch://x", "cannot be read; give sqlite:///"),
        ("mysql://u:secret@server/db", "SQLite or PostgreSQL"),
    ],
)
def test_other_addresses_are_refused_in_words(address: str, words: str) -> None:
    with pytest.raises(HostError, match=words) as caught:
        ReviewDatabase(address)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    assert shown_url("postgresql://ana:secret@server/db") == "postgresql://ana:***@server/db"
    assert "secret" not in shown_url("postgresql://ana:secret@server:port/db")


def test_a_closed_door_is_unavailable_and_worth_another_try(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="needs the PostgreSQL driver psycopg")
    with pytest.raises(HostUnavailable) as caught:
        ReviewDatabase("postgresql://ana:secret@127.0.0.1:9/db")
    assert caught.value.retryable and "secret" not in str(caught.value)
