"""Mixup and CutMix: NumPy's values, SciPy's distributions, and laws of the step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import specflow as sf
from specflow.compose import compose
from specflow.config.base import Target
from specflow.config.sections.mesh import AxesConfig, MeshConfig
from specflow.config.sections.mixing import MixConfig
from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.diagnostics.errors import ConfigError, SpecError
from specflow.spec import build_model_fn
from specflow.spec.mixing import Mixture, mixed_rows, with_mix_stream

ROWS, HEIGHT, WIDTH = 64, 9, 7
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(ROWS, HEIGHT, WIDTH, 2)).astype(np.float32)
BEFORE = np.roll(IMAGES, 1, axis=0)
BOTH = MixConfig(mixup=0.4, cutmix=1.0, share=0.75)


def mix_of(config):
    """A compiled function: images, key -> (mixed images, shares)."""

    def mix(images, key):
        scope = {"features": {"image": images, "id": jnp.arange(len(images))}}
        features, mixture = mixed_rows(config, ["features.image"], scope, key)
        return features, mixture.shares

    return jax.jit(mix)


MIX = {
    "mixup": mix_of(MixConfig(mixup=0.4)),
    "cutmix": mix_of(MixConfig(cutmix=1.0)),
    "both": mix_of(BOTH),
}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_mixup_is_the_weighted_mean_with_the_row_before(seed):
    features, shares = MIX["mixup"](IMAGES, jax.random.key(seed))
    shares = np.asarray(shares, np.float64)[:, None, None, None]
    expected = shares * IMAGES + (1 - shares) * BEFORE
    assert features["image"].dtype == np.float32
    assert np.allclose(features["image"], expected, atol=1e-6)
    assert features["id"].tolist() == list(range(ROWS))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_cutmix_has_a_rectangle_of_the_row_before(seed):
    features, shares = MIX["cutmix"](IMAGES, jax.random.key(seed))
    other = (features["image"] == BEFORE).all(axis=3)
    own = (features["image"] == IMAGES).all(axis=3)
    assert (own ^ other).all()
    assert np.allclose(shares, own.mean(axis=(1, 2)), atol=1e-6)
    across = other.any(axis=1)[:, None, :] & other.any(axis=2)[:, :, None]
    assert np.array_equal(across, other)
    for sides in (other.any(axis=1), other.any(axis=2)):
        starts = np.diff(np.pad(sides.astype(int), ((0, 0), (1, 1)))) == 1
        assert (starts.sum(axis=1) <= 1).all()


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 1.5, 8.0])
def test_shares_have_a_beta_distribution(alpha):
    images = np.zeros((20_000, 1, 1, 1), np.float32)
    _, shares = mix_of(MixConfig(mixup=alpha))(images, jax.random.key(1))
    # Below 1e-7 of 0 or 1 float32 has no such numbers, and small alphas have many.
    exact = np.random.default_rng(0).beta(alpha, alpha, 20_000)
    parts = np.asarray(shares, np.float64), exact
    result = scipy.stats.ks_2samp(*(np.clip(part, 1e-7, 1 - 1e-7) for part in parts))
    assert result.pvalue > 1e-4  # But for one seed in 10,000.


def test_as_many_rows_are_mixed_as_declared():
    images = np.zeros((20_000, 1, 1, 1), np.float32)
    _, shares = mix_of(MixConfig(mixup=1.0, share=0.3))(images, jax.random.key(2))
    assert abs((np.asarray(shares) < 1).mean() - 0.3) < 0.013  # Four deviations.


def test_areas_of_rectangles_have_the_declared_distribution():
    images = np.zeros((2_000, 64, 64, 1), np.float32)
    _, shares = mix_of(MixConfig(cutmix=1.0))(images, jax.random.key(3))
    rng = np.random.default_rng(0)
    side = np.sqrt(1 - rng.beta(1, 1, 200_000))
    parts = []
    for center in rng.uniform(size=(2, 200_000)):
        low, high = np.maximum(center - side / 2, 0), np.minimum(center + side / 2, 1)
        parts.append(high - low)
    expected = 1 - parts[0] * parts[1]  # Without pixels, which move it by 1/64.
    assert abs(np.asarray(shares).mean() - expected.mean()) < 0.02


def test_each_row_is_mixed_in_one_way_and_some_in_none():
    features, shares = MIX["both"](IMAGES, jax.random.key(4))
    is_own = (features["image"] == IMAGES).all(axis=(1, 2, 3))
    is_cut = ((features["image"] == IMAGES) | (features["image"] == BEFORE)).all(
        axis=(1, 2, 3)
    )
    assert np.asarray(shares)[is_own] == pytest.approx(1.0)
    assert 8 < is_own.sum() < 28
    assert 12 < (is_cut & ~is_own).sum() < 36
    assert 12 < (~is_cut).sum() < 36
    assert (np.asarray(features["image"]) >= np.minimum(IMAGES, BEFORE) - 1e-6).all()
    assert (np.asarray(features["image"]) <= np.maximum(IMAGES, BEFORE) + 1e-6).all()


def test_a_share_of_0_changes_nothing():
    config = MixConfig(mixup=0.4, cutmix=1.0, share=0.0)
    features, shares = mix_of(config)(IMAGES, jax.random.key(0))
    assert np.array_equal(features["image"], IMAGES)
    assert np.array_equal(shares, np.ones(ROWS))


def test_a_sharded_batch_is_mixed_alike():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    sharded = jax.device_put(IMAGES, NamedSharding(mesh, PartitionSpec("data")))
    key = jax.random.key(5)
    (one, shares), (other, others) = MIX["both"](IMAGES, key), MIX["both"](sharded, key)
    assert np.array_equal(one["image"], other["image"])
    assert np.array_equal(shares, others)


LOSSES = {
    "softmax_cross_entropy": (lambda b: RNG.integers(0, 5, b), "logits"),
    "sigmoid_cross_entropy": (lambda b: RNG.integers(0, 2, (b, 5)), "logits"),
    "squared_error": (lambda b: RNG.normal(size=(b, 5)), "predictions"),
}


class Identity:
    """A model of which the outputs are the inputs; draws one key."""

    class mix_rngs:
        @staticmethod
        def mix():
            return jax.random.key(9)

    def __call__(self, x):
        return x


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_training_has_the_loss_of_mixed_labels_and_evaluation_that_of_the_rows(
    name, weighted
):
    draw, output = LOSSES[name]
    x = RNG.normal(size=(16, 5)).astype(np.float32)
    labels = {"y": draw(16), "w": RNG.uniform(size=16)}
    loss = {"name": name, output: "outputs", "labels": "labels.y"}
    if weighted:
        loss["example_weights"] = "labels.w"
    config = DeclaredSpecConfig.model_validate(
        {
            "inputs": {"x": "features.x"},
            "predictions": {"value": {"name": "identity"}},
            "loss": {"it": loss},
            "mix": {"mixup": 1.0},
        }
    )
    model_fn = build_model_fn(config, optimizer=optax.sgd(0.1))
    scope = {"features": {"x": x}}
    features, mixture = mixed_rows(config.mix, ["features.x"], scope, jax.random.key(9))
    soft = np.eye(5)[labels["y"]] if name.startswith("softmax") else labels["y"]
    for mode, share, outputs in (
        ("train", np.asarray(mixture.shares, np.float64), features["x"]),
        ("eval", np.ones(16), x),
    ):
        outputs = np.asarray(outputs, np.float64)
        target, weights = (
            (share * each.T + (1 - share) * np.roll(each, 1, axis=0).T).T
            for each in (soft, labels["w"])
        )
        values = {
            "softmax_cross_entropy": lambda o, t: (
                -(t * scipy.special.log_softmax(o, axis=-1)).sum(axis=-1)
            ),
            "sigmoid_cross_entropy": lambda o, t: (
                -(
                    t * scipy.special.log_expit(o)
                    + (1 - t) * scipy.special.log_expit(-o)
                )
            ),
            "squared_error": lambda o, t: (o - t) ** 2,
        }[name](outputs, target)
        rows = values.reshape(16, -1).mean(axis=1)
        expected = np.average(rows, weights=weights if weighted else None)
        spec = model_fn(Identity(), {"x": x}, labels, mode)
        assert float(spec.loss) == pytest.approx(expected, rel=1e-5)


def test_a_resumed_run_and_another_mesh_mix_alike(tmp_path):
    features, labels = {"x": IMAGES[:, 0, 0]}, RNG.integers(0, 3, ROWS)
    config = DeclaredSpecConfig.model_validate(
        {
            "inputs": {"inputs": "features.x"},
            "predictions": {"logits": {"name": "identity"}},
            "loss": {"it": {"name": "softmax_cross_entropy"}},
            "mix": {"mixup": 1.0},
        }
    )

    def outputs_after(folder, *stops, devices=1):
        for stop in stops:
            estimator = sf.TPUEstimator(
                build_model_fn(config, optimizer=optax.sgd(0.5)),
                model=with_mix_stream(lambda rngs: nnx.Linear(2, 3, rngs=rngs)),
                model_dir=tmp_path / folder,
                config=sf.RunConfig(seed=3, progress=False),
                train_batch_size=16,
                mesh=MeshConfig(axes=AxesConfig(data=devices)),
            )
            estimator.train(lambda: (features, labels), max_steps=stop)
        return np.array([row["logits"] for row in estimator.predict(lambda: features)])

    whole = outputs_after("whole", 6)
    assert np.array_equal(outputs_after("resumed", 3, 6), whole)
    assert np.allclose(outputs_after("mesh", 6, devices=8), whole, atol=1e-5)


def test_labels_outside_of_the_classes_are_nan():
    soft = Mixture(jnp.array([1.0, 0.5])).of_classes(jnp.array([3, 1]), 3)
    assert np.isnan(soft).all()


@pytest.mark.parametrize(
    ("config", "features", "message"),
    [
        (
            MixConfig(cutmix=1.0),
            {"x": np.zeros((4, 3), np.float32)},
            r"spec.mix: features.x is float32\[4,3\]. Expected images",
        ),
        (
            MixConfig(mixup=1.0),
            {"x": np.zeros((4, 3), np.int32)},
            r"spec.mix: features.x is int32\[4,3\]. Expected floats",
        ),
        (MixConfig(mixup=1.0, of=["features.y"]), {"x": np.zeros(4)}, "spec.mix.of"),
    ],
)
def test_features_that_cannot_be_mixed(config, features, message):
    paths = config.of or ["features.x"]
    with pytest.raises(SpecError, match=message):
        mixed_rows(config, paths, {"features": features}, jax.random.key(0))


def test_a_linen_model_that_mixes_is_refused():
    config = compose(["experiment=digits_mlp", "spec.mix={mixup: 1.0}"]).config
    target = Target.model_validate({"_target_": "mine.Net"})
    target.bind(lambda: linen.Dense(10))
    with pytest.raises(ConfigError) as caught:
        sf.Estimator.from_config(config.model_copy(update={"model": target}))
    (diagnostic,) = caught.value.diagnostics
    assert str(diagnostic) == (
        "spec.mix: needs a random stream, and the model is a Dense. Expected a model "
        "of flax.nnx."
    )
