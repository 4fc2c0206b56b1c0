"""What a report is made of: ranked queries with their explanations, and what the host adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pairx_hooks import Artifact, Explanation, Failure, RankedQuery

__all__ = ["Decided", "Note", "QueryPhotograph", "ReportQuery", "RunFacts"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something a reader should know: a stable code, a sentence, and values for the sentence in another language."""

    code: str
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Note:
        """Take what JSON data holds of a note; whatever is missing or of another kind is empty, and nothing raised."""
        code, message = (text if isinstance(text := value.get(name), str) else "" for name in ("code", "message"))
        values = value.get("values")
        return cls(code=code, message=message, values=values if isinstance(values, Mapping) else {})


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a reviewer said of a candidate, in Wildbook IA's words.

    Attributes:
        evidence_decision: ``match``, ``nomatch``, ``notcomp``, ``unknown``, or ``unreviewed`` for one that was skipped.
        timestamp: seconds since 1970.
    """

    evidence_decision: str
    confidence: str = "unspecified"
    tags: Sequence[str] = ()
    comment: str = ""
    user_id: str = ""
    timestamp: float = 0.0


@dataclass(frozen=True, kw_only=True)
class QueryPhotograph:
    """The query's whole photograph.

    Attributes:
        picture: encoded, of any size.
        outline: corners (x, y) of what the network saw, as shares of the photograph's width and height; empty where it
            saw all of it.
    """

    picture: Artifact
    outline: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportQuery:
    """One query of a report.

    Attributes:
        ranked_query: the query and all its candidates, as the host ranked them.
        explanations: of any of the candidates, in any order; a candidate without one was not asked for.
        photograph: of the query.
        chips: small pictures of candidates by annotation id, shown where there is no explanation to look at.
        notes: the host's own doubts by annotation id, the query's included.
        failure: why the query could not be ranked.
        show_names: whether to say if the host knows query and candidate as one individual.
        decisions: of reviewers, by the candidate's annotation id; None where nobody was to decide.
    """

    ranked_query: RankedQuery
    explanations: Sequence[Explanation] = ()
    photograph: QueryPhotograph | None = None
    chips: Mapping[str, Artifact] = field(default_factory=dict)
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)
    failure: Failure | None = None
    show_names: bool = True
    decisions: Mapping[str, Decided] | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the head of a report says of the run; every field may be missing.

    Attributes:
        rank_1: share of the judged queries whose best candidate is the right individual, in [0, 1].
        mean_average_precision: of the judged queries, in [0, 1].
        n_judged: how many queries have a name that another photograph has too.
        n_annotations: photographs that were embedded.
        created: when the report was written; now where it is None.
        notes: what was left out, and what casts doubt on everything below.
    """

    model_id: str = ""
    model_fingerprint: str = ""
    rank_1: float | None = None
    mean_average_precision: float | None = None
    n_judged: int = 0
    n_annotations: int | None = None
    created: datetime | None = None
    notes: Sequence[Note] = ()
