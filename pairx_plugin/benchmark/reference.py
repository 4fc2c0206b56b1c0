"""The public PAIR-X, WildMeOrg/pairx, called as its users call it and watched from outside.

It is not a dependency: it is used where it is importable or where its checkout is named, and never changed on disk. It
changes the networks that it is given, so it gets copies, and it prints and warns, which is kept from the caller.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import MissingExtra, SettingsError
from .clock import wait_for

__all__ = ["PublicCode", "PublicRun", "find_public_code"]

_PACKAGE = "pairx"
# What each of its functions does, by the stages that we tell apart. What is left of a call is called "other": of its
# own steps that is the gradient of the cosine through both forward passes.
_STAGES = {
    "get_intermediate_feature_maps_and_embedding": "forward",
    "get_intermediate_relevances": "relevance",
    "get_feature_matches": "matching",
    "get_pixel_relevances": "pixels",
    "draw_matches_and_color_maps": "rendering",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class PublicRun:
    """One call of the public ``explain``.

    Attributes:
        seconds: of the whole call, pictures included.
        evidence_seconds: of its ``pairx``, which draws nothing.
        stages: seconds by stage; with ``other`` they add up to `seconds`.
        layer: what its ``pairx`` returned for the layer, see :meth:`.exactness.Found.of_public`.
        pictures: what ``explain`` returned.
    """

    seconds: float
    evidence_seconds: float
    stages: dict[str, float]
    layer: dict[str, Any]
    pictures: list[NDArray[np.uint8]]


def find_public_code(path: Path | None) -> PublicCode | None:
    """Import the public code.

    Args:
        path: its checkout, the ``src`` folder in it, or the package's folder; the importable package where none is
            given.

    Returns:
        None where no path is given and no such package is importable.

    Raises:
        SettingsError: there is no such package at `path`, or it is another one of that name.
        MissingExtra: a package that it needs cannot be imported.
    """
    folder = _installed() if path is None else _folder(path)
    if folder is None:
        return None
    try:
        with _quiet():
            core = _imported(folder)
    except ImportError as error:
        package = error.name or "an unknown package"
        raise MissingExtra(package, extra="sample", purpose=f"the public PAIR-X in {folder}", cause=error) from error
    missing = [name for name in (*_STAGES, "pairx", "explain") if not callable(getattr(core, name, None))]
    if missing:
        raise SettingsError(
            f"the package in {folder} has no {', '.join(missing)} in core.py, so it is not WildMeOrg/pairx as of "
            f"124f2bf; give --reference the folder of such a checkout"
        )
    return PublicCode(core, folder)


class PublicCode:
    """The public code, imported.

    Args:
        core: its module ``pairx.core``.
        folder: where its package is.
    """

    def __init__(self, core: Any, folder: Path) -> None:
        self._core, self.folder = core, folder

    def to_json(self) -> dict[str, str]:
        """Return where it is and the digest of its ``core.py``, which tells versions apart."""
        digest = hashlib.sha256((self.folder / "core.py").read_bytes()).hexdigest()
        return {"folder": str(self.folder), "core_sha256": digest}

    def explain(
        self,
        tensors: tuple[torch.Tensor, torch.Tensor],
        pictures: tuple[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]],
        network: nn.Module,
        layer: str,
        *,
        k_lines: int,
        k_colors: int,
    ) -> PublicRun:
        """Call its ``explain`` and measure it.

        Args:
            tensors: both sides' (B, 3, H, W) preprocessed images; copies of them are used.
            pictures: both sides' B pictures (H, W, 3) uint8 RGB.
            network: a copy that nobody else needs: hooks come and go, gradients stay.
            layer: key of the layer.
        """
        device = tensors[0].device
        if not hasattr(network, "device"):
            network.device = device  # type: ignore[assignment]  # the public code asks every network for it
        copies = [tensor.clone() for tensor in tensors]
        with _quiet(), self._watched(device) as watch:
            wait_for(device)
            started = time.perf_counter()
            drawn = self._core.explain(*copies, *map(list, pictures), network, [layer], k_lines, k_colors)
            wait_for(device)
            seconds = time.perf_counter() - started
        stages = {**watch.seconds, "other": max(0.0, seconds - sum(watch.seconds.values()))}
        return PublicRun(
            seconds=seconds,
            evidence_seconds=watch.evidence_seconds,
            stages=stages,
            layer=watch.result[layer],
            pictures=list(drawn),
        )

    @contextlib.contextmanager
    def _watched(self, device: torch.device) -> Iterator[_Watch]:
        """Measure the functions of the module while the block runs, and put them back."""
        watch, core = _Watch(device), self._core
        names = (*_STAGES, "pairx")
        originals = {name: getattr(core, name) for name in names}
        try:
            for name, stage in _STAGES.items():
                setattr(core, name, watch.around(originals[name], stage))
            core.pairx = watch.keeping(originals["pairx"])
            yield watch
        finally:
            for name, original in originals.items():
                setattr(core, name, original)


class _Watch:
    """Seconds by stage of a call from outside; a stage within another one counts for the outer."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._inside = device, False
        self.seconds: dict[str, float] = dict.fromkeys(_STAGES.values(), 0.0)
        self.evidence_seconds = 0.0
        self.result: dict[str, Any] = {}

    def around(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            try:
                seconds, result = self._timed(function, args, kwargs)
            finally:
                self._inside = False
            self.seconds[stage] += seconds
            return result

        return measured

    def keeping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            self.evidence_seconds, self.result = self._timed(function, args, kwargs)
            return self.result

        return measured

    def _timed(self, function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[float, Any]:
        wait_for(self._device)
        started = time.perf_counter()
        result = function(*args, **kwargs)
        wait_for(self._device)
        return time.perf_counter() - started, result


def _installed() -> Path | None:
    try:
        spec = find_spec(_PACKAGE)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    folders = [Path(place) for place in places if (Path(place) / "core.py").is_file()]
    return folders[0] if folders else None


def _folder(path: Path) -> Path:
    places = [path / "src" / _PACKAGE, path / _PACKAGE, path]
    for place in places:
        if (place / "core.py").is_file():
            return place
    raise SettingsError(
        f"--reference {str(path)!r} holds no package '{_PACKAGE}' with a core.py; give the folder of a checkout of "
        f"WildMeOrg/pairx"
    )


def _imported(folder: Path) -> Any:
    """Import ``core`` from `folder` without the package's ``__init__``, which wants packages that are not needed here.

    The modules are taken out of `sys.modules` again, so that whatever the process calls ``pairx`` stays what it was.
    """
    path, had = list(sys.path), {name: module for name, module in sys.modules.items() if _is_its_own(name)}
    for name in had:
        del sys.modules[name]
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    try:
        sys.modules[_PACKAGE] = package
        return importlib.import_module(f"{_PACKAGE}.core")
    finally:
        sys.path[:] = path  # it appends its own folder
        for name in [name for name in sys.modules if _is_its_own(name)]:
            del sys.modules[name]
        sys.modules.update(had)


def _is_its_own(name: str) -> bool:
    return name.partition(".")[0] in (_PACKAGE, "canonizers")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the public code prints and warns of from the standard output, which may be a script's."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
