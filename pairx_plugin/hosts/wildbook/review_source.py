"""The host, seen from the review page: kept answers, the chips its network reads, evidence made on that network."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pairx_hooks import Annotation, Candidate, Explanation, Failure, build_manager

from ...chips import Chip
from ...errors import ChipError, PairXError
from ...report import Note
from ...review import (
    EvidenceRequest,
    ExplainerChoice,
    Found,
    LayerChoice,
    ReviewQuery,
    ReviewTask,
    Step,
    TaskQuery,
    choose_layers,
    explain_in_steps,
    explainer_choices,
    rivals_first,
)
from ...settings import Settings
from .explaining import HostModel, load_host_model
from .freshness import changed, visual_uuids
from .inputs import host_chip
from .reading_back import annotations_by_uuid, notes_of_answer, ranked_query_of_answer, told_explanation
from .review_decisions import HostDecisionLog
from .review_tasks import KeptTask, find_task, recent_tasks
from .shared_models import SharedModels

__all__ = ["WildbookReviewSource"]

logger = logging.getLogger(__name__)

_CHIPS, _QUERIES, _TASKS = 64, 32, 50


class WildbookReviewSource:
    """Reviews of the host's explained queries; threads may share it.

    Args:
        ibs: the host's controller.
        plugin: the host's MiewID plugin, a module.
        models: its networks, kept; a page asks for the one that ranked when it first shows a chip.
    """

    pictures: Path | None = None  # kept pictures have whole paths

    def __init__(self, ibs: Any, plugin: Any, models: SharedModels) -> None:
        self._ibs, self._plugin, self._models = ibs, plugin, models
        self.decisions = HostDecisionLog(ibs, self._ranks_of)
        self._manager = build_manager()
        self._explainers: tuple[ExplainerChoice, ...] = ()
        self._layers: dict[str, tuple[LayerChoice, ...]] = {}
        self._last_model = ""
        self._chips: OrderedDict[tuple[str, ...], Chip] = OrderedDict()
        self._queries: OrderedDict[tuple[Any, ...], ReviewQuery] = OrderedDict()
        self._lock = threading.RLock()

    def tasks(self) -> Sequence[ReviewTask]:
        """Return what was asked of the host last, newest first."""
        return [self._task(task) for task in recent_tasks(self._ibs.cachedir, _TASKS)]

    def task(self, task_id: str) -> ReviewTask | None:
        """Return the queries that were asked at once as a task."""
        found = find_task(self._ibs.cachedir, task_id)
        return None if found is None else self._task(found)

    def query(self, task_id: str, query_id: str) -> ReviewQuery | None:
        """Return a query as it was answered, with the host's annotations as they are today."""
        task = find_task(self._ibs.cachedir, task_id)
        if task is None or query_id not in task.answers:
            return None
        answer = task.answers[query_id]
        shown = [query_id, *(str(row["dannot_uuid"]) for row in answer.get("ranking") or ())]
        key = (
            task_id,
            query_id,
            task.shelf.query_changed(query_id),
            tuple(task.shelf.pair_changed(query_id, candidate) for candidate in shown[1:]),
            tuple(visual_uuids(self._ibs, shown)),
        )
        with self._lock:
            if key in self._queries:
                self._queries.move_to_end(key)
                return self._queries[key]
        made = self._read(task, query_id, answer)
        with self._lock:
            self._queries[key] = made
            while len(self._queries) > _QUERIES:
                self._queries.popitem(last=False)
        return made

    def chip(self, annotation: Annotation) -> Chip:
        """Return what the host's network reads of an annotation today.

        Raises:
            ChipError: the annotation is gone, or the host makes no picture of it.
        """
        return self._chip(annotation, self._model(annotation))

    def changed(self, query: ReviewQuery, candidate: Candidate) -> str:
        """Return why what was found before no longer holds: a box, a photograph or the network changed."""
        kept = query.explanations.get(candidate.rank)
        if kept is not None and kept.record:
            return changed(kept.record, self._ibs)
        task = find_task(self._ibs.cachedir, query.task_id)
        answer = task.answers.get(query.ranked_query.query_id, {}) if task is not None else {}
        rows = [row for row in answer.get("ranking") or () if row["rank"] == candidate.rank]
        then = [answer.get("visual_uuid"), *(row.get("visual_uuid") for row in rows)]
        now = visual_uuids(self._ibs, [query.ranked_query.query_id, candidate.annotation.annotation_id])
        return "CHIP_CHANGED" if any(a is not None and a != b for a, b in zip(then, now)) else ""

    def explainers(self) -> Sequence[ExplainerChoice]:
        """Return what the installed plugins register; one that cannot be made says why."""
        if not self._explainers:
            self._explainers = explainer_choices(self._manager)
        return self._explainers

    def layers(self) -> Sequence[LayerChoice]:
        """Return a fine, a medium and a broad layer of the network that was used last."""
        return self._layers.get(self._last_model, ())

    def explain(
        self, query: ReviewQuery, candidate: Candidate, request: EvidenceRequest, cancelled: Any
    ) -> Iterator[Found]:
        """Explain a pair with the host's network, lines first."""
        yield Step(code="LOADING_MODEL")
        model = self._model(query.ranked_query.query)
        if cancelled():
            return
        pair = query.ranked_query.query, candidate.annotation
        asked, shown = (self._named_chip(annotation, model) for annotation in pair)
        explainer = self._manager.explainers()[request.explainer].create()
        settings = self._settings(query, request)

        def ranking() -> list[Chip]:
            return rivals_first(query.ranked_query, candidate, lambda annotation: self._named_chip(annotation, model))

        network = model.hosted.embedding_model
        yield from explain_in_steps(
            network, asked, shown, explainer, settings, cancelled, request=request, ranking=ranking
        )

    def _ranks_of(self, task_id: str) -> Mapping[str, Mapping[str, int]]:
        task = find_task(self._ibs.cachedir, task_id)
        return {} if task is None else task.ranks()

    def _task(self, task: KeptTask) -> ReviewTask:
        annotations = annotations_by_uuid(self._ibs, list(task.answers))
        queries = tuple(
            TaskQuery(
                query_id=query,
                annotation=annotations[query],
                n_candidates=len(answer.get("ranking") or ()),
                failure=_failure(answer),
            )
            for query, answer in task.answers.items()
        )
        first, answer = next(iter(task.answers.items()))
        name = str(annotations[first].extra.get("file_name") or first)
        written = task.shelf.query_changed(first)
        return ReviewTask(
            task_id=task.task_id,
            title=name if len(queries) == 1 else f"{name} +{len(queries) - 1}",
            queries=queries,
            created=datetime.fromtimestamp(written / 1e9, timezone.utc) if written else None,
            model_id=str((answer.get("model") or {}).get("model_id", "")),
        )

    def _read(self, task: KeptTask, query_id: str, answer: Mapping[str, Any]) -> ReviewQuery:
        ranked = ranked_query_of_answer(self._ibs, answer)
        explanations: dict[int, Explanation] = {}
        for candidate in ranked.candidates:
            record = task.shelf.read_pair(query_id, candidate.annotation.annotation_id)
            found = told_explanation(task.shelf, ranked, candidate, record, answer)
            if found is not None:
                explanations[candidate.rank] = found
        complaints: Mapping[str, Sequence[Note]] = {query_id: notes_of_answer(answer)}
        return ReviewQuery(
            task_id=task.task_id,
            ranked_query=ranked,
            explanations=explanations,
            notes=complaints,
            links={item.annotation_id: link for item in _annotations(ranked) if (link := _link(item))},
            failure=_failure(answer),
        )

    def _chip(self, annotation: Annotation, model: HostModel) -> Chip:
        aid = _aid(annotation)
        (visual,) = visual_uuids(self._ibs, [annotation.annotation_id])
        # the viewpoint decides whether the host mirrors, and is no part of the host's fingerprint
        key = (str(visual), str(self._ibs.get_annot_viewpoints(aid)), model.model_url, str(dict(model.file or {})))
        with self._lock:
            if key in self._chips:
                self._chips.move_to_end(key)
                return self._chips[key]
        try:
            chip = host_chip(self._plugin, self._ibs, aid, model.config, model.hosted)
        except PairXError:
            raise
        except Exception as error:  # the host's loader raises nearly anything
            logger.warning("no chip of annotation %s", annotation.annotation_id, exc_info=True)
            message = f"the host makes no picture of annotation {aid}: {type(error).__name__}: {error!s:.300}"
            raise ChipError(message) from error
        with self._lock:
            self._chips[key] = chip
            while len(self._chips) > _CHIPS:
                self._chips.popitem(last=False)
        return chip

    def _named_chip(self, annotation: Annotation, model: HostModel) -> Chip:
        return dataclasses.replace(self._chip(annotation, model), name=annotation.name)

    def _model(self, annotation: Annotation) -> HostModel:
        """Return the network that the host has for an annotation's species, and remember its layers."""
        _aid(annotation)
        model = load_host_model(self._plugin, self._models, annotation.species or "")
        fingerprint = model.hosted.embedding_model.fingerprint()
        if fingerprint not in self._layers:
            self._layers[fingerprint] = choose_layers(model.hosted.embedding_model)
        self._last_model = fingerprint
        return model

    def _settings(self, query: ReviewQuery, request: EvidenceRequest) -> Settings:
        """Return the settings of the host's query with what the reviewer asked for on top."""
        task = find_task(self._ibs.cachedir, query.task_id)
        answer = task.answers.get(query.ranked_query.query_id, {}) if task is not None else {}
        # parameters hold digests of files, by which nobody finds them
        told = {**(answer.get("params") or {}), "calibration": "", "layer_choice": "", **(answer.get("files") or {})}
        try:
            base = Settings.from_mapping({name: told[name] for name in Settings.names() if name in told})
        except PairXError as error:  # written by another version
            logger.warning("the settings of query %s are not used: %s", query.ranked_query.query_id, error)
            base = Settings()
        layers = (request.layer_key,) if request.layer_key else base.layers
        return dataclasses.replace(
            base, explainer=request.explainer, k_lines=request.k_lines, k_colors=request.k_colors, layers=layers
        )


def _aid(annotation: Annotation) -> int:
    aid = annotation.extra.get("aid")
    if aid is None:
        raise ChipError(f"annotation {annotation.annotation_id} is not in the host's database any more")
    return int(aid)


def _annotations(ranked: Any) -> list[Annotation]:
    return [ranked.query, *(candidate.annotation for candidate in ranked.candidates)]


def _link(annotation: Annotation) -> str:
    """Return where the host shows an annotation."""
    aid = annotation.extra.get("aid")
    return "" if aid is None else f"/view/annotations/?aid={aid}"


def _failure(answer: Mapping[str, Any]) -> Failure | None:
    """Return why a query has no candidates to show; one that could not be explained can still be reviewed."""
    failure = answer.get("failure")
    return Failure.from_json(failure) if failure and not answer.get("ranking") else None
