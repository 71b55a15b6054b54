"""`spec`: what train, evaluate and predict mean, by fields or by a model_fn."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from specflow.config.base import Bound, Config
from specflow.config.broken_rules import refuse
from specflow.config.common.metric_fields import RESERVED
from specflow.config.key_path import KeyPath, key_paths
from specflow.config.kinds import Elsewhere, Kinds, by_name
from specflow.config.sections.metrics import MetricConfig

__all__ = [
    "ClassificationExportConfig",
    "DeclaredSpecConfig",
    "ExportConfig",
    "LabelledConfig",
    "LossConfig",
    "ModelFnConfig",
    "Name",
    "PredictedConfig",
    "PredictionConfig",
    "SpecConfig",
    "TrainOpConfig",
]

_MORE = "specflow.config.sections.other_losses"

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


# -- predictions: tensors made of the model's outputs


class PredictedConfig(Config):
    """What every prediction takes."""

    of: KeyPath = "outputs"
    """What it is made of."""


class SoftmaxConfig(PredictedConfig):
    """Probabilities of exclusive classes, over the last axis."""

    name: Literal["softmax"] = "softmax"


class ArgmaxConfig(PredictedConfig):
    """Index of the highest score, over the last axis."""

    name: Literal["argmax"] = "argmax"


PredictionConfig = by_name(
    SoftmaxConfig,
    Elsewhere(_MORE, "sigmoid"),
    ArgmaxConfig,
    Elsewhere(_MORE, "threshold", "exp", "identity"),
    group="specflow.predictions",
)


# -- losses: one value an example (or token), weighted, averaged, added up


class LabelledConfig(Config):
    """What every loss takes."""

    labels: KeyPath = "labels"
    """What is true."""
    weight: PositiveFloat = 1.0
    """Share of this loss in the sum."""
    example_weights: KeyPath | None = None
    """Weight of each example (or token); null counts each once."""


class SoftmaxCrossEntropyConfig(LabelledConfig):
    """Cross-entropy of integer labels and logits."""

    name: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    logits: KeyPath = "outputs"
    """Scores of the classes, before the softmax."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of each label that is spread over all classes."""


LossConfig = by_name(
    SoftmaxCrossEntropyConfig,
    Elsewhere(
        _MORE,
        "sigmoid_cross_entropy",
        "poisson",
        "squared_error",
        "absolute_error",
        "huber",
    ),
    group="specflow.losses",
)
"""A declared loss, or a `_target_`: a function of tensors (keyword arguments that are
key paths) that returns one value an example."""


# -- exports


class ClassificationExportConfig(Config):
    """Scores and/or classes."""

    name: Literal["classification"] = "classification"
    scores: KeyPath | None = None
    """A score for each class; null: there is none."""
    classes: KeyPath | None = None
    """The class; null: there is none."""
    class_names: list[str] | None = None
    """Names of the classes, in order."""


ExportConfig = by_name(
    Elsewhere(_MORE, "predict"),
    ClassificationExportConfig,
    Elsewhere(_MORE, "regression"),
)


# -- the spec itself


class TrainOpConfig(Config):
    """Which parameters the optimizer trains.

    The batch statistics of a layer of which no parameter trains do not move either, and
    its batch normalization uses them in training too, as Keras has it.
    """

    wrt: list[str] = Field(default=["**"], min_length=1)
    """Globs of parameter paths that train; the others stay as they were made."""
    frozen: list[str] = []
    """Globs of those among them that stay as they were made nevertheless."""


class DeclaredSpecConfig(Config):
    """The contract, field by field, wired by key paths."""

    name: Literal["declared"] = "declared"
    inputs: dict[Name, KeyPath] = Field(min_length=1)
    """Argument of the model -> what is passed: `model(**inputs)`."""
    predictions: dict[Name, PredictionConfig] = Field(min_length=1)  # type: ignore[valid-type]
    """What predict returns, by name."""
    loss: dict[Name, LossConfig] = Field(min_length=1)  # type: ignore[valid-type]
    """Losses by name; the loss is their weighted sum."""
    eval_metrics: dict[Name, MetricConfig] = {}  # type: ignore[valid-type]
    """Metrics by name, computed on the host over the whole evaluation set."""
    export_outputs: dict[Name, ExportConfig] = {}  # type: ignore[valid-type]
    """Signatures by name; empty: one of all predictions."""
    train_op: TrainOpConfig = Field(default_factory=TrainOpConfig)
    """Which parameters the optimizer trains."""

    @model_validator(mode="after")
    def _metrics_have_free_names(self) -> Self:
        taken = (
            (("eval_metrics", name), name, "another name: evaluation reports its own "
             "under this one")
            for name in self.eval_metrics
            if name in RESERVED
        )  # fmt: skip
        refuse("DeclaredSpecConfig", taken)
        return self

    @model_validator(mode="after")
    def _paths_lead_somewhere(self) -> Self:
        refuse("DeclaredSpecConfig", _path_diagnostics(self))
        return self


def _path_diagnostics(
    spec: DeclaredSpecConfig,
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Paths to predictions and losses that are not declared, or not there yet.

    Predictions may be made of earlier predictions only; losses may not use losses.
    """
    sections: dict[str, tuple[Mapping[str, Any], bool]] = {
        "loss": (spec.loss, False),
        "eval_metrics": (spec.eval_metrics, True),
        "export_outputs": (spec.export_outputs, False),
    }
    made: list[str] = []
    for name, prediction in spec.predictions.items():
        yield from _section_diagnostics(
            ("predictions", name), prediction, predictions=made, losses=()
        )
        made.append(name)
    for section, (members, sees_losses) in sections.items():
        for name, member in members.items():
            yield from _section_diagnostics(
                (section, name),
                member,
                predictions=spec.predictions,
                losses=spec.loss if sees_losses else (),
            )


def _section_diagnostics(
    loc: tuple[str, ...],
    member: Config,
    *,
    predictions: Collection[str],
    losses: Collection[str],
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    known = {"predictions": predictions, "losses": losses}
    for key, path in key_paths(member).items():
        root, _, rest = path.partition(".")
        if root in known and rest.split(".")[0] not in known[root]:
            names = ", ".join(f"{root}.{name}" for name in known[root]) or "none here"
            yield (*loc, *key.split(".")), path, f"one of the declared {root} ({names})"


class ModelFnConfig(Bound):
    """A user's own function that returns a TPUEstimatorSpec."""

    name: Literal["model_fn"] = "model_fn"
    model_fn: str
    """Dotted path of the function."""
    params: dict[str, Any] = {}
    """Handed to the function as `params`, if it takes them."""

    @property
    def path(self) -> str:
        return self.model_fn


def _name_of(value: Any) -> Any:
    if isinstance(value, dict):
        return "model_fn" if "model_fn" in value else value.get("name", "declared")
    return getattr(value, "name", None)


SpecConfig = Annotated[
    DeclaredSpecConfig | ModelFnConfig,
    Kinds({"declared": DeclaredSpecConfig, "model_fn": ModelFnConfig}, _name_of),
]
