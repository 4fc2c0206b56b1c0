"""The sample host, seen from the review page: its database, its photographs, and the network that ranked."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pairx_hooks import Annotation, Candidate, build_manager
from sqlalchemy import Connection, update

from ...chips import Chip, cut_chip
from ...closable import Closable
from ...errors import ChipError, HostError, PairXError
from ...photographs import read_photograph
from ...review import (
    Decision,
    EvidenceRequest,
    ExplainerChoice,
    Found,
    LayerChoice,
    ReviewQuery,
    ReviewTask,
    SqlDecisionLog,
    Step,
    TaskQuery,
    choose_layers,
    explain_in_steps,
    explainer_choices,
    rivals_first,
)
from ...review.imported import ImportedTask
from ...settings import PREFIX, Settings
from ..photograph_gate import PhotographGate
from .calibrated import with_calibration
from .connection import connect
from .database import ReviewDatabase
from .importing import import_task
from .reading_back import annotation_of, explanations_of, failure_of_row, notes_of, ranked_query_of
from .schema import MatchReview, MatchRun, utc_now

__all__ = ["LocalReviewSource"]

logger = logging.getLogger(__name__)

_CHIPS, _TASKS, _CHIP_SIDE = 96, 16, 1024


class LocalReviewSource(Closable):
    """Reviews of the sample host's runs; one run is one task.

    Args:
        url: of the review database.
        model: the loaded network; the one that a run was made with is loaded when it is first needed, where none
            is given.
        model_options: of the loader; a run's record holds none, since one of them consents to foreign code.
        pictures: folder that the paths of pictures start from; the newest run's own by default.
        gate: to the photographs that imported tasks may name; without one, none is imported.

    Raises:
        HostError: the database cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        model: Any = None,
        model_options: Mapping[str, Any] | None = None,
        pictures: Path | None = None,
        gate: PhotographGate | None = None,
    ) -> None:
        self._url = url
        self._database, self._gate = ReviewDatabase(url), gate
        self._engine = connect(url)
        self.decisions = SqlDecisionLog(self._engine, _note_on_review)
        self._given_model, self._models = model, dict[str, Any]()
        self._model_options = dict(model_options or {})
        self._chips: OrderedDict[tuple[str, int], Chip] = OrderedDict()
        self._tasks: OrderedDict[str, ReviewTask] = OrderedDict()
        self._layers: tuple[LayerChoice, ...] = ()
        self._explainers: tuple[ExplainerChoice, ...] | None = None
        self._manager = build_manager()
        self._lock = threading.RLock()
        runs = self._database.runs()
        self.pictures = pictures or (Path(str(runs[0].config.get("output") or ".")) if runs else None)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()
        self._database.close()

    def tasks(self) -> Sequence[ReviewTask]:
        """Return the finished runs, newest first, each as a task."""
        return [self._task(run) for run in self._database.runs()]

    def task(self, task_id: str) -> ReviewTask | None:
        """Return a run as a task."""
        run = self._run(task_id)
        return None if run is None else self._task(run)

    def query(self, task_id: str, query_id: str) -> ReviewQuery | None:
        """Return a query of a run."""
        run = self._run(task_id)
        if run is None or query_id not in {item.query_id for item in self._task(run).queries}:
            return None
        match = self._database.get_match(query_id)
        return ReviewQuery(
            task_id=task_id,
            ranked_query=ranked_query_of(match, run.model_id),
            explanations={item.rank: item for item in explanations_of(match)},
            notes=notes_of(match),
            links=_links(match.annotation, *(review.candidate for review in match.reviews)),
            failure=failure_of_row(match.failure),
        )

    def chip(self, annotation: Annotation) -> Chip:
        """Return a chip as it is cut today, as large as the newest run cut it."""
        return self._cut(annotation, self._newest_config())

    def _cut(self, annotation: Annotation, config: Mapping[str, Any]) -> Chip:
        """Cut a chip as large as a run with this configuration does; runs may differ in that."""
        side = int(config.get("chip_side") or _CHIP_SIDE)
        key = repr((annotation.image, annotation.bbox, annotation.theta, annotation.name)), side
        with self._lock:
            if key in self._chips:
                self._chips.move_to_end(key)
                return self._chips[key]
        chip = cut_chip(
            read_photograph(annotation.image),
            bbox=annotation.bbox,
            theta=annotation.theta,
            max_side=side,
            name=annotation.name,
        )
        with self._lock:
            self._chips[key] = chip
            while len(self._chips) > _CHIPS:
                self._chips.popitem(last=False)
        return chip

    def changed(self, query: ReviewQuery, candidate: Candidate) -> str:
        """Return why what was found before no longer holds: photographs or network are not those that ranked."""
        match = self._database.get_match(query.ranked_query.query_id)
        review = next((item for item in match.reviews if item.rank == candidate.rank), None)
        ranked = [(query.ranked_query.query, match.chip_sha256)]
        ranked += [(candidate.annotation, review.chip_sha256)] if review is not None else []
        for annotation, digest in ranked:
            try:
                if digest is not None and self._cut(annotation, match.run.config).sha256 != digest:
                    return "CHIP_CHANGED"
            except (ChipError, OSError, MemoryError):
                continue  # there is nothing that could be mistaken; explaining will say why
        with self._lock:
            loaded = self._models.get(str(match.run.config.get("model")))
        if loaded is not None and loaded.fingerprint() != match.run.model_fingerprint:
            return "MODEL_CHANGED"
        return ""

    def explainers(self) -> Sequence[ExplainerChoice]:
        """Return what the installed plugins register; one that cannot be made says why."""
        if self._explainers is None:
            self._explainers = explainer_choices(self._manager)
        return self._explainers

    def layers(self) -> Sequence[LayerChoice]:
        """Return a fine, a medium and a broad layer of the network, once it is loaded."""
        return self._layers

    def explain(
        self, query: ReviewQuery, candidate: Candidate, request: EvidenceRequest, cancelled: Any
    ) -> Iterator[Found]:
        """Explain a pair with the network that ranked, lines first."""
        run = self._run(query.task_id)
        if run is None:
            raise HostError(f"the run '{query.task_id}' is no longer in the database {self._database.shown_url}")
        name = str(run.config.get("model"))
        if name not in self._models:
            yield Step(code="LOADING_MODEL")
        model = self._model(name)
        if cancelled():
            return
        chips = self._cut(query.ranked_query.query, run.config), self._cut(candidate.annotation, run.config)
        explainer = self._manager.explainers()[request.explainer].create()
        settings = with_calibration(_settings(run, request), self._url)
        config, ranked = run.config, query.ranked_query
        ranking = partial(rivals_first, ranked, candidate, lambda annotation: self._cut(annotation, config))
        yield from explain_in_steps(model, *chips, explainer, settings, cancelled, request=request, ranking=ranking)

    def import_task(self, task: ImportedTask) -> str:
        """Keep a ranking that was made elsewhere as a run; see :mod:`.importing`."""
        runs = self._database.runs()
        if not runs or self.pictures is None:
            raise HostError("there is no run whose network could explain; make one with `pairx-plugin run CONFIG`")
        return import_task(self._database, task, self._gate, self.pictures, runs[0])

    def load_model(self) -> Any:
        """Load the newest run's network now, so that the first reviewer does not wait for it, and return it.

        Raises:
            ModelError: it cannot be loaded.
        """
        name = self._newest_config().get("model")
        return self._model(str(name)) if name else None

    def _model(self, name: str) -> Any:
        with self._lock:
            if name not in self._models:
                if self._given_model is not None:
                    self._models[name] = self._given_model
                else:
                    from ...models.provided import load_model  # it brings torch

                    self._models[name] = load_model(name, **self._model_options)
                self._layers = choose_layers(self._models[name])
            return self._models[name]

    def _run(self, task_id: str) -> MatchRun | None:
        return next((run for run in self._database.runs() if run.run_id == task_id), None)

    def _newest_config(self) -> dict[str, Any]:
        runs = self._database.runs()
        return dict(runs[0].config) if runs else {}

    def _task(self, run: MatchRun) -> ReviewTask:
        """Return a run as a task; one that is over changes no more, so it is read once."""
        with self._lock:
            if run.run_id in self._tasks:
                return self._tasks[run.run_id]
        queries = [
            TaskQuery(
                query_id=match.query_id,
                annotation=annotation_of(match.annotation),
                n_candidates=len(match.reviews),
                failure=failure_of_row(match.failure),
            )
            for match in self._database.matches(run.run_id)
        ]
        annotations = Path(str(run.config.get("annotations") or "")).stem
        task = ReviewTask(
            task_id=run.run_id,
            title=f"{annotations or 'run'} {run.created:%Y-%m-%d %H:%M}",
            queries=tuple(queries),
            created=run.created,
            model_id=run.model_id,
        )
        if run.finished is not None:
            with self._lock:
                self._tasks[run.run_id] = task
                while len(self._tasks) > _TASKS:
                    self._tasks.popitem(last=False)
        return task


def _settings(run: MatchRun, request: EvidenceRequest) -> Settings:
    """Return the run's own settings with what the reviewer asked for on top; what does not fit is left out."""
    try:
        base = Settings.from_mapping(run.config.get("pairx") or {}, prefix=PREFIX)
    except PairXError as error:
        logger.warning("run %s: its settings are not used: %s", run.run_id, error)
        base = Settings()
    wanted: dict[str, Any] = {
        "explainer": request.explainer,
        "k_lines": request.k_lines,
        "k_colors": request.k_colors,
        "batch_size": 1,
    }
    if request.layer_key:
        wanted["layers"] = (request.layer_key,)
    return Settings.from_mapping(wanted, base=base)


def _note_on_review(connection: Connection, decision: Decision) -> None:
    """Let the host's own review record say what the newest decision says."""
    connection.execute(
        update(MatchReview)
        .where(
            MatchReview.query_id == decision.pair.query_id,
            MatchReview.candidate_id == decision.pair.candidate_annotation,
        )
        .values(
            evidence_decision=decision.evidence_decision,
            meta_decision=decision.meta_decision,
            confidence=decision.confidence,
            tags=list(decision.tags),
            comment=decision.comment,
            reviewer=decision.user_id,
            decided=utc_now(),
        )
    )


def _links(*rows: Any) -> dict[str, str]:
    """Return the addresses that a column ``url`` of the annotations brings."""
    return {row.annotation_id: str(row.extra["url"]) for row in rows if row.extra and row.extra.get("url")}
