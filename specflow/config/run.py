"""`RunConfig`: how a `TPUEstimator` runs, for those who build it in Python."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from specflow.config.base import Config, Dtype, UserPath
from specflow.config.loop import ProfileConfig
from specflow.config.output import BestConfig
from specflow.errors import ConfigError, Fault, nearest

__all__ = ["RunConfig", "TPUConfig"]

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
    """A config that people write in Python: its faults come as one `ConfigError`."""

    def __init__(self, **fields: Any):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            faults = [_fault(type(self), detail) for detail in error.errors()]
            # A field that may be two things is refused once for each.
            once = {fault.where: fault for fault in faults}
            raise ConfigError(*once.values()) from None

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
    as large as they bear."""

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

    >>> RunConfig().checkpoint_seconds(), RunConfig(save_checkpoints_steps=5).saves
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
    """Seconds between checkpoints."""
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
    """Steps between reports of the training loss; None: none."""
    save_summary_steps: NonNegativeInt | None = 100
    """Steps between TensorBoard summaries of the training loss, the first at step 1;
    0 and None: no summaries, of evaluations neither."""
    profile: ProfileConfig | None = None
    """Steps to profile, into `<model_dir>/profile`; None: none."""
    resume_input: Literal["continue", "restart"] = "continue"
    """Whether a call to train continues in its input behind the rows that training has
    seen, until its end, after which the next call begins it anew; or begins it anew in
    every call, as the reference did."""
    eval_loss: Literal["examples", "batches"] = "examples"
    """Whether evaluate's `loss` is the mean over examples, which does not depend on the
    batch size, or over batches, as the reference's was."""
    tpu_config: TPUConfig = Field(default_factory=TPUConfig)
    """What concerns the devices and the loops that they run."""

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if None not in (self.save_checkpoints_steps, self.save_checkpoints_secs):
            raise ValueError("give save_checkpoints_steps or save_checkpoints_secs")
        return self

    @property
    def saves(self) -> bool:
        """Whether there are checkpoints at all."""
        return (
            self.save_checkpoints_steps is not None
            or self.checkpoint_seconds() is not None
        )

    def checkpoint_seconds(self) -> float | None:
        """Seconds between checkpoints, if time is their rhythm."""
        given = self.model_fields_set
        if "save_checkpoints_secs" in given or "save_checkpoints_steps" in given:
            return self.save_checkpoints_secs
        return 600.0

    def replace(self, **changes: Any) -> Self:
        """The same with some fields changed; one checkpoint rhythm ends the other."""
        changes = dict(changes)
        if changes.get("save_checkpoints_steps") is not None:
            changes.setdefault("save_checkpoints_secs", None)
        if changes.get("save_checkpoints_secs") is not None:
            changes.setdefault("save_checkpoints_steps", None)
        return super().replace(**changes)


def _fault(owner: type[Config], detail: Any) -> Fault:
    names = [str(part) for part in detail["loc"] if str(part) in _names(owner)]
    unknown = detail["type"] == "extra_forbidden"
    name = str(detail["loc"][-1]) if unknown else ".".join(names)
    where = f"{owner.__name__}.{name}" if name else owner.__name__
    if not unknown:
        wrong = detail.get("ctx", {}).get("error")
        if isinstance(wrong, ConfigError):
            return dataclasses.replace(wrong.faults[0], where=where)
        said = detail["msg"].removeprefix("Value error, ")
        return Fault(where, f"got {detail['input']!r:.60}: {said}", code="run-config")
    known = ", ".join(owner.model_fields)
    return Fault(
        where,
        "is gone" if name in GONE else "no such field",
        mend=GONE.get(name) or f"{nearest(name, owner.model_fields)} There is {known}.",
        code="run-config",
    )


def _names(owner: type[Config]) -> set[str]:
    return {*owner.model_fields, *TPUConfig.model_fields}
