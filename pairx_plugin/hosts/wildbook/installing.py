"""Attaches the plugin to Wildbook IA's MiewID plugin in this process, once, and says what it attached."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from ...errors import HostError, HostUnavailable
from ...installed import plugin_version
from .answers import AnswerCollector
from .arguments import argument_options
from .graph import with_our_answers
from .options import server_options
from .parameters import with_our_parameters, with_our_values
from .pictures import with_our_pictures
from .review_mount import ReviewMount
from .routes import register_routes
from .seams import attach, attached, detach
from .shared_models import SharedModels
from .stage import RankingStage

__all__ = ["Installation", "PLUGIN_MODULE", "imported", "install"]

logger = logging.getLogger(__name__)

PLUGIN_MODULE = "wbia_miew_id._plugin"
_HERE = "__pairx_installation__"
_lock = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What is attached in this process.

    Attributes:
        host: the host's name and version.
        plugin: the MiewID plugin's module and file.
        attached: what was replaced or added, as dotted names and rules.
        missing: what this host does not have, and what follows from it.
        server: the server-wide defaults, as they were read when this was attached.
        review: the review page, once somebody has asked for it.
        models: the networks that are kept.
    """

    host: str
    plugin: str
    attached: tuple[str, ...]
    missing: tuple[str, ...] = ()
    server: Mapping[str, str] = field(default_factory=dict)
    review: ReviewMount = field(repr=False, compare=False)
    models: SharedModels = field(repr=False, compare=False, default_factory=SharedModels)
    collector: AnswerCollector = field(repr=False, compare=False, default_factory=AnswerCollector)

    def __str__(self) -> str:
        text = f"pairx-plugin {plugin_version()} is attached to {self.host}, {self.plugin}: {', '.join(self.attached)}"
        return text + (f"; missing: {'; '.join(self.missing)}" if self.missing else "")

    def state(self) -> dict[str, Any]:
        """Return what is attached and how often networks were read, as JSON data."""
        return {
            "plugin": {"name": "pairx-plugin", "version": plugin_version()},
            "host": self.host,
            "attached_to": self.plugin,
            "attached": list(self.attached),
            "missing": list(self.missing),
            "server_options": dict(self.server),
            "process": os.getpid(),
            "n_model_loads": self.models.n_loads,
            "n_models_shared": self.models.n_shared,
        }


def install(plugin: ModuleType | None = None, *, ibs: Any = None) -> Installation:
    """Attach the plugin to the host in this process.

    Call it in every process of the host, before the first query; :mod:`.loading` does that by itself. With the flag
    ``pairx_explain`` off, the host does what it does without us, to the byte.

    Args:
        plugin: the host's MiewID plugin, where it goes by another name than ``wbia_miew_id._plugin``.
        ibs: a controller that is open already; those that are opened later know of us by themselves.

    Returns:
        What is attached; the same object for every further call.

    Raises:
        HostUnavailable: Wildbook IA or its MiewID plugin cannot be imported.
        HostError: the module has no ``MiewIdRequest`` or ``MiewIdConfig``.
    """
    with _lock:
        module = plugin if plugin is not None else imported(PLUGIN_MODULE)
        installation: Installation | None = getattr(module, _HERE, None)
        if installation is None:
            installation = _install(module)
            setattr(module, _HERE, installation)
            logger.info("%s", installation)
        if ibs is not None:
            _inject(ibs)
        return installation


def _install(module: ModuleType) -> Installation:
    for name in ("MiewIdRequest", "MiewIdConfig", "read_config_and_load_model", "_load_data"):
        if not hasattr(module, name):
            raise HostError(
                f"{module.__name__} has no '{name}', so it is no MiewID plugin that is known here; "
                f"give the module that defines the MiewId pipeline (wbia-plugin-miew-id's is {PLUGIN_MODULE})"
            )
    models, collector = SharedModels(), AnswerCollector()
    review = ReviewMount(module, models)
    seams, server = _Seams(), _server_options()
    try:
        _attach_to_plugin(seams, module, server, RankingStage(module, models, collector), models)
        _attach_to_graph(seams, collector, review)
    except BaseException:
        seams.undo()  # half a plugin would change configurations and explain nothing
        raise
    wbia = importlib.import_module("wbia")
    return Installation(
        host=f"wbia {getattr(wbia, '__version__', 'of unknown version')}",
        plugin=f"{module.__name__} ({getattr(module, '__file__', None) or 'no file'})",
        attached=tuple(seams.done),
        missing=tuple(seams.missing),
        server=server,
        review=review,
        models=models,
        collector=collector,
    )


def _server_options() -> dict[str, str]:
    """Return the environment's options, with those of the host's command line on top."""
    return {**server_options(), **argument_options(sys.argv[1:])}


def _attach_to_plugin(
    seams: _Seams, module: ModuleType, server: Mapping[str, str], stage: RankingStage, models: SharedModels
) -> None:
    import utool

    config, request = module.MiewIdConfig, module.MiewIdRequest
    seams.add(config, "get_param_info_list", lambda before: with_our_parameters(before, utool.ParamInfo, server))
    seams.add(request, "new", lambda before: with_our_values(before, server))
    seams.add(request, "execute", stage.around_execute)
    seams.add(request, "postprocess_execute", stage.after_scores)
    seams.add(request, "render_single_result", with_our_pictures, "match pictures stay plain")
    seams.add(
        module,
        "get_model",
        lambda before: models.keeping(before, lambda: bool(module.torch.cuda.is_available())),
        "networks are read anew for every query",
    )
    seams.add(module, "_pairx_rerank", stage.instead_of_rerank, "this plugin of the host has no re-ranking of its own")


def _attach_to_graph(seams: _Seams, collector: AnswerCollector, review: ReviewMount) -> None:
    """Put answers into the results of ``query_chips_graph``, on every path to it, and serve our routes."""
    from wbia.control import controller_inject

    apis_query = importlib.import_module("wbia.web.apis_query")
    seams.add(apis_query, "query_chips_graph", lambda before: with_our_answers(before, collector))
    _, register = controller_inject.make_ibs_register_decorator(__name__)
    register(apis_query.query_chips_graph)
    seams.done.append("IBEISController.query_chips_graph")
    try:
        seams.done.extend(register_routes(apis_query.query_chips_graph, _state, review))
    except Exception as error:  # a process without a web server needs no routes
        logger.warning("the routes of pairx-plugin are not served: %s", error)
        seams.missing.append(f"routes: {error}")
    if not review.is_possible():
        seams.missing.append("the review page (fastapi is not installed; a plain page is served in its place)")


def _state() -> dict[str, Any]:
    return install().state()


def _inject(ibs: Any) -> None:
    from wbia.control import controller_inject

    key, _ = controller_inject.make_ibs_register_decorator(__name__)
    ibs.load_plugin_module(SimpleNamespace(CLASS_INJECT_KEY=key))


def imported(name: str) -> ModuleType:
    """Import a module of the host.

    Raises:
        HostUnavailable: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:  # the host's plugins raise nearly anything while they are imported
        raise HostUnavailable(
            f"{name} cannot be imported ({type(error).__name__}: {error}); run this in the environment of Wildbook IA, "
            "with wbia-plugin-miew-id on its path"
        ) from error


class _Seams:
    """What was attached, and what could not be."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.missing: list[str] = []
        self._places: list[tuple[Any, str]] = []

    def add(
        self,
        owner: Any,
        name: str,
        make: Callable[[Callable[..., Any]], Callable[..., Any]],
        without: str | None = None,
    ) -> None:
        """Attach one seam.

        Args:
            without: what follows where the host does not have it; None where nothing works then.

        Raises:
            HostError: the host does not have it, and nothing works without.
        """
        where = f"{getattr(owner, '__name__', owner)}.{name}"
        stood = attached(owner, name)
        if attach(owner, name, make):
            self.done.append(where)
            self._places += [] if stood else [(owner, name)]
        elif without is None:
            raise HostError(f"the host has no {where}; this version of Wildbook IA or its plugin is not known here")
        else:
            self.missing.append(f"{where} ({without})")

    def undo(self) -> None:
        """Put back what these seams replaced."""
        for owner, name in self._places:
            detach(owner, name)
        self._places.clear()
