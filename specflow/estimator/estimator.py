"""The estimator: a model function to train, evaluate, predict with and export."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flax import linen, nnx
from jax.sharding import Mesh

from specflow.config.epochs import EpochLength
from specflow.config.resolved_epochs import uses_epochs, with_steps
from specflow.config.run_config import RunConfig
from specflow.config.sections.mesh import MeshConfig
from specflow.contract import Mode
from specflow.data import Data, Share, build_data, epoch_length
from specflow.distributed import collectives
from specflow.estimator.data_lock import DataLock
from specflow.estimator.estimator_arguments import (
    check_functions,
    check_loop,
    check_params,
    check_positive,
    check_taken,
    config_of,
    model_dir_of,
    partitioner_of,
)
from specflow.estimator.estimator_record_writer import Recorder
from specflow.estimator.inspect_methods import InspectMethods
from specflow.estimator.state_source import EvalParams, InitFn, States
from specflow.estimator.train_methods import TrainMethods
from specflow.estimator.training import Training
from specflow.executor import Program, StepSettings
from specflow.experiment import (
    check_labels,
    completed_by_data,
    estimator_arguments,
    have_same_model,
    make_layers,
)
from specflow.lifecycle import WarmStartSettings, build_warm_start
from specflow.mesh import check_batch_size
from specflow.model import split_model
from specflow.output import Checkpointer
from specflow.output.checkpoint.params_snapshots import ParamsSnapshots
from specflow.runtime.filesystem import expanded

if TYPE_CHECKING:
    from specflow.config.experiment import ExperimentConfig

__all__ = ["Estimator", "TPUEstimator"]


class Estimator(TrainMethods, InspectMethods):
    """Trains, evaluates, predicts and exports what a model function declares.

    The mesh decides where that runs: one device, or many hosts.

    Args:
        model_fn: takes `features` and any of `model, labels, mode, params, config,
            mask`, by these names, and returns a `TPUEstimatorSpec`. It gets the global
            batch and is traced once for each mode.
        model: A function `rngs -> nnx.Module`, an initialized NNX module, or a module
            of Flax Linen such as `nn.Dense(10)`. None: the function creates its layers
            where it calls them, as in `nn.Dense(10)(features["x"])` with `flax.linen`
            as `nn`; every mode has to create the same layers.
        model_dir: parent of checkpoints, from the newest of which training resumes. By
            default that of `config`, else a temporary directory.
        config: seeds, intervals of saving and reporting, and retention.
        params: hyperparameters, passed to `model_fn` and `input_fn`.
        train_batch_size: rows of a training step, over all devices.
        eval_batch_size: rows of an evaluation step; by default as in training.
        predict_batch_size: rows of a prediction step; by default as in evaluation.
        mesh: axes and sharding rules, or a `jax.sharding.Mesh`; by default the batch is
            sharded over all devices.
        use_tpu: False: one CPU device, and hooks are called at every step; True: raise
            without a TPU; None: the available devices.
        warm_start_from: initial values from the checkpoint of another run, as long as
            this one has none: a path (its parameters), or `WarmStartSettings`.
        init_fn: replaces freshly initialized parameters: path -> array to the same.
        eval_params: maps (parameters by path, the optimizer's arrays by name) to
            parameters for evaluation, prediction and export, such as
            `specflow.optimizer.averaged`; training keeps its own.
        devices: devices of the mesh; by default all. Those of a TPU topology can be
            lowered and compiled for, not run.

    Raises:
        ConfigError: batch sizes are not positive integers, or not divisible by the
            mesh; the devices cannot form the mesh; `model_fn` does not take the params;
            an argument is not a function.
        SpecError: `model_fn` does not take `features`, or requires an unknown argument
            or a model that was not given.

    Examples:
        A line fitted by gradient descent:

        >>> import jax.numpy as jnp, numpy as np, optax
        >>> from flax import nnx
        >>> import specflow as sf
        >>> def model_fn(model, features, labels, mode):
        ...     y = model(features["x"])[:, 0]
        ...     if mode is sf.Mode.PREDICT:
        ...         return sf.TPUEstimatorSpec(mode=mode, predictions=y)
        ...     return sf.TPUEstimatorSpec(
        ...         mode=mode,
        ...         loss=jnp.mean((y - labels) ** 2),
        ...         train_op=optax.sgd(0.3),
        ...     )
        >>> x = np.linspace(-1, 1, 64, dtype=np.float32)
        >>> estimator = sf.Estimator(
        ...     model_fn,
        ...     model=lambda rngs: nnx.Linear(1, 1, rngs=rngs),
        ...     config=sf.RunConfig(seed=0, progress=False),
        ...     train_batch_size=16,
        ... )
        >>> data = {"x": x[:, None]}, 3 * x + 1
        >>> _ = estimator.train(lambda: data, steps=200)
        >>> metrics = estimator.evaluate(lambda: data)
        >>> metrics["global_step"], metrics["loss"] < 1e-6
        (200, True)
        >>> rows = {"x": np.array([[0.0], [1.0]], np.float32)}
        >>> [round(float(y), 2) for y in estimator.predict(lambda: rows)]
        [1.0, 4.0]

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
        _program: Program | None = None,
    ):
        self.config = config_of(config)
        check_functions(init_fn=init_fn, eval_params=eval_params)
        check_params(params or {})
        # A copy: changes by the caller or a model function do not show here.
        self.params = copy.deepcopy(dict(params or {}))
        self.model_dir = model_dir_of(model_dir, self.config)
        self.partitioner, tuned = partitioner_of(mesh, use_tpu=use_tpu, devices=devices)
        eval_size = train_batch_size if eval_batch_size is None else eval_batch_size
        self._batch_sizes = self._checked_batch_sizes(
            train_batch_size,
            eval_size,
            eval_size if predict_batch_size is None else predict_batch_size,
        )
        self.program = _program or Program(
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
        self._batch_share = Share(*self.partitioner.local_parts)
        self.checkpoints = Checkpointer(
            self.model_dir / "checkpoints",
            keep=self.config.keep_checkpoint_max or 0,
            keep_every_steps=self.config.keep_checkpoint_every_n_steps,
            keep_every_s=3600.0 * self.config.keep_checkpoint_every_n_hours,
            best=self.config.keep_best,
        )
        dtype = self.config.checkpoint_params
        directory = self.checkpoints.directory
        self._snapshots = None if dtype is None else ParamsSnapshots(directory, dtype)
        if self._snapshots is not None:
            self.checkpoints.before_complete.append(self._snapshots.settle)
        self.timing = self.program.timing
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
            snapshots=self._snapshots,
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
                canned=self._canned(),
                use_tpu=use_tpu,
                **{
                    f"{mode.name.lower()}_batch_size": size
                    for mode, size in self._batch_sizes.items()
                },
            )
            if is_named
            else None
        )
        self.stopped_early = None
        self._check_declared, self._reports_untrained = lambda: None, False
        self.experiment: ExperimentConfig | None = None
        """The experiment of `from_config`, with what its data decides: numbers of steps
        in place of epochs, classes and embeddings; None: it was made in Python."""
        self.epoch_length: EpochLength | None = None
        """Rows of an epoch of the experiment, and its steps."""
        self._data: Data | None = None
        self._data_lock: DataLock | None = None
        self._batch = self._columns = None

    @classmethod
    def from_config(
        cls,
        experiment: "ExperimentConfig",
        *,
        data: Data | None = None,
        model_dir: str | Path | None = None,
        devices: Sequence[Any] | None = None,
        earlier: "Estimator | None" = None,
    ) -> Self:
        """Creates the estimator of a composed experiment, as the command line does.

        Args:
            experiment: from `specflow.compose.compose(...).config`.
            data: its data, if that is built already.
            model_dir: the run directory; by default `output.dir` of the experiment.
            devices: devices of its mesh; by default all.
            earlier: of another experiment with the same devices. Its traces and
                executables are used where the experiments differ in the optimizer
                alone, or in what is in no program.

        Raises:
            DataError: the run directory has fitted columns, and those of the data
                differ; files that have changed since the run was trained are named.
        """
        data = build_data(experiment.data) if data is None else data
        length = _epoch_length(experiment, data, model_dir or experiment.output.dir)
        experiment = with_steps(completed_by_data(experiment, data), length)
        check_loop(experiment, devices)
        arguments = estimator_arguments(experiment, data, model_dir=model_dir)
        warm_start: Any = experiment.warm_start
        numbers, program = arguments.hyperparameters, None
        if earlier is not None:
            earlier._states.drop()  # Its arrays are as large as those that follow.
            if not earlier._is_of_same_model(experiment):
                earlier = None
        if earlier is not None:
            program = earlier.program.with_hyperparameters(numbers)
        estimator = cls(
            arguments.model_fn,
            model=arguments.model,
            model_dir=arguments.model_dir,
            config=arguments.config,
            params=arguments.params,
            train_batch_size=arguments.train_batch_size,
            eval_batch_size=arguments.eval_batch_size,
            mesh=arguments.mesh,
            eval_params=arguments.eval_params,
            warm_start_from=build_warm_start(warm_start),
            devices=devices,
            _program=program,
        )
        program, form = estimator.program, estimator.batch_form(data.train, Mode.TRAIN)
        program.tracer.hyperparameters = numbers
        if not program.model.is_known:
            make_layers(program, form, data)
        estimator._reports_untrained = warm_start is None and model_dir is None
        estimator._columns = estimator._training.columns = data.columns
        refits = estimator._training.refits_columns = getattr(
            experiment.data, "refit", False
        )
        accepts = experiment.output.on_change == "accept"
        lock = DataLock(estimator.model_dir, data, accepts=accepts, refits=refits)
        collectives.on_process_zero(lock.check_columns)
        estimator._data_lock = lock
        estimator._recorder = None  # The config of the run records more.
        estimator.experiment, estimator.epoch_length = experiment, length
        estimator._data = data
        estimator._check_declared = functools.cache(
            functools.partial(check_labels, experiment, program.model, form, data)
        )
        if earlier is not None and earlier._data is data:
            estimator._check_declared = earlier._check_declared
        return estimator

    def _is_of_same_model(self, experiment: "ExperimentConfig") -> bool:
        """Returns whether an experiment differs from this one's in the optimizer."""
        own = self.experiment
        return own is not None and have_same_model(experiment, own)

    def _checked_batch_sizes(
        self, train: int, evaluation: int, prediction: int
    ) -> dict[Mode, int]:
        """Returns the batch size of each mode, all divisible by the mesh."""
        sizes = {Mode.TRAIN: train, Mode.EVAL: evaluation, Mode.PREDICT: prediction}
        for mode, size in sizes.items():
            key = f"{mode.name.lower()}_batch_size"
            sizes[mode] = check_positive(size, key)
            check_batch_size(
                sizes[mode],
                self.partitioner.mesh,
                key=key,
                micro_steps=self._micro_steps(mode),
            )
        return sizes


def _epoch_length(
    experiment: "ExperimentConfig", data: Data, directory: str | Path | None
) -> EpochLength:
    """Returns the length of an epoch, from where a run in the directory resumes.

    Only a run whose batch size has changed resumes elsewhere than its steps say.
    """
    step, place = 0, None
    if directory is not None and uses_epochs(experiment):
        checkpoints = Checkpointer(expanded(directory, "output.dir") / "checkpoints")
        step, place = collectives.on_process_zero(checkpoints.newest_place)
    length = epoch_length(
        data.train,
        batch_size=experiment.loop.batch_size,
        step=step,
        place=place,
    )
    assert length is not None  # Data of an experiment has random access to its rows.
    return length


TPUEstimator = Estimator
"""The name of `Estimator` in TensorFlow, for ported code: the same class."""
