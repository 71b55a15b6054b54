"""`RunConfig` and `TPUConfig`: run settings of an `Estimator` made in Python."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from specflow.config.base import Config, Dtype, UserPath
from specflow.config.common.triggers import EveryFrom0, EverySteps
from specflow.config.sections.loop import ProfileConfig
from specflow.config.sections.output import BestConfig

__all__ = ["RunConfig", "TPUConfig"]

_USUAL_SECONDS = 600.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}

_MESH = "Use the mesh: Estimator(mesh=MeshConfig(axes=..., rules=...))."
_BY_JAX = "JAX does this automatically."
GONE = {
    "num_shards": _MESH,
    "num_cores_per_replica": _MESH,
    "input_partition_dims": _MESH,
    "per_host_input_for_training": "Each process reads its own rows of every batch.",
    "eval_training_input_configuration": "Each process reads its own rows of a batch.",
    "tpu_job_name": _BY_JAX,
    "initial_infeed_sleep_secs": "There is no infeed to wait for.",
    "tf_random_seed": "Its name is seed.",
    "experimental_host_call_every_n_steps": "Its name is host_call_every_n_steps.",
    "experimental_allow_per_host_v2_parallel_get_next": "Rows keep their order here.",
    "experimental_feed_hook": "There is no infeed to hook into.",
    "embedding_config_spec": "Embeddings are parameters like any other; see the mesh.",
    "experimental_export_device_assignment": "An export records no devices.",
    "session_config": _BY_JAX,
    "session_creation_timeout_secs": _BY_JAX,
    "master": _BY_JAX,
    "evaluation_master": _BY_JAX,
    "cluster": _BY_JAX,
    "device_fn": _MESH,
    "protocol": _BY_JAX,
    "train_distribute": _MESH,
    "eval_distribute": _MESH,
    "experimental_distribute": _MESH,
    "experimental_max_worker_delay_secs": "Processes start together.",
    "checkpoint_save_graph_def": "There is no graph: model_fn is traced again.",
}
"""Options of TensorFlow's RunConfig that do not exist here -> hint."""


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class _Python(Config):
    """Base class of configs that are constructed and changed in Python."""

    gone: ClassVar[Mapping[str, str]] = GONE

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**kept, **changes})


class TPUConfig(_Python):
    """Settings of the devices."""

    iterations_per_loop: (
        PositiveInt | Annotated[str, Field(pattern=r"^[1-9][0-9]*[smh]?$")]
    ) = 50
    """Steps per call: steps that devices run before they return to the host, or a time
    such as `30s`, `5m`, `1h`, from which the number is estimated. Hooks, evaluation and
    checkpoints run between calls; the last call is shortened to end at the requested
    step."""

    host_call_every_n_steps: PositiveInt = 1
    """Steps between two calls of a training spec's `host_call`, the first at step 1."""

    micro_steps: PositiveInt = 1
    """Number of sequential parts of a training batch (gradient accumulation): the
    update is that of the full batch, with the memory of one part."""

    compute_dtype: Dtype | None = None
    """Data type in which layers compute that set no `dtype` (mixed precision);
    parameters and updates keep theirs."""

    loss_scale: PositiveFloat | Literal["dynamic"] | None = None
    """Factor of the loss during differentiation, for float16 gradients. `dynamic`: as
    large as gradients allow; steps whose gradients overflow are skipped and counted,
    and an overflow at the minimum scale, 1, is an error."""

    def loop_steps(self) -> int | None:
        """Steps per call, if given as a number."""
        text = str(self.iterations_per_loop)
        return int(text) if text.isdigit() else None

    def loop_seconds(self) -> int | None:
        """Seconds per call, if given as a time."""
        match = re.fullmatch(r"(\d+)([smh])", str(self.iterations_per_loop))
        return int(match[1]) * _SECONDS[match[2]] if match else None


class RunConfig(_Python):
    """Seed, triggers and retention of checkpoints.

    Checkpoints are saved every `save_checkpoints_steps` or every
    `save_checkpoints_secs`, whichever comes first if both are set; by default every 600
    seconds; never if the one that is set is None.

    >>> RunConfig().save_checkpoints_secs, RunConfig(save_checkpoints_steps=5).saves
    (600.0, True)
    >>> RunConfig(save_checkpoints_steps=None).saves
    False
    """

    model_dir: Annotated[UserPath, BeforeValidator(_as_text)] | None = Field(
        default=None, min_length=1
    )
    """Directory of checkpoints; None: a temporary directory."""
    seed: NonNegativeInt | None = 0
    """Seed of initialization, dropout and data order; None: a random seed."""
    shuffle: bool = True
    """Shuffle the arrays that an input_fn returns every epoch."""
    save_checkpoints_steps: EveryFrom0 | None = None
    """Steps between checkpoints, from the start of a call, or epochs such as `1 epoch`;
    0: only at its start and end."""
    save_checkpoints_secs: PositiveFloat | None = None
    """Seconds between checkpoints; 600 if `save_checkpoints_steps` is not set. With
    both, a checkpoint by steps starts the time anew."""
    save_at_start: bool = True
    """Save a checkpoint at the start of a call to train."""
    keep_checkpoint_max: NonNegativeInt | None = 5
    """Number of newest checkpoints kept; 0 and None: all."""
    keep_checkpoint_every_n_steps: PositiveInt | None = None
    """Steps of which every multiple is saved and kept permanently, beside the newest;
    None: none."""
    keep_checkpoint_every_n_hours: PositiveFloat = 10_000.0
    """Period, in hours, of which one checkpoint is kept permanently, beside the
    newest."""
    keep_best: BestConfig | None = None
    """Criterion of the best checkpoints, kept beside the newest; None: none. A state is
    saved right after the evaluation that finds it among the best so far."""
    checkpoint_params: Literal["bfloat16", "float16", "float32", "same"] | None = None
    """Data type of a snapshot of the parameters, `<model_dir>/params/<step>`, beside
    each checkpoint; `same`: that of training; None: none. It holds what evaluation
    uses, also an average of the parameters, and no optimizer state."""
    log_step_count_steps: EverySteps | None = 100
    """Steps, or epochs, between reports of the training loss, each the mean over the
    steps since the previous one, and of the gradient norm and learning rate of the
    step; None: none."""
    save_summary_steps: NonNegativeInt | None = 100
    """Steps between TensorBoard summaries of the training loss, the first at step 1,
    each the mean over the steps since the previous one, and of the gradient norm and
    learning rate of the step; 0 and None: no summaries, of evaluations either."""
    progress: bool = True
    """Show the progress of train, evaluate and predict on a terminal or in a
    notebook."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<model_dir>/profile`; None: none."""
    resume_input: Literal["continue", "restart"] = "continue"
    """Position in the input at a call to train. `continue`: after the rows that
    training has consumed, and from the start again once the input is exhausted;
    `restart`: from the start in every call, as in TensorFlow."""
    recover: NonNegativeInt = 3
    """Number of times that training resumes from the same checkpoint after a transient
    device failure; 0: never. Applies to one process; several processes exit together,
    and `specflow launch --restarts` restarts them."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Mean of evaluate's `loss`: over examples, which does not depend on the batch
    size, or over batches, as in TensorFlow."""
    tpu_config: TPUConfig = Field(default_factory=TPUConfig)
    """Settings of the devices and their loops."""

    @model_validator(mode="before")
    @classmethod
    def _by_default_in_seconds(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and "save_checkpoints_steps" not in fields:
            return {"save_checkpoints_secs": _USUAL_SECONDS, **fields}
        return fields

    @property
    def saves(self) -> bool:
        """True if checkpoints are saved."""
        return (
            self.save_checkpoints_steps is not None
            or self.save_checkpoints_secs is not None
        )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; setting one checkpoint trigger unsets the
        other, unless both are set.
        """
        changes = dict(changes)
        if "save_checkpoints_steps" in changes:
            changes.setdefault("save_checkpoints_secs", None)
        if changes.get("save_checkpoints_secs") is not None:
            changes.setdefault("save_checkpoints_steps", None)
        return super().replace(**changes)
