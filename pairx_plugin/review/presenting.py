"""Tasks, queries and explanations as JSON: facts with their codes, and the same in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import Request
from pairx_hooks import Annotation, Candidate, Explanation, Failure, Status

from ..report.attributes import attributes_view
from ..report.bands import Band
from ..report.messages import Messages
from ..report.picture_views import file_name_of
from ..report.reading import read_record
from ..report.views import layer_view
from ..report.words import Words
from .decisions import Decision
from .jobs import Job
from .services import address, job_news, services_of
from .source import EvidenceRequest, ReviewQuery, ReviewTask

__all__ = ["explanation_json", "query_json", "task_json"]

_DATES = ("date", "datetime", "date_taken", "taken", "timestamp", "year")


def task_json(request: Request, task: ReviewTask) -> dict[str, Any]:
    """Return a task with how far each of its queries is."""
    services = services_of(request)
    counts = services.source.decisions.counts(task.task_id)
    return {
        "task_id": task.task_id,
        "title": task.title,
        "created": task.created.isoformat() if task.created else None,
        "model_id": task.model_id,
        "facts": dict(task.facts),
        "queries": [
            {
                "query_id": query.query_id,
                "annotation": _annotation(query.annotation, services.options.show_names),
                "n_candidates": query.n_candidates,
                "n_decided": counts.get(query.query_id, 0),
                "failure": query.failure.to_json() if query.failure else None,
            }
            for query in task.queries
        ],
    }


def query_json(request: Request, query: ReviewQuery, *, view: str = "annot", cutoff: int = 0) -> dict[str, Any]:
    """Return a query with its candidates, the state of their evidence and the decisions on them.

    Args:
        view: ``annot`` for every candidate, ``indiv`` for the best of each individual.
        cutoff: how many candidates; 0 for all.
    """
    services, ranked = services_of(request), query.ranked_query
    say = services.say(request)
    words, decisions = Words(say), services.source.decisions.latest(ranked.query_id)
    jobs = {job.key.rank: job for job in services.queue.jobs_of(ranked.query_id) if _is_usual(job.key.request)}
    shown = _best_of_each(ranked.candidates) if view == "indiv" else list(ranked.candidates)
    shown = shown[:cutoff] if cutoff else shown
    return {
        "task_id": query.task_id,
        "query_id": ranked.query_id,
        "model_id": ranked.model_id,
        "n_searched": ranked.n_searched,
        "score_scale": {"code": ranked.score_scale, "words": words.scale(ranked.score_scale)},
        "failure": _failure(query.failure, words, say),
        "query": {
            **_annotation(ranked.query, services.options.show_names, query.links),
            "notes": words.notes(query.notes.get(ranked.query.annotation_id, ())),
            **_chips(request, query, 0),
        },
        "candidates": [
            {
                "rank": item.rank,
                **_annotation(item.annotation, services.options.show_names, query.links),
                "score": item.score,
                "name_score": item.name_score,
                "notes": words.notes(query.notes.get(item.annotation.annotation_id, ())),
                "evidence": _standing(jobs.get(item.rank), query.explanations.get(item.rank), words),
                "decision": decision_json(decisions.get(item.annotation.annotation_id)),
                **_chips(request, query, item.rank),
            }
            for item in shown
        ],
    }


def decision_json(decision: Decision | None) -> dict[str, Any]:
    """Return the newest record of a pair; version 0 where nobody has decided."""
    if decision is None:
        return {"version": 0, "evidence_decision": "unreviewed", "skipped": False}
    return {**decision.to_json(), "skipped": decision.skipped}


def explanation_json(request: Request, job: Job) -> dict[str, Any]:
    """Return how far an explanation is, its record, and what the record says in words."""
    services = services_of(request)
    say = services.say(request)
    words = Words(say)
    answer = {
        **job_news(job, services.queue.place(job)),
        "task_id": job.key.task_id,
        "k_lines": job.key.request.k_lines,
        "k_colors": job.key.request.k_colors,
        "made_anew": job.key.made_anew,
        "usual": services.queue.usual_seconds,
        "failure": _failure(job.failure, words, say),
        "record": None,
        "words": None,
    }
    if job.parts is None:
        return answer
    record = dict(job.parts.record)
    band = Band(_band_code(record, words))
    figures = record.get("plausibility")
    if isinstance(figures, Mapping):
        layers = read_record(record).layers
        known = bool(layers and layers[0].figures and layers[0].figures.calibrated)
        record["plausibility"] = {"band": band.value, "calibrated": known, **figures}
    record["maps"] = [
        {**item, "url": _map_address(request, job, number)}
        if number in job.parts.masks
        else dict(item)
        for number, item in enumerate(record.get("maps") or ())
    ]
    if not services.options.show_names:
        record["images"] = [{**image, "individual_id": None} for image in record.get("images") or ()]
    return {**answer, "record": record, "words": _words(job, record, words, say)}


def _map_address(request: Request, job: Job, number: int) -> str:
    """Each revision has its own: a browser shows a picture it has seen under an address again without asking."""
    path = address(request, "review", "v1", "explanations", job.job_id, "maps", f"{number}.png")
    return f"{path}?revision={job.revision}"


def _words(job: Job, record: Mapping[str, Any], words: Words, say: Messages) -> dict[str, Any]:
    facts = read_record(record)
    query, candidate = job.query, job.candidate
    of_query = query.notes.get(query.ranked_query.query.annotation_id, ())
    doubts = words.doubts(facts, of_query, query.notes.get(candidate.annotation.annotation_id, ()))
    ranked_by = record.get("ranked_by") or {}
    if not ranked_by.get("same_model", True) and facts.model_id:
        doubts.insert(0, say("DOUBT_OTHER_MODEL", model=facts.model_id, ranked=query.ranked_query.model_id))
    layers = [layer_view(candidate, facts, layer, words) for layer in facts.layers[:1]]
    attributes = attributes_view(record, words)
    return {
        "doubts": doubts,
        "band": layers[0].band.value if layers else Band.NOT_ASSESSED.value,
        "level": layers[0].band.level if layers else None,
        "band_words": layers[0].band_words if layers else say("BAND_NOT_ASSESSED"),
        "sentences": layers[0].sentences if layers else [say("NO_FIGURES")],
        "figures": layers[0].figures if layers else [],
        "links": [asdict(link) for link in layers[0].links] if layers else [],
        "attributes": asdict(attributes) if attributes else None,
        "maps_only": bool(layers and layers[0].maps_only),
        "title": layers[0].title if layers else say("SHOWS"),
        "band_means": layers[0].band_means if layers else say("BAND_MEANS"),
        "calibration": layers[0].calibration if layers else say("UNCALIBRATED"),
        "provenance": words.provenance(facts),
        "bands_rule": words.bands_rule(),
    }


def _band_code(record: Mapping[str, Any], words: Words) -> str:
    layers = read_record(record).layers
    return (words.band(layers[0].figures) if layers else Band.NOT_ASSESSED).value


def _is_usual(request: EvidenceRequest) -> bool:
    """Whether it is what the page asks for unless a reviewer chooses something else: rows tell of that alone."""
    usual = EvidenceRequest()
    chosen = (request.explainer, request.variant, request.layer_key)
    return chosen == (usual.explainer, usual.variant, usual.layer_key)


def _standing(job: Job | None, kept: Explanation | None, words: Words) -> dict[str, Any]:
    """Return the state of a candidate's evidence as its row in the list shows it."""
    usable = kept.record if kept is not None and kept.status.usable else {}
    record = job.parts.record if job is not None and job.parts is not None else usable
    told = kept is not None and (kept.status.usable or kept.status.failed)
    status = job.status if job is not None else kept.status if kept is not None and told else None
    band = Band(_band_code(record, words)) if record else None
    return {
        "status": status.value if status else None,
        "stale": bool(status is Status.STALE),
        "band": band.value if band else None,
        "level": band.level if band else None,
        "band_words": words.say(f"BAND_{band.name}") if band else None,
    }


def _failure(failure: Failure | None, words: Words, say: Messages) -> dict[str, Any] | None:
    if failure is None:
        return None
    # The failure's own message may name files of this machine; a reader needs the reason, the log has the rest.
    return {
        "code": failure.code,
        "retryable": failure.retryable,
        "words": words.failure(failure) or say("FAILURE_OTHER", code=failure.code),
    }


def _annotation(
    annotation: Annotation, show_names: bool, links: Mapping[str, str] | None = None
) -> dict[str, Any]:
    date = next((str(annotation.extra[key]) for key in _DATES if annotation.extra.get(key)), None)
    return {
        "annotation_id": annotation.annotation_id,
        "file_name": file_name_of(annotation.extra, annotation.image, annotation.annotation_id),
        "date": date,
        "name": annotation.name if show_names else None,
        "species": annotation.species,
        "viewpoint": annotation.viewpoint,
        "encounter_id": annotation.extra.get("encounter_id"),
        "link": _safe_link((links or {}).get(annotation.annotation_id, "")),
    }


def _safe_link(link: str) -> str | None:
    """A host's address, unless it is something that a browser would run."""
    plain = link.strip()
    ours = plain.startswith("/") and not plain.startswith(("//", "/\\"))
    return plain if ours or plain.lower().startswith(("https://", "http://")) else None


def _chips(request: Request, query: ReviewQuery, rank: int) -> dict[str, str]:
    chip = address(
        request, "review", "v1", "tasks", query.task_id, "queries", query.ranked_query.query_id, "chips", rank
    )
    return {"chip_url": chip, "thumb_url": f"{chip}?size=thumb"}


def _best_of_each(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """The best candidate of every individual; those without a name each stand for themselves."""
    seen: set[str] = set()
    found = []
    for item in candidates:
        name = item.annotation.name
        if name is None or name not in seen:
            found.append(item)
            seen |= {name} if name is not None else set()
    return found
