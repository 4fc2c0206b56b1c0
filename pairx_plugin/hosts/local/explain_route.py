"""The sample host's review page with ``/explain/`` beside it, by the network of its newest run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...review import ReviewOptions, ReviewServer
from ..ml_service import ExplainService, ServedModels
from ..ml_service.configuration import ServiceConfig
from ..ml_service.routes import Desk, explain_router
from ..ml_service.turns import Turns
from ..photograph_gate import PhotographGate
from .review_source import LocalReviewSource

__all__ = ["review_server"]


@contextmanager
def review_server(
    source: LocalReviewSource, options: ReviewOptions, gate: PhotographGate
) -> Iterator[ReviewServer]:
    """Yield a server of the review page that answers ``/explain/`` too, where there is a run whose network could.

    Args:
        gate: to the photographs that requests may name.
    """
    config = ServiceConfig(waiting=options.queue_size, time_limit=options.time_limit, photographs=gate.rules)
    tasks = source.tasks()
    if not tasks:
        with ReviewServer(source, options) as server:
            yield server
        return
    turns = Turns(waiting=config.waiting, at_once=config.at_once, time_limit=config.time_limit)
    models = ServedModels({task.model_id: source.load_model for task in tasks[:1]})
    sizes = {place: config.max_body for place in ("/explain", "/explain/")}
    with ReviewServer(source, options, more=[explain_router], larger=sizes) as server:
        server.state.explain_desk = Desk(service=ExplainService(models, gate, config.settings), turns=turns)
        try:
            yield server
        finally:
            turns.close()
