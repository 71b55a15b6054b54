"""Builds the arguments of an estimator from a validated experiment."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from specflow.columns.embedding import Embedding
from specflow.config.common.triggers import seconds_of, steps_of
from specflow.config.experiment import ExperimentConfig
from specflow.config.moved_numbers import moved_numbers, number_keys
from specflow.config.run_config import RunConfig, TPUConfig
from specflow.config.sections.mesh import MeshConfig
from specflow.config.sections.spec import (
    DeclaredSpecConfig,
    ModelFnConfig,
    SoftmaxCrossEntropyConfig,
)
from specflow.config.table_experiment import completed
from specflow.config.table_heads import TableLabels
from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import Data, Source, check_range, highest, occurring
from specflow.data.array_tree import named_leaves
from specflow.diagnostics.errors import ConfigError, DataError, Diagnostic, SpecError
from specflow.executor import ModelFn, Program
from specflow.executor.array_types import Batch
from specflow.executor.hyperparameters import Hyperparameters, Keys
from specflow.metrics import build_metric_fn, metric_diagnostics
from specflow.model import Model, build_model, check_sizes, split_model
from specflow.optimizer import build_eval_params_fn, build_optimizer
from specflow.runtime.typing import Tree
from specflow.spec import (
    build_model_fn,
    eval_tensors,
    label_ranges,
    model_inputs,
    model_outputs,
    with_mix_stream,
)

__all__ = [
    "EstimatorArguments",
    "check_labels",
    "completed_by_data",
    "estimator_arguments",
    "have_same_model",
    "make_layers",
    "table_labels",
]


_ON_THE_HOST = (
    "epochs",
    "train_steps",  # Schedules of the optimizer depend on it, and nothing else does.
    "eval_at_start",
    "eval_every",
    "eval_steps",
    "early_stopping",
    "profile",
    "log_every",
    "recover",
)
"""Keys of `loop` that are in no program."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorArguments:
    """Arguments of an `Estimator`, built from an experiment."""

    model_fn: Callable[..., TPUEstimatorSpec]
    model: Callable[..., Any] | None
    """Creates the module; None: the model function creates its layers itself."""
    model_dir: str | Path | None
    config: RunConfig
    params: Mapping[str, Any]
    train_batch_size: int
    eval_batch_size: int
    mesh: MeshConfig
    eval_params: Callable[..., dict[str, Any]] | None
    """Maps (parameters, optimizer state) by name to parameters for evaluation."""
    hyperparameters: Hyperparameters
    """Numbers that become inputs of the programs."""


def estimator_arguments(
    experiment: ExperimentConfig,
    data: Data,
    *,
    model_dir: str | Path | None = None,
) -> EstimatorArguments:
    """Builds the model function, the model and the settings of an experiment.

    Args:
        experiment: validated, with resolved targets and known numbers of steps.
        data: determines input sizes that the model leaves open.
        model_dir: the run directory; by default `output.dir`.
    """
    loop, output = experiment.loop, experiment.output
    checkpoint = output.checkpoint
    directory = model_dir if model_dir is not None else output.dir
    spec = experiment.spec
    inputs = _model_inputs(experiment, data)
    embeddings = {} if data.columns is None else data.columns.embeddings
    if isinstance(spec, DeclaredSpecConfig):
        check_sizes(experiment.model, inputs)
    optimizer = build_optimizer(experiment.optimizer, train_steps=loop.steps)
    model_fn = _model_fn(experiment, optimizer)
    model = _built(experiment, experiment.model, inputs, embeddings)
    return EstimatorArguments(
        model_fn=model_fn,
        # A function that takes no model creates its layers itself.
        model=model if "model" in ModelFn(model_fn).takes else None,
        model_dir=directory,
        config=RunConfig(
            seed=experiment.seed,
            shuffle=data.shuffle,
            save_checkpoints_steps=steps_of(checkpoint.every),
            save_checkpoints_secs=seconds_of(checkpoint.every),
            # Users wait for the first step, and nothing is lost before it.
            save_at_start=False,
            keep_checkpoint_max=checkpoint.keep,
            keep_checkpoint_every_n_steps=checkpoint.keep_every_steps,
            keep_checkpoint_every_n_hours=checkpoint.keep_every_hours or 10_000.0,
            keep_best=checkpoint.best,
            checkpoint_params=checkpoint.params,
            log_step_count_steps=loop.log_every,
            recover=loop.recover,
            eval_loss=loop.eval_loss,
            profile=loop.profile,
            save_summary_steps=0,  # Reporters of the run write them.
            tpu_config=TPUConfig(
                iterations_per_loop=loop.iterations_per_loop,
                micro_steps=loop.micro_steps,
                compute_dtype=loop.compute_dtype,
                loss_scale=loop.loss_scale,
            ),
        ),
        params=spec.params if isinstance(spec, ModelFnConfig) else {},
        train_batch_size=loop.batch_size,
        eval_batch_size=loop.eval_batch_size,
        mesh=experiment.mesh,
        eval_params=build_eval_params_fn(experiment.optimizer),
        hyperparameters=_hyperparameters(
            experiment, optimizer, inputs, embeddings=embeddings
        ),
    )


def have_same_model(one: ExperimentConfig, other: ExperimentConfig) -> bool:
    """Returns whether programs of two experiments differ in the optimizer alone.

    Only if the `spec` is declared: a function of the user may depend on more.
    """
    return isinstance(one.spec, DeclaredSpecConfig) and all(
        # By text too: 0.0 equals -0.0, and 1 equals True.
        mine == others and repr(mine) == repr(others)
        for mine, others in zip(
            _model_sections(one), _model_sections(other), strict=True
        )
    )


def _model_sections(experiment: ExperimentConfig) -> tuple[Any, ...]:
    """Returns what determines the programs, apart from the optimizer."""
    loop = experiment.loop.model_copy(update=dict.fromkeys(_ON_THE_HOST))
    return experiment.model, experiment.spec, experiment.data, experiment.mesh, loop


def table_labels(data: Data) -> TableLabels | None:
    """Returns the columns of labels of a table; None: the data is none."""
    columns = data.columns
    if columns is None:
        return None
    return TableLabels(
        columns=columns.labels,
        joined=columns.joined_labels,
        weights=columns.weights,
    )


def completed_by_data(experiment: ExperimentConfig, data: Data) -> ExperimentConfig:
    """Sets what the data decides: classes, outputs, embeddings, the vocabulary."""
    columns = data.columns
    features, _ = data.train.spec()
    return completed(
        experiment,
        labels=table_labels(data),
        embeds=columns is not None and columns.joined and bool(columns.embeddings),
        has_numbers=isinstance(features, dict) and "x" in features,
        outputs_of=functools.partial(_outputs_of_labels, data.train),
        vocabulary=data.vocabulary,
    )


def _outputs_of_labels(train: Source, spec: Any) -> int:
    """Number of outputs of a model, by its loss and the labels of the training rows.

    Raises:
        ConfigError: they do not tell it.
    """
    problem = "the spec is a function, which takes any number of outputs"
    known = dict(named_leaves(*train.spec()))
    losses = spec.loss.values() if isinstance(spec, DeclaredSpecConfig) else ()
    counts: set[int] = set()
    for loss in losses:
        path = getattr(loss, "labels", "")
        root, _, name = path.partition(".")
        if root == "targets":  # Labels in the units of a prediction.
            path = getattr(spec.predictions[name], "labels", "")
        row = known.get(path)
        if row is None or len(row.shape) > 1:
            problem = f"the labels of spec.loss ({path or 'of a function'}) are no "
            problem += "array of numbers or vectors in the training data"
            counts = set()
            break
        is_softmax = isinstance(loss, SoftmaxCrossEntropyConfig)
        if is_softmax and np.issubdtype(row.dtype, np.integer):
            counts.add(max(2, highest(train, path) + 1))
        else:
            counts.add(row.shape[0] if row.shape else 1)
    if len(counts) > 1:
        problem = f"the losses need {' or '.join(map(str, sorted(counts)))} of them"
    if len(counts) == 1:
        return counts.pop()
    raise ConfigError(
        Diagnostic(
            "model.outputs",
            f"is null, and {problem}",
            expected="the number of outputs",
            hint="Set it, such as model.outputs=10.",
            code="model-size",
        )
    )


def _hyperparameters(
    experiment: ExperimentConfig,
    optimizer: Any,
    inputs: dict[str, Tree],
    *,
    embeddings: Mapping[str, Embedding],
) -> Hyperparameters:
    """Returns the numbers of the optimizer, and of a declared model and its losses.

    Args:
        experiment: the experiment.
        optimizer: built from it.
        inputs: abstract inputs of the model.
        embeddings: name of a category -> its embedding.
    """
    loop, model, spec = experiment.loop, experiment.model, experiment.spec
    steps_key = "loop.train_steps"
    sections = {"optimizer": experiment.optimizer, steps_key: loop.steps}
    optimizer_keys = [
        found
        for key, section in sections.items()
        for found in number_keys(section, key, integers=True, users=True)
    ]
    model_keys: list[str] = []
    if isinstance(spec, DeclaredSpecConfig):
        # Metrics are computed on the host.
        declared = {"model": model, "spec.loss": spec.loss}
        declared["spec.predictions"] = spec.predictions
        model_keys = [
            found
            for key, section in declared.items()
            for found in number_keys(section, key)
        ]

    def moved_optimizer(keys: Keys) -> Any:
        return build_optimizer(
            moved_numbers(experiment.optimizer, "optimizer", keys),
            train_steps=moved_numbers(loop.steps, steps_key, keys),
        )

    def moved_model(keys: Keys) -> tuple[Callable[..., Any], Model]:
        moved = experiment.model_copy(
            update={"spec": moved_numbers(spec, "spec", keys)},
        )
        moved_config = moved_numbers(model, "model", keys)
        module = _built(experiment, moved_config, inputs, embeddings)
        split = split_model(module, compute_dtype=loop.compute_dtype)
        return _model_fn(moved, optimizer), split

    return Hyperparameters(
        optimizer,
        tuple(optimizer_keys),
        moved_optimizer,
        tuple(model_keys),
        moved_model,
    )


def _built(
    experiment: ExperimentConfig,
    model: Any,
    inputs: Mapping[str, Tree],
    embeddings: Mapping[str, Embedding],
) -> Callable[..., Any]:
    """Returns the constructor of a model, `rngs -> module`."""
    build = functools.partial(
        build_model,
        model,
        inputs=inputs,
        compute_dtype=experiment.loop.compute_dtype,
        embeddings=embeddings,
    )
    mixes = getattr(experiment.spec, "mix", None) is not None
    return with_mix_stream(build) if mixes else build


def _model_fn(experiment: ExperimentConfig, optimizer: Any) -> Callable[..., Any]:
    """Returns the declared model function, or the user's with its optimizer bound."""
    spec: Any = experiment.spec
    if isinstance(spec, DeclaredSpecConfig):
        metric_fn, _ = build_metric_fn(spec.eval_metrics)
        return build_model_fn(spec, optimizer=optimizer, metric_fn=metric_fn)
    function = spec.callable
    if "optimizer" in inspect.signature(function).parameters:
        return functools.partial(function, optimizer=optimizer)
    return function


def _model_inputs(experiment: ExperimentConfig, data: Data) -> dict[str, Tree]:
    """Returns the abstract inputs of the model, exact for a declared spec."""
    rows = experiment.loop.batch_size
    features, labels = jax.tree.map(
        lambda row: jax.ShapeDtypeStruct((rows, *row.shape), row.dtype),
        data.train.spec(),
    )
    if isinstance(experiment.spec, DeclaredSpecConfig):
        scope = {"features": features, "labels": labels}
        return model_inputs(experiment.spec, scope)
    return features if isinstance(features, dict) else {"features": features}


def make_layers(program: Program, form: Batch, data: Data) -> None:
    """Initializes the layers of a Linen module for the training rows.

    Args:
        program: the program whose layers are unknown.
        form: form of a training batch.
        data: names the training file in the message.

    Raises:
        SpecError: the model function fails with such a batch.
        DataError: it fails because there are no labels: the training file is missing.
    """
    features, labels = form
    try:
        program.tracer.learn(Mode.TRAIN, features, labels)
    except SpecError as error:
        if labels is not None or data.train is not data.eval:
            raise
        raise DataError(
            Diagnostic(
                "data.train",
                "the file is missing, and the rows to predict have no labels",
                expected="one of them with labels: a Linen module makes its layers "
                "where the model function is traced for training",
                code="missing-file",
            )
        ) from error


def check_labels(
    experiment: ExperimentConfig, model: Model, form: Batch, data: Data
) -> None:
    """Checks that labels suit the declared losses and metrics, before training.

    Inside a step a label out of range is no error: the loss is silently wrong. An
    unusable metric would raise only at the first evaluation.

    Args:
        experiment: declares losses and metrics, or a model function, which is not
            checked.
        model: the model that the losses are computed of.
        form: form of a training batch.
        data: rows to check.

    Raises:
        DataError: A label is out of range, with its row; or a metric cannot be computed
            from its tensors or labels.
    """
    spec = experiment.spec
    if not isinstance(spec, DeclaredSpecConfig):
        return
    features, labels = form

    def outputs(params: Tree, model_state: Tree, scope: dict[str, Tree]) -> Tree:
        values, _ = model.call(
            lambda module: model_outputs(spec, module, scope),
            params,
            model_state,
            train=False,
        )
        return values

    scope = {"features": features, "labels": labels}
    abstract = jax.eval_shape(
        outputs, model.abstract_params, model.abstract_model_state, scope
    )
    for allowed in label_ranges(
        spec, features=features, labels=labels, outputs=abstract
    ):
        for source in (data.train, *data.evaluated().values()):
            check_range(
                source,
                allowed.path,
                allowed.lowest,
                allowed.highest + 1,
                because=allowed.reason,
            )
    given = {"features": features, "labels": labels, "outputs": abstract}
    try:
        forms = eval_tensors(spec, **given)
    except SpecError:
        return  # Tracing reports it, with all other errors of the spec.
    paths = {
        str(getattr(metric, "labels", "")) for metric in spec.eval_metrics.values()
    }
    values = {path: occurring(data.eval, path) for path in paths & forms.keys()}
    if diagnostics := metric_diagnostics(spec.eval_metrics, forms, values):
        raise DataError(*diagnostics)
