"""A model function, traced once for each mode, and checked against the contract."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from specflow.errors import Fault, SpecflowError, spec_error
from specflow.executor.model_fn import ModelFn
from specflow.executor.step import Optimizer
from specflow.executor.trace import Traced
from specflow.model import SplitModel
from specflow.spec import Mode, TPUEstimatorSpec, check_batch_major
from specflow.stopwatch import Stopwatch
from specflow.typing import describe, leaves

__all__ = ["Tracer", "row_count", "shapes"]


class Tracer:
    """Runs the Python of a model function once for each mode and form of a batch.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module that is handed to it.
        extras: `params` and `config` for the function, as far as there are any.
        timing: gets the seconds spent, as `compile`.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model: SplitModel,
        *,
        extras: Mapping[str, Any] | None = None,
        timing: Stopwatch,
    ):
        self.model_fn = ModelFn(model_fn)
        self.model = model
        self.extras = dict(extras or {})
        self.timing = timing
        self.traces: Counter[Mode] = Counter()
        """How often the function's Python ran, by mode."""
        self._traced: dict[Any, Traced] = {}

    def spec(self, mode: Mode, features: Any, labels: Any = None) -> TPUEstimatorSpec:
        """The spec of a mode, abstract: shapes and dtypes in place of arrays.

        Args:
            mode: what is asked for.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise; not used to predict.

        Raises:
            SpecError: the function breaks the contract, or fails.
        """
        return self.forward(mode, features, labels).result[0]

    def forward(self, mode: Mode, features: Any, labels: Any) -> Traced:
        batch = _abstract((features, None if mode is Mode.PREDICT else labels))
        key = (mode, shapes(batch))
        if key not in self._traced:
            self._traced[key] = self._trace(mode, *batch)
        return self._traced[key]

    def _trace(self, mode: Mode, features: Any, labels: Any) -> Traced:
        rows = row_count(features)

        def forward(
            params: Any, rest: Any, features: Any, labels: Any, mask: Any
        ) -> tuple[TPUEstimatorSpec, Any]:
            self.traces[mode] += 1
            module = self.model.merge(params, rest, train=mode is Mode.TRAIN)
            spec = self.model_fn(
                mode,
                model=module,
                features=features,
                labels=labels,
                mask=mask,
                **self.extras,
            )
            return spec, self.model.rest_of(module)

        abstract = (self.model.abstract_params, self.model.abstract_rest)
        try:
            with self.timing("compile"):
                if mode is Mode.TRAIN:
                    full = functools.partial(_with_mask, forward, rows)
                    traced = Traced(full, *abstract, features, labels)
                else:
                    mask = jax.ShapeDtypeStruct((rows,), jnp.bool_)
                    traced = Traced(forward, *abstract, features, labels, mask)
        except SpecflowError:
            raise
        except Exception as error:
            raise _failed(self.model_fn.name, mode, features, labels, error) from error
        spec = traced.result[0]
        for field in ("eval_metrics", "host_call"):
            pair = getattr(spec, field)
            if pair is not None:
                check_batch_major(pair, rows, field=field)
        if mode is Mode.PREDICT:
            _check_predictions(spec.predictions, rows)
        return traced

    def optimizer(self, features: Any, labels: Any) -> Optimizer:
        """The `train_op` that the function gives for these batches."""
        spec = self.spec(Mode.TRAIN, features, labels)
        return Optimizer(spec.train_op, self.model.abstract_params)


def _with_mask(
    forward: Callable[..., Any], rows: int, params: Any, rest: Any, *batch: Any
) -> Any:
    """TRAIN batches have no padding: the mask is a constant, which XLA folds away."""
    return forward(params, rest, *batch, jnp.ones(rows, bool))


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def shapes(tree: Any) -> Any:
    """Structure, shapes and dtypes of a tree: what one program serves."""
    flat, structure = jax.tree.flatten(tree)
    return structure, tuple((array.shape, str(array.dtype)) for array in flat)


def row_count(features: Any) -> int:
    """Length of the first axis of a batch, or of a stack of batches."""
    return jax.tree.leaves(features)[0].shape[0]


def _check_predictions(predictions: Any, rows: int) -> None:
    faults = [
        Fault(
            f"predictions[{path!r}]" if path else "predictions",
            f"is {describe(leaf)}, and the batch is {rows} rows",
            expected="a batch-major array: its first axis is the batch",
            code="batch-major",
        )
        for path, leaf in leaves(predictions)
        if not leaf.shape or leaf.shape[0] != rows
    ]
    if faults:
        raise spec_error(*faults)


def _failed(
    name: str, mode: Mode, features: Any, labels: Any, error: Exception
) -> SpecflowError:
    given = ", ".join(
        f"{path} {describe(leaf)}"
        for path, leaf in leaves({"features": features, "labels": labels})
        if leaf is not None
    )
    text = str(error).strip() or repr(error)
    return spec_error(
        Fault(
            name,
            f"failed while traced for mode '{mode}': {type(error).__name__}: {text}",
            mend=f"It was given {given}.",
            kind=TypeError if isinstance(error, TypeError) else ValueError,
            code="model-fn",
        )
    )
