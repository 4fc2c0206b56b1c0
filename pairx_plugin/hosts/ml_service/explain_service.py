"""The service itself, apart from HTTP: from what was asked to what is answered."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pairx_hooks import build_manager

from ...errors import ExplainerNotFound, PairXError, nearest
from ...rendering.pictures import encode
from ...review.failures import ApiFailure
from ...settings import AUTO_LAYER, Settings
from ..photograph_gate import PhotographGate
from .asked import Asked, AskedPair, Place, asked_pairs, extra_fields
from .cutting import Cut, cut_place
from .explaining import CutPair, Explained, explain_pairs
from .refusals import in_strict_words, refusal_of
from .served_models import ServedModels
from .turns import Cancelled, Ticket

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel
    from ...photographs import Photograph

__all__ = ["Answer", "ExplainService"]

logger = logging.getLogger(__name__)

_MOST_CELLS = 128 * 128  # of a layer; twice as many on a side take sixteen times as long to match


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request gets.

    Attributes:
        pictures: PNG bytes, one for each pair; empty where only records were asked for.
        records: schema ``pairx.explanation/1``; None where only pictures were asked for.
    """

    pictures: Sequence[bytes]
    records: Sequence[Mapping[str, Any]] | None
    warnings: Sequence[Mapping[str, Any]]
    count: int
    model_id: str

    def to_json(self) -> dict[str, Any]:
        """Return ml-service's keys in their order, and ours behind them.

        Pictures are base64 in one line and padded, since Wildbook decodes them strictly. Where records alone were asked
        for there is no such key, since Wildbook takes an empty list for a pair that cannot be explained.
        """
        images = [base64.b64encode(picture).decode("ascii") for picture in self.pictures]
        body: dict[str, Any] = {
            "response": "visualizations",
            **({"images": images} if images else {}),
            "count": self.count,
            "model_id": self.model_id,
            "warnings": list(self.warnings),
        }
        return body if self.records is None else {**body, "explanations": list(self.records)}


class ExplainService:
    """Answers requests; safe for threads.

    Args:
        models: that requests may name.
        gate: to the photographs that requests may name.
        settings: of the explanations, under what a request asks for.
        layer_choices: files that say which layer ``auto`` is, by the id that requests name; for a model without one,
            that of `settings` counts, and without that the layer that is taken unasked.
    """

    def __init__(
        self,
        models: ServedModels,
        gate: PhotographGate,
        settings: Settings = Settings(),
        layer_choices: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.models, self.gate, self.settings = models, gate, settings
        self._layer_choices = layer_choices
        self._entries = build_manager().explainers()

    @property
    def explainers(self) -> list[dict[str, str]]:
        """The explainers that are installed, the usual one first."""
        found = [
            {"explainer_id": entry.explainer_id, "title": entry.title, "summary": entry.summary}
            for entry in self._entries.values()
        ]
        return sorted(found, key=lambda item: item["explainer_id"] != "pairx")

    def answer(self, asked: Asked, ticket: Ticket) -> Answer:
        """Do what was asked.

        Raises:
            ApiFailure: it cannot be done; nothing of it is answered then, as in ml-service.
            Cancelled: nobody waits any more.
        """
        try:
            return self._answer(asked, ticket)
        except Cancelled:
            raise
        except Exception as error:
            refusal = refusal_of(error)
            raise (in_strict_words(refusal) if asked.strict else refusal) from error

    def _answer(self, asked: Asked, ticket: Ticket) -> Answer:
        pairs = asked_pairs(asked)
        with _blamed("model_id"):
            name = self.models.name_of(asked.model_id)
        explainer = self._explainer(asked.algorithm)
        for place in _places(pairs):
            with _blamed(place.image_field):
                self.gate.check(place.uri)
        model = self._model(name)
        settings = self._settings(asked, model, name)
        cuts = self._cuts(pairs, model, ticket)
        cut_pairs = [CutPair(query=cuts[pair.query], candidate=cuts[pair.candidate]) for pair in pairs]
        self._refuse_lost(pairs, cut_pairs)
        view = asked.visualization_type if asked.output != "records" else None
        with ticket.turn():
            found = []
            for item in explain_pairs(model, cut_pairs, explainer, settings, view=view, cancelled=ticket.cancelled):
                if item.explanation.evidence is None:
                    raise refusal_of(item.explanation.failure or RuntimeError("an explanation without evidence"))
                found.append(item)
        ticket.check()
        return Answer(
            pictures=[encode(item.picture, "png") for item in found if item.picture is not None],
            records=[_record(item, name) for item in found] if asked.output != "images" else None,
            warnings=[*extra_fields(asked), *_warnings(pairs, cut_pairs, found)],
            count=len(found),
            model_id=name,
        )

    def _model(self, name: str) -> EmbeddingModel:
        try:
            return self.models.load(name)
        except Exception as error:
            if not isinstance(error, PairXError):
                logger.exception("model %s cannot be loaded", name)
            message = f"the model {name!r} cannot be loaded; the service's log says why"
            raise ApiFailure(503, "MODEL_FAILED", message, field="model_id") from error

    def _explainer(self, algorithm: str) -> Any:
        entry = self._entries.get(algorithm.lower())
        if entry is None:
            known = ", ".join(sorted(self._entries))
            message = f"no algorithm {algorithm!r:.60}{nearest(algorithm[:60], self._entries)}; there are: {known}"
            raise refusal_of(ExplainerNotFound(message), "algorithm")
        return entry.create()

    def _settings(self, asked: Asked, model: EmbeddingModel, name: str) -> Settings:
        from ...models.layers import get_layer  # it brings torch

        layers = [*asked.layer_keys] or ([asked.layer_key] if asked.layer_key else [])
        for key in layers:
            field = "layer_keys" if asked.layer_keys else "layer_key"
            if key != AUTO_LAYER:
                with _blamed(field):
                    get_layer(model.network, key)
                self._check_cells(name, key, field)
        wanted: dict[str, Any] = {
            "explainer": asked.algorithm.lower(),
            "k_lines": asked.k_lines,
            # colours that nobody sees need no propagation; records say what there is
            "k_colors": 0 if asked.visualization_type == "only_lines" and asked.output == "images" else asked.k_colors,
        }
        if layers:
            wanted["layers"] = tuple(dict.fromkeys(layers))
        if self._layer_choices.get(name):
            wanted["layer_choice"] = self._layer_choices[name]
        return Settings.from_mapping(wanted, base=self.settings)

    def _check_cells(self, name: str, key: str, field: str) -> None:
        """Refuse a layer whose cells cannot be matched in time: while they are, nobody else is served."""
        found = self.models.n_cells(name, key)
        if found > _MOST_CELLS:
            coarser = ", ".join(item.key for item in self.models.stages(name) if item.key != key)
            message = (
                f"layer {key!r:.80} has {found} cells; at most {_MOST_CELLS} are matched here, so choose a coarser "
                f"one, such as one of: {coarser:.300}"
            )
            raise ApiFailure(422, "LAYER_TOO_FINE", message, field=field)

    def _cuts(
        self, pairs: Sequence[AskedPair], model: EmbeddingModel, ticket: Ticket
    ) -> dict[Place, Cut | PairXError]:
        """Read every photograph once, and keep of it only what is cut out."""
        by_uri: dict[str, list[Place]] = {}
        for place in dict.fromkeys(_places(pairs)):
            by_uri.setdefault(place.uri, []).append(place)
        cuts: dict[Place, Cut | PairXError] = {}
        for uri, places in by_uri.items():
            ticket.check()
            try:
                content = self.gate.content(uri)
                with ticket.reading():
                    cuts.update(_cut_out(self.gate.decoded(content, uri), places, model))
            except PairXError as error:
                cuts.update(dict.fromkeys(places, error))
        return cuts

    def _refuse_lost(self, pairs: Sequence[AskedPair], cut_pairs: Sequence[CutPair]) -> None:
        for pair, cut in zip(pairs, cut_pairs):
            for place, part in ((pair.query, cut.query), (pair.candidate, cut.candidate)):
                if isinstance(part, PairXError):
                    boxed = part.code in ("BBOX_EMPTY", "CHIP_INVALID")
                    raise refusal_of(part, place.box_field if boxed else place.image_field) from part


def _cut_out(
    photograph: Photograph, places: Sequence[Place], model: EmbeddingModel
) -> dict[Place, Cut | PairXError]:
    """Cut every place out of one photograph; one that cannot be is an error among the others."""
    cuts: dict[Place, Cut | PairXError] = {}
    for place in places:
        try:
            cuts[place] = cut_place(photograph, place, model)
        except PairXError as error:
            cuts[place] = error
    return cuts


class _blamed:
    """Says which field of the request is at fault when something is raised within."""

    def __init__(self, field: str) -> None:
        self._field = field

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, PairXError):
            raise refusal_of(error, self._field) from error


def _places(pairs: Sequence[AskedPair]) -> list[Place]:
    return [place for pair in pairs for place in (pair.query, pair.candidate)]


def _record(item: Explained, model_id: str) -> dict[str, Any]:
    return {**item.explanation.to_json(), "model_id": model_id}


def _warnings(
    pairs: Sequence[AskedPair], cuts: Sequence[CutPair], found: Sequence[Explained]
) -> list[dict[str, Any]]:
    """Return what a caller should know, each once, with the field that it is about."""
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for pair, cut, item in zip(pairs, cuts, found):
        for place, part in ((pair.query, cut.query), (pair.candidate, cut.candidate)):
            for warning in part.warnings if isinstance(part, Cut) else ():
                field = place.image_field if warning.field == "image" else place.box_field
                about = {"code": warning.code, "message": warning.message, "field": field}
                told.setdefault((warning.code, field), about)
        for more in (*item.warnings, *_shortfall(item)):
            told.setdefault((more["code"], pair.candidate.image_field), {**more, "field": pair.candidate.image_field})
    return list(told.values())


def _shortfall(item: Explained) -> list[dict[str, Any]]:
    failure = item.explanation.failure
    return [{"code": failure.code, "message": failure.message}] if failure is not None else []
