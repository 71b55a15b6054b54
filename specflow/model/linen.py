"""Flax Linen modules, and layers made inline, as flat dicts of arrays."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import core, errors, linen
from jax.typing import DTypeLike

from specflow.diagnostics.errors import Diagnostic, spec_error
from specflow.model.flat_state import FlatState, by_name, key_impls
from specflow.model.precision import computing_in

__all__ = ["FlatForm", "LinenModel", "is_misplaced", "variable_forms"]

FlatForm: TypeAlias = dict[str, jax.ShapeDtypeStruct]
"""Shapes and dtypes by dotted path."""

_PARAMS = "params"
"""Linen's collection of trainable parameters."""
_STATISTICS = "batch_stats"
"""Linen's collection of running means and variances."""
_SOWN = "intermediates"
"""Linen's collection of values that are read and never kept."""
_RNGS = "rngs"
"""Collection of random streams, saved beside Linen's own."""


class _Inline(linen.Module):
    """Scope of layers made inline, which adds no prefix to their names."""

    @linen.compact
    def __call__(self, function: Callable[[Any], Any]) -> Any:
        return function(None)


class LinenModel:
    """A Linen module, or none, with the interface of a `SplitModel`.

    A Linen module creates its variables when it is called, so they are unknown until
    the model function has run on the shapes of a batch: `made` runs it, `learn` records
    its variables. Parameters are named by the dotted path of their layer, such as
    `Dense_0.kernel`; model state begins with its collection, such as
    `batch_stats.BatchNorm_0.mean`.

    Args:
        module: passed to the function, bound to its variables. None: the function makes
            its layers itself, named as in a compact module.
        compute_dtype: dtype of layers without a `dtype` of their own.

    >>> model = LinenModel(linen.Dense(3))
    >>> function = lambda module: module(jnp.ones((5, 2)))
    >>> make = lambda key: model.made(function, key)
    >>> model.learn(make, jax.eval_shape(make, jax.random.key(0)))
    >>> model.abstract_params["kernel"].shape
    (2, 3)
    >>> params, model_state = model.init(jax.random.key(0))
    >>> sorted(params), sorted(model_state)
    (['bias', 'kernel'], ['rngs.count', 'rngs.key'])
    >>> model.call(function, params, model_state, train=False)[0].shape
    (5, 3)
    """

    is_built = False
    """The initial values are a function of a key."""

    def __init__(
        self,
        module: linen.Module | None = None,
        *,
        compute_dtype: DTypeLike | None = None,
    ):
        self._compute_dtype = compute_dtype
        self.is_inline = module is None
        """True if the model function makes the layers."""
        self._module = _Inline() if module is None else module
        self._make: Callable[[jax.Array], Any] | None = None
        self._structure: Any = None
        self._names: tuple[str, ...] = ()
        self._impls: dict[str, str] = {}
        self._forms: tuple[FlatForm, FlatForm] = {}, {}
        self.dim_names: dict[str, tuple[Any, ...]] = {}
        """Parameter -> names of its dimensions, given by Flax's `with_partitioning` or
        `with_logical_partitioning`."""

    @property
    def is_known(self) -> bool:
        """True once the variables are known."""
        return self._make is not None

    @property
    def abstract_params(self) -> FlatForm:
        """Shape and dtype of each parameter.

        Raises:
            SpecError: they are not known yet.
        """
        self._check_known()
        return self._forms[0]

    @property
    def statistics(self) -> dict[str, str]:
        """Path of each batch statistic -> path of its layer: the floating variables of
        Linen's collection `batch_stats`.

        Raises:
            SpecError: they are not known yet.
        """
        return {
            name: name.removeprefix(f"{_STATISTICS}.").rpartition(".")[0]
            for name, form in self.abstract_model_state.items()
            if name.startswith(f"{_STATISTICS}.")
            and jnp.issubdtype(form.dtype, jnp.floating)
        }

    @property
    def abstract_model_state(self) -> FlatForm:
        """Shape and dtype of each array of the model state.

        Raises:
            SpecError: they are not known yet.
        """
        self._check_known()
        return self._forms[1]

    def made(self, function: Callable[[Any], Any], key: jax.Array) -> Any:
        """Runs a function of the module, and returns the variables that it creates.

        Args:
            function: takes the module; its result is discarded.
            key: seed of the initial values and of the random streams.

        Returns:
            Nested dicts by collection, including the random streams.
        """
        start = linen.init_with_output(
            self._within(function), self._module, mutable=True
        )
        boxed = core.unfreeze(start(key)[1])
        self.dim_names |= _boxed_names(boxed)
        variables = _unboxed(boxed)
        variables.pop(_SOWN, None)
        streams = {"key": jax.random.fold_in(key, 1), "count": jnp.zeros((), "uint32")}
        return {**variables, _RNGS: streams}

    def learn(self, make: Callable[[jax.Array], Any], variables: Any) -> None:
        """Records the variables of the model.

        Args:
            make: key -> result of `made`; pure.
            variables: its result, with shapes and dtypes instead of arrays.
        """
        self._forms = variable_forms(variables)
        self._make = make
        self._structure = jax.tree.structure(variables)
        named = _named(variables)
        self._names, self._impls = tuple(named), key_impls(named)

    def carry(self, params: FlatForm, model_state: FlatForm) -> None:
        """Adds variables that no function so far creates, to carry them along.

        Args:
            params: shapes and dtypes of parameters, by dotted path.
            model_state: likewise, of the model state.
        """
        self._forms = {**self._forms[0], **params}, {**self._forms[1], **model_state}

    def init(self, key: jax.Array) -> tuple[FlatState, FlatState]:
        """Returns the initial values; pure, so `jax.jit` with `out_shardings` can place
        them.

        Args:
            key: seed of the initial values and of the random streams. The parameters
                are those of Flax's own `init` with this key.

        Raises:
            SpecError: the variables are not known yet.
        """
        self._check_known()
        assert self._make is not None
        return _apart(self._make(key))

    def call(
        self,
        function: Callable[[Any], Any],
        params: Mapping[str, jax.Array],
        model_state: Mapping[str, jax.Array],
        *,
        train: bool,
        frozen: Collection[str] = (),
    ) -> tuple[Any, FlatState]:
        """Calls a function of the module with these values, and returns the new model
        state.

        Random streams differ from one training step to the next. `dropout` exists in
        training only, for modules that check for it; all others fall back to a default
        stream.

        Args:
            function: takes the module, and may call it any number of times; None if
                layers are made inline.
            params: values by dotted path.
            model_state: likewise.
            train: update the collections of the model state. Values that a layer sows
                into `intermediates` can be read in any case, but are not kept.
            frozen: paths of layers; a BatchNorm among them always normalizes by its
                running statistics.
        """
        variables = self._tree({**params, **model_state})
        streams = variables.pop(_RNGS)
        key = jax.random.fold_in(streams["key"], streams["count"])
        rngs = {"params": key}
        if train:
            rngs["dropout"] = jax.random.fold_in(key, 1)
        apply = linen.apply(
            self._within(function),
            self._module,
            mutable=core.DenyList(_PARAMS) if train else [_SOWN],
        )
        with _evaluating(frozen):
            result, changed = apply(variables, rngs=rngs)
        if not train:
            return result, dict(model_state)
        streams["count"] += 1
        _, after = _apart({**variables, **_unboxed(changed), _RNGS: streams})
        # Sown values are dropped: the state keeps its structure.
        return result, {
            name: after.get(name, value) for name, value in model_state.items()
        }

    def _within(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def called(module: Any) -> Any:
            with computing_in(self._compute_dtype):
                return module(function) if self.is_inline else function(module)

        return called

    def _tree(self, values: Mapping[str, Any]) -> Any:
        leaves = [
            jax.random.wrap_key_data(values[name], impl=self._impls[name])
            if name in self._impls
            else values[name]
            for name in self._names
        ]
        return jax.tree.unflatten(self._structure, leaves)

    def _check_known(self) -> None:
        if not self.is_known:
            raise spec_error(
                Diagnostic(
                    "model",
                    "its parameters are not known yet: Linen makes them for a batch",
                    hint="Train or evaluate first, or look at abstract_state(source).",
                    code="linen-unknown",
                    kind=RuntimeError,
                )
            )


@contextmanager
def _evaluating(frozen: Collection[str]) -> Iterator[None]:
    """Makes BatchNorm at some paths normalize by its running statistics."""

    def call(function: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        is_norm = (
            isinstance(module, linen.BatchNorm) and context.method_name == "__call__"
        )
        if not is_norm or ".".join(module.path) not in frozen:
            return function(*args, **kwargs)
        # Overrides the layer and its caller; Flax made this copy of the module.
        object.__setattr__(module, "use_running_average", None)
        return function(*args[:1], **{**kwargs, "use_running_average": True})

    if not frozen:
        yield
        return
    with linen.intercept_methods(call):
        yield


def variable_forms(variables: Any) -> tuple[FlatForm, FlatForm]:
    """Shapes and dtypes of variables by collection: parameters, and model state."""
    abstract = jax.eval_shape(_apart, variables)
    # Rebuilt, because a checkpoint holds no weak types.
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), abstract)


def is_misplaced(error: BaseException) -> bool:
    """Returns True for the error of a Linen layer that was called without a scope."""
    return isinstance(error, errors.CallCompactUnboundModuleError) or (
        # Flax's message for a module with setup().
        isinstance(error, AttributeError)
        and "only accessible from inside 'init' or 'apply'" in str(error)
    )


def _unboxed(variables: Any) -> dict[str, Any]:
    """Removes Flax's boxes, which hold names of axes, from nested dicts."""
    return linen.meta.unbox(core.unfreeze(variables))


def _boxed_names(variables: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    params = {_PARAMS: variables.get(_PARAMS, {})}
    boxes = _named(params, is_leaf=lambda leaf: isinstance(leaf, linen.Partitioned))
    return {
        name: tuple(box.names)
        for name, box in boxes.items()
        if isinstance(box, linen.Partitioned)
    }


def _named(
    variables: Any, *, is_leaf: Callable[[Any], bool] | None = None
) -> dict[str, Any]:
    paths, leaves = [], []
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables, is_leaf):
        parts = tuple(_part(key) for key in path)
        paths.append(parts[1:] if parts[0] == _PARAMS else parts)
        leaves.append(leaf)
    return dict(zip(by_name(paths), leaves, strict=True))


def _apart(variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and model state by dotted path, random keys as integers."""
    plain = {
        name: jax.random.key_data(value)
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        else value
        for name, value in _named(variables).items()
    }
    params = _named({_PARAMS: variables.get(_PARAMS, {})})
    return (
        {name: plain[name] for name in params},
        {name: value for name, value in plain.items() if name not in params},
    )


def _part(key: Any) -> str:
    for field in ("key", "idx", "name"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)
