"""SavedModel: runs where `specflow-jax[savedmodel]` is installed: not in the base."""

import json
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from specflow.diagnostics.errors import ExportError
from specflow.serving import load_export
from specflow.serving.convert import convert_export

from .functions import FUNCTIONS, floats

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorFlow's.


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tensorflow_computes_what_jax_does_for_any_rows(exported, name):
    """Expected values: JAX, through `load_export`."""
    function, example, weights = FUNCTIONS[name]
    path = exported(function, example, weights)
    conversion = convert_export(path, format="savedmodel")
    # XLA's other version, and other options.
    assert conversion.furthest["serving_default"] < 3e-6
    loaded, model = load_export(path), tf.saved_model.load(str(conversion.path))
    serve = model.signatures["serving_default"]
    for rows in (1, 13):
        sent = {key: x[np.arange(rows) % 8] for key, x in example.items()}
        found = serve(**{key: tf.constant(x) for key, x in sent.items()})
        for key, wanted in loaded(**sent).items():
            assert found[key].numpy().dtype == wanted.dtype
            np.testing.assert_allclose(found[key], wanted, rtol=1e-4, atol=1e-5)


def test_a_saved_model_loads_in_plain_tensorflow(exported):
    path = exported(
        lambda w, s: {"y": s["image"].reshape(-1, 4) @ w["k"]},
        {"image": floats(8, 2, 2)},
        {"k": np.float32([[1], [-2], [0.5], [4]])},
    )
    place = convert_export(path, format="savedmodel").path
    code = """
        import sys
        sys.modules["jax"] = sys.modules["jaxlib"] = None
        import tensorflow as tf
        serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
        answer = serve(image=tf.ones([3, 2, 2]))
        print(answer["y"].numpy().tolist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), place],
        capture_output=True, text=True, cwd=path,
    )  # fmt: skip
    assert done.stdout == "[[3.5], [3.5], [3.5]]\n", done.stderr  # 1 - 2 + 0.5 + 4


def test_a_saved_model_has_the_names_shapes_and_dtypes_of_the_signature(exported):
    """A dotted name is no argument in TensorFlow; that of an output may stay."""
    path = exported(
        {
            "serving_default": lambda w, s: {"all": {"y": s["user"]["x"] * w["a.b"]}},
            "count": lambda w, s: {"n": s["age"] + 1},
        },
        {"user": {"x": floats(8, 3)}, "age": np.arange(8, dtype=np.int32)},
        {"a.b": np.float32(3)},
    )
    model = tf.saved_model.load(str(convert_export(path, format="savedmodel").path))
    serve = model.signatures["serving_default"]
    forms = {name: (one.shape.as_list(), one.dtype.name)
             for name, one in serve.structured_input_signature[1].items()}  # fmt: skip
    assert forms == {"user_x": ([None, 3], "float32"), "age": ([None], "int32")}
    assert serve.structured_outputs["all.y"].shape.as_list() == [None, 3]
    assert serve.structured_outputs["all.y"].dtype == tf.float32
    found = model.signatures["count"](user_x=tf.zeros([2, 3]), age=tf.constant([4, 5]))
    assert found["n"].numpy().tolist() == [5, 6]


def test_weights_are_variables_and_stored_once(exported):
    weights = {"layers.0.kernel": floats(128, 128)}
    path = exported(
        {
            "serving_default": lambda w, s: {"y": s["x"] @ w["layers.0.kernel"]},
            "squares": lambda w, s: {"y": (s["x"] @ w["layers.0.kernel"]) ** 2},
        },
        {"x": floats(8, 128)},
        weights,
    )
    place = convert_export(path, format="savedmodel").path
    model = tf.saved_model.load(str(place))
    kernel = model.weights["layers.0.kernel"]
    np.testing.assert_array_equal(kernel, weights["layers.0.kernel"])
    stored = (place / "variables/variables.data-00000-of-00001").stat().st_size
    assert stored < 1.1 * weights["layers.0.kernel"].nbytes
    assert (place / "saved_model.pb").stat().st_size < weights["layers.0.kernel"].nbytes
    kernel.assign(tf.zeros_like(kernel))
    answer = model.signatures["serving_default"](x=tf.ones([1, 128]))
    assert not answer["y"].numpy().any()


def test_assets_and_metadata_are_in_assets_extra(exported, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("one\n")
    path = exported(lambda w, s: {"y": s["x"]}, {"x": floats(8, 3)},
                    assets_extra={"words.txt": words})  # fmt: skip
    extra = convert_export(path, format="savedmodel").path / "assets.extra"
    assert (extra / "words.txt").read_text() == "one\n"
    assert json.loads((extra / "specflow.json").read_text()) == {
        "step": 7,
        "signatures": {"serving_default": {"method": "predict", "class_names": None}},
    }


def test_a_program_for_fixed_rows_keeps_its_number(exported):
    def folded(w, sent):
        return {"y": sent["x"].reshape(2, -1).reshape(-1, 3) * 2}

    path = exported(folded, {"x": floats(8, 3)}, batch=(2, 8))
    conversion = convert_export(path, format="savedmodel")
    assert str(conversion).endswith("(0.0001 allowed); it takes 8 rows only")
    serve = tf.saved_model.load(str(conversion.path)).signatures["serving_default"]
    assert serve.structured_input_signature[1]["x"].shape.as_list() == [8, 3]


def test_sixteen_bit_weights_and_operations_that_onnx_lacks(exported):
    def many(w, sent):
        return {
            "brain": sent["x"].astype(jnp.bfloat16) @ w["k"],
            "scatter": sent["x"].at[:, 1].set(0),
            "fft": abs(jnp.fft.fft(sent["x"])),
        }

    weights = {"k": floats(3, 2).astype(jnp.bfloat16)}
    path = exported(many, {"x": floats(8, 3)}, weights, narrow=True)
    assert convert_export(path, format="savedmodel").furthest["serving_default"] < 1e-2


def test_a_calling_convention_that_tensorflow_lacks_is_named(exported, monkeypatch):
    from tensorflow.compiler.tf2xla.python import xla

    path = exported(lambda w, s: {"y": s["x"]}, {"x": floats(8, 3)})
    monkeypatch.setattr(xla, "call_module_maximum_supported_version", lambda: 8)
    with pytest.raises(ExportError) as error:
        convert_export(path, format="savedmodel")
    assert str(error.value) == (
        f"{path}: serving_default: cannot be converted to savedmodel: TensorFlow "
        f"{tf.__version__} supports calling conventions of jax.export up to 8, and "
        "this is 10. "
        "The export itself is intact, and `load_export` runs it."
    )
    assert list((path.parent / "savedmodel").iterdir()) == []
