"""Decided pairs of the host with the figures of their explanations: what a calibration is fitted on.

A pair is explained as re-ranking explains it, on the host's network, its chips and its settings. Nothing is kept: the
records beside the host's pictures belong to queries.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import HostError
from ...settings import Settings
from .explaining import HostModel, QueryExplainer, figures_alone, load_host_model
from .own_files import with_own_files
from .shelf import Shelf

if TYPE_CHECKING:
    from .decided_pairs import HostPair
    from .shared_models import SharedModels

__all__ = ["JudgedHostPair", "judge_pairs", "model_of_pairs"]

logger = logging.getLogger(__name__)

_AT_ONCE = 50  # candidates of one query whose chips are in memory together


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedHostPair:
    """A decided pair, with the record of its explanation; a failed one says why under ``errors``."""

    pair: HostPair
    record: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Match:
    """What is asked of the host's ``AnnotMatch``: a query with candidates, here without a ranking."""

    qaid: int
    daid_list: Sequence[int]
    name_score_list: Sequence[float] = ()
    unique_nids: Sequence[int] = ()

    @property
    def dnid_list(self) -> Sequence[int]:
        return [0] * len(self.daid_list)

    @property
    def annot_score_list(self) -> Sequence[float]:
        return [0.0] * len(self.daid_list)


def model_of_pairs(
    plugin: Any, models: SharedModels, pairs: Sequence[HostPair], species: str = ""
) -> tuple[HostModel, list[HostPair]]:
    """Return a network of the host and the pairs that it ranks.

    Args:
        plugin: the host's MiewID plugin.
        species: whose network, and whose pairs alone; where it is not given, the network of most pairs' species, and
            the pairs of every species that has the same one.

    Raises:
        HostError: there are no such pairs.
    """
    counted = Counter(pair.species for pair in pairs)
    if not counted or (species and species not in counted):
        known = ", ".join(sorted(f"{name!r}" for name in counted)) or "none"
        raise HostError(f"no pair of the species {species!r} is decided; species with decided pairs: {known}")
    chosen = species or counted.most_common(1)[0][0]
    model = load_host_model(plugin, models, chosen)
    fingerprint = model.hosted.embedding_model.fingerprint()
    alike = {chosen}
    for name in counted if not species else ():
        if name != chosen and _fingerprint(plugin, models, name) == fingerprint:
            alike.add(name)
    return model, [pair for pair in pairs if pair.species in alike]


def judge_pairs(
    plugin: Any,
    ibs: Any,
    model: HostModel,
    pairs: Sequence[HostPair],
    settings: Settings,
    advance: Callable[[int], None] = lambda n: None,
) -> Iterator[JudgedHostPair]:
    """Yield decided pairs with their records, query by query; the first annotation of a pair is the query.

    Args:
        plugin: the host's MiewID plugin, a module that is attached.
        ibs: the host's controller.
        model: that ranks these pairs.
        settings: as a query has them; the host's own choice of a layer is looked up.
        advance: called with the number of pairs that were tried, after every few.
    """
    # what a former calibration says of a pair is nothing to the next one
    settings = dataclasses.replace(with_own_files(settings, ibs, model.model_id), calibration="none")
    by_query: dict[int, list[HostPair]] = {}
    for pair in pairs:
        by_query.setdefault(pair.aids[0], []).append(pair)
    for qaid, found in by_query.items():
        for start in range(0, len(found), _AT_ONCE):
            some = found[start : start + _AT_ONCE]
            explainer = QueryExplainer(
                plugin,
                ibs,
                _Match(qaid=qaid, daid_list=[pair.aids[1] for pair in some]),
                settings=figures_alone(settings, len(some)),
                model=model,
                shelf=Shelf(ibs.cachedir, "judged"),  # nothing is put on it
                forget=lambda *_: None,
            )
            for pair, record in zip(some, _judged(explainer, some)):
                yield JudgedHostPair(pair=pair, record=record)
            advance(len(some))


def _judged(explainer: QueryExplainer, pairs: Sequence[HostPair]) -> Sequence[Mapping[str, Any]]:
    try:
        return explainer.judge()
    except Exception as error:  # the host's getters raise nearly anything, for annotations that were half deleted
        logger.warning("the pairs of annotation %d are left out: %s", pairs[0].aids[0], error)
        told = {"status": "failed", "errors": [{"code": "HOST_STAGE_FAILED", "message": str(error)}]}
        return [told for _ in pairs]


def _fingerprint(plugin: Any, models: SharedModels, species: str) -> str:
    try:
        found: str = load_host_model(plugin, models, species).hosted.embedding_model.fingerprint()
        return found
    except HostError as error:
        logger.warning("the pairs of the species %r are left out: %s", species, error)
        return ""
