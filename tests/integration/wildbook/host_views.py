"""What tests look at: pictures as pixels, the host's own tensors as pictures, pairs that an explainer works on."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

VERSIONS = ("matches", "heatmask", "clean")


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def shown_by_the_hosts_tensor(host, aid):
    """The host's own input tensor as RGB pixels, undone by hand: blue first, normalised as if red came first."""
    config = host.plugin.read_config_and_load_model(host.ibs.get_annot_species_texts(aid))[1]
    tensor = next(iter(host.plugin._load_data(host.ibs, [aid], config, batch_size=1)[0]))[0][0].numpy()
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    levels = np.rint((tensor * std + mean) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])


def as_shown(square, host, aid):
    """The network's square in the proportions of the annotation's box, by hand."""
    _, _, width, height = host.ibs.get_annot_bboxes(aid)
    rows, columns = square.shape[:2]
    scale = min(max(columns / width, rows / height), 1024 / max(width, height))
    size = round(width * scale), round(height * scale)
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))


def chip_digest(picture):
    digest = hashlib.sha256(f"{picture.shape[0]}x{picture.shape[1]}x3 uint8 RGB\n".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def counting(monkeypatch):
    """Count how many pairs the explainer works on."""
    from pairx_plugin.explainers.pairx import PairXSession

    explained = []
    steps = PairXSession.steps

    def counted(self, candidates, stop):
        explained.extend(candidates)
        return steps(self, candidates, stop)

    monkeypatch.setattr(PairXSession, "steps", counted)
    return explained
