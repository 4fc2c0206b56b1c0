"""The contract between hosts that rank animals and plugins that explain the ranking.

A host ranks candidates for a query photograph, as ever, and then asks::

    manager = build_manager(my_host_plugin)                 # finds installed plugins, adds the host's own
    explanations = manager.explain(ranked_query, ExplanationRequest(explainer="pairx", top_k=5))
    manager.attach(ranked_query, explanations)              # each plugin's attach_explanations gets them

A plugin is a module or an object with functions marked ``@hookimpl``; :mod:`pairx_hooks.hookspecs` lists the
hooks. What travels is a frozen record that goes to JSON and back; a model or a chip is an opaque object. One
plugin's failure is recorded in ``manager.failures`` and reaches neither the host nor another plugin: every
candidate comes back with an explanation that is ready, or says why it is not. Nothing here needs torch, NumPy
or OpenCV.
"""

from .base import Record
from .discovery import PluginDescription
from .errors import (
    HookCallError,
    HookValidationError,
    OwnFailure,
    PluginLoadError,
    PluginNameError,
    RecordError,
    ReviewHookError,
)
from .failures import PluginFailure
from .manager import ReviewManager, build_manager
from .markers import ENTRY_POINT_GROUP, PROJECT_NAME, hookimpl, hookspec
from .records import (
    Annotation,
    Artifact,
    Candidate,
    ExplainerEntry,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    Status,
)

__all__ = [
    "Annotation",
    "Artifact",
    "Candidate",
    "ENTRY_POINT_GROUP",
    "ExplainerEntry",
    "Explanation",
    "ExplanationRequest",
    "Failure",
    "HookCallError",
    "HookValidationError",
    "OwnFailure",
    "PROJECT_NAME",
    "PluginDescription",
    "PluginFailure",
    "PluginLoadError",
    "PluginNameError",
    "RankedQuery",
    "Record",
    "RecordError",
    "ReviewHookError",
    "ReviewManager",
    "Status",
    "build_manager",
    "hookimpl",
    "hookspec",
]
