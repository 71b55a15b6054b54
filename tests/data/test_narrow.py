"""Numbers of 64 bits: what 32 hold is the same, what they do not hold is named.

Expected values are NumPy's own, of the arrays before anything touched them.
"""

import sys
import types
import warnings

import jax
import numpy as np
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.data_sources import NpzConfig
from specflow.data import ArraySource, BatchPlan, EvalBatches, as_train_batches
from specflow.data.build_sources import build_data
from specflow.data.narrowing import device_dtype
from specflow.diagnostics.errors import (
    ConfigError,
    DataError,
    SpecError,
    SpecflowWarning,
)
from specflow.tf.heads import MultiClassHead

IN_32 = "Expected integers in [-2147483648, 2147483647]: int64 is computed as int32."


def _refused(call) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [
        "number-range"
    ]
    return str(caught.value)


def _warned(features, labels=None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ArraySource(features, labels, finite=False)
    assert all(isinstance(one.message, SpecflowWarning) for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("dtype", "limits", "narrow"),
    [
        (np.int64, [-(2**31), 2**31 - 1, 0], np.int32),
        (np.uint64, [0, 2**32 - 1, 7], np.uint32),
    ],
)
def test_what_fits_is_exact(dtype, limits, narrow):
    source = ArraySource({"x": np.array(limits, dtype)}, np.array(limits, dtype))
    features, labels = source.take(np.arange(3))
    for array in (features["x"], labels):
        assert array.dtype == narrow
        assert array.tolist() == limits
    assert source.spec()[1].dtype == narrow


@pytest.mark.parametrize(
    ("array", "row", "value"),
    [
        (np.array([0, 2**31]), 1, 2**31),
        (np.array([0, 5, -(2**31) - 1]), 2, -(2**31) - 1),
        (np.array([[1, 1], [1, 2**40], [2**41, 1]]), 1, 2**40),
        (np.array([1, 2**32], ">i8"), 1, 2**32),
    ],
)
def test_what_does_not_fit_is_named_with_its_first_row(array, row, value):
    reported = f"row {row} has {value} (a.npz). {IN_32}"
    for part, given in (
        ("features.x", ({"x": array}, None)),
        ("labels", (array, array)),
    ):
        refused = lambda given=given: ArraySource(*given, origin="a.npz")  # noqa: E731
        with pytest.raises(DataError) as caught:
            refused()
        assert f"{part}: {reported}" in str(caught.value)


def test_the_row_is_counted_over_blocks():
    array = np.zeros(3_000_000, np.uint64)
    array[2_500_001] = 2**32
    assert (
        "features: row 2500001 has 4294967296. Expected integers in [0, 4294967295]"
        in (_refused(lambda: ArraySource(array)))
    )


def test_it_is_refused_wherever_rows_come_in(tmp_path):
    wide, labels = np.array([1, 2**40]), np.zeros(2, np.int32)
    batch = ({"x": wide}, labels)
    reported = "features.x: row 1 has 1099511627776"
    file = tmp_path / "wide.npz"
    np.savez(file, x=wide, labels=labels)
    config = NpzConfig(train=str(file), eval=str(file))
    assert reported in _refused(lambda: build_data(config))
    training = {"batch_size": 2, "steps_per_chunk": 1}
    for stream in ([batch], iter([batch]), (one for one in [batch])):
        message = _refused(lambda s=stream: next(as_train_batches(s, **training)))
        assert f"{reported} (batch of step 0)" in message
    for given, where in ((batch, ""), ([batch], " (evaluation batch 0)")):
        assert f"{reported}{where}" in _refused(lambda g=given: list(EvalBatches(g, 2)))


class _Own:
    """A user's own source."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def take(self, rows):
        return {"x": self.array[rows]}, None

    def spec(self):
        return {"x": sf.data.RowSpec((), self.array.dtype)}, None

    def column(self, path):
        return self.array


def test_rows_of_a_source_of_ones_own_are_narrowed_and_refused_too():
    fits = BatchPlan(_Own(np.arange(4)), 2, shuffle=False)
    assert fits.rows(0, 1)[0]["x"].dtype == np.int32
    assert (
        next(iter(EvalBatches(_Own(np.arange(4)), 2))).features["x"].dtype == np.int32
    )
    wide = BatchPlan(_Own(np.arange(4) + 2**40), 2, shuffle=False)
    assert "row 0 has 1099511627776 (batches from step 2)" in _refused(
        lambda: wide.rows(2, 1)
    )


@pytest.mark.parametrize("dtype", [">f4", ">i4", ">i2", ">u8", ">f8", ">f2", ">i8"])
def test_big_endian_arrays_are_the_same_numbers_in_native_order(dtype):
    given = np.arange(6).astype(dtype)
    native = given.astype(given.dtype.newbyteorder("="))
    for features, labels in (
        ArraySource({"x": given}, given).take(np.array([5, 0])),
        (lambda b: (b.features, b.labels))(
            next(iter(EvalBatches([({"x": given[[5, 0]]}, given[[5, 0]])], 2)))
        ),
    ):
        for array in (features["x"], labels):
            assert array.dtype == device_dtype(native.dtype)
            assert array.dtype.isnative
            np.testing.assert_array_equal(array, native[[5, 0]])


def test_x64_keeps_64_bits():
    wide, fine = np.array([2**40, -(2**50)]), np.array([0.1, 1e300])
    with jax.enable_x64(True):
        features, labels = ArraySource({"x": fine}, wide).take(np.arange(2))
        (batch,) = EvalBatches([({"x": fine.astype(">f8")}, wide)], 2)
    for x, y in ((features["x"], labels), (batch.features["x"], batch.labels)):
        np.testing.assert_array_equal(x, fine, strict=True)
        np.testing.assert_array_equal(y, wide, strict=True)


def test_a_float_that_becomes_infinite_is_refused():
    assert _refused(lambda: ArraySource(np.array([1.0, 1e39]))) == (
        "features: row 1 has 1e+39. Expected magnitudes up to 3.403e+38: float64 is "
        "computed as float32. Scale the numbers, or take their logarithm. "
        "JAX_ENABLE_X64=1 computes in 64 bits."
    )
    ArraySource(
        np.array([1.0, np.inf]), finite=False
    )  # An infinity of the user's own stays.


def test_whole_numbers_that_become_others_are_warned_of():
    seconds = 1_700_000_000.0 + np.arange(3)
    assert _warned({"t": seconds}) == [
        "features.t: row 1 has 1700000001.0, which float32 rounds to 1700000000.0. "
        "Subtract an offset first, such as the smallest of them, or scale them. "
        "JAX_ENABLE_X64=1 computes in 64 bits."
    ]


def test_columns_whose_changes_are_lost_are_warned_of():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=99), 1e6 + 0.01 * rng.normal(size=99)], 1)
    assert len(set(np.float32(x[:, 1]))) < 4  # The kind: 99 numbers become 3.
    (warning,) = _warned({"x": x})
    assert warning.startswith("features.x: the numbers at [1] lie in [999999.97")
    (warning,) = _warned({"x": 1e-50 * rng.normal(size=9)})
    assert "float32 rounds them by up to" in warning  # To 0, all of them.


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=(10_000, 3)),
        np.full(9, 0.1),  # A constant column is a constant one.
        np.array([0.3, 0.1 + 0.2]),  # float64's own rounding.
        np.random.default_rng(0).lognormal(20, 3, size=1_000),
        np.array([2.0**24, 2.0**25, 2.0**60]),  # Whole, and exact in float32.
        np.array([np.nan, 1.0, 2.0]),
        np.array([np.inf, 1.0, 0.1]),
        np.arange(5.0),
    ],
)
def test_ordinary_float64_data_gives_no_warning(array):
    assert _warned(array) == []


def test_labels_of_a_head_and_steps_that_do_not_fit_are_refused():
    with pytest.raises(
        SpecError, match=r"label_vocabulary: has 1099511627776. Expected"
    ):
        MultiClassHead(3, label_vocabulary=(0, 1, 1 << 40))
    spec = sf.TrainSpec(lambda: None, max_steps=1 << 31)
    estimator = sf.TPUEstimator(
        lambda model, features, labels, mode: None,
        model=lambda rngs: nnx.Linear(1, 1, rngs=rngs),
    )
    for call in (
        lambda: estimator.train(lambda: None, steps=1 << 31),
        lambda: estimator.train_and_evaluate(spec, sf.EvalSpec(lambda: None)),
    ):
        with pytest.raises(
            ConfigError, match=r"got 2147483648. Expected at most 2000000000"
        ):
            call()


def test_an_example_to_export_is_looked_at_too(tmp_path):
    estimator = sf.TPUEstimator(
        lambda model, features, labels, mode: None,
        model=lambda rngs: nnx.Linear(1, 1, rngs=rngs),
    )
    example = {"x": np.array([1, 2**40])}
    message = _refused(lambda: estimator.export(tmp_path, features=example))
    assert "features.x: row 1 has 1099511627776 (export)" in message


def test_dtypes_are_known_while_another_thread_imports_jax(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    monkeypatch.delenv("JAX_ENABLE_X64", raising=False)
    assert device_dtype(np.float64) == np.float32
