"""Chips rendered ahead of training into one memory-mapped file, so that an epoch costs no drawing."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np

from .chips import cut_chip
from .population import Individual, individuals

LOG = logging.getLogger(__name__)
MARGIN = 0.10
"""Margin that stored training chips have round the box, as a share of it, so that crops can be jittered."""


@dataclass(frozen=True)
class ChipStore:
    """Chips of a set.

    Attributes:
        chips: RGB uint8 [N, side, side, 3], memory-mapped.
        labels: number of the individual of each chip, int64 [N].
        species: species of each individual.
        margin: share of the box added on every side of each chip.
    """

    chips: np.ndarray
    labels: np.ndarray
    species: Tuple[str, ...]
    margin: float


def _render_one(job: Tuple[Individual, int, int, float, int]) -> np.ndarray:
    individual, shots, side, margin, longer_side = job
    coat = individual.coat(int(longer_side * 1.1))
    hardness = np.random.default_rng((individual.seed, 14)).uniform(0, 1, shots)
    out = np.empty((shots, side, side, 3), np.uint8)
    for shot in range(shots):
        photo = individual.photograph(coat, shot, longer_side, float(hardness[shot]))
        out[shot] = cut_chip(photo.image, photo.box, (side, side), margin)
    return out


def render_store(
    folder: Path,
    which: str,
    count: int,
    shots: int,
    side: int,
    margin: float = MARGIN,
    longer_side: int = 352,
    processes: int = 1,
) -> ChipStore:
    """Render `shots` chips of each of `count` individuals, or read them where the folder already holds them.

    Args:
        folder: where the arrays go; made if missing.
        which: set of individuals, see `population.individuals`.
        side: height and width of a chip in pixels.
        longer_side: of the photographs that the chips are cut from.
        processes: worker processes; the result does not depend on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    animals = individuals(which, count)
    facts = {
        "which": which,
        "count": count,
        "shots": shots,
        "side": side,
        "margin": margin,
        "longer_side": longer_side,
    }
    done, data = folder / f"{which}.json", folder / f"{which}.npy"
    if not (done.exists() and json.loads(done.read_text()) == facts):
        done.unlink(missing_ok=True)
        chips = np.lib.format.open_memmap(
            data, mode="w+", dtype=np.uint8, shape=(count * shots, side, side, 3)
        )
        jobs = [(animal, shots, side, margin, longer_side) for animal in animals]
        if processes > 1:
            with ProcessPoolExecutor(processes) as pool:
                _fill(chips, pool.map(_render_one, jobs, chunksize=4), shots, count)
        else:
            _fill(chips, map(_render_one, jobs), shots, count)
        chips.flush()
        done.write_text(json.dumps(facts))
    return ChipStore(
        chips=np.load(data, mmap_mode="r"),
        labels=np.repeat(np.arange(count), shots),
        species=tuple(animal.species for animal in animals),
        margin=margin,
    )


def _fill(chips: np.ndarray, rendered: Iterator[np.ndarray], shots: int, count: int) -> None:
    for i, block in enumerate(rendered):
        chips[i * shots : (i + 1) * shots] = block
        if (i + 1) % 100 == 0:
            LOG.info("rendered %d of %d individuals", i + 1, count)


def species_of_chips(store: ChipStore) -> List[str]:
    """Species of each chip, in the order of `store.chips`."""
    return [store.species[label] for label in store.labels]


def half_size(store: ChipStore, folder: Path, write: bool = True) -> ChipStore:
    """The same chips at half the side, each pixel the mean of four.

    Args:
        store: the chips.
        folder: where the array goes.
        write: make the array; False: read the one that another process made.
    """
    path, count, side = folder / "half.npy", store.chips.shape[0], store.chips.shape[1] // 2
    if write:
        chips = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
        for i in range(0, count, 64):
            block = store.chips[i : i + 64, : 2 * side, : 2 * side].astype(np.uint16)
            block = block[:, ::2] + block[:, 1::2]
            chips[i : i + 64] = (block[:, :, ::2] + block[:, :, 1::2] + 2) // 4
        chips.flush()
    return ChipStore(
        chips=np.load(path, mmap_mode="r"), labels=store.labels, species=store.species, margin=store.margin
    )
