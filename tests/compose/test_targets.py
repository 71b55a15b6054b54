"""Targets: what may run, and with which arguments."""

import sys

import jax.numpy
import numpy as np
import optax
import pytest
from flax import linen, nnx

from specflow.compose import compose
from specflow.compose.check.targets import resolve, resolve_targets
from specflow.compose.provenance import Origins
from specflow.config.base import Target
from specflow.diagnostics.errors import ConfigError, Diagnostic
from specflow.metrics.declared_metrics import build_metric_fn
from specflow.optimizer.build_optimizer import build_optimizer

OWN = """
import os
import os.path as hidden
from functools import partial
from pickle import loads as read

class Net:
    def __init__(self, width: int, *, depth: int = 2, rngs): ...

def loss(*, labels, logits, scale=1.0): ...

def anything(**settings): ...

def scaled(by, labels): return by * labels.sum()

half = partial(loss, scale=0.5)
_private = loss
value = 3
"""


@pytest.fixture
def own(project, monkeypatch):
    """A package of the user's own, as it lies in the current directory."""
    root = project({"own_package/__init__.py": "", "own_package/parts.py": OWN})
    monkeypatch.syspath_prepend(root)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("optax.adamw", optax.adamw),
        ("flax.nnx.Linear", nnx.Linear),
        ("flax.linen.Dense", linen.Dense),
        ("jax.numpy.tanh", jax.numpy.tanh),
        ("jax.nn.gelu", jax.nn.gelu),
        ("jax.nn.relu", jax.nn.relu),
        ("jax.nn.initializers.he_normal", jax.nn.initializers.he_normal),
        ("optax.losses.squared_error", optax.losses.squared_error),
    ],
)
def test_parts_of_the_built_in_packages_resolve(name, expected):
    assert resolve("model._target_", name) is expected


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "jax.config.update",
        "flax.io.rmtree",
        "flax.serialization.from_bytes",
        "specflow.diagnostics.errors.difflib.get_close_matches",
        "specflow.diagnostics.errors.dataclasses.make_dataclass",
        "specflow.cli.main.main",
        "specflow.cli.main.os.system",
        "specflow.compose.compose",
        "specflow.compose.check.targets.importlib.import_module",
        "specflow.__main__.main",
        "specflow.diagnostics.errors.Diagnostic.__init__",
        "jax.numpy.load",
        "jax.numpy.save",
        "jax.numpy.ndarray.__reduce__",
        "optax.adamw.__globals__",
        "flax.nnx.functools.partial",
        "flax.linen.nope",
        "optax",
        "optax.",
        "optax..adamw",
        "",
        "optax.adamw()",
        "own_package.parts.Net",
    ],
)
def test_nothing_else_resolves(name):
    assert isinstance(resolve("model._target_", name), Diagnostic)


@pytest.mark.parametrize(
    "name", ["os.system", "hidden.join", "partial", "read", "half", "_private", "value"]
)
def test_trust_reaches_what_a_package_defines_and_not_what_it_imports(own, name):
    diagnostic = resolve(
        "model._target_", f"own_package.parts.{name}", trust=["own_package"]
    )
    assert isinstance(diagnostic, Diagnostic)


def test_a_users_package_resolves_when_it_is_trusted(own):
    found = resolve("x", "own_package.parts.Net", trust=["own_package"])
    assert callable(found)
    assert not isinstance(found, Diagnostic)


def test_an_untrusted_name_is_not_imported(project, monkeypatch):
    root = project({"stranger.py": "raise RuntimeError('ran')\n"})
    monkeypatch.syspath_prepend(root)
    diagnostic = resolve("model._target_", "stranger.Net")
    assert isinstance(diagnostic, Diagnostic)
    assert diagnostic.code == "target-untrusted"
    assert resolve("m", "stranger.Net", trust=["stranger"]).code == "target-import"


def diagnostics_of(section, *, supplied=()):
    _, diagnostics = resolve_targets(
        {"model": section},
        Origins(),
        trust=["own_package"],
        supplied={"model": dict.fromkeys(supplied, False)},
    )
    return [str(diagnostic) for diagnostic in diagnostics]


def test_arguments_are_checked_against_the_signature(own):
    net = {"_target_": "own_package.parts.Net", "widht": 3}
    assert diagnostics_of(net, supplied=["rngs"]) == [
        "model.widht: no such argument. Did you mean model.width? "
        "Arguments of own_package.parts.Net: width, depth, rngs.",
        "model.width: is missing. Expected an argument of own_package.parts.Net, "
        "which has no default for it.",
    ]
    assert diagnostics_of({"_target_": "own_package.parts.Net", "width": 3}) != []
    assert diagnostics_of({**net, "widht": 3, "width": 1}, supplied=["rngs"]) != []


def test_a_callable_with_keyword_arguments_accepts_any_argument(own):
    assert diagnostics_of({"_target_": "own_package.parts.anything", "x": 1}) == []


def test_arguments_that_the_framework_supplies_may_be_missing():
    net = compose(
        ["model={_target_: flax.nnx.Linear, in_features: 3, out_features: 4}"]
    )
    assert net.config.model.arguments == {"in_features": 3, "out_features": 4}


def test_an_optimizer_of_a_target_needs_its_learning_rate():
    """A target returns the complete transformation, so no rate is passed to it."""
    rate = compose(["optimizer={_target_: optax.adamw, learning_rate: 0.1}"])
    assert rate.config.optimizer.callable is optax.adamw
    with pytest.raises(ConfigError) as raised:
        compose(["optimizer={_target_: optax.adamw}"])
    assert str(raised.value) == (
        "optimizer.learning_rate: is missing (override optimizer={_target_: "
        "optax.adamw}). Expected an argument of optax.adamw, which has no default "
        "for it."
    )


def test_a_target_must_take_the_arguments_that_are_always_passed():
    line = "+output.exporters.x={_target_: optax.losses.squared_error, predictions: 1}"
    with pytest.raises(ConfigError) as raised:
        compose([line])
    assert str(raised.value) == (
        "output.exporters.x._target_: optax.losses.squared_error has no argument name "
        f"and no input_fn (override {line}). Expected a callable that takes name and "
        "input_fn, which are passed to it. Arguments of optax.losses.squared_error: "
        "predictions, targets."
    )


def test_another_callable_drops_the_former_arguments(own):
    """The CNN's widths are no arguments of whatever replaces the CNN."""
    composed = compose(["model._target_=flax.linen.Dense", "model.features=4"])
    assert composed.tree["model"] == {"_target_": "flax.linen.Dense", "features": 4}
    again = compose(["model={_target_: flax.linen.Dense, features: 4}"])
    assert again.config.model == composed.config.model


def test_trust_is_for_the_users_packages(own):
    with pytest.raises(ConfigError, match="not of the standard library"):
        compose(["trust=os", "model._target_=os.system"])
    composed = compose(
        ["trust=[own_package]", "model={_target_: own_package.parts.Net, width: 3}"]
    )
    assert composed.trust == ("own_package",)
    assert composed.config.model.callable.__name__ == "Net"


def test_a_model_fn_is_bound(own):
    words = ["~spec", "spec.model_fn=own_package.parts.anything", "trust=own_package"]
    assert compose(words).config.spec.callable.__name__ == "anything"


def test_a_model_fn_replaces_a_declared_spec(own):
    """It was merged with the declared spec, whose fields were then reported."""
    words = ["spec.model_fn=own_package.parts.anything", "trust=own_package"]
    composed = compose([*words, "spec.params={scale: 2.0}"])
    assert composed.tree["spec"] == {
        "name": "model_fn",
        "model_fn": "own_package.parts.anything",
        "params": {"scale": 2.0},
    }


def test_another_model_fn_keeps_the_params(own):
    words = ["spec={model_fn: own_package.parts.loss, params: {scale: 2.0}}"]
    words += ["spec.model_fn=own_package.parts.anything", "trust=own_package"]
    assert compose(words).config.spec.params == {"scale": 2.0}


def test_targets_are_resolved_at_every_depth(own):
    target = "{_target_: own_package.parts.loss, labels: labels, logits: outputs}"
    words = [f"spec.loss.mine={target}", "trust=own_package"]
    assert compose(words).config.spec.loss["mine"].callable.__name__ == "loss"


CHAIN = (
    "optimizer={_target_: optax.chain, _args_: ["
    "{_target_: optax.clip, max_delta: 0.1}, {_target_: optax.sgd, "
    "learning_rate: {_target_: optax.linear_schedule, init_value: 0.0, "
    "end_value: 1.0, transition_steps: 4}}]}"
)


def test_targets_inside_arguments_are_called_first():
    built = build_optimizer(compose([CHAIN]).config.optimizer, train_steps=4)
    by_hand = optax.chain(
        optax.clip(0.1), optax.sgd(optax.linear_schedule(0.0, 1.0, 4))
    )
    states = [tx.init(jax.numpy.zeros(2)) for tx in (built, by_hand)]
    for _ in range(3):
        gradient = jax.numpy.array([1.0, -0.01])
        (ours, first), (theirs, second) = [
            tx.update(gradient, state)
            for tx, state in zip((built, by_hand), states, strict=True)
        ]
        states = [first, second]
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, [-0.05, 0.005], rtol=1e-6)


def test_a_partial_target_is_a_function_of_what_it_lacks(own):
    inner = "{_target_: own_package.parts.loss, _partial_: true, scale: 3.0}"
    words = [f"model={{_target_: own_package.parts.anything, f: [{inner}]}}"]
    model = compose([*words, "trust=own_package"]).config.model
    (function,) = model.built_arguments()["f"]
    assert function.keywords == {"scale": 3.0}
    assert function.func is sys.modules["own_package.parts"].loss
    assert model.arguments["f"][0]["_partial_"] is True


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            {"_target_": "optax.adamw", "_args_": 3, "_partial_": True},
            [
                "model._args_: got 3. Expected a list of arguments.",
                "model._partial_: has no effect: specflow calls the target of a "
                "section itself. Leave it out, or set it for a target among the "
                "arguments.",
            ],
        ),
        (
            {"_target_": "optax.sgd", "_args_": [0.1], "_recursive_": False},
            [
                "model._recursive_: has no effect. Leave it out: targets among "
                "arguments are always called."
            ],
        ),
        (
            {"_target_": "optax.sgd", "_args_": [0.1], "learning_rate": 0.2},
            [
                "model.learning_rate: is given by _args_ too. "
                "Arguments of optax.sgd: momentum, nesterov, accumulator_dtype."
            ],
        ),
        (
            {"_target_": "optax.clip", "_args_": [0.1, 0.2]},
            [
                "model._args_: has 2 values. Expected 1 or fewer, which optax.clip "
                "takes by position."
            ],
        ),
        (
            {"_target_": "optax.chain", "_args_": [{"_target_": "optax.clip"}]},
            [
                "model._args_.0.max_delta: is missing. Expected an argument of "
                "optax.clip, which has no default for it. For a function of the "
                "arguments that are missing: _partial_: true."
            ],
        ),
        (
            {"_target_": "optax.chain", "_args_": [{"_target_": "os.system"}]},
            [
                "model._args_.0._target_: 'os.system' is outside the trusted packages. "
                "Expected a name below flax.linen, flax.nnx, jax.nn, jax.numpy, optax, "
                "specflow or own_package."
            ],
        ),
    ],
)
def test_words_of_hydra_are_checked(section, expected):
    assert diagnostics_of(section) == expected


def test_a_target_inside_of_one_that_python_made_is_not_called():
    target = Target(_target_="optax.chain", a={"_target_": "optax.clip"})
    with pytest.raises(ConfigError, match=r"^optax\.clip: was not resolved"):
        target.built_arguments()


def test_a_key_path_of_a_target_that_names_nothing_is_not_to_be_a_list():
    metric = "{_target_: specflow.metrics.Mean, values: predictions.nothing}"
    words = ["experiment=digits_mlp", f"+spec.eval_metrics.m={metric}"]
    with pytest.raises(ConfigError) as raised:
        compose(words)
    assert str(raised.value) == (
        "spec.eval_metrics.m.values: got 'predictions.nothing' (override "
        f"+spec.eval_metrics.m={metric}). Expected one of the declared predictions "
        "(predictions.probability, predictions.class)."
    )


def test_arguments_of_a_metric_may_be_given_by_position(own):
    metric = "{_target_: own_package.parts.scaled, _args_: [3.0], labels: labels}"
    words = ["experiment=digits_mlp", f"+spec.eval_metrics.m={metric}"]
    config = compose([*words, "trust=own_package"]).config
    metric_fn, _ = build_metric_fn({"m": config.spec.eval_metrics["m"]})
    assert metric_fn(labels=np.array([1.0, 2.0]))["m"] == 9.0
