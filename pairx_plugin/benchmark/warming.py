"""What a process does once is done before anything is counted: imports, thread pools, kernels that are chosen."""

from __future__ import annotations

import logging

from .. import compat
from ..errors import ModelError
from ..pipeline import explain_ranking
from .bench import Bench
from .pictures import Pictures

__all__ = ["warm_up"]

logger = logging.getLogger(__name__)

_LONGEST_SIDE = 128  # pixels


def warm_up(bench: Bench) -> None:
    """Explain small pictures through every door that the rows use; what fails here will fail there, and be told.

    Raises:
        ModelError: the network cannot be explained at all, which spoils every row alike.
    """
    try:
        _explain_small(bench)
    except ModelError:
        raise
    except Exception:  # foreign code and networks raise anything
        logger.info("the warm-up failed", exc_info=True)


def _explain_small(bench: Bench) -> None:
    shrink = min(1.0, _LONGEST_SIDE / max(bench.size))
    size = max(32, round(bench.size[0] * shrink)), max(32, round(bench.size[1] * shrink))
    model, pictures = bench.fresh_model(size), Pictures(0, size)
    query, candidate = pictures.query(), pictures.candidate(0)
    tensors = model.tensor([query]), model.tensor([candidate])
    compat.explain(*tensors, [query], [candidate], model.network, [bench.layer], 1, 1)
    for explanation in explain_ranking(model, query, [candidate], layer=bench.layer, k_lines=1, k_colors=1):
        explanation.picture("both")
    if bench.reference is not None:
        network = bench.fresh_model().network
        bench.reference.explain(
            tensors, ([query], [candidate]), network, bench.layer, k_lines=1, k_colors=1
        )
