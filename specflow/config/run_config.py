"""`RunConfig`: how a `TPUEstimator` runs, for those who build it in Python."""

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
from specflow.config.sections.loop import ProfileConfig
from specflow.config.sections.output import BestConfig

__all__ = ["RunConfig", "TPUConfig"]

_USUAL_SECONDS = 600.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}

_MESH = "Say it with the mesh: TPUEstimator(mesh=MeshConfig(axes=..., rules=...))."
_BY_JAX = "JAX does this by itself."
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
    "checkpoint_save_graph_def": "There is no graph: model_fn is traced anew.",
}
"""Options of the reference that went away, and what became of them."""


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class _Python(Config):
    """A config that people write in Python, and change there."""

    gone: ClassVar[Mapping[str, str]] = GONE

    def replace(self, **changes: Any) -> Self:
        """The same with some fields changed, checked as any other."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**kept, **changes})


class TPUConfig(_Python):
    """What concerns the devices."""

    iterations_per_loop: (
        PositiveInt | Annotated[str, Field(pattern=r"^[1-9][0-9]*[smh]?$")]
    ) = 50
    """Steps that the devices run before they return to the host: a number, or a time
    such as `30s`, `5m`, `1h`, from which the number is estimated. Hooks, evaluation and
    checkpoints act in between; the last stretch is cut to land on the step wanted."""

    host_call_every_n_steps: PositiveInt = 1
    """Steps between two calls of a training spec's `host_call`; step 1 has one."""

    micro_steps: PositiveInt = 1
    """Parts in which a training batch is computed, one after the other: the update is
    that of the whole batch, with the memory of one part."""

    compute_dtype: Dtype | None = None
    """What layers compute in that name no `dtype` of their own (mixed precision);
    parameters and their updates keep theirs."""

    loss_scale: PositiveFloat | Literal["dynamic"] | None = None
    """Factor of the loss while it is differentiated, for gradients of 16 bits; dynamic:
    as large as they bear; steps whose gradient overflows are skipped and counted, and
    one at the least scale, 1, ends training with an error."""

    def loop_steps(self) -> int | None:
        """The number of steps, if it is one."""
        text = str(self.iterations_per_loop)
        return int(text) if text.isdigit() else None

    def loop_seconds(self) -> int | None:
        """The time, if it is one."""
        found = re.fullmatch(r"(\d+)([smh])", str(self.iterations_per_loop))
        return int(found[1]) * _SECONDS[found[2]] if found else None


class RunConfig(_Python):
    """Seeds, rhythms, and what is kept.

    Checkpoints: every `save_checkpoints_steps` or every `save_checkpoints_secs`, never
    both; neither given means every 600 seconds; given as None, there are none at all.

    >>> RunConfig().save_checkpoints_secs, RunConfig(save_checkpoints_steps=5).saves
    (600.0, True)
    >>> RunConfig(save_checkpoints_steps=None).saves
    False
    """

    model_dir: Annotated[UserPath, BeforeValidator(_as_text)] | None = Field(
        default=None, min_length=1
    )
    """Where checkpoints go; None: a temporary directory."""
    seed: NonNegativeInt | None = 0
    """Seed of the initial weights, of dropout and of the order of the data; None: a
    different one each time."""
    shuffle: bool = True
    """Whether arrays that an input_fn returns are seen in a new order every epoch."""
    save_checkpoints_steps: NonNegativeInt | None = None
    """Steps between checkpoints, from the start of a call; 0: only at its ends."""
    save_checkpoints_secs: PositiveFloat | None = None
    """Seconds between checkpoints; 600 where `save_checkpoints_steps` is not given."""
    save_at_start: bool = True
    """Whether a call to train begins with a checkpoint."""
    keep_checkpoint_max: NonNegativeInt | None = 5
    """Newest checkpoints kept; 0 and None keep all."""
    keep_checkpoint_every_n_hours: PositiveFloat = 10_000.0
    """One checkpoint of each such period is kept for ever, beside the newest."""
    keep_best: BestConfig | None = None
    """Keep the best checkpoint too; None keeps the newest only. A state that an
    evaluation finds to be the best so far is saved then and there."""
    log_step_count_steps: PositiveInt | None = 100
    """Steps between reports of the training loss, each the mean over the steps since
    the one before, and of the gradient norm and learning rate of the step; None:
    none."""
    save_summary_steps: NonNegativeInt | None = 100
    """Steps between TensorBoard summaries of the training loss, the first at step 1,
    each the mean over the steps since the one before, and of the gradient norm and
    learning rate of the step; 0 and None: no summaries, of evaluations neither."""
    progress: bool = True
    """Whether a call to train, evaluate or predict shows how far it is, where a person
    sees it: on a terminal or in a notebook."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<model_dir>/profile`; None: none."""
    resume_input: Literal["continue", "restart"] = "continue"
    """Whether a call to train continues in its input behind the rows that training has
    seen, until its end, after which the next call begins it anew; or begins it anew in
    every call, as the reference did."""
    recover: NonNegativeInt = 3
    """How often a call to train resumes by itself from its newest checkpoint, without a
    newer one in between, when a device fails for a moment; 0: never. One process does;
    several end together, for `specflow launch --restarts` to start them again."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Whether evaluate's `loss` is the mean over examples, which does not depend on the
    batch size, or over batches, as the reference's was."""
    tpu_config: TPUConfig = Field(default_factory=TPUConfig)
    """What concerns the devices and the loops that they run."""

    @model_validator(mode="before")
    @classmethod
    def _by_default_in_seconds(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and "save_checkpoints_steps" not in fields:
            return {"save_checkpoints_secs": _USUAL_SECONDS, **fields}
        return fields

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if None not in (self.save_checkpoints_steps, self.save_checkpoints_secs):
            raise ValueError("give save_checkpoints_steps or save_checkpoints_secs")
        return self

    @property
    def saves(self) -> bool:
        """Whether there are checkpoints at all."""
        return (
            self.save_checkpoints_steps is not None
            or self.save_checkpoints_secs is not None
        )

    def replace(self, **changes: Any) -> Self:
        """The same with some fields changed; one checkpoint rhythm ends the other."""
        changes = dict(changes)
        if "save_checkpoints_steps" in changes:
            changes.setdefault("save_checkpoints_secs", None)
        if changes.get("save_checkpoints_secs") is not None:
            changes.setdefault("save_checkpoints_steps", None)
        return super().replace(**changes)
