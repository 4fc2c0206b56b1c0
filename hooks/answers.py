"""One ranked query's explanations as they come in: sorted to their candidates, and made complete.

Whatever plugins give, the host gets exactly one explanation for each candidate, in rank order.
"""

from __future__ import annotations

import threading

from .records import Candidate, Explanation, ExplanationRequest, Failure, RankedQuery
from .values import shown

__all__ = ["Answers"]


class Answers:
    """Collects explanations of one call; threads of the explaining plugin may share it.

    An explanation is *announced* when observers are told of it, and *given* when the hook's answer holds it.
    One that was only announced is used all the same: the plugin may have failed before it could answer.
    """

    def __init__(self, ranked_query: RankedQuery, request: ExplanationRequest) -> None:
        self._query = ranked_query
        self._request = request
        self._candidates = {candidate.rank: candidate for candidate in ranked_query.candidates}
        self._announced: dict[int, Explanation] = {}
        self._given: dict[int, Explanation] = {}
        self._lock = threading.Lock()

    @property
    def begun(self) -> bool:
        """True once there is any explanation."""
        return bool(self._given or self._announced)

    def candidate(self, rank: int) -> Candidate:
        """Return the candidate of a rank that :meth:`misfit` has let pass."""
        return self._candidates[rank]

    def misfit(self, explanation: object) -> str:
        """Return why an explanation belongs to no candidate of the query, or an empty string."""
        if not isinstance(explanation, Explanation):
            return f"gave a {type(explanation).__name__} in place of an Explanation: {shown(explanation)}"
        if explanation.query_id != self._query.query_id:
            return f"explained the query '{explanation.query_id}' when asked for '{self._query.query_id}'"
        candidate = self._candidates.get(explanation.rank)
        if candidate is None:
            return f"explained rank {explanation.rank}, where query '{self._query.query_id}' has no candidate"
        wanted = candidate.annotation.annotation_id
        if explanation.candidate_id != wanted:
            return (
                f"explained '{explanation.candidate_id}' at rank {explanation.rank}, where '{wanted}' stands"
            )
        return ""

    def announce(self, explanation: Explanation) -> bool:
        """Note that observers hear of this explanation now; False where they heard of its rank before."""
        with self._lock:
            if explanation.rank in self._announced:
                return False
            self._announced[explanation.rank] = explanation
            return True

    def give(self, explanation: Explanation) -> str:
        """Take an explanation of the hook's answer; return why not where its rank has one already."""
        with self._lock:
            if explanation.rank in self._given:
                return f"explained rank {explanation.rank} twice"
            self._given[explanation.rank] = explanation
            return ""

    def missing(self) -> list[Candidate]:
        """Return the candidates that were asked for and have no explanation, best first."""
        return [
            item for item in self._query.candidates[: self._request.top_k] if self._get(item.rank) is None
        ]

    def complete(self, failure: Failure | None = None) -> tuple[Explanation, ...]:
        """Return one explanation for each candidate, in rank order.

        Args:
            failure: why those that are :meth:`missing` have none; candidates behind `top_k` are skipped.
        """
        missing = {candidate.rank for candidate in self.missing()}
        return tuple(
            self._get(candidate.rank)
            or self._filled(candidate, failure if candidate.rank in missing else None)
            for candidate in self._query.candidates
        )

    def failed(self, candidate: Candidate, failure: Failure) -> Explanation:
        """Return a failed explanation of `candidate`."""
        return self._filled(candidate, failure)

    def _get(self, rank: int) -> Explanation | None:
        return self._given.get(rank) or self._announced.get(rank)

    def _filled(self, candidate: Candidate, failure: Failure | None) -> Explanation:
        return Explanation.without_evidence(self._query, candidate, failure, explainer=self._request.explainer)
