"""Tables of the sample host's review database, as SQLAlchemy models.

One run ranks many queries; one query has one review record per candidate. Ranks and scores are written once,
with the query; an explanation only ever fills the columns that are its own.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import Double

__all__ = [
    "AnnotationRow",
    "Base",
    "MatchQuery",
    "MatchReview",
    "MatchRun",
    "SCHEMA_VERSION",
    "SchemaVersion",
    "UNREVIEWED",
    "utc_now",
]

SCHEMA_VERSION = 1
UNREVIEWED = "unreviewed"  # of Wildbook's evidence decisions: match, nomatch, notcomp, unknown, unreviewed
_JSON = JSON(none_as_null=True)


def utc_now() -> datetime:
    """Return the present time in UTC, with its time zone."""
    return datetime.now(timezone.utc)


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is UTC in the database and has its zone in Python; SQLite itself keeps no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"times need a time zone, {value!r} has none; use utc_now()")
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Base(DeclarativeBase):
    """Base of the tables: texts without length limit, and numbers as doubles, so scores keep every bit."""

    type_annotation_map = {
        str: Text,
        float: Double,
        datetime: UtcDateTime,
    }


class SchemaVersion(Base):
    """Which version of these tables the database holds; one row."""

    __tablename__ = "review_schema"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class AnnotationRow(Base):
    """One animal in one photograph, as the latest run that used it read it."""

    __tablename__ = "annotations"

    annotation_id: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str]
    x: Mapped[float | None]
    y: Mapped[float | None]
    w: Mapped[float | None]
    h: Mapped[float | None]
    theta: Mapped[float | None]
    name: Mapped[str | None]
    species: Mapped[str | None]
    viewpoint: Mapped[str | None]
    extra: Mapped[dict[str, Any]] = mapped_column(_JSON)
    updated: Mapped[datetime] = mapped_column(default=utc_now)


class MatchRun(Base):
    """One run of the host: configuration, model, and what came of it."""

    __tablename__ = "match_runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)
    finished: Mapped[datetime | None]  # None: still going on, or broken off
    config: Mapped[dict[str, Any]] = mapped_column(_JSON)
    model_id: Mapped[str]
    model_fingerprint: Mapped[str]
    explain: Mapped[bool]
    n_annotations: Mapped[int]
    problems: Mapped[list[Any]] = mapped_column(_JSON)  # what was left out, and why
    # why nothing at all was explained although the flag was on
    explanation_failure: Mapped[dict[str, Any] | None] = mapped_column(_JSON)
    rank_1: Mapped[float | None]
    mean_average_precision: Mapped[float | None]

    queries: Mapped[list[MatchQuery]] = relationship(back_populates="run", order_by="MatchQuery.position")


class MatchQuery(Base):
    """One query of a run."""

    __tablename__ = "match_queries"
    __table_args__ = (UniqueConstraint("run_id", "annotation_id"),)

    query_id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("match_runs.run_id"))
    annotation_id: Mapped[str] = mapped_column(ForeignKey("annotations.annotation_id"))
    position: Mapped[int]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    status: Mapped[str]  # ranked | failed
    failure: Mapped[dict[str, Any] | None] = mapped_column(_JSON)
    warnings: Mapped[list[Any]] = mapped_column(_JSON)
    chip_sha256: Mapped[str | None]
    score_scale: Mapped[str]
    n_searched: Mapped[int]
    correct_rank: Mapped[int | None]  # None: name unknown, or no other annotation of it
    average_precision: Mapped[float | None]

    run: Mapped[MatchRun] = relationship(back_populates="queries")
    annotation: Mapped[AnnotationRow] = relationship()
    reviews: Mapped[list[MatchReview]] = relationship(back_populates="query", order_by="MatchReview.rank")


class MatchReview(Base):
    """One candidate of a query: rank and scores, the explanation, the reviewer's decision."""

    __tablename__ = "match_reviews"
    __table_args__ = (
        UniqueConstraint("query_id", "rank"),
        UniqueConstraint("query_id", "candidate_id"),
        Index("match_reviews_candidate", "candidate_id"),
    )

    # SQLite counts up in plain integers only, and those have 64 bits there
    review_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    query_id: Mapped[str] = mapped_column(ForeignKey("match_queries.query_id"))
    candidate_id: Mapped[str] = mapped_column(ForeignKey("annotations.annotation_id"))
    rank: Mapped[int]
    score: Mapped[float]
    name_score: Mapped[float | None]
    warnings: Mapped[list[Any]] = mapped_column(_JSON)
    chip_sha256: Mapped[str | None]

    # of the hook contract; None: never asked for; still "queued" after the run: it was broken off
    explanation_status: Mapped[str | None]
    explainer: Mapped[str | None]
    explanation: Mapped[dict[str, Any] | None] = mapped_column(_JSON)
    explanation_failure: Mapped[dict[str, Any] | None] = mapped_column(_JSON)
    record_path: Mapped[str | None]  # paths are relative to the output folder
    pictures: Mapped[list[Any]] = mapped_column(_JSON)
    explained: Mapped[datetime | None]

    evidence_decision: Mapped[str] = mapped_column(default=UNREVIEWED)
    meta_decision: Mapped[str] = mapped_column(default="null")
    confidence: Mapped[str] = mapped_column(default="unspecified")
    tags: Mapped[list[Any]] = mapped_column(_JSON, default=list)
    comment: Mapped[str] = mapped_column(default="")
    reviewer: Mapped[str | None]
    decided: Mapped[datetime | None]

    query: Mapped[MatchQuery] = relationship(back_populates="reviews")
    candidate: Mapped[AnnotationRow] = relationship()
