"""The bodies of answers, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Asset", "ExplainAnswer", "Health", "Inspection", "Offer", "Sent", "failures"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Issue(_Body):
    """One thing that is wrong."""

    code: str
    message: str
    field: str
    retryable: bool


class FailureBody(_Body):
    """Why a request was not answered; `detail` for ml-service's callers, `success` and `message` for Wildbook's."""

    success: Literal[False]
    message: str
    detail: str
    errors: list[Issue]
    request_id: str


class Warned(_Body):
    """Something that a caller should know."""

    code: str
    message: str
    field: str


class ExplainAnswer(_Body):
    """Pictures as base64 PNG in the order of the candidates, and records where they were asked for."""

    response: Literal["visualizations"]
    images: Optional[list[str]] = Field(
        default=None, min_length=1, description="left out where records alone were asked for, and never empty"
    )
    count: int
    model_id: str
    warnings: list[Warned]
    explanations: Optional[list[dict[str, Any]]] = Field(default=None, description="schema pairx.explanation/1")


class Sent(_Body):
    """A photograph that was sent and is kept for a while; requests name it by `uri`."""

    uri: str
    width: int
    height: int


class Asset(_Body):
    """A picture that is kept here."""

    url: str
    width: int
    height: int
    content_type: Literal["image/png"]
    labels: list[str]


class Inspection(_Body):
    """A pair's picture, in Wildbook's shape, and its record."""

    success: Literal[True]
    asset: Asset
    explanation: dict[str, Any]


class Health(_Body):
    """Whether the service answers."""

    status: Literal["healthy", "degraded"]
    service: str
    version: str
    models: dict[str, int]
    requests: int
    usual_seconds: Optional[float]


class Offer(_Body):
    """What requests may ask for."""

    explainers: list[dict[str, Any]]
    models: list[dict[str, Any]]
    limits: dict[str, Any]
    usual_seconds: Optional[float]


_MEANINGS = {
    400: "The request does not fit; with `strict`, whatever is wrong with it.",
    401: "A token is asked for.",
    403: "A photograph may not be read, or the request comes from another site.",
    404: "There is nothing of that name.",
    408: "The body arrives too slowly.",
    413: "The request or a photograph is too large.",
    422: "A value cannot be used.",
    429: "Too much is under way; `Retry-After` says when to come again.",
    500: "Something went wrong here.",
    502: "A photograph's server did not send it.",
    503: "Memory ran out, or the model cannot be loaded.",
    504: "It took too long.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of an operation's failures."""
    return {status: {"model": FailureBody, "description": _MEANINGS[status]} for status in statuses}
