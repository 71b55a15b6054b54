"""Changes of training images: laws of their draws, and NumPy's values of each."""

import numpy as np
import pytest

from specflow.config.sections.augmentation import AugmentConfig
from specflow.config.sections.images import ImagesConfig
from specflow.data import build_data
from specflow.data.plan import BatchPlan, Share
from specflow.data.row_draws import RowDraws
from specflow.data.table.augmentation import augmented
from tests.data.images.image_files import write_folder

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (400, 5, 6, 3), np.uint8)
DRAWS = RowDraws(3, np.zeros(400, np.int64), np.arange(400))
ALL = {
    "scaled_crop": {"area": [0.3, 1.0]},
    "crop": {"padding": 2},
    "flip": "both",
    "rand_augment": {"operations": 3, "magnitude": 20},
    "color": {"brightness": 0.3, "contrast": 0.2, "saturation": 0.5, "hue": 0.1},
}


def changed(pixels=COLORS, draws=DRAWS, **settings):
    return augmented(pixels, AugmentConfig.model_validate(settings), draws, "image")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", each=12)

    def build(**settings):
        config = {"root": "photos", "split": {"eval": 0.25}, **settings}
        return build_data(ImagesConfig.model_validate(config))

    return build


def stream(data, batch_size, steps, share=None, start=0):
    share = Share() if share is None else share
    plan = BatchPlan(data.train, batch_size, seed=5, share=share)
    features, _ = plan.rows(start, steps)
    return features["image"]


@pytest.mark.parametrize("memory", ["2GiB", "10B"])
def test_pixels_depend_on_the_seed_the_epoch_and_the_row_alone(photos, memory):
    data = photos(augment=ALL, memory=memory)
    whole = stream(data, 6, 9).reshape(54, 6, 4, 1)  # Three epochs of 18 rows.
    assert np.array_equal(stream(data, 27, 2).reshape(whole.shape), whole)
    assert np.array_equal(stream(data, 6, 4, start=5).reshape(24, 6, 4, 1), whole[30:])
    parts = [stream(data, 6, 9, Share((part,), 2)) for part in (0, 1)]
    assert np.array_equal(np.concatenate(parts, axis=1).reshape(whole.shape), whole)


def test_every_epoch_has_other_changes_and_evaluation_has_none(photos):
    plain, data = photos(), photos(augment=ALL)
    plan = BatchPlan(data.train, 18, seed=5)
    epochs = []
    for step in range(3):
        order = np.argsort(plan.row_ids(step, 1)[0])
        epochs.append(plan.rows(step, 1)[0]["image"][0][order])
    assert (epochs[0] != epochs[1]).any(axis=(1, 2, 3)).mean() > 0.9
    assert (epochs[1] != epochs[2]).any(axis=(1, 2, 3)).mean() > 0.9
    for split in ("train", "eval"):
        one, other = (each.split(split).take(slice(None))[0] for each in (plain, data))
        assert np.array_equal(one["image"], other["image"])


def test_half_of_the_images_are_mirrored():
    flipped = changed(flip="horizontal")
    is_same = (flipped == COLORS).all(axis=(1, 2, 3))
    is_mirrored = (flipped == COLORS[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_same ^ is_mirrored).all()
    assert abs(is_mirrored.mean() - 0.5) < 0.1  # Four standard deviations.
    both = changed(flip="both")
    kinds = [COLORS, COLORS[:, ::-1], COLORS[:, :, ::-1], COLORS[:, ::-1, ::-1]]
    counts = [int((both == kind).all(axis=(1, 2, 3)).sum()) for kind in kinds]
    assert sum(counts) == 400
    assert min(counts) > 60


def test_a_crop_is_one_of_the_shifted_images_and_each_occurs():
    shifted = changed(crop={"padding": 1})
    padded = np.pad(COLORS, ((0, 0), (1, 1), (1, 1), (0, 0)))
    counts = [
        int((shifted == padded[:, y : y + 5, x : x + 6]).all(axis=(1, 2, 3)).sum())
        for y in range(3)
        for x in range(3)
    ]
    assert sum(counts) == 400
    assert min(counts) > 18


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_colors_are_interpolated_from_their_origin(kind):
    low, high = 0.6, 1.4
    # Without overflow, so that the factor of an image can be computed of its pixels.
    pixels = (COLORS // 4 + 70).astype(np.uint8)
    result = changed(pixels, color={kind: 0.4}).astype(np.float64)
    gray = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    origin = {
        "brightness": np.zeros_like(pixels, np.float64),
        "contrast": np.broadcast_to(
            gray.mean(axis=(1, 2))[:, None, None, None], pixels.shape
        ),
        "saturation": np.repeat(gray[..., None], 3, axis=3),
    }[kind]
    factors = []
    for image, start, after in zip(pixels, origin, result, strict=True):
        # Each pixel bounds the factor, since it was rounded; all bounds agree.
        difference = (image - start).ravel()
        bounds = [(after - start).ravel() + half for half in (-0.5, 0.5)]
        used = np.abs(difference) > 1e-6
        limits = np.sort([bound[used] / difference[used] for bound in bounds], axis=0)
        lowest, highest = limits[0].max(), limits[1].min()
        assert lowest <= highest + 1e-9
        factor = (lowest + highest) / 2
        factors.append(factor)
    assert low - 0.02 <= min(factors) < 0.65
    assert 1.35 < max(factors) <= high + 0.02
    assert abs(np.mean(factors) - 1.0) < 0.05


def test_draws_are_uniform_and_independent_of_each_other():
    rows, epochs = np.meshgrid(np.arange(200), np.arange(50))
    draws = RowDraws(0, epochs.ravel(), rows.ravel())
    one, other = draws.uniform("one"), draws.uniform("other")
    for numbers in (one, other):
        counts = np.histogram(numbers, 20, (0, 1))[0]
        # Chi-squared with 19 degrees of freedom: below 50 but for one in 10,000.
        assert ((counts - 500) ** 2 / 500).sum() < 50
    table = one.reshape(50, 200)
    pairs = [(one, other), (table[:-1], table[1:]), (table[:, :-1], table[:, 1:])]
    for left, right in pairs:
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.05
