"""Operations of augmentation: values of colorsys, NumPy and Pillow, and their laws."""

import colorsys
import io
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from specflow.columns.image_decoding import decoded
from specflow.config.sections.augmentation import (
    AugmentConfig,
    Operation,
    ScaledCropConfig,
)
from specflow.config.sections.images import ImagesConfig
from specflow.data import build_data
from specflow.data.row_draws import RowDraws
from specflow.data.table.augmentation import augmented
from specflow.data.table.rand_augment import changed_by
from specflow.data.table.scaled_crop import ScaledCrop, scaled_crops
from tests.data.images.image_files import write_image

RNG = np.random.default_rng(7)
COLORS = RNG.integers(0, 256, (60, 7, 9, 3), np.uint8)
DRAWS = RowDraws(3, np.zeros(60, np.int64), np.arange(60))
OPERATIONS = get_args(Operation)
LUMA = [0.299, 0.587, 0.114]

colors = st.fixed_dictionaries(
    {name: st.floats(0, 2) for name in ("brightness", "contrast", "saturation")}
    | {"hue": st.floats(0, 0.5)}
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "crop": st.fixed_dictionaries({"padding": st.integers(1, 5)}),
        "flip": st.sampled_from(["horizontal", "vertical", "both"]),
        "rand_augment": st.fixed_dictionaries(
            {"operations": st.integers(1, 4), "magnitude": st.floats(0, 30)},
            optional={
                "among": st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4)
            },
        ),
        "color": colors,
    },
)


@settings(max_examples=25)
@given(
    changes,
    st.integers(0, 2**62),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 59)), min_size=1),
    st.sampled_from([1, 3]),
)
def test_each_row_is_a_function_of_the_seed_the_epoch_and_itself(
    declared, seed, places, channels
):
    epochs, rows = np.array(places).T
    config = AugmentConfig.model_validate(declared)
    pixels = COLORS[..., :channels]
    draws = RowDraws(seed, epochs, rows)
    together = augmented(pixels[rows], config, draws, "image")
    assert together.dtype == np.uint8
    assert together.shape == (len(rows), 7, 9, channels)
    for place in range(min(3, len(rows))):
        one = slice(place, place + 1)
        alone = RowDraws(seed, epochs[one], rows[one])
        result = augmented(pixels[rows[one]], config, alone, "image")
        assert np.array_equal(result[0], together[place])


@pytest.mark.parametrize(
    "declared",
    [
        {"color": {}},
        {"rand_augment": {"magnitude": 0, "among": list(OPERATIONS[:-2])}},
        {"rand_augment": {"among": ["identity"]}},
    ],
)
def test_zero_strength_changes_nothing(declared):
    config = AugmentConfig.model_validate(declared)
    assert np.array_equal(augmented(COLORS, config, DRAWS, "image"), COLORS)


def test_hue_shifts_by_the_values_of_colorsys():
    config = AugmentConfig.model_validate({"color": {"hue": 0.5}})
    result = augmented(COLORS, config, DRAWS, "image")
    turns = DRAWS.uniform("image hue") - 0.5
    assert turns.min() < -0.45 < 0.45 < turns.max()
    for image, shift, after in zip(COLORS, turns, result, strict=True):
        for pixel, changed in zip(
            image.reshape(-1, 3), after.reshape(-1, 3), strict=True
        ):
            hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
            expected = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
            assert changed.tolist() == [round(part * 255) for part in expected]
    gray = COLORS[..., :1]
    assert np.array_equal(augmented(gray, config, DRAWS, "image"), gray)


def test_a_drawn_operation_has_the_declared_number_and_both_signs():
    config = AugmentConfig.model_validate(
        {"rand_augment": {"operations": 1, "magnitude": 30, "among": ["translate_x"]}}
    )
    result = augmented(COLORS, config, DRAWS, "image")
    right = (result[:, :, 4:] == COLORS[:, :, :-4]).all(axis=(1, 2, 3))
    left = (result[:, :, :-4] == COLORS[:, :, 4:]).all(axis=(1, 2, 3))
    assert (right ^ left).all()
    assert 15 < right.sum() < 45


def nearest(image, source):
    """Each pixel from `source(x, y)` of its center, black outside."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            left, top = (int(np.floor(part)) for part in source(x + 0.5, y + 0.5))
            if 0 <= left < width and 0 <= top < height:
                result[y, x] = image[top, left]
    return result


def blended(origin, image, factor):
    """Pillow's blend: it clips, and cuts off the fraction."""
    values = origin + factor * (image.astype(np.float32) - origin)
    return np.clip(values, 0, 255)


def rotated(image, degrees):
    height, width, _ = image.shape
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def source(x, y):
        right, down = x - width / 2, y - height / 2
        return right * cos - down * sin + width / 2, right * sin + down * cos + (
            height / 2
        )

    return nearest(image, source)


def equalized(channel):
    counts = np.bincount(channel.ravel(), minlength=256)
    used = counts[counts > 0]
    step = (used.sum() - used[-1]) // 255
    if len(used) <= 1 or not step:
        return channel
    before = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.minimum((step // 2 + before) // step, 255)[channel]


@pytest.mark.parametrize("strength", [0.8, -0.45])
@pytest.mark.parametrize("channels", [1, 3])
def test_geometric_operations_are_those_of_numpy(strength, channels):
    image = RNG.integers(0, 256, (11, 13, channels), np.uint8)
    shear, wide, high = (
        0.3 * strength,
        *(int(150 / 331 * side * strength) for side in (13, 11)),
    )
    expected = {
        "identity": image,
        "shear_x": nearest(image, lambda x, y: (x - shear * y, y)),
        "shear_y": nearest(image, lambda x, y: (x, y - shear * x)),
        "translate_x": nearest(image, lambda x, y: (x - wide, y)),
        "translate_y": nearest(image, lambda x, y: (x, y - high)),
        "rotate": rotated(image, 30 * strength),
    }
    for name, pixels in expected.items():
        assert np.array_equal(changed_by(name, image, strength), pixels), name


@pytest.mark.parametrize("strength", [0.8, -0.4])
def test_operations_of_colors_are_those_of_numpy(strength):
    image = RNG.integers(30, 220, (40, 30, 3), np.uint8)
    factor = 1 + 0.9 * strength
    # ITU-R 601 in integers, as Pillow rounds it.
    gray = (image.astype(int) @ [19595, 38470, 7471] + 0x8000) >> 16
    mean = int(gray.mean() + 0.5)
    smooth = image.astype(np.float64)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    smooth[1:-1, 1:-1] = np.floor((windows * kernel).sum(axis=(3, 4)) + 0.5)
    close = {
        "brightness": blended(np.zeros(1), image, factor),
        "color": blended(gray[..., None], image, factor),
        "contrast": blended(np.full(1, mean), image, factor),
        "sharpness": blended(smooth, image, factor),
    }
    for name, values in close.items():
        result = changed_by(name, image, strength).astype(float)
        assert np.abs(result - values).max() <= 1.0, name  # Rounding to 8 bits.
    bits = 8 - round(4 * abs(strength))
    threshold = round(256 * (1 - abs(strength)))
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    exact = {
        "posterize": image >> (8 - bits) << (8 - bits),
        "solarize": np.where(image < threshold, image, 255 - image),
        "equalize": np.stack([equalized(image[..., c]) for c in range(3)], axis=-1),
    }
    for name, pixels in exact.items():
        assert np.array_equal(changed_by(name, image, strength), pixels), name
    stretched = (image.astype(float) - low) * 255 / (high - low)
    contrast = changed_by("auto_contrast", image, strength).astype(float)
    assert np.abs(contrast - stretched).max() <= 1.0


def crops_of(count, area, aspect, seed=0):
    config = ScaledCropConfig(area=area, aspect=aspect)
    draws = RowDraws(seed, np.zeros(count, np.int64), np.arange(count))
    return scaled_crops(config, draws, "image")


def test_areas_aspects_and_places_of_scaled_crops_are_uniform():
    boxes = np.array(
        [crop(3000, 3000) for crop in crops_of(4000, [0.1, 0.5], [0.5, 2])]
    )
    tops, lefts, rows, columns = boxes.T
    areas, aspects = rows * columns / 9e6, np.log2(columns / rows)
    parts = {
        "area": (areas - 0.1) / 0.4,
        "aspect": (aspects + 1) / 2,
        "top": tops / (3000 - rows),
        "left": lefts / (3000 - columns),
    }
    for name, values in parts.items():
        assert np.abs(values - 0.5).max() < 0.51, name
        counts = np.histogram(values, 10, (0, 1))[0]
        # Chi-squared with 9 degrees of freedom: below 34 but for one in 10,000.
        assert ((counts - 400) ** 2 / 400).sum() < 34, name


@settings(max_examples=50)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
)
def test_a_scaled_crop_is_inside_of_its_image(height, width, area, aspect):
    for crop in crops_of(5, area, aspect):
        top, left, rows, columns = crop(height, width)
        assert 0 <= top <= top + rows <= height
        assert 0 <= left <= left + columns <= width
        assert rows
        assert columns


def test_the_largest_centered_rectangle_where_none_fits():
    (crop,) = crops_of(1, [1.0, 1.0], [1.0, 1.0])
    assert crop(10, 30) == (0, 10, 10, 10)
    assert crop(30, 10) == (10, 0, 10, 10)
    assert crop(10, 10) == (0, 0, 10, 10)


def test_a_part_of_a_file_is_cropped_and_scaled_as_by_pillow():
    pixels = RNG.integers(0, 256, (50, 70, 3), np.uint8)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # Shown after a turn by 90 degrees.
    image = Image.fromarray(pixels)
    image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    part = (5, 20, 30, 41)
    result = decoded(turned.getvalue(), (8, 6), 3, "pad", lambda h, w: part)
    cropped = image.crop((20, 5, 61, 35)).resize((6, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(result, np.asarray(cropped))


def test_a_part_of_a_large_jpeg_is_decoded_with_enough_pixels():
    y, x = np.mgrid[:800, :1200]
    waves = (127 + 120 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(waves).save(content, "JPEG", quality=95)
    part = (100, 300, 128, 128)
    result = decoded(content.getvalue(), (64, 64), 1, "crop", lambda h, w: part)
    whole = Image.open(io.BytesIO(content.getvalue()))
    expected = whole.crop((300, 100, 428, 228)).resize((64, 64), 2)
    assert np.abs(result[..., 0].astype(int) - np.asarray(expected)).mean() < 1.0


def test_crops_are_read_from_the_files_and_evaluation_is_whole(tmp_path):
    written = {}
    for number in range(8):
        pixels = RNG.integers(0, 256, (20 + number, 31, 3), np.uint8)
        path = f"{'ab'[number % 2]}/{number}.png"
        write_image(tmp_path / path, pixels)
        written[path] = pixels
    data = build_data(
        ImagesConfig.model_validate(
            {
                "root": str(tmp_path),
                "size": 6,
                "split": {"eval": 0.25},
                "augment": {"scaled_crop": {"area": [0.1, 0.2]}},
            }
        )
    )
    rows = np.arange(len(data.train))
    draws = RowDraws(5, np.ones_like(rows), rows)
    features, _ = data.train.take_augmented(rows, draws)
    config = ScaledCropConfig(area=[0.1, 0.2])
    crops = scaled_crops(config, draws, "image")
    for row, path in enumerate(data.train.ids["path"]):
        assert isinstance(crops[row], ScaledCrop)
        top, left, height, width = crops[row](*written[path].shape[:2])
        part = Image.fromarray(written[path]).crop(
            (left, top, left + width, top + height)
        )
        expected = np.asarray(part.resize((6, 6), Image.Resampling.BILINEAR))
        assert np.allclose(features["image"][row] * 255, expected, atol=1e-4)
    plain = build_data(
        ImagesConfig.model_validate(
            {"root": str(tmp_path), "size": 6, "split": {"eval": 0.25}}
        )
    )
    for split in ("train", "eval"):
        one, other = (each.split(split).take(slice(None))[0] for each in (plain, data))
        assert np.array_equal(one["image"], other["image"])
