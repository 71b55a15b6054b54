"""Code of a user, each part of which fails when `FAILS` names it."""

from pathlib import Path

import flax.linen as nn
import numpy as np
import optax
from flax import nnx

import specflow as sf

FAILS = ""


def may_fail(part):
    if part == FAILS:
        raise LookupError(f"{part} is at fault")


class Net(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        may_fail("model.__init__")
        self.layer = nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, image):
        may_fail("model.__call__")
        if FAILS == "model.__call__ (ValueError)":
            raise ValueError("the image is too small")
        if FAILS == "model.__call__ (TypeError)":
            return self.layer(image, depth=3)
        if FAILS == "model.__call__ (shape)":
            return self.layer(image[:, :1])
        return self.layer(image)


class Linen(nn.Module):
    def setup(self):
        may_fail("model.setup")
        self.layer = nn.Dense(3)

    def __call__(self, image):
        may_fail("model.__call__ (Linen)")
        return self.layer(image)


def model_fn(model, features, labels, mode, optimizer):
    may_fail(f"model_fn ({mode})")
    logits = model(**features)
    spec = {"mode": mode, "predictions": {"class": logits.argmax(-1)}}
    if mode is sf.Mode.PREDICT:
        return sf.TPUEstimatorSpec(**spec)
    losses = loss(logits, labels)
    return sf.TPUEstimatorSpec(
        **spec,
        loss=losses.mean(),
        train_op=optimizer,
        eval_metrics=(metric_fn, [losses]),
        host_call=(host_call, [losses]),
    )


def metric_fn(losses):
    may_fail("metric_fn")
    return {"mean": sf.metrics.Mean.from_batch(losses)}


def host_call(losses):
    may_fail("host_call")


def loss(logits, labels):
    may_fail("loss")
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def prediction(of):
    may_fail("prediction")
    return of.argmax(-1)


class Metric(sf.Metric):
    @classmethod
    def from_batch(cls, of):
        may_fail("metric.from_batch")
        return cls()

    def merge(self, other):
        may_fail("metric.merge")
        return self

    def compute(self):
        may_fail("metric.compute")
        return 0.0


def export_output(of):
    may_fail("export output")
    return sf.PredictOutput({"class": of})


def arrays():
    return {"image": np.ones((16, 2), np.float32)}, np.arange(16) % 3


def data():
    may_fail("data")
    return {"train": arrays(), "eval": arrays()}


def optimizer():
    may_fail("optimizer")
    inner = optax.sgd(0.1)

    def init(params):
        may_fail("optimizer.init")
        return inner.init(params)

    def update(updates, state, params=None):
        may_fail("optimizer.update")
        return inner.update(updates, state, params)

    return optax.GradientTransformation(init, update)


def schedule():
    may_fail("schedule")

    def rate(step):
        may_fail("schedule(step)")
        return 0.1 + 0.0 * step

    return rate


class LastExporter(sf.Exporter):
    def __init__(self, name, input_fn):
        may_fail("exporter")
        super().__init__(name, input_fn=input_fn)

    def export(self, *args, **kwargs):
        may_fail("exporter.export")


class Reporter:
    path = Path("their.report")

    def __init__(self):
        may_fail("reporter")

    def write(self, step, split, metrics):
        may_fail("reporter.write")

    def close(self):
        may_fail("reporter.close")


class Rule:
    metric = "loss"

    def __init__(self):
        may_fail("early stopping")

    def reason(self, values):
        may_fail("early stopping.reason")


def part_of_data():
    may_fail("part of data")
    return data()
