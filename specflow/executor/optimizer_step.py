"""The `train_op` inside a step: initialization, updates, loss scale, measurements."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import lax

from specflow.contract import TrainOp
from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.executor.array_types import (
    ModelState,
    OptState,
    Params,
    TrainOpLike,
    Tree,
)
from specflow.executor.batch_statistics import (
    extra_arguments,
    parameters_of,
    with_statistics,
)
from specflow.executor.grouped_reductions import Groups, all_finite, sum_of_squares
from specflow.executor.hyperparameters import Keys, TracedPart
from specflow.executor.step_metrics import StepMetrics
from specflow.executor.step_rates import learning_rates
from specflow.runtime.globs import matches

__all__ = ["LEAST_SCALE", "LossScale", "Optimizer", "ScaledState"]

LossScale: TypeAlias = float | Literal["dynamic"] | None
"""Factor of the loss during differentiation. If None, it is 1."""

_NORM = "gradient_norm"
_INITIAL_SCALE = 2.0**15
_GROWTH_INTERVAL = 2_000
"""Steps without an overflow after which a dynamic scale is doubled."""
LEAST_SCALE, _LARGEST_SCALE = 1.0, 2.0**100
"""Bounds of a dynamic scale. The upper one is far above any need of 16-bit floats and
below 2**128, which is infinite in float32 and would stay so."""


class ScaledState(NamedTuple):
    """Optimizer state with a dynamic loss scale."""

    inner: OptState
    """State of the optimizer itself."""
    scale: jax.Array
    """float32[]: the loss scale."""
    streak: jax.Array
    """int32[]: steps since the scale last changed."""


class Optimizer:
    """A `train_op`, applied to the parameters that it trains.

    Args:
        train_op: from the spec.
        params: the model's parameters by path; only the paths are used.
        loss_scale: keeps 16-bit gradients from underflow: a number, or `dynamic`, which
            halves the scale and skips the step at a gradient that is not finite, and
            doubles it after 2,000 steps without one.
        statistics: path of each batch statistic of the model -> path of its layer.
        moved: keys -> the `train_op` with these hyperparameters moved; None: its
            hyperparameters are constants of the program.
        keys: hyperparameters of the `train_op`.

    Raises:
        SpecError: `wrt` and `frozen` leave no parameter to train, or match none.

    Source of the dynamic scale: Micikevicius et al., Mixed Precision Training, 2018.
    """

    def __init__(
        self,
        train_op: TrainOpLike,
        params: Params,
        *,
        loss_scale: LossScale = None,
        statistics: Mapping[str, str] | None = None,
        moved: Callable[[Keys], TrainOpLike] | None = None,
        keys: Keys = (),
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
        # Without parameters a function can still count steps.
        diagnostics = (
            [*_unmatched({"wrt": wrt, "frozen": frozen}, params)] if params else []
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
        """Batch statistics of layers without trained parameters."""

        def part(name: str, method: str) -> TracedPart:
            """Makes a part of the program of a method, as this and another one has."""

            def moved_method(keys: Keys) -> Callable[..., Tree]:
                assert moved is not None
                other = Optimizer(
                    moved(keys), params, loss_scale=loss_scale, statistics=statistics
                )
                return getattr(other, method)

            given = None if moved is None else moved_method
            return TracedPart(name, getattr(self, method), given, keys)

        self._apply = part("optimizer_update", "_updated")
        self._rates = part("learning_rates", "_stacked_rates")
        self.initialize = part("optimizer_init", "init")
        """`init`, as a part of a program."""
        self.metric_names: tuple[str, ...] = ()
        """Those of `step_metrics`, once the parts of a step are traced."""

    @property
    def step_parts(self) -> tuple[TracedPart, ...]:
        """The parts of a training step that hyperparameters determine."""
        return self._apply, self._rates

    @property
    def is_function(self) -> bool:
        """True if the `train_op` is a function (state, batch) -> (state, metrics)."""
        return not hasattr(self.transformation, "update")

    def init(self, params: Params, model_state: Mapping[str, Any] = {}) -> OptState:
        """Initializes the optimizer's state.

        Args:
            params: parameters by path.
            model_state: non-parameter variables by path.
        """
        if self.is_function:
            return getattr(self.transformation, "init", lambda _: ())(params)
        inner = self.transformation.init({path: params[path] for path in self.trained})
        statistics = {name: model_state[name] for name in self._owners}
        inner = with_statistics(inner, statistics, self._owners)
        if self._loss_scale != "dynamic":
            return inner
        scale = jnp.asarray(_INITIAL_SCALE, jnp.float32)
        return ScaledState(inner, scale, jnp.zeros((), jnp.int32))

    def scale(self, opt_state: OptState) -> jax.Array | None:
        """Returns the loss scale of this step, float32[]. If None, it is 1."""
        if self._loss_scale == "dynamic":
            return opt_state.scale
        if self._loss_scale is None:
            return None
        return jnp.asarray(self._loss_scale, jnp.float32)

    def update(
        self,
        gradients: Tree,
        opt_state: OptState,
        trained: dict[str, jax.Array],
        model_state: Mapping[str, Any] = {},
        *,
        groups: Groups | None = None,
    ) -> tuple[dict[str, jax.Array], OptState]:
        """Returns the trained parameters and the optimizer's state after a step.

        Args:
            gradients: of the scaled loss, by path.
            opt_state: before the step.
            trained: the trained parameters, before the step.
            model_state: non-parameter variables, after the step.
            groups: paths of gradients that are alike; see `groups_of`. If None, those
                of the same shape and dtype are.
        """
        scale = self.scale(opt_state)
        if scale is not None:
            inverse = 1.0 / scale
            # In float32: in 16 bits the inverse itself may underflow.
            gradients = jax.tree.map(lambda g: (g * inverse).astype(g.dtype), gradients)
        if self._loss_scale != "dynamic":
            return self._apply(gradients, opt_state, trained, model_state)
        finite = all_finite(gradients, groups)
        updated, inner = jax.tree.map(
            functools.partial(jnp.where, finite),
            self._apply(gradients, opt_state.inner, trained, model_state),
            (trained, opt_state.inner),
        )
        streak = jnp.where(finite, opt_state.streak + 1, 0)
        grows = (streak == _GROWTH_INTERVAL) & (opt_state.scale < _LARGEST_SCALE)
        factor = jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5)
        scale = jnp.maximum(opt_state.scale * factor, LEAST_SCALE)
        return updated, ScaledState(inner, scale, jnp.where(grows, 0, streak))

    def skipped(self, before: OptState, after: OptState) -> Tree:
        """Returns the loss scale at which a step was skipped, or 0.

        Args:
            before: the optimizer's state before the step.
            after: after it.

        Returns:
            float32[]: 0 if the step was taken; `()` if the scale is not dynamic, so
            that no step is skipped.
        """
        if self._loss_scale != "dynamic":
            return ()
        is_skipped = (after.streak == 0) & (after.scale <= before.scale)
        return jnp.where(is_skipped, before.scale, 0.0)

    def step_metrics(
        self,
        gradients: Mapping[str, jax.Array],
        before: OptState,
        after: OptState,
        step: jax.Array,
        *,
        groups: Groups | None = None,
        is_logged: jax.Array | None = None,
    ) -> StepMetrics:
        """Computes the metrics of a step: the gradient norm and the learning rates.

        Args:
            gradients: of the scaled loss, by path, before any clipping.
            before: the optimizer's state before the step.
            after: after it.
            step: int32[], steps taken before.
            groups: paths of gradients that are alike; see `groups_of`. If None, those
                of the same shape and dtype are.
            is_logged: bool[], whether to compute the metrics; if False they are zeros.
                If None, they are always computed.

        Returns:
            `gradient_norm`, over all trained parameters, and the learning rates that
            are known. Empty if `train_op` is a function, which has the gradients.
        """
        if self.is_function:
            return StepMetrics((), ())
        scale = self.scale(before)
        inverse = None if scale is None else 1.0 / scale
        names = self._metric_names(before, after, step)

        def computed() -> jax.Array:
            norm = jnp.sqrt(sum_of_squares(gradients, groups, scale=inverse))
            rates = self._rates(before, after, step)
            return jnp.concatenate([norm.astype(jnp.float32)[None], rates])

        if is_logged is None:
            return StepMetrics(names, computed())
        zeros = jnp.zeros(len(names), jnp.float32)
        return StepMetrics(names, lax.cond(is_logged, computed, lambda: zeros))

    def abstract_step_metrics(self, opt_state: OptState, step: Any) -> StepMetrics:
        """Returns the names, shape and dtype of `step_metrics`; nothing is computed.

        Args:
            opt_state: shapes and dtypes of the optimizer's state.
            step: those of the step.
        """
        if self.is_function:
            return StepMetrics((), ())
        names = self._metric_names(opt_state, opt_state, step)
        return StepMetrics(names, jax.ShapeDtypeStruct((len(names),), jnp.float32))

    def _metric_names(
        self, before: OptState, after: OptState, step: Any
    ) -> tuple[str, ...]:
        rates = functools.partial(learning_rates, self.transformation)
        return (_NORM, *sorted(jax.eval_shape(rates, before, after, step)))

    def _stacked_rates(
        self, before: OptState, after: OptState, step: jax.Array
    ) -> jax.Array:
        """float32[rates]: the learning rates of a step, in the order of their names."""
        rates = learning_rates(self.transformation, before, after, step)
        self.metric_names = (_NORM, *sorted(rates))
        if not rates:
            return jnp.zeros(0, jnp.float32)
        return jnp.stack([rates[name] for name in sorted(rates)])

    def _updated(
        self,
        gradients: Tree,
        opt_state: OptState,
        trained: dict[str, jax.Array],
        model_state: ModelState,
    ) -> tuple[Any, OptState]:
        update = self.transformation.update
        extra = extra_arguments(update, opt_state, model_state)
        updates, opt_state = update(gradients, opt_state, trained, **extra)
        return optax.apply_updates(trained, updates), opt_state


def _unmatched(
    globs: Mapping[str, Iterable[str]], params: Params
) -> Iterator[Diagnostic]:
    """Reports globs that match no parameter: a misspelled one would train others."""
    for field, patterns in globs.items():
        unmatched = [
            glob for glob in patterns if not any(matches(glob, path) for path in params)
        ]
        if unmatched:
            yield Diagnostic(
                f"train_op.{field}",
                f"{', '.join(unmatched)} matches no parameter",
                expected=_globs_over(params),
                code="wrt",
            )


def _nothing_left(frozen: tuple[str, ...], params: Params) -> Diagnostic:
    return Diagnostic(
        "train_op.frozen",
        f"{', '.join(frozen)} leaves no parameter to train",
        expected=_globs_over(params),
        code="wrt",
    )


def _globs_over(params: Params) -> str:
    return f"globs over {', '.join(list(params)[:8])}"
