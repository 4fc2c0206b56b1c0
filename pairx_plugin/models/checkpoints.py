"""Reading weights: files of several layouts into the network that they belong to."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, ModelNotFound
from .checks import cause_of
from .optional import import_optional

PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
SUFFIXES = (".safetensors", *PICKLED_SUFFIXES)

StateDict = dict[str, torch.Tensor]

_MAGIC = (b"PK", b"\x80\x02")  # a zip archive, or the bare pickle that torch wrote before 1.6

_POINTER = b"version https://git-lfs"

_NESTS = ("model_state_dict", "state_dict", "model", "network")
_PREFIXES = ("module.", "model.", "_orig_mod.", "network.")
# What training leaves beside the embedding: classifiers of the backbone, ArcFace centres, averaging counters.
_HEADS = re.compile(
    r"^(?:(?:backbone\.)?(?:classifier|fc|heads?|last_linear)|final|arc\w*|margin|metric|criterion|loss\w*)\."
    r"|^n_averaged$|^(?:final|arcface|margin)\w*$"
)


def read_state_dict(path: Path) -> StateDict:
    """Read the tensors of a checkpoint file, freed of nesting and of prefixes that all keys share.

    Raises:
        ModelNotFound: there is no such file.
        ModelError: it cannot be read, holds no tensors, or is a pickle with other objects than tensors.
        MissingExtra: it is a safetensors file, and the package is missing.
    """
    if not path.is_file():
        raise ModelNotFound(
            f"there is no checkpoint file {str(path)!r}; give the path of a {' or '.join(SUFFIXES)} file"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(
            f"checkpoint {path.name!r} must end in one of {', '.join(SUFFIXES)}, got {path.suffix!r}"
        )
    raw = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickled(path)
    return _without_prefixes(_unnested(raw, path))


def load_state_dict(
    network: nn.Module, state: StateDict, *, source: str, advice: Callable[[], str] | None = None
) -> list[str]:
    """Load weights in place and return the names of the head's tensors that were left out.

    Args:
        network: takes the values in its own dtype.
        state: from :func:`read_state_dict`.
        source: the file's name, for messages.
        advice: tells what else would fit; called for the message of a mismatch only.

    Raises:
        ModelError: tensors are missing, of another shape, unknown, or not finite.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    others = [key for key in own if key in state and own[key].shape != state[key].shape]
    extra = [key for key in state if key not in own]
    strangers = [key for key in extra if not _HEADS.match(key)]
    problems = [
        *([f"{len(missing)} of {len(own)} tensors are missing ({_first(missing)})"] if missing else []),
        *([f"{len(others)} have another shape ({_first(_shapes(others, own, state))})"] if others else []),
        *([f"{len(strangers)} are unknown ({_first(strangers)})"] if strangers else []),
    ]
    if problems:
        raise ModelError(
            f"checkpoint {source!r} does not fit {_name(network)}: {'; '.join(problems)}"
            + (f"; {advice()}" if advice else "")
        )
    fitting = {key: state[key] for key in own if key in state}
    broken = [key for key, value in fitting.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelError(
            f"checkpoint {source!r} holds NaN or infinity in {_first(broken)}; it is damaged, get it again"
        )
    network.load_state_dict(fitting, strict=False)
    return [key for key in extra if key not in strangers]


def share_fitting(shapes: Mapping[str, tuple[int, ...]], state: StateDict) -> float:
    """Share of a network's tensors, 0..1, that a checkpoint holds in their shapes; 0 with unknown ones."""
    if any(key not in shapes and not _HEADS.match(key) for key in state):
        return 0.0
    counted = [key for key in shapes if not key.endswith("num_batches_tracked")]
    fitting = sum(key in state and tuple(state[key].shape) == shapes[key] for key in counted)
    return fitting / max(len(counted), 1)


def _read_safetensors(path: Path) -> Any:
    safetensors = import_optional("safetensors", extra="models", purpose=f"the checkpoint {path.name!r}")
    reader = import_optional("safetensors.torch", extra="models", purpose=f"the checkpoint {path.name!r}")
    try:
        return reader.load_file(str(path))
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _read_pickled(path: Path) -> Any:
    if "weights_only" not in inspect.signature(torch.load).parameters:
        raise ModelError(
            f"torch {torch.__version__} cannot read {path.name!r} without running code from it; "
            f"convert it to safetensors, or use torch 1.13 or newer"
        )
    try:
        with path.open("rb") as file:
            if file.read(2) not in _MAGIC:
                raise ValueError("it is no file of torch.save()")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        # The restricted reader names itself ("Weights only load failed"); torch 1.13's names what it met.
        if re.search(r"weights.only|unsupported (class|global|operand|type)", str(error), re.IGNORECASE):
            raise ModelError(
                f"checkpoint {path.name!r} holds other objects than tensors, which torch {torch.__version__} "
                "refuses since they can run code; save weights alone: torch.save(model.state_dict(), PATH)"
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            return ModelError(
                f"checkpoint {path.name!r} is a pointer of Git LFS, not the weights; fetch them with `git lfs pull`, "
                f"or download the file itself"
            )
    cause = cause_of(error)
    return ModelError(f"checkpoint {path.name!r} cannot be read ({cause}); it may be truncated: get it again")


def _unnested(raw: Any, path: Path) -> StateDict:
    for nest in _NESTS:
        if isinstance(raw, Mapping) and isinstance(raw.get(nest), Mapping):
            raw = raw[nest]
    if not isinstance(raw, Mapping):
        raise ModelError(
            f"checkpoint {path.name!r} holds a {type(raw).__name__}, not a state dict; "
            f"save the weights alone: torch.save(model.state_dict(), PATH)"
        )
    tensors = {str(key): value for key, value in raw.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ModelError(
            f"checkpoint {path.name!r} holds no tensors under its keys {[str(key) for key in raw][:6]}; "
            f"weights are looked for at the top and under {', '.join(_NESTS)}"
        )
    return tensors


def _without_prefixes(state: StateDict) -> StateDict:
    while True:
        weights = [key for key in state if not _HEADS.match(key)]
        shared = next((prefix for prefix in _PREFIXES if all(k.startswith(prefix) for k in weights)), None)
        if shared is None or not weights:
            return state
        state = {key[len(shared):] if key.startswith(shared) else key: value for key, value in state.items()}


def _shapes(keys: list[str], own: Mapping[str, torch.Tensor], state: StateDict) -> list[str]:
    return [f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}" for key in keys]


def _first(names: list[str], n: int = 3) -> str:
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def _name(network: nn.Module) -> str:
    backbone = getattr(network, "model_name", "")
    return f"{type(network).__name__} with the backbone {backbone!r}" if backbone else type(network).__name__
