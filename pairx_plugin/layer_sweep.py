"""The same pair at many layers, from one forward pass; and the layer that serves best on pairs that were decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chips import Chip
from .errors import PairXError, SettingsError
from .evidence import Doubt, LayerEvidence
from .explainers.base import Explainer
from .explainers.pairx import PairX
from .layer_choice import LayerFigures, LayerFindings, own_layer, params_of
from .models.embedding import EmbeddingModel
from .models.layer_reasons import main_layers, within
from .models.layers import list_layers
from .plausibility import Plausibility
from .settings import Settings

__all__ = ["LEAST_INDIVIDUALS", "DecidedPair", "Sweep", "SweptLayer", "excess_of", "measure_layers", "sweep_layers"]

logger = logging.getLogger(__name__)

LEAST_INDIVIDUALS = 5
"""Individuals with a confirmed pair that a choice needs; rejected pairs count from as many individuals on."""

_ERRORS_APART = 2.0  # standard errors by which a layer has to beat the default
_MOST_CELLS = 4_000  # of the layers that are tried unasked; 12,544 take 7 s a pair on one core, 3,136 half a second


@dataclass(frozen=True, kw_only=True, eq=False)
class SweptLayer:
    """One layer of a sweep.

    Attributes:
        seconds: what it took alone, on top of what all layers shared; None where the explainer does not measure it.
    """

    evidence: LayerEvidence
    seconds: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One pair at many layers.

    Attributes:
        similarity: cosine.
        layers: in the order in which they were asked for.
        seconds: what served all layers at once, by stage.
        doubts: about the pair or single layers.
    """

    similarity: float
    layers: tuple[SweptLayer, ...]
    seconds: Mapping[str, float]
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class DecidedPair:
    """A pair that reviewers confirmed (`same`) or rejected; `individual` is the query's, by whom pairs are grouped."""

    individual: str
    query: Chip
    candidate: Chip
    same: bool = True


def sweep_layers(
    model: EmbeddingModel,
    query: Chip,
    candidate: Chip,
    layer_keys: Sequence[str],
    settings: Settings = Settings(k_colors=0),
    explainer: Explainer | None = None,
) -> Sweep:
    """Explain a pair at many layers, with one forward pass of each picture and one pass of relevance.

    Args:
        layer_keys: layers; they replace those of `settings`.
        settings: without colours by default, since those cost a pass for each layer.
        explainer: PAIR-X where none is given.

    Raises:
        SettingsError: the explainer looks at other layers than those that it is given.
        PairXError: the pair cannot be explained at one of the layers.
    """
    explainer = explainer or PairX()
    settings = replace(settings, layers=tuple(layer_keys), layer_choice="", batch_size=1)
    session = explainer.prepare(model, query, settings)
    [found] = session.explain([candidate])
    given = [layer.layer_key for layer in found.layers]
    if set(given) != set(layer_keys):
        raise SettingsError(
            f"the explainer '{explainer.explainer_id}' was given {_listed(layer_keys)} and looks at {_listed(given)}, "
            "so there is nothing to sweep; take an explainer that looks at the layers it is given, like 'pairx', or "
            "`pairx-plugin explain` for this one"
        )
    own: Mapping[str, float] = getattr(session, "layer_seconds", {})
    alone = ("matching", "pixels") if own else ()
    return Sweep(
        similarity=found.similarity,
        layers=tuple(SweptLayer(evidence=item, seconds=own.get(item.layer_key)) for item in found.layers),
        seconds={stage: spent for stage, spent in found.seconds.items() if stage not in alone},
        doubts=found.doubts,
    )


def _listed(layer_keys: Sequence[str]) -> str:
    return f"'{layer_keys[0]}'" if len(layer_keys) == 1 else f"{len(layer_keys)} layers"


def measure_layers(
    model: EmbeddingModel,
    pairs: Iterable[DecidedPair],
    layer_keys: Sequence[str] = (),
    settings: Settings = Settings(),
    *,
    advance: Callable[[], None] = lambda: None,
) -> LayerFindings:
    """Return the layer whose plausibility figures are best on decided pairs; see :class:`.layer_choice.LayerFindings`.

    A layer scores the mean excess of its confirmed pairs, every individual counting once, less that of the rejected
    ones where these come from :data:`LEAST_INDIVIDUALS` individuals too. The layer that PAIR-X takes unasked stays,
    unless another beats it by two standard errors. Figures count in steps of a layer's own grid, which flatters coarse
    grids; without enough rejected pairs to show that, no layer of a coarser grid than the default's is chosen.

    Args:
        pairs: each is explained once at all layers; one that cannot be is left out and counted.
        layer_keys: the layers to choose from; the network's stages where none are given, without the finest, whose
            matching takes seconds a pair. The default is always tried.
        settings: that the choice holds for.
        advance: called after every pair.

    Raises:
        SettingsError: the confirmed pairs show too few individuals.
        ModelError: the network has no layers to choose from.
    """
    default = own_layer(model)[0]
    listed = list_layers(model.network, model.input_size)
    keys = list(layer_keys) or [layer.key for layer in within(main_layers(listed), _MOST_CELLS)]
    if default not in keys:
        keys.append(default)
    plain = replace(settings, k_colors=0, layers=(), layer_choice="")
    tables: dict[bool, dict[str, list[list[float]]]] = {True: {}, False: {}}
    counts, seconds, grids, left_out = {True: 0, False: 0}, np.zeros(len(keys)), dict[str, tuple[int, int]](), 0
    for pair in pairs:
        try:
            swept = sweep_layers(model, pair.query, pair.candidate, keys, plain)
        except PairXError as error:
            logger.warning("a pair of %s is left out: %s", pair.individual, error)
            left_out += 1
        else:
            excess = [excess_of(layer.evidence.plausibility) for layer in swept.layers]
            tables[pair.same].setdefault(pair.individual, []).append(excess)
            counts[pair.same] += 1
            seconds += [layer.seconds or 0.0 for layer in swept.layers]
            grids = {layer.evidence.layer_key: layer.evidence.grid_0 for layer in swept.layers}
        advance()
    _check_enough(tables[True], left_out)
    figures = _figures(keys, default, grids, tables, seconds / sum(counts.values()))
    chosen, reason = _chosen(figures, default, len(tables[True]), counts)
    return LayerFindings(
        model_sha256=model.fingerprint(),
        explainer=PairX.explainer_id,
        explainer_version=PairX.version,
        params=params_of(settings),
        layer_key=chosen,
        default_layer=default,
        reason=reason,
        layers=figures,
        n_confirmed=counts[True],
        n_rejected=counts[False],
        n_individuals=len(tables[True]),
        n_left_out=left_out,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def excess_of(figures: Plausibility | None) -> float:
    """Return the share of tested matches that fit one pose beyond chance; 0 where no pose could be fitted."""
    if figures is None or figures.n_inliers is None or figures.n_chance is None or not figures.n_tested:
        return 0.0
    return (figures.n_inliers - figures.n_chance) / figures.n_tested


def _check_enough(confirmed: Mapping[str, Any], left_out: int) -> None:
    if len(confirmed) < LEAST_INDIVIDUALS:
        failed = f" ({left_out} pairs could not be explained)" if left_out else ""
        raise SettingsError(
            f"confirmed pairs of {len(confirmed)} individuals are too few to choose a layer by{failed}; at least "
            f"{LEAST_INDIVIDUALS} are needed. Without them, 'auto' follows its rule"
        )


def _figures(
    keys: Sequence[str],
    default: str,
    grids: Mapping[str, tuple[int, int]],
    tables: Mapping[bool, Mapping[str, list[list[float]]]],
    seconds: NDArray[np.float64],
) -> tuple[LayerFigures, ...]:
    confirmed, rejected = (_by_individual(tables[same], len(keys)) for same in (True, False))
    counts = len(rejected) >= LEAST_INDIVIDUALS
    score = confirmed.mean(0) - (rejected.mean(0) if counts else 0.0)
    gain = score - score[keys.index(default)]
    error = _squared_error(confirmed, keys.index(default))
    if counts:
        error = error + _squared_error(rejected, keys.index(default))
    return tuple(
        LayerFigures(
            layer_key=key,
            grid=grids[key],
            confirmed=float(confirmed[:, place].mean()),
            rejected=float(rejected[:, place].mean()) if counts else None,
            score=float(score[place]),
            gain=float(gain[place]),
            gain_error=float(np.sqrt(error[place])),
            seconds=float(seconds[place]),
        )
        for place, key in enumerate(keys)
    )


def _by_individual(table: Mapping[str, list[list[float]]], n_layers: int) -> NDArray[np.float64]:
    """Return (individuals, layers) means, so that an animal with many pairs counts no more than the others."""
    return np.array([np.mean(rows, axis=0) for rows in table.values()]).reshape(-1, n_layers)


def _squared_error(means: NDArray[np.float64], default: int) -> NDArray[np.float64]:
    """Return the squared standard error of each layer's mean difference from the default."""
    apart: NDArray[np.float64] = (means - means[:, [default]]).var(axis=0, ddof=1) / len(means)
    return apart


def _chosen(
    figures: Sequence[LayerFigures], default: str, n_individuals: int, counts: Mapping[bool, int]
) -> tuple[str, str]:
    """Return the layer of choice, and why."""
    usual = next(layer for layer in figures if layer.layer_key == default)
    used, allowed, beside = f"{counts[True]} confirmed pairs of {n_individuals} individuals", list(figures), ""
    if usual.rejected is not None:
        used += f" and {counts[False]} rejected ones"
    else:
        allowed = [layer for layer in figures if min(layer.grid) >= min(usual.grid)]
        if len(allowed) < len(figures):
            beside = "; coarser grids were left out of the choice, as there are too few rejected pairs to judge them by"
    best = max(allowed, key=lambda layer: (layer.score, layer.layer_key == default))
    if best.layer_key == default:
        return default, f"of {len(allowed)} layers the default fits best on {used}: score {best.score:.2f}{beside}"
    words = f"score {best.score:.2f}, {best.gain:.2f} (standard error {best.gain_error:.2f}) above '{default}'"
    if best.gain > _ERRORS_APART * best.gain_error:
        return best.layer_key, f"of {len(allowed)} layers it fits best on {used}: {words}{beside}"
    return default, (
        f"the default stays: '{best.layer_key}' fits best on {used}, but by less than {_ERRORS_APART:g} standard "
        f"errors ({words}){beside}"
    )
