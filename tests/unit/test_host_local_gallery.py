"""From photographs to a gallery: what is left out and why, what is said, and which embeddings are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import Annotation
from pairx_plugin.errors import ChipError, HostError
from pairx_plugin.hosts.local.embedding_cache import EmbeddingCache
from pairx_plugin.hosts.local.gallery import ChipSource, build_gallery
from pairx_plugin.hosts.local.ranking import rank_gallery


class MeanColour:
    """Embeds a chip as its mean colour minus 100; `broken` greys (first channel) make it fail."""

    model_id = "mean-colour"

    def __init__(self, broken: Callable[[NDArray[np.uint8]], object] | None = None) -> None:
        self.broken, self.batches = broken, list[int]()

    def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        if self.broken is not None:
            for chip in pixels:
                self.broken(chip)
        return np.stack([chip.mean(axis=(0, 1)) - 100 for chip in pixels]).astype(np.float32)

    def fingerprint(self) -> str:
        return "sha256:mean"


def photograph(
    folder: Path, name: str, colour: tuple[int, int, int], animal: str | None = None
) -> Annotation:
    Image.new("RGB", (48, 36), colour).save(folder / f"{name}.png")
    return Annotation(annotation_id=name, image=str(folder / f"{name}.png"), bbox=(0, 0, 48, 36), name=animal)


def test_photographs_are_ranked_by_what_they_show(tmp_path: Path) -> None:
    annotations = [
        photograph(tmp_path, "red", (250, 20, 20), "A"),
        photograph(tmp_path, "rose", (240, 40, 30), "A"),
        photograph(tmp_path, "blue", (20, 20, 250), "B"),
    ]
    seen: list[tuple[str, int, int]] = []
    gallery = build_gallery(
        annotations, MeanColour(), ChipSource(64), batch_size=2, progress=lambda *step: seen.append(step)
    )
    ranking = rank_gallery(gallery, annotations[0], query_id="q", model_id="m", n_candidates=9)
    assert [c.annotation.annotation_id for c in ranking.ranked_query.candidates] == ["rose", "blue"]
    red, rose = np.array([150, -80, -80.0]), np.array([140, -60, -70.0])
    cosine = red @ rose / np.linalg.norm(red) / np.linalg.norm(rose)
    assert ranking.ranked_query.candidates[0].score == pytest.approx((1 + cosine) / 2, abs=1e-6)
    assert ranking.correct_rank == 1 and ranking.average_precision == 1.0
    assert seen == [("embed", 2, 3), ("embed", 3, 3)]
    assert ranking.chip_sha256["red"] == ChipSource(64).chip(annotations[0]).sha256


def test_a_photograph_that_cannot_be_read_is_left_out_with_the_reason(tmp_path: Path) -> None:
    good, other = photograph(tmp_path, "red", (250, 0, 0)), photograph(tmp_path, "blue", (0, 0, 250))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = Annotation(annotation_id="bad", image=str(tmp_path / "bad.png"), bbox=(0, 0, 9, 9))
    gone = Annotation(annotation_id="gone", image=str(tmp_path / "gone.png"))
    outside = Annotation(annotation_id="outside", image=good.image, bbox=(900, 900, 20, 20))
    gallery = build_gallery([good, bad, gone, outside, other], MeanColour(), ChipSource(64))
    assert [item.annotation_id for item in gallery.annotations] == ["red", "blue"]
    assert {key: problem.code for key, problem in gallery.left_out.items()} == {
        "bad": "IMAGE_UNREADABLE",
        "gone": "IMAGE_NOT_FOUND",
        "outside": "CHIP_INVALID",
    }
    with pytest.raises(HostError, match="annotation 'gone' is left out: .*does not exist"):
        rank_gallery(gallery, gone, query_id="q", model_id="m", n_candidates=1)


def test_one_chip_that_breaks_the_network_does_not_take_its_batch_along(tmp_path: Path) -> None:
    def broken(chip: NDArray[np.uint8]) -> None:
        if chip[0, 0, 0] == 77:
            raise RuntimeError("out of memory")

    annotations = [photograph(tmp_path, f"p{n}", (n, 30, 200)) for n in (10, 77, 150)]
    gallery = build_gallery(annotations, MeanColour(broken), ChipSource(64))
    assert [item.annotation_id for item in gallery.annotations] == ["p10", "p150"]
    assert gallery.left_out["p77"].code == "EMBEDDING_FAILED"
    assert "out of memory" in gallery.left_out["p77"].message


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0], ids=["nan", "inf", "zero"])
def test_an_embedding_without_a_cosine_is_left_out(tmp_path: Path, value: float) -> None:
    class Odd(MeanColour):
        def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
            result = super().embed(pixels)
            result[[chip[0, 0, 0] == 77 for chip in pixels]] = value
            return result

    annotations = [photograph(tmp_path, f"p{n}", (n, 30, 200)) for n in (10, 77, 150)]
    gallery = build_gallery(annotations, Odd(), ChipSource(64))
    assert list(gallery.left_out) == ["p77"]
    assert gallery.left_out["p77"].code == "MODEL_INVALID"
    assert np.isfinite(gallery.embeddings).all()


def test_a_network_of_the_wrong_shape_leaves_nothing_to_rank(tmp_path: Path) -> None:
    class Flat(MeanColour):
        def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
            return np.zeros(len(pixels), np.float32)

    with pytest.raises(HostError, match=r"not one of 1 annotations could be embedded: .*\(1,\) for 1 chips"):
        build_gallery([photograph(tmp_path, "red", (250, 0, 0))], Flat(), ChipSource(64))


def test_embeddings_of_different_lengths_cannot_be_compared(tmp_path: Path) -> None:
    class Growing(MeanColour):
        def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
            super().embed(pixels)
            return np.ones((len(pixels), 2 + len(self.batches)), np.float32)

    annotations = [photograph(tmp_path, f"p{n}", (n, 30, 200)) for n in (10, 77)]
    with pytest.raises(HostError, match=r"different lengths, \[3, 4\]"):
        build_gallery(annotations, Growing(), ChipSource(64), batch_size=1)


def test_what_was_embedded_is_kept_when_a_run_is_broken_off(tmp_path: Path) -> None:
    def broken(chip: NDArray[np.uint8]) -> None:
        if chip[0, 0, 0] == 77:
            raise KeyboardInterrupt

    annotations = [photograph(tmp_path, f"p{n}", (n, 30, 200)) for n in (10, 77, 150)]
    with pytest.raises(KeyboardInterrupt):
        build_gallery(
            annotations,
            MeanColour(broken),
            ChipSource(64),
            batch_size=1,
            cache=EmbeddingCache(tmp_path / "kept", "f"),
        )
    again = MeanColour()
    build_gallery(annotations, again, ChipSource(64), cache=EmbeddingCache(tmp_path / "kept", "f"))
    assert again.batches == [2]


def test_the_same_picture_as_query_or_better_candidate_is_said(tmp_path: Path) -> None:
    query = photograph(tmp_path, "red", (250, 0, 0))
    annotations = [
        query,
        photograph(tmp_path, "copy", (250, 0, 0)),
        photograph(tmp_path, "blue", (0, 0, 250)),
        photograph(tmp_path, "blue2", (0, 0, 250)),
        Annotation(annotation_id="beside", image=query.image, bbox=(0, 0, 20, 20)),
    ]
    gallery = build_gallery(annotations, MeanColour(), ChipSource(64))
    ranking = rank_gallery(gallery, query, query_id="q", model_id="m", n_candidates=9)
    codes = {key: [problem.code for problem in found] for key, found in ranking.candidate_warnings.items()}
    assert codes == {
        "copy": ["SAME_PIXELS"],
        "blue2": ["SAME_PIXELS"],
        "beside": ["CHIP_ENLARGED", "SAME_PHOTOGRAPH"],
    }
    assert "the query 'red'" in ranking.candidate_warnings["copy"][0].message
    assert "candidate 'blue'" in ranking.candidate_warnings["blue2"][0].message
    assert len(ranking.ranked_query.candidates) == 4


def test_a_chip_is_the_same_until_its_photograph_changes(tmp_path: Path) -> None:
    first, second = photograph(tmp_path, "red", (250, 0, 0)), photograph(tmp_path, "blue", (0, 0, 250))
    chips = ChipSource(64, capacity=1)
    before = chips.chip(first)
    chips.chip(second)
    again = chips.chip(first)
    assert again is not before and np.array_equal(again.pixels, before.pixels)
    chips.chip(second)
    photograph(tmp_path, "red", (249, 0, 0))
    with pytest.raises(ChipError, match="is not what it was when annotation 'red' was ranked"):
        chips.chip(first)


def test_kept_embeddings_are_used_bit_by_bit_and_only_for_their_network(tmp_path: Path) -> None:
    annotations = [photograph(tmp_path, f"p{n}", (n, 30, 200)) for n in (10, 77, 150)]
    fresh = build_gallery(
        annotations, MeanColour(), ChipSource(64), cache=EmbeddingCache(tmp_path / "kept", "sha256:a")
    )
    silent = MeanColour()
    kept = build_gallery(
        annotations, silent, ChipSource(64), cache=EmbeddingCache(tmp_path / "kept", "sha256:a")
    )
    assert silent.batches == []
    assert np.array_equal(fresh.embeddings, kept.embeddings)
    photograph(tmp_path, "p77", (78, 30, 200))
    build_gallery(annotations, silent, ChipSource(64), cache=EmbeddingCache(tmp_path / "kept", "sha256:a"))
    assert silent.batches == [1]
    build_gallery(annotations, silent, ChipSource(64), cache=EmbeddingCache(tmp_path / "kept", "sha256:b"))
    assert silent.batches == [1, 3]


def test_two_writers_of_one_cache_keep_both_parts(tmp_path: Path) -> None:
    one, two = EmbeddingCache(tmp_path, "f"), EmbeddingCache(tmp_path, "f")
    one.add("a", np.array([1, 2], np.float32))
    two.add("b", np.array([3, 4], np.float32))
    one.save()
    two.save()
    both = EmbeddingCache(tmp_path, "f")
    first, second = both.get("a"), both.get("b")
    assert first is not None and first.tolist() == [1, 2]
    assert second is not None and second.tolist() == [3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a zip"], ids=["empty", "cut", "other"])
def test_a_damaged_cache_is_not_used_and_written_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    cache = EmbeddingCache(tmp_path, "f")
    assert "kept embeddings are not used" in caplog.text
    assert cache.get("a") is None
    cache.add("a", np.array([1, 2], np.float32))
    cache.save()
    assert EmbeddingCache(tmp_path, "f").get("a") is not None


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = EmbeddingCache(tmp_path / "file" / "kept", "f")
    cache.add("a", np.array([1, 2], np.float32))
    cache.save()
    assert "embeddings are not kept" in caplog.text
    assert cache.get("a") is not None
