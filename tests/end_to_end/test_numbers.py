"""Numbers that would be lost silently are reported or counted."""

import json

import numpy as np
import pytest

RNG = np.random.default_rng(0)
COMMON = (
    "train",
    "data=npz",
    "data.train=t.npz",
    "data.eval=t.npz",
    "spec.eval_metrics={}",
    "loop.batch_size=16",
    "loop.eval_batch_size=16",
    "output.reporters=[]",
    "output.dir=run",
)
DISTANCES = '''
import jax.numpy as jnp


def distance(prediction, labels):
    """It has no derivative at 0."""
    return jnp.sqrt(((prediction - labels) ** 2).sum(-1))
'''


@pytest.fixture
def distances(specflow):
    """A finite loss whose gradient is not finite in any batch."""
    x = RNG.normal(size=(16, 3)).astype(np.float32)
    y = x[:, :2].copy()
    x[::8], y[::8] = 0, 0
    np.savez(specflow.cwd / "t.npz", x=x, labels=y)
    (specflow.cwd / "distances.py").write_text(DISTANCES)
    return (
        *COMMON,
        "trust=distances",
        "model=linear",
        "model.outputs=2",
        "optimizer=sgd",
        "spec=regression",
        "~spec.loss.squared_error",
        "+spec.loss.distance={_target_: distances.distance, prediction: outputs, "
        "labels: labels}",
        "spec.export_outputs={}",
        "loop.loss_scale=dynamic",
        "loop.eval_every=0",
    )


def test_a_dynamic_loss_scale_at_its_minimum_ends_the_run(specflow, distances):
    done = specflow(*distances, "loop.train_steps=40")
    assert done.status == 2
    assert done.errors[-1].startswith("error[loss-scale] step 16: the gradient is not")


def test_skipped_steps_are_in_the_result_and_a_warning(specflow, distances):
    done = specflow(*distances, "loop.train_steps=10", "loop.log_every=5")
    assert done.status == 0
    assert any(line.startswith("warning[steps-skipped]") for line in done.errors)
    assert "skipped      10 of 10 steps" in done.out
    result = json.loads((specflow.cwd / "run" / "result.json").read_text())
    assert result["skipped_steps"] == 10
    rows = (specflow.cwd / "run" / "metrics.jsonl").read_text().splitlines()
    train = [row for row in map(json.loads, rows) if row["split"] == "train"]
    assert [row["skipped_steps"] for row in train] == [5, 10]


def test_columns_with_dots_in_another_byte_order_train_and_wide_ids_do_not(specflow):
    x = RNG.normal(size=(16, 4))
    arrays = {
        "Sepal.Length": x.astype(">f4"),
        "labels": (x[:, 0] > 0).astype(">i8"),
        "when": 1.7e9 + np.arange(16.0),
    }
    arguments = (
        *COMMON,
        "model=mlp",
        "model.hidden=[4]",
        "model.outputs=1",
        "spec=binary_classification",
        "spec.inputs.x=features.Sepal.Length",
        "loop.train_steps=2",
    )
    np.savez(specflow.cwd / "t.npz", **arrays)
    done = specflow(*arguments)
    assert done.status == 0, done.err
    assert done.errors[0].startswith(
        "warning[number-rounding] features.when: row 1 has 1700000001.0, which float32 "
        "rounds to 1700000000.0 (t.npz)."
    )
    np.savez(specflow.cwd / "t.npz", **arrays, id=np.arange(16) + 2**40)
    done = specflow(*arguments)
    assert done.status == 2
    assert done.errors[-1].startswith(
        "error[number-range] features.id: row 0 has 1099511627776 (t.npz). Expected "
        "integers in [-2147483648, 2147483647]: int64 is computed as int32. If they "
        "say which row is which, name the array in data.ids."
    )
