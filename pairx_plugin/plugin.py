"""The plugin that hosts find through the entry point group ``match_review``: check, delegate, return.

Nothing heavy is imported until a ranked query is to be explained, so that a host with the flag off pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pairx_hooks import (
    Annotation,
    Artifact,
    Candidate,
    ExplainerEntry,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    ReviewManager,
    Status,
    hookimpl,
)

if TYPE_CHECKING:
    from .chips import Chip
    from .explanation import PairExplanation

__all__ = ["explain_ranked_query", "load_chip", "register_explainers"]


@hookimpl
def register_explainers() -> list[ExplainerEntry]:
    """Register the explainers of this distribution."""
    return [
        ExplainerEntry(
            explainer_id="pairx",
            title="PAIR-X",
            summary="Matching points of the two animals, weighed by how much they matter for the similarity.",
            create=_create_pairx,
        ),
        ExplainerEntry(
            explainer_id="similarity_attention",
            title="Similarity attention",
            summary="Where each animal has what the two embeddings share, or what parts the candidate from a rival.",
            create=_create_similarity_attention,
        ),
        ExplainerEntry(
            explainer_id="point_to_point",
            title="Point to point",
            summary="What each pair of places adds to the similarity or takes from it; the sum is the similarity.",
            create=_create_point_to_point,
        ),
        ExplainerEntry(
            explainer_id="grad_cam",
            title="Grad-CAM",
            summary="Where each animal raises the similarity to the other, by the grad-cam package's methods.",
            create=_create_grad_cam,
        ),
        ExplainerEntry(
            explainer_id="sane",
            title="SANE",
            summary="Where hiding a part of either animal lowers the similarity, and named attributes that explain it.",
            create=_create_sane,
        ),
    ]


@hookimpl(trylast=True)
def load_chip(annotation: Annotation) -> Any:
    """Cut the chip out of the photograph that the annotation names, where no host brings its own."""
    if not annotation.image:
        return None
    from .chips import cut_chip
    from .photographs import read_photograph

    photograph = read_photograph(annotation.image)
    return cut_chip(
        photograph, bbox=annotation.bbox, theta=annotation.theta, uri=annotation.image, name=annotation.name
    )


@hookimpl
def explain_ranked_query(
    ranked_query: RankedQuery, request: ExplanationRequest, review: ReviewManager
) -> Iterator[Explanation]:
    """Explain the leading candidates of one query, each yielded as soon as it is there."""
    leading = ranked_query.candidates[: request.top_k]
    done = 0
    try:
        for explanation in _explanations(ranked_query, leading, request, review):
            yield _record(ranked_query, leading[done], explanation)
            done += 1
    except Exception as error:  # what makes the whole query impossible is every remaining candidate's failure
        from .explanation import failure_of

        status, failure = failure_of(error)
        for candidate in leading[done:]:
            yield Explanation.without_evidence(
                ranked_query, candidate, failure, status=status, explainer=request.explainer
            )


def _explanations(
    ranked_query: RankedQuery, candidates: Sequence[Candidate], request: ExplanationRequest, review: ReviewManager
) -> Iterator[PairExplanation]:
    if not candidates:
        return
    from .errors import ModelNotFound
    from .hook_requests import settings_of
    from .models.embedding import as_embedding_model
    from .pipeline import explain_chips, find_explainer

    settings = settings_of(request)
    explainer = find_explainer(settings.explainer, review.explainers())
    provided = review.embedding_model(ranked_query.model_id)
    if provided is None:
        raise ModelNotFound(
            f"no plugin provides the model '{ranked_query.model_id}'; the host must implement the hook "
            f"provide_embedding_model (see `pairx-plugin hooks`)"
        )
    query = _chip(ranked_query.query, review)
    chips = [_chip_or_error(candidate.annotation, review) for candidate in candidates]
    yield from explain_chips(as_embedding_model(provided), query, chips, explainer, settings)


def _chip(annotation: Annotation, review: ReviewManager) -> Chip:
    from .chips import as_chip
    from .errors import ChipError

    loaded = review.chip(annotation)
    if loaded is None:
        raise ChipError(
            f"no plugin gives a chip of annotation '{annotation.annotation_id}' (image {annotation.image!r}); the host "
            f"must implement the hook load_chip, or the photograph must be readable"
        )
    chip = as_chip(loaded)
    return replace(chip, name=annotation.name) if chip.name is None and annotation.name is not None else chip


def _chip_or_error(annotation: Annotation, review: ReviewManager) -> Chip | Exception:
    try:
        return _chip(annotation, review)
    except Exception as error:  # a host's loader may raise anything; the other candidates go on
        return error


def _record(ranked_query: RankedQuery, candidate: Candidate, explanation: PairExplanation) -> Explanation:
    """Turn an explanation into the contract's record, pictures included."""
    status, failure = explanation.status, explanation.failure
    artifacts: tuple[Artifact, ...] = ()
    if status.usable:
        try:
            artifacts = _artifacts(explanation)
        except Exception as error:  # the data is worth having without its pictures
            status = Status.PARTIAL
            failure = failure or Failure(code="PICTURES_FAILED", message=f"the pictures could not be rendered: {error}")
    record = explanation.to_json()
    record.update(
        status=status.value,
        errors=[failure.to_json()] if failure else [],
        score=candidate.score,
        score_scale=ranked_query.score_scale,
        ranked_by={"model_id": ranked_query.model_id, "same_model": record["model_id"] == ranked_query.model_id},
    )
    for image, annotation in zip(record["images"], (ranked_query.query, candidate.annotation)):
        image.update(_annotated(annotation))
    return Explanation(
        query_id=ranked_query.query_id,
        candidate_id=candidate.annotation.annotation_id,
        rank=candidate.rank,
        status=status,
        explainer=explanation.explainer,
        record=record,
        artifacts=artifacts,
        failure=failure,
    )


def _annotated(annotation: Annotation) -> dict[str, Any]:
    return {
        "annotation_id": annotation.annotation_id,
        "uri": annotation.image,
        "filename": PurePath(annotation.image).name,
        "individual_id": annotation.name,
        "species": annotation.species,
        "viewpoint": annotation.viewpoint,
    }


def _artifacts(explanation: PairExplanation) -> tuple[Artifact, ...]:
    from .rendering.pictures import encode, media_type

    picture_format = explanation.settings.picture_format
    artifacts = []
    for view in explanation.settings.pictures:
        picture = explanation.picture(view)
        artifacts.append(
            Artifact(
                version=view,
                media_type=media_type(picture_format),
                width=picture.shape[1],
                height=picture.shape[0],
                data=encode(picture, picture_format),
            )
        )
    return tuple(artifacts)


def _create_pairx() -> Any:
    from .explainers.pairx import PairX

    return PairX()


def _create_similarity_attention() -> Any:
    from .explainers.similarity_attention import SimilarityAttention

    return SimilarityAttention()


def _create_point_to_point() -> Any:
    from .explainers.point_to_point import PointToPoint

    return PointToPoint()


def _create_grad_cam() -> Any:
    from .explainers.grad_cam import GradCam

    return GradCam()


def _create_sane() -> Any:
    from .explainers.sane import Sane

    return Sane()
