"""Every hook of the contract, in one file.

Grammar of the names: ``provide_`` looks something up, ``register_`` contributes once, a bare verb acts, a
past participle observes. Arguments go by keyword, in the same order everywhere; a later release only appends
new ones, and an implementation may take fewer than there are.

Each docstring answers the same questions under the same headings: who calls the hook and when (Called), what
comes in (Args) and goes out (Returns), what None means (None), and what becomes of an exception (Failure).
The README's table is made from them.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from typing import Any

from .markers import hookspec
from .records import (
    Annotation,
    Candidate,
    ExplainerEntry,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
)

if typing.TYPE_CHECKING:
    from .manager import ReviewManager

__all__ = [
    "attach_explanations",
    "explain_ranked_query",
    "explanation_failed",
    "explanation_finished",
    "load_chip",
    "provide_embedding_model",
    "register_explainers",
]


@hookspec(firstresult=True)
def provide_embedding_model(model_id: str) -> Any | None:
    """Supply the network that ranked.

    A host that has loaded its backbone hands over that very object, so that no second copy takes memory and
    the explanation is about the network that ranked. Nobody may change it: same mode, gradients, hooks and
    weights after.

    Called:
        By the plugin that explains, through `review.embedding_model`, once for a ranked query; from any
        thread.
    Args:
        model_id: the ranked query's `model_id`, such as ``miewid-msv3``.
    Returns:
        The model, opaque to the contract: a ``torch.nn.Module`` from (B, 3, H, W) to (B, D), or what the
        explaining plugin documents beside it. The first answer counts.
    None:
        Not mine; the next plugin is asked.
    Failure:
        Recorded, and the next plugin is asked, unless it is an OwnFailure. Where nobody answers, the caller
        gets a HookCallError that says why.
    """


@hookspec(firstresult=True)
def load_chip(annotation: Annotation) -> Any | None:
    """Supply the pixels of one animal, cut as the ranking cut them.

    Called:
        By the plugin that explains, through `review.chip`, once for the query and once for each candidate;
        from any thread.
    Args:
        annotation: what to cut, with its image, box and angle.
    Returns:
        The chip: an (H, W, 3) uint8 RGB array that the caller may keep, or the chip object that the
        explaining plugin documents. The first answer counts.
    None:
        Not mine; the next plugin is asked.
    Failure:
        Recorded, and the next plugin is asked, unless it is an OwnFailure: raise that where the annotation is
        yours and its chip cannot be cut, since a chip from elsewhere is not the one that ranked. Where nobody
        answers, the caller gets a HookCallError that says why, and only this candidate goes without an
        explanation. An exception's `code` and `retryable`, where it has them, reach the review record.
    """


@hookspec
def register_explainers() -> Iterable[ExplainerEntry] | None:
    """Contribute explainers.

    Called:
        Once for each plugin and manager, when explainers are first asked for; in the order of registration.
    Returns:
        Entries, whose `create` does the heavy work later. An id belongs to whom it was registered for first;
        a second plugin's entry of the same id is left out, and recorded with both names. Every plugin is
        asked.
    None:
        Nothing to contribute, the same as an empty list.
    Failure:
        Recorded; entries that came before the exception are kept, and the other plugins are asked.
    """


@hookspec(firstresult=True)
def explain_ranked_query(
    ranked_query: RankedQuery, request: ExplanationRequest, review: ReviewManager
) -> Iterable[Explanation] | None:
    """Explain the leading candidates of a ranking.

    Called:
        By `ReviewManager.explain`, after the host has ranked; several threads may do so at once.
    Args:
        ranked_query: the query and its candidates, best first. Hand this very object to
            `review.notify_finished`.
        request: which explainer, how many candidates, which layers, pictures and settings.
        review: the manager, to ask for the model, the chips and the explainers.
    Returns:
        One Explanation for each candidate, in any order; candidates behind `request.top_k` may be left out. A
        generator is best: each explanation is announced to the observers when it is yielded, and is kept if
        the next one raises. Strangers and second answers for one rank are left out and recorded; missing ones
        are filled in as failed. The first plugin that gives anything counts.
    None:
        Not mine (an explainer or a model that this plugin does not know); the next plugin is asked.
    Failure:
        Recorded, and the next plugin is asked if this one had given nothing yet; else the candidates without
        an explanation come back as failed, with the exception as the reason. The host's ranking is untouched.
    """


@hookspec
def attach_explanations(ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
    """Put finished explanations where reviewers find them.

    The host writes them on its match-review records; third parties look at them, send them on or count them.

    Called:
        By the host through `ReviewManager.attach`, once all candidates are done. Every plugin is called.
    Args:
        ranked_query: the query and its candidates.
        explanations: one for each candidate, in rank order.
    Returns:
        Nothing is expected.
    None:
        The usual answer.
    Failure:
        Recorded and handed back by `ReviewManager.attach`; the other plugins are called.
    """


@hookspec
def explanation_finished(ranked_query: RankedQuery, candidate: Candidate, explanation: Explanation) -> None:
    """See one explanation as soon as it is ready or partly ready.

    Called:
        By the manager, in the thread that explains, when the explaining plugin yields the explanation or
        calls `review.notify_finished`; once for a candidate. Every plugin is called, and holds the next
        candidate up while it works.
    Args:
        ranked_query: the query that is being explained.
        candidate: the candidate that is done.
        explanation: what came of it, status ``ready`` or ``partial``.
    Returns:
        Nothing is expected.
    None:
        The usual answer.
    Failure:
        Recorded; the explanation and the other plugins are not touched.
    """


@hookspec
def explanation_failed(ranked_query: RankedQuery, candidate: Candidate, failure: Failure) -> None:
    """See that one candidate goes without an explanation, and why.

    Called:
        By the manager, in the thread that explains, when the explaining plugin yields a failed or unsupported
        explanation or calls `review.notify_failed`, and for each candidate that nobody explained; once for a
        candidate. Every plugin is called.
    Args:
        ranked_query: the query that is being explained.
        candidate: the candidate; it keeps its rank and score.
        failure: the reason.
    Returns:
        Nothing is expected.
    None:
        The usual answer.
    Failure:
        Recorded; the other plugins are called.
    """
