"""What every measure needs: the network, the subjects, and explanations of any two chips by any variant."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chips import Chip
from ..evidence import LayerEvidence, Matches, PairEvidence
from ..explainers.base import QuerySession, RankedSession
from ..layer_choice import settle_layers
from ..models.embedding import EmbeddingModel
from ..pipeline import find_explainer
from ..pixels import Pixels, read_only
from ..settings import Settings
from .baselines import baseline_named
from .pair_choice import EvaluationPair
from .plan import Plan
from .randomisation import randomised
from .subjects import Subject, SubjectSet
from .variants import Variant

__all__ = ["Bench", "Explained", "with_pixels"]

_SESSIONS, _KEPT, _BATCH = 6, 8, 16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """One explanation, its first layer at hand.

    Attributes:
        seconds: wall time, the query's share included.
    """

    evidence: PairEvidence
    seconds: float

    @property
    def layer(self) -> LayerEvidence:
        """The first layer."""
        return self.evidence.layers[0]

    @property
    def maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Relevance of the query and of the candidate."""
        return self.layer.relevance_0, self.layer.relevance_1

    def leading(self, k: int) -> Matches:
        """The `k` most relevant matches."""
        return self.layer.matches.leading(k)


class Bench:
    """Explains and scores, and keeps what several measures ask for.

    Args:
        entries: registered explainers by id, as the hook contract gives them.
    """

    def __init__(
        self, model: EmbeddingModel, subject_set: SubjectSet, plan: Plan, entries: Mapping[str, Any] | None = None
    ) -> None:
        self.model, self.subject_set, self.plan = model, subject_set, plan
        self._entries = entries
        self._subjects = {subject.subject_id: subject for subject in subject_set.subjects}
        self._sessions: OrderedDict[tuple[Any, ...], QuerySession] = OrderedDict()
        self._explained: OrderedDict[tuple[Any, ...], Explained] = OrderedDict()
        self._randomised: dict[float, EmbeddingModel] = {}
        self._embeddings: OrderedDict[str, NDArray[np.float64]] = OrderedDict()

    def subject(self, subject_id: str) -> Subject:
        """Return a subject."""
        return self._subjects[subject_id]

    def pair(self, pair: EvaluationPair) -> tuple[Subject, Subject]:
        """Return the query and the candidate of a pair."""
        return self.subject(pair.query_id), self.subject(pair.candidate_id)

    def other(self, pair: EvaluationPair) -> Subject | None:
        """Return a third animal of the query's species."""
        return self._subjects.get(pair.other_id)

    def rivals(self, pair: EvaluationPair) -> list[Chip]:
        """Return what was ranked behind a pair's candidate: a third animal, where there is one."""
        other = self.other(pair)
        return [other.chip] if other is not None else []

    def explain(
        self,
        variant: Variant,
        query: Chip,
        candidate: Chip,
        *,
        model: EmbeddingModel | None = None,
        rivals: Sequence[Chip] = (),
        **changes: Any,
    ) -> Explained:
        """Explain two chips.

        Args:
            model: another network than the evaluated one.
            rivals: chips that were ranked behind the candidate, for explainers that look at the whole ranking.
            **changes: settings other than the variant's, such as ``layers`` or ``seed``.
        """
        settings = dataclasses.replace(variant.settings, **changes) if changes else variant.settings
        network = model or self.model
        chips = [chip.sha256 for chip in (query, candidate, *rivals)]
        key = (variant.name, id(network), repr(settings.params()), *chips)
        if key not in self._explained:
            started = time.perf_counter()
            session = self._session(variant, network, query, settings, candidate, rivals)
            evidence = session.explain([candidate])[0]
            self._explained[key] = Explained(evidence=evidence, seconds=time.perf_counter() - started)
            while len(self._explained) > _KEPT:
                self._explained.popitem(last=False)
        self._explained.move_to_end(key)
        return self._explained[key]

    def _session(
        self,
        variant: Variant,
        model: EmbeddingModel,
        query: Chip,
        settings: Settings,
        candidate: Chip,
        rivals: Sequence[Chip],
    ) -> QuerySession:
        key = (variant.name, id(model), query.sha256, repr(settings.params()))
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return self._sessions[key]
        explainer = baseline_named(variant.explainer) or find_explainer(variant.explainer, self._entries)
        settings, _ = settle_layers(model, explainer, settings)
        session = explainer.prepare(model, query, settings)
        if isinstance(session, RankedSession):
            session.see_ranking([candidate, *rivals])
            return session  # it knows one ranking, and another candidate is another ranking
        self._sessions[key] = session
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def forget(self) -> None:
        """Let prepared queries and explanations go, between variants."""
        self._sessions.clear()
        self._explained.clear()

    @cached_property
    def forward_seconds(self) -> float:
        """Time of one forward pass of one picture, the middle of five."""
        picture = self.subject_set.subjects[0].chip.pixels
        times = []
        for _ in range(5):
            started = time.perf_counter()
            self.embed([picture])
            times.append(time.perf_counter() - started)
        return sorted(times)[2]

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float64]:
        """Return (n, D) embeddings of unit length."""
        raw = self.model.embed(list(pictures), batch_size=_BATCH).astype(np.float64)
        unit: NDArray[np.float64] = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
        return unit

    def embedding(self, chip: Chip) -> NDArray[np.float64]:
        """Return a chip's embedding of unit length, kept for a while."""
        if chip.sha256 not in self._embeddings:
            self._embeddings[chip.sha256] = self.embed([chip.pixels])[0]
            while len(self._embeddings) > 512:
                self._embeddings.popitem(last=False)
        return self._embeddings[chip.sha256]

    def scores(self, pictures: Sequence[Pixels], partner: Chip) -> NDArray[np.float64]:
        """Return the cosine of each picture with the partner."""
        cosines: NDArray[np.float64] = self.embed(pictures) @ self.embedding(partner)
        return cosines

    def randomised(self, share: float) -> EmbeddingModel:
        """Return the network with a share of its modules drawn anew, the same one for all pairs and variants."""
        if share not in self._randomised:
            pictures = [subject.chip.pixels for subject in self.subject_set.subjects[:: _stride(self.subject_set)]][:16]
            self._randomised[share] = randomised(self.model, share, pictures, seed=self.plan.seed)
        return self._randomised[share]

    def rng(self, *names: str) -> np.random.Generator:
        """Return a generator for a purpose, the same for every variant."""
        digest = hashlib.sha256("\n".join((str(self.plan.seed), *names)).encode()).digest()
        return np.random.default_rng(list(digest))


def with_pixels(chip: Chip, pixels: Pixels) -> Chip:
    """Return a chip with other pixels of the same size."""
    return dataclasses.replace(chip, pixels=read_only(pixels))


def _stride(subject_set: SubjectSet) -> int:
    return max(1, len(subject_set.subjects) // 16)
