"""Explaining a similarity matrix over datasets that look like wildlife-tools' own.

The stand-ins have what is used of the real ones; tests/integration/test_wildlife_tools.py runs on the real ones.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pairx_hooks import Status
from pairx_plugin.errors import HostError, SettingsError
from pairx_plugin.hosts.wildlife_tools import explain_matches

pd = pytest.importorskip("pandas", reason="wildlife-tools keeps its metadata in pandas")

SIZE = 64
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, tensor):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (tensor - mean) / std


class Compose:
    def __init__(self, *transforms):
        self.transforms = list(transforms)

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


def squash(image):
    return image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def centre(image):
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return image.crop((left, top, left + SIZE, top + SIZE))


def to_tensor(image):
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255)


class Dataset:
    """As wildlife-tools' ImageDataset."""

    def __init__(self, pictures, transform, names=None, prefix="p"):
        self.metadata = pd.DataFrame(
            {
                "path": [f"{prefix}{i}.png" for i in range(len(pictures))],
                "identity": names or [f"animal {i}" for i in range(len(pictures))],
                "image_id": [f"{prefix}-{i}" for i in range(len(pictures))],
            }
        )
        self.pictures, self.transform, self.col_path, self.col_label = pictures, transform, "path", "identity"

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        picture = self.pictures[index]
        if isinstance(picture, Exception):
            raise picture
        image = Image.fromarray(picture)
        return (self.transform(image) if self.transform else image), 0


@pytest.fixture
def pictures(make_texture):
    """Photographs, twice as wide as high."""
    tall = [make_texture(seed, 96) for seed in range(6)]
    return [np.asarray(Image.fromarray(item).resize((160, 80))) for item in tall]


@pytest.fixture
def setting(pictures, miewid_network):
    """Two datasets, an extractor, and the cosines of its embeddings."""

    def make(transform=None, network=miewid_network):
        transform = transform or Compose(squash, to_tensor, Normalize(MEAN, STD))
        query, database = Dataset(pictures[:2], transform, prefix="q"), Dataset(pictures[2:], transform, prefix="d")
        with torch.no_grad():
            parts = [network(torch.stack([side[i][0] for i in range(len(side))])) for side in (query, database)]
        parts = [torch.nn.functional.normalize(part).numpy() for part in parts]
        return SimpleNamespace(
            query=query, database=database, extractor=SimpleNamespace(model=network), similarity=parts[0] @ parts[1].T
        )

    return make


def explained(setting, **more):
    options = {"top_k": 2, "k_lines": 5, "k_colors": 1, **more}
    return list(explain_matches(setting.similarity, setting.query, setting.database, setting.extractor, **options))


def test_best_candidates_of_each_row_are_explained_in_order(setting):
    made = setting()
    found = explained(made)
    assert [item.index for item in found] == [0, 1]
    for item, row in zip(found, made.similarity):
        assert list(item.indices) == list(np.argsort(-row)[:2])
        assert [part.status for part in item.explanations] == [Status.READY] * 2
        scores = [candidate.score for candidate in item.ranked_query.candidates]
        assert scores == pytest.approx(sorted(row, reverse=True)[:2], abs=1e-6)
        # what is explained is the very cosine that ranked
        assert [part.evidence.similarity for part in item.explanations] == pytest.approx(scores, abs=1e-5)
        assert item.other_score == () and item.failure is None
    names = [candidate.annotation.name for candidate in found[0].ranked_query.candidates]
    assert names == [f"animal {i}" for i in found[0].indices]
    assert found[0].ranked_query.query.image == "q0.png"


def test_squashed_photograph_is_shown_in_its_own_proportions(setting, pictures):
    (item, _) = explained(setting(), k_colors=0)
    chip = item.explanations[0].query
    assert (chip.width, chip.height) == (160, 80) and (chip.pixels == pictures[0]).all()
    assert chip.name == "animal 0"


def test_cropped_photograph_is_shown_as_the_network_sees_it(setting, pictures):
    (item, _) = explained(setting(Compose(centre, to_tensor, Normalize(MEAN, STD))), k_colors=0)
    chip = item.explanations[0].query
    assert (chip.width, chip.height) == (SIZE, SIZE)
    assert (chip.pixels == pictures[0][8:72, 48:112]).all()
    assert item.other_score == ()


def test_tensor_without_normalisation_is_understood(setting):
    (item, _) = explained(setting(Compose(squash, to_tensor)), k_colors=0)
    assert item.explanations[0].status is Status.READY and item.other_score == ()


def test_nothing_of_the_callers_is_changed(setting, miewid_network):
    made = setting()
    before = {key: value.clone() for key, value in miewid_network.state_dict().items()}
    transform, scores = made.query.transform, made.similarity.copy()
    explained(made)
    assert made.query.transform is transform and made.database.transform is transform
    assert (made.similarity == scores).all()
    assert all(torch.equal(value, before[key]) for key, value in miewid_network.state_dict().items())
    assert all(parameter.grad is None for parameter in miewid_network.parameters())


def test_matrix_may_come_by_name_and_have_pairs_that_were_not_compared(setting):
    made = setting()
    made.similarity[0, np.argmax(made.similarity[0])] = np.nan
    made.similarity[1] = -np.inf
    best = int(np.nanargmax(made.similarity[0]))
    made.similarity = {"cosine": made.similarity}
    first, second = explained(made, k_colors=0)
    assert first.indices[0] == best and first.ranked_query.n_searched == 3
    assert second.indices == () and second.explanations == ()


def test_one_dataset_on_both_sides_has_no_match_with_itself(setting):
    made = setting()
    similarity = np.eye(4) + 0.1
    (item,) = explain_matches(
        similarity, made.database, made.database, made.extractor, queries=[2], top_k=9, k_colors=0, k_lines=1
    )
    assert item.index == 2 and item.indices == (0, 1, 3)


def test_scores_of_another_measure_are_said(setting, caplog):
    made = setting()
    made.similarity = made.similarity * 100
    (item, _) = explained(made, k_colors=0)
    assert item.other_score == (1, 2) and "explanations are of the cosine" in caplog.text


def test_photograph_that_is_gone_costs_its_candidate_or_its_query_alone(setting):
    made = setting()
    worst = int(np.argsort(-made.similarity[0])[1])
    made.database.pictures = list(made.database.pictures)
    made.database.pictures[worst] = OSError("no such file")
    first, _ = explained(made, k_colors=0)
    assert [part.status for part in first.explanations] == [Status.READY, Status.FAILED]
    assert "no such file" in first.explanations[1].failure.message
    made = setting()
    made.query.pictures = [OSError("no such file"), made.query.pictures[1]]
    first, second = explained(made, k_colors=0)
    assert first.explanations == () and "no such file" in first.failure.message and first.indices
    assert second.explanations[0].status is Status.READY
    made.query.pictures = [OSError("no such file")] * 2
    with pytest.raises(HostError, match="no photograph of the query dataset.*no such file"):
        explained(made)


def test_names_that_are_not_known_stay_unknown(setting):
    made = setting()
    made.database.metadata["identity"] = [float("nan")] * 4
    (item, _) = explained(made, k_colors=0)
    assert {candidate.annotation.name for candidate in item.ranked_query.candidates} == {None}


def test_queries_are_explained_one_by_one(setting):
    made = setting()
    made.query.pictures = [made.query.pictures[0], OSError("never looked at")]
    found = explain_matches(made.similarity, made.query, made.database, made.extractor, top_k=1, k_colors=0)
    assert next(found).index == 0


REFUSED = {
    "shape": (lambda made: {"similarity": made.similarity.T}, "shape"),
    "several": (lambda made: {"similarity": dict.fromkeys("ab", made.similarity)}, "several similarities, a, b"),
    "words": (lambda made: {"similarity": "cosine"}, "not an array"),
    "row": (lambda made: {"queries": [5]}, "rows 0 to 1"),
    "features": (lambda made: {"query_dataset": np.zeros((2, 8))}, "without metadata"),
    "extractor": (lambda made: {"extractor": object()}, "DeepFeatures"),
    "clip": (lambda made: {"extractor": SimpleNamespace(model=made.extractor.model, processor=1)}, "DeepFeatures"),
    "no transform": (lambda made: {"query_dataset": Dataset(made.query.pictures, None)}, "tensor"),
    "random": (
        lambda made: {"query_dataset": Dataset(made.query.pictures, Compose(squash, to_tensor, torch.rand_like))},
        "random parts",
    ),
    "std": (lambda made: {"normalisation": ((0, 0, 0), (0, 1, 1))}, "std must be positive"),
}


@pytest.mark.parametrize("change, words", REFUSED.values(), ids=REFUSED)
def test_what_does_not_belong_together_is_refused_at_once(setting, change, words):
    made = setting()
    arguments = {
        "similarity": made.similarity,
        "query_dataset": made.query,
        "database_dataset": made.database,
        "extractor": made.extractor,
        **change(made),
    }
    with pytest.raises(HostError, match=words):
        explain_matches(**arguments)


def test_setting_that_does_not_fit_is_refused_at_once(setting):
    made = setting()
    with pytest.raises(SettingsError, match="k_line"):
        explain_matches(made.similarity, made.query, made.database, made.extractor, k_line=3)


def test_wrong_normalisation_is_said_with_the_levels(setting):
    (item, _) = explained(setting(), normalisation=((0.0, 0.0, 0.0), (9.0, 9.0, 9.0)), k_colors=0)
    assert "give `normalisation`" in item.failure.message
