"""`spec`: train, evaluate and predict, declared by fields or by a model_fn."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from specflow.config.base import Bound, Config
from specflow.config.broken_rules import Broken, refuse
from specflow.config.common.metric_fields import RESERVED
from specflow.config.generated.common_losses import SoftmaxCrossEntropyConfig
from specflow.config.generated.names import LOSSES
from specflow.config.key_path import KeyPath, key_paths
from specflow.config.kinds import Elsewhere, Kinds, by_name, name_of, named
from specflow.config.sections.metrics import MetricConfig
from specflow.config.sections.mixing import SOFT_LOSSES, MixConfig

__all__ = [
    "ClassificationExportConfig",
    "DeclaredSpecConfig",
    "ExportConfig",
    "LossConfig",
    "ModelFnConfig",
    "Name",
    "PredictedConfig",
    "PredictionConfig",
    "SoftmaxCrossEntropyConfig",
    "SpecConfig",
    "TrainOpConfig",
]

_MORE = "specflow.config.sections.predictions_and_exports"

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


# -- predictions: functions of the model's outputs


class PredictedConfig(Config):
    """Field of every prediction."""

    of: KeyPath = "outputs"
    """Key path of the input."""


class SoftmaxConfig(PredictedConfig):
    """Softmax over the last axis: probabilities of exclusive classes."""

    name: Literal["softmax"] = "softmax"


class ArgmaxConfig(PredictedConfig):
    """Argmax over the last axis: index of the highest score."""

    name: Literal["argmax"] = "argmax"


PredictionConfig = by_name(
    SoftmaxConfig,
    Elsewhere(_MORE, "sigmoid"),
    ArgmaxConfig,
    Elsewhere(_MORE, "threshold", "exp", "identity", "rescale"),
    group="specflow.predictions",
)


# -- losses: one value per example or token, weighted, averaged and summed


LossConfig = by_name(
    SoftmaxCrossEntropyConfig,
    Elsewhere("specflow.config.generated.other_losses", *LOSSES),
    group="specflow.losses",
)
"""A declared loss, or a `_target_`: a function of tensors (keyword arguments that are
key paths) that returns one value per example."""


# -- exports


class ClassificationExportConfig(Config):
    """Scores, classes, or both."""

    name: Literal["classification"] = "classification"
    scores: KeyPath | None = None
    """Key path of the scores, one per class; null: none."""
    classes: KeyPath | None = None
    """Key path of the class; null: none."""
    class_names: list[str] | None = None
    """Names of the classes, in order; null: none."""


ExportConfig = by_name(
    Elsewhere(_MORE, "predict"),
    ClassificationExportConfig,
    Elsewhere(_MORE, "regression"),
)


# -- the spec itself


class TrainOpConfig(Config):
    """Selection of trainable parameters.

    Batch statistics of a layer without trainable parameters are frozen too, and its
    batch normalization uses them in training, as in Keras.
    """

    wrt: list[str] = Field(default=["**"], min_length=1)
    """Globs of trainable parameter paths; all others keep their initial values."""
    frozen: list[str] = []
    """Globs of paths that are excluded from `wrt`."""


class DeclaredSpecConfig(Config):
    """The fields of a TPUEstimatorSpec, connected by key paths."""

    name: Literal["declared"] = "declared"
    inputs: dict[Name, KeyPath] = Field(min_length=1)
    """Argument of the model -> key path of its value: `model(**inputs)`."""
    outputs: dict[Name, PositiveInt] = {}
    """Parts of the last axis of the model's outputs: name -> size, in order. A part is
    `outputs.<name>`; empty: `outputs` is not divided."""
    predictions: dict[Name, PredictionConfig] = Field(min_length=1)  # type: ignore[valid-type]
    """Predictions by name."""
    loss: dict[Name, LossConfig] = Field(min_length=1)  # type: ignore[valid-type]
    """Losses by name; the training loss is their weighted sum."""
    eval_metrics: dict[Name, MetricConfig] = {}  # type: ignore[valid-type]
    """Metrics by name, computed on the host over the full evaluation set."""
    export_outputs: dict[Name, ExportConfig] = {}  # type: ignore[valid-type]
    """Export signatures by name; empty: one signature with all predictions."""
    train_op: TrainOpConfig = Field(default_factory=TrainOpConfig)
    """Selection of trainable parameters."""
    mix: MixConfig | None = None
    """Mixtures of training rows, mixup and CutMix; null: none."""

    @model_validator(mode="after")
    def _metrics_have_free_names(self) -> Self:
        expected = "another name: evaluation reports its own under this one"
        taken = (
            (("eval_metrics", name), name, expected)
            for name in self.eval_metrics
            if name in RESERVED
        )
        refuse("DeclaredSpecConfig", taken)
        return self

    @model_validator(mode="after")
    def _mixes_soft_labels(self) -> Self:
        expected = "a loss of soft labels, as spec.mix makes: one of "
        expected += ", ".join(SOFT_LOSSES)
        refuse(
            "DeclaredSpecConfig",
            [
                Broken(("loss", name), name_of(loss), expected, "spec.mix")
                for name, loss in self.loss.items()
                if self.mix is not None and name_of(loss) not in SOFT_LOSSES
            ],
        )
        return self

    @model_validator(mode="after")
    def _paths_resolve(self) -> Self:
        refuse("DeclaredSpecConfig", _path_diagnostics(self))
        return self


def _path_diagnostics(
    spec: DeclaredSpecConfig,
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Key paths to predictions and losses that are not declared, or declared later.

    Predictions may use earlier predictions only; losses may not use losses.
    """
    targets = [
        name
        for name, prediction in spec.predictions.items()
        if getattr(prediction, "name", None) == "rescale"
    ]
    # Of each section: whether it reads targets, and losses.
    sections: dict[str, tuple[Mapping[str, Any], bool, bool]] = {
        "loss": (spec.loss, True, False),
        "eval_metrics": (spec.eval_metrics, True, True),
        "export_outputs": (spec.export_outputs, False, False),
    }
    earlier: list[str] = []
    for name, prediction in spec.predictions.items():
        yield from _section_diagnostics(
            ("predictions", name),
            prediction,
            predictions=earlier,
            targets=(),
            losses=(),
        )
        earlier.append(name)
    for section, (members, sees_targets, sees_losses) in sections.items():
        for name, member in members.items():
            yield from _section_diagnostics(
                (section, name),
                member,
                predictions=spec.predictions,
                targets=targets if sees_targets else (),
                losses=spec.loss if sees_losses else (),
            )


def _section_diagnostics(
    loc: tuple[str, ...],
    member: Config,
    *,
    predictions: Collection[str],
    targets: Collection[str],
    losses: Collection[str],
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    known = {"predictions": predictions, "targets": targets, "losses": losses}
    for key, path in key_paths(member).items():
        root, _, rest = path.partition(".")
        if root in known and rest.split(".")[0] not in known[root]:
            names = ", ".join(f"{root}.{name}" for name in known[root]) or "none here"
            yield (*loc, *key.split(".")), path, f"one of the declared {root} ({names})"


class ModelFnConfig(Bound):
    """A user's function that returns a TPUEstimatorSpec."""

    name: Literal["model_fn"] = "model_fn"
    model_fn: str
    """Dotted path of the function."""
    params: dict[str, Any] = {}
    """Passed to the function as `params`, if it has that argument."""

    @property
    def path(self) -> str:
        return self.model_fn


def _name_of(value: Any) -> Any:
    if isinstance(value, dict):
        return "model_fn" if "model_fn" in value else value.get("name", "declared")
    return getattr(value, "name", None)


_KINDS = named(
    DeclaredSpecConfig,
    ModelFnConfig,
    Elsewhere("specflow.config.sections.table_spec", "table"),
)

SpecConfig = Annotated[Config, Kinds(_KINDS, _name_of)]
