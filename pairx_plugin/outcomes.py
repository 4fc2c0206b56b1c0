"""What came of each candidate: a session's evidence as it grows, or the exception that says why there is none.

One bad candidate spoils no other: a batch that fails is halved until the one that cannot be explained stands alone,
which also is what to do where memory runs out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Union

from .chips import Chip
from .errors import TimeBudgetSpent
from .evidence import Doubt, PairEvidence
from .explainers.base import QuerySession, SteppedSession, Stop
from .explanation import failure_of
from .settings import Settings

__all__ = ["outcomes"]

logger = logging.getLogger(__name__)

Outcome = Union[PairEvidence, Exception]
Batch = dict[int, Chip]


def outcomes(
    session: QuerySession,
    candidates: Sequence[Chip | Exception],
    settings: Settings,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Yield the candidates' outcomes in order, evidence that grows several times.

    Args:
        session: explains.
        candidates: chips, or why there is none.
        settings: of which `batch_size` and `time_budget` count here.
        cancelled: once it says True, no candidate is begun; the one under way has what is there of it.
    """
    for start in range(0, len(candidates), settings.batch_size):
        order = list(range(start, min(start + settings.batch_size, len(candidates))))
        batch: Batch = {}
        final: dict[int, Outcome] = {}
        for index in order:
            found = candidates[index]
            if isinstance(found, Chip):
                batch[index] = found
            else:
                final[index] = found
        for index, outcome in _explained(session, batch, settings.time_budget, cancelled):
            if isinstance(outcome, PairEvidence) and not outcome.final:
                yield index, outcome
            else:
                final[index] = outcome
                yield from _in_order(order, final)
        yield from _in_order(order, final)
        if cancelled is not None and cancelled():
            return


def _in_order(order: list[int], final: dict[int, Outcome]) -> Iterator[tuple[int, Outcome]]:
    """Take the outcomes whose turn it is."""
    while order and order[0] in final:
        index = order.pop(0)
        yield index, final.pop(index)


def _explained(
    session: QuerySession, batch: Batch, seconds: float, cancelled: Callable[[], bool] | None
) -> Iterator[tuple[int, Outcome]]:
    """Yield what a session says of a batch; where it fails, what it says of the halves of those that are left."""
    if not batch:
        return
    stop = Stop(cancelled, seconds * len(batch))
    rest, grown = dict(batch), dict[int, PairEvidence]()
    failure: Exception | None = None
    try:
        for index, evidence in _asked(session, batch, stop):
            if evidence.final:
                del rest[index]
            else:
                grown[index] = evidence
            yield index, evidence
    except Exception as error:  # any failure of an explainer is this candidate's failure and nobody else's
        logger.debug("%d candidates could not be explained at once", len(rest), exc_info=True)
        failure = error.with_traceback(None)  # the traceback holds on to tensors
    if failure is not None and len(rest) > 1:
        indices = list(rest)
        for half in (indices[: len(indices) // 2], indices[len(indices) // 2 :]):
            yield from _explained(session, {index: rest[index] for index in half}, seconds, cancelled)
        return
    for index in rest:
        outcome = _cut_short(grown.get(index), stop.why(), failure)
        if outcome is not None:
            yield index, outcome


def _asked(session: QuerySession, batch: Batch, stop: Stop) -> Iterator[tuple[int, PairEvidence]]:
    """Yield a session's evidence under the candidates' own indices, be it stepped or not."""
    indices, chips = list(batch), list(batch.values())
    if isinstance(session, SteppedSession):
        for place, evidence in session.steps(chips, stop):
            yield indices[place], evidence
        return
    if stop.reached():
        return
    found = session.explain(chips)
    if len(found) != len(chips) or not all(isinstance(item, PairEvidence) for item in found):
        raise TypeError(
            f"{type(session).__name__}.explain must return one PairEvidence for each of {len(chips)} candidates, "
            f"not {[type(item).__name__ for item in found]}"
        )
    yield from zip(indices, found)


def _cut_short(grown: PairEvidence | None, why: Doubt | None, failure: Exception | None) -> Outcome | None:
    """Return the outcome of a candidate whose evidence was not finished; None where nobody waits for any."""
    if grown is not None:
        if failure is not None:
            told = failure_of(failure)[1]
            why = Doubt(code=told.code, message=told.message)
        ended = Doubt(code="ENDED_EARLY", message="the explainer ended before all of it was there")
        return replace(grown, shortfall=why or ended)
    if failure is not None:
        return failure
    if why is None:
        return TypeError("the explainer's session ended without evidence of the candidate, and without an error")
    return TimeBudgetSpent(why.message) if why.code == "TIME_BUDGET" else None
