"""The manager: what a host and the explaining plugin hold in their hands."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from .answers import Answers
from .discovery import PluginDescription
from .errors import RecordError
from .failures import PluginFailure
from .reasons import left_out, nobody_answered, raised
from .records import (
    Annotation,
    Candidate,
    ExplainerEntry,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
)
from .registry import PluginRegistry
from .values import shown

if TYPE_CHECKING:
    from pluggy import HookImpl

__all__ = ["ReviewManager", "build_manager"]


def build_manager(*plugins: object, entry_points: bool = True, blocked: Sequence[str] = ()) -> ReviewManager:
    """Build a manager with the installed plugins and the host's own.

    As in pluggy, the plugin that was registered last is asked first: so the host's own before the installed
    ones, unless an implementation is marked ``tryfirst`` or ``trylast``.

    Args:
        plugins: modules or objects of the host, registered in this order.
        entry_points: also load the plugins that installed distributions name in the group ``match_review``.
            One that cannot be loaded is recorded in `failures` and passed over.
        blocked: names of plugins that are neither loaded nor registered.

    Raises:
        HookValidationError: one of `plugins` implements a hook wrongly.
        PluginNameError: one of `plugins` is blocked.
    """
    manager = ReviewManager(blocked=blocked)
    if entry_points:
        manager.load_entry_points()
    for plugin in plugins:
        manager.register(plugin)
    return manager


class ReviewManager:
    """Asks plugins, one by one, and keeps each one's failure from the host and from the others.

    Threads may share it. KeyboardInterrupt and its like pass; SystemExit of a plugin does not end the host.

    Args:
        blocked: names of plugins that are neither loaded nor registered.
        n_failures: how many failures are kept.
    """

    def __init__(self, *, blocked: Sequence[str] = (), n_failures: int = 200) -> None:
        self._registry = PluginRegistry(blocked=blocked, n_failures=n_failures)
        self._explainers: dict[str, tuple[str, ExplainerEntry]] = {}  # id -> (plugin, entry)
        self._collected: set[str] = set()  # plugins whose explainers are in
        self._running: dict[int, Answers] = {}  # by identity of a ranked query that is being explained
        self._lock = threading.RLock()

    def register(self, plugin: object, name: str | None = None) -> str:
        """Register a module or object and return its name; one that is registered already keeps its name.

        Raises:
            HookValidationError: it implements a hook that does not exist, or wrongly, or none at all.
            PluginNameError: `name` is taken or blocked, or the plugin has another name already.
        """
        return self._registry.register(plugin, name)

    def load_entry_points(self) -> None:
        """Load and register the plugins of installed distributions; record and pass over those that fail."""
        self._registry.load_entry_points()

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """The latest failures of plugins, oldest first."""
        return self._registry.failures.all()

    def describe(self) -> list[PluginDescription]:
        """Return what each plugin provides, in the order of registration; those not loaded come last."""
        with self._lock:
            self.explainers()
            owned = {
                name: tuple(item for item, (owner, _) in self._explainers.items() if owner == name)
                for name in self._registry.names()
            }
        found = [
            dataclasses.replace(self._registry.describe(name), explainers=ids) for name, ids in owned.items()
        ]
        return found + self._registry.not_loaded

    def embedding_model(self, model_id: str) -> Any | None:
        """Return the model of that id from the first plugin that has it; None where none has.

        Raises:
            HookCallError: none has it, and at least one failed while it looked; or it is the one's that failed.
        """
        return self._registry.first("provide_embedding_model", f"no model '{model_id}'", model_id=model_id)

    def chip(self, annotation: Annotation) -> Any | None:
        """Return the chip of an annotation from the first plugin that can cut it; None where none can.

        Raises:
            HookCallError: none can, and at least one failed while it tried; or it is the one's that failed.
        """
        subject = f"no chip of annotation '{annotation.annotation_id}'"
        return self._registry.first("load_chip", subject, annotation=annotation)

    def explainers(self) -> dict[str, ExplainerEntry]:
        """Return the registered explainers by id; an id belongs to the plugin that was registered first."""
        with self._lock:
            for name in self._registry.names():
                if name not in self._collected:
                    self._collected.add(name)
                    self._collect_explainers(name)
            return {explainer_id: entry for explainer_id, (_, entry) in self._explainers.items()}

    def explain(self, ranked_query: RankedQuery, request: ExplanationRequest) -> tuple[Explanation, ...]:
        """Return exactly one explanation for each candidate, in rank order, whatever plugins do.

        Candidates that no plugin explained come back as failed, with the reason; those behind `request.top_k`
        as skipped.

        Raises:
            RecordError: an argument is no RankedQuery or no ExplanationRequest.
        """
        _expect("explain", ranked_query, RankedQuery)
        _expect("explain", request, ExplanationRequest)
        query = copy.copy(ranked_query)  # an identity of its own: two threads may explain the same object
        answers = Answers(query, request)
        if not answers.missing():
            return answers.complete()
        self._running[id(query)] = answers
        try:
            reason = self._collect_answers(answers, query, request)
        finally:
            del self._running[id(query)]
        for candidate in answers.missing():
            self._registry.every(
                "explanation_failed", ranked_query=query, candidate=candidate, failure=reason
            )
        return answers.complete(reason)

    def attach(
        self, ranked_query: RankedQuery, explanations: Sequence[Explanation]
    ) -> tuple[PluginFailure, ...]:
        """Hand finished explanations to every plugin; return the failures of those that raised."""
        return self._registry.every(
            "attach_explanations", ranked_query=ranked_query, explanations=tuple(explanations)
        )

    def notify_finished(
        self, ranked_query: RankedQuery, candidate: Candidate, explanation: Explanation
    ) -> None:
        """Tell observers that one candidate is ready.

        A plugin whose `explain_ranked_query` is a generator need not: what it yields is announced. While a
        query is being explained, observers hear of each candidate once.

        Raises:
            RecordError: the explanation belongs to no candidate of the query that is being explained.
        """
        _expect("notify_finished", explanation, Explanation)
        if self._is_news(ranked_query, explanation):
            self._registry.every(
                "explanation_finished",
                ranked_query=ranked_query,
                candidate=candidate,
                explanation=explanation,
            )

    def notify_failed(self, ranked_query: RankedQuery, candidate: Candidate, failure: Failure) -> None:
        """Tell observers that a candidate goes without an explanation; else as :meth:`notify_finished`."""
        _expect("notify_failed", failure, Failure)
        answers = self._running.get(id(ranked_query))
        if answers is None or self._is_news(ranked_query, answers.failed(candidate, failure)):
            self._registry.every(
                "explanation_failed", ranked_query=ranked_query, candidate=candidate, failure=failure
            )

    def _is_news(self, ranked_query: RankedQuery, explanation: Explanation) -> bool:
        answers = self._running.get(id(ranked_query))
        if answers is None:
            return True
        problem = answers.misfit(explanation)
        if problem:
            raise RecordError(f"a plugin {problem}")
        return answers.announce(explanation)

    def _collect_answers(self, answers: Answers, query: RankedQuery, request: ExplanationRequest) -> Failure:
        """Ask plugins until one gives something; return why candidates without an explanation have none."""
        reason: Failure | None = None
        asked = self._registry.implementations("explain_ranked_query")
        for implementation in asked:
            latest = self._take_answers(implementation, answers, query, request)
            if answers.begun:
                return latest or left_out(implementation.plugin_name)
            reason = reason or latest
        return reason or nobody_answered(
            asked=[item.plugin_name for item in asked],
            not_loaded=[item.name for item in self._registry.not_loaded],
            explainer=request.explainer,
            explainers=self.explainers(),
        )

    def _take_answers(
        self, implementation: HookImpl, answers: Answers, query: RankedQuery, request: ExplanationRequest
    ) -> Failure | None:
        """Take what one plugin gives; return why the rest is missing, None where it gave nothing at all."""
        hook, plugin = "explain_ranked_query", implementation.plugin_name
        arguments = {"ranked_query": query, "request": request, "review": self}
        enough = 2 * len(query.candidates) + 1  # a plugin that never ends must not hold the host
        reason: Failure | None = None
        for item, error in islice(self._registry.items(implementation, hook, arguments), enough):
            if error is not None:
                return raised(plugin, error)
            reason = left_out(plugin)
            problem = answers.misfit(item) or answers.give(item)
            if problem:
                self._registry.failures.add(plugin, hook, problem)
            elif item.status.usable:
                self.notify_finished(query, answers.candidate(item.rank), item)
            elif item.status.failed:
                self.notify_failed(query, answers.candidate(item.rank), item.failure)
        n_missing, n = len(answers.missing()), len(query.candidates[: request.top_k])
        if n_missing and (reason or answers.begun):
            problem = f"left {n_missing} of {n} candidates of query '{query.query_id}' without an explanation"
            self._registry.failures.add(plugin, hook, problem)
        return reason

    def _collect_explainers(self, plugin: str) -> None:
        hook = "register_explainers"
        for implementation in self._registry.implementations(hook):
            if implementation.plugin_name != plugin:
                continue
            for entry, error in self._registry.items(implementation, hook, {}):
                problem = "" if error is not None else self._refuse_entry(entry)
                if problem:
                    self._registry.failures.add(plugin, hook, problem)
                elif error is None:
                    self._explainers[entry.explainer_id] = (plugin, entry)

    def _refuse_entry(self, entry: object) -> str:
        if not isinstance(entry, ExplainerEntry):
            return f"gave a {type(entry).__name__} in place of an ExplainerEntry: {shown(entry)}"
        if entry.explainer_id in self._explainers:
            owner = self._explainers[entry.explainer_id][0]
            return f"the explainer id '{entry.explainer_id}' belongs to plugin '{owner}'; choose another id"
        return ""


def _expect(method: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise RecordError(
            f"{method} needs a record {kind.__name__}, not {type(value).__name__} {shown(value)}"
        )
