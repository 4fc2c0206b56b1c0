"""Frozen records that travel between hosts and plugins.

They hold plain Python values only, so that a host needs neither NumPy nor torch to read them, and each goes
to JSON and back (:meth:`Record.to_json`, :meth:`Record.from_json`). Models and chips travel beside them as
opaque objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .base import Record, at_least, not_empty
from .errors import RecordError
from .values import fit

__all__ = [
    "Annotation",
    "Artifact",
    "Candidate",
    "Explanation",
    "ExplanationRequest",
    "ExplainerEntry",
    "Failure",
    "RankedQuery",
    "Record",
    "Status",
]


class Status(str, Enum):
    """Where an explanation stands.

    ``READY``: everything that was asked for is there. ``PARTIAL``: usable, but something was left out, as
    `failure` says. ``FAILED``: nothing usable, `failure` says why. ``UNSUPPORTED``: this model or explainer
    can never do it, `failure` says why. ``SKIPPED``: not asked for (behind `top_k`). ``QUEUED`` and
    ``RUNNING``: work goes on. ``STALE``: made with another model, chip or setting than today's.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PARTIAL = "partial"
    READY = "ready"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"
    STALE = "stale"

    @property
    def usable(self) -> bool:
        """True where there is evidence to look at: ``READY`` and ``PARTIAL``."""
        return self in (Status.READY, Status.PARTIAL)

    @property
    def failed(self) -> bool:
        """True where nothing will come of it: ``FAILED`` and ``UNSUPPORTED``."""
        return self in (Status.FAILED, Status.UNSUPPORTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation(Record):
    """One animal in one photograph.

    Attributes:
        annotation_id: the host's identifier, unique in the host.
        image: path or URI of the photograph, as the host's `load_chip` understands it.
        bbox: (x, y, w, h) in image pixels after the EXIF turn, or None for the whole photograph. Any four
            numbers are held, also an empty box or NaN: whoever cuts the chip says what is wrong with them.
        theta: radians about the box centre, sign as in Wildbook; None where the host does not know it.
        name: the individual's name, or None where it is not known (always hide it from a blind test).
        extra: anything of the host that a page may show: file name, date, encounter id. JSON values only.
    """

    annotation_id: str
    image: str = ""
    bbox: tuple[float, float, float, float] | None = None
    theta: float | None = 0.0
    name: str | None = None
    species: str | None = None
    viewpoint: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def _check(self) -> None:
        not_empty(self, "annotation_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate(Record):
    """One ranked candidate.

    Attributes:
        rank: 1 for the best.
        score: the host's own score, on the host's own scale; never changed by an explanation.
        name_score: the host's score of the candidate's individual, if it has one.
    """

    annotation: Annotation
    rank: int
    score: float | None = None
    name_score: float | None = None

    def _check(self) -> None:
        at_least(self, "rank", 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedQuery(Record):
    """A query and its candidates, best first, as the host ranked them.

    Attributes:
        candidates: ranks rise strictly, so that a rank names one candidate even where an annotation stands
            twice (or is the query itself); ranks may be left out.
        model_id: what `provide_embedding_model` is asked for; the model that ranked.
        score_scale: ``cosine``, ``half_cosine`` ((1 + cosine) / 2), ``count_share`` or ``raw``.
        n_searched: how many annotations the query was compared with.
    """

    query_id: str
    query: Annotation
    candidates: tuple[Candidate, ...] = ()
    model_id: str = ""
    score_scale: str = "raw"
    n_searched: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def _check(self) -> None:
        not_empty(self, "query_id")
        at_least(self, "n_searched", 0)
        for better, worse in zip(self.candidates, self.candidates[1:]):
            if worse.rank <= better.rank:
                raise RecordError(
                    f"candidates of query '{self.query_id}' come best first, each with its own rank: "
                    f"rank {worse.rank} ('{worse.annotation.annotation_id}') follows rank {better.rank}; "
                    "sort them by rank and number ties through"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationRequest(Record):
    """What the host wants explained, and how.

    Attributes:
        explainer: id of a registered explainer.
        top_k: how many candidates to explain, best first; the rest come back with status ``skipped``.
        layers: layer keys; empty for the model's own default.
        pictures: views to render: ``matches``, ``heatmask``, ``both``, ``clean``.
        picture_format: ``png`` or ``webp``.
        settings: settings of the explainer by name, such as ``k_lines``; JSON values only.
    """

    explainer: str = "pairx"
    top_k: int = 5
    layers: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    picture_format: str = "png"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def _check(self) -> None:
        not_empty(self, "explainer")
        at_least(self, "top_k", 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure(Record):
    """Why something is missing.

    Attributes:
        code: stable upper-case identifier, such as ``IMAGE_UNREADABLE``.
        message: a sentence for a person: what is wrong, the value, the next step.
        retryable: True where the same request may succeed later.
        plugin: name of the plugin that failed, where one did.
    """

    code: str
    message: str
    retryable: bool = False
    plugin: str | None = None

    def _check(self) -> None:
        not_empty(self, "code")


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact(Record):
    """One encoded picture.

    Attributes:
        version: ``matches`` (lines), ``heatmask`` (colours), ``both`` or ``clean``.
        media_type: ``image/png`` or ``image/webp``.
        width: in pixels, as is `height`.
        data: the encoded bytes; left out of JSON.
        path: where a host keeps it, once it does.
    """

    version: str
    media_type: str
    width: int
    height: int
    data: bytes = field(default=b"", repr=False)
    path: str | None = None

    def _check(self) -> None:
        at_least(self, "width", 1)
        at_least(self, "height", 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation(Record):
    """What came of one candidate, ready for the host's match-review record.

    Attributes:
        query_id: of the ranked query.
        candidate_id: the candidate's annotation id; `rank` is its rank in the ranked query.
        record: the explanation as JSON data (schema ``pairx.explanation/1``), where the plugin has some; a failed
            one may hold what was asked for and why it failed.
        artifacts: the pictures.
        failure: says why, and must be there, where status is ``partial``, ``failed`` or ``unsupported``.
    """

    query_id: str
    candidate_id: str
    rank: int
    status: Status
    explainer: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    failure: Failure | None = None

    @classmethod
    def without_evidence(
        cls,
        ranked_query: RankedQuery,
        candidate: Candidate,
        failure: Failure | None = None,
        *,
        status: Status | None = None,
        explainer: str = "",
    ) -> Explanation:
        """Return what stands in place of an explanation: why there is none, or that none was asked for.

        Args:
            status: ``failed`` with a failure and ``skipped`` without one, where it is not given.
        """
        return cls(
            query_id=ranked_query.query_id,
            candidate_id=candidate.annotation.annotation_id,
            rank=candidate.rank,
            status=status or (Status.FAILED if failure else Status.SKIPPED),
            explainer=explainer,
            failure=failure,
        )

    def _check(self) -> None:
        at_least(self, "rank", 1)
        if self.failure is None and (self.status.failed or self.status is Status.PARTIAL):
            raise RecordError(
                f"the explanation of '{self.candidate_id}' is {self.status.value} without saying why; "
                "give it a failure"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainerEntry:
    """How a plugin registers an explainer; not a JSON record, since it carries code.

    Attributes:
        explainer_id: what a request names, such as ``pairx``.
        title: a few words for a menu.
        create: called without arguments when the explainer is first asked for; heavy imports belong in it.
        summary: one sentence: what a reviewer learns from it.
        version: of the explainer; another one means other results.
    """

    explainer_id: str
    title: str
    create: Callable[[], Any]
    summary: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        for name in ("explainer_id", "title", "summary", "version"):
            fit(str, getattr(self, name), f"ExplainerEntry.{name}")
        not_empty(self, "explainer_id")
        if not callable(self.create):
            raise RecordError(
                f"ExplainerEntry.create of '{self.explainer_id}' must be callable without arguments, "
                f"not {type(self.create).__name__} {self.create!r:.80}"
            )
