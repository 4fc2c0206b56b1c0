"""A host for tests of the review page, with a script of what goes how."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripted_evidence import GRID, left_half, scripted_evidence, scripted_partners, scripted_photograph
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, Failure, RankedQuery, Status
from pairx_plugin.chips import Chip
from pairx_plugin.errors import ChipUnreadable, PropagationError, UnsupportedArchitecture
from pairx_plugin.explanation import PairExplanation
from pairx_plugin.report import Note
from pairx_plugin.review import (
    EvidenceRequest,
    ExplainerChoice,
    LayerChoice,
    ReviewQuery,
    ReviewTask,
    SqlDecisionLog,
    Step,
    TaskQuery,
)
from pairx_plugin.settings import Settings

__all__ = ["HOSTILE", "ScriptedSource"]

HOSTILE = '<script>document.title="broken"</script>"\'><img src=x onerror=document.title="broken">{{ 7*7 }}&amp;'


class ScriptedSource:
    """Reviews one task of two queries.

    Args:
        folder: for the database of decisions.
        script: how the explanation of a rank goes: ``ready`` (the default), ``slow`` (after the lines it waits for
            :attr:`gate`), ``stuck`` (it waits for the gate before anything), ``failed`` (may be tried again, and then
            works), ``broken`` (never works), ``unsupported``, ``lines`` (colours never come), ``lost`` (the photograph
            cannot be opened), ``stale_chip``, ``stale_model``, ``doubtful``, ``few`` (too few links), ``maps`` (signed
            maps and no links), ``signed`` (the links' maps have signs), ``partners`` (every pair of places is known),
            ``outside`` (the animal covers the left half of the candidate), ``kept`` (the host has kept lines),
            ``kept_failed`` (the host has kept a failure, and it works now); ``slow_maps``, ``stuck_kept``: two at once.
        names: of the candidates, by rank; hostile ones included.
    """

    def __init__(self, folder: Path, script: dict[int, str] | None = None, *, n: int = 6, names: Any = None) -> None:
        self.script, self.n, self.names = script or {}, n, names or {}
        self.gate = threading.Event()
        self.asked: list[tuple[str, int, EvidenceRequest]] = []
        self.cancelled: list[int] = []
        self.pictures = None
        self.loaded = True
        engine = create_engine(f"sqlite:///{folder / 'decisions.sqlite'}", poolclass=NullPool)
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10000"))
        self.decisions = SqlDecisionLog(engine)
        self._failed: set[int] = set()
        self._kept: dict[tuple[str, int], Explanation] = {}

    def tasks(self) -> Sequence[ReviewTask]:
        queries = [TaskQuery(query_id=f"q{i}", annotation=self._query(i), n_candidates=self.n) for i in (1, 2)]
        task = ReviewTask(
            task_id="t1", title="Scripted task", queries=tuple(queries), model_id="net", facts={"location": "Kaikoura"}
        )
        return [task]

    def task(self, task_id: str) -> ReviewTask | None:
        return next((task for task in self.tasks() if task.task_id == task_id), None)

    def query(self, task_id: str, query_id: str) -> ReviewQuery | None:
        if task_id != "t1" or query_id not in ("q1", "q2"):
            return None
        number = int(query_id[1:])
        ranked = RankedQuery(
            query_id=query_id,
            query=self._query(number),
            candidates=tuple(self._candidate(number, rank) for rank in range(1, self.n + 1)),
            model_id="net",
            score_scale="half_cosine",
            n_searched=15329,
        )
        notes = {
            f"c{number}-{rank}": [Note(code="BBOX_OVERHANGS", message="A third is black.", values={"share": 1 / 3})]
            for rank, how in self.script.items()
            if how == "doubtful"
        }
        with_lines = [rank for rank, how in self.script.items() if how in ("kept", "stuck_kept", "stale_model")]
        kept = {rank: self._explanation(ranked, rank) for rank in with_lines}
        kept |= {rank: _failed(ranked, rank) for rank, how in self.script.items() if how == "kept_failed"}
        links = {ranked.query.annotation_id: "/encounters/1", f"c{number}-1": "javascript:alert(1)"}
        return ReviewQuery(task_id=task_id, ranked_query=ranked, explanations=kept, notes=notes, links=links)

    def chip(self, annotation: Annotation) -> Chip:
        if annotation.extra.get("how") == "lost":
            raise ChipUnreadable(f"the photograph '/secret/place/{annotation.annotation_id}.jpg' cannot be decoded")
        return Chip.from_array(scripted_photograph(int(annotation.extra["seed"])), uri=annotation.image)

    def changed(self, query: ReviewQuery, candidate: Candidate) -> str:
        how = str(candidate.annotation.extra.get("how"))
        return {"stale_chip": "CHIP_CHANGED", "stale_model": "MODEL_CHANGED"}.get(how, "")

    def explainers(self) -> Sequence[ExplainerChoice]:
        return [
            ExplainerChoice(explainer_id="pairx", title="PAIR-X", summary="Links."),
            ExplainerChoice(explainer_id="rivals", title="Rivals"),
            ExplainerChoice(
                explainer_id="rivals", title="Rivals", variant="triplet", options={"attention_mode": "triplet"}
            ),
            ExplainerChoice(explainer_id="other", title="Other", usable=False, reason="it needs another package"),
        ]

    def layers(self) -> Sequence[LayerChoice]:
        if not self.loaded:
            return []
        return [
            LayerChoice(level="fine", key="blocks.2", grid=(28, 28)),
            LayerChoice(level="medium", key="blocks.3", grid=GRID),
            LayerChoice(level="broad"),
        ]

    def explain(
        self, query: ReviewQuery, candidate: Candidate, request: EvidenceRequest, cancelled: Any
    ) -> Iterator[Any]:
        rank, how = candidate.rank, str(candidate.annotation.extra.get("how"))
        self.asked.append((query.ranked_query.query_id, rank, request))
        yield Step(code="LOADING_MODEL")
        if how in ("stuck", "stuck_kept"):
            self._wait(cancelled)
        if how == "unsupported":
            raise UnsupportedArchitecture("no rules are known for this network at /secret/place")
        if how == "broken":
            raise PropagationError("relevance is not finite in /secret/place")
        if how == "failed" and rank not in self._failed:
            self._failed.add(rank)
            raise MemoryError("there is no more")
        if cancelled():
            self.cancelled.append(rank)
            return
        yield self._found(query.ranked_query, rank, request, Status.PARTIAL, 0)
        if how in ("slow", "slow_maps"):
            self._wait(cancelled)
        if cancelled():
            self.cancelled.append(rank)
            return
        if how == "lines":
            return
        if how == "partners":
            yield scripted_partners()
        yield self._found(query.ranked_query, rank, request, Status.READY, request.k_colors)

    def _wait(self, cancelled: Any) -> None:
        while not self.gate.wait(0.02) and not cancelled():
            pass

    def _query(self, number: int) -> Annotation:
        extra = {"seed": number, "date": "2026-05-02", "file_name": f"IMG_04{number}2.jpg"}
        return Annotation(annotation_id=f"a{number}", image=f"/secret/place/IMG_04{number}2.jpg", extra=extra)

    def _candidate(self, number: int, rank: int) -> Candidate:
        name = self.names.get(rank, f"Ngaio {rank}" if rank % 3 else None)
        extra = {
            "seed": 100 * number + rank,
            "how": self.script.get(rank, "ready"),
            "date": "2025-11-20",
            "file_name": self.names.get(-rank, f"IMG_00{rank}3.jpg"),
        }
        if extra["how"] == "outside":
            extra["segmentation"] = [left_half(100 * number + rank)]
        annotation = Annotation(
            annotation_id=f"c{number}-{rank}",
            image=f"/secret/place/{rank}.jpg",
            name=name,
            extra=extra,
            viewpoint="left",
        )
        return Candidate(annotation=annotation, rank=rank, score=0.99 - rank / 50)

    def _explanation(self, ranked: RankedQuery, rank: int) -> Explanation:
        key = ranked.query_id, rank
        if key in self._kept:
            return self._kept[key]
        found = self._found(ranked, rank, EvidenceRequest(), Status.READY, 0)
        self._kept[key] = Explanation(
            query_id=ranked.query_id,
            candidate_id=ranked.candidates[rank - 1].annotation.annotation_id,
            rank=rank,
            status=Status.READY,
            explainer="pairx",
            record=found.to_json(),
            artifacts=tuple(_picture(found, view) for view in ("matches", "heatmask", "clean")),
        )
        return self._kept[key]

    def _found(
        self, ranked: RankedQuery, rank: int, request: EvidenceRequest, status: Status, k_colors: int
    ) -> PairExplanation:
        candidate = ranked.candidates[rank - 1]
        how = str(candidate.annotation.extra.get("how"))
        evidence = scripted_evidence(rank, request, k_colors, how.removeprefix("slow_"))
        failure = Failure(code="TIMEOUT", message="too slow for colours", retryable=True) if how == "lines" else None
        return PairExplanation(
            status=status,
            explainer=request.explainer,
            query=self.chip(ranked.query),
            candidate=self.chip(candidate.annotation),
            evidence=evidence,
            failure=failure if status is Status.PARTIAL else None,
            settings=Settings(k_lines=request.k_lines, k_colors=k_colors),
            provenance={"model_id": "net", "model_sha256": "sha256:" + "ab" * 32, "version": "0", "device": "cpu"},
        )


def _failed(ranked: RankedQuery, rank: int) -> Explanation:
    return Explanation(
        query_id=ranked.query_id,
        candidate_id=ranked.candidates[rank - 1].annotation.annotation_id,
        rank=rank,
        status=Status.FAILED,
        record={"schema": "pairx.explanation/1", "layer_key": "blocks.3"},
        failure=Failure(code="OUT_OF_MEMORY", message="there was no more", retryable=True),
    )


def _picture(found: PairExplanation, view: str) -> Artifact:
    pixels = found.picture(view)
    height, width = pixels.shape[:2]
    return Artifact(version=view, media_type="image/webp", width=width, height=height, data=found.encoded(view))
