"""Decoding: pixels equal those of independent sources, for every mode of files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from specflow.columns import ImageColumn, ImageError, image_header
from specflow.columns.image_decoding import decoded

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 4), np.uint8)
COLORS = RNG.integers(0, 256, (6, 4, 3), np.uint8)


def encoded(image, format="PNG", **settings):
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


def pixels(content, channels, size=(6, 4), resize="crop"):
    return decoded(content, size, channels, resize)


def luma(colors):
    """ITU-R 601 in 16-bit fixed point, as Pillow documents it for mode L."""
    weights = np.array([19595, 38470, 7471])
    return ((colors.astype(np.int64) @ weights + 0x8000) >> 16).astype(np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_colors_are_those_that_were_written(format):
    settings = {"lossless": True} if format == "WEBP" else {}
    content = encoded(Image.fromarray(COLORS), format, **settings)
    assert np.array_equal(pixels(content, 3), COLORS)
    assert not image_header(content).is_gray


def test_gray_becomes_three_equal_channels_and_colors_their_luma():
    gray = pixels(encoded(Image.fromarray(GRAY)), 3)
    assert np.array_equal(gray, np.repeat(GRAY[..., None], 3, axis=2))
    colors = pixels(encoded(Image.fromarray(COLORS)), 1)
    assert np.array_equal(colors[..., 0], luma(COLORS))


def test_16_bits_are_divided_by_257_and_rounded():
    values = RNG.integers(0, 65_536, (6, 4), np.uint16)
    values[0, :3] = [65_535, 128, 129]  # 128 / 257 is below one half.
    content = encoded(Image.fromarray(values))
    assert image_header(content).is_gray
    expected = np.rint(values / 257).astype(np.uint8)
    assert np.array_equal(pixels(content, 1)[..., 0], expected)


def test_transparent_pixels_are_blended_with_white():
    alpha = np.array([[0, 255, 128, 51]] * 6, np.uint8)
    rgba = np.dstack([COLORS, alpha])
    share = alpha[..., None] / 255
    expected = COLORS * share + 255 * (1 - share)
    blended = pixels(encoded(Image.fromarray(rgba)), 3)
    # Pillow rounds products of 8 bits.
    assert np.abs(blended - expected).max() <= 1
    assert (blended[:, 0] == 255).all()
    assert np.array_equal(blended[:, 1], COLORS[:, 1])


def test_palettes_have_their_colors_and_their_transparency():
    image = Image.fromarray(COLORS).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(pixels(encoded(image), 3), expected)
    assert not image_header(encoded(image)).is_gray
    transparent = pixels(encoded(image, transparency=image.getpixel((0, 0))), 3)
    assert (transparent[0, 0] == 255).all()


def test_a_palette_of_grays_is_gray():
    palette = Image.fromarray(GRAY).convert("P", palette=Image.Palette.ADAPTIVE)
    assert image_header(encoded(palette)).is_gray


def test_bits_are_black_and_white():
    bits = encoded(Image.fromarray(GRAY > 100))
    assert np.array_equal(pixels(bits, 1)[..., 0], (GRAY > 100) * np.uint8(255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation):
    # The transforms of the EXIF standard, by NumPy: what was stored -> upright.
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
        8: lambda a: np.rot90(a, 1),
    }[orientation](COLORS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(COLORS), exif=exif)
    header = image_header(content)
    assert (header.height, header.width) == upright.shape[:2]
    assert np.array_equal(pixels(content, 3, upright.shape[:2]), upright)


def test_an_animation_is_its_first_frame():
    frames = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(pixels(content, 1)[..., 0], GRAY)


def triangles(size, target):
    """Weights of antialiased bilinear interpolation, float64 "target size"."""
    scale = max(1.0, size / target)
    centers = (np.arange(target) + 0.5) * size / target
    distance = np.abs(np.arange(size) + 0.5 - centers[:, None]) / scale
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("target", [(3, 2), (9, 7), (6, 2)])
def test_stretched_pixels_are_bilinear_with_the_area_that_they_cover(target):
    content = encoded(Image.fromarray(GRAY))
    stretched = pixels(content, 1, target, "stretch")[..., 0]
    rows, columns = triangles(6, target[0]), triangles(4, target[1])
    expected = rows @ GRAY @ columns.T
    # Pillow rounds after each direction.
    assert np.abs(stretched - expected).max() <= 1.0


def test_a_crop_takes_the_center_and_a_pad_keeps_all():
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    content = encoded(Image.fromarray(wide))
    assert (pixels(content, 1, (4, 4), "crop") == 200).all()
    padded = pixels(content, 1, (8, 8), "pad")[..., 0]
    assert np.array_equal(padded[2:6], wide)
    assert not padded[:2].any()
    assert not padded[6:].any()


def test_a_large_jpeg_is_close_to_its_full_decoding():
    rows, columns = np.mgrid[0:512, 0:384]
    image = Image.fromarray(((rows + columns) // 4 % 256).astype(np.uint8))
    content = encoded(image, "JPEG", quality=95)
    small = pixels(content, 1, (32, 24))
    whole = ImageOps.fit(Image.open(io.BytesIO(content)), (24, 32), Image.BILINEAR)
    assert np.abs(small[..., 0].astype(int) - np.asarray(whole)).max() <= 4


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is no image, or is damaged"),
        (encoded(Image.fromarray(COLORS))[:60], "cannot be decoded"),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "floats"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
    ],
    ids=["empty", "header", "truncated", "floats", "postscript"],
)
def test_what_cannot_be_decoded_says_why(content, problem):
    with pytest.raises(ImageError, match=problem):
        pixels(content, 1)


def test_a_file_that_claims_too_many_pixels_is_refused():
    content = bytearray(encoded(Image.fromarray(GRAY), "BMP"))
    content[18:26] = (60_000).to_bytes(4, "little") * 2
    with pytest.raises(ImageError, match=r"more than [0-9,]+ pixels"):
        pixels(bytes(content), 1)


def test_scaled_pixels_equal_float64():
    column = ImageColumn(
        size=(6, 4), channels=3, mean=(0.4, 0.5, 0.1), std=(0.2, 0.3, 1.0)
    )
    expected = (COLORS / 255 - column.mean) / column.std
    scaled = column.apply(COLORS[None])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0], expected, rtol=1e-5, atol=1e-6)
    unit = ImageColumn(size=(6, 4)).apply(GRAY[None, ..., None])
    assert np.array_equal(unit[0, ..., 0], (GRAY / 255).astype(np.float32))


def test_a_column_survives_json():
    column = ImageColumn(size=(6, 4), mean=(0.5,), std=(0.25,), sources=("path",))
    assert ImageColumn.from_json(column.to_json()) == column
