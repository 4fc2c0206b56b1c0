"""A bounded queue and one thread that works it off: what is looked at first, what nobody waits for not at all."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from statistics import median

from pairx_hooks import Failure, Status

from ..errors import PairXError
from ..explanation import failure_of
from .evidence_parts import cut_short, parts_of
from .failures import QueueFull
from .jobs import Job
from .partners import Partners
from .source import Found, ReviewSource, Step

__all__ = ["JobQueue"]

logger = logging.getLogger(__name__)

OnChange = Callable[[Job], None]
_GRACE = 0.1, 1.0  # share of the time limit and seconds after it in which an explainer may end by itself
_REMEMBERED = 400  # jobs without evidence are small; more of them than this are forgotten, oldest first


class JobQueue:
    """Explanations that were asked for, in any state; safe for threads.

    Args:
        source: explains.
        on_change: told of every change, from any thread; it must return at once.
        size: how many may wait.
        time_limit: seconds for one; 0 for no limit. Explainers know it as their time budget and end by themselves; one
            that does not is told to stop at its next step. What is there of the evidence by then is kept.
        memory: bytes of finished evidence that are kept; the longest unused goes first.
    """

    def __init__(
        self, source: ReviewSource, on_change: OnChange, *, size: int, time_limit: float, memory: int
    ) -> None:
        self._source, self._on_change = source, on_change
        self._size, self._time_limit, self._memory = size, time_limit, memory
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._running: Job | None = None
        self._times: deque[float] = deque(maxlen=9)
        self._count = 0
        self._closed = False
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    @property
    def usual_seconds(self) -> float | None:
        """Median time of the last explanations; None before the first."""
        with self._changed:
            return median(self._times) if self._times else None

    def ask(self, job: Job, reader: str, *, retry: bool = False) -> Job:
        """Put a job into the queue, or return the one of the same key that is there already.

        Args:
            job: new; it may bring parts that a host has kept, or be over already.
            reader: who waits for it.
            retry: True to try again what has failed and may succeed now.

        Raises:
            QueueFull: too many wait.
        """
        with self._changed:
            known = self._jobs.get(job.job_id)
            again = known is not None and retry and known.failure is not None and known.failure.retryable
            if known is not None and not again:
                known.wanted_by.add(reader)
                known.priority = min(known.priority, job.priority)
                self._jobs.move_to_end(known.job_id)
                self._changed.notify_all()
                return known
            if not job.over:
                self._check_room(job)
            if known is not None:
                job.revision = known.revision + 1  # or readers would take its news for older than what they have
            self._count += 1
            job.order = self._count
            job.wanted_by.add(reader)
            self._jobs[job.job_id] = job
            self._jobs.move_to_end(job.job_id)
            self._forget_old()
            self._start()
            self._changed.notify_all()
        self._on_change(job)
        return job

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None where there is none of that id."""
        with self._changed:
            return self._jobs.get(job_id)

    def jobs_of(self, query_id: str) -> list[Job]:
        """Return the jobs of a query, the one last asked for at the end."""
        with self._changed:
            return [job for job in self._jobs.values() if job.key.query_id == query_id]

    def place(self, job: Job) -> int:
        """Return how many are worked off before a job that waits."""
        with self._changed:
            if job.status is not Status.QUEUED:
                return 0
            before = sum((other.priority, other.order) < (job.priority, job.order) for other in self._waiting())
            return before + (self._running is not None)

    def drop(self, job_id: str, reader: str) -> None:
        """Say that a reader no longer waits; a job that nobody waits for is cancelled."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return
            job.wanted_by.discard(reader)
            if not job.wanted_by and not job.over:
                job.stop.set()
                del self._jobs[job_id]
                self._changed.notify_all()

    def drop_all(self, job_ids: Iterable[str], reader: str) -> None:
        """Say that a reader no longer waits for any of these; none of them begins because another one ends."""
        with self._changed:
            for job_id in job_ids:
                self.drop(job_id, reader)

    def drop_reader(self, reader: str) -> None:
        """Say that a reader has gone."""
        with self._changed:
            self.drop_all([job_id for job_id, job in self._jobs.items() if reader in job.wanted_by], reader)

    def close(self) -> None:
        """Stop: nothing new is begun, and what runs is told to end."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.stop.set()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=5.0)

    def _check_room(self, job: Job) -> None:
        waiting = self._waiting()
        if len(waiting) < self._size:
            return
        prefetched = [other for other in waiting if other.priority > job.priority]
        if not prefetched:
            wait = self._size * (median(self._times) if self._times else 5.0)
            raise QueueFull(self._size, max(1.0, wait))
        last = max(prefetched, key=lambda other: other.order)  # what is looked at goes before what may be
        last.stop.set()
        del self._jobs[last.job_id]

    def _waiting(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.status is Status.QUEUED]

    def _forget_old(self) -> None:
        """Let evidence go that is over the memory, longest unused first; nothing that is under way."""
        sizes = {key: job.n_bytes for key, job in self._jobs.items() if job.parts is not None}
        total = sum(sizes.values())
        for key, job in list(self._jobs.items())[:-1]:
            if total <= self._memory and len(self._jobs) <= _REMEMBERED:
                return
            if job.over:
                total -= sizes.get(key, 0)
                del self._jobs[key]

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._work, name="pairx-review", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting()))
                if self._closed:
                    return
                job = min(self._waiting(), key=lambda waiting: (waiting.priority, waiting.order))
                job.status, job.started = Status.RUNNING, time.monotonic()
                job.revision += 1
                self._running = job
            self._on_change(job)
            for other in self._snapshot_waiting():
                self._on_change(other)  # each has moved up one place
            alarm = self._alarm(job)
            try:
                self._explain(job)
            finally:
                if alarm is not None:
                    alarm.cancel()
                with self._changed:
                    self._running = None
                    self._forget_old()

    def _alarm(self, job: Job) -> threading.Timer | None:
        if not self._time_limit:
            return None
        share, least = _GRACE
        alarm = threading.Timer(self._time_limit + max(least, share * self._time_limit), self._too_long, [job])
        alarm.daemon = True
        alarm.start()
        return alarm

    def _snapshot_waiting(self) -> list[Job]:
        with self._changed:
            return self._waiting()

    def _explain(self, job: Job) -> None:
        try:
            steps = self._source.explain(job.query, job.candidate, job.key.request, job.stop.is_set)
            for found in steps:
                if job.stop.is_set():
                    return
                self._take(job, found)
            self._end(job)
        except Exception as error:  # whatever an explainer raises is this pair's failure and nobody else's
            if not isinstance(error, PairXError):
                logger.exception("rank %d of query %s", job.key.rank, job.key.query_id)
            self._fail(job, *failure_of(error))

    def _end(self, job: Job) -> None:
        """The explainer has no more to give: what there is in part is all there is."""
        if job.over or job.stop.is_set():
            return
        if job.parts is None or job.status is not Status.PARTIAL:
            failure = Failure(code="INTERNAL", message="the explainer ended without a result", retryable=True)
            self._fail(job, Status.FAILED, failure)
            return
        with self._changed:
            job.ended, job.finished = True, time.monotonic()
            job.revision += 1
        self._on_change(job)

    def _take(self, job: Job, found: Found) -> None:
        if isinstance(found, Partners):
            job.partners = found  # they belong to the evidence that comes next, which is the news
            return
        if isinstance(found, Step):
            with self._changed:
                job.step = found.code
                job.revision += 1
            self._on_change(job)
            return
        if found.evidence is None:
            failure = found.failure or Failure(code="INTERNAL", message="there is no evidence and no reason")
            self._fail(job, found.status, failure)
            return
        parts = parts_of(found, job.query.ranked_query, job.candidate)
        with self._changed:
            if job.over:  # it took too long, and its reader was told so
                return
            job.parts, job.status, job.failure = parts, found.status, found.failure
            job.revision += 1
            if found.status is Status.READY:
                job.finished = time.monotonic()
                self._times.append(job.elapsed)
        self._on_change(job)

    def _fail(self, job: Job, status: Status, failure: Failure) -> None:
        with self._changed:
            if job.over or job.stop.is_set():
                return
            job.status = status if status.failed else Status.FAILED
            job.failure, job.finished = failure, time.monotonic()
            job.revision += 1
        self._on_change(job)

    def _too_long(self, job: Job) -> None:
        message = f"the explanation took longer than {self._time_limit:g} s; try again, or ask for fewer colours"
        failure = Failure(code="TIMEOUT", message=message, retryable=True)
        with self._changed:
            if job.over or job.stop.is_set():
                return
            status = Status.FAILED if job.parts is None else Status.PARTIAL
            job.parts = None if job.parts is None else cut_short(job.parts, failure)
            job.status, job.failure = status, failure
            job.ended, job.finished = True, time.monotonic()
            job.revision += 1
            job.stop.set()
        self._on_change(job)
