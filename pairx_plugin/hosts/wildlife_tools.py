"""wildlife-tools: why its similarity matrix puts a photograph of the database before another.

The network is the one of its ``DeepFeatures`` extractor, the chips are what its datasets hand to it, and the matrix is
whatever one of its similarities made of them::

    query = WildlifeDataset(metadata.iloc[:2], root, transform=transform)
    database = WildlifeDataset(metadata.iloc[2:], root, transform=transform)
    extractor = DeepFeatures(network)
    similarity = CosineSimilarity()(extractor(query), extractor(database))
    for found in explain_matches(similarity, query, database, extractor, top_k=3):
        found.explanations[0].picture("matches")  # (H, W, 3) uint8 RGB of the best match

Nothing of the datasets, the extractor and its network is changed. Written against wildlife-tools 0.0.9, whose
similarities return matrices by name, and its newer interface, where they are arrays.

Source: WildlifeDatasets/wildlife-tools:wildlife_tools/features/deep.py, data/dataset.py and similarity/, for what its
objects have and how they are called.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import Candidate, Failure, RankedQuery

from ..chips import Chip
from ..errors import ChipError, HostError, PairXError, SettingsError
from ..explanation import PairExplanation, failure_of
from ..settings import Settings
from .input_tensors import InputTensors
from .wildlife_datasets import DatasetChips, PhotographDataset, as_tensor, normalisation_of

if TYPE_CHECKING:
    from ..models.embedding import EmbeddingModel

__all__ = ["ExplainedQuery", "explain_matches"]

logger = logging.getLogger(__name__)

_SAME_SCORE = 0.01
_UNIT = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ExplainedQuery:
    """One row of the matrix.

    Attributes:
        index: of the query in its dataset.
        indices: of the candidates in the database, best first.
        ranked_query: the same as a record of the hook contract, with names, paths and scores.
        explanations: one for each candidate, in the order of `indices`; a failed one says why.
        failure: why there are no explanations at all, such as a query that cannot be loaded.
        other_score: ranks whose score is not the cosine of this network, so that the explanation is of another
            measure than the ranking.
    """

    index: int
    indices: tuple[int, ...]
    ranked_query: RankedQuery
    explanations: tuple[PairExplanation, ...] = ()
    failure: Failure | None = None
    other_score: tuple[int, ...] = ()


def explain_matches(
    similarity: Any,
    query_dataset: Any,
    database_dataset: Any,
    extractor: Any,
    *,
    top_k: int = 5,
    queries: Sequence[int] | None = None,
    layer: str | Sequence[str] | None = None,
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    **settings: Any,
) -> Iterator[ExplainedQuery]:
    """Explain the best matches of each query, one query after another.

    Args:
        similarity: (queries, database) array of scores, higher is better, or a mapping with one such array; pairs whose
            score is not finite were not compared and are left out.
        query_dataset, database_dataset: of wildlife-tools, with the transform by which features were extracted. Where
            they are one object, a photograph is no match of its own.
        extractor: ``DeepFeatures``, or its network.
        top_k: how many candidates of each query.
        queries: which rows; all where it is not given.
        layer: key or keys of the layers whose cells are matched; the suggested one where it is not given.
        normalisation: (mean, std) of the transform; looked up in it where it is not given.
        **settings: any other field of :class:`pairx_plugin.settings.Settings`, such as ``k_lines`` or ``explainer``.

    Returns:
        An iterator; each query is explained when it is asked for, and may be let go before the next.

    Raises:
        HostError: matrix, datasets and extractor do not belong together, or the transform draws random numbers.
        SettingsError: a setting does not fit.
    """
    scores = _matrix(similarity, query_dataset, database_dataset)
    rows = range(len(scores)) if queries is None else [int(row) for row in queries]
    if any(not 0 <= row < len(scores) for row in rows):
        raise HostError(f"queries are {list(rows)!r:.80}; the matrix has rows 0 to {len(scores) - 1}")
    checked = Settings.from_mapping(
        {**settings, "top_k": top_k, "layers": (layer,) if isinstance(layer, str) else tuple(layer or ())}
    )
    sides = PhotographDataset(query_dataset, "query"), PhotographDataset(database_dataset, "database")
    if not len(scores) or not scores.shape[1]:
        return iter(())
    model, chips = _model(extractor, sides, normalisation)
    return _explained(scores, rows, sides, model, chips, checked)


def _explained(
    scores: NDArray[np.float64],
    rows: Sequence[int],
    sides: tuple[PhotographDataset, PhotographDataset],
    model: EmbeddingModel,
    chips: DatasetChips,
    settings: Settings,
) -> Iterator[ExplainedQuery]:
    from ..pipeline import explain_chips, find_explainer

    explainer = find_explainer(settings.explainer)
    queries, database = sides
    for row in rows:
        own = row if queries.dataset is database.dataset else None
        found = [int(i) for i in np.argsort(-scores[row], kind="stable") if np.isfinite(scores[row, i]) and i != own]
        indices = tuple(found[: settings.top_k])
        ranked = RankedQuery(
            query_id=f"query-{row}",
            query=queries.annotation(row),
            candidates=tuple(
                Candidate(annotation=database.annotation(i), rank=rank, score=float(scores[row, i]))
                for rank, i in enumerate(indices, start=1)
            ),
            model_id=model.model_id,
            n_searched=len(found),
        )
        query = _or_error(chips, queries, row)
        if isinstance(query, Exception):
            _, failure = failure_of(query)
            yield ExplainedQuery(index=row, indices=indices, ranked_query=ranked, failure=failure)
            continue
        candidates = [_or_error(chips, database, i) for i in indices]
        explanations = tuple(explain_chips(model, query, candidates, explainer, settings))
        yield ExplainedQuery(
            index=row,
            indices=indices,
            ranked_query=ranked,
            explanations=explanations,
            other_score=_other_scores(ranked, explanations),
        )


def _other_scores(ranked: RankedQuery, explanations: Sequence[PairExplanation]) -> tuple[int, ...]:
    """Return the ranks whose score is not the similarity that is explained."""
    found = tuple(
        item.rank
        for item, explanation in zip(ranked.candidates, explanations)
        if explanation.evidence is not None
        and item.score is not None
        and abs(explanation.evidence.similarity - item.score) > _SAME_SCORE
    )
    if found:
        logger.warning(
            "%s: the scores of ranks %s are not this network's cosine; the explanations are of the cosine",
            ranked.query_id,
            ", ".join(map(str, found)),
        )
    return found


def _or_error(chips: DatasetChips, side: PhotographDataset, index: int) -> Chip | Exception:
    try:
        return chips.chip(side, index)
    except PairXError as error:
        return error


def _model(
    extractor: Any,
    sides: tuple[PhotographDataset, PhotographDataset],
    normalisation: tuple[Sequence[float], Sequence[float]] | None,
) -> tuple[EmbeddingModel, DatasetChips]:
    """Return the extractor's network with the queries' transform, and what makes chips for it."""
    from ..models.embedding import EmbeddingModel
    from ..models.preprocessing import Preprocessing

    network = extractor if hasattr(extractor, "state_dict") else getattr(extractor, "model", None)
    if network is None or hasattr(extractor, "processor"):
        raise HostError(
            f"{type(extractor).__name__} has no network from pictures to embeddings; give wildlife-tools' "
            "DeepFeatures, or the network that it was made with"
        )
    transform = sides[0].transform
    mean, std = normalisation or normalisation_of(transform) or _UNIT
    image = _any_photograph(sides[0])
    first, second = (as_tensor(transform(image) if transform else image, sides[0], 0) for _ in range(2))
    if first.shape != second.shape or not bool((first == second).all()):
        raise HostError(
            "the query dataset's transform makes another tensor at every call; give the datasets the transform for "
            "evaluation, without random parts"
        )
    size = int(first.shape[1]), int(first.shape[2])
    mean, std = tuple(map(float, mean)), tuple(map(float, std))

    def transformed(pixels: NDArray[np.uint8]) -> Any:
        return transform(Image.fromarray(pixels))

    try:
        preprocessing = Preprocessing(input_size=size, custom=transformed, mean=mean, std=std)
    except SettingsError as error:
        raise HostError(f"normalisation is {(mean, std)!r:.120}: {error}") from error
    tensors = InputTensors(preprocessing)
    name = str(getattr(network, "model_id", "") or type(network).__name__)
    model = EmbeddingModel(network, input_size=size, preprocess=tensors.tensor, model_id=name, mean=mean, std=std)
    return model, DatasetChips(tensors, mean, std)


def _any_photograph(side: PhotographDataset) -> Image.Image:
    """Return the first photograph that can be loaded."""
    reason = "it is empty"
    for index in range(len(side.dataset)):
        try:
            return side.photograph(index)
        except ChipError as error:
            reason = str(error)
    raise HostError(f"no photograph of the {side.role} dataset can be loaded; the last: {reason}")


def _matrix(similarity: Any, query_dataset: Any, database_dataset: Any) -> NDArray[np.float64]:
    """Return the scores as an array of the datasets' sizes."""
    if isinstance(similarity, Mapping):
        if len(similarity) != 1:
            raise HostError(
                f"there are several similarities, {', '.join(map(str, similarity))!s:.120}; give one of them"
            )
        similarity = next(iter(similarity.values()))
    try:
        scores = np.asarray(similarity, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise HostError(f"the similarity is a {type(similarity).__name__}, not an array of scores") from error
    wanted = len(query_dataset), len(database_dataset)
    if scores.shape != wanted:
        raise HostError(f"the similarity has the shape {scores.shape}; the datasets have {wanted} photographs")
    return scores
