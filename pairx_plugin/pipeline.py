"""The one corridor: a model, a query and candidates go in, explanations come out in the candidates' order."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pairx_hooks import Failure, Status

from .chips import Chip, as_chip
from .errors import ChipError, ExplainerNotFound, PairXError, SettingsError, nearest
from .explainers.base import Explainer, RankedSession
from .explanation import PairExplanation, failure_of
from .evidence import Doubt, PairEvidence
from .installed import plugin_version, version_of
from .layer_choice import settle_layers
from .models.embedding import EmbeddingModel
from .outcomes import outcomes
from .resident_memory import hand_back
from .settings import Settings

__all__ = ["explain_chips", "explain_ranking", "explain_steps", "find_explainer"]

logger = logging.getLogger(__name__)

_BETWEEN = 4  # candidates after which freed memory is handed back, which takes a few hundredths of their time

OnFinished = Callable[[int, PairExplanation], None]


def explain_ranking(
    model: Any,
    query: Any,
    candidates: Sequence[Any],
    *,
    layer: str | Sequence[str] | None = None,
    explainer: str | Explainer = "pairx",
    k_lines: int = 20,
    k_colors: int = 5,
    mode: str = "reference",
    input_size: tuple[int, int] = (440, 440),
    preprocess: Callable[[np.ndarray], Any] | None = None,
    on_finished: OnFinished | None = None,
    **settings: Any,
) -> list[PairExplanation]:
    """Explain why `model` finds each candidate similar to the query.

    Args:
        model: a torch.nn.Module in evaluation mode, (B, 3, H, W) to (B, D), or an :class:`EmbeddingModel`. It is not
            changed in any way.
        query: (H, W, 3) uint8 RGB chip, or a :class:`Chip`, or the path of a photograph.
        candidates: chips like the query, best first.
        layer: key or keys of the layers whose cells are matched; the one suggested for the model where none is given;
            ``"auto"`` for the one that served best on confirmed pairs, see :mod:`.layer_choice`.
        explainer: id of a registered explainer, or an explainer.
        k_lines: how many matches are drawn and written, most relevant first.
        k_colors: how many matches are carried back to pixels.
        mode: ``reference``, the public PAIR-X's numbers, or ``corrected``, whose relevance is conserved and keeps its
            sign.
        input_size: (height, width) that chips are resized to; an EmbeddingModel brings its own.
        preprocess: replaces resizing and ImageNet normalisation: (H, W, 3) uint8 to a (3, h, w) tensor.
        on_finished: called with the candidate's index and its explanation as soon as that is there.
        **settings: any other field of :class:`.settings.Settings`.

    Returns:
        One explanation per candidate, in order. A candidate that cannot be explained has status ``failed`` and says
        why; the others are explained all the same.

    Raises:
        ChipError: the query is no chip, or the candidates are no list.
        LayerNotFound, ModelError, UnsupportedArchitecture: the model cannot be explained.
        ExplainerNotFound, SettingsError: no such explainer, or a setting does not fit.
    """
    layers = (layer,) if isinstance(layer, str) else tuple(layer or ())
    chosen = explainer if isinstance(explainer, str) else getattr(explainer, "explainer_id", None)
    if chosen is None:
        raise SettingsError(f"explainer must be an id such as 'pairx', or an explainer, not {explainer!r}")
    checked = Settings.from_mapping(
        {
            "layers": layers,
            "explainer": chosen,
            "k_lines": k_lines,
            "k_colors": k_colors,
            "mode": mode,
            **settings,
        }
    )
    embedding_model = _embedding_model(model, input_size, preprocess)
    if isinstance(explainer, str):
        explainer = find_explainer(explainer)
    chips = [_chip_or_error(candidate) for candidate in _listed(candidates)]
    finished: list[PairExplanation] = []
    for explanation in explain_chips(embedding_model, as_chip(query), chips, explainer, checked):
        if on_finished is not None:
            on_finished(len(finished), explanation)
        finished.append(explanation)
    return finished


def find_explainer(explainer_id: str, entries: Mapping[str, Any] | None = None) -> Explainer:
    """Return a new explainer of that id.

    Args:
        explainer_id: such as ``pairx``.
        entries: registered explainers by id; those of all installed plugins where none are given.

    Raises:
        ExplainerNotFound: no plugin registers it.
    """
    if entries is None:
        from pairx_hooks import build_manager

        entries = build_manager().explainers()
    if explainer_id not in entries:
        raise ExplainerNotFound(
            f"explainer '{explainer_id}' is not registered{nearest(explainer_id, entries)}; registered: "
            f"{', '.join(sorted(entries)) or 'none'}; list them with `pairx-plugin hooks`"
        )
    made: Explainer = entries[explainer_id].create()
    return made


def explain_chips(
    model: EmbeddingModel,
    query: Chip,
    candidates: Sequence[Chip | Exception],
    explainer: Explainer,
    settings: Settings,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[PairExplanation]:
    """Explain candidates whose chips are cut already, and yield each explanation as soon as all of it is there.

    Args:
        candidates: chips in rank order; where a chip could not be had, the exception that says why.
        cancelled: asked often, on this thread; once it says True, the candidate under way is yielded with what is
            there of it, or not at all, and no other is begun.

    Raises:
        PairXError: what makes every explanation impossible: the query, the model, a layer.
    """
    for _, explanation in explain_steps(model, query, candidates, explainer, settings, cancelled=cancelled):
        if not explanation.growing:
            yield explanation


def explain_steps(
    model: EmbeddingModel,
    query: Chip,
    candidates: Sequence[Chip | Exception],
    explainer: Explainer,
    settings: Settings,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, PairExplanation]]:
    """Explain like :func:`explain_chips`, and yield what is there of an explanation before all of it is, too.

    Yields:
        The candidate's index, and its explanation. One that is :attr:`~.explanation.PairExplanation.growing` is
        followed by another of the same candidate.
    """
    if not candidates or (cancelled is not None and cancelled()):
        return
    try:
        yield from _steps(model, query, candidates, explainer, settings, cancelled)
    finally:
        if len(candidates) > 1:  # a pair that is asked for alone is often followed by the next one
            _hand_back(model)


def _steps(
    model: EmbeddingModel,
    query: Chip,
    candidates: Sequence[Chip | Exception],
    explainer: Explainer,
    settings: Settings,
    cancelled: Callable[[], bool] | None,
) -> Iterator[tuple[int, PairExplanation]]:
    started = time.perf_counter()
    settings, chosen = settle_layers(model, explainer, settings)
    session = explainer.prepare(model, query, settings)
    if isinstance(session, RankedSession):
        session.see_ranking([chip for chip in candidates if isinstance(chip, Chip)])
    prepared = time.perf_counter() - started
    shared = {**_provenance(model, explainer), **chosen, **getattr(session, "provenance", {})}
    ready = done = 0
    for index, outcome in outcomes(session, candidates, settings, cancelled):
        found = candidates[index]
        seconds = outcome.seconds if isinstance(outcome, PairEvidence) else {}
        provenance = {**shared, "seconds": {"prepare": prepared / len(candidates), **seconds}}
        chip = found if isinstance(found, Chip) else None
        explanation = _explanation(query, chip, outcome, explainer, settings, provenance)
        ready += explanation.status is Status.READY
        yield index, explanation
        done += not explanation.growing
        if done % _BETWEEN == 0 and not explanation.growing:
            _hand_back(model)
    logger.info("explained %d of %d candidates in %.2f s", ready, len(candidates), time.perf_counter() - started)


def _hand_back(model: EmbeddingModel) -> None:
    if model.device.type == "cpu":  # elsewhere the work is done in other memory
        hand_back()


def _listed(candidates: Any) -> Sequence[Any]:
    """Return the candidates, or refuse a single one, whose rows or letters would pass for many."""
    single = isinstance(candidates, (str, bytes, Chip)) or getattr(candidates, "ndim", 4) == 3
    if single or not isinstance(candidates, Iterable):
        given = f"array of shape {tuple(candidates.shape)}" if hasattr(candidates, "shape") else repr(candidates)
        raise ChipError(f"candidates must be a list of chips or paths, not {given:.80}; give [candidate] for one")
    return list(candidates)


def _chip_or_error(candidate: Any) -> Chip | Exception:
    try:
        return as_chip(candidate)
    except PairXError as error:
        return error


def _explanation(
    query: Chip,
    chip: Chip | None,
    outcome: PairEvidence | BaseException,
    explainer: Explainer,
    settings: Settings,
    provenance: Mapping[str, Any],
) -> PairExplanation:
    common: dict[str, Any] = {
        "explainer": explainer.explainer_id,
        "query": query,
        "candidate": chip,
        "settings": settings,
        "provenance": provenance,
    }
    if isinstance(outcome, PairEvidence):
        status = Status.PARTIAL if outcome.missing else Status.READY
        return PairExplanation(status=status, evidence=outcome, failure=_failure(outcome.shortfall), **common)
    status, failure = failure_of(outcome)
    return PairExplanation(status=status, failure=failure, **common)


def _failure(shortfall: Doubt | None) -> Failure | None:
    if shortfall is None:
        return None
    return Failure(code=shortfall.code, message=shortfall.message, retryable=True)


def _embedding_model(
    model: Any, input_size: tuple[int, int], preprocess: Callable[[np.ndarray], Any] | None
) -> EmbeddingModel:
    if isinstance(model, EmbeddingModel):
        if preprocess is not None:
            raise SettingsError("an EmbeddingModel brings its own preprocessing; give `preprocess` to EmbeddingModel")
        return model
    return EmbeddingModel(model, input_size=input_size, preprocess=preprocess)


def _provenance(model: EmbeddingModel, explainer: Explainer) -> dict[str, Any]:
    return {
        "service": "pairx-plugin",
        "version": plugin_version(),
        "explainer_version": explainer.version,
        "model_id": model.model_id,
        "model_sha256": model.fingerprint(),
        "device": str(model.device),
        "dtype": str(model.dtype).replace("torch.", ""),
        "input_size": list(model.input_size),
        "python": platform.python_version(),
        **{package: version_of(package) for package in ("torch", "zennit", "numpy")},
    }
