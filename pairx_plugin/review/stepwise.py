"""Evidence in steps: lines as soon as they are there, colours after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Union

from ..chips import Chip
from ..evidence import PairEvidence
from ..explanation import PairExplanation
from ..settings import Settings
from .partners import Partners, partners_of
from .source import Cancelled, EvidenceRequest

if TYPE_CHECKING:
    from ..explainers.base import Explainer, QuerySession, Stop
    from ..models.embedding import EmbeddingModel

__all__ = ["Ranking", "explain_in_steps", "with_request"]

Ranking = Callable[[], Sequence[Chip]]


def explain_in_steps(
    model: EmbeddingModel,
    query: Chip,
    candidate: Chip,
    explainer: Explainer,
    settings: Settings,
    cancelled: Cancelled,
    *,
    request: EvidenceRequest | None = None,
    ranking: Ranking | None = None,
) -> Iterator[Union[PairExplanation, Partners]]:
    """Explain one pair, and yield whatever is there as soon as it is: lines first, colours after.

    Args:
        cancelled: asked between the parts of the work; where it says True the iterator ends.
        request: what the reviewer asked for; its options and its time budget are laid over the settings.
        ranking: called once where the explainer compares a candidate with its rivals: the chips of the ranking in
            order, the candidate's own among them, as far as they are needed.

    Raises:
        PairXError: the query, the model or a layer makes the explanation impossible.
    """
    from ..pipeline import explain_steps  # it brings torch, which importing the page must not

    watched = _Watched(explainer, ranking)
    told = settings if request is None else with_request(settings, request)
    for _, explanation in explain_steps(model, query, [candidate], watched, told, cancelled=cancelled):
        if not explanation.growing and explanation.evidence is not None:
            partners = partners_of(watched.session, candidate)
            if partners is not None:
                yield partners
        yield explanation


def with_request(settings: Settings, request: EvidenceRequest) -> Settings:
    """Return settings with a request's options and time budget; of two budgets the shorter holds."""
    budgets = [seconds for seconds in (settings.time_budget, request.time_budget) if seconds > 0]
    return replace(
        settings, options={**settings.options, **request.options}, time_budget=min(budgets) if budgets else 0.0
    )


class _Watched:
    """An explainer whose session is remembered, and is shown the whole ranking in place of the one candidate."""

    def __init__(self, explainer: Explainer, ranking: Ranking | None) -> None:
        self.explainer_id, self.version = explainer.explainer_id, explainer.version
        self._explainer, self._ranking = explainer, ranking
        self.session: QuerySession | None = None

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> QuerySession:
        """Prepare the explainer's session, see :class:`pairx_plugin.explainers.base.Explainer`."""
        from ..explainers.base import RankedSession, SteppedSession

        session = self.session = self._explainer.prepare(model, query, settings)
        if self._ranking is None or not isinstance(session, RankedSession):
            return session
        session.see_ranking(self._ranking())
        return _SteppedUnranked(session) if isinstance(session, SteppedSession) else _Unranked(session)


class _Unranked:
    """A session that has seen its ranking, without the method by which it would be shown another one."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.provenance: Mapping[str, Any] = getattr(session, "provenance", {})

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """As the session does."""
        found: list[PairEvidence] = self._session.explain(candidates)
        return found


class _SteppedUnranked(_Unranked):
    """The same of a session whose evidence grows."""

    def steps(self, candidates: Sequence[Chip], stop: Stop) -> Iterator[tuple[int, PairEvidence]]:
        """As the session does."""
        yield from self._session.steps(candidates, stop)
