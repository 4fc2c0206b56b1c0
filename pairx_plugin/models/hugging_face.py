"""Vision models that the library transformers knows itself, from the hub or a folder; no foreign code is run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import ModelError, ModelNotFound, SettingsError
from .backbones import random_state_kept
from .checks import cause_of
from .hub import was_not_fetched
from .optional import import_optional

__all__ = ["POOLINGS", "TokenEmbedding", "load_vision_model"]

POOLINGS = ("class", "mean", "pooler")


class TokenEmbedding(nn.Module):
    """A vision model of transformers as an embedding network, (B, 3, H, W) to (B, D).

    Args:
        backbone: the model; it returns an output with ``last_hidden_state``.
        pooling: ``class`` for the class token, ``mean`` for the mean of all tokens, ``pooler`` for what the model's
            own pooler makes.
    """

    def __init__(self, backbone: nn.Module, pooling: str = "class") -> None:
        super().__init__()
        self.backbone, self.pooling = backbone, pooling

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of images."""
        output = self.backbone(images)
        if self.pooling == "pooler":
            pooled: torch.Tensor = output.pooler_output
            return pooled
        tokens: torch.Tensor = output.last_hidden_state
        return tokens[:, 0] if self.pooling == "class" else tokens.mean(1)


def load_vision_model(
    source: str, *, pooling: str = "class", revision: str | None = None
) -> tuple[nn.Module, dict[str, Any], list[str]]:
    """Load a vision model whose architecture is transformers' own.

    Args:
        source: "owner/name" on the hub, or the path of a folder with ``config.json`` and weights.
        pooling: one of :data:`POOLINGS`.
        revision: branch, tag or commit; the default branch when None.

    Returns:
        The network in evaluation mode, the settings for EmbeddingModel that its image processor names, and notes.

    Raises:
        ModelError: it is no vision model, brings code of its own, lacks weights, or does not load.
        ModelNotFound: the repository could not be fetched.
        SettingsError: there is no such pooling.
        MissingExtra: transformers cannot be imported.
    """
    if pooling not in POOLINGS:
        raise SettingsError(f"model option 'pooling' must be one of {', '.join(POOLINGS)}, not {pooling!r}")
    transformers = import_optional("transformers", extra="miewid", purpose=f"the model {source!r}")
    options = {"revision": revision} if revision else {}
    network, missing = _read(transformers, source, options)
    backbone = getattr(network, "vision_model", network)  # of CLIP and its like, the half that sees
    if getattr(network, "main_input_name", "") != "pixel_values" and backbone is network:
        raise ModelError(f"{source!r} is {type(network).__name__}, which sees no images; give a vision model")
    if pooling == "pooler" and getattr(backbone, "pooler", True) is None:
        raise SettingsError(f"{source!r} has no pooler; take pooling=class or pooling=mean")
    _check_complete(source, backbone, missing, pooling)
    settings, note = _settings(transformers, source, backbone.config, options)
    notes = [f"The embedding is {_MEANINGS[pooling]}; the model option pooling has others.", *note]
    return TokenEmbedding(backbone.eval(), pooling).eval(), settings, notes


_MEANINGS = {
    "class": "the class token of the last layer",
    "mean": "the mean of all tokens of the last layer",
    "pooler": "what the model's own pooler makes of the class token",
}


def _read(transformers: Any, source: str, options: dict[str, Any]) -> tuple[Any, set[nn.Parameter]]:
    """Return the model, and those of its parameters that the weights do not have."""
    try:
        with random_state_kept():
            network, found = transformers.AutoModel.from_pretrained(
                source, trust_remote_code=False, output_loading_info=True, **options
            )
    except Exception as error:  # transformers and the hub's client have their own
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):
            raise ModelError(
                f"{source!r} brings its own Python code, which is not run for 'transformers:'; give its id without "
                f"that word, and consent by trust_remote_code=true"
            ) from error
        raise _loading_error(transformers, source, error) from error
    parameters = dict(network.named_parameters())
    return network, {parameters[key] for key in found["missing_keys"] if key in parameters}


def _loading_error(transformers: Any, source: str, error: Exception) -> ModelError:
    if was_not_fetched(error):
        return ModelNotFound(
            f"{source!r} could not be fetched ({cause_of(error)}); check the name and the connection, or download the "
            "repository into a folder and give 'transformers:' with the folder's path"
        )
    return ModelError(
        f"{source!r} could not be loaded by transformers {transformers.__version__} ({cause_of(error)}); another "
        "version of it may know this model"
    )


def _check_complete(source: str, backbone: nn.Module, missing: set[nn.Parameter], pooling: str) -> None:
    """Refuse weights that would be random: transformers draws what it does not find, and says so in its log alone."""
    used = {key: value for key, value in backbone.named_parameters() if pooling == "pooler" or "pooler." not in key}
    lacking = sorted(key for key, value in used.items() if value in missing)
    if lacking:
        way = "take pooling=class or pooling=mean" if all("pooler." in key for key in lacking) else "give others"
        raise ModelError(f"the weights of {source!r} lack {', '.join(lacking)!s:.200}, which would be random; {way}")


def _settings(
    transformers: Any, source: str, config: Any, options: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return size and normalisation as the model's image processor has them."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:  # many repositories have none
        size = _pair(getattr(config, "image_size", None))
        why = type(error).__name__
        note = f"The model has no image processor that loads ({why}); ImageNet's mean and std are used."
        return ({"input_size": size} if size else {}), [note]
    settings: dict[str, Any] = {}
    cropped = getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None)
    size = _pair(cropped or getattr(processor, "size", None)) or _pair(getattr(config, "image_size", None))
    if size:
        settings["input_size"] = size
    if not getattr(processor, "do_normalize", True):
        return {**settings, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}, []
    for name in ("mean", "std"):
        values = getattr(processor, f"image_{name}", None)
        if values is not None:
            settings[name] = tuple(float(value) for value in values)
    return settings, []


def _pair(size: Any) -> tuple[int, int] | None:
    """Return (height, width) of what transformers has for a size; None where it says none."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, (tuple, list)) and len(size) == 2:
        return int(size[0]), int(size[1])
    known = {name: getattr(size, name, None) for name in ("height", "width", "shortest_edge")}
    if hasattr(size, "get"):
        known = {name: size.get(name) for name in known}
    if known["height"] and known["width"]:
        return int(known["height"]), int(known["width"])
    return (int(known["shortest_edge"]),) * 2 if known["shortest_edge"] else None
