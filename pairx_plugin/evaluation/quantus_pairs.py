"""Quantus' own metrics on a pair: the partner is held fixed, and the query becomes a picture to classify.

Quantus knows no pairs. The class that it is asked about is the partner, and its logit the cosine to it; a second class
is another animal, so that "still the partner" is a question. Most of what it measures is measured here as well, by code
of ours; this is a second opinion from elsewhere.

Source: Hedström et al., JMLR 2023, and the package quantus: its metrics' names and arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from .map_agreement import resample
from .packages import quantus

__all__ = ["PairClassifier", "PictureMetrics", "attribution_of"]

Floats = NDArray[np.float64]
Explain = Callable[[nn.Module], ArrayLike]
"""From the network with weights drawn anew to its map of the query."""

_ROAD_PERCENTAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
_BATCH = 16


class PairClassifier(nn.Module):
    """A network with fixed partners: (B, 3, H, W) to (B, n) cosines, one for each of them.

    Args:
        network: (B, 3, H, W) to (B, D).
        partners: (n, D), of length one.
    """

    def __init__(self, network: nn.Module, partners: ArrayLike) -> None:
        super().__init__()
        self.training = False  # of this alone: the network's own flags stay as they are
        self.network = network
        parameter = next(network.parameters(), torch.zeros(()))
        self.partners: torch.Tensor
        self.register_buffer("partners", torch.as_tensor(np.asarray(partners)).to(parameter.device, parameter.dtype))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the cosines."""
        unit = functional.normalize(self.network(pictures), dim=1)
        cosines: torch.Tensor = unit @ self.partners.T
        return cosines


class PictureMetrics:
    """Metrics of one map of one query.

    Args:
        classifier: of the query's pair; the first class is the partner.
        picture: (1, 3, H, W), as the network wants it.
        values: (h, w) map of the query, any grid.
        seed: of the noise that some metrics add.
    """

    def __init__(self, classifier: PairClassifier, picture: torch.Tensor, values: ArrayLike, *, seed: int = 0) -> None:
        self._classifier, self._seed = classifier, seed
        self._size = int(picture.shape[2]), int(picture.shape[3])
        self._data: dict[str, Any] = {
            "x_batch": picture.detach().float().cpu().numpy(),
            "y_batch": np.zeros(1, dtype=int),
            "a_batch": attribution_of(values, self._size)[None, None],
        }

    def pixel_flipping(self, n_steps: int) -> float:
        """Return the mean cosine while pixels turn into the mean colour, the largest of the map first.

        Args:
            n_steps: about how many steps; as many as divide the picture evenly, and no fewer.
        """
        n_pixels = self._size[0] * self._size[1]
        steps = next(n for n in range(min(n_steps, n_pixels), n_pixels + 1) if n_pixels % n == 0)
        [curve] = self._run("PixelFlipping", features_in_step=n_pixels // steps, perturb_baseline="mean", abs=False)
        return float(np.mean(curve))

    def road(self) -> float:
        """Return the share of imputed pictures that stay nearer to the partner than to the other animal."""
        # It spreads a map of one channel over all of them, and its imputation then takes channels for pixels: so the
        # order stands in the first channel, the others come last, and shares are of all channels together.
        own, channels = self._data["a_batch"], self._data["x_batch"].shape[1]
        last = np.full_like(own, own.min() - 1.0)
        order = np.concatenate([own, *[last] * (channels - 1)], axis=1)
        shares = self._run("ROAD", {"a_batch": order}, percentages=[share / channels for share in _ROAD_PERCENTAGES])
        return float(np.mean([np.mean(value) for value in shares.values()]))

    def completeness(self) -> float:
        """Return 1 where the map adds up to the cosine less that of a black picture, 0 where it does not."""
        channels = self._data["x_batch"].shape[1]  # it turns those numbers black that have an attribution
        spread = np.repeat(self._data["a_batch"] / channels, channels, axis=1)
        return float(np.mean(self._run("Completeness", {"a_batch": spread}, abs=False)))

    def mass_accuracy(self, mask: NDArray[np.bool_]) -> float:
        """Return the share of the map's positive mass within (H, W) `mask`."""
        return self._localised("RelevanceMassAccuracy", mask)

    def rank_accuracy(self, mask: NDArray[np.bool_]) -> float:
        """Return the share of the map's leading pixels, as many as the mask has, that lie within it."""
        return self._localised("RelevanceRankAccuracy", mask)

    def randomisation(self, explain: Explain) -> float:
        """Return the rank correlation with the map of the network after Quantus has reset all of its weights.

        Args:
            explain: makes the map of the query with a network.
        """
        def explained(model: Any, inputs: Any, targets: Any, **others: Any) -> Floats:
            return attribution_of(explain(model.network), self._size)[None, None]

        spearman = quantus().similarity_func.correlation_spearman
        found = self._run(
            "MPRT",
            {"explain_func": explained},
            similarity_func=spearman,
            skip_layers=True,
            return_last_correlation=True,
        )
        return float(np.mean(found))

    def _localised(self, name: str, mask: NDArray[np.bool_]) -> float:
        positive = np.maximum(self._data["a_batch"], 0.0)
        return float(np.mean(self._run(name, {"a_batch": positive, "s_batch": mask[None, None].astype(int)})))

    def _run(self, name: str, changes: dict[str, Any] | None = None, **options: Any) -> Any:
        metric = getattr(quantus(), name)(
            normalise=False, disable_warnings=True, display_progressbar=False, **options
        )
        data = {**self._data, **(changes or {})}
        with _seeded(self._seed):
            return metric(
                model=self._classifier,
                **data,
                channel_first=True,
                softmax=False,
                batch_size=_BATCH,
                device=str(next(self._classifier.buffers()).device),
            )


def attribution_of(values: ArrayLike, size: tuple[int, int]) -> Floats:
    """Return an (h, w) map at (H, W) pixels, bilinear, with the sum that it had."""
    array = np.asarray(values, np.float64)
    fine = resample(array, size)
    total = float(fine.sum())
    return fine * (float(array.sum()) / total) if abs(total) > 1e-12 else fine * (array.size / fine.size)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators that Quantus draws from, and give them back as they were."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(before)
