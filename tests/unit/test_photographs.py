"""Reading photographs: formats, modes, depths, turns and dates."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from made_pictures import codes, encoded, noise
from pairx_plugin.errors import ChipUnreadable
from pairx_plugin.photographs import as_photograph, read_photograph

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
    upright = noise(20, 30)
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
    image = Image.open(io.BytesIO(encoded(Image.fromarray(noise(20, 30)), exif=exif_with(ORIENTATION, 6))))
    assert as_photograph(image).size == (20, 30)
    assert image.size == (30, 20)
    assert image.getexif()[ORIENTATION] == 6


def test_colours_of_a_jpeg_are_rgb_in_this_order() -> None:
    red = Image.new("RGB", (32, 32), (250, 10, 20))
    mean = read_photograph(encoded(red, "JPEG", quality=95)).pixels.mean(axis=(0, 1))
    np.testing.assert_allclose(mean, (250, 10, 20), atol=4)


def test_greyscale_fills_three_channels_and_says_so() -> None:
    grey = noise(20, 30)[:, :, 0]
    photograph = read_photograph(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(photograph.pixels, np.stack([grey] * 3, axis=2))
    assert codes(photograph) == ["GREYSCALE"]


def test_one_bit_becomes_black_and_white() -> None:
    bits = noise(20, 30)[:, :, 0] > 127
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
    pixels = noise(20, 30)
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
    assert photograph.warnings[0].values == {"n": 3}
    assert "3 pictures" in photograph.warnings[0].message


def test_date_is_the_moment_of_exposure() -> None:
    exif = exif_with(DATE_TAKEN, "2023:07:14 06:05:04", within=EXIF_IFD)
    exif[DATE_CHANGED] = "2024:01:01 00:00:00"
    assert read_photograph(encoded(Image.fromarray(noise(20, 30)), exif=exif)).captured == "2023-07-14T06:05:04"


@pytest.mark.parametrize("date", ["0000:00:00 00:00:00", "yesterday", ""])
def test_impossible_date_is_no_date(date: str) -> None:
    exif = exif_with(DATE_CHANGED, date)
    assert read_photograph(encoded(Image.fromarray(noise(20, 30)), exif=exif)).captured is None


def test_pixels_cannot_be_written_to() -> None:
    photograph = read_photograph(encoded(Image.fromarray(noise(20, 30))))
    with pytest.raises(ValueError, match="read-only"):
        photograph.pixels[0, 0] = 0
    assert photograph.pixels.flags.c_contiguous
