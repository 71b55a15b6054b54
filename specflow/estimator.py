"""The estimator: a model function, trained, evaluated and asked for predictions."""

import copy
import dataclasses
import importlib
import inspect
import itertools
import math
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jax
from flax import nnx
from jax.sharding import Mesh

from specflow import loop
from specflow.config.mesh import MeshConfig
from specflow.config.run import RunConfig
from specflow.data import (
    Data,
    EvalBatches,
    TrainInput,
    as_source,
    as_train_batches,
    build_data,
)
from specflow.errors import CheckpointError, ConfigError, DataError, Fault, nearest
from specflow.executor import Program, Serving, TrainState, from_tree, to_tree
from specflow.experiment import estimator_arguments
from specflow.loop import Action, EverySeconds, EverySteps, Pace, Rhythm
from specflow.mesh import Partitioner, build_mesh, check_batch_size
from specflow.model import SplitModel
from specflow.output import Checkpointer
from specflow.spec import Mode, TPUEstimatorSpec

if TYPE_CHECKING:
    from specflow.config.experiment import ExperimentConfig

__all__ = ["EvalSpec", "TPUEstimator", "TrainSpec"]

InputFn = Callable[..., Any]
"""() or (params) -> arrays, a source, or an iterable of batches; `(features, labels)`
or features alone. `params["batch_size"]` is the batch of this process."""

_TIMED_STACK = 1_000
"""Batches stacked when `iterations_per_loop` is a time."""
_CHUNK_BYTES = 256 << 20
"""Stacked batches are no larger than this, whatever `iterations_per_loop` says."""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainSpec:
    """What `train_and_evaluate` trains on.

    Args:
        input_fn: gives the training input.
        max_steps: step at which training ends; None: at the end of the data.
        hooks: objects with any of begin, before_step, after_step, end.
    """

    input_fn: InputFn
    max_steps: int | None = None
    hooks: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class EvalSpec:
    """What `train_and_evaluate` evaluates on, and when.

    Args:
        input_fn: gives the evaluation input.
        steps: batches of an evaluation; None: to the end of the data.
        every_steps: training steps between evaluations; 0: only at the end.
    """

    input_fn: InputFn
    steps: int | None = None
    every_steps: int = 0


class TPUEstimator:
    """Trains, evaluates and predicts what a model function declares, on any mesh.

    Args:
        model_fn: takes `features` and any of `model, labels, mode, params, config,
            mask`, by these names, and returns a `TPUEstimatorSpec`. It sees the global
            batch and is traced once a mode.
        model: a function `rngs -> nnx.Module`, or a module that is already built.
        model_dir: where checkpoints go; training goes on from the newest one there. By
            default that of `config`, else a temporary directory.
        config: seeds, rhythms, what is kept.
        params: handed to `model_fn` and `input_fn`.
        train_batch_size: rows of a training step, over all devices.
        eval_batch_size: rows of an evaluation step; by default as in training.
        predict_batch_size: rows of a prediction step; by default as in evaluation.
        mesh: axes and rules, or a `jax.sharding.Mesh`; by default all devices share the
            batch.

    Raises:
        ConfigError: batch sizes that are no positive integers or that the mesh cannot
            divide; a mesh that the devices cannot form.
        SpecError: `model_fn` does not take `features`, or demands something unknown.

    Source: tf.compat.v1.estimator.tpu.TPUEstimator.
    """

    def __init__(
        self,
        model_fn: Callable[..., Any],
        *,
        model: Callable[[nnx.Rngs], nnx.Module] | nnx.Module,
        model_dir: str | Path | None = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
        train_batch_size: int = 128,
        eval_batch_size: int | None = None,
        predict_batch_size: int | None = None,
        mesh: MeshConfig | Mesh | None = None,
    ):
        self.config = config or RunConfig()
        self.params = dict(params or {})
        self.model_dir = _model_dir(model_dir, self.config)
        layout = MeshConfig() if mesh is None else mesh
        if isinstance(layout, MeshConfig):
            self.partitioner = Partitioner(build_mesh(layout.axes), layout.rules)
        else:
            self.partitioner = Partitioner(layout)
        eval_size = train_batch_size if eval_batch_size is None else eval_batch_size
        self._batch_sizes = {
            Mode.TRAIN: train_batch_size,
            Mode.EVAL: eval_size,
            Mode.PREDICT: eval_size
            if predict_batch_size is None
            else predict_batch_size,
        }
        for mode, size in self._batch_sizes.items():
            name = {"infer": "predict"}.get(mode, str(mode))
            _check_positive(size, f"{name}_batch_size")
            check_batch_size(size, self.partitioner.mesh, key=f"{name}_batch_size")
        self.program = Program(
            model_fn,
            SplitModel(model),
            self.partitioner,
            extras={"params": self.params, "config": self.config},
            tuned=not isinstance(layout, MeshConfig) or layout.cpu == "tuned",
        )
        self.checkpoints = Checkpointer(
            self.model_dir / "checkpoints",
            keep=self.config.keep_checkpoint_max or 0,
            keep_every_s=3600.0 * self.config.keep_checkpoint_every_n_hours,
            best=self.config.keep_best,
        )
        self.timing = self.program.timing
        """Seconds spent so far: compile, train, input, eval, checkpoint."""
        seed = self.config.seed
        self._seed = secrets.randbits(31) if seed is None else seed
        self._state: TrainState | None = None
        self._step = 0
        self._batch: Any = None

    @classmethod
    def from_config(
        cls,
        experiment: "ExperimentConfig",
        *,
        data: Data | None = None,
        model_dir: str | Path | None = None,
    ) -> Self:
        """The estimator of a composed experiment; the command line uses nothing else.

        Args:
            experiment: from `specflow.compose.compose(...).config`.
            data: its data, if it is built already.
            model_dir: the run directory; by default `output.dir` of the experiment.
        """
        data = build_data(experiment.data) if data is None else data
        _check_loop(experiment)
        return cls(**estimator_arguments(experiment, data, model_dir=model_dir))

    # -- training

    def train(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        hooks: Sequence[Any] = (),
    ) -> Self:
        """Trains, and saves the state at the end.

        Training goes on from the newest checkpoint in `model_dir`, weights, optimizer,
        random streams and place in the data included.

        Args:
            input_fn: gives the training input.
            steps: how many steps to take, from where training stands.
            max_steps: step at which to stop, over all calls. Neither: to the end of the
                data.
            hooks: objects with any of begin, before_step, after_step, end.

        Raises:
            NanLossDuringTrainingError: a loss is not finite; that state is not saved.
        """
        if steps is not None and max_steps is not None:
            raise ConfigError(
                Fault("train", "got steps and max_steps", expected="one of them",
                      code="steps")
            )  # fmt: skip
        for name, value in (("steps", steps), ("max_steps", max_steps)):
            if value is not None:
                _check_positive(value, name)
        if steps is not None:
            self._train(input_fn, lambda start: start + steps, hooks=hooks)
        else:
            self._train(input_fn, lambda _: max_steps, hooks=hooks)
        return self

    def train_and_evaluate(
        self,
        train_spec: TrainSpec,
        eval_spec: EvalSpec,
        *,
        report: loop.Report | None = None,
        progress: Callable[[int, float], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Trains, evaluating on the way and at the end.

        Args:
            train_spec: what to train on, and until when.
            eval_spec: what to evaluate on, and when.
            report: takes (step, split, metrics) of every report.
            progress: takes (step, loss) now and then.
            should_stop: asked between device loops; true ends training there, with a
                checkpoint and without a last evaluation.

        Returns:
            The metrics of the last evaluation, with `loss` and `global_step`. With
            nothing left to train, the newest checkpoint is evaluated; a run that was
            asked to stop has `global_step` alone, unless it was just evaluated.
        """
        last: dict[int, dict[str, Any]] = {}

        def evaluate(step: int, state: TrainState) -> None:
            last.clear()
            last[step] = self._evaluate(
                eval_spec.input_fn, state, step, eval_spec.steps
            )
            if report is not None:
                report(step, "eval", _without_step(last[step]))

        step, state = self._train(
            train_spec.input_fn,
            lambda _: train_spec.max_steps,
            hooks=train_spec.hooks,
            report=report,
            progress=progress,
            evaluate=EverySteps(eval_spec.every_steps, evaluate),
            found=last,
            should_stop=should_stop,
        )
        if step not in last and not _is_asked(should_stop):
            evaluate(step, state)
        return last.get(step, {"global_step": step})

    def _train(
        self,
        input_fn: InputFn,
        stop_of: Callable[[int], int | None],
        *,
        hooks: Sequence[Any] = (),
        report: loop.Report | None = None,
        progress: Callable[[int, float], None] | None = None,
        evaluate: Rhythm | None = None,
        found: Mapping[int, dict[str, Any]] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[int, TrainState]:
        found = {} if found is None else found
        value = self._input(input_fn, Mode.TRAIN)
        if self._batch is None:
            self._batch, value = self._batch_form(value)
        step, state, place = self._start()
        stop = stop_of(step)
        if stop is not None and step >= stop:
            return step, state
        batches = self._train_batches(value, step, place, stop)
        _import_ahead()

        def save(step: int, state: TrainState) -> None:
            with self.timing("checkpoint"):
                self.checkpoints.save(
                    step,
                    to_tree(state),
                    data=batches.state(step),
                    metrics=found.get(step),
                )

        # Evaluation goes first: its metrics judge the checkpoint of the same step.
        rhythms = [
            *([evaluate] if evaluate is not None else []),
            *self._save_rhythms(step, save),
        ]
        if self.config.saves and self.config.save_at_start:
            save(step, state)
        self._state = None  # Used up by the loop.
        try:
            with self.timing("train"):
                result = loop.train(
                    self.program,
                    state,
                    batches,
                    start_step=step,
                    stop_step=stop,
                    log_every=self.config.log_step_count_steps or 0,
                    report=report,
                    progress=progress,
                    rhythms=rhythms,
                    hooks=hooks,
                    should_stop=should_stop,
                    pace=self._pace(),
                )
            asked = _is_asked(should_stop)
            if evaluate is not None and result.step not in found and not asked:
                evaluate.action(result.step, result.state)
            if self.config.saves:
                save(result.step, result.state)
        finally:
            batches.close()
            # What is being written is finished, also on the way out with an error.
            with self.timing("checkpoint"):
                self.checkpoints.wait()
        if self.config.saves:
            self._step, self._state = result.step, result.state
        return result.step, result.state

    def _pace(self) -> Pace | None:
        seconds = self.config.tpu_config.loop_seconds()
        return None if seconds is None else Pace(seconds)

    def _save_rhythms(self, start: int, save: Action) -> list[Rhythm]:
        steps = self.config.save_checkpoints_steps
        seconds = self.config.checkpoint_seconds()
        if steps is not None:
            return [EverySteps(steps, save, start=start)]
        return [] if seconds is None else [EverySeconds(seconds, save)]

    def _start(self) -> tuple[int, TrainState, dict[str, Any] | None]:
        """Where training stands: step, state, and place in the data."""
        if self._state is not None and self._step == self.checkpoints.latest_step():
            place = self.checkpoints.data(self._step)
            return self._step, self._state, place
        if self.checkpoints.latest_step() is None:
            return 0, self.program.init_state(self._seed, *self._batch), None
        like = self.program.abstract_state(*self._batch)
        with self.timing("checkpoint"):
            restored = self.checkpoints.restore(to_tree(like))
        # A seed that nobody chose is the one that the run began with.
        if self.config.seed is None:
            self._seed = restored.data.get("seed", self._seed)
        return restored.step, from_tree(restored.state, like), restored.data

    def _batch_form(self, value: Any) -> tuple[Any, Any]:
        """Shapes and dtypes of a training batch, and an input that gives all of them.

        A generator has no form before it gives something, and gives that only once.
        """
        source = as_source(value)
        if source is not None:
            return self.batch_form(source, Mode.TRAIN), value
        probe = value
        if hasattr(value, "__iter__"):
            probe, value = _peeked(value)
        size = self._batch_sizes[Mode.TRAIN]
        chunk = next(as_train_batches(probe, batch_size=size, steps_per_chunk=1), None)
        if chunk is None:
            raise _no_rows("training")
        form = jax.tree.map(
            lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype),
            (chunk.features, chunk.labels),
        )
        return form, value

    def _train_batches(
        self, value: Any, step: int, place: Mapping[str, Any] | None, stop: int | None
    ) -> TrainInput:
        batch_bytes = sum(
            leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self._batch)
        )
        fitting = max(1, _CHUNK_BYTES // max(1, batch_bytes))
        # A loop that is meant in seconds is cut out of long stacks of batches.
        wanted = self.config.tpu_config.loop_steps() or _TIMED_STACK
        return as_train_batches(
            value,
            batch_size=self._batch_sizes[Mode.TRAIN],
            steps_per_chunk=min(wanted, fitting, stop or wanted),
            seed=self._seed,
            shuffle=self.config.shuffle,
            start_step=step,
            place=place,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    # -- evaluation and prediction

    def evaluate(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        checkpoint_step: int | None = None,
    ) -> dict[str, Any]:
        """The metrics of the newest checkpoint over the input.

        Args:
            input_fn: gives the evaluation input.
            steps: batches; None: to the end of the data.
            checkpoint_step: evaluate the checkpoint of this step instead. Without any
                checkpoint the initial values are evaluated.

        Returns:
            `loss` (the mean over examples), `global_step`, and every metric by name.
        """
        if steps is not None:
            _check_positive(steps, "steps")
        value = self._input(input_fn, Mode.EVAL)
        step, state = self._inference_state(checkpoint_step)
        return self._evaluate(lambda: value, state, step, steps)

    def _evaluate(
        self, input_fn: InputFn, state: TrainState, step: int, steps: int | None
    ) -> dict[str, Any]:
        value = self._input(input_fn, Mode.EVAL)
        with self.timing("eval"):
            batches = self._eval_batches(value, Mode.EVAL, steps)
            result = loop.evaluate(self.program, state, batches)
        return {**result.metrics, "global_step": step}

    def predict(
        self,
        input_fn: InputFn,
        *,
        predict_keys: str | Sequence[str] | None = None,
        yield_single_examples: bool = True,
        checkpoint_step: int | None = None,
    ) -> Iterator[Any]:
        """The predictions for every row, once, in order; labels are not looked at.

        Arguments are checked here, at the call.

        Args:
            input_fn: gives the rows.
            predict_keys: names of the predictions wanted; all of them by default.
            yield_single_examples: one item a row, or one a batch.
            checkpoint_step: predict with the checkpoint of this step instead of the
                newest.

        Yields:
            A dict of NumPy values, or one array, as `predictions` is in the spec.
        """
        value = self._input(input_fn, Mode.PREDICT)
        _, state = self._inference_state(checkpoint_step)
        batches = iter(self._eval_batches(value, Mode.PREDICT, None))
        first = next(batches, None)
        if first is None:
            return iter(())
        spec = self.program.spec(Mode.PREDICT, first.features)
        keys = _known_keys(predict_keys, spec.predictions)
        found = loop.predict(self.program, state, itertools.chain([first], batches))
        return _rows_of(found, keys, single=yield_single_examples)

    def _inference_state(self, checkpoint_step: int | None) -> tuple[int, TrainState]:
        latest = self.checkpoints.latest_step()
        held = self._state is not None and self._step == latest
        if self._state is not None and held and checkpoint_step in (None, latest):
            return self._step, self._state
        like = self.program.abstract_model_state()
        if latest is None and checkpoint_step is None:
            return 0, self.program.init_model_state(self._seed)
        wanted = {"params": like.params, "rest": like.rest}
        restored = self.checkpoints.restore(wanted, step=checkpoint_step, partial=True)
        state = like._replace(**restored.state, step=restored.step)
        return restored.step, state

    def _eval_batches(self, value: Any, mode: Mode, steps: int | None) -> EvalBatches:
        source = as_source(value)
        size = self._batch_sizes[mode]
        return EvalBatches(
            value if source is None else source,
            size,
            limit=steps,
            padded="mask" in self.program.model_fn.takes,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    # -- export

    def export(
        self,
        directory: str | Path,
        *,
        input_fn: InputFn | None = None,
        features: Any = None,
        serving_fn: Callable[[Any], Any] | None = None,
        checkpoint_step: int | None = None,
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
            checkpoint_step: export the checkpoint of this step instead of the newest.
            assets_extra: path below `assets.extra/` -> file to copy there.
            platforms: what to export for.
            batch: fixed numbers of rows to export for, others being padded to them;
                None: any number, where the model can be traced so.

        Returns:
            The new directory.

        Raises:
            CheckpointError: there is no checkpoint.
            ExportError: the model cannot be exported.
        """
        from specflow.output.export import write_export  # Few runs end in an export.

        example = self._example(input_fn, features)
        if self.checkpoints.latest_step() is None:
            raise CheckpointError(
                Fault(str(self.model_dir), "has no checkpoint", code="export-untrained",
                      expected="a model that was trained")
            )  # fmt: skip
        step, state = self._inference_state(checkpoint_step)
        mesh = self.partitioner.mesh
        return write_export(
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

    def _example(self, input_fn: InputFn | None, features: Any) -> Any:
        """Features of one batch, on the host."""
        if (input_fn is None) == (features is None):
            raise ConfigError(
                Fault(
                    "export",
                    f"got {'neither' if features is None else 'both'} of input_fn and "
                    "features",
                    expected="one of them: an example of what clients send",
                    code="export-example",
                )
            )
        if input_fn is None:
            return features
        value = self._input(input_fn, Mode.PREDICT)
        first = next(iter(self._eval_batches(value, Mode.PREDICT, 1)), None)
        if first is None:
            raise _no_rows("export")
        return jax.tree.map(lambda array: array[: first.rows], first.features)

    # -- looking, before anything runs

    def abstract_spec(self, mode: Mode, source: Any) -> TPUEstimatorSpec:
        """The spec of a mode, for batches of a source: shapes in place of arrays."""
        return self.program.spec(mode, *self.batch_form(source, mode))

    def abstract_state(self, source: Any) -> TrainState:
        """Shapes, dtypes and shardings of the training state; nothing is allocated."""
        return self.program.abstract_state(*self.batch_form(source, Mode.TRAIN))

    def batch_form(self, source: Any, mode: Mode) -> tuple[Any, Any]:
        """Shapes and dtypes of a batch of a source: (features, labels)."""
        size = self._batch_sizes[mode]
        return jax.tree.map(
            lambda row: jax.ShapeDtypeStruct((size, *row.shape), row.dtype),
            source.spec(),
        )

    def check_checkpoint(self, source: Any) -> None:
        """Looks whether training could go on from what is saved; reads no array.

        Raises:
            CheckpointError: the newest checkpoint is of another model.
        """
        if self.latest_step() is not None:
            self.checkpoints.check(to_tree(self.abstract_state(source)))

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        return self.checkpoints.latest_step()

    def parameter_count(self) -> int:
        """How many numbers the model's parameters are."""
        return sum(
            math.prod(array.shape)
            for array in self.program.model.abstract_params.values()
        )

    def close(self) -> None:
        """Waits for checkpoints that are being written."""
        self.checkpoints.close()

    def _input(self, input_fn: InputFn, mode: Mode) -> Any:
        """What the function gives; it may take `params`, with this process's batch."""
        size = self._batch_sizes[mode] // jax.process_count()
        params = {**self.params, "batch_size": size}
        parameters = inspect.signature(input_fn).parameters
        if "params" in parameters:
            return input_fn(params=params)
        # One with a default is the function's own affair: `lambda rows=rows: ...`.
        demanded = (p for p in parameters.values() if p.default is p.empty)
        if any(
            p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in demanded
        ):
            return input_fn(params)
        return input_fn()


def _model_dir(model_dir: str | Path | None, config: RunConfig) -> Path:
    """The one directory that is meant, or a new temporary one."""
    given, configured = model_dir, config.model_dir
    if given is not None and configured is not None and Path(given) != Path(configured):
        raise ConfigError(
            Fault(
                "model_dir",
                f"is '{given}' here and '{configured}' in the config",
                expected="one of them, or the same",
                code="model-dir",
            )
        )
    chosen = given if given is not None else configured
    if chosen is None:
        return Path(tempfile.mkdtemp(prefix="specflow-"))
    if str(chosen) == "":
        raise ConfigError(
            Fault("model_dir", "is empty", expected="a directory", code="model-dir")
        )
    return Path(chosen)


def _check_loop(experiment: "ExperimentConfig") -> None:
    """Checks the batch sizes against the devices there are, by the keys of the user."""
    mesh, faults = build_mesh(experiment.mesh.axes), []
    for key in ("batch_size", "eval_batch_size"):
        try:
            check_batch_size(getattr(experiment.loop, key), mesh, key=f"loop.{key}")
        except ConfigError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigError(*faults)


def _check_positive(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            Fault(name, f"got {value!r}", expected="a positive integer", code="range")
        )


def _no_rows(split: str) -> DataError:
    return DataError(
        Fault("data", f"the {split} input has no rows", code="data-empty",
              expected="at least one row")
    )  # fmt: skip


def _peeked(batches: Iterable[Any]) -> tuple[list[Any], Iterable[Any]]:
    """The first batch, if there is one, and what still gives all of them."""
    iterator = iter(batches)
    if iterator is not batches:  # It can be iterated over again.
        return list(itertools.islice(iterator, 1)), batches
    if hasattr(iterator, "get_state"):
        place = copy.deepcopy(iterator.get_state())  # type: ignore[attr-defined]
        first = list(itertools.islice(iterator, 1))
        iterator.set_state(place)  # type: ignore[attr-defined]
        return first, iterator
    first = list(itertools.islice(iterator, 1))

    def all_of_them() -> Iterator[Any]:
        yield from first
        yield from iterator

    return first, all_of_them()


def _without_step(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in metrics.items() if name != "global_step"}


def _is_asked(should_stop: Callable[[], bool] | None) -> bool:
    return should_stop is not None and should_stop()


def _import_ahead() -> None:
    """Imports, in the background, what is not needed until after the first step."""

    def load() -> None:
        importlib.import_module("grain")
        importlib.import_module("orbax.checkpoint")

    threading.Thread(target=load, name="specflow-imports", daemon=True).start()


def _known_keys(
    wanted: str | Sequence[str] | None, predictions: Any
) -> tuple[str, ...] | None:
    """Those of the wanted names that there are; None for all."""
    if wanted is None:
        return None
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not isinstance(predictions, Mapping):
        raise ConfigError(
            Fault(
                "predict_keys",
                f"got {', '.join(names)}, but predictions is one array",
                expected="None",
                code="predict-keys",
            )
        )
    known = tuple(name for name in names if name in predictions)
    if not known:
        raise ConfigError(
            Fault(
                "predict_keys",
                f"none of {', '.join(names)} is predicted",
                expected=f"some of {', '.join(predictions)}",
                mend=nearest(names[0], predictions) if names else "",
                code="predict-keys",
            )
        )
    return known


def _rows_of(
    batches: Iterator[tuple[Any, int]], keys: tuple[str, ...] | None, *, single: bool
) -> Iterator[Any]:
    for predictions, rows in batches:
        if keys is not None:
            predictions = {name: predictions[name] for name in keys}
        if not single:
            yield predictions
            continue
        for row in range(rows):
            yield jax.tree.map(lambda array, row=row: array[row], predictions)
