"""A model function, traced once for each mode, and checked against the contract."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from specflow.contract import Mode, TPUEstimatorSpec, check_batch_major
from specflow.diagnostics import user_code
from specflow.diagnostics.errors import Diagnostic, SpecflowError, spec_error
from specflow.executor.discovery import Discovery
from specflow.executor.model_call import ModelFn
from specflow.executor.optimizer_step import Optimizer
from specflow.executor.step_settings import PLAIN, StepSettings
from specflow.executor.traced_once import Traced
from specflow.model import LinenModel, Model, SplitModel, is_misplaced
from specflow.runtime.stopwatch import Stopwatch
from specflow.runtime.typing import describe, leaves

__all__ = ["Tracer", "check_predictions", "row_count", "shapes"]


class Tracer:
    """Runs the Python of a model function once for each mode and form of a batch.

    Where the model is one of Linen, it runs once more for each mode, to learn what
    variables there are: see `Discovery`.

    Args:
        model_fn: returns a `TPUEstimatorSpec`; see `ModelFn`.
        model: the module that is handed to it.
        extras: mode -> `params` and `config` for the function, as far as there are any.
        timing: gets the seconds spent, as `compile`.
        settings: how training steps are computed; the function sees the rows of a
            micro-step.
        placing: a context in which activations know where they go on the mesh; None
            where there is one device.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        model: Model,
        *,
        extras: Callable[[Mode], Mapping[str, Any]] | None = None,
        timing: Stopwatch,
        settings: StepSettings = PLAIN,
        placing: Callable[[], contextlib.AbstractContextManager[None]] | None = None,
    ):
        self.model_fn = ModelFn(model_fn)
        self.model = model
        self.extras = extras or (lambda mode: {})
        self.timing, self.settings = timing, settings
        self.placing = placing
        self.traces: Counter[Mode] = Counter()
        """How often the function's Python ran, by mode."""
        self._traced: dict[Any, Traced] = {}
        self._discovery: Discovery | None = None
        if isinstance(model, LinenModel):
            self._discovery = Discovery(self.model_fn.name, model)
            if model.is_inline:
                self.model_fn.check_without_model()

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

    def forward(
        self, mode: Mode, features: Any, labels: Any, *, placed: bool = True
    ) -> Traced:
        """The model function of a mode, traced.

        Args:
            mode: what is asked for.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise; not used to predict.
            placed: whether activations are laid on the mesh, as far as the model says
                so; what is exported belongs to no mesh.
        """
        batch = (features, None if mode is Mode.PREDICT else labels)
        if mode is Mode.TRAIN:
            batch = _part(batch, self.settings.micro_steps)
        placing = self.placing if placed else None
        key = (mode, shapes(batch), placing)
        if key not in self._traced:
            batch = _abstract(batch)
            self.learn(mode, *batch)
            with placing() if placing else contextlib.nullcontext():
                self._traced[key] = self._trace(mode, *batch)
                if frozen := self._frozen_layers(mode, self._traced[key]):
                    # Once more, now that the train_op says what is frozen.
                    self._traced[key] = self._trace(mode, *batch, frozen=frozen)
        return self._traced[key]

    def learn(self, mode: Mode, features: Any, labels: Any) -> None:
        """Learns what variables the model has, where only a batch can tell.

        Args:
            mode: the mode that the batch is for. Others are looked at with it too.
            features: one batch, or `jax.ShapeDtypeStruct`s of one.
            labels: likewise, or None.

        Raises:
            SpecError: the function fails, or the modes make different variables.
        """
        if self._discovery is None or self._discovery.knows(mode):
            return
        features, labels = _abstract((features, labels))

        def run(mode: Mode) -> Callable[[Any], Any]:
            seen = None if mode is Mode.PREDICT else labels

            def function(module: Any) -> TPUEstimatorSpec:
                zeros = jax.tree.map(
                    lambda x: jnp.zeros(x.shape, x.dtype),
                    {"features": features, "labels": seen},
                )
                mask = jnp.ones(row_count(features), bool)
                return self._run(mode, module, **zeros, mask=mask)

            return function

        with self._errors_of(mode, features, labels):
            self._discovery.look(mode, run)

    def admit(self, saved: Mapping[str, tuple[Any, Any]]) -> None:
        """Takes up layers that training alone makes, of which a checkpoint knows.

        Args:
            saved: part/name -> shape and dtype of what it holds.
        """
        if self._discovery is None or self._discovery.knows(Mode.TRAIN):
            return
        params, model_state = (
            {
                name.removeprefix(part): jax.ShapeDtypeStruct(*form)
                for name, form in saved.items()
                if name.startswith(part)
            }
            for part in ("params/", "state/")
        )
        self._discovery.admit(params, model_state)

    def _run(
        self, mode: Mode, module: Any, features: Any, labels: Any, mask: Any
    ) -> TPUEstimatorSpec:
        self.traces[mode] += 1
        return self.model_fn(
            mode,
            model=module,
            features=features,
            labels=labels,
            mask=mask,
            **self.extras(mode),
        )

    def _frozen_layers(self, mode: Mode, traced: Traced) -> frozenset[str]:
        """Layers whose batch statistics do not move in a training step."""
        if mode is not Mode.TRAIN or not self.model.statistics:
            return frozenset()
        optimizer = self._optimizer(traced.result[0].train_op)
        return frozenset(
            self.model.statistics[name] for name in optimizer.frozen_statistics
        )

    def _trace(
        self,
        mode: Mode,
        features: Any,
        labels: Any,
        *,
        frozen: frozenset[str] = frozenset(),
    ) -> Traced:
        rows = row_count(features)

        def forward(
            params: Any, model_state: Any, *batch: Any
        ) -> tuple[TPUEstimatorSpec, Any]:
            return self.model.call(
                lambda module: self._run(mode, module, *batch),
                params,
                model_state,
                train=mode is Mode.TRAIN,
                frozen=frozen,
            )

        abstract = (self.model.abstract_params, self.model.abstract_model_state)
        with self._errors_of(mode, features, labels):
            if mode is Mode.TRAIN:
                full = functools.partial(_with_mask, forward, rows)
                traced = Traced(full, *abstract, features, labels)
            else:
                mask = jax.ShapeDtypeStruct((rows,), jnp.bool_)
                traced = Traced(forward, *abstract, features, labels, mask)
        spec = traced.result[0]
        for field in ("eval_metrics", "host_call"):
            pair = getattr(spec, field)
            if pair is not None:
                check_batch_major(pair, rows, field=field)
        return traced

    def optimizer(self, features: Any, labels: Any) -> Optimizer:
        """The `train_op` that the function gives for these batches.

        Raises:
            SpecError: there is nothing to train.
        """
        spec = self.spec(Mode.TRAIN, features, labels)
        optimizer = self._optimizer(spec.train_op)
        if not (self.model.abstract_params or optimizer.is_function):
            raise spec_error(_nothing_to_train(self.model_fn.name, self.model))
        self._check_function(optimizer)
        return optimizer

    def _optimizer(self, train_op: Any) -> Optimizer:
        return Optimizer(
            train_op,
            self.model.abstract_params,
            loss_scale=self.settings.loss_scale,
            statistics=self.model.statistics,
        )

    def _check_function(self, optimizer: Optimizer) -> None:
        """A train_op that is a function does all by itself, at once."""
        if not optimizer.is_function or self.settings == PLAIN:
            return
        asked = f"micro_steps is {self.settings.micro_steps}"
        if self.settings.loss_scale is not None:
            asked = f"loss_scale is {self.settings.loss_scale}"
        raise spec_error(
            Diagnostic(
                "train_op",
                f"is a function, which takes batches as they are, and {asked}",
                expected="an optax GradientTransformation or a TrainOp",
                code="train-op",
            )
        )

    @contextlib.contextmanager
    def _errors_of(self, mode: Mode, features: Any, labels: Any) -> Iterator[None]:
        """Counts the time, and says of what the function raises where it was raised."""
        try:
            with self.timing("compile"):
                yield
        except SpecflowError:
            raise
        except Exception as error:
            if is_misplaced(error):
                diagnostic = _misplaced(self.model_fn.name, self.model)
                raise spec_error(diagnostic) from error
            diagnostic = _failed(self.model_fn.name, mode, features, labels, error)
            if user_code.is_users(error):
                error.add_note(
                    f"{diagnostic.where} was traced for mode '{mode}'. "
                    f"{diagnostic.hint}"
                )
                raise
            raise spec_error(diagnostic) from error


def _with_mask(
    forward: Callable[..., Any], rows: int, params: Any, model_state: Any, *batch: Any
) -> Any:
    """TRAIN batches have no padding: the mask is a constant, which XLA folds away."""
    return forward(params, model_state, *batch, jnp.ones(rows, bool))


def _part(batch: Any, micro_steps: int) -> Any:
    """The form of a micro-step's rows; of the whole batch, where there is one."""
    if micro_steps == 1:
        return batch
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            (x.shape[0] // micro_steps, *x.shape[1:]), x.dtype
        ),
        batch,
    )


def _abstract(tree: Any) -> Any:
    """Forms as JAX would hold the arrays: NumPy's 64 bits are 32 unless it is told."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype)),
        tree,
    )


def shapes(tree: Any) -> Any:
    """Structure, shapes and dtypes of a tree: what one program serves."""
    flat, structure = jax.tree.flatten(tree)
    return structure, tuple((array.shape, array.dtype) for array in flat)


def row_count(features: Any) -> int:
    """Length of the first axis of a batch, or of a stack of batches."""
    return jax.tree.leaves(features)[0].shape[0]


def check_predictions(predictions: Any, rows: int) -> None:
    """Checks that there is a prediction for each row.

    Raises:
        SpecError: the first axis of an array is not the batch.
    """
    diagnostics = [
        Diagnostic(
            f"predictions[{path!r}]" if path else "predictions",
            f"is {describe(leaf)}, and the batch is {rows} rows",
            expected="a batch-major array: its first axis is the batch",
            code="batch-major",
        )
        for path, leaf in leaves(predictions)
        if not leaf.shape or leaf.shape[0] != rows
    ]
    if diagnostics:
        raise spec_error(*diagnostics)


def _failed(
    name: str, mode: Mode, features: Any, labels: Any, error: Exception
) -> Diagnostic:
    given = ", ".join(
        f"{path} {describe(leaf)}"
        for path, leaf in leaves({"features": features, "labels": labels})
        if leaf is not None
    )
    text, hint = str(error).strip() or repr(error), f"It was given {given}."
    if isinstance(error, jax.errors.TracerArrayConversionError):
        # The rest says where values came from, and they are all still to come.
        text = text.partition("\n")[0]
        hint += (
            " NumPy, and the metrics of specflow, take values: hand them over as "
            "eval_metrics=(metric_fn, tensors). Here use jax.numpy."
        )
    return Diagnostic(
        name,
        f"failed while traced for mode '{mode}': {type(error).__name__}: {text}",
        hint=hint,
        kind=TypeError if isinstance(error, TypeError) else ValueError,
        code="model-fn",
    )


def _misplaced(name: str, model: Model) -> Diagnostic:
    """A Linen layer was called that has nowhere to keep its variables."""
    if isinstance(model, SplitModel):
        where = ", and its model is a module of NNX"
        hint = "Leave `model` out of TPUEstimator to make layers inline, or use NNX's."
    elif model.is_inline:
        where = " that was made outside of it"
        hint = "Make the layer where it is called, as in flax.linen.Dense(10)(x)."
    else:
        where = " that is no part of its model"
        hint = (
            "Make it in the model, or leave `model` out of TPUEstimator and make all "
        )
        hint += "layers inline."
    return Diagnostic(
        name, f"calls a Flax Linen layer{where}", hint=hint, code="linen-layer"
    )


def _nothing_to_train(name: str, model: Model) -> Diagnostic:
    if isinstance(model, LinenModel) and model.is_inline:
        why = "it makes no layers, and it was given no model"
        hint = "Make a layer in it, such as flax.linen.Dense(10)(x), or give model=."
    else:
        why = "its model has none, or was not called"
        hint = "Call a model that has parameters."
    return Diagnostic(
        name, f"has no parameters to train: {why}", hint=hint, code="no-parameters"
    )
