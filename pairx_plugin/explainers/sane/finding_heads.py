"""Which attribute head belongs to a network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ...errors import PairXError, SettingsError
from ...evidence import Doubt
from ...models.embedding import EmbeddingModel
from .attribute_head import HEAD_FILE, AttributeHead, read_head

__all__ = ["find_head"]

_SAMPLE_PACKAGE = "pairx_sample_data"


def find_head(model: EmbeddingModel, wanted: str) -> tuple[AttributeHead | None, tuple[Doubt, ...]]:
    """Return the head to use, and what a reader should know where there is none.

    Args:
        model: the network; a head fits where it was fitted on these very weights and this preprocessing.
        wanted: path of a head; empty to look beside the model's checkpoint and in the sample data; ``without`` for
            none.

    Raises:
        SettingsError: the head that was asked for is missing, or was fitted on another network.
        ModelError: the head that was asked for is damaged.
    """
    if wanted == "without":
        return None, ()
    fingerprint = model.fingerprint()
    if wanted:
        head = read_head(Path(wanted).expanduser())
        if head.model_sha256 != fingerprint:
            raise SettingsError(
                f"the attribute head {wanted!r} was fitted on the network {head.model_sha256[:19]}, and this one is "
                f"{fingerprint[:19]}; train one with `pairx-plugin train-attributes`"
            )
        return head, ()
    others = 0
    for path in _places(model):
        try:
            head = read_head(path)
        except PairXError:
            continue  # a file that nobody asked for must not stop an explanation
        if head.model_sha256 == fingerprint:
            return head, ()
        others += path.parent != _sample_folder()
    message = "no attribute head belongs to this network, so the places that count are shown without names"
    if others:
        message = "the attribute head beside the checkpoint was fitted on another network, so it was left out"
    return None, (Doubt(code="HEAD_OF_ANOTHER_MODEL" if others else "NO_ATTRIBUTE_HEAD", message=message),)


def _places(model: EmbeddingModel) -> Iterator[Path]:
    named = Path(model.model_id).expanduser() if model.model_id else None
    sample = _sample_folder()
    for folder in (named, named.parent if named is not None and named.is_file() else None, sample):
        if folder is not None and (folder / HEAD_FILE).is_file():
            yield folder / HEAD_FILE


def _sample_folder() -> Path | None:
    spec = find_spec(_SAMPLE_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) / "checkpoint" if places else None
