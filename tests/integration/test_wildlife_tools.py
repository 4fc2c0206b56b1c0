"""The README's example on the real wildlife-tools, where that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("wildlife_tools", reason="wildlife-tools is not installed")

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# its own, while features are extracted: progress bars, and what its dependencies say
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def example():
    """The names of the README's example after it ran."""
    (code,) = re.findall(r"^```py\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_example_of_the_readme_explains_the_best_matches(example):
    found, scores = example["found"], example["similarity"]
    scores = next(iter(scores.values())) if isinstance(scores, dict) else scores
    assert list(found.indices) == list(np.argsort(-scores[0])[:2])
    assert [item.status.value for item in found.explanations] == ["ready", "ready"]
    assert found.other_score == ()  # to a hundredth, the cosine that is explained is the score that ranked
    assert found.ranked_query.candidates[0].annotation.name == found.ranked_query.query.name
    assert example["picture"].ndim == 3 and example["picture"].std() > 10


def test_similarity_is_wildlife_tools_own_to_rounding(example):
    scores = [candidate.score for candidate in example["found"].ranked_query.candidates]
    explained = [item.evidence.similarity for item in example["found"].explanations]
    assert explained == pytest.approx(scores, abs=1e-5)


def test_chip_is_the_box_in_its_own_proportions(example):
    row = example["rows"][0]
    chip = example["found"].explanations[0].query
    assert chip.width / chip.height == pytest.approx(row.w / row.h, rel=0.02)
