"""Requests to ``/explain/`` in tests, and what their answers have to be."""

from __future__ import annotations

import base64
import io
import re
import threading

import numpy as np
from PIL import Image

from pairx_plugin.explainers.pairx import PairX


def body(**more):
    asked = {
        "image1_uris": ["query.png"],
        "bb1": [[0, 0, 0, 0]],
        "image2_uris": ["first.png"],
        "bb2": [[8, 8, 80, 80]],
        "layer_key": "backbone.blocks.1",
        "k_lines": 4,
        "k_colors": 1,
    }
    return {**asked, **more}


def picture(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image)


def check_failure(answer, status, code, field=None):
    found = answer.json()
    assert answer.status_code == status, found
    assert found["success"] is False and found["message"] == found["detail"] and found["message"]
    assert found["errors"][0]["code"] == code
    assert field is None or found["errors"][0]["field"] == field
    assert found["errors"][0]["retryable"] is (status in (429, 502, 503, 504))
    assert re.fullmatch(r"[0-9a-f]{16}", found["request_id"])
    return found


class Held:
    """PAIR-X that waits for a gate before it begins."""

    explainer_id, version = "pairx", "1"

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()

    def prepare(self, model, query, settings):
        self.begun.set()
        assert self.gate.wait(20)
        return PairX().prepare(model, query, settings)
