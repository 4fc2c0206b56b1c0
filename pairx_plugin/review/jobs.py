"""One explanation on its way: what was asked, by whom, how far it is, and what came of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass, field

from pairx_hooks import Candidate, Failure, Status

from .evidence_parts import EvidenceParts
from .partners import Partners
from .source import EvidenceRequest, ReviewQuery

__all__ = ["Job", "JobKey"]


@dataclass(frozen=True, kw_only=True)
class JobKey:
    """Everything that makes one explanation another one; two readers who ask the same share it.

    Attributes:
        made_anew: True where kept evidence no longer holds and was asked for again.
    """

    task_id: str
    query_id: str
    rank: int
    request: EvidenceRequest
    made_anew: bool = False

    @property
    def job_id(self) -> str:
        """32 hexadecimal digits."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(kw_only=True)
class Job:
    """The state of one explanation; only the queue changes it, under its lock.

    Attributes:
        parts: what there is to show already.
        partners: of every place, where the explainer knows them.
        stale: why evidence that was made before no longer holds; such a job waits to be asked anew.
        step: what is being done, a code such as ``LOADING_MODEL``.
        wanted_by: readers who wait; without any, nothing needs to be computed.
        ended: True where evidence in part is all that will come.
        priority: 0 for what is being looked at, 1 for what is prefetched.
        order: of asking, so that among equals the first comes first.
        revision: counts up with every change, for the ETag.
    """

    key: JobKey
    query: ReviewQuery
    candidate: Candidate
    status: Status = Status.QUEUED
    parts: EvidenceParts | None = None
    partners: Partners | None = None
    failure: Failure | None = None
    stale: str = ""
    step: str = ""
    ended: bool = False
    wanted_by: set[str] = field(default_factory=set)
    priority: int = 0
    order: int = 0
    revision: int = 0
    asked: float = field(default_factory=time.monotonic)
    started: float | None = None
    finished: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def job_id(self) -> str:
        """The key's."""
        return self.key.job_id

    @property
    def over(self) -> bool:
        """True where nothing more will come by itself."""
        return self.ended or self.status in (Status.READY, Status.FAILED, Status.UNSUPPORTED, Status.STALE)

    @property
    def n_bytes(self) -> int:
        """About how much memory what there is takes."""
        return sum(item.n_bytes for item in (self.parts, self.partners) if item is not None)

    @property
    def elapsed(self) -> float:
        """Seconds since the work began; 0 while it waits."""
        if self.started is None:
            return 0.0
        return (self.finished if self.finished is not None else time.monotonic()) - self.started
