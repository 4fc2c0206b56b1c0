"""Which layer ``layers = auto`` means on one network: what confirmed pairs showed, or a stated rule without any.

Confirmed pairs are measured by :mod:`.layer_sweep`, or by the command ``pairx-plugin choose-layer``; their figures lie
in a file, which the setting ``layer_choice`` names. The file holds for the network, explainer and settings that it was
made with and for nothing else. Without a file that fits, PAIR-X takes the layer that it would take unasked
(:func:`.models.layers.suggest_layer`, or the model's own default), and every other explainer its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from .calibration import IDENTITY_PARAMS
from .errors import LayerNotFound, SettingsError
from .fitted_files import FittedFile
from .models.embedding import EmbeddingModel
from .models.layers import get_layer, suggest_layer
from .settings import AUTO_LAYER, Settings

__all__ = ["SCHEMA", "LayerFigures", "LayerFindings", "own_layer", "params_of", "settle_layers"]

logger = logging.getLogger(__name__)

SCHEMA = "pairx.layer_choice/1"
_PARAMS = (*IDENTITY_PARAMS, "composite")
_SUGGESTING = "pairx"  # the explainer whose own layer is the one that is suggested for the network


class _Explainer(Protocol):
    explainer_id: str
    version: str


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """What pairs showed at one layer.

    An *excess* is the share of the tested matches that fit one pose, beyond the most that fit it when the same points
    are paired at random; 0 where no pose could be fitted.

    Attributes:
        layer_key: name of the module.
        grid: (rows, columns) of its feature map.
        confirmed: mean excess over the individuals of confirmed pairs, in [-1, 1].
        rejected: the same of rejected pairs; None where there were too few to count.
        score: `confirmed` less `rejected`.
        gain: `score` less that of the default layer.
        gain_error: standard error of `gain` over individuals.
        seconds: mean time that the layer alone took for a pair.
    """

    layer_key: str
    grid: tuple[int, int]
    confirmed: float
    rejected: float | None
    score: float
    gain: float
    gain_error: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LayerFindings(FittedFile):
    """Which layer served best on pairs that were decided, with the figures of all that were tried.

    Attributes:
        model_sha256, explainer, explainer_version, params: what it holds for.
        layer_key: the layer of choice.
        default_layer: what would be taken without it.
        reason: why, in a sentence.
        layers: figures of every layer, in the network's order.
        n_confirmed, n_rejected, n_individuals, n_left_out: pairs, individuals of confirmed ones, and pairs that failed.
        created: ISO time.
    """

    schema, noun, command = SCHEMA, "layer choice", "choose-layer"

    model_sha256: str
    explainer: str
    explainer_version: str
    params: Mapping[str, Any]
    layer_key: str
    default_layer: str
    reason: str
    layers: tuple[LayerFigures, ...]
    n_confirmed: int
    n_rejected: int
    n_individuals: int
    n_left_out: int = 0
    created: str = ""

    def figures(self, layer_key: str) -> LayerFigures:
        """Return the figures of one of the layers."""
        return next(layer for layer in self.layers if layer.layer_key == layer_key)

    def misfit(self, model: EmbeddingModel, explainer: _Explainer, settings: Settings) -> str:
        """Return the code of what is asked for and this is not for; empty where it fits."""
        if model.fingerprint() != self.model_sha256:
            return "MODEL_DIFFERS"
        if (explainer.explainer_id, explainer.version) != (self.explainer, self.explainer_version):
            return "EXPLAINER_DIFFERS"
        return "" if params_of(settings) == dict(self.params) else "SETTINGS_DIFFER"

    @classmethod
    def _from_json(cls, data: dict[str, Any]) -> LayerFindings:
        layers = tuple(LayerFigures(**{**item, "grid": tuple(item["grid"])}) for item in data.pop("layers"))
        found = cls(**data, layers=layers)
        for key in (found.layer_key, found.default_layer):
            if key not in {layer.layer_key for layer in layers}:
                raise ValueError(f"there are no figures of the layer {key!r}")
        return found


def params_of(settings: Settings) -> dict[str, Any]:
    """Return the settings that findings hold for."""
    params = settings.to_json()
    return {name: params[name] for name in _PARAMS}


def own_layer(model: EmbeddingModel) -> tuple[str, str, str]:
    """Return the key of the layer that PAIR-X takes unasked, the code of the rule that names it, and why.

    Raises:
        ModelError: no layer of the network returns a feature map.
    """
    if model.default_layer is not None:
        return model.default_layer, "MODEL_DEFAULT", "the layer that comes with the model"
    suggested = suggest_layer(model.network, model.input_size)
    grid = f"{suggested.grid[0]} x {suggested.grid[1]} cells"
    return suggested.key, "GRID", f"{suggested.reason} among the network's stages ({grid})"


def settle_layers(model: EmbeddingModel, explainer: _Explainer, settings: Settings) -> tuple[Settings, dict[str, Any]]:
    """Return settings with a layer instead of ``auto``, and what a record's provenance says of it.

    Other settings come back as they are, with nothing to say. A file that cannot be used is said so, and the rule is
    followed: explanations go on.

    Raises:
        SettingsError: ``auto`` stands beside other layers.
        ModelError: no layer of the network returns a feature map.
    """
    if AUTO_LAYER not in settings.layers:
        return settings, {}
    if settings.layers != (AUTO_LAYER,):
        raise SettingsError(
            f"layer '{AUTO_LAYER}' must stand alone, not in {', '.join(settings.layers)}: it is one layer, which is "
            f"chosen; leave the others out, or name every layer"
        )
    findings, refused = _usable(model, explainer, settings)
    if findings is not None:
        key, rule, reason = findings.layer_key, "CONFIRMED_PAIRS", findings.reason
    elif explainer.explainer_id == _SUGGESTING:
        key, rule, reason = own_layer(model)
    else:
        key, rule, reason = "", "EXPLAINER_DEFAULT", f"the layer that '{explainer.explainer_id}' takes unasked"
    said: dict[str, Any] = {"asked": AUTO_LAYER, "layer": key or None, "rule": rule, "reason": reason}
    if findings is not None:
        said |= {"figures": asdict(findings.figures(key)), "file_sha256": findings.digest}
    if refused:
        said["file_refused"] = refused
        logger.warning("layer auto: the file of the setting layer_choice is not used: %s", refused)
    return replace(settings, layers=(key,) if key else (), layer_choice=""), {"layer_choice": said}


def _usable(
    model: EmbeddingModel, explainer: _Explainer, settings: Settings
) -> tuple[LayerFindings | None, str]:
    """Return the findings where they can be used, else why they cannot; neither where there is no file."""
    if settings.layer_choice in ("", "none"):
        return None, ""
    try:
        findings = LayerFindings.from_file(settings.layer_choice)
        misfit = findings.misfit(model, explainer, settings)
        if not misfit:
            get_layer(model.network, findings.layer_key)
    except (SettingsError, LayerNotFound) as error:
        return None, str(error)
    return (None, misfit) if misfit else (findings, "")
