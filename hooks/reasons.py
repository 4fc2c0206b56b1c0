"""Why a candidate has no explanation, in words for the review record."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .errors import code_of, nearest
from .failures import in_words
from .records import Failure

__all__ = ["left_out", "nobody_answered", "raised"]


def raised(plugin: str, error: BaseException) -> Failure:
    """The plugin raised before it came to the candidate."""
    code, retryable = code_of(error)
    message = f"plugin '{plugin}' failed while it explained: {in_words(error)}"
    return Failure(code=code, message=message, retryable=retryable, plugin=plugin)


def left_out(plugin: str) -> Failure:
    """The plugin explained other candidates, not this one, and did not say why."""
    return Failure(
        code="EXPLANATION_MISSING",
        message=f"plugin '{plugin}' gave neither an explanation nor a reason; report it to its authors",
        plugin=plugin,
    )


def nobody_answered(
    *, asked: Sequence[str], not_loaded: Sequence[str], explainer: str, explainers: Collection[str]
) -> Failure:
    """No plugin took the query on.

    Args:
        asked: names of the plugins that could have.
        not_loaded: names of those that are installed and could not be loaded.
        explainer: the id that was asked for.
        explainers: the ids that are registered.
    """
    if not asked:
        broken = f" ({', '.join(not_loaded)}: installed, cannot be loaded)" if not_loaded else ""
        message = (
            f"no plugin that explains rankings is registered{broken}; install one: pip install pairx-plugin"
        )
        return Failure(code="NO_PLUGIN", message=message)
    if explainer not in explainers:
        known = ", ".join(sorted(explainers)) or "none"
        message = f"no explainer '{explainer}'{nearest(explainer, explainers)}; registered: {known}"
        return Failure(code="EXPLAINER_UNKNOWN", message=message)
    message = (
        f"no plugin took the query on; asked: {', '.join(asked)}; see in their documents what they explain"
    )
    return Failure(code="NOT_EXPLAINED", message=message)
