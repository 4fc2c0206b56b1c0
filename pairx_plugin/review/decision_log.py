"""The log of decisions in a database: one table, appended to in transactions, guarded by versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    UniqueConstraint,
    case,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import Double

from .decisions import UNDECIDED, Decision, DecisionConflict, DecisionInvalid, Pair, effective, newest

__all__ = ["SqlDecisionLog", "decision_table"]

OnAppend = Callable[[Connection, Decision], None]
_BATCH = 500

_metadata = MetaData()
decision_table = Table(
    "review_decisions",
    _metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("record_id", Text, nullable=False, unique=True),
    Column("task_id", Text, nullable=False, index=True),
    Column("query_id", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("query_annotation", Text, nullable=False),
    Column("candidate_annotation", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("evidence_decision", Text, nullable=False),
    Column("meta_decision", Text, nullable=False),
    Column("confidence", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("comment", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("timestamp", Double, nullable=False),
    Column("timestamp_s1", Double, nullable=False),
    Column("timestamp_c1", Double, nullable=False),
    Column("timestamp_c2", Double, nullable=False),
    Column("explanation_ids", JSON, nullable=False),
    Column("views", JSON, nullable=False),
    Column("supersedes", Text),
    # Two writers that saw the same version cannot both append: the second one's row is refused.
    UniqueConstraint("query_id", "candidate_annotation", "version"),
)
for _verb in ("UPDATE", "DELETE"):
    event.listen(
        decision_table,
        "after_create",
        DDL(
            f"CREATE TRIGGER review_decisions_no_{_verb.lower()} BEFORE {_verb} ON review_decisions "
            "BEGIN SELECT RAISE(ABORT, 'decisions are appended, never changed'); END"
        ).execute_if(dialect="sqlite"),
    )
_PAIR = ("task_id", "query_id", "rank", "query_annotation", "candidate_annotation")
_NO_COLUMNS = ("pair", "tags", "views", "explanation_ids", "back_to_skip")
_FIELDS = tuple(item.name for item in dataclasses.fields(Decision) if item.name not in _NO_COLUMNS)


class SqlDecisionLog:
    """A log in SQLite or PostgreSQL; threads and processes may share the database.

    Args:
        engine: of the database; the table is made in it where it is missing.
        on_append: called within the transaction of every new record, so that a host's own tables say the same.
    """

    def __init__(self, engine: Engine, on_append: OnAppend | None = None) -> None:
        self._engine, self._on_append = engine, on_append
        with self._writing() as connection:
            _metadata.create_all(connection)

    def append(self, decision: Decision, expected_version: int) -> Decision:
        """Append a decision and return it with its version; see :class:`.decisions.DecisionLog`."""
        try:
            with self._writing() as connection:
                last = self._last(connection, decision.pair)
                self._check(last, expected_version)
                return self._write(connection, decision, last)
        except IntegrityError as error:  # another process was quicker by a hair
            raise self._conflict(decision.pair, expected_version) from error

    def undo(self, pair: Pair, expected_version: int, user_id: str) -> Decision:
        """Take the last standing decision of a pair back; see :class:`.decisions.DecisionLog`."""
        try:
            with self._writing() as connection:
                last = self._last(connection, pair)
                self._check(last, expected_version)
                history = self._of_pair(connection, pair)
                standing = effective(history)
                if not standing or last is None:
                    raise DecisionInvalid("there is no decision on this pair that could be taken back", "version")
                before = standing[-2] if len(standing) > 1 else Decision(pair=pair, evidence_decision=UNDECIDED)
                fresh = Decision(pair=pair, evidence_decision=UNDECIDED, user_id=user_id)
                taken = dataclasses.replace(
                    before,
                    action="undo",
                    user_id=user_id,
                    record_id=fresh.record_id,
                    timestamp=fresh.timestamp,
                    views=(),
                    timestamp_s1=0.0,
                    timestamp_c1=0.0,
                    timestamp_c2=0.0,
                )
                return newest([*history, self._write(connection, taken, last)])
        except IntegrityError as error:
            raise self._conflict(pair, expected_version) from error

    def latest(self, query_id: str) -> Mapping[str, Decision]:
        """Return the newest record of each of the query's pairs, by the candidate's annotation id."""
        wanted = select(decision_table).where(decision_table.c.query_id == query_id).order_by(decision_table.c.number)
        with self._engine.connect() as connection:
            found = [_decision(row) for row in connection.execute(wanted)]
        histories: dict[str, list[Decision]] = {}
        for decision in found:
            histories.setdefault(decision.pair.candidate_annotation, []).append(decision)
        return {candidate: newest(history) for candidate, history in histories.items()}

    def counts(self, task_id: str) -> Mapping[str, int]:
        """Return how many pairs of each query are decided or were skipped, by query id."""
        table = decision_table.c
        # Every undo takes back one decision before it, so what stands is what is left of both.
        standing = func.sum(case((table.action == "decide", 1), else_=-1))
        pairs = (
            select(table.query_id)
            .where(table.task_id == task_id)
            .group_by(table.query_id, table.candidate_annotation)
            .having(standing > 0)
            .subquery()
        )
        wanted = select(pairs.c.query_id, func.count()).group_by(pairs.c.query_id)
        with self._engine.connect() as connection:
            return {query_id: int(count) for query_id, count in connection.execute(wanted)}

    def history(self, task_id: str) -> Iterator[Decision]:
        """Yield every record of a task, oldest first."""
        after = 0
        while True:  # in batches, so that a slow reader holds no transaction open
            wanted = (
                select(decision_table)
                .where(decision_table.c.task_id == task_id, decision_table.c.number > after)
                .order_by(decision_table.c.number)
                .limit(_BATCH)
            )
            with self._engine.connect() as connection:
                rows = list(connection.execute(wanted))
            yield from map(_decision, rows)
            if len(rows) < _BATCH:
                return
            after = int(rows[-1]._mapping["number"])

    def _write(self, connection: Connection, decision: Decision, last: Decision | None) -> Decision:
        made = dataclasses.replace(
            decision,
            version=last.version + 1 if last else 1,
            supersedes=last.record_id if last else None,
        )
        connection.execute(insert(decision_table).values(_values(made)))
        if self._on_append is not None:
            self._on_append(connection, made)
        return made

    def _check(self, last: Decision | None, expected_version: int) -> None:
        if (last.version if last else 0) != expected_version:
            raise DecisionConflict(expected_version, last)

    def _conflict(self, pair: Pair, expected_version: int) -> DecisionConflict:
        with self._engine.connect() as connection:
            return DecisionConflict(expected_version, self._last(connection, pair))

    def _last(self, connection: Connection, pair: Pair) -> Decision | None:
        found = self._of_pair(connection, pair)
        return newest(found) if found else None

    def _of_pair(self, connection: Connection, pair: Pair) -> list[Decision]:
        table = decision_table.c
        wanted = (
            select(decision_table)
            .where(table.query_id == pair.query_id, table.candidate_annotation == pair.candidate_annotation)
            .order_by(table.version)
        )
        return [_decision(row) for row in connection.execute(wanted)]

    def _writing(self) -> Any:
        # "writes" is what the sample host's engine takes as a word for BEGIN IMMEDIATE; others ignore it.
        return self._engine.execution_options(writes=True).begin()


def _values(decision: Decision) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(decision, name) for name in _FIELDS}
    values |= {name: getattr(decision.pair, name) for name in _PAIR}
    values |= {"tags": list(decision.tags), "explanation_ids": list(decision.explanation_ids)}
    return {**values, "views": [dict(view) for view in decision.views]}


def _decision(row: Row[Any]) -> Decision:
    values = dict(row._mapping)
    return Decision(
        pair=Pair(**{name: values[name] for name in _PAIR}),
        tags=tuple(values["tags"] or ()),
        views=tuple(values["views"] or ()),
        explanation_ids=tuple(values["explanation_ids"] or ()),
        **{name: values[name] for name in _FIELDS},
    )
