"""Loaded networks of one process of the host: each read once from its file, and shared with the host.

The host reads a network's file whenever it needs the network, or only its address. While a query with the flag on
runs, the file is read once and the network is kept; while the flag is off, the host's own function runs as ever.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from .seams import harmless

__all__ = ["SharedModels"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class SharedModels:
    """Keeps the networks that were loaded last; threads may share it.

    Attributes:
        n_loads: how often a network was read from its file by :meth:`keeping`'s function.
        n_shared: how often a kept one was handed out instead.

    Args:
        max_models: how many networks are kept; the one not used for longest goes first. A species has one, and
            many species share one.
    """

    def __init__(self, max_models: int = 4) -> None:
        self.n_loads = self.n_shared = 0
        self._max_models = max_models
        self._networks: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._companions: dict[int, dict[Hashable, Any]] = {}  # by identity of a kept network, then by purpose
        self._lock = threading.RLock()
        self._here = threading.local()

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Within this context, in this thread, the host is handed kept networks."""
        before = getattr(self._here, "sharing", False)
        self._here.sharing = True
        try:
            yield
        finally:
            self._here.sharing = before

    def keeping(self, get_model: Callable[..., Any], has_cuda: Callable[[], bool]) -> Callable[..., Any]:
        """Wrap the host's ``get_model(config, checkpoint_path, use_gpu=True)``.

        Within :meth:`sharing` a network that was read before is returned instead of read again, in evaluation mode,
        as long as its file is the same. On a machine without CUDA the host's wish for it is overruled, since moving
        the network there fails: that is what makes such a host work at all.
        """
        parameters = inspect.signature(get_model).parameters
        open_ended = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values())
        takes_gpu = "use_gpu" in parameters or open_ended

        def model(config: Any, checkpoint_path: Any = None, *args: Any, **kwargs: Any) -> Any:
            if takes_gpu and not args and not has_cuda():
                kwargs["use_gpu"] = False
            sharing = getattr(self._here, "sharing", False)
            key = harmless("recognising a network", _key, config, checkpoint_path, args, kwargs) if sharing else None
            if key is None:
                with self._lock:
                    self.n_loads += 1
                return get_model(config, checkpoint_path, *args, **kwargs)
            with self._lock:
                if key in self._networks:
                    self.n_shared += 1
                    self._networks.move_to_end(key)
                    return self._networks[key]
                self.n_loads += 1
                network = get_model(config, checkpoint_path, *args, **kwargs).eval()
                self._networks[key] = network
                while len(self._networks) > self._max_models:
                    _, oldest = self._networks.popitem(last=False)
                    self._companions.pop(id(oldest), None)
                logger.info("read the network %s; %d are kept", checkpoint_path, len(self._networks))
                return network

        return model

    def companion(self, network: Any, make: Callable[[], T], purpose: Hashable = None) -> T:
        """Return what `make` makes of a network; of a kept network, what was made of it the first time.

        It may hold what is costly to find out about a network, such as the digests of its weights.

        Args:
            purpose: what else it depends on: species that share a network may show it chips of another size.
        """
        with self._lock:
            if not any(kept is network for kept in self._networks.values()):
                return make()
            made = self._companions.setdefault(id(network), {})
            if purpose not in made:
                made[purpose] = make()
            found: T = made[purpose]
            return found

    def file_of(self, network: Any) -> dict[str, Any] | None:
        """Return the file that a kept network was read from, with its size and time of change then."""
        with self._lock:
            for (path, changed, size, *_), kept in self._networks.items():
                if kept is network:
                    return {"path": path, "mtime_ns": changed, "size": size}
        return None

    def close(self) -> None:
        """Let go of all networks."""
        with self._lock:
            self._networks.clear()
            self._companions.clear()


def _key(config: Any, path: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What decides which network comes out: the file as it is now, and how it is built and placed."""
    try:
        status = os.stat(path)
        file = (os.path.realpath(path), status.st_mtime_ns, status.st_size)
    except (OSError, TypeError, ValueError):
        file = (str(path), 0, 0)
    parameters = getattr(config, "model_params", None)
    return (*file, repr(parameters), repr(args), repr(sorted(kwargs.items())))
