"""`estimator.json` in a `model_dir`: what an estimator made in Python is made of."""

from typing import Any, Literal

from pydantic import PositiveInt

from specflow.config.base import Config

__all__ = ["RECORD", "PartRecord", "RecordConfig"]

RECORD = "estimator.json"
"""Name of the file in a `model_dir`."""


class PartRecord(Config):
    """A function or class by its dotted name, or the reason why it has none."""

    name: str = ""
    """Dotted name, as `_target_` has it: `my_module.model_fn`."""
    args: list[Any] = []
    """Leading arguments, of a `functools.partial`."""
    kwargs: dict[str, Any] = {}
    """Named arguments, of a `functools.partial` or of a Linen module."""
    is_called: bool = False
    """Whether the part is what the call returns: a Linen module, not its class."""
    problem: str = ""
    """Why it cannot be imported by a name; empty if it can."""


class RecordConfig(Config):
    """The arguments of a `TPUEstimator`, as far as names and plain values say them."""

    version: Literal[1] = 1
    """Of this form."""
    model_fn: PartRecord
    """The model function."""
    model: PartRecord | None = None
    """What makes the model; null: the model function makes its layers."""
    eval_params: PartRecord | None = None
    """What chooses the parameters to evaluate with; null: nothing does."""
    input_fn: PartRecord | None = None
    """Input function of the last evaluation; null: there was none."""
    eval_steps: PositiveInt | None = None
    """Batches of the last evaluation; null: to the end of the data."""
    params: dict[str, Any] = {}
    """Handed to the model function and input functions."""
    config: dict[str, Any] = {}
    """Fields of the `RunConfig` that were set."""
    mesh: dict[str, Any] | None = None
    """Fields of the `MeshConfig` that were set; null: the default one."""
    use_tpu: bool | None = None
    """As the estimator was given it."""
    train_batch_size: PositiveInt
    """Rows of a training step."""
    eval_batch_size: PositiveInt
    """Rows of an evaluation step."""
    predict_batch_size: PositiveInt
    """Rows of a prediction step."""
    problems: dict[str, str] = {}
    """Argument -> why it cannot be recorded: params that are no plain values."""
