"""Array files: every dtype round-trips bitwise."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specflow.serving.array_file import read_arrays, write_arrays
from specflow.serving.round_trip import difference


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays") / "arrays.bin"


DTYPES = ["float32", "float64", "int8", "uint16", "int64", "bool", ">f4", "complex64"]


@given(
    arrays=st.dictionaries(
        st.text(max_size=5),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=4,
    )
)
def test_arrays_of_any_dtype_and_shape_round_trip(arrays, file):
    index = write_arrays(file, arrays)
    found = read_arrays(file.read_bytes(), index)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "dtype",
    [
        ml_dtypes.bfloat16,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2,
        ml_dtypes.int4,
    ],
)
def test_narrow_dtypes_round_trip(dtype, file):
    array = np.array([[0, 1, -2], [3, 4, 5]]).astype(dtype)[:, ::2]
    index = write_arrays(file, {"x": array})
    found = read_arrays(file.read_bytes(), index)["x"]
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_arrays_are_aligned_for_vector_loads(file):
    index = write_arrays(file, {"a": np.zeros(3, np.int8), "b": np.zeros(1)})
    assert [entry["offset"] for entry in index.values()] == [0, 64]


def test_floats_are_compared_by_magnitude_and_integers_by_count():
    y = np.array([1.0, 100.0, np.nan, np.inf], np.float32)
    near, far = y.copy(), y.copy()
    near[0] += 0.005
    far[3] = 1.0
    assert difference({"y": y}, {"y": near}, within=1e-4) == ""
    assert difference({"y": y}, {"y": near}, within=None) == (
        "'y' differs in 1 of 4 values, by 0.005 at most"
    )
    assert difference({"y": y}, {"y": far}, within=1e-4) == (
        "'y' differs in 1 of 4 values, by 0 at most"
    )
    whole = np.arange(20)
    other = np.where(whole < 2, 50, whole)
    assert difference({"k": whole}, {"k": other}, within=1e-4) == ""
    assert difference({"k": whole}, {"k": np.roll(whole, 1)}, within=1e-4) != ""
    assert difference({"y": y}, {"y": y[:2]}, within=1.0) == (
        "'y' is float32[2], was float32[4]"
    )
