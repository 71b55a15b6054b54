"""Builds the specs of `train_and_evaluate` from an experiment."""

import functools

from specflow.config.common.triggers import seconds_of, steps_of
from specflow.config.experiment import ExperimentConfig
from specflow.config.resolved_epochs import with_steps
from specflow.data import Data, Source, epoch_length
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec
from specflow.lifecycle import build_exporters, build_stopping_rule

__all__ = ["declared_specs"]


def declared_specs(
    experiment: ExperimentConfig, data: Data
) -> tuple[TrainSpec, EvalSpec]:
    """Builds the specs that the sections `loop` and `output` declare.

    `specflow train` passes them to `train_and_evaluate` of
    `Estimator.from_config(experiment, data=data)`.

    Args:
        experiment: from `specflow.compose.compose(...).config`.
        data: its data; rows to evaluate are the example of each export.

    Raises:
        ConfigError: A target of `output.exporters` returns no exporter.
    """
    loop = experiment.loop
    length = epoch_length(data.train, batch_size=loop.batch_size)
    assert length is not None
    stopping = with_steps(experiment, length).loop.early_stopping
    evaluation = EvalSpec(
        lambda: data.eval,
        steps=loop.eval_steps,
        exporters=build_exporters(experiment.output.exporters, lambda: data.eval),
        every_steps=steps_of(loop.eval_every),
        every_secs=seconds_of(loop.eval_every),
        early_stopping=build_stopping_rule(stopping),
        sets={name: functools.partial(_same, rows) for name, rows in data.sets.items()},
        at_start=loop.eval_at_start,
        parts=data.eval_parts,
    )
    steps = loop.known_steps
    training = TrainSpec(
        lambda: data.train,
        max_steps=steps,
        max_epochs=loop.epochs if steps is None else None,
    )
    return training, evaluation


def _same(rows: Source) -> Source:
    return rows
