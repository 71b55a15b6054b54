"""The estimator: a model function, trained, evaluated and asked for predictions."""

import contextlib
import copy
import functools
import itertools
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jax
import numpy as np
from flax import linen, nnx
from jax.sharding import Mesh
from numpy.typing import NDArray

from specflow import loop
from specflow.config.base import MOST_STEPS
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import MeshConfig
from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import (
    Batch,
    BatchPlan,
    Data,
    EvalBatches,
    Share,
    as_source,
    build_data,
    checked_batch,
    handed,
    narrowed,
)
from specflow.diagnostics.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Diagnostic,
)
from specflow.distributed import collectives
from specflow.estimator.estimator_arguments import (
    check_functions,
    check_loop,
    check_params,
    check_positive,
    check_taken,
    checked_hooks,
    checked_listeners,
    config_of,
    model_dir_of,
    partitioner_of,
    step_count,
)
from specflow.estimator.estimator_record_writer import Recorder
from specflow.estimator.input_functions import (
    InputFn,
    ask,
    is_empty,
    no_rows,
    peeked,
    source_form,
    train_form,
)
from specflow.estimator.loss_reports import batches_shown, shows_progress
from specflow.estimator.loss_reports import record as record_in
from specflow.estimator.prediction_rows_iter import chosen, known_keys, rows_of
from specflow.estimator.recovery import once
from specflow.estimator.state_source import CheckpointStep, EvalParams, InitFn, States
from specflow.estimator.step_evaluations import Evaluations
from specflow.estimator.synchronized_inputs import EvalTogether, agree_on_rows
from specflow.estimator.train_eval_specs import EvalSpec, TrainSpec, check_specs
from specflow.estimator.training import Training, is_asked, stacked_steps
from specflow.executor import (
    Lowered,
    Program,
    Serving,
    StepSettings,
    TrainState,
    check_predictions,
    to_host,
    to_tree,
)
from specflow.experiment import check_labels, estimator_arguments, make_layers
from specflow.lifecycle import (
    History,
    WarmPlan,
    WarmStartSettings,
    build_warm_start,
)
from specflow.mesh import check_batch_size
from specflow.model import split_model
from specflow.output import Checkpointer
from specflow.runtime.filesystem import check_output_folder

if TYPE_CHECKING:
    from specflow.config.experiment import ExperimentConfig

__all__ = ["Estimator", "TPUEstimator"]


class Estimator:
    """Trains, evaluates and predicts what a model function declares, on any mesh.

    Args:
        model_fn: takes `features` and any of `model, labels, mode, params, config,
            mask`, by these names, and returns a `TPUEstimatorSpec`. It sees the global
            batch and is traced once a mode.
        model: a function `rngs -> nnx.Module`, an NNX module that is already built, or
            a module of Flax Linen, such as `nn.Dense(10)`. None: the function makes its
            layers where it needs them, as in `nn.Dense(10)(features["x"])` with
            `flax.linen` as `nn`; every mode has to make the same ones.
        model_dir: where checkpoints go; training goes on from the newest one there. By
            default that of `config`, else a temporary directory.
        config: seeds, rhythms, what is kept.
        params: handed to `model_fn` and `input_fn`.
        train_batch_size: rows of a training step, over all devices.
        eval_batch_size: rows of an evaluation step; by default as in training.
        predict_batch_size: rows of a prediction step; by default as in evaluation.
        mesh: axes and rules, or a `jax.sharding.Mesh`; by default all devices share the
            batch.
        use_tpu: False: one CPU device, whatever there is, and hooks act at every step;
            True: refuse to run without a TPU; None: the devices that there are.
        warm_start_from: initial values from another run's checkpoint, while this one
            has none: a path (its parameters), or `WarmStartSettings`.
        init_fn: parameters by path -> the same, otherwise; on a fresh state only.
        eval_params: (parameters by path, the optimizer's arrays by name) -> parameters
            to evaluate, predict and export with, such as `specflow.optimizer.averaged`;
            training keeps its own.
        devices: what the axes of the mesh are laid over; by default all devices. Those
            of a TPU's topology can be lowered and compiled for, not run.

    Raises:
        ConfigError: batch sizes that are no positive integers or that the mesh cannot
            divide; a mesh that the devices cannot form; params that `model_fn` does not
            take; a function that is none.
        SpecError: `model_fn` does not take `features`, or demands something unknown, or
            a model that there is not.

    Source: tf.compat.v1.estimator.tpu.TPUEstimator.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        *,
        model: Callable[[nnx.Rngs], nnx.Module]
        | nnx.Module
        | linen.Module
        | None = None,
        model_dir: str | Path | None = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
        train_batch_size: int = 128,
        eval_batch_size: int | None = None,
        predict_batch_size: int | None = None,
        mesh: MeshConfig | Mesh | None = None,
        use_tpu: bool | None = None,
        warm_start_from: str | Path | WarmStartSettings | None = None,
        init_fn: InitFn | None = None,
        eval_params: EvalParams | None = None,
        devices: Sequence[Any] | None = None,
    ):
        self.config = config_of(config)
        # A copy: what the caller or a model function does to it stays with them.
        check_functions(init_fn=init_fn, eval_params=eval_params)
        check_params(params or {})
        self.params = copy.deepcopy(dict(params or {}))
        self.model_dir = model_dir_of(model_dir, self.config)
        self.partitioner, tuned = partitioner_of(mesh, use_tpu=use_tpu, devices=devices)
        eval_size = train_batch_size if eval_batch_size is None else eval_batch_size
        self._batch_sizes = {
            Mode.TRAIN: train_batch_size,
            Mode.EVAL: eval_size,
            Mode.PREDICT: eval_size
            if predict_batch_size is None
            else predict_batch_size,
        }
        for mode, size in self._batch_sizes.items():
            key = f"{mode.name.lower()}_batch_size"
            self._batch_sizes[mode] = check_positive(size, key)
            parts = self._micro_steps(mode)
            check_batch_size(size, self.partitioner.mesh, key=key, micro_steps=parts)
        self.program = Program(
            model_fn,
            split_model(model, compute_dtype=self.config.tpu_config.compute_dtype),
            self.partitioner,
            extras=lambda mode: {
                "params": self._params_for(
                    self._batch_sizes[mode] // self._micro_steps(mode)
                ),
                "config": self.config,
            },
            tuned=tuned,
            settings=StepSettings(
                micro_steps=self._micro_steps(Mode.TRAIN),
                loss_scale=self.config.tpu_config.loss_scale,
            ),
        )
        check_taken(self.params, self.program.tracer.model_fn)
        self._share = Share(*self.partitioner.local_parts)
        self.checkpoints = Checkpointer(
            self.model_dir / "checkpoints",
            keep=self.config.keep_checkpoint_max or 0,
            keep_every_s=3600.0 * self.config.keep_checkpoint_every_n_hours,
            best=self.config.keep_best,
        )
        self.timing = self.program.timing
        """Seconds spent so far: compile, train, input, eval, checkpoint."""
        self._states = States(
            self.program,
            self.checkpoints,
            seed=self.config.seed,
            warm_start=warm_start_from
            if isinstance(warm_start_from, WarmStartSettings | None)
            else WarmStartSettings(warm_start_from),
            init_fn=init_fn,
            eval_params=eval_params,
        )
        self._training = Training(
            self.program,
            self._states,
            self.checkpoints,
            self.config,
            model_dir=self.model_dir,
            rows=self._batch_sizes[Mode.TRAIN],
            hooks_see_each_step=use_tpu is False,
        )
        is_named = model_dir is not None or self.config.model_dir is not None
        self._recorder = (
            Recorder(
                self.model_dir,
                model_fn=model_fn,
                model=model,
                eval_params=eval_params,
                params=self.params,
                config=self.config,
                mesh=mesh,
                devices=devices,
                use_tpu=use_tpu,
                **{
                    f"{mode.name.lower()}_batch_size": size
                    for mode, size in self._batch_sizes.items()
                },
            )
            if is_named
            else None
        )
        self.stopped_early: str | None = None
        """Why a rule ended the last `train_and_evaluate`; None if none did."""
        self._check_declared: Callable[[], None] = lambda: None
        self._batch: Any = None

    @classmethod
    def from_config(
        cls,
        experiment: "ExperimentConfig",
        *,
        data: Data | None = None,
        model_dir: str | Path | None = None,
        devices: Sequence[Any] | None = None,
    ) -> Self:
        """The estimator of a composed experiment; the command line uses nothing else.

        Args:
            experiment: from `specflow.compose.compose(...).config`.
            data: its data, if it is built already.
            model_dir: the run directory; by default `output.dir` of the experiment.
            devices: what its mesh is made of; by default all devices.
        """
        data = build_data(experiment.data) if data is None else data
        check_loop(experiment, devices)
        arguments = estimator_arguments(experiment, data, model_dir=model_dir)
        warm_start: Any = experiment.warm_start
        estimator = cls(
            **arguments, warm_start_from=build_warm_start(warm_start), devices=devices
        )
        if not estimator.program.model.is_known:
            make_layers(estimator, data)
        estimator._recorder = None  # A config says it, and more.
        estimator._check_declared = functools.cache(
            functools.partial(check_labels, experiment, estimator, data)
        )
        return estimator

    def check_labels(self) -> None:
        """Checks that the data suits what a config declares of it; once, before a step.

        Raises:
            DataError: a label is out of range, or a metric cannot be computed.
        """
        self._check_declared()

    # -- training

    def train(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        hooks: Sequence[Any] | None = (),
        saving_listeners: Sequence[Any] | None = (),
    ) -> Self:
        """Trains, and saves the state at the end.

        Training goes on from the newest checkpoint in `model_dir`, weights, optimizer,
        random streams and place in the data included: it continues behind the rows that
        were seen, also with another batch size. An input that was seen to its end
        begins anew in the next call, so that

            for _ in range(3):
                estimator.train(one_epoch)
                estimator.evaluate(held_out)

        trains three epochs. An iterator that is handed over again continues where it
        is. A call that the end of the input cuts short of its steps warns.

        When a device fails for a moment, one process resumes from its newest checkpoint
        by itself, `RunConfig(recover=...)` times without a newer one in between; hooks
        and listeners `begin` again then.

        Args:
            input_fn: gives the training input.
            steps: how many steps to take, from where training stands.
            max_steps: step at which to stop, over all calls. Neither: to the end of the
                data, which arrays and sources do not have.
            hooks: objects with any of begin, before_step, after_step, end.
            saving_listeners: objects with any of begin, before_save, after_save, end;
                True from after_save ends training.

        Raises:
            NanLossDuringTrainingError: a loss is not finite; that state is not saved.
            ConfigError: steps and max_steps are both given, or not positive; listeners
                without checkpoints.
            DataError: the input cannot be used, or gives no batch.
        """
        if steps is not None and max_steps is not None:
            raise ConfigError(
                Diagnostic(
                    "train",
                    "got steps and max_steps",
                    expected="one of them",
                    code="steps",
                )
            )
        steps = step_count(steps, "steps", most=MOST_STEPS)
        max_steps = step_count(max_steps, "max_steps", most=MOST_STEPS)

        def stop_of(start: int) -> int | None:
            return max_steps if steps is None else start + steps

        spec = TrainSpec(input_fn, None, hooks, saving_listeners)
        self._check_saving(spec)
        self.check_labels()
        if not self._is_past(max_steps):
            self._train(spec, stop_of)
        return self

    def train_and_evaluate(
        self,
        train_spec: TrainSpec,
        eval_spec: EvalSpec,
        *,
        report: loop.Report | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[dict[str, Any], list[Path | None]]:
        """Trains, evaluating on the way and at the end.

        Args:
            train_spec: what to train on, and until when.
            eval_spec: what to evaluate on, when, and what to export then.
            report: takes (step, split, metrics) of every report.
            progress: takes (step, loss) now and then.
            should_stop: asked between device loops; true ends training there, with a
                checkpoint and without a last evaluation.

        Returns:
            The metrics of the last evaluation, with `loss` and `global_step`, and what
            each exporter made of it, None where it did not want it. With nothing left
            to train, the newest checkpoint is evaluated; a run that was asked to stop
            has `global_step` alone, unless it was just evaluated.

        Raises:
            ConfigError: evaluations go by checkpoints, and there are none.
        """
        check_specs(train_spec, eval_spec)
        report = once(report)
        if eval_spec.goes_by_checkpoints and not self.config.saves:
            raise ConfigError(
                Diagnostic(
                    "EvalSpec.every_steps",
                    "is None, and the RunConfig saves no checkpoints",
                    expected="a number of steps, or checkpoints to go by",
                    code="steps",
                )
            )
        self._check_saving(train_spec)
        self.check_labels()
        max_steps = step_count(
            train_spec.max_steps, "TrainSpec.max_steps", most=MOST_STEPS
        )
        eval_steps = step_count(eval_spec.steps, "EvalSpec.steps")
        if self._recorder is not None:
            self._recorder.evaluated(eval_spec.input_fn, eval_steps)
        evaluations = Evaluations(
            lambda step, state: self._evaluate(
                eval_spec.input_fn,
                self._states.averaged(state),
                step,
                eval_steps,
                hooks=checked_hooks(eval_spec.hooks),
            ),
            self,
            train_spec,
            eval_spec,
            report=report,
        )
        step, state = self._train(
            train_spec,
            lambda _: max_steps,
            evaluations=evaluations,
            report=report,
            progress=progress,
            should_stop=should_stop,
        )
        self.stopped_early = evaluations.stopped_early
        if not is_asked(should_stop):
            # Nothing was trained, so nothing is saved.
            is_saved_before = evaluations.step != step
            evaluations.finish(step, state)
            if is_saved_before:
                self.checkpoints.judge(step, evaluations.metrics)
        elif evaluations.step != step:
            return {"global_step": step}, evaluations.exports
        return evaluations.metrics, evaluations.exports

    def _train(
        self,
        spec: TrainSpec,
        stop_of: Callable[[int], int | None],
        **following: Any,
    ) -> tuple[int, TrainState]:
        hooks = checked_hooks(spec.hooks)
        listeners = checked_listeners(spec.saving_listeners)

        def again() -> Any:
            return self._input(spec.input_fn, Mode.TRAIN)

        if self.config.saves:
            self._record()
        value = handed(again())
        if self._batch is None:
            self._batch, value = train_form(
                value, self._batch_sizes[Mode.TRAIN], self._share
            )
        return self._training.run(
            value,
            self._batch,
            stop_of,
            again=again,
            hooks=hooks,
            listeners=listeners,
            **following,
        )

    def _check_saving(self, spec: TrainSpec) -> None:
        if spec.saving_listeners and not self.config.saves:
            raise ConfigError(
                Diagnostic(
                    "saving_listeners",
                    "are given, and nothing is saved",
                    expected="a RunConfig with checkpoints",
                    code="steps",
                )
            )

    def _is_past(self, max_steps: int | None) -> bool:
        """Whether the newest checkpoint has all the steps: then nothing is called."""
        latest = self.latest_step()
        return max_steps is not None and latest is not None and latest >= max_steps

    @property
    def skipped_steps(self) -> int | None:
        """Steps of the last call to train that a dynamic loss scale skipped, as their
        gradients were not finite; None where it is not dynamic.
        """
        return self._training.skipped_steps

    # -- evaluation and prediction

    def evaluate(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        checkpoint_path: str | Path | None = None,
        checkpoint_step: CheckpointStep = None,
        hooks: Sequence[Any] | None = (),
        name: str | None = None,
        record: bool = True,
    ) -> dict[str, Any]:
        """The metrics of the newest checkpoint over the input.

        Args:
            input_fn: gives the evaluation input.
            steps: batches; None: to the end of the data.
            checkpoint_path: evaluate this checkpoint instead, such as
                `model_dir/checkpoints/100`. Without any the initial values are
                evaluated.
            checkpoint_step: the one of this step, in short; or `best` (by
                `RunConfig.keep_best`) or `latest`.
            hooks: objects with any of begin, before_step, after_step, end; they act
                around every batch.
            name: of the evaluation, where there are several.
            record: whether the metrics are added to `<model_dir>/eval` (or
                `eval_<name>`), where early stopping looks for them.

        Returns:
            `loss` (the mean over examples), `global_step`, and every metric by name.
        """
        steps = step_count(steps, "steps")
        hooks = checked_hooks(hooks)
        check_functions(input_fn=input_fn)
        value = self._learned_from(self._input(input_fn, Mode.EVAL), Mode.EVAL)
        step, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        metrics = self._evaluate(
            lambda: value, state, step, steps, hooks=hooks, shown=True
        )
        if record:
            if self._recorder is not None:
                self._recorder.evaluated(input_fn, steps)
            if self.latest_step() is not None:
                self._record()
            record_in(self.config, History(self.model_dir, name), step, metrics)
        return metrics

    def _evaluate(
        self,
        input_fn: InputFn,
        state: TrainState,
        step: int,
        steps: int | None,
        *,
        hooks: Sequence[Any] = (),
        shown: bool = False,
    ) -> dict[str, Any]:
        value = self._input(input_fn, Mode.EVAL)
        batches = self._eval_batches(value, Mode.EVAL, steps, shown=shown)
        with self.timing("eval"), contextlib.closing(batches):
            result = loop.evaluate(
                self.program, state, batches, hooks=hooks, loss=self.config.eval_loss
            )
        return {**result.metrics, "global_step": step}

    def predict(
        self,
        input_fn: InputFn,
        *,
        predict_keys: str | Sequence[str] | None = None,
        hooks: Sequence[Any] | None = (),
        checkpoint_path: str | Path | None = None,
        yield_single_examples: bool = True,
        checkpoint_step: CheckpointStep = None,
        progress: bool = True,
    ) -> Iterator[Any]:
        """The predictions for every row, once, in order; labels are not looked at.

        Arguments are checked here, at the call.

        Args:
            input_fn: gives the rows.
            predict_keys: names of the predictions wanted; all of them by default.
            hooks: objects with any of begin, before_step, after_step, end; they act
                around every batch.
            checkpoint_path: predict with this checkpoint instead of the newest.
            yield_single_examples: one item a row, or one a batch; then an array need
                not be batch-major.
            checkpoint_step: the checkpoint of this step, in short; or `best` or
                `latest`.
            progress: whether a terminal or notebook sees how far it is, as
                `RunConfig.progress` says; False: not where rows are shown themselves.

        Yields:
            A dict of NumPy values, or one array, as `predictions` is in the spec.
        """
        hooks = checked_hooks(hooks)
        check_functions(input_fn=input_fn)
        value = self._input(input_fn, Mode.PREDICT)
        if is_empty(value):
            return iter(())
        value = self._learned_from(value, Mode.PREDICT)
        _, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        batches = self._eval_batches(value, Mode.PREDICT, None, shown=progress)
        first = next(batches, None)
        if first is None:
            return iter(())
        spec = self.program.spec(Mode.PREDICT, first.features)
        keys = known_keys(predict_keys, spec.predictions)
        if yield_single_examples:
            wanted = chosen(spec.predictions, keys)
            check_predictions(wanted, len(first.mask))
        model_state = itertools.chain([first], batches)
        found = loop.predict(self.program, state, model_state, hooks=hooks)
        return rows_of(found, keys, single=yield_single_examples, source=batches)

    def _learned_from(self, value: Any, mode: Mode) -> Any:
        """The input, after a Linen model learned from its first batch what it is."""
        if self.program.model.is_known:
            return value
        probe = value
        if as_source(value) is None and hasattr(value, "__iter__"):
            probe, value = peeked(value)
        for batch in self._eval_batches(probe, mode, 1):
            self.program.learn(mode, batch.features, batch.labels)
        return value

    def _eval_batches(
        self, value: Any, mode: Mode, steps: int | None, *, shown: bool = False
    ) -> Generator[Batch, None, None]:
        source = as_source(value)
        size = self._batch_sizes[mode]
        batches = EvalBatches(
            value if source is None else source,
            size,
            limit=steps,
            padded="mask" in self.program.tracer.model_fn.takes,
            share=self._share,
        )
        total, gives_way = batches.count, mode is Mode.PREDICT
        if collectives.process_count() > 1 and not agree_on_rows("evaluation", value):
            batches = EvalTogether(batches)
        if shown and shows_progress(self.config):
            return batches_shown(batches, total, gives_way=gives_way)
        return (batch for batch in batches)

    # -- export

    def export(
        self,
        directory: str | Path,
        *,
        input_fn: InputFn | None = None,
        features: Any = None,
        serving_fn: Callable[[Any], Any] | None = None,
        checkpoint_path: str | Path | None = None,
        checkpoint_step: CheckpointStep = None,
        assets_extra: Mapping[str, str | Path] | None = None,
        platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
        batch: int | Sequence[int] | None = None,
    ) -> Path:
        """Writes the `export_outputs` of the newest checkpoint, for whoever has JAX.

        `specflow.load_export` reads what comes out; it needs nothing that trains.

        Args:
            directory: the export becomes `directory/<seconds since 1970>`.
            input_fn: gives an example of what clients send, as `predict` takes it. Some
                of its rows are stored in the export, with the answers to them.
            features: such an example itself, in place of `input_fn`.
            serving_fn: what clients send -> features of the model function; any
                function of JAX arrays. By default they send those features.
            checkpoint_path: export this checkpoint instead of the newest.
            checkpoint_step: the one of this step, in short; or `best` (by
                `RunConfig.keep_best`) or `latest`.
            assets_extra: path below `assets.extra/` -> file to copy there.
            platforms: what to export for.
            batch: fixed numbers of rows to export for, others being padded to them;
                None: any number, where the model can be traced so.

        Returns:
            The new directory.

        Raises:
            CheckpointError: there is no checkpoint.
            ConfigError: the directory is a file, or lies in one.
            ExportError: the model cannot be exported.
        """
        from specflow.output.export.exporting import (
            write_export,  # Few runs end in an export.
        )

        check_output_folder(directory, "directory")
        check_functions(input_fn=input_fn, serving_fn=serving_fn)
        example = self._example(input_fn, features)
        wants_newest = checkpoint_path is None and not self._states.is_live
        if wants_newest and self.checkpoints.latest_step() is None:
            raise CheckpointError(
                Diagnostic(
                    str(self.model_dir),
                    "has no checkpoint",
                    code="export-untrained",
                    expected="a model that was trained",
                )
            )
        if not self.program.model.is_known:
            form = jax.eval_shape(serving_fn or (lambda sent: sent), example)
            self.program.learn(Mode.PREDICT, form)
        step, state = self._states.to_evaluate(checkpoint_step, checkpoint_path)
        mesh = self.partitioner.mesh
        if collectives.process_count() > 1:
            # Gathered by all; one asks the model, on its own device, and writes.
            params, model_state = to_host((state.params, state.model_state))
            state = state._replace(params=params, model_state=model_state)

        def write() -> str:
            path = write_export(
                directory,
                Serving(self.program, state, receiver=serving_fn),
                example,
                step=step,
                platforms=platforms,
                batch=batch,
                usual_batch=self._batch_sizes[Mode.PREDICT],
                assets_extra=assets_extra,
                exact=mesh.size == 1 and mesh.devices.flat[0].platform == "cpu",
            )
            return str(path)

        return Path(collectives.on_process_zero(write))

    def _example(self, input_fn: InputFn | None, features: Any) -> Any:
        """Features of one batch, on the host."""
        if (input_fn is None) == (features is None):
            raise ConfigError(
                Diagnostic(
                    "export",
                    f"got {'neither' if features is None else 'both'} of input_fn and "
                    "features",
                    expected="one of them: an example of what clients send",
                    code="export-example",
                )
            )
        if input_fn is None:
            checked_batch(features, None, where="export")
            return jax.tree.map(narrowed, features)
        value = self._input(input_fn, Mode.PREDICT)
        first = next(iter(self._eval_batches(value, Mode.PREDICT, 1)), None)
        if first is None:
            raise no_rows("export")
        return jax.tree.map(lambda array: array[: first.rows], first.features)

    # -- looking, before anything runs

    def rows_of_step(self, source: Any, step: int) -> NDArray[np.int64]:
        """Which rows of the training data a step saw, or would see; in their order.

        Args:
            source: the training data: arrays or a source; batches that an iterable
                gives are known to nobody else.
            step: counted from 1, as in messages and reports.

        Returns:
            The numbers of the rows, counted from 0.

        Raises:
            ConfigError: the step is no positive number, or the data is an iterable.
            DataError: the step was trained with another batch size than this one.
        """
        rows = as_source(source)
        if rows is None:
            raise ConfigError(
                Diagnostic(
                    "source",
                    "is an iterable of batches",
                    code="input-form",
                    expected="arrays or a source, whose rows have numbers",
                )
            )
        check_positive(step, "step")
        saved = self.checkpoints.steps()
        start = max((one for one in saved if one < step), default=0)
        end = min((one for one in saved if one >= step), default=None)
        # Where the batch size was changed on the way, it says how far rows were.
        place = self.checkpoints.data(start) if start in saved else {}
        size = self._batch_sizes[Mode.TRAIN]
        if end is not None:
            later = self.checkpoints.data(end)
            restarts = self.config.resume_input == "restart"
            if restarts and later.get("rows") == (end - start) * size:
                place = {**place, "rows": 0}  # A call began anew at the earlier one.
            _check_batches(start, place, end, later, size)
        drawn = place.get("seed", self._states.seed)
        plan = BatchPlan(
            rows,
            size,
            seed=self._states.seed if self.config.seed is not None else drawn,
            shuffle=self.config.shuffle,
            start_step=start,
            start_row=place.get("rows"),
        )
        return plan.row_ids(step - 1, 1)[0]

    def abstract_spec(self, mode: Mode, source: Any) -> TPUEstimatorSpec:
        """The spec of a mode, for batches of a source: shapes in place of arrays.

        Raises:
            SpecError: the function breaks the contract, or predicts what cannot be
                handed out row by row.
        """
        spec = self.program.spec(mode, *self.batch_form(source, mode))
        if mode is Mode.PREDICT:
            check_predictions(spec.predictions, self._batch_sizes[mode])
        return spec

    def abstract_state(self, source: Any) -> TrainState:
        """Shapes, dtypes and shardings of the training state; nothing is allocated."""
        return self.program.abstract_state(*self.batch_form(source, Mode.TRAIN))

    def warm_plan(self, source: Any) -> WarmPlan | None:
        """What training takes from `warm_start_from`; None if it does not begin there.

        No array is read: names and shapes are compared.

        Args:
            source: of the training data.

        Raises:
            CheckpointError: there is no such checkpoint, or it does not fit.
        """
        return self._states.warm_plan(*self.batch_form(source, Mode.TRAIN))

    def batch_form(self, source: Any, mode: Mode) -> tuple[Any, Any]:
        """Shapes and dtypes of a batch of a source: (features, labels)."""
        size = self._batch_sizes[mode]
        return source_form(source, size)

    def lower(
        self, train: Any, evaluation: Any, *, max_steps: int | None = None
    ) -> dict[Mode, Lowered]:
        """The program of each mode, as training and evaluating would run it.

        Everything is traced and lowered, nothing compiled.

        Args:
            train: the source of the training rows.
            evaluation: the source of the rows to evaluate and predict.
            max_steps: where training ends.

        Raises:
            SpecError: the function breaks the contract.
            DataError: there are no rows to evaluate.
        """
        form = self.batch_form(train, Mode.TRAIN)
        steps = stacked_steps(self.config, form, max_steps)
        self.program.lower(Mode.TRAIN, *form, steps=steps)
        for mode in (Mode.EVAL, Mode.PREDICT):
            first = next(iter(self._eval_batches(evaluation, mode, 1)), None)
            if first is None:
                raise no_rows(str(mode))
            self.program.lower(mode, first.features, first.labels, mask=first.mask)
        return self.program.lowered

    def fingerprints(
        self, train: Any, evaluation: Any, *, max_steps: int | None = None
    ) -> dict[str, str]:
        """A hash of the program of each mode; see `lower` for the arguments.

        Equal programs have equal hashes, also in another process, as long as versions
        and devices are the same.

        Returns:
            `train`, `eval` and `predict`.

        Raises:
            SpecError: the function breaks the contract.
            DataError: there are no rows to evaluate.
        """
        self.lower(train, evaluation, max_steps=max_steps)
        return self.program.fingerprints()

    def check_checkpoint(self, source: Any) -> None:
        """Looks whether training could go on from what is saved; reads no array.

        Raises:
            CheckpointError: the newest checkpoint is of another model.
        """
        if self.latest_step() is not None:
            self.checkpoints.check(to_tree(self.abstract_state(source)))

    def live(
        self, step: int, state: TrainState
    ) -> contextlib.AbstractContextManager[None]:
        """Lets `predict` and `export` see a state that training goes on with."""
        return self._states.live(step, state)

    def latest_checkpoint(self) -> Path | None:
        """The newest checkpoint, as `checkpoint_path` takes it, if there is one."""
        step = self.latest_step()
        return None if step is None else self.checkpoints.directory / str(step)

    def best_checkpoint(self) -> Path | None:
        """The best checkpoint by `RunConfig.keep_best`, as `checkpoint_path` takes it.

        Returns:
            None if nothing says what is best, or no checkpoint has been evaluated.
        """
        best = self.checkpoints.best()
        return None if best is None else self.checkpoints.directory / str(best.step)

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        return self.checkpoints.latest_step()

    def parameter_count(self) -> int:
        """How many numbers the model's parameters are."""
        return sum(
            math.prod(array.shape)
            for array in self.program.model.abstract_params.values()
        )

    @property
    def recoveries(self) -> int:
        """How often training was resumed by itself after a failure of a device."""
        return self._training.recoveries

    def close(self) -> None:
        """Waits for checkpoints that are being written."""
        self.checkpoints.close()

    def _record(self) -> None:
        """Writes what this estimator is made of beside its checkpoints."""
        if self._recorder is not None:
            self._recorder.write()

    def _input(self, input_fn: InputFn, mode: Mode) -> Any:
        """What the function gives, arrays as a source, which looks at each number."""
        value = self._asked(input_fn, mode)
        source = None if is_empty(value) else as_source(value)
        return value if source is None else source

    def _asked(self, input_fn: InputFn, mode: Mode) -> Any:
        """What the function gives, for batches of this process."""
        size = len(self._share.rows(self._batch_sizes[mode]))
        return ask(input_fn, self._params_for(size))

    def _micro_steps(self, mode: Mode) -> int:
        return self.config.tpu_config.micro_steps if mode is Mode.TRAIN else 1

    def _params_for(self, batch_size: int) -> dict[str, Any]:
        """The caller's params as a function gets them: its own to change."""
        use_tpu = self.partitioner.mesh.devices.flat[0].platform == "tpu"
        return {
            **copy.deepcopy(self.params),
            "batch_size": batch_size,
            "use_tpu": use_tpu,
        }


TPUEstimator = Estimator
"""The name of `Estimator` in TensorFlow, for ported code: the same class."""


def _check_batches(
    start: int, place: Mapping[str, Any], end: int, later: Mapping[str, Any], size: int
) -> None:
    """Looks whether batches of a size lead from one place in the data to a later one.

    Raises:
        DataError: they do not: the steps between saw batches of another size.
    """
    before, after = place.get("rows", 0 if start == 0 else None), later.get("rows")
    if before is None or after is None or after - before == (end - start) * size:
        return
    raise DataError(
        Diagnostic(
            "the training batch size",
            f"is {size}, and steps {start + 1} to {end} saw {after - before} rows",
            expected="the batch size that these steps had",
            hint="Give it: loop.batch_size=..., in Python train_batch_size.",
            code="data-place",
        )
    )
