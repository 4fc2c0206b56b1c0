"""Cut the goldens of these tests out of reference figures of the public PAIR-X.

    python tests/parity/make_goldens.py FOLDER_WITH_REFERENCE_FIGURES

The figures were computed by WildMeOrg/pairx at 124f2bf ("fork") and pairx-explains/pairx at 409b219 ("original"), on
a CPU in float32 with torch 2.15.0, timm 1.0.31, zennit 0.5.1 and OpenCV 5.0.0. The networks' weights are drawn by the
rule in ``networks.py``; their batch-norm statistics and the procedural images are part of the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parents[2] / "sample_data" / "parity"
KEPT_LAYERS = {
    "efficientnetv2_rw_t": ("backbone.blocks.2", "backbone.blocks.3"),
    "torchvision_resnet50": ("layer3", "layer2"),
}
PIXEL_MAPS = 2


def main(folder: Path) -> None:
    """Write one golden file per network."""
    GOLDENS.mkdir(exist_ok=True)
    for name, layers in KEPT_LAYERS.items():
        with np.load(folder / f"{name}.npz") as figures:
            kept = {key: _shrunk(key, figures[key]) for key in figures.files if _is_kept(key, layers)}
        kept["layers"] = np.array(layers)
        kept["versions"] = np.array("torch 2.15.0, timm 1.0.31, zennit 0.5.1, OpenCV 5.0.0; float32, CPU")
        np.savez_compressed(GOLDENS / f"{name}.npz", **kept)
        print(f"{name}: {len(kept)} arrays, {(GOLDENS / f'{name}.npz').stat().st_size / 1024:.0f} KiB")


def _is_kept(key: str, layers: tuple[str, ...]) -> bool:
    if key.startswith(("fork/", "original/")):
        pair, layer, what = key.split("/")[1:]
        return layer in layers and (pair == "same" or not what.startswith(("pixel", "composite")))
    return key.startswith(("bn/", "image_", "embeddings", "k_", "size", "warp"))


def _shrunk(key: str, values: np.ndarray) -> np.ndarray:
    return values[:PIXEL_MAPS] if "/pixel_" in key else values


if __name__ == "__main__":
    main(Path(sys.argv[1]))
