"""What importing the rendering room brings, and what it must not bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pairx_plugin


def test_importing_the_room_imports_neither_opencv_nor_torch_nor_matplotlib():
    rooms = "panels reference_look pictures colour_maps canvas".split()
    lines = [f"import pairx_plugin.rendering.{room}" for room in rooms]
    lines += ["import sys", "print(sorted({'cv2', 'torch', 'matplotlib'} & set(sys.modules)))"]
    root = str(Path(pairx_plugin.__file__).parents[1])
    script = "; ".join([f"import sys; sys.path.insert(0, {root!r})", *lines])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
