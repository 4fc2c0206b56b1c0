"""Encoding: what goes in comes out, the same bytes each time, nothing but pixels in them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pairx_plugin.errors import EvidenceError, SettingsError
from pairx_plugin.rendering.pictures import WEBP_MAX_SIDE, decode, encode, media_type


def picture(height: int = 40, width: int = 56) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    return np.stack([rows * 4 % 256, cols * 3 % 256, (rows + cols) * 2 % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("picture_format", "quality"), [("png", 90), ("png", None), ("webp", None)])
def test_lossless_formats_give_back_every_pixel(picture_format, quality):
    assert np.array_equal(decode(encode(picture(), picture_format, quality=quality)), picture())


def test_lossy_webp_is_close_and_smaller_than_lossless_on_a_photograph():
    rng = np.random.default_rng(0)
    noisy = np.clip(picture(128, 128).astype(int) // 2 + rng.integers(0, 40, (128, 128, 3)), 0, 255).astype(
        np.uint8
    )
    lossy, lossless = encode(noisy, "webp", quality=80), encode(noisy, "webp", quality=None)
    assert len(lossy) < len(lossless) / 2
    assert np.abs(decode(lossy).astype(int) - noisy).mean() < 12


def test_webp_is_encoded_fast_and_hardly_larger_than_by_pillows_own_choice(make_texture):
    """Method 2 takes half the time of Pillow's default 4; whoever changes it measures it."""
    photograph = Image.fromarray(make_texture(0)).resize((640, 480), Image.Resampling.BICUBIC)
    sizes = {}
    for method in (0, 2, 4):
        stream = io.BytesIO()
        photograph.save(stream, "WEBP", quality=90, method=method)
        sizes[method] = stream.getvalue()
    made = encode(np.array(photograph))
    assert made == sizes[2] and made != sizes[4]
    assert len(made) < 1.05 * len(sizes[4]) and len(made) < len(sizes[0])


@pytest.mark.parametrize("picture_format", ["png", "webp"])
def test_equal_pixels_give_equal_bytes(picture_format):
    assert encode(picture(), picture_format) == encode(picture().copy(), picture_format)


@pytest.mark.parametrize("picture_format", ["png", "webp"])
def test_arrays_that_are_views_are_encoded_as_seen(picture_format):
    turned = picture()[::-1, ::2]
    assert np.array_equal(decode(encode(turned, picture_format, quality=None)), turned)


def test_png_holds_no_metadata():
    data, chunks, place = encode(picture(), "png"), [], 8
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        chunks.append(kind)
        place += 12 + length
    assert chunks[0] == b"IHDR" and chunks[-1] == b"IEND" and set(chunks[1:-1]) == {b"IDAT"}


@pytest.mark.parametrize("quality", [90, None])
def test_webp_holds_no_metadata(quality):
    data = encode(picture(), "webp", quality=quality)
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    assert not any(kind in data for kind in (b"EXIF", b"XMP ", b"ICCP"))


def test_a_grey_map_comes_back_as_it_was():
    grey = (np.arange(30 * 20).reshape(30, 20) % 256).astype(np.uint8)
    assert np.array_equal(decode(encode(grey, "png")), grey)


def test_a_side_too_long_for_webp_is_an_error_that_names_png():
    strip = np.zeros((1, WEBP_MAX_SIDE + 1, 3), np.uint8)
    with pytest.raises(SettingsError, match=r"16384 x 1 px is too large for WebP.*16383 px.*'png'"):
        encode(strip, "webp")
    assert decode(encode(strip, "png")).shape == strip.shape
    assert decode(encode(strip[:, 1:], "webp")).shape == (1, WEBP_MAX_SIDE, 3)


def test_unknown_formats_and_qualities_are_errors():
    with pytest.raises(SettingsError, match="'wepb'; nearest: 'webp'; choose from: png, webp"):
        encode(picture(), "wepb")
    for quality in (0, 101, -3):
        with pytest.raises(SettingsError, match=f"quality is {quality}; it must be 1 to 100"):
            encode(picture(), "webp", quality=quality)


@pytest.mark.parametrize(
    "pixels",
    [
        picture().astype(np.float32),
        picture()[..., :2],
        np.zeros((0, 4, 3), np.uint8),
        "x",
        np.zeros(5, np.uint8),
    ],
    ids=["float", "two channels", "empty", "text", "one dimension"],
)
def test_what_is_no_picture_is_an_error(pixels):
    with pytest.raises(EvidenceError, match="must be an .* array of uint8"):
        encode(pixels, "png")


@pytest.mark.parametrize("cut", [0, 10, 60, -60])
@pytest.mark.parametrize("picture_format", ["png", "webp"])
def test_bytes_that_end_too_early_are_an_error(picture_format, cut):
    with pytest.raises(EvidenceError, match="no readable PNG or WebP picture"):
        decode(encode(picture(), picture_format)[:cut])


def test_media_types():
    assert (media_type("png"), media_type("webp")) == ("image/png", "image/webp")
    with pytest.raises(SettingsError, match="unknown picture format 'gif'"):
        media_type("gif")
