"""From a validated experiment to the arguments of an estimator: where parts are met."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from specflow.config.experiment import ExperimentConfig
from specflow.config.run_config import RunConfig, TPUConfig
from specflow.config.sections.spec import DeclaredSpecConfig, ModelFnConfig
from specflow.config.sections.triggers import seconds_of, steps_of
from specflow.contract import Mode
from specflow.data import Data, check_range, occurring
from specflow.diagnostics.errors import DataError, Diagnostic, SpecError
from specflow.executor import ModelFn
from specflow.metrics import build_metric_fn, metric_diagnostics
from specflow.model import build_model
from specflow.optimizer import build_optimizer, evaluated_average
from specflow.spec import (
    build_model_fn,
    eval_tensors,
    label_ranges,
    model_inputs,
    model_outputs,
)

__all__ = ["check_labels", "estimator_arguments", "make_layers"]


def estimator_arguments(
    experiment: ExperimentConfig,
    data: Data,
    *,
    model_dir: str | Path | None = None,
) -> dict[str, Any]:
    """What `TPUEstimator(...)` is given for an experiment.

    Args:
        experiment: validated, its targets bound.
        data: says what the model's sizes leave open.
        model_dir: the run directory; by default `output.dir`.
    """
    loop, output = experiment.loop, experiment.output
    checkpoint = output.checkpoint
    directory = model_dir if model_dir is not None else output.dir
    spec = experiment.spec
    inputs = _model_inputs(experiment, data)
    model_fn = _model_fn(experiment)
    model = functools.partial(
        build_model, experiment.model, inputs=inputs, compute_dtype=loop.compute_dtype
    )
    return {
        "model_fn": model_fn,
        # A function that takes no model makes its layers itself.
        "model": model if "model" in ModelFn(model_fn).takes else None,
        "model_dir": directory,
        "config": RunConfig(
            seed=experiment.seed,
            shuffle=data.shuffle,
            save_checkpoints_steps=steps_of(checkpoint.every),
            save_checkpoints_secs=seconds_of(checkpoint.every),
            # The first step is waited for by a person; nothing is lost before it.
            save_at_start=False,
            keep_checkpoint_max=checkpoint.keep,
            keep_checkpoint_every_n_hours=checkpoint.keep_every_hours or 10_000.0,
            keep_best=checkpoint.best,
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
        "params": spec.params if isinstance(spec, ModelFnConfig) else {},
        "train_batch_size": loop.batch_size,
        "eval_batch_size": loop.eval_batch_size,
        "mesh": experiment.mesh,
        "eval_params": evaluated_average(experiment.optimizer),
    }


def _model_fn(experiment: ExperimentConfig) -> Callable[..., Any]:
    """The declared model function, or the user's, given what `optimizer` says."""
    optimizer = build_optimizer(
        experiment.optimizer, train_steps=experiment.loop.train_steps
    )
    spec = experiment.spec
    if isinstance(spec, DeclaredSpecConfig):
        metric_fn, _ = build_metric_fn(spec.eval_metrics)
        return build_model_fn(spec, optimizer=optimizer, metric_fn=metric_fn)
    function = spec.callable
    if "optimizer" in inspect.signature(function).parameters:
        return functools.partial(function, optimizer=optimizer)
    return function


def _model_inputs(experiment: ExperimentConfig, data: Data) -> dict[str, Any]:
    """What the model will be called with, abstract: a declared spec says it exactly."""
    rows = experiment.loop.batch_size
    features, labels = jax.tree.map(
        lambda row: jax.ShapeDtypeStruct((rows, *row.shape), row.dtype),
        data.train.spec(),
    )
    if isinstance(experiment.spec, DeclaredSpecConfig):
        scope = {"features": features, "labels": labels}
        return model_inputs(experiment.spec, scope)
    return features if isinstance(features, dict) else {"features": features}


def make_layers(estimator: Any, data: Data) -> None:
    """Has a Linen module make its layers, as the rows to train on need them.

    Raises:
        SpecError: the model function fails with such a batch.
        DataError: so it does for want of labels: the training file is missing.
    """
    features, labels = estimator.batch_form(data.train, Mode.TRAIN)
    try:
        estimator.program.learn(Mode.TRAIN, features, labels)
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


def check_labels(experiment: ExperimentConfig, estimator: Any, data: Data) -> None:
    """Checks, before anything trains, that labels suit the declared losses and metrics.

    Inside a step a label out of range is no error: it silently gives a wrong loss. What
    a metric cannot use is an error only at the first evaluation.

    Raises:
        DataError: a label is out of range; its row is named. A metric cannot be
            computed of the tensors or of the labels that it will get.
    """
    spec, model = experiment.spec, estimator.program.model
    if not isinstance(spec, DeclaredSpecConfig):
        return
    features, labels = estimator.batch_form(data.train, Mode.TRAIN)

    def outputs(params: Any, model_state: Any, scope: dict[str, Any]) -> Any:
        found, _ = model.call(
            lambda module: model_outputs(spec, module, scope),
            params,
            model_state,
            train=False,
        )
        return found

    scope = {"features": features, "labels": labels}
    abstract = jax.eval_shape(
        outputs, model.abstract_params, model.abstract_model_state, scope
    )
    for allowed in label_ranges(
        spec, features=features, labels=labels, outputs=abstract
    ):
        for source in (data.train, data.eval):
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
        return  # Tracing says so, with all that is wrong beside it.
    paths = {str(getattr(one, "labels", "")) for one in spec.eval_metrics.values()}
    values = {path: occurring(data.eval, path) for path in paths & forms.keys()}
    if diagnostics := metric_diagnostics(spec.eval_metrics, forms, values):
        raise DataError(*diagnostics)
