"""Reading photographs: formats, modes, depths, turns, and everything that can be wrong with a file."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from pairx_plugin.errors import ChipError, ChipNotFound, ChipUnreadable, SettingsError
from pairx_plugin.photographs import Photograph, as_photograph, read_photograph
from pairx_plugin.pixels import checked_pixels

ORIENTATION, DATE_CHANGED, EXIF_IFD, DATE_TAKEN = 0x0112, 0x0132, 0x8769, 0x9003

# EXIF 2.3, tag Orientation: what stored pixel (row, col) shows of the upright picture of h rows and w columns
STORED_SHOWS = {
    1: lambda i, j, h, w: (i, j),
    2: lambda i, j, h, w: (i, w - 1 - j),
    3: lambda i, j, h, w: (h - 1 - i, w - 1 - j),
    4: lambda i, j, h, w: (h - 1 - i, j),
    5: lambda i, j, h, w: (j, i),
    6: lambda i, j, h, w: (j, w - 1 - i),
    7: lambda i, j, h, w: (h - 1 - j, w - 1 - i),
    8: lambda i, j, h, w: (h - 1 - j, i),
}


def colours(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def codes(photograph: Photograph) -> list[str]:
    return [warning.code for warning in photograph.warnings]


def exif_with(tag: int, value: object, *, within: int | None = None) -> Image.Exif:
    exif = Image.Exif()
    if within is None:
        exif[tag] = value
    else:
        exif[within] = {tag: value}
    return exif


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_turn_comes_out_upright(kind: str, orientation: int) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    upright = colours()
    height, width = upright.shape[:2]
    shape = (height, width) if orientation < 5 else (width, height)
    stored = np.zeros((*shape, 3), np.uint8)
    for i, j in np.ndindex(*shape):
        stored[i, j] = upright[STORED_SHOWS[orientation](i, j, height, width)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(stored), kind, exif=exif_with(ORIENTATION, orientation), **options)
    photograph = read_photograph(data)
    assert photograph.size == (30, 20)
    np.testing.assert_array_equal(photograph.pixels, upright)
    assert codes(photograph) == []


def test_pillow_image_of_a_caller_is_turned_and_left_as_it_was() -> None:
    image = Image.open(io.BytesIO(encoded(Image.fromarray(colours()), exif=exif_with(ORIENTATION, 6))))
    assert as_photograph(image).size == (20, 30)
    assert image.size == (30, 20)
    assert image.getexif()[ORIENTATION] == 6


def test_colours_of_a_jpeg_are_rgb_in_this_order() -> None:
    red = Image.new("RGB", (32, 32), (250, 10, 20))
    mean = read_photograph(encoded(red, "JPEG", quality=95)).pixels.mean(axis=(0, 1))
    np.testing.assert_allclose(mean, (250, 10, 20), atol=4)


def test_greyscale_fills_three_channels_and_says_so() -> None:
    grey = colours()[:, :, 0]
    photograph = read_photograph(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(photograph.pixels, np.stack([grey] * 3, axis=2))
    assert codes(photograph) == ["GREYSCALE"]


def test_one_bit_becomes_black_and_white() -> None:
    bits = colours()[:, :, 0] > 127
    photograph = read_photograph(encoded(Image.fromarray(bits)))
    np.testing.assert_array_equal(photograph.pixels[:, :, 1], bits * np.uint8(255))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_black_with_a_warning(mode: str) -> None:
    image = Image.new(mode, (16, 16), (200, 200, 200, 255)[: len(mode)] if mode == "RGBA" else (200, 255))
    image.putpixel((3, 4), (200, 100, 50, 0) if mode == "RGBA" else (200, 0))
    image.putpixel((5, 4), (200, 100, 50, 51) if mode == "RGBA" else (200, 51))
    photograph = read_photograph(encoded(image))
    assert "ALPHA_ON_BLACK" in codes(photograph)
    assert photograph.pixels[4, 3].tolist() == [0, 0, 0]
    assert photograph.pixels[4, 5].tolist() == ([40, 20, 10] if mode == "RGBA" else [40, 40, 40])
    assert photograph.pixels[0, 0].tolist() == [200, 200, 200]


def test_alpha_without_a_transparent_pixel_is_dropped_in_silence() -> None:
    pixels = colours()
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    photograph = read_photograph(encoded(Image.fromarray(opaque)))
    np.testing.assert_array_equal(photograph.pixels, pixels)
    assert codes(photograph) == []


def test_palette_shows_its_colours_and_its_transparency() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    image.putpixel((2, 0), 2)
    assert read_photograph(encoded(image)).pixels[0, 2].tolist() == [40, 50, 60]
    photograph = read_photograph(encoded(image, transparency=2))
    assert photograph.pixels[0, 2].tolist() == [0, 0, 0]
    assert photograph.pixels[0, 3].tolist() == [10, 20, 30]
    assert codes(photograph) == ["ALPHA_ON_BLACK"]


def test_cmyk_is_converted_with_a_warning() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photograph = read_photograph(encoded(image, "TIFF"))
    assert photograph.pixels[0, 0].tolist() == [255, 0, 0]
    assert codes(photograph) == ["COLOUR_CONVERTED"]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    photograph = read_photograph(encoded(Image.fromarray(ramp), kind))
    np.testing.assert_array_equal(photograph.pixels[:, :, 0].ravel(), np.arange(256))
    assert set(codes(photograph)) == {"GREYSCALE", "DEPTH_REDUCED"}


def test_twelve_bits_of_a_tiff_are_scaled_by_twelve() -> None:
    high, low = 4095, 2048
    row = (high << 12 | low).to_bytes(3, "big") * 8  # 16 pixels, two in three bytes
    strip = row * 16
    tags = [(256, 3, 16), (257, 3, 16), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 16),
            (279, 4, len(strip))]
    data = b"II*\0" + (8 + len(strip)).to_bytes(4, "little") + strip + len(tags).to_bytes(2, "little")
    for tag, kind, value in tags:
        entry = (tag.to_bytes(2, "little"), kind.to_bytes(2, "little"), (1).to_bytes(4, "little"))
        data += b"".join(entry) + value.to_bytes(4, "little")
    photograph = read_photograph(data + bytes(4))
    assert photograph.pixels[0, :2, 0].tolist() == [255, 128]


@pytest.mark.parametrize(
    ("values", "expected", "code"),
    [
        pytest.param([0.0, 0.5, 1.0], [0, 128, 255], "DEPTH_REDUCED", id="shares"),
        pytest.param([0.0, 100.0, 255.0], [0, 100, 255], "DEPTH_REDUCED", id="levels"),
        pytest.param([-10.0, 0.0, 10.0], [0, 128, 255], "RANGE_GUESSED", id="signed"),
        pytest.param([500.0, 500.0, 500.0], [0, 0, 0], "RANGE_GUESSED", id="constant"),
    ],
)
def test_float_images_are_scaled_by_their_range(values: list[float], expected: list[int], code: str) -> None:
    column = np.tile(np.array(values, np.float32), (12, 4))
    photograph = read_photograph(encoded(Image.fromarray(column), "TIFF"))
    assert photograph.pixels[0, :3, 0].tolist() == expected
    assert code in codes(photograph)


def test_float_image_with_nan_is_refused() -> None:
    values = np.zeros((12, 12), np.float32)
    values[3, 3] = np.nan
    with pytest.raises(ChipUnreadable, match="NaN or infinite"):
        read_photograph(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG"])
def test_of_several_pictures_the_first_is_used_with_a_warning(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    photograph = read_photograph(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert photograph.pixels[8, 8].tolist() == [255, 0, 0]
    assert codes(photograph) == ["FIRST_OF_SEVERAL"]
    assert "3 pictures" in photograph.warnings[0].message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_cut_off_files_are_refused_not_half_read(kind: str, share: float) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    data = encoded(Image.fromarray(colours(120, 160)), kind)
    with pytest.raises(ChipUnreadable) as caught:
        read_photograph(data[: int(len(data) * share)], uri="a.jpg")
    assert "'a.jpg'" in str(caught.value)
    assert "save it anew" in str(caught.value)


def test_cause_of_a_damaged_file_is_kept() -> None:
    with pytest.raises(ChipUnreadable) as caught:
        read_photograph(encoded(Image.fromarray(colours(120, 160)), "JPEG")[:2000])
    assert isinstance(caught.value.__cause__, OSError)


def test_tolerance_for_cut_off_files_set_by_a_host_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert codes(read_photograph(encoded(Image.fromarray(colours())))) == ["TRUNCATION_UNCHECKED"]


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
    assert read_photograph(encoded(Image.fromarray(colours()))).size == (30, 20)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None, "many"])
def test_limit_must_be_a_whole_number(limit: object) -> None:
    with pytest.raises(SettingsError, match="max_pixels"):
        read_photograph(b"x", max_pixels=limit)  # type: ignore[arg-type]


def test_paths_of_every_kind_are_read(tmp_path: Path) -> None:
    path = tmp_path / "näme with space.png"
    path.write_bytes(encoded(Image.fromarray(colours())))
    for source in (path, str(path), os.fspath(path)):
        photograph = read_photograph(source)
        assert photograph.uri == str(path)
        np.testing.assert_array_equal(photograph.pixels, colours())
    with path.open("rb") as stream:
        stream.read(7)
        np.testing.assert_array_equal(read_photograph(stream).pixels, colours())
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


def test_date_is_the_moment_of_exposure() -> None:
    exif = exif_with(DATE_TAKEN, "2023:07:14 06:05:04", within=EXIF_IFD)
    exif[DATE_CHANGED] = "2024:01:01 00:00:00"
    assert read_photograph(encoded(Image.fromarray(colours()), exif=exif)).captured == "2023-07-14T06:05:04"


@pytest.mark.parametrize("date", ["0000:00:00 00:00:00", "yesterday", ""])
def test_impossible_date_is_no_date(date: str) -> None:
    exif = exif_with(DATE_CHANGED, date)
    assert read_photograph(encoded(Image.fromarray(colours()), exif=exif)).captured is None


def test_pixels_cannot_be_written_to() -> None:
    photograph = read_photograph(encoded(Image.fromarray(colours())))
    with pytest.raises(ValueError, match="read-only"):
        photograph.pixels[0, 0] = 0
    assert photograph.pixels.flags.c_contiguous


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
