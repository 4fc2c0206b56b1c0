"""What goes wrong with a request, as HTTP statuses: a fault in what was sent is never a 5xx."""

from __future__ import annotations

import logging

from pairx_hooks import Failure, ReviewHookError

from ...errors import PairXError
from ...explanation import failure_of
from ...review.failures import ApiFailure

__all__ = ["in_strict_words", "refusal_of"]

logger = logging.getLogger(__name__)

_STATUSES = {
    "IMAGE_FORBIDDEN": 403,
    "IMAGE_TOO_LARGE": 413,
    "IMAGE_FETCH_FAILED": 502,
    "OUT_OF_MEMORY": 503,
    "TIME_BUDGET": 504,
    "INTERNAL": 500,
    "EXTRA_MISSING": 500,
    "HOST_FAILED": 500,
    "STORE_FAILED": 500,
}
_OTHER_NAMES = {"MODEL_UNKNOWN": "MODEL_UNSUPPORTED"}  # what callers know it by


def refusal_of(error: BaseException | Failure, field: str = "") -> ApiFailure:
    """Return the answer to a failure.

    Args:
        error: what was raised, or why an explanation failed.
        field: of the request that is at fault; left out where it is none of the request's.
    """
    if isinstance(error, ApiFailure):
        return error
    if isinstance(error, BaseException) and not isinstance(error, (PairXError, ReviewHookError)):
        logger.error("a request failed", exc_info=error)
    failure = error if isinstance(error, Failure) else failure_of(error)[1]
    status = _STATUSES.get(failure.code, 422)
    message = "something went wrong; the service's log says what" if status == 500 else failure.message
    return ApiFailure(
        status, _OTHER_NAMES.get(failure.code, failure.code), message, field=field if status < 500 or field else ""
    )


def in_strict_words(refusal: ApiFailure) -> ApiFailure:
    """Return a refusal as ml-service words it: what is wrong with a request is 400, whatever it is.

    A photograph whose server does not send it counts as such there too.
    """
    if refusal.status not in (403, 404, 413, 422, 502):
        return refusal
    return ApiFailure(400, refusal.code, str(refusal), field=refusal.field, more=refusal.more)
