"""Exports: their files, and outputs equal to those of `predict`, bit for bit."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.diagnostics.errors import (
    CheckpointError,
    ConfigError,
    ExportError,
)
from specflow.metrics import Mean
from specflow.serving.array_file import read_arrays

ROOT = Path(__file__).parents[2]
ONE = MeshConfig(axes=AxesConfig())
EIGHT = MeshConfig(axes=AxesConfig(data=2, fsdp=4))
IMAGES = np.random.default_rng(0).random((128, 8, 8, 1), np.float32)
LABELS = np.arange(128, dtype=np.int32) % 10


class Net(nnx.Module):
    """A convolution, statistics, dropout, and two layers, one of them in 16 bits."""

    def __init__(self, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.hidden = nnx.Linear(512, 16, dtype=dtype, param_dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, image):
        x = nnx.relu(self.norm(self.conv(image)))
        x = self.dropout(x.reshape(x.shape[0], -1))
        return self.out(nnx.relu(self.hidden(x)).astype(jnp.float32))


def signatures_of(predictions):
    return {
        "serving_default": sf.ClassificationOutput(
            predictions["probability"],
            predictions["class"],
            class_names=[f"digit {n}" for n in range(10)],
        ),
        "all": sf.PredictOutput(predictions),
        "top": sf.RegressionOutput(predictions["probability"].max(-1)),
    }


def net_fn(model, features, labels, mode):
    logits = model(features["image"])
    predictions = {
        "class": logits.argmax(-1),
        "probability": jax.nn.softmax(logits),
        "nested": {"logits": logits},
    }
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(
            mode, predictions, export_outputs=signatures_of(predictions)
        )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        losses.mean(),
        optax.adam(1e-2),
        (lambda losses: {"mean": Mean.from_batch(losses)}, [losses]),
    )


def rows():
    return {"image": IMAGES}, LABELS


class Line(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.w = nnx.Param(jnp.ones(3))


def line_fn(value_of, outputs_of=lambda value: None):
    def model_fn(model, features, labels, mode):
        value = value_of(features) @ model.w[...]
        if mode is sf.Mode.PREDICT:
            outputs = outputs_of(value)
            return sf.TPUEstimatorSpec(mode, value, export_outputs=outputs)
        loss = ((value - labels) ** 2).mean()
        return sf.TPUEstimatorSpec(mode, {}, loss, optax.sgd(0.1))

    return model_fn


X = np.random.default_rng(1).random((32, 3), np.float32)


def line_rows():
    return {"x": X}, X[:, 0]


@pytest.fixture
def trained(tmp_path):
    """Makes an estimator of the net that was trained for two steps."""

    def make(model_fn=net_fn, input_fn=rows, model=None, **arguments):
        estimator = sf.TPUEstimator(
            model_fn,
            model=model or (lambda rngs: Net(rngs=rngs)),
            model_dir=tmp_path / "model",
            train_batch_size=32,
            **{"mesh": ONE, **arguments},
        )
        estimator.train(input_fn, steps=2)
        return estimator

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An estimator and its export; tests do not change them."""
    estimator = sf.TPUEstimator(
        net_fn,
        model=lambda rngs: Net(rngs=rngs),
        model_dir=tmp_path_factory.mktemp("model"),
        train_batch_size=32,
        mesh=ONE,
    )
    estimator.train(rows, steps=2)
    before = int(time.time())
    directory = tmp_path_factory.mktemp("exports")
    path = estimator.export(directory, input_fn=rows)
    assert before <= int(path.name) <= int(time.time())
    return estimator, path


def predicted(estimator, features):
    """Predictions of `predict` for these rows, in one batch."""
    given = iter([features])
    (batch,) = estimator.predict(lambda: given, yield_single_examples=False)
    return batch


@pytest.mark.parametrize("count", [1, 7, 128])
def test_an_export_equals_predict_bitwise_on_cpu(finished, count):
    estimator, path = finished
    loaded = sf.load_export(path)
    images = IMAGES[:count]
    expected = predicted(estimator, {"image": images})
    answer = loaded("all", image=images)
    assert list(answer) == ["class", "nested.logits", "probability"]
    assert type(answer["class"]) is np.ndarray
    np.testing.assert_array_equal(answer["class"], expected["class"])
    np.testing.assert_array_equal(answer["probability"], expected["probability"])
    logits = expected["nested"]["logits"]
    np.testing.assert_array_equal(answer["nested.logits"], logits)
    default = loaded(image=images)
    assert list(default) == ["classes", "scores"]
    np.testing.assert_array_equal(default["scores"], expected["probability"])
    top = loaded("top", image=images)["value"]
    np.testing.assert_array_equal(top, expected["probability"].max(-1))


def test_an_export_describes_itself(finished):
    _, path = finished
    loaded = sf.load_export(path, check=False)
    assert str(loaded) == (
        "all(image: float32[b,8,8,1]) -> class: int32[b], nested.logits: float32[b,10]"
        ", probability: float32[b,10]  [predict]\n"
        "serving_default(image: float32[b,8,8,1]) -> classes: int32[b], scores: "
        "float32[b,10]  [classification]\n"
        "top(image: float32[b,8,8,1]) -> value: float32[b]  [regression]"
    )
    assert loaded.signatures["serving_default"].class_names[3] == "digit 3"
    assert (loaded.step, loaded.default, loaded.note) == (2, "serving_default", "")
    about = json.loads((path / "export.json").read_text())
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["versions"]["jax"] == jax.__version__
    assert about["signatures"]["top"]["inputs"] == {
        "image": {"shape": ["b", 8, 8, 1], "dtype": "float32"}
    }


def test_programs_hold_no_paths_of_the_machine_that_exported_them(finished):
    programs = [*finished[1].glob("*.jax_export")]
    assert programs
    for program in programs:
        content = program.read_bytes()
        assert str(ROOT).encode() not in content
        assert b".py" not in content


def test_weights_are_stored_once_and_under_their_paths(finished):
    estimator, path = finished
    index = json.loads((path / "export.json").read_text())["weights"]["arrays"]
    found = read_arrays((path / "weights.bin").read_bytes(), index)
    state = {**estimator._states.state.params, **estimator._states.state.model_state}
    assert found.keys() == state.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name])
    programs = list(path.glob("*.jax_export"))
    assert len(programs) == 3
    size = sum(array.nbytes for array in found.values())
    assert sum(program.stat().st_size for program in programs) < size
    assert size <= (path / "weights.bin").stat().st_size < size + 64 * len(found)


def test_equal_signatures_share_a_program(trained, tmp_path):
    """A single signature under another name is also the default."""

    def only(value):
        return {"mine": sf.RegressionOutput(value)}

    estimator = trained(line_fn(lambda f: f["x"], only), line_rows, Line)
    path = estimator.export(tmp_path / "e", input_fn=line_rows)
    loaded = sf.load_export(path)
    assert sorted(loaded.signatures) == ["mine", "serving_default"]
    assert len(list(path.glob("*.jax_export"))) == 1
    one, other = loaded("mine", x=X), loaded(x=X)
    np.testing.assert_array_equal(one["value"], other["value"])


def test_sixteen_bit_weights_are_exported(trained, tmp_path):
    estimator = trained(model=lambda rngs: Net(dtype=jnp.bfloat16, rngs=rngs))
    path = estimator.export(tmp_path / "e", input_fn=rows)
    about = json.loads((path / "export.json").read_text())
    weights = read_arrays(
        (path / "weights.bin").read_bytes(), about["weights"]["arrays"]
    )
    assert weights["hidden.kernel"].dtype == ml_dtypes.bfloat16
    assert about["example"]["narrow"] is True
    expected = predicted(estimator, {"image": IMAGES[:7]})["probability"]
    found = sf.load_export(path)("all", image=IMAGES[:7])["probability"]
    np.testing.assert_array_equal(found, expected)


def test_a_model_on_a_mesh_is_exported_without_it(trained, tmp_path):
    estimator = trained(mesh=EIGHT)
    path = estimator.export(tmp_path / "e", input_fn=rows)
    loaded = sf.load_export(path)
    # Other devices may add up in another order, which is no reason to refuse.
    assert json.loads((path / "export.json").read_text())["example"]["exact_on"] == ""
    expected = predicted(estimator, {"image": IMAGES})["probability"]
    np.testing.assert_allclose(
        loaded("all", image=IMAGES)["probability"], expected, rtol=1e-5
    )


def test_an_earlier_checkpoint_can_be_exported(trained, tmp_path):
    estimator = trained(
        line_fn(lambda f: f["x"]),
        line_rows,
        Line,
        config=sf.RunConfig(save_checkpoints_steps=1),
    )
    for step in (1, 2):
        path = estimator.export(
            tmp_path / "e", input_fn=line_rows, checkpoint_step=step
        )
        loaded = sf.load_export(path)
        assert loaded.step == step
        given = iter([{"x": X[:1]}])
        row = next(estimator.predict(lambda given=given: given, checkpoint_step=step))
        assert loaded(x=X[:1])["output"][0] == row


def test_a_receiver_maps_requests_to_features(finished, tmp_path):
    def receive(sent):
        return {"image": sent["pixels"][..., None].astype(jnp.float32) / 255}

    estimator, _ = finished
    pixels = (IMAGES[..., 0] * 255).astype(np.uint8)
    path = estimator.export(
        tmp_path / "e", features={"pixels": pixels}, serving_fn=receive
    )
    loaded = sf.load_export(path)
    assert loaded.signatures["all"].inputs.keys() == {"pixels"}
    expected = predicted(estimator, {"image": pixels[:7, ..., None] / np.float32(255)})
    answer = loaded("all", pixels=pixels[:7])
    # The division may be fused with what follows: the last bit.
    np.testing.assert_allclose(
        answer["probability"], expected["probability"], rtol=1e-6
    )


def test_assets_are_copied_into_the_export(finished, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\n")
    path = finished[0].export(
        tmp_path / "e", input_fn=rows, assets_extra={"vocab/words.txt": words}
    )
    assert (path / "assets.extra/vocab/words.txt").read_text() == "one\ntwo\n"
    (path / "assets.extra/vocab/words.txt").write_text("one\nTwo\n")
    with pytest.raises(ExportError, match=r"words\.txt: is damaged"):
        sf.load_export(path)


# -- inputs of other forms


def test_bare_features_and_predictions_get_names(trained, tmp_path):
    """`input` and `output`."""
    estimator = trained(line_fn(lambda x: x), lambda: (X, X[:, 0]), Line)
    loaded = sf.load_export(
        estimator.export(tmp_path / "e", input_fn=lambda: (X, None))
    )
    assert str(loaded) == (
        "serving_default(input: float32[b,3]) -> output: float32[b]  [predict]"
    )
    np.testing.assert_array_equal(
        loaded(input=X[:5])["output"], predicted(estimator, X[:5])
    )


def test_nested_features_are_accepted_nested_or_by_dotted_path(trained, tmp_path):
    nested = {"user": {"x": X}, "flags": X > 0.5}
    estimator = trained(
        line_fn(lambda f: f["user"]["x"] * f["flags"]),
        lambda: (nested, X[:, 0]),
        Line,
    )
    loaded = sf.load_export(estimator.export(tmp_path / "e", features=nested))
    expected = predicted(estimator, nested)
    for inputs in (nested, {"user.x": X, "flags": X > 0.5}):
        np.testing.assert_array_equal(loaded(**inputs)["output"], expected)


# -- fixed sizes


def paired(x):
    """A model that cannot be traced for any batch size: it folds rows in two."""
    return x["x"].reshape(2, -1).reshape(-1, 3)


def test_a_model_that_needs_its_batch_size_is_exported_for_it(trained, tmp_path):
    estimator = trained(
        line_fn(paired), lambda: ({"x": X}, X[:, 0]), Line, predict_batch_size=8
    )
    with pytest.warns(UserWarning, match="Exported for batches of 8 rows") as seen:
        path = estimator.export(tmp_path / "e", features={"x": X})
    loaded = sf.load_export(path)
    assert loaded.note == str(seen[0].message)
    expected = X @ np.asarray(estimator._states.state.params["w"])
    for count in (1, 7, 8, 9, 32):
        found = loaded(x=X[:count])["output"]
        assert found.shape == (count,)
        # A sum of three float32 products.
        np.testing.assert_allclose(found, expected[:count], rtol=1e-6)


def test_of_several_batch_sizes_the_one_with_least_padding_is_used(trained, tmp_path):
    estimator = trained(line_fn(lambda f: f["x"]), lambda: ({"x": X}, X[:, 0]), Line)
    path = estimator.export(tmp_path / "e", features={"x": X}, batch=(8, 1))
    loaded = sf.load_export(path)
    functions = loaded.signatures["serving_default"].functions
    assert [function.rows for function in functions] == [1, 8]
    for count in (1, 7, 20):
        found = loaded(x=X[:count])["output"]
        np.testing.assert_allclose(found, predicted(estimator, {"x": X[:count]}), 1e-6)


@pytest.mark.parametrize("batch", [0, (), (4, -1)])
def test_batch_sizes_are_at_least_one(finished, batch, tmp_path):
    with pytest.raises(ExportError) as error:
        finished[0].export(tmp_path, input_fn=rows, batch=batch)
    assert str(error.value) == (
        f"batch: got {batch!r}. Expected batch sizes, each at least 1."
    )


# -- refusals


def test_an_untrained_model_is_not_exported(tmp_path):
    estimator = sf.TPUEstimator(
        net_fn, model=lambda rngs: Net(rngs=rngs), model_dir=tmp_path, mesh=ONE
    )
    with pytest.raises(CheckpointError) as error:
        estimator.export(tmp_path / "e", input_fn=rows)
    assert str(error.value) == (
        f"{tmp_path}: has no checkpoint. Expected a model that was trained."
    )
    assert not (tmp_path / "e").exists()


def test_an_example_is_needed_once(finished, tmp_path):
    estimator, _ = finished
    for arguments, got in [
        ({}, "neither"),
        ({"input_fn": rows, "features": {"image": IMAGES}}, "both"),
    ]:
        with pytest.raises(ConfigError) as error:
            estimator.export(tmp_path, **arguments)
        assert str(error.value) == (
            f"export: got {got} of input_fn and features. Expected one of them: an "
            "example of what clients send."
        )


def test_unknown_platforms_and_missing_assets_are_refused(finished, tmp_path):
    estimator, _ = finished
    with pytest.raises(ExportError) as error:
        estimator.export(tmp_path, input_fn=rows, platforms=("cpu", "cdua"))
    assert str(error.value) == (
        "platforms: got 'cdua'. Expected some of cpu, cuda, rocm, tpu. Did you mean "
        "cuda?"
    )
    with pytest.raises(ExportError) as error:
        estimator.export(tmp_path, input_fn=rows, assets_extra={"../x": "nowhere"})
    assert str(error.value).splitlines() == [
        "assets_extra['../x']: is outside of the export. Expected a path below "
        "assets.extra.",
        "assets_extra['../x']: there is no file nowhere.",
    ]
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_receiver_keeps_its_type(finished, tmp_path):
    """It is not reported as an unknown batch size, with which tracing fails too."""

    def broken(sent):
        return {"image": sent["imgae"]}

    with pytest.raises(KeyError, match="imgae") as error:
        finished[0].export(tmp_path / "e", input_fn=rows, serving_fn=broken)
    assert error.traceback[-1].name == "broken"
    assert not (tmp_path / "e").exists()


def test_an_unwritable_directory_is_named(finished, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"^directory: '.*/file' is a file\. Expected"
    ):
        finished[0].export(tmp_path / "file", input_fn=rows)


# -- with nothing but JAX


def test_an_export_loads_without_the_packages_of_training(finished, tmp_path):
    estimator, path = finished
    images = tmp_path / "images.npy"
    np.save(images, IMAGES[:7])
    script = textwrap.dedent(
        """
        import sys

        class Absent:
            names = {
                "flax", "grain", "hydra", "jaxtyping", "matplotlib", "omegaconf",
                "optax", "orbax", "pydantic", "rich", "sklearn", "xxhash", "yaml",
            }

            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in self.names:
                    raise ImportError(f"{name} is not installed")

        sys.meta_path.insert(0, Absent())
        import numpy as np
        import specflow

        loaded = specflow.load_export(sys.argv[1])
        answer = loaded("serving_default", image=np.load(sys.argv[2]))
        np.save(sys.argv[3], answer["scores"])
        """
    )
    scores = tmp_path / "scores.npy"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, path, images, scores],
        # Bit for bit: compiled as the tests' own programs are.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = predicted(estimator, {"image": IMAGES[:7]})["probability"]
    np.testing.assert_array_equal(np.load(scores), expected)


# -- contract C15, where no test above has it


def only(name):
    return lambda value: {name: sf.RegressionOutput(value)}


def test_without_export_outputs_all_predictions_are_the_default_signature(
    trained, tmp_path
):
    estimator = trained(line_fn(lambda f: f["x"]), line_rows, Line)
    loaded = sf.load_export(estimator.export(tmp_path / "e", input_fn=line_rows))
    assert list(loaded.signatures) == ["serving_default"]
    assert loaded.signatures["serving_default"].method == "predict"


def test_several_signatures_without_a_default_are_refused(tmp_path):
    def several(value):
        return {**only("a")(value), **only("b")(value)}

    estimator = sf.TPUEstimator(
        line_fn(lambda f: f["x"], several), model=Line, model_dir=tmp_path / "m",
        train_batch_size=32, mesh=ONE,
    )  # fmt: skip
    estimator.train(line_rows, steps=1)
    with pytest.raises(ValueError, match="has a, b and no default"):
        estimator.export(tmp_path / "e", input_fn=line_rows)
    assert not (tmp_path / "e").exists()


def test_an_export_without_a_platform_is_refused(finished, tmp_path):
    with pytest.raises(ValueError, match="platforms: got ''"):
        finished[0].export(tmp_path, input_fn=rows, platforms=())
    assert list(tmp_path.iterdir()) == []


def test_two_exports_have_their_own_directories_and_leave_no_other_file(
    trained, tmp_path
):
    """The second export waits for the next second."""
    estimator = trained(line_fn(lambda f: f["x"]), line_rows, Line)
    made = [estimator.export(tmp_path / "e", input_fn=line_rows) for _ in range(2)]
    names = sorted(path.name for path in (tmp_path / "e").iterdir())
    assert names == [path.name for path in made]
    assert all(len(name) == 10 and name.isdigit() for name in names)


def test_a_receiver_may_map_one_array_to_features(finished, tmp_path):
    """The request is then named `input`; `model_fn` receives the features."""
    estimator, _ = finished
    path = estimator.export(
        tmp_path / "e",
        features=IMAGES.reshape(-1, 64),
        serving_fn=lambda flat: {"image": flat.reshape(-1, 8, 8, 1)},
    )
    loaded = sf.load_export(path)
    assert str(loaded.signatures["top"].inputs["input"]) == "float32[b,64]"
    found = loaded("all", input=IMAGES[:7].reshape(-1, 64))
    expected = predicted(estimator, {"image": IMAGES[:7]})
    np.testing.assert_array_equal(found["class"], expected["class"])


def test_every_kind_of_signature_is_exported(finished):
    """The reference dropped what does not take one text; inputs here are arrays."""
    methods = {
        name: signature.method
        for name, signature in sf.load_export(
            finished[1], check=False
        ).signatures.items()
    }
    assert methods == {
        "serving_default": "classification",
        "all": "predict",
        "top": "regression",
    }


@pytest.mark.parametrize("platforms", [("tpu",), ("cpu", "tpu")])
def test_an_export_for_tpu_needs_no_tpu_and_stores_weights_once(
    trained, tmp_path, platforms
):
    estimator = trained(line_fn(lambda f: f["x"]), line_rows, Line)
    path = estimator.export(tmp_path / "e", input_fn=line_rows, platforms=platforms)
    about = json.loads((path / "export.json").read_text())
    assert about["platforms"] == list(platforms)
    assert list(about["weights"]["arrays"]) == ["w"]
    assert len(list(path.glob("*.jax_export"))) == 1


def test_class_names_are_exported_as_text(finished):
    about = json.loads((finished[1] / "export.json").read_text())
    names = about["signatures"]["serving_default"]["class_names"]
    assert names == [f"digit {n}" for n in range(10)]
    assert about["signatures"]["top"]["class_names"] is None
