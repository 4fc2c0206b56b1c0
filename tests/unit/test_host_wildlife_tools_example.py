"""The README's example for wildlife-tools, on stand-ins that have what it uses of the real ones.

tests/integration/test_wildlife_tools.py runs it on wildlife-tools itself, where that is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

pytest.importorskip("pandas", reason="wildlife-tools keeps its metadata in pandas")


class FromFiles:
    """As wildlife-tools' WildlifeDataset that reads files and crops them to their boxes."""

    def __init__(self, metadata, *, transform, img_load):
        assert img_load == "bbox"
        self.metadata, self.transform = metadata.reset_index(drop=True), transform
        self.col_path, self.col_label = "path", "identity"
        self.pictures = []
        for path, (x, y, w, h) in zip(self.metadata["path"], self.metadata["bbox"]):
            with Image.open(path) as image:
                self.pictures.append(image.convert("RGB").crop((x, y, x + w, y + h)))

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        image = self.pictures[index]
        return (self.transform(image) if self.transform else image), 0


class Features:
    """As wildlife-tools' DeepFeatures."""

    def __init__(self, model, *, num_workers):
        self.model = model

    def __call__(self, dataset):
        with torch.no_grad():
            return torch.cat([self.model(dataset[index][0][None]) for index in range(len(dataset))])


@pytest.mark.parametrize("shape", [lambda scores: {"cosine": scores}, lambda scores: scores], ids=["by name", "array"])
def test_example_of_the_readme_runs(monkeypatch, capsys, shape):
    pytest.importorskip("torchvision", reason="the example's transform is torchvision's")

    def cosine():
        return lambda *sides: shape(torch.nn.functional.cosine_similarity(sides[0][:, None], sides[1], dim=-1).numpy())

    rooms = {
        "data": {"WildlifeDataset": FromFiles},
        "features": {"DeepFeatures": Features},
        "similarity": {"CosineSimilarity": cosine},
    }
    monkeypatch.setitem(sys.modules, "wildlife_tools", ModuleType("wildlife_tools"))
    for room, content in rooms.items():
        module = ModuleType(f"wildlife_tools.{room}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```py\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(rank, status) for rank, _, _, status in told] == [("1", "ready"), ("2", "ready")]
    assert told[0][1] == names["rows"][0].name and float(told[0][2]) > float(told[1][2])
    assert names["found"].other_score == () and names["picture"].std() > 10
