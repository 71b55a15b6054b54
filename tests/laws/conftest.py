"""Three small models with every kind of state that sharding or resuming could break."""

import dataclasses
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pytest
from flax import nnx

import specflow as sf
from specflow.metrics import Accuracy
from specflow.model.zoo import Mlp, Transformer


class Normed(nnx.Module):
    """Model with batch statistics and dropout: both kinds of non-parameter state."""

    def __init__(self, *, rngs: nnx.Rngs):
        # Without a bias, whose gradient would be rounding alone before a norm: Adam
        # makes whole steps of it, in another direction on every mesh.
        self.into = nnx.Linear(6, 16, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(16, 8, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(nnx.relu(self.norm(self.into(x)))))


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and its training rows."""

    name: str
    model: Callable[[nnx.Rngs], nnx.Module]
    features: np.ndarray
    labels: np.ndarray

    def input_fn(self) -> Any:
        return {"x": self.features}, self.labels


def accuracy_fn(labels, classes):
    return {"accuracy": Accuracy.from_batch(labels, classes)}


def model_fn(model, features, labels, mode):
    """Cross-entropy, Adam, accuracy: independent of any mesh."""
    logits = model(features["x"])
    predictions = {"class": logits.argmax(-1), "logits": logits}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(mode, predictions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return sf.TPUEstimatorSpec(
        mode,
        predictions,
        losses.mean(),
        optax.adam(1e-2),
        (accuracy_fn, [labels, predictions["class"]]),
    )


def _table(rows: int = 80) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 6)).astype(np.float32)
    labels = np.argmax(x @ rng.standard_normal((6, 8)), axis=1).astype(np.int32)
    return {"features": x, "labels": labels}


def _tokens(rows: int = 48) -> dict[str, np.ndarray]:
    tokens = np.random.default_rng(1).integers(0, 16, (rows, 9)).astype(np.int32)
    return {"features": tokens[:, :-1], "labels": tokens[:, 1:]}


def _mlp(rngs: nnx.Rngs) -> nnx.Module:
    return Mlp(6, hidden=[16, 16], outputs=8, dropout=0.3, rngs=rngs)


def _transformer(rngs: nnx.Rngs) -> nnx.Module:
    sizes = {"vocabulary": 16, "layers": 1, "width": 16, "heads": 2, "max_length": 8}
    return Transformer(**sizes, head="tied", rngs=rngs)


CASES = [
    Case("mlp with dropout", _mlp, **_table()),
    Case("batch norm", lambda rngs: Normed(rngs=rngs), **_table()),
    Case("transformer", _transformer, **_tokens()),
]


# What it adds to the others is the mesh axis of its heads: `test_mesh_laws.py`.
MARKS = {"transformer": pytest.mark.thorough}


@pytest.fixture(
    params=[
        pytest.param(case, marks=MARKS.get(case.name, ()), id=case.name)
        for case in CASES
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    """One of the models with its rows."""
    return request.param


@pytest.fixture
def mlp() -> Case:
    """The fastest case, where one is enough."""
    return CASES[0]


@pytest.fixture
def new_dir(tmp_path) -> Callable[[], str]:
    """Creates an empty directory."""
    return lambda: tempfile.mkdtemp(dir=tmp_path)


@pytest.fixture
def estimator_of(new_dir) -> Callable[..., sf.TPUEstimator]:
    """Creates the estimator of a case."""

    def make(
        case: Case, *, steps_a_loop: int, model_dir: Any = None, **arguments: Any
    ) -> sf.TPUEstimator:
        config = sf.RunConfig(
            seed=3,
            save_checkpoints_steps=0,
            log_step_count_steps=1,
            tpu_config=sf.TPUConfig(iterations_per_loop=steps_a_loop),
        )
        defaults = {"model_fn": model_fn, "train_batch_size": 16}
        return sf.TPUEstimator(
            model=case.model,
            model_dir=model_dir or new_dir(),
            config=config,
            **{**defaults, **arguments},
        )

    return make
