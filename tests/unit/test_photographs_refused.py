"""Where photographs come from and which are refused: paths, damage, limits, arrays of a wrong kind."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from made_pictures import codes, encoded, noise
from pairx_plugin.errors import ChipError, ChipNotFound, ChipUnreadable, SettingsError
from pairx_plugin.photographs import read_photograph
from pairx_plugin.pixels import checked_pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_cut_off_files_are_refused_not_half_read(kind: str, share: float) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    data = encoded(Image.fromarray(noise(120, 160)), kind)
    with pytest.raises(ChipUnreadable) as caught:
        read_photograph(data[: int(len(data) * share)], uri="a.jpg")
    assert "'a.jpg'" in str(caught.value)
    assert "save it anew" in str(caught.value)


def test_cause_of_a_damaged_file_is_kept() -> None:
    with pytest.raises(ChipUnreadable) as caught:
        read_photograph(encoded(Image.fromarray(noise(120, 160)), "JPEG")[:2000])
    assert isinstance(caught.value.__cause__, OSError)


def test_tolerance_for_cut_off_files_set_by_a_host_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert codes(read_photograph(encoded(Image.fromarray(noise(20, 30))))) == ["TRUNCATION_UNCHECKED"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "empty (0 bytes)", id="empty"),
        pytest.param(b"no image at all, only a sentence", "no image in a supported format", id="text"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", "web page", id="web page"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(64), "HEIC", id="heic"),
        pytest.param(b"P", "no image", id="one byte"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image", id="postscript"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, says: str) -> None:
    with pytest.raises(ChipUnreadable) as caught:
        read_photograph(data)
    assert says in str(caught.value)


def test_more_pixels_than_allowed_are_refused_before_decoding() -> None:
    data = encoded(Image.new("1", (4000, 3000)))
    with pytest.raises(ChipUnreadable, match=r"4000 x 3000 pixels, more than max_pixels = 11999999"):
        read_photograph(data, max_pixels=11_999_999)
    assert read_photograph(data, max_pixels=12_000_000).size == (4000, 3000)


def test_limit_of_pillow_itself_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photograph(encoded(Image.fromarray(noise(20, 30)))).size == (30, 20)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None, "many"])
def test_limit_must_be_a_whole_number(limit: object) -> None:
    with pytest.raises(SettingsError, match="max_pixels"):
        read_photograph(b"x", max_pixels=limit)  # type: ignore[arg-type]


def test_paths_of_every_kind_are_read(tmp_path: Path) -> None:
    path = tmp_path / "näme with space.png"
    path.write_bytes(encoded(Image.fromarray(noise(20, 30))))
    for source in (path, str(path), os.fspath(path)):
        photograph = read_photograph(source)
        assert photograph.uri == str(path)
        np.testing.assert_array_equal(photograph.pixels, noise(20, 30))
    with path.open("rb") as stream:
        stream.read(7)
        np.testing.assert_array_equal(read_photograph(stream).pixels, noise(20, 30))
        assert not stream.closed
    assert read_photograph(path, uri="animal-1").uri == "animal-1"
    assert read_photograph(memoryview(path.read_bytes())).uri == ""


def test_missing_file_is_not_found() -> None:
    with pytest.raises(ChipNotFound, match="does not exist; check the path$") as caught:
        read_photograph("nowhere/animal.jpg")
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.skipif(os.sep != "/", reason="backslashes part folders here")
def test_windows_path_elsewhere_gets_a_hint() -> None:
    with pytest.raises(ChipNotFound, match="parted by /"):
        read_photograph("C:\\photos\\animal.jpg")


@pytest.mark.parametrize("name", ["nul\0byte.jpg", "x" * 5000 + ".jpg"], ids=["null byte", "too long"])
def test_impossible_path_is_not_found(name: str) -> None:
    with pytest.raises(ChipNotFound):
        read_photograph(name)


def test_folder_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(ChipUnreadable, match="is a folder; give the path of one image file"):
        read_photograph(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ChipUnreadable, match="not a regular file"):
        read_photograph(tmp_path / "pipe")


def test_url_is_not_fetched_and_its_secrets_are_not_repeated() -> None:
    with pytest.raises(ChipError) as caught:
        read_photograph("https://ana:secret@example.org/a.jpg?signature=abc")
    assert "'https://example.org/a.jpg' is a URL" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    ["", "   ", 7, None, ["a.jpg"], io.StringIO("text")],
    ids=["empty", "blank", "number", "none", "list", "text"],
)
def test_sources_of_a_wrong_kind_are_refused(source: object) -> None:
    with pytest.raises(ChipError):
        read_photograph(source)  # type: ignore[arg-type]


def test_closed_file_is_refused() -> None:
    stream = io.BytesIO(b"x")
    stream.close()
    with pytest.raises(ChipUnreadable, match="closed"):
        read_photograph(stream)


GOOD = np.zeros((10, 12, 3), np.uint8)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(GOOD / 255.0, "(array * 255).round().astype(numpy.uint8)", id="float 0..1"),
        pytest.param(GOOD + 200.0, "float in 0..255", id="float 0..255"),
        pytest.param(GOOD - 2.1, "normalised for a network", id="normalised"),
        pytest.param(np.full(GOOD.shape, np.nan), "360 values that are NaN", id="nan"),
        pytest.param(GOOD.astype(bool), "mask", id="bool"),
        pytest.param(GOOD.astype(np.uint16), "16 bits", id="uint16"),
        pytest.param(GOOD.astype(np.int64), "array.astype(numpy.uint8)", id="int64"),
        pytest.param(GOOD.astype(np.int64) - 1, "0..255", id="negative"),
        pytest.param(GOOD.astype(object), "0..255", id="objects"),
        pytest.param(GOOD[:, :, 0], "greyscale", id="greyscale"),
        pytest.param(GOOD[:, :, :1], "greyscale", id="one channel"),
        pytest.param(GOOD[:, :, :2], "2 channels", id="two channels"),
        pytest.param(GOOD[None], "batch", id="batch"),
        pytest.param(GOOD.transpose(2, 0, 1), "array.transpose(1, 2, 0)", id="channels first"),
        pytest.param(np.zeros((10, 12, 4), np.uint8), "array[..., :3]", id="alpha"),
        pytest.param(GOOD[:0], "empty", id="empty"),
        pytest.param(GOOD[0, 0], "1 dimensions", id="one dimension"),
        pytest.param(GOOD[:1, :1], "1 x 1 pixels; at least 8 x 8", id="one pixel"),
        pytest.param(GOOD.tolist(), "numpy.asarray(value, dtype=numpy.uint8)", id="lists"),
        pytest.param(None, "NoneType", id="none"),
    ],
)
def test_arrays_of_a_wrong_kind_are_told_the_way(value: object, says: str) -> None:
    with pytest.raises(ChipError) as caught:
        checked_pixels(value, what="chip")
    assert says in str(caught.value)
