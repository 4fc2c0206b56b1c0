"""The explainer `sane`: saliency of both pictures by masking, and named attributes from a head on frozen features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...chips import Chip
from ...evidence import Doubt, PairEvidence
from ...models.checks import check_evaluation_mode
from ...models.embedding import EmbeddingModel
from ...settings import Settings
from ..base import Stop
from ..maps_only import Clock, cosine, map_layer, same_picture
from .attribute_head import Reading
from .finding_heads import find_head
from .forward import Forward, Stopped
from .learned_mask import learn_masks
from .options import SaneOptions
from .pictures import Picture
from .ranking import NamedAttributes, name_attributes

__all__ = ["LAYER", "Sane", "SaneSession"]

LAYER = "input"
"""Layer key of the evidence: masks are laid over the network's input, whatever its layers are called."""

_FLAT = 1e-4  # of similarity: masks that move it by less show nothing but rounding

Map = NDArray[np.float32]


class Sane:
    """The SANE explainer; `version` names the attribute head once a model is known, as its evidence depends on it."""

    explainer_id = "sane"
    version = "1"

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> SaneSession:
        """Find the head and run the query once, see :class:`..base.Explainer`; it is masked when it is first needed.

        Raises:
            SettingsError: an option that begins with ``sane_`` is unknown or does not fit, or its head is missing.
            ModelError: the network is in training mode, or the head is damaged.
        """
        session = SaneSession(model, query, settings)
        self.version = "1" if session.head is None else f"1, head {session.head.digest[:16]}"
        return session


class SaneSession:
    """One query after its forward pass; see :class:`..base.SteppedSession`.

    Attributes:
        head: the attribute head, None for saliency alone.
        forward: runs the network's twin; counts the pictures that went through.
    """

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        check_evaluation_mode(model.network)
        self._model, self._query, self._settings = model, query, settings
        self.options = SaneOptions.from_options(settings.options).settled(model.device.type)
        self.head, self._doubts_of_head = find_head(model, self.options.head)
        self.forward = Forward(model.network, self.head.layer if self.head else "", self.options.batch)
        self._query_picture = self._picture(query)
        self._query_reading = self._read(self._query_picture)

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates one after the other, see :class:`..base.QuerySession`."""
        found = dict(self.steps(candidates, Stop()))
        return [found[index] for index in range(len(candidates))]

    def steps(self, candidates: Sequence[Chip], stop: Stop) -> Iterator[tuple[int, PairEvidence]]:
        """Yield for each candidate what one forward pass tells (attributes without overlap), then all of it."""
        for index, chip in enumerate(candidates):
            if stop.reached():
                return
            clock = Clock()
            with clock.stage("forward"):
                picture = self._picture(chip)
            if self.head is not None:
                yield index, self._evidence(chip, picture, None, clock.seconds)
            try:
                with clock.stage("saliency"):
                    maps = self._saliency(picture, stop)
            except Stopped:
                return
            yield index, self._evidence(chip, picture, maps, clock.seconds)

    def _picture(self, chip: Chip) -> Picture:
        return Picture(
            self._model, self.forward, chip, self.options, self._settings.seed, features=self.head is not None
        )

    def _read(self, picture: Picture) -> Reading | None:
        return None if self.head is None or picture.features is None else self.head.read(picture.features)

    def _named(self, picture: Picture, maps: tuple[Map, Map] | None) -> NamedAttributes | None:
        """Return the attributes that the head names, None without a head."""
        query, candidate = self._query_reading, self._read(picture)
        if self.head is None or query is None or candidate is None:
            return None
        return name_attributes(self.head, (query, candidate), maps or (None, None))

    def _saliency(self, candidate: Picture, stop: Stop) -> tuple[Map, Map]:
        query, options = self._query_picture, self.options
        if options.saliency == "mask":
            learnt = learn_masks(
                self.forward,
                torch.cat([query.tensor, candidate.tensor]),
                torch.cat([query.fill, candidate.fill]),
                torch.cat([query.embedding, candidate.embedding]),
                paired=options.reference == "paired",
                cells=options.cells,
                steps=options.steps,
                seed=self._settings.seed,
                stop=stop,
            )
            return learnt[0], learnt[1]
        paired = options.reference == "paired"
        others = [picture.masked(stop) if paired else picture.embedding for picture in (candidate, query)]
        return query.saliency(others[0], stop), candidate.saliency(others[1], stop)

    def _evidence(
        self, chip: Chip, picture: Picture, maps: tuple[Map, Map] | None, seconds: dict[str, float]
    ) -> PairEvidence:
        similarity = cosine(self._query_picture.embedding[0], picture.embedding[0])
        named = self._named(picture, maps)
        blank = np.zeros((self.options.cells, self.options.cells), np.float32)
        height, width = (int(length) for length in self._query_picture.tensor.shape[2:])
        layer = map_layer(LAYER, maps or (blank, blank), (height, width))
        doubts = [*self._doubts_of_head, *same_picture(self._query, chip), *(named.doubts if named else ())]
        if maps is not None and max(float(np.abs(values).max()) for values in maps) < _FLAT:
            message = "nothing that was hidden changed the similarity, so the maps say nothing"
            doubts.append(Doubt(code="SALIENCY_FLAT", message=message))
        return PairEvidence(
            similarity=max(-1.0, min(1.0, similarity)),
            layers=(layer,),
            seconds=dict(seconds),
            doubts=tuple(doubts),
            attributes=named.attributes if named else (),
            abstained=named.abstained if named else False,
            missing=("saliency",) if maps is None else (),
        )
