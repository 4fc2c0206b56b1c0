"""Between the host's scores and its pictures: the seams that a query with the flag on passes through."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pairx_hooks import Failure, Status

from .annotations import best_candidates, finite, uuid_text
from .answers import ANSWER_KEY, AnswerCollector, answer, summary_of
from .explaining import HostModel, QueryExplainer, figures_alone, in_words, load_host_model
from .options import Options, Reranking
from .own_files import files_of, with_own_files
from .parameters import options_of
from .pictures import forget_thumbs, reference_of
from .reranking import apply_scores, plausibility_of, reranked_scores
from .seams import harmless
from .shared_models import SharedModels
from .shelf import Shelf, plain_json

__all__ = ["RankingStage"]

logger = logging.getLogger(__name__)

_SHOWN = 20  # candidates that a reader is told of, explained or not


class RankingStage:
    """What happens to requests of the host that have the flag on; threads may share it.

    Args:
        plugin: the host's MiewID plugin, a module.
        models: its networks, kept.
        collector: where answers are handed to.
    """

    def __init__(self, plugin: Any, models: SharedModels, collector: AnswerCollector) -> None:
        self._plugin, self._models, self._collector = plugin, models, collector
        self._here = threading.local()

    def around_execute(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the host's ``Request.execute``: while a request with the flag on runs, networks are kept."""

        def wrapped(request: Any, *args: Any, **kwargs: Any) -> Any:
            if not options_of(request).explain:
                return execute(request, *args, **kwargs)
            before, self._here.running = getattr(self._here, "running", False), True
            try:
                with self._models.sharing():
                    return execute(request, *args, **kwargs)
            finally:
                self._here.running = before

        return wrapped

    def after_scores(self, postprocess: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the host's ``Request.postprocess_execute``, which turns scores into matches."""

        def wrapped(request: Any, *args: Any, **kwargs: Any) -> Any:
            matches = postprocess(request, *args, **kwargs)
            harmless("the explanation stage", self._explain_matches, request, matches)
            return matches

        return wrapped

    def instead_of_rerank(self, rerank: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the host's own re-ranking: while the flag is on, ours takes its place, after the scores."""

        def wrapped(ibs: Any, qaid: Any, daids: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self._here, "running", False):
                return scores
            return rerank(ibs, qaid, daids, scores, *args, **kwargs)

        return wrapped

    def _explain_matches(self, request: Any, matches: Sequence[Any]) -> None:
        options = options_of(request)
        if not options.explain:
            return
        for match in matches:
            setattr(match, ANSWER_KEY, None)  # nothing is shown of it, unless all goes well
        reference = reference_of(request)
        batch = [str(item) for item in request.ibs.get_annot_uuids([int(match.qaid) for match in matches])]
        for match in matches:
            started = time.perf_counter()
            query = uuid_text(request.ibs, match.qaid)
            common: dict[str, Any] = {
                "options": options,
                "reference": reference,
                "query": query,
                "n_candidates": len(match.daid_list),
                "batch": batch,
            }
            try:
                found = plain_json(self._answer(request, match, options, common))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also what would end the process, which is the host's
                logger.exception("query %s is not explained", query)
                found = answer(**common, failure=in_words(error))
            found["seconds"] = round(time.perf_counter() - started, 3)
            setattr(match, ANSWER_KEY, found)
            self._collector.add(found)
            shelf = Shelf(request.ibs.cachedir, reference)
            harmless("dropping pictures of before", _forget_others, request, match, shelf, found)
            harmless("keeping an answer", shelf.write_query, query, summary_of(found))
            logger.info(
                "query %s: %d of %d explanations in %.2f s",
                query,
                found["n_explained"],
                len(found["explanations"]),
                found["seconds"],
            )

    def _answer(self, request: Any, match: Any, options: Options, common: dict[str, Any]) -> dict[str, Any]:
        if options.failure is not None:
            return answer(**common, failure=options.failure)
        species = request.ibs.get_annot_species_texts(match.qaid)
        model = load_host_model(self._plugin, self._models, species)
        settings = with_own_files(options.settings, request.ibs, model.model_id)
        options = dataclasses.replace(options, settings=settings)
        facts: dict[str, Any] = {"model": model.facts(), "params": settings.params(), "files": files_of(settings)}
        scale = "half_cosine"
        if options.reranking is not None:
            facts["reranking"], changed = self._rerank(request, match, options, model)
            scale = "raw" if changed else scale
        facts["ranking"] = _ranking(request.ibs, match, max(_SHOWN, options.settings.top_k))
        facts["visual_uuid"] = str(request.ibs.get_annot_visual_uuids(match.qaid))
        explainer = self._explainer(request, match, options, model)
        return answer(**common, records=explainer.explain(scale), facts={**facts, "score_scale": scale})

    def _explainer(self, request: Any, match: Any, options: Options, model: HostModel) -> QueryExplainer:
        return QueryExplainer(
            self._plugin,
            request.ibs,
            match,
            settings=options.settings,
            model=model,
            shelf=Shelf(request.ibs.cachedir, reference_of(request)),
            forget=lambda qaid, daid: harmless("dropping old pictures", forget_thumbs, request, match, daid),
        )

    def _rerank(
        self, request: Any, match: Any, options: Options, model: HostModel
    ) -> tuple[dict[str, Any], bool]:
        """Re-rank a match by plausibility; return what to say of it, and whether any score changed."""
        reranking = options.reranking or Reranking()
        told = dataclasses.asdict(reranking)
        before = [float(score) for score in match.annot_score_list]
        shortlist = best_candidates(match.daid_list, before, reranking.shortlist_k)
        settings = figures_alone(options.settings, reranking.shortlist_k)
        try:
            explainer = self._explainer(request, match, dataclasses.replace(options, settings=settings), model)
            records = explainer.judge()
            plausibilities = {position: plausibility_of(record) for position, record in zip(shortlist, records)}
            scores = reranked_scores(before, plausibilities, reranking)
            apply_scores(match, scores)
        except (Exception, SystemExit) as error:
            logger.exception("query %s keeps its ranking", match.qaid)
            failure: Failure = in_words(error)
            return {**told, "failure": failure.to_json(), "n_judged": 0}, False
        judged = sum(value is not None for value in plausibilities.values())
        told = {**told, "failure": None, "n_judged": judged, "scores_before": [finite(item) for item in before[:1000]]}
        return told, judged > 0


def _ranking(ibs: Any, match: Any, n: int) -> list[dict[str, Any]]:
    """Return the `n` best candidates by annotation score, as JSON data."""
    positions = best_candidates(match.daid_list, match.annot_score_list, n)
    aids = [int(match.daid_list[position]) for position in positions]
    uuids, visual_uuids = ibs.get_annot_uuids(aids), ibs.get_annot_visual_uuids(aids)
    scores = [float(match.annot_score_list[position]) for position in positions]
    return [
        {"rank": rank, "dannot_uuid": str(annot_uuid), "visual_uuid": str(visual_uuid), "score": score}
        for rank, (annot_uuid, visual_uuid, score) in enumerate(zip(uuids, visual_uuids, scores), start=1)
    ]


def _forget_others(request: Any, match: Any, shelf: Shelf, found: Mapping[str, Any]) -> None:
    """Drop the host's pictures of candidates that were explained by a former query and are not by this one.

    Their records stay: another query may find them right again. Their pictures might be of a former box.
    """
    now = {record["host"]["dannot_uuid"] for record in found["explanations"] if Status(record["status"]).usable}
    for candidate in shelf.candidates(found["query_annot_uuid"]):
        aid = None if candidate in now else request.ibs.get_annot_aids_from_uuid(uuid.UUID(candidate))
        if aid is not None:
            forget_thumbs(request, match, aid)
            shelf.note_plain(found["query_annot_uuid"], candidate)
