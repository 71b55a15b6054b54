"""Runs made in Python, evaluated, predicted and exported by the command line.

What is right is what the estimator itself says in Python.
"""

import json
import sys

import numpy as np
import pytest

import specflow as sf
from specflow.cli.main import main
from tests import preloaded

PARTS = """
import functools

import jax
import numpy as np
import optax
from flax import linen, nnx

import specflow as sf


class Net(nnx.Module):
    def __init__(self, width, rngs):
        self.hidden = nnx.Linear(4, width, rngs=rngs)
        self.out = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def make_net(rngs):
    return Net(8, rngs=rngs)


def accuracy(labels, logits):
    return {"accuracy": sf.metrics.Mean.from_batch(logits.argmax(-1) == labels)}


def model_fn(model, features, labels, mode, params):
    logits = model(features["x"])
    predictions = {"class": logits.argmax(-1), "score": jax.nn.softmax(logits)}
    if mode is sf.Mode.PREDICT:
        outputs = {"serving_default": sf.PredictOutput(outputs=predictions)}
        return sf.TPUEstimatorSpec(
            mode=mode, predictions=predictions, export_outputs=outputs
        )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(
        mode=mode,
        predictions=predictions,
        loss=losses.mean(),
        train_op=optax.adam(params["lr"]),
        eval_metrics=(accuracy, {"labels": labels, "logits": logits}),
    )


def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(70, 4)).astype(np.float32)
    return {"x": x}, draw.integers(0, 3, 70)


def fewer():
    x, y = rows()
    return {"x": x["x"][:30]}, y[:30]


def failing():
    raise LookupError("no rows there")
"""

TRAIN = """
if __name__ == "__main__":
    import json
    import sys

    made = sf.TPUEstimator(
        model_fn,
        model=functools.partial(Net, 8),
        model_dir=sys.argv[1],
        params={"lr": 0.01},
        train_batch_size=16,
        eval_batch_size=24,
        config=sf.RunConfig(save_checkpoints_steps=2, seed=3),
    )
    made.train(rows, steps=4)
    print(json.dumps({k: float(v) for k, v in made.evaluate(rows).items()}))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "their_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    for name in ("their_parts", "their_script"):
        sys.modules.pop(name, None)


def trained(**changed):
    import their_parts as parts

    arguments = {
        "model_fn": parts.model_fn,
        "model": parts.make_net,
        "model_dir": "run",
        "params": {"lr": 0.01},
        "train_batch_size": 16,
        "eval_batch_size": 24,
        "config": sf.RunConfig(save_checkpoints_steps=2, seed=3),
    }
    made = sf.TPUEstimator(**{**arguments, **changed})
    return made.train(parts.rows, steps=4), parts


def message(capsys, *words):
    capsys.readouterr()
    status = main([*words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def metrics_of(capsys, *words):
    status, out, err = message(capsys, "evaluate", "run=run", "--format=json", *words)
    assert status == 0, err
    return json.loads(out)["metrics"]


def plain(metrics):
    return {name: float(value) for name, value in metrics.items()}


def test_a_script_trains_and_the_command_evaluates_the_same(
    folder, capsys, monkeypatch
):
    (folder / "their_script.py").write_text(PARTS + TRAIN)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")  # As here: sums of the same parts.
    done = preloaded.run([sys.executable, "their_script.py", "run"], cwd=folder)
    assert done.returncode == 0, done.stderr
    right = json.loads(done.stdout)
    assert set(right) == {"loss", "accuracy", "global_step"}
    record = json.loads((folder / "run" / "estimator.json").read_text())
    assert record["model_fn"] == {"name": "their_script.model_fn"}
    assert record["model"] == {"name": "their_script.Net", "args": [8]}
    assert metrics_of(capsys, "trust=their_script") == right
    (folder / "specflow.toml").write_text('trust = ["their_script"]\n')
    assert metrics_of(capsys) == right


def test_predictions_and_exports_are_those_of_python(folder, capsys):
    made, parts = trained()
    made.evaluate(parts.rows)
    right = [
        {name: value.tolist() for name, value in row.items()}
        for row in made.predict(parts.rows)
    ]
    status, out, err = message(capsys, "predict", "run=run", "trust=their_parts")
    assert status == 0, err
    assert [json.loads(line) for line in out.splitlines()] == right
    words = ("--keys=class", "--input=their_parts:fewer")
    status, out, _ = message(capsys, "predict", "run=run", "trust=their_parts", *words)
    assert [json.loads(line) for line in out.splitlines()] == [
        {"class": row["class"]} for row in right[:30]
    ]
    status, out, err = message(
        capsys, "export", "run=run", "trust=their_parts", "--platforms=cpu"
    )
    assert status == 0, err
    answers = sf.load_export(out.splitlines()[-1])(**parts.rows()[0])
    np.testing.assert_array_equal(answers["class"], [row["class"] for row in right])


@pytest.mark.parametrize(
    "model", ["linen", "partial", "class", "none"], ids=lambda name: name
)
def test_importable_models_are_rebuilt(folder, capsys, model):
    (folder / "their_parts.py").write_text(
        PARTS + "\n\nclass Own(Net):\n    def __init__(self, rngs):\n"
        "        super().__init__(4, rngs=rngs)\n\n\n"
        "def layers(features, labels, mode, params):\n"
        "    return model_fn(linen.Dense(3), features, labels, mode, params)\n"
    )
    import their_parts

    given = {
        "linen": lambda: their_parts.linen.Dense(3, use_bias=False),
        "partial": lambda: their_parts.functools.partial(their_parts.Net, 8),
        "class": lambda: their_parts.Own,
        "none": lambda: None,
    }
    more = {"model_fn": their_parts.layers} if model == "none" else {}
    made, parts = trained(model=given[model](), **more)
    right = plain(made.evaluate(parts.rows, steps=2))
    assert metrics_of(capsys, "trust=their_parts") == right


def test_the_input_of_the_command_line_wins(folder, capsys):
    made, parts = trained()
    right = plain(made.evaluate(parts.fewer, name="other"))
    made.evaluate(lambda: parts.rows())
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts")
    assert status == 2
    assert "error[run-python] input_fn: is a lambda" in err
    assert "--input my_module:my_input_fn" in err
    assert metrics_of(capsys, "trust=their_parts", "--input=their_parts:fewer") == right


def test_a_name_in_a_run_imports_nothing(folder, capsys):
    trained()[0].evaluate(sys.modules["their_parts"].rows)
    sys.modules.pop("their_parts")
    status, _, err = message(capsys, "evaluate", "run=run")
    assert status == 2
    assert err.count("error[target-untrusted]") == 3
    assert "trust=their_parts" in err
    assert "their_parts" not in sys.modules
    words = ("trust=other", "--input=os:getcwd")
    status, _, err = message(capsys, "evaluate", "run=run", *words)
    assert status == 2
    assert "error[target-untrusted] --input: 'os.getcwd'" in err
    assert "their_parts" not in sys.modules


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "jax.numpy.load"])
def test_an_untrusted_record_imports_nothing(folder, capsys, name):
    trained()[0].evaluate(sys.modules["their_parts"].rows)
    file = folder / "run" / "estimator.json"
    record = json.loads(file.read_text())
    record["model"] = {"name": name, "args": ["touch hurt"], "is_called": True}
    file.write_text(json.dumps(record))
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts")
    assert status == 2
    assert "error[target-untrusted] model" in err
    assert not (folder / "hurt").exists()


def test_a_project_file_in_a_run_of_python_trusts_nothing(folder, capsys, monkeypatch):
    trained()[0].evaluate(sys.modules["their_parts"].rows)
    (folder / "run" / "specflow.toml").write_text('trust = ["their_parts"]\n')
    monkeypatch.chdir(folder / "run")
    status, _, err = message(capsys, "evaluate", "run=.")
    assert status == 2
    assert "error[target-untrusted] model_fn" in err


def test_parts_without_a_name_are_all_named(folder, capsys):
    import their_parts as parts
    from flax import nnx

    def inner(model, features, labels, mode):
        return parts.model_fn(model, features, labels, mode, {"lr": 0.1})

    built = parts.Net(8, rngs=nnx.Rngs(0))
    trained(model_fn=inner, model=built, params={})
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts")
    assert status == 2
    assert "model_fn: is inner, defined inside the function test_parts_without" in err
    assert "model: is an object that is already built, " in err
    assert "input_fn: is not known: this run was never evaluated" in err
    assert "Estimator(..., model_dir='run')" in err
    assert "Traceback" not in err


def test_params_that_are_no_plain_values_are_named(folder, capsys):
    made, parts = trained(params={"lr": 0.01, "sizes": [(1, 2)]})
    made.evaluate(parts.rows)
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts")
    assert status == 2
    assert "error[run-python] params: params.sizes.0 is of type tuple" in err


@pytest.mark.parametrize(
    ("words", "told_of"),
    [
        (["loop.batch_size=3"], "error[run-python] loop.batch_size: cannot be over"),
        (["--split=train"], "error[usage] --split: is given, and the run was made in"),
    ],
)
def test_options_of_a_config_are_refused_for_a_python_run(
    folder, capsys, words, told_of
):
    made, parts = trained()
    made.evaluate(parts.rows)
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts", *words)
    assert status == 2
    assert told_of in err


def test_a_corrupted_record_is_an_error_of_one_line(folder, capsys):
    trained()
    (folder / "run" / "estimator.json").write_text("{")
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_parts")
    assert status == 2
    assert err.startswith("error[run-python] run: ")
    assert len(err.splitlines()) == 1


def test_an_error_of_an_input_function_keeps_its_traceback(folder, capsys):
    made, parts = trained()
    made.evaluate(parts.rows)
    status, _, err = message(
        capsys,
        "evaluate",
        "run=run",
        "trust=their_parts",
        "--input=their_parts:failing",
    )
    assert status == 2
    assert f'File "{folder}/their_parts.py", line' in err
    assert "LookupError: no rows there" in err


def test_a_script_that_would_train_when_imported_is_not(folder):
    (folder / "their_script.py").write_text(
        PARTS + TRAIN.replace('if __name__ == "__main__":', "if True:")
    )
    done = preloaded.run([sys.executable, "their_script.py", "run"], cwd=folder)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "run" / "estimator.json").read_text())
    assert "would run anew when it is imported" in record["model_fn"]["problem"]


CANNED = """
import jax
import numpy as np
import specflow as sf

draw = np.random.default_rng(1)
SIZE = draw.normal(size=60).astype(np.float32)
COLOUR = draw.integers(0, 3, 60)


def rows():
    labels = np.where(SIZE + (COLOUR == 2) > 0.3, "high", "low")
    return {"size": SIZE, "colour": COLOUR}, labels


def wide_and_deep(model_dir, activation=jax.nn.tanh):
    return sf.DNNLinearCombinedClassifier(
        (8, 4),
        categorical={"colour": sf.Categorical(3, width=2)},
        linear_features=["colour"],
        dnn_activation_fn=activation,
        label_vocabulary=("low", "high"),
        loss_reduction=sf.tf.heads.LossReduction.MEAN,
        model_dir=model_dir,
        train_batch_size=16,
        eval_batch_size=16,
        config=sf.RunConfig(seed=3),
    )
"""


def test_canned_estimators_evaluate_and_predict_as_in_python(folder, capsys):
    (folder / "their_canned.py").write_text(CANNED)
    import their_canned as parts

    estimator = parts.wide_and_deep("run").train(parts.rows, steps=30)
    expected = plain(estimator.evaluate(parts.rows))
    assert expected["accuracy"] > 0.5
    record = json.loads((folder / "run" / "estimator.json").read_text())
    assert "model_fn" not in record
    assert record["canned"] == {
        "name": "DNNLinearCombinedClassifier",
        "arguments": {
            "dnn_hidden_units": [8, 4],
            "categorical": {"colour": {"categories": 3, "width": 2}},
            "linear_features": ["colour"],
            "label_vocabulary": ["low", "high"],
            "loss_reduction": "mean",
        },
        "activation": {"name": "jax.nn.tanh"},
    }
    assert metrics_of(capsys, "trust=their_canned") == expected
    words = ("predict", "run=run", "trust=their_canned", "--keys=probabilities")
    status, out, err = message(capsys, *words)
    assert status == 0, err
    assert [json.loads(line)["probabilities"] for line in out.splitlines()] == [
        row["probabilities"].tolist() for row in estimator.predict(parts.rows)
    ]
    sys.modules.pop("their_canned")


def test_an_argument_of_a_canned_estimator_without_a_name_is_named(folder, capsys):
    (folder / "their_canned.py").write_text(CANNED)
    import their_canned as parts

    estimator = parts.wide_and_deep("run", lambda x: x).train(parts.rows, steps=1)
    estimator.evaluate(parts.rows)
    status, _, err = message(capsys, "evaluate", "run=run", "trust=their_canned")
    assert status == 2
    assert "activation_fn: is a lambda" in err
    sys.modules.pop("their_canned")
