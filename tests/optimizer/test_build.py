"""Shared fields of the `optimizer` section: learning rate, clipping, weight decay.

Expected values are the papers' formulas, written out in NumPy float64.
"""

import math
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.config.base import Target
from specflow.config.sections import schedules
from specflow.config.sections.optimizer import (
    AdamConfig,
    AdamWConfig,
    ConstantConfig,
    CosineConfig,
    LinearDecayConfig,
    ScheduleConfig,
    SgdConfig,
)
from specflow.diagnostics.errors import ConfigError
from specflow.optimizer.build_optimizer import (
    build_learning_rate_schedule,
    build_optimizer,
)

PARAMS = {"head.kernel": np.array([1.0, -2.0]), "head.bias": np.array([0.5])}
GRADIENTS = [
    {"head.kernel": np.array([0.3, -0.1]), "head.bias": np.array([2.0])},
    {"head.kernel": np.array([-0.2, 0.4]), "head.bias": np.array([0.0])},
    {"head.kernel": np.array([0.1, 0.1]), "head.bias": np.array([-1.0])},
]


def trained(config, *, train_steps=10, wrap=lambda tree: tree):
    optimizer = build_optimizer(config, train_steps=train_steps)
    params = wrap(jax.tree.map(jnp.float32, PARAMS))
    state = optimizer.init(params)
    for gradient in GRADIENTS:
        gradient = wrap(jax.tree.map(jnp.float32, gradient))
        updates, state = jax.jit(optimizer.update)(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def adam(*, lr, b1, b2, eps, decay=lambda name: 0.0):
    """Kingma & Ba, algorithm 1; Loshchilov & Hutter, algorithm 2, line 12."""
    params = {name: value.copy() for name, value in PARAMS.items()}
    for name, p in params.items():
        m = v = np.zeros_like(p)
        for t, gradient in enumerate(GRADIENTS, start=1):
            g = gradient[name]
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
            p -= lr * (step + decay(name) * p)
    return params


def sgd(*, lr, momentum=0.0, nesterov=False, scale=lambda gradient: 1.0):
    """Sutskever et al., 2013, in the form without the rate in the velocity."""
    params = {name: value.copy() for name, value in PARAMS.items()}
    velocity = {name: np.zeros_like(value) for name, value in PARAMS.items()}
    for step, gradient in enumerate(GRADIENTS):
        rate = lr(step) if callable(lr) else lr
        for name, p in params.items():
            g = gradient[name] * scale(gradient)
            velocity[name] = momentum * velocity[name] + g
            p -= rate * (g + momentum * velocity[name] if nesterov else velocity[name])
    return params


def clip(norm):
    def scale(gradient):
        total = math.sqrt(sum((g**2).sum() for g in gradient.values()))
        return min(1.0, norm / total)

    return scale


CASES = {
    "adam": (
        AdamConfig(lr=0.1, b1=0.8, b2=0.95, eps=1e-6),
        adam(lr=0.1, b1=0.8, b2=0.95, eps=1e-6),
    ),
    "adamw, no decay of biases": (
        AdamWConfig(lr=0.1, weight_decay=0.3),
        adam(
            lr=0.1,
            b1=0.9,
            b2=0.999,
            eps=1e-8,
            decay=lambda name: 0.0 if name.endswith("bias") else 0.3,
        ),
    ),
    "adamw, decay of everything": (
        AdamWConfig(lr=0.1, weight_decay=0.3, no_decay=[]),
        adam(lr=0.1, b1=0.9, b2=0.999, eps=1e-8, decay=lambda name: 0.3),
    ),
    "sgd": (SgdConfig(lr=0.1), sgd(lr=0.1)),
    "momentum": (SgdConfig(lr=0.1, momentum=0.9), sgd(lr=0.1, momentum=0.9)),
    "nesterov": (
        SgdConfig(lr=0.1, momentum=0.9, nesterov=True),
        sgd(lr=0.1, momentum=0.9, nesterov=True),
    ),
    "clipped by the norm over everything": (
        SgdConfig(lr=0.1, clip_norm=0.5),
        sgd(lr=0.1, scale=clip(0.5)),
    ),
    "warmed up": (
        SgdConfig(lr=0.1, schedule=ConstantConfig(warmup_steps=2)),
        sgd(lr=lambda step: 0.1 * min(step / 2, 1.0)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_updates_follow_the_formula(case):
    config, expected = CASES[case]
    actual = trained(config)
    for name, value in expected.items():
        # float32 over three steps
        np.testing.assert_allclose(actual[name], value, rtol=1e-5, atol=1e-6)


def test_every_schedule_has_a_case_here():
    kinds = get_args(ScheduleConfig)[1].members
    assert set(kinds.values()) == {
        ConstantConfig,
        CosineConfig,
        LinearDecayConfig,
        *schedules.MEMBERS.values(),  # test_schedules
        Target,
    }


def test_paths_of_nested_parameters_are_dotted_too():
    def nest(flat):
        return {"head": {k.removeprefix("head."): v for k, v in flat.items()}}

    config, expected = CASES["adamw, no decay of biases"]
    actual = trained(config, wrap=nest)
    for name, value in nest(expected)["head"].items():
        np.testing.assert_allclose(actual["head"][name], value, rtol=1e-5, atol=1e-6)


def formula(config, *, lr, train_steps, step):
    """The page of each schedule, in float64."""
    if step < config.warmup_steps:
        return lr * step / config.warmup_steps
    if isinstance(config, ConstantConfig):
        return lr
    end = config.decay_steps or train_steps
    done = min((step - config.warmup_steps) / (end - config.warmup_steps), 1.0)
    left = 1 - done
    if isinstance(config, CosineConfig):
        left = (1 + math.cos(math.pi * done)) / 2
    return lr * (config.final + (1 - config.final) * left)


@given(
    member=st.sampled_from([CosineConfig, LinearDecayConfig, ConstantConfig]),
    lr=st.floats(1e-5, 10.0),
    warmup_steps=st.integers(0, 40),
    decay_steps=st.none() | st.integers(41, 200),
    final=st.floats(0.0, 1.0),
    step=st.integers(0, 250),
)
def test_the_learning_rate_follows_the_formula(
    member, lr, warmup_steps, decay_steps, final, step
):
    fields = {"warmup_steps": warmup_steps}
    if member is not ConstantConfig:
        fields |= {"decay_steps": decay_steps, "final": final}
    schedule = member(**fields)
    rate = build_learning_rate_schedule(
        AdamConfig(lr=lr, schedule=schedule), train_steps=100
    )
    expected = formula(schedule, lr=lr, train_steps=100, step=step)
    # float32 of a rate between 0 and lr
    np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-6 * lr)


def test_a_warmup_that_leaves_no_step_to_decay_raises():
    config = AdamConfig(schedule=CosineConfig(warmup_steps=10))
    with pytest.raises(ConfigError) as caught:
        build_optimizer(config, train_steps=10)
    assert str(caught.value) == (
        "optimizer.schedule.warmup_steps: got 10. "
        "Expected fewer steps than the whole schedule has (10)."
    )


def _target(function, **arguments) -> Target:
    target = Target.model_validate({"_target_": "my_package.make", **arguments})
    target.bind(function)
    return target


def test_a_target_is_called_with_its_arguments():
    config = _target(optax.sgd, learning_rate=0.1)
    np.testing.assert_allclose(
        trained(config)["head.kernel"], CASES["sgd"][1]["head.kernel"], rtol=1e-5
    )
    assert build_learning_rate_schedule(config, train_steps=10) is None


def test_a_users_schedule_is_the_learning_rate():
    schedule = _target(optax.constant_schedule, value=0.1)
    np.testing.assert_allclose(
        trained(SgdConfig(lr=7.0, schedule=schedule))["head.kernel"],
        CASES["sgd"][1]["head.kernel"],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            _target(lambda: 3.0),
            "optimizer._target_: my_package.make returned float. "
            "Expected an optax.GradientTransformation.",
        ),
        (
            SgdConfig(schedule=_target(lambda: 3.0)),
            "optimizer.schedule._target_: my_package.make returned float. "
            "Expected a function of the step.",
        ),
    ],
)
def test_a_target_that_returns_another_type_raises(config, message):
    with pytest.raises(ConfigError) as caught:
        build_optimizer(config, train_steps=10)
    assert str(caught.value) == message
