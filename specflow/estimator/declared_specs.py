"""Builds the specs of `train_and_evaluate` from an experiment."""

from specflow.config.experiment import ExperimentConfig
from specflow.config.sections.triggers import seconds_of, steps_of
from specflow.data import Data
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
    evaluation = EvalSpec(
        lambda: data.eval,
        steps=loop.eval_steps,
        exporters=build_exporters(experiment.output.exporters, lambda: data.eval),
        every_steps=steps_of(loop.eval_every),
        every_secs=seconds_of(loop.eval_every),
        early_stopping=build_stopping_rule(loop.early_stopping),
    )
    return TrainSpec(lambda: data.train, loop.train_steps), evaluation
