"""From labelled photographs to an attribute head, with everything that using it needs to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelError, SettingsError
from ....installed import plugin_version
from ....models.checks import check_evaluation_mode
from ....models.embedding import EmbeddingModel
from ....models.optional import import_optional
from ..attribute_head import EVIDENCE_GROUPS, GROUPS, AttributeHead, AttributeLabel
from .fitting import Fitted, fit_attribute
from .informativeness import Pair, informativeness, naming_threshold, species_pairs
from .labels import LabelledPhotograph, Name
from .pooled_features import default_layer, pooled_features
from .ranking_weights import CENTRE, tune_ranking
from .validation_pairs import concepts_of, ranked_pairs

__all__ = ["HeadReport", "TrainingPlan", "train_head"]

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a head is trained.

    Attributes:
        layer: key of the layer; empty for the last feature map.
        folds: of the cross-validation, by individual.
        least_positive, least_individuals: photographs and individuals that an attribute needs.
        precision: share of pairs in which an attribute must truly be on both, where it is named.
        ranking_pairs: pairs that the ranking's weights are tuned on; 0 for equal weights.
        seed: of splits and random vectors.
    """

    layer: str = ""
    folds: int = 5
    least_positive: int = 30
    least_individuals: int = 10
    precision: float = 0.8
    ranking_pairs: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or min(self.least_positive, self.least_individuals) < 2 or self.ranking_pairs < 0:
            raise SettingsError("a head needs 2 folds, photographs and individuals at least, and no fewer than 0 pairs")
        if not 0.0 < self.precision <= 1.0:
            raise SettingsError(f"precision must lie in (0, 1], not {self.precision}")


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadReport:
    """A head, and the attributes that it does without, each with the reason."""

    head: AttributeHead
    left_out: dict[Name, str] = field(default_factory=dict)


def train_head(
    model: EmbeddingModel,
    photographs: Sequence[LabelledPhotograph],
    plan: TrainingPlan = TrainingPlan(),
    *,
    sources: Sequence[str] = (),
    kept: Path | None = None,
    advance: Advance = lambda stage, done, total: None,
) -> HeadReport:
    """Train a head.

    Args:
        model: the network; it is read and never changed.
        photographs: with their attributes.
        plan: how.
        sources: names of where the photographs come from, for the provenance.
        kept: file for the pooled features, see :func:`.pooled_features.pooled_features`.
        advance: told of the stages ``features``, ``attributes`` and ``pairs``, with what is done and how much there is.

    Raises:
        SettingsError: no attribute has enough photographs.
        ModelError, ChipError: the network or a photograph cannot be used.
        MissingExtra: scikit-learn cannot be imported.
    """
    check_evaluation_mode(model.network)
    layer = plan.layer or default_layer(model)
    names, left_out = _names(photographs, plan)
    if not names:
        told = "; ".join(f"{group}:{name}: {why}" for (group, name), why in left_out.items()) or "there are no labels"
        raise SettingsError(f"no attribute can be trained ({told}); label more photographs, or lower what is needed")
    pooled = pooled_features(
        model, layer, photographs, kept=kept, advance=lambda done, total: advance("features", done, total)
    )
    individuals = [photograph.individual for photograph in photographs]
    fits: dict[Name, Fitted] = {}
    for done, name in enumerate(names, start=1):
        fits[name] = fit_attribute(
            pooled, _truth(photographs, name), individuals, folds=plan.folds, seed=plan.seed
        )
        advance("attributes", done, len(names))
    labels = _labels(photographs, names, fits, plan)
    head = AttributeHead(
        model_sha256=model.fingerprint(),
        layer=layer,
        labels=tuple(labels),
        weights=np.array([fits[name].weights for name in names], np.float32),
        bias=np.array([fits[name].bias for name in names], np.float32),
        provenance=_provenance(model, photographs, plan, sources, {name: fits[name].penalty for name in names}),
    )
    return HeadReport(head=_with_pairs(head, model, photographs, fits, pooled, plan, advance), left_out=left_out)


def _with_pairs(
    head: AttributeHead,
    model: EmbeddingModel,
    photographs: Sequence[LabelledPhotograph],
    fits: dict[Name, Fitted],
    pooled: NDArray[np.float32],
    plan: TrainingPlan,
    advance: Advance,
) -> AttributeHead:
    """Return the head with what pairs of one individual tell: concepts, and the ranking's weights."""
    shares = concepts_of(model, head, photographs, pooled.std(0), plan.seed)
    labels = tuple(replace(label, concept=round(float(share), 4)) for label, share in zip(head.labels, shares))
    head = replace(head, labels=labels)
    left_out = np.array([fits[label.group, label.name].left_out for label in head.labels])
    pairs = ranked_pairs(
        model, head, photographs, left_out, plan.ranking_pairs, plan.seed, lambda done, n: advance("pairs", done, n)
    )
    return replace(head, ranking=tune_ranking(pairs) if pairs else CENTRE)


def _names(photographs: Sequence[LabelledPhotograph], plan: TrainingPlan) -> tuple[list[Name], dict[Name, str]]:
    """Return the attributes that have enough photographs of either truth, by group, and why others have not."""
    every = sorted({name for item in photographs for name in item.labels}, key=lambda n: (GROUPS.index(n[0]), n[1]))
    usable, left_out = [], {}
    for name in every:
        for word, value in (("with it", True), ("without it", False)):
            own = [item for item in photographs if item.labels.get(name) is value]
            individuals = {item.individual for item in own}
            if len(own) < plan.least_positive or len(individuals) < plan.least_individuals:
                left_out[name] = f"{len(own)} photographs of {len(individuals)} individuals {word}"
                break
        else:
            usable.append(name)
    return usable, left_out


def _truth(photographs: Sequence[LabelledPhotograph], name: Name) -> list[bool | None]:
    return [photograph.labels.get(name) for photograph in photographs]


def _labels(
    photographs: Sequence[LabelledPhotograph], names: Sequence[Name], fits: dict[Name, Fitted], plan: TrainingPlan
) -> list[AttributeLabel]:
    individuals = [photograph.individual for photograph in photographs]
    species = [photograph.species for photograph in photographs]
    pairs = species_pairs(individuals, species, plan.seed)
    labels = []
    for group, name in names:
        truth, fit = _truth(photographs, (group, name)), fits[group, name]
        tells = informativeness(truth, individuals, species)
        labels.append(
            AttributeLabel(
                name=name,
                group=group,
                calibration=fit.calibration,
                threshold=_threshold(group, tells, fit, truth, pairs, plan),
                informativeness=round(tells, 4),
                n_positive=sum(value is True for value in truth),
                n_individuals=len({who for who, value in zip(individuals, truth) if value}),
                average_precision=round(fit.average_precision, 4),
            )
        )
    return labels


def _threshold(
    group: str, tells: float, fit: Fitted, truth: list[bool | None], pairs: list[Pair], plan: TrainingPlan
) -> float | None:
    """Return when to name an attribute; never what all of a species share, as that explains nothing."""
    if group in EVIDENCE_GROUPS and tells <= 0.0:
        return None
    return naming_threshold(fit.left_out, truth, pairs, plan.precision)


def _provenance(
    model: EmbeddingModel,
    photographs: Sequence[LabelledPhotograph],
    plan: TrainingPlan,
    sources: Sequence[str],
    penalties: dict[Name, float],
) -> dict[str, Any]:
    sklearn = import_optional("sklearn", extra="attributes", purpose="training an attribute head")
    if not model.model_id:
        raise ModelError("the model has no id, so a head could not say whose it is; give EmbeddingModel a model_id")
    return {
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "model_id": Path(model.model_id).name,
        "input_size": list(model.input_size),
        "sources": list(sources),
        "n_photographs": len(photographs),
        "n_individuals": len({photograph.individual for photograph in photographs}),
        "plan": {name: value for name, value in asdict(plan).items() if name != "layer"},
        "penalties": {f"{group}:{name}": value for (group, name), value in penalties.items()},
        "versions": {"pairx-plugin": plugin_version(), "scikit-learn": str(sklearn.__version__)},
    }
