"""Inputs: what suits a signature, and one clear error for what does not."""

import ml_dtypes
import numpy as np
import pytest

from specflow.diagnostics.errors import ExportError
from specflow.serving import Function, Signature, TensorForm

ASK = Signature(
    "ask",
    "predict",
    {
        "image": TensorForm(("b", 2, 2), "float32"),
        "age": TensorForm(("b",), "int32"),
        "half": TensorForm(("b",), "bfloat16"),
    },
    {"y": TensorForm(("b",), "float32")},
    (Function("ask.jax_export", None),),
    ("no", "yes"),
)
HALF = np.zeros(3, ml_dtypes.bfloat16)


def good():
    return {
        "image": np.zeros((3, 2, 2), np.float32),
        "age": np.zeros(3, np.int32),
        "half": HALF,
    }


def test_a_signature_survives_json():
    assert Signature.from_json("ask", ASK.to_json()) == ASK


def test_accepted_inputs_have_the_order_of_the_signature():
    accepted = ASK.accept(dict(reversed(good().items())))
    assert list(accepted) == ["image", "age", "half"]


def test_python_numbers_are_narrowed_as_jax_does():
    accepted = ASK.accept(
        {"image": np.ones((3, 2, 2)).tolist(), "age": [1, 2, 3], "half": HALF}
    )
    assert accepted["image"].dtype == np.float32
    assert accepted["age"].dtype == np.int32


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            {"imgae": 1, "image": None},
            [
                "ask['imgae']: is no input. Expected image, age, half. Did you mean "
                "image?",
                "ask['image']: is missing. Expected float32[b,2,2].",
            ],
        ),
        (
            {"image": np.zeros((3, 2), np.float32), "age": np.zeros(3, np.float32)},
            [
                "ask['image']: is float32[3,2]. Expected float32[b,2,2].",
                "ask['age']: is float32[3]. Expected int32[b].",
            ],
        ),
        (
            {"age": np.zeros(2, np.int32)},
            [
                "ask: image has 3, age has 2, half has 3. Expected the same rows in "
                "every input."
            ],
        ),
        ({"age": np.int32(1)}, ["ask['age']: is int32[]. Expected int32[b]."]),
        (
            {"age": [1, 2, 1 << 40]},
            [
                "ask['age']: row 2 has 1099511627776, which is too large. Expected "
                "int32[b]."
            ],
        ),
        (
            {"age": [1, -(1 << 31) - 1, 2]},
            [
                "ask['age']: row 1 has -2147483649, which is too small. Expected "
                "int32[b]."
            ],
        ),
        (
            {"age": [[1], [1, 2]]},
            ["ask['age']: is no array: its rows differ in length. Expected int32[b]."],
        ),
        (
            {"half": np.zeros(3, np.float16)},
            ["ask['half']: is float16[3]. Expected bfloat16[b]."],
        ),
        (
            {"age": np.zeros(0, np.int32)},
            ["ask['age']: is int32[0]: no rows. Expected int32[b]."],
        ),
    ],
)
def test_all_problems_of_inputs_are_reported_in_one_error(change, messages):
    given = {name: v for name, v in {**good(), **change}.items() if v is not None}
    with pytest.raises(ExportError) as error:
        ASK.accept(given)
    assert str(error.value).splitlines() == messages


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_another_byte_order_are_accepted(order):
    given = good()
    image, age = (
        given["image"].astype(f"{order}f8"),
        np.asarray(given["age"], f"{order}i8"),
    )
    accepted = ASK.accept({**given, "image": image, "age": age})
    for name, expected in (("image", given["image"]), ("age", given["age"])):
        assert accepted[name].dtype.isnative
        np.testing.assert_array_equal(accepted[name], expected)


def test_a_value_that_overflows_when_narrowed_is_named():
    image = np.zeros((3, 2, 2))
    image[1, 0, 1] = -1e39
    with pytest.raises(ExportError) as error:
        ASK.accept({**good(), "image": image})
    assert str(error.value) == (
        "ask['image']: row 1 has -1e+39, which is too small. Expected float32[b,2,2]."
    )
