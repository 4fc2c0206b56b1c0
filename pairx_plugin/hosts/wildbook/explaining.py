"""The stage after the host's ranking: hooks are called with a query, its candidates and the loaded network.

What comes of it is kept beside the host's pictures and hung on the host's match. Nothing in here is raised into the
host, and scores are only touched where a re-ranking was asked for.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairx_hooks import Candidate, Explanation, Failure, RankedQuery, ReviewManager, Status, build_manager, hookimpl

from ...chips import Chip
from ...errors import HostError, PairXError, StoreError
from ...hook_requests import request_of
from ...settings import Settings
from ..host_plugin import HostPlugin
from .annotations import best_candidates, model_id_of, ranked_query_of
from .inputs import HostedModel, host_chip, hosted_model, input_size_of, mirrored_viewpoints
from .records import explanation_of, key_of, pair_record, with_failure
from .seams import harmless
from .shared_models import SharedModels
from .shelf import Shelf

__all__ = ["HostModel", "QueryExplainer", "figures_alone", "in_words", "load_host_model"]

logger = logging.getLogger(__name__)

Forget = Callable[[int, int], None]
_BY_PAIR = "pairx"  # looks at a pair alone; of any other explainer we do not know


@dataclass(frozen=True, kw_only=True, eq=False)
class HostModel:
    """The network that ranks a query, as the host loads it.

    Attributes:
        model_id: a short name, from `model_url`.
        file: the file that the network was read from and its state then, None where that is not known.
    """

    model_id: str
    model_url: str
    config_url: str
    config: Any
    hosted: HostedModel
    file: Mapping[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """Return what a record says of the model, as JSON data."""
        return {
            "model_id": self.model_id,
            "model_url": self.model_url,
            "config_url": self.config_url,
            "model_file": dict(self.file) if self.file else None,
        }


def load_host_model(plugin: Any, models: SharedModels, species: str) -> HostModel:
    """Return the network of a species through the host's own function, kept from the last time where it was.

    Raises:
        HostError: the host cannot load it.
    """
    try:
        with models.sharing():
            network, config, (model_url, config_url) = plugin.read_config_and_load_model(species)
    except Exception as error:  # the host reads files of its own, or from the web, and raises nearly anything
        raise HostError(
            f"the host cannot load its network for the species {species!r:.80}: {type(error).__name__}: {error!s:.300}"
        ) from error
    model_id = model_id_of(model_url)
    if network.training:
        network.eval()  # where it was read for us alone
    return HostModel(
        model_id=model_id,
        model_url=str(model_url),
        config_url=str(config_url),
        config=config,
        hosted=models.companion(
            network, lambda: hosted_model(network, config, model_id), (model_id, input_size_of(config))
        ),
        file=models.file_of(network),
    )


def figures_alone(settings: Settings, n: int) -> Settings:
    """Return settings by which the best `n` candidates get their figures and hardly anything else.

    Re-ranking asks for this, and what it is calibrated on: both see the same figures.
    """
    return dataclasses.replace(settings, top_k=n, k_colors=0, pictures=("clean",))


class QueryExplainer:
    """Explains the leading candidates of one match of the host.

    Args:
        plugin: the host's MiewID plugin.
        ibs: the host's controller.
        match: the host's ``AnnotMatch``.
        settings: what is asked for.
        model: the network that ranked.
        shelf: where explanations are kept.
        forget: called with the row ids of query and candidate once new pictures of theirs are kept, so that the
            host's cache lets go of its old ones.
    """

    def __init__(
        self,
        plugin: Any,
        ibs: Any,
        match: Any,
        *,
        settings: Settings,
        model: HostModel,
        shelf: Shelf,
        forget: Forget,
    ) -> None:
        self._plugin, self._ibs, self._match, self._settings = plugin, ibs, match, settings
        self.model, self._shelf, self._forget = model, shelf, forget
        self._chips: dict[str, Chip] = {}
        self._aids: dict[str, int] = {}
        self._records: dict[int, dict[str, Any]] = {}
        self._manager: ReviewManager = build_manager(_KeepingPlugin(self))
        self._keeping = False
        self._fingerprint = model.hosted.embedding_model.fingerprint()
        self._by_pair = settings.explainer == _BY_PAIR
        self._rivals: tuple[str, ...] = ()

    def explain(self, score_scale: str = "half_cosine") -> list[dict[str, Any]]:
        """Return one record for each of the `top_k` best candidates, in rank order."""
        ranked = self._ranked(score_scale)
        known = {item.rank: record for item in ranked.candidates if (record := self._known(ranked, item)) is not None}
        if not self._by_pair and len(known) < len(ranked.candidates):
            known = {}  # an explainer that compares a candidate with its rivals has to see all of them
        rest = tuple(item for item in ranked.candidates if item.rank not in known)
        self._keeping = True
        explanations = self._manager.explain(dataclasses.replace(ranked, candidates=rest), request_of(self._settings))
        found = {item.rank: item for item in explanations}
        for item in ranked.candidates:
            if item.rank in known:
                self._records[item.rank] = {**known[item.rank], "rank": item.rank, "score": item.score}
                self._show_again(ranked, item)
                found[item.rank] = explanation_of(self._shelf, ranked, item, known[item.rank], read=True)
        self._manager.attach(ranked, [found[item.rank] for item in ranked.candidates])
        for item in ranked.candidates:
            if item.rank not in self._records:  # attaching failed before it came to this one
                self._records[item.rank] = self._kept(ranked, item, found[item.rank])
        return [self._records[item.rank] for item in ranked.candidates]

    def judge(self) -> list[dict[str, Any]]:
        """Return one record for each of the `top_k` best candidates, in rank order, and keep nothing."""
        ranked = self._ranked("half_cosine")
        explanations = self._manager.explain(ranked, request_of(self._settings))
        return [
            {**item.record, "status": item.status.value, "errors": [item.failure.to_json()] if item.failure else []}
            for item in explanations
        ]

    def _ranked(self, score_scale: str) -> RankedQuery:
        match = self._match
        positions = best_candidates(match.daid_list, match.annot_score_list, self._settings.top_k)
        ranked, self._aids = ranked_query_of(
            self._ibs, match, positions, model_id=self.model.model_id, score_scale=score_scale
        )
        if not self._by_pair:
            self._rivals = tuple(item.annotation.annotation_id for item in ranked.candidates)
        return ranked

    def embedding_model(self, model_id: str) -> Any | None:
        """Return the network that ranked if `model_id` is its id."""
        return self.model.hosted.embedding_model if model_id == self.model.model_id else None

    def known_chip(self, annotation_id: str) -> Chip | None:
        """Return the chip of an annotation of this query, cut once."""
        if annotation_id not in self._chips:
            aid = self._aids.get(annotation_id)
            if aid is None:
                return None
            self._chips[annotation_id] = host_chip(self._plugin, self._ibs, aid, self.model.config, self.model.hosted)
        return self._chips[annotation_id]

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Keep the explanations that are new."""
        candidates = {item.rank: item for item in ranked_query.candidates}
        for explanation in explanations:
            if explanation.rank in candidates and explanation.rank not in self._records:
                candidate = candidates[explanation.rank]
                self._records[explanation.rank] = self._kept(ranked_query, candidate, explanation)

    def keep_early(self, ranked_query: RankedQuery, explanation: Explanation) -> None:
        """Keep an explanation before the others are there, so that a process that ends has not worked for nothing."""
        if self._keeping and explanation.status is Status.READY:
            self.attach(ranked_query, [explanation])

    def _kept(self, ranked: RankedQuery, candidate: Candidate, explanation: Explanation) -> dict[str, Any]:
        facts = self._facts(ranked, candidate)
        try:
            record, pictures = pair_record(ranked, candidate, explanation, facts)
        except Exception as error:  # what somebody's explainer says may be anything; the others' are not lost by it
            logger.exception("the explanation of %s is no record", candidate.annotation.annotation_id)
            explanation = Explanation.without_evidence(ranked, candidate, in_words(error))
            record, pictures = pair_record(ranked, candidate, explanation, facts)
        query, duuid = ranked.query.annotation_id, candidate.annotation.annotation_id
        # stands until the host's own pictures are gone, for the query after a process that ended in between
        harmless("noting that a pair may be drawn otherwise", self._shelf.note_plain, query, duuid)
        try:
            record = self._shelf.write_pair(query, duuid, record, pictures)
        except StoreError as error:
            logger.warning("%s", error)
            failure = Failure(code="EXPLANATION_NOT_KEPT", message=str(error), retryable=True)
            record = with_failure(record, failure)
        self._forget(self._aids[query], self._aids[duuid])  # what the host has drawn before may be of a former box
        self._shelf.take_note(query, duuid)
        return record

    def _show_again(self, ranked: RankedQuery, candidate: Candidate) -> None:
        """Drop the host's pictures of a pair where a query in between had it drawn plain."""
        query, duuid = ranked.query.annotation_id, candidate.annotation.annotation_id
        if self._shelf.take_note(query, duuid):
            self._forget(self._aids[query], self._aids[duuid])

    def _known(self, ranked: RankedQuery, candidate: Candidate) -> dict[str, Any] | None:
        """Return the record that is kept of a candidate, unless it is stale, failed or torn."""
        query, duuid = ranked.query.annotation_id, candidate.annotation.annotation_id
        record = self._shelf.read_pair(query, duuid)
        if record is None or record.get("status") != Status.READY.value:
            return None
        host = record.get("host")
        if not isinstance(host, Mapping) or host.get("key") != self._key(query, duuid):
            return None
        return record if self._shelf.has_pictures(record, query, duuid) else None

    def _facts(self, ranked: RankedQuery, candidate: Candidate) -> dict[str, Any]:
        query, duuid = ranked.query.annotation_id, candidate.annotation.annotation_id
        mirrored = mirrored_viewpoints(self.model.config)
        return {
            "name": "wildbook-ia",
            "qannot_uuid": query,
            "dannot_uuid": duuid,
            "visual_uuids": [ranked.query.extra["visual_uuid"], candidate.annotation.extra["visual_uuid"]],
            "mirrored": {
                "viewpoints": list(mirrored),
                "sides": [item.viewpoint in mirrored for item in (ranked.query, candidate.annotation)],
            },
            "extern_reference": self._shelf.reference,
            **self.model.facts(),
            "key": self._key(query, duuid),
        }

    def _key(self, query: str, duuid: str) -> dict[str, Any]:
        entry = self._manager.explainers().get(self._settings.explainer)
        return key_of(
            self._settings,
            explainer_version=entry.version if entry else "",
            model=self._fingerprint,
            chips=(self._chip_digest(query), self._chip_digest(duuid)),
            rivals=tuple(self._chip_digest(rival) for rival in self._rivals),
        )

    def _chip_digest(self, annotation_id: str) -> str:
        try:
            chip = self.known_chip(annotation_id)
        except Exception as error:  # the explanation fails on it later, and says so
            logger.debug("no chip of %s: %s", annotation_id, error)
            return ""
        return chip.sha256 if chip else ""


class _KeepingPlugin(HostPlugin):
    """Hands explanations over as soon as each is finished, and all of them in the end."""

    def __init__(self, explainer: QueryExplainer) -> None:
        super().__init__(explainer)
        self._explainer = explainer

    @hookimpl
    def explanation_finished(  # type: ignore[override]
        self, ranked_query: RankedQuery, explanation: Explanation
    ) -> None:
        """Keep it."""
        self._explainer.keep_early(ranked_query, explanation)


def in_words(error: BaseException) -> Failure:
    """Return an exception as a failure that tells of it."""
    if isinstance(error, PairXError):
        return Failure(code=error.code, message=str(error), retryable=error.retryable)
    return Failure(code="HOST_STAGE_FAILED", message=f"{type(error).__name__}: {error!s:.500}")
