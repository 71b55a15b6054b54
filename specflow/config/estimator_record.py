"""`estimator.json` in a `model_dir`: the arguments of an estimator made in Python."""

from typing import Any, Literal

from pydantic import PositiveInt

from specflow.config.base import Config

__all__ = ["RECORD", "CannedRecord", "PartRecord", "RecordConfig"]

RECORD = "estimator.json"
"""Name of the file in a `model_dir`."""


class PartRecord(Config):
    """A function or class by its dotted name, or the reason for having none."""

    name: str = ""
    """Dotted name, as for `_target_`: `my_module.model_fn`."""
    args: list[Any] = []
    """Positional arguments of a `functools.partial`."""
    kwargs: dict[str, Any] = {}
    """Keyword arguments of a `functools.partial` or of a Linen module."""
    is_called: bool = False
    """True if the part is the result of the call: a Linen module, not its class."""
    problem: str = ""
    """Reason why it has no importable name; empty if it has one."""


class CannedRecord(Config):
    """A canned estimator by its class and arguments; its optimizer is not recorded."""

    name: Literal[
        "DNNClassifier",
        "DNNLinearCombinedClassifier",
        "DNNLinearCombinedRegressor",
        "DNNRegressor",
        "LinearClassifier",
        "LinearRegressor",
    ]
    """Class in `specflow.tf.canned`."""
    arguments: dict[str, Any] = {}
    """Arguments as plain values; a `Categorical` as a mapping of its fields."""
    activation: PartRecord | None = None
    """Activation function; null: the default one."""


class RecordConfig(Config):
    """Arguments of an `Estimator`, as names and plain values."""

    version: Literal[1] = 1
    """Version of the format."""
    model_fn: PartRecord | None = None
    """The model function; null for a canned estimator."""
    canned: CannedRecord | None = None
    """The canned estimator; null: it is another one."""
    model: PartRecord | None = None
    """Constructor of the model; null: the model function creates its layers."""
    eval_params: PartRecord | None = None
    """Selects the parameters to evaluate with; null: none."""
    input_fn: PartRecord | None = None
    """Input function of the last evaluation; null: none."""
    eval_steps: PositiveInt | None = None
    """Number of batches of the last evaluation; null: all data."""
    params: dict[str, Any] = {}
    """Hyperparameters, passed to the model function and input functions."""
    config: dict[str, Any] = {}
    """Fields of the `RunConfig` that were set."""
    mesh: dict[str, Any] | None = None
    """Fields of the `MeshConfig` that were set; null: the default one."""
    use_tpu: bool | None = None
    """Argument `use_tpu` of the estimator."""
    train_batch_size: PositiveInt
    """Global batch size of training."""
    eval_batch_size: PositiveInt
    """Global batch size of evaluation."""
    predict_batch_size: PositiveInt
    """Global batch size of prediction."""
    problems: dict[str, str] = {}
    """Argument -> reason why it is not recorded, such as params that are no plain
    values."""
