"""A `train_op` as a step sees it: how it starts, and how it moves the parameters."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from specflow.contract import TrainOp
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.batch_statistics import (
    extra_arguments,
    parameters_of,
    with_statistics,
)
from specflow.executor.measured import Measured
from specflow.executor.step_rates import learning_rates
from specflow.runtime.globs import matches

__all__ = ["LEAST_SCALE", "LossScale", "Optimizer", "ScaledState"]

LossScale = float | Literal["dynamic"] | None
"""Factor of the loss while it is differentiated; None: 1."""

_FIRST_SCALE = 2.0**15
_PATIENCE = 2_000
"""Steps without an overflow after which a dynamic scale is doubled."""
LEAST_SCALE, _LARGEST_SCALE = 1.0, 2.0**100
"""Between what a dynamic scale stays. What is far above any need of 16 bits is no
better, and at 2**128 float32 has no more than an infinity, from which none returns."""


class ScaledState(NamedTuple):
    """What an optimizer carries where the scale of the loss is dynamic."""

    inner: Any
    """What the optimizer itself carries."""
    scale: jax.Array
    """float32[]"""
    streak: jax.Array
    """int32[]: steps since the scale last changed."""


class Optimizer:
    """A `train_op` seen by a step.

    Args:
        train_op: as the spec holds it.
        params: path -> anything; the parameters that there are.
        loss_scale: keeps gradients of 16 bits above zero: a number, or `dynamic`, which
            halves it at a gradient that is not finite, and leaves that step out, and
            doubles it after 2,000 steps without one.
        statistics: path of each batch statistic of the model -> path of its layer.

    Raises:
        SpecError: `wrt` and `frozen` leave no parameter to train.

    Source of the dynamic scale: Micikevicius et al., Mixed Precision Training, 2018.
    """

    def __init__(
        self,
        train_op: Any,
        params: Mapping[str, Any],
        *,
        loss_scale: LossScale = None,
        statistics: Mapping[str, str] | None = None,
    ):
        self.train_op, self._loss_scale = train_op, loss_scale
        self.transformation = (
            train_op.optimizer if isinstance(train_op, TrainOp) else train_op
        )
        wrt, frozen = ("**",), ()
        if isinstance(train_op, TrainOp):
            wrt, frozen = train_op.wrt, train_op.frozen
        self.trained = tuple(
            path
            for path in params
            if any(matches(glob, path) for glob in wrt)
            and not any(matches(glob, path) for glob in frozen)
        )
        # Where there are none at all, a function can still count steps.
        diagnostics = (
            [*_in_vain({"wrt": wrt, "frozen": frozen}, params)] if params else []
        )
        if diagnostics:
            raise spec_error(*diagnostics)
        if params and not self.trained:
            raise spec_error(_nothing_left(frozen, params))
        self._owners = {
            name: parameters_of(layer, params)
            for name, layer in ({} if self.is_function else statistics or {}).items()
        }
        self.statistics = tuple(self._owners)
        """Batch statistics of the model."""
        self.frozen_statistics = tuple(
            name
            for name, owners in self._owners.items()
            if owners.isdisjoint(self.trained)
        )
        """Batch statistics of layers of which no parameter trains."""

    @property
    def is_function(self) -> bool:
        """Whether it is a function (state, batch) -> (state, metrics)."""
        return not hasattr(self.transformation, "update")

    def init(
        self, params: Mapping[str, Any], model_state: Mapping[str, Any] = {}
    ) -> Any:
        """The optimizer's state at the start.

        Args:
            params: by path.
            model_state: the model state, by path.
        """
        if self.is_function:
            return getattr(self.transformation, "init", lambda _: ())(params)
        inner = self.transformation.init({path: params[path] for path in self.trained})
        statistics = {name: model_state[name] for name in self._owners}
        inner = with_statistics(inner, statistics, self._owners)
        if self._loss_scale != "dynamic":
            return inner
        scale = jnp.asarray(_FIRST_SCALE, jnp.float32)
        return ScaledState(inner, scale, jnp.zeros((), jnp.int32))

    def scale(self, opt_state: Any) -> jax.Array | None:
        """Factor of the loss in this step, float32[]; None: 1."""
        if self._loss_scale == "dynamic":
            return opt_state.scale
        if self._loss_scale is None:
            return None
        return jnp.asarray(self._loss_scale, jnp.float32)

    def update(
        self,
        gradients: Any,
        opt_state: Any,
        trained: dict[str, jax.Array],
        model_state: Mapping[str, Any] = {},
    ) -> tuple[dict[str, jax.Array], Any]:
        """The parameters and the optimizer's state after a step.

        Args:
            gradients: of the scaled loss, by path.
            opt_state: before the step.
            trained: the parameters that train, before the step.
            model_state: the model state, after the step.
        """
        scale = self.scale(opt_state)
        if scale is not None:
            share = 1.0 / scale
            # In float32: of 16 bits, the share itself may have no number but 0.
            gradients = jax.tree.map(lambda g: (g * share).astype(g.dtype), gradients)
        if self._loss_scale != "dynamic":
            return self._moved(gradients, opt_state, trained, model_state)
        finite = functools.reduce(
            jnp.logical_and, [jnp.isfinite(g).all() for g in jax.tree.leaves(gradients)]
        )
        moved, inner = jax.tree.map(
            functools.partial(jnp.where, finite),
            self._moved(gradients, opt_state.inner, trained, model_state),
            (trained, opt_state.inner),
        )
        streak = jnp.where(finite, opt_state.streak + 1, 0)
        grows = (streak == _PATIENCE) & (opt_state.scale < _LARGEST_SCALE)
        factor = jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5)
        scale = jnp.maximum(opt_state.scale * factor, LEAST_SCALE)
        return moved, ScaledState(inner, scale, jnp.where(grows, 0, streak))

    def skipped(self, before: Any, after: Any) -> Any:
        """The scale at which a step was skipped, float32[]; 0: it was taken.

        Args:
            before: the optimizer's state before the step.
            after: after it.

        Returns:
            No array where the scale is not dynamic: no step is skipped.
        """
        if self._loss_scale != "dynamic":
            return ()
        is_skipped = (after.streak == 0) & (after.scale <= before.scale)
        return jnp.where(is_skipped, before.scale, 0.0)

    def measured(
        self,
        gradients: Mapping[str, jax.Array],
        before: Any,
        after: Any,
        step: jax.Array,
        *,
        wanted: jax.Array | None = None,
    ) -> Measured:
        """What a step is reported with beside its loss.

        Args:
            gradients: of the scaled loss, by path, before anything clips them.
            before: the optimizer's state before the step.
            after: after it.
            step: int32[], steps taken before.
            wanted: bool[], whether they are computed, and no zeros; None: always.

        Returns:
            `gradient_norm`, over all parameters that train, and the learning rates that
            are known. Nothing where `train_op` is a function: it has the gradients.
        """
        if self.is_function:
            return Measured((), ())
        scale = self.scale(before)
        share = 1.0 if scale is None else 1.0 / scale

        def squares(gradient: jax.Array) -> jax.Array:
            # At least float32, and without the scale: both keep squares finite.
            wide = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
            return optax.tree.norm(wide * share, squared=True)

        def numbers() -> dict[str, jax.Array]:
            total = sum(map(squares, gradients.values()), jnp.zeros((), jnp.float32))
            norm = jnp.sqrt(total).astype(jnp.float32)
            rates = learning_rates(self.transformation, before, after, step)
            return {"gradient_norm": norm, **rates}

        names = tuple(sorted(jax.eval_shape(numbers)))

        def computed() -> jax.Array:
            by_name = numbers()
            return jnp.stack([by_name[name] for name in names])

        if wanted is None:
            return Measured(names, computed())
        zeros = jnp.zeros(len(names), jnp.float32)
        return Measured(names, lax.cond(wanted, computed, lambda: zeros))

    def _moved(
        self,
        gradients: Any,
        opt_state: Any,
        trained: dict[str, jax.Array],
        model_state: Mapping[str, Any],
    ) -> tuple[Any, Any]:
        update = self.transformation.update
        extra = extra_arguments(update, opt_state, model_state)
        updates, opt_state = update(gradients, opt_state, trained, **extra)
        return optax.apply_updates(trained, updates), opt_state


def _in_vain(
    globs: Mapping[str, Iterable[str]], params: Mapping[str, Any]
) -> Iterator[Diagnostic]:
    """Globs that match no parameter: for one misspelt, the wrong ones would train."""
    for field, all_of_it in globs.items():
        vain = [
            glob
            for glob in all_of_it
            if not any(matches(glob, path) for path in params)
        ]
        if vain:
            yield Diagnostic(
                f"train_op.{field}",
                f"{', '.join(vain)} matches no parameter",
                expected=_globs_over(params),
                code="wrt",
            )


def _nothing_left(frozen: tuple[str, ...], params: Mapping[str, Any]) -> Diagnostic:
    told = f"{', '.join(frozen)} leaves no parameter to train"
    return Diagnostic("train_op.frozen", told, expected=_globs_over(params), code="wrt")


def _globs_over(params: Mapping[str, Any]) -> str:
    return f"globs over {', '.join(list(params)[:8])}"
