"""ONNX conversion, where `specflow-jax[onnx]` is installed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from specflow.diagnostics.errors import ExportError
from specflow.serving import load_export
from specflow.serving.convert import convert_export

from .functions import FUNCTIONS, floats

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def session(file):
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnx_runtime_computes_what_jax_does_for_any_rows(exported, name):
    """Expected values: JAX, through `load_export`."""
    function, example, weights = FUNCTIONS[name]
    path = exported(function, example, weights)
    conversion = convert_export(path, format="onnx")
    # float32 by other kernels: some last bits.
    assert conversion.furthest["serving_default"] < 3e-6
    loaded, model = load_export(path), session(conversion.path / "serving_default.onnx")
    for rows in (1, 5, 13):
        sent = {key: x[np.arange(rows) % 8] for key, x in example.items()}
        expected = loaded(**sent)
        for output, found in zip(
            model.get_outputs(), model.run(None, sent), strict=True
        ):
            wanted = expected[output.name.removesuffix("_output")]
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_model_has_names_shapes_and_metadata(exported):
    path = exported(lambda w, s: {"y": s["x"] @ w["k"]}, {"x": floats(8, 3)},
                    {"k": floats(3, 2)})  # fmt: skip
    place = convert_export(path, format="onnx").path
    model = onnx.load(place / "serving_default.onnx", load_external_data=False)
    forms = {
        one.name: [size.dim_param or size.dim_value for size in
                   one.type.tensor_type.shape.dim]
        for one in (*model.graph.input, *model.graph.output)
    }  # fmt: skip
    assert forms == {"x": ["b", 3], "y": ["b", 2]}
    said = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert said == {
        "specflow.method": "predict",
        "specflow.class_names": None,
        "specflow.step": 7,
    }


def test_signatures_share_a_file_of_weights(exported):
    weights = {"k": floats(64, 64)}
    path = exported(
        {
            "serving_default": lambda w, s: {"y": s["x"] @ w["k"]},
            "squares": lambda w, s: {"y": (s["x"] @ w["k"]) ** 2},
        },
        {"x": floats(8, 64)},
        weights,
    )
    place = convert_export(path, format="onnx").path
    sizes = {file.name: file.stat().st_size for file in place.iterdir()}
    models = {"serving_default.onnx", "squares.onnx", "weights.bin"}
    assert sizes.keys() == models | {"conversion.json"}
    assert sizes["weights.bin"] == weights["k"].nbytes
    assert max(sizes["serving_default.onnx"], sizes["squares.onnx"]) < 4096


def test_a_program_for_fixed_rows_keeps_its_number(exported):
    def folded(w, sent):
        return {"y": sent["x"].reshape(2, -1).reshape(-1, 3) * 2}

    path = exported(folded, {"x": floats(8, 3)}, batch=(2, 8))
    conversion = convert_export(path, format="onnx")
    assert str(conversion).endswith("(0.0001 allowed); it takes 8 rows only")
    assert session(conversion.path / "serving_default.onnx").get_inputs()[0].shape == [
        8,
        3,
    ]


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (
            lambda w, s: {"y": s["x"].at[:, s["i"][0]].set(0)},
            "stablehlo.scatter has no equivalent in ONNX",
        ),
        (lambda w, s: {"y": jnp.fft.fft(s["x"]).real}, "numbers of type complex<f32>"),
        (
            lambda w, s: {"y": jax.lax.population_count(s["i"])},
            "stablehlo.popcnt has no equivalent in ONNX",
        ),
        (
            lambda w, s: {"y": jnp.linalg.cholesky(s["x"][:, :1, None])},
            "stablehlo.custom_call of lapack_spotrf_ffi has no equivalent in ONNX",
        ),
    ],
)
def test_an_operation_without_an_onnx_equivalent_is_named(exported, function, why):
    path = exported(
        {"serving_default": lambda w, s: {"x": s["x"]}, "hard": function},
        {"x": abs(floats(8, 4)), "i": np.ones(8, np.int32)},
        platforms=("cpu",),
    )
    with pytest.raises(ExportError) as error:
        convert_export(path, format="onnx")
    assert str(error.value) == (
        f"{path}: hard: cannot be converted to onnx: {why}. The export itself is "
        "intact, and `load_export` runs it."
    )
    assert list((path.parent / "onnx").iterdir()) == []


def test_an_operation_without_a_kernel_in_onnx_runtime_is_named(exported):
    def brain(w, sent):
        return {"y": sent["x"].astype(jnp.bfloat16) @ w["k"].astype(jnp.bfloat16)}

    path = exported(brain, {"x": floats(8, 3)}, {"k": floats(3, 2)}, narrow=True)
    with pytest.raises(ExportError) as error:
        convert_export(path, format="onnx")
    start = f"{path}: serving_default: cannot be converted to onnx: ONNX Runtime "
    assert str(error.value).startswith(start)
    assert "NOT_IMPLEMENTED : Could not find an implementation for" in str(error.value)


def test_half_precision_has_its_own_tolerance(exported):
    def half(w, sent):
        return {"y": sent["x"].astype(jnp.float16) @ w["k"].astype(jnp.float16)}

    path = exported(half, {"x": floats(8, 3)}, {"k": floats(3, 2)}, narrow=True)
    conversion = convert_export(path, format="onnx")
    assert conversion.allowed == 5e-2
    assert conversion.furthest["serving_default"] < 2e-3  # Two bits of ten.
