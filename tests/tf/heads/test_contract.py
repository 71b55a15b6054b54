"""Properties of every head: reductions, padding, invalid input, use in a model_fn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import specflow as sf
from specflow.tf.heads.loss_reduction import LossReduction, reduced

RNG = np.random.default_rng(3)
MARKS = (RNG.random((8, 3)) < 0.5).astype(np.int32)
HEADS = {
    "binary": (sf.tf.heads.BinaryClassHead(), MARKS[:, 0]),
    "multi_class": (sf.tf.heads.MultiClassHead(3), MARKS.sum(-1) % 3),
    "multi_label": (sf.tf.heads.MultiLabelHead(3), MARKS),
    "regression": (sf.tf.heads.RegressionHead(label_dimension=2), MARKS[:, :2]),
    "poisson": (sf.tf.heads.PoissonRegressionHead(), MARKS.sum(-1)),
    "language": (sf.tf.heads.LanguageHead(3), np.stack([MARKS[:, 0], MARKS[:, 1]], 1)),
}


def logits_for(head, labels):
    tokens = labels.shape[1:] if isinstance(head, sf.tf.heads.LanguageHead) else ()
    shape = (len(labels), *tokens, head.logits_dimension)
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", HEADS)
def test_a_padded_row_does_not_contribute_to_the_loss_even_if_nan(name, spec_of):
    head, labels = HEADS[name]
    logits = logits_for(head, labels)
    whole = spec_of(head, "eval", logits=logits[:5], labels=labels[:5])
    logits[5:] = np.nan
    mask = np.arange(8) < 5
    padded = spec_of(head, "eval", logits=logits, labels=labels, mask=mask)
    # One sum over 5 rows, one over 8 of which 3 are zeros: float32, any order.
    assert float(padded.loss) == pytest.approx(float(whole.loss), rel=1e-6)


@pytest.mark.parametrize("by", ["mask", "weights"])
@pytest.mark.parametrize("name", HEADS)
def test_a_masked_row_does_not_contribute_to_the_gradient_even_if_nan(name, by):
    """Infinite logits: their derivative is NaN or an infinity, and 0 times it NaN."""
    head, labels = HEADS[name]
    logits = logits_for(head, labels)
    counts = np.arange(8) < 5
    options, features = {}, {}
    if by == "weights":
        head = dataclasses.replace(head, weight_column="w")
        features = {"w": counts.astype(np.float32)}
    else:
        options = {"mask": counts}

    def loss(logits, rows=slice(None)):
        spec = head.spec(
            "train",
            logits=logits,
            labels=jnp.asarray(labels)[rows],
            features={key: jnp.asarray(value)[rows] for key, value in features.items()},
            train_op=optax.sgd(0.1),
            **{key: jnp.asarray(value)[rows] for key, value in options.items()},
        )
        return spec.loss * (8 if by == "weights" and rows == slice(None) else 5)

    expected = jax.grad(lambda x: loss(x, slice(0, 5)))(logits[:5])
    for odd in (np.nan, np.inf, 1e30):
        logits[5:] = odd
        found = jax.jit(jax.grad(loss))(logits)
        np.testing.assert_allclose(found[:5], expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(found[5:], 0.0)


def test_an_ignored_token_does_not_contribute_to_the_gradient_even_if_nan():
    head = sf.tf.heads.LanguageHead(3, ignore_label=-1)
    labels = jnp.array([[0, -1], [2, 1]])
    logits = np.zeros((2, 2, 3), np.float32)
    logits[0, 1] = np.nan

    def loss(logits):
        spec = head.spec("train", logits=logits, labels=labels, train_op=optax.sgd(0.1))
        return spec.loss

    found = jax.grad(loss)(logits)
    np.testing.assert_array_equal(found[0, 1], 0.0)
    # By hand: (softmax - one-hot) over 3 tokens.
    np.testing.assert_allclose(found[0, 0], np.array([-2, 1, 1]) / 9, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_the_spec_of_every_mode_has_the_required_fields(name, spec_of):
    head, labels = HEADS[name]
    logits = logits_for(head, labels)
    optimizer = optax.sgd(0.1)
    train = head.spec("train", logits=logits, labels=labels, train_op=optimizer)
    assert train.train_op is optimizer
    assert train.eval_metrics is None
    spec = spec_of(head, "eval", logits=logits, labels=labels)
    assert not {"loss", "global_step"} & set(spec.eval_metrics())
    made = spec_of(head, "infer", logits=logits)
    assert made.loss is None
    assert "serving_default" in made.export_outputs


@pytest.mark.parametrize("name", HEADS)
def test_loss_fn_replaces_the_loss_of_the_head(name, spec_of):
    head, labels = HEADS[name]
    own = type(head)(**{**vars(head), "loss_fn": lambda labels, logits: LOSS[name]})
    logits = logits_for(head, labels)
    shape = (8, 2) if name in ("regression", "language") else (8, 1)
    LOSS[name] = jnp.full(shape, 2.5)
    assert float(spec_of(own, "eval", logits=logits, labels=labels).loss) == 2.5
    LOSS[name] = jnp.zeros(())
    with pytest.raises(sf.SpecError, match=r"loss_fn: returned float32\[\]"):
        own.spec("eval", logits=logits, labels=labels)


LOSS = {}


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 9, width=32),
            st.sampled_from([0.0, 0.5, 2.0]),
            st.booleans(),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_reductions_follow_their_definitions(rows):
    """By NumPy, float64, over the rows that count."""
    losses, weights, real = map(np.array, zip(*rows, strict=True))
    kept = weights[real]
    total = (losses * weights)[real].sum()
    shares = {
        "sum_over_batch_size": kept.size,
        "sum": 1,
        "mean": kept.sum(),
        "sum_by_nonzero_weights": (kept != 0).sum(),
    }
    arrays = jnp.asarray(losses, jnp.float32), jnp.asarray(weights), jnp.asarray(real)
    for way, share in shares.items():
        found = float(reduced(*arrays, LossReduction(way)).value)
        assert found == pytest.approx(total / share if share else 0.0, rel=1e-5)


def test_a_head_is_one_line_of_a_model_fn(tmp_path):
    """Trained, evaluated with a ragged batch, and asked, on eight devices."""
    head = sf.tf.heads.MultiClassHead(3)

    def model_fn(model, features, labels, mode, mask):
        return head.spec(
            mode,
            features=features,
            logits=model(features["x"]),
            labels=labels,
            train_op=optax.adam(0.1),
            mask=mask,
        )

    labels = RNG.integers(0, 3, 100).astype(np.int32)
    x = (np.eye(3)[labels] + RNG.normal(0, 0.1, (100, 3))).astype(np.float32)
    estimator = sf.TPUEstimator(
        model_fn,
        model=lambda rngs: nnx.Linear(3, 3, rngs=rngs),
        model_dir=tmp_path,
        train_batch_size=32,
        eval_batch_size=16,
    )
    estimator.train(lambda: ({"x": x}, labels), steps=60)
    found = estimator.evaluate(lambda: ({"x": x}, labels))
    assert set(found) == {"loss", "global_step", "average_loss", "accuracy"}
    assert found["accuracy"] == 1.0
    # The mean over all rows, whatever the batches were.
    assert found["loss"] == pytest.approx(found["average_loss"], rel=1e-5)
    rows = list(estimator.predict(lambda: {"x": x}))
    assert [int(row["class_ids"][0]) for row in rows] == labels.tolist()


X = np.zeros((4, 3), np.float32)
REFUSALS = {
    "logits": (
        lambda: sf.tf.heads.MultiClassHead(4).spec("infer", logits=X),
        "MultiClassHead, logits: are float32[4,3]. Expected a last axis of 4. "
        "Let the model return 4 values per example.",
    ),
    "no labels": (
        lambda: sf.tf.heads.MultiClassHead(3).spec("eval", logits=X),
        "MultiClassHead, labels: are None, and mode 'eval' needs them.",
    ),
    "labels": (
        lambda: sf.tf.heads.MultiClassHead(3).spec("eval", logits=X, labels=X),
        "MultiClassHead, labels: are float32[4,3], and the logits are float32[4,3]. "
        "Expected labels of shape [4, 1] or [4].",
    ),
    "floating labels": (
        lambda: sf.tf.heads.MultiClassHead(3).spec("eval", logits=X, labels=X[:, 0]),
        "MultiClassHead, labels: are float32[4,1]. Expected integers, class indices.",
    ),
    "weights": (
        lambda: sf.tf.heads.BinaryClassHead(weight_column="w").spec(
            "eval", logits=X[:, 0], labels=X[:, 0], features={"w": X}
        ),
        "BinaryClassHead, weight_column='w': is float32[4,3], and the losses are "
        "float32[4,1]. Expected one weight per example.",
    ),
    "no weights": (
        lambda: sf.tf.heads.BinaryClassHead(weight_column="w").spec(
            "eval", logits=X[:, 0], labels=X[:, 0], features={"x": X, "v": X}
        ),
        "BinaryClassHead, weight_column='w': is not a feature. Expected one of x, v.",
    ),
    "no features": (
        lambda: sf.tf.heads.BinaryClassHead(weight_column="w").spec(
            "eval", logits=X[:, 0], labels=X[:, 0]
        ),
        "BinaryClassHead, weight_column='w': is not a feature. "
        "Expected a dict of features. Pass features=features to spec().",
    ),
    "reduction": (
        lambda: sf.tf.heads.BinaryClassHead(loss_reduction="average"),
        "BinaryClassHead, loss_reduction: got 'average'. "
        "Expected one of sum_over_batch_size, sum, mean, sum_by_nonzero_weights.",
    ),
    "two classes": (
        lambda: sf.tf.heads.MultiClassHead(2),
        "MultiClassHead, n_classes: got 2. Expected 3 or more. "
        "For two classes use BinaryClassHead.",
    ),
    "threshold": (
        lambda: sf.tf.heads.MultiLabelHead(2, thresholds=[1.0]),
        "MultiLabelHead, thresholds: got 1.0. Expected numbers in (0, 1).",
    ),
    "vocabulary": (
        lambda: sf.tf.heads.MultiClassHead(3, label_vocabulary=["a", "b"]),
        "MultiClassHead, label_vocabulary: got ['a', 'b']. "
        "Expected a list of 3 different labels, strings or integers.",
    ),
    "class of its own": (
        lambda: sf.tf.heads.MultiLabelHead(2, classes_for_class_based_metrics=[2]),
        "MultiLabelHead, classes_for_class_based_metrics: got 2. "
        "Expected some of 0, 1.",
    ),
    "dimension": (
        lambda: sf.tf.heads.RegressionHead(label_dimension=0),
        "RegressionHead, label_dimension: got 0. Expected 1 or more.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_invalid_arguments_are_rejected(case):
    make, message = REFUSALS[case]
    with pytest.raises(sf.SpecError) as caught:
        make()
    assert str(caught.value) == message
