"""Decisions: the vocabulary, and a log to which records are appended and never changed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
from sqlalchemy import create_engine, delete, event, text, update  # noqa: E402
from sqlalchemy.exc import DatabaseError  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402

from pairx_plugin.review import Decision, DecisionConflict, DecisionInvalid, Pair, SqlDecisionLog  # noqa: E402
from pairx_plugin.review.decision_log import decision_table  # noqa: E402
from pairx_plugin.review.decisions import effective, newest  # noqa: E402

PAIR = Pair(task_id="t", query_id="q", rank=1, query_annotation="a", candidate_annotation="c")


def engine_at(path: Path):
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10000"))
    return engine


@pytest.fixture
def log(tmp_path: Path) -> SqlDecisionLog:
    return SqlDecisionLog(engine_at(tmp_path / "log.sqlite"))


def decided(what: str, **more) -> Decision:
    return Decision(pair=PAIR, evidence_decision=what, **more)


def test_records_count_up_and_name_the_one_before(log):
    first = log.append(decided("match", tags=("photobomb",), views=({"view": "lines", "k": 8, "ms": 5},)), 0)
    second = log.append(decided("nomatch", comment="ä"), 1)
    assert (first.version, second.version) == (1, 2)
    assert (first.supersedes, second.supersedes) == (None, first.record_id)
    assert list(log.history("t")) == [first, second]
    assert log.latest("q") == {"c": second}
    assert log.counts("t") == {"q": 1} and log.counts("other") == {}


def test_writer_who_saw_another_version_is_refused_with_the_current_record(log):
    made = log.append(decided("match", user_id="user:web:Ana"), 0)
    with pytest.raises(DecisionConflict, match="version 1, by user:web:Ana, not 0") as caught:
        log.append(decided("nomatch"), 0)
    assert caught.value.current == made
    assert len(list(log.history("t"))) == 1


def test_of_many_writers_at_once_one_wins(tmp_path):
    engine = engine_at(tmp_path / "log.sqlite")
    log, outcomes = SqlDecisionLog(engine), []
    barrier = threading.Barrier(6)

    def write(name: str) -> None:
        own = SqlDecisionLog(engine)
        barrier.wait()
        try:
            outcomes.append(own.append(decided("match", user_id=name), 0).user_id)
        except DecisionConflict:
            outcomes.append(None)
        except DatabaseError:  # SQLite was locked for longer than it waits
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=[f"user:web:{i}"]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [name for name in outcomes if name]
    assert len(winners) == 1 and log.latest("q")["c"].user_id == winners[0]


@pytest.mark.parametrize("statement", [update(decision_table).values(comment="x"), delete(decision_table)])
def test_database_itself_refuses_to_change_a_record(tmp_path, statement):
    engine = engine_at(tmp_path / "log.sqlite")
    SqlDecisionLog(engine).append(decided("match"), 0)
    with pytest.raises(DatabaseError, match="appended, never changed"), engine.begin() as connection:
        connection.execute(statement)


def test_failing_host_takes_the_record_along(tmp_path):
    def refuse(connection, decision):
        raise RuntimeError("the host's own table is locked")

    log = SqlDecisionLog(engine_at(tmp_path / "log.sqlite"), refuse)
    with pytest.raises(RuntimeError, match="locked"):
        log.append(decided("match"), 0)
    assert list(log.history("t")) == []


def test_host_hears_of_each_record_in_the_same_transaction(tmp_path):
    engine = engine_at(tmp_path / "log.sqlite")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE own (said TEXT)"))

    def note(connection, made):
        connection.execute(text("INSERT INTO own VALUES (:x)"), {"x": made.evidence_decision})

    log = SqlDecisionLog(engine, note)
    log.append(decided("notcomp"), 0)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT said FROM own")) == "notcomp"


def test_undo_goes_back_one_decision_at_a_time(log):
    log.append(decided("match", comment="first", tags=("scenerymatch",)), 0)
    log.append(decided("nomatch"), 1)
    once = log.undo(PAIR, 2, "user:web:Ana")
    assert (once.evidence_decision, once.comment, once.tags, once.user_id) == (
        "match",
        "first",
        ("scenerymatch",),
        "user:web:Ana",
    )
    twice = log.undo(PAIR, 3, "user:web:Ana")
    assert twice.evidence_decision == "unreviewed" and not twice.skipped
    with pytest.raises(DecisionInvalid, match="no decision"):
        log.undo(PAIR, 4, "user:web:Ana")
    with pytest.raises(DecisionConflict):
        log.undo(PAIR, 1, "user:web:Ana")
    assert log.counts("t") == {}


def test_skipped_pair_counts_as_looked_at(log):
    made = log.append(decided("unreviewed"), 0)
    assert made.skipped and log.counts("t") == {"q": 1}


def test_undo_of_a_decision_on_a_skipped_pair_leads_back_to_the_skip(log):
    log.append(decided("unreviewed"), 0)
    log.append(decided("match"), 1)
    assert not log.latest("q")["c"].skipped
    back = log.undo(PAIR, 2, "user:web:Ana")
    assert back.skipped and back.evidence_decision == "unreviewed" and back.version == 3
    assert log.latest("q")["c"].skipped and log.counts("t") == {"q": 1}
    with pytest.raises(DecisionConflict) as caught:
        log.append(decided("match"), 1)
    assert caught.value.current.skipped
    bare = log.undo(PAIR, 3, "user:web:Ana")
    assert not bare.skipped and not log.latest("q")["c"].skipped and log.counts("t") == {}


def test_newest_record_says_whether_a_skip_stands():
    skip, match = decided("unreviewed"), decided("match")
    undo = replace(skip, action="undo")
    assert newest([skip]).skipped and not newest([skip, match]).skipped
    assert newest([skip, match, undo]).skipped
    assert not newest([skip, undo]).skipped and not newest([match, undo]).skipped
    assert newest([skip, skip, undo]).skipped and not newest([skip, match, undo, undo]).skipped


def test_long_history_is_read_in_batches(log, monkeypatch):
    monkeypatch.setattr("pairx_plugin.review.decision_log._BATCH", 3)
    for version in range(8):
        log.append(decided("match" if version % 2 else "nomatch"), version)
    assert [item.version for item in log.history("t")] == list(range(1, 9))


def test_standing_decisions_are_those_not_taken_back():
    match, nomatch = decided("match"), decided("nomatch")
    undo = replace(match, action="undo")
    assert effective([match, nomatch, undo]) == [match]
    assert effective([undo, match, undo, undo, nomatch]) == [nomatch]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("evidence_decision", "maybe"),
        ("confidence", "very"),
        ("tags", ("x",)),
        ("comment", "x" * 4001),
        ("comment", "a\0b"),
        ("user_id", "x" * 121),
        ("meta_decision", "both"),
        ("action", "erase"),
        ("views", ({},) * 201),
    ],
)
def test_value_outside_of_the_vocabulary_names_its_field(field, value):
    with pytest.raises(DecisionInvalid) as caught:
        Decision(**{"pair": PAIR, "evidence_decision": "match", field: value})
    assert caught.value.field == field
