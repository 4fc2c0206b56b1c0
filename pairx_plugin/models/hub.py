"""Models that bring their own code: repositories on the Hugging Face hub, and folders of their layout."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import ModelError, ModelNotFound
from .checks import cause_of
from .optional import import_optional

# Their exceptions share no builtin: httpx's are not OSErrors, requests' are.
_NETWORK_PACKAGES = ("httpx", "httpcore", "requests", "urllib3", "huggingface_hub", "socket", "ssl")


def load_from_hub(
    source: str, *, trust_remote_code: bool, revision: str | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Load an embedding network through transformers, which runs the repository's own Python code.

    Args:
        source: "owner/name" on the hub, or the path of a folder with ``config.json`` and code.
        trust_remote_code: the caller's consent to running that code.
        revision: branch, tag or commit; the default branch when None.

    Returns:
        The network in evaluation mode, and the settings for EmbeddingModel that its configuration holds.

    Raises:
        ModelError: consent is missing, or the code or the weights do not load.
        ModelNotFound: the repository could not be fetched.
        MissingExtra: transformers cannot be imported.
    """
    if trust_remote_code is not True:
        raise ModelError(
            f"{source!r} brings its own Python code, which loading it would run on this machine, and "
            f"trust_remote_code is {trust_remote_code!r}. To load MiewID weights without foreign code, download its "
            "config.json and model.safetensors into a folder and give the folder's path as the model. If you trust "
            "its authors, consent: --model-option trust_remote_code=true on the command line, trust_remote_code = "
            "true beside the model's 'source' in a service's configuration, trust_remote_code=True in Python"
        )
    transformers = import_optional("transformers", extra="miewid", purpose=f"the model {source!r}")
    options = {"revision": revision} if revision else {}
    try:
        network = transformers.AutoModel.from_pretrained(source, trust_remote_code=True, **options)
    except Exception as error:  # transformers, the network and the repository's code all have their own
        raise _loading_error(source, error) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{source!r} loaded as {type(network).__name__}, which is no torch.nn.Module; give another model"
        )
    return network.eval(), _settings(getattr(network, "config", None))


def _settings(config: Any) -> dict[str, Any]:
    size = getattr(config, "image_size", None)
    if isinstance(size, int) and not isinstance(size, bool):
        return {"input_size": (size, size)}
    if isinstance(size, (tuple, list)) and len(size) == 2:
        return {"input_size": tuple(size)}
    return {}


def was_not_fetched(error: Exception) -> bool:
    """Return whether a loader of transformers failed because the repository could not be had."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _NETWORK_PACKAGES


def _loading_error(source: str, error: Exception) -> ModelError:
    cause = cause_of(error)
    if was_not_fetched(error):
        return ModelNotFound(
            f"{source!r} could not be fetched ({cause}); check the name and the connection, or download its "
            "config.json and model.safetensors into a folder and give the folder's path"
        )
    return ModelError(
        f"{source!r} could not be loaded by the code it brings ({cause}); that code may need other versions "
        "of transformers and timm. Its config.json and model.safetensors in a folder load without that code"
    )
