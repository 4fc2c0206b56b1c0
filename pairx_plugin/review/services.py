"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request

from ..report.messages import Messages
from .bus import NewsBus
from .chip_pictures import ChipPictures
from .failures import ApiFailure
from .job_queue import JobQueue
from .jobs import Job
from .options import ReviewOptions
from .source import ReviewQuery, ReviewSource, ReviewTask
from .wording import Wording, preferred_language

__all__ = ["LANGUAGE_COOKIE", "Services", "services_of"]

LANGUAGE_COOKIE = "pairx_review_language"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Services:
    """One server's parts, made once by :meth:`build`."""

    source: ReviewSource
    options: ReviewOptions
    wording: Wording
    chips: ChipPictures
    bus: NewsBus
    queue: JobQueue

    @classmethod
    def build(cls, source: ReviewSource, options: ReviewOptions) -> Services:
        """Put the parts together; the queue tells every page of a task what changes."""
        bus = NewsBus()

        def tell(job: Job) -> None:
            place = queue.place(job)
            bus.publish(job.key.task_id, "explanation", job_news(job, place))

        queue = JobQueue(
            source,
            tell,
            size=options.queue_size,
            time_limit=options.time_limit,
            memory=options.memory_mb * _MEGABYTE,
        )
        return cls(
            source=source, options=options, wording=Wording(), chips=ChipPictures(source), bus=bus, queue=queue
        )

    def close(self) -> None:
        """Stop computing and let open pages go."""
        self.bus.close()
        self.queue.close()

    def task(self, task_id: str) -> ReviewTask:
        """Return a task.

        Raises:
            ApiFailure: there is none of that id.
        """
        found = self.source.task(task_id)
        if found is None:
            raise ApiFailure(404, "NOT_ASSOCIATED", f"there is no review task {task_id!r:.80}", field="task")
        return found

    def query(self, task_id: str, query_id: str) -> ReviewQuery:
        """Return a query of a task.

        Raises:
            ApiFailure: there is none of that id.
        """
        found = self.source.query(task_id, query_id)
        if found is None:
            raise ApiFailure(404, "NOT_ASSOCIATED", f"the task has no query {query_id!r:.80}", field="query")
        return found

    def language(self, request: Request) -> str:
        """Return the language that a reader asked for: by address, by cookie, by browser."""
        wanted = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE, "")
        return preferred_language(wanted, request.headers.get("accept-language", ""), self.options.language)

    def say(self, request: Request) -> Messages:
        """Return the messages in the reader's language."""
        return self.wording[self.language(request)]


def services_of(request: Request) -> Services:
    """Return the services of the server that a request came to."""
    found: Services = request.app.state.services
    return found


def reviewer_of(request: Request) -> str:
    """Return the name under which a host knows the reviewer; empty where a reviewer gives one on the page."""
    return str(request.scope.get("review_user") or "")


def address(request: Request, *parts: object) -> str:
    """Return the address of a path below the place where the application is mounted."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return root + "/" + "/".join(quote(str(part), safe="") for part in parts)


def job_news(job: Job, place: int) -> dict[str, Any]:
    """Return how far an explanation is, for events and answers alike."""
    return {
        "id": job.job_id,
        "query_id": job.key.query_id,
        "rank": job.key.rank,
        "explainer": job.key.request.explainer,
        "variant": job.key.request.variant,
        "layer_key": job.key.request.layer_key,
        "status": job.status.value,
        "stale": job.stale,
        "step": job.step,
        "place": place,
        "elapsed": round(job.elapsed, 2),
        "over": job.over,
        "revision": job.revision,
        "retryable": bool(job.failure and job.failure.retryable),
        "has_evidence": job.parts is not None,
        "has_partners": job.partners is not None,
    }
