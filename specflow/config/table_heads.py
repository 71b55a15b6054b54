"""The declared spec of `spec=table`, once the labels are known."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from specflow.config.sections.spec import DeclaredSpecConfig
from specflow.config.sections.table_spec import HeadConfig, TableSpecConfig
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["Label", "TableLabels", "possible_metrics", "spec_of_labels"]

_TOP = 3
"""k of the metric top_k, which needs more classes."""


_OF_CLASSES = ("accuracy", "top3")
_OF_BINARY = ("auc", "precision", "recall", "f1", "accuracy")
_OF_NUMBERS = ("rmse", "mae", "r2")
_METRICS = {
    "classification": (*_OF_CLASSES, *_OF_BINARY),
    "regression": _OF_NUMBERS,
    "poisson": _OF_NUMBERS,
    None: (*_OF_CLASSES, *_OF_BINARY, *_OF_NUMBERS),
}
"""Kind of a head -> metrics that it may have; None: the labels decide it."""


class Label(Protocol):
    """A fitted column of labels; that of `specflow.columns` is one."""

    @property
    def kind(self) -> str:
        """`class`, `integer` or `number`."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or the values of integers if they are few."""
        ...

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of training rows of each class."""
        ...

    @property
    def is_class(self) -> bool:
        """The labels are indices of classes."""
        ...

    @property
    def transform(self) -> str | None:
        """Transform of numbers."""
        ...

    @property
    def offset(self) -> float:
        """Center of transformed numbers."""
        ...

    @property
    def divisor(self) -> float:
        """Scale of transformed numbers."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableLabels:
    """The columns of labels of a table."""

    columns: Mapping[str, Label]
    joined: bool = False
    """They are one array of 0 and 1."""
    weights: str | None = None
    """Column of the weights of the rows."""

    def path(self, name: str) -> str:
        """Key path of a column of labels."""
        if self.weights is None and (self.joined or len(self.columns) == 1):
            return "labels"
        return "labels.labels" if self.joined else f"labels.{name}"

    @property
    def weights_path(self) -> str | None:
        """Key path of the weights of the rows; None: there are none."""
        return None if self.weights is None else f"labels.{self.weights}"


def spec_of_labels(
    spec: TableSpecConfig, labels: TableLabels | None
) -> DeclaredSpecConfig:
    """Returns the spec of the columns of labels.

    Args:
        spec: `spec=table`.
        labels: columns of labels of the data; None: it is no table.

    Raises:
        ConfigError: there are no labels, a head does not suit its column, or a metric
            names what no head has.
    """
    if labels is None or not labels.columns:
        raise ConfigError(
            Diagnostic(
                "spec",
                "table needs columns of labels, and the data has none",
                expected="data=table with data.labels",
                hint="Name them: data.labels=<column>. Other data: spec=classification "
                "or spec=regression.",
                code="table-head",
            )
        )
    if diagnostics := list(_diagnostics(spec, labels)):
        raise ConfigError(*diagnostics)
    single = len(labels.columns) == 1 or labels.joined
    plain: dict[str, Any] = {
        "inputs": dict(spec.inputs),
        "predictions": {},
        "loss": {},
        "eval_metrics": {},
        "train_op": spec.train_op.model_dump(),
        "mix": None if spec.mix is None else spec.mix.model_dump(),
    }
    parts: dict[str, int] = {}
    for name, label in labels.columns.items():
        head = _Head(name, label, _declared(spec, name), labels, single)
        for section, members in head.sections().items():
            plain.setdefault(section, {}).update(members)
        if labels.joined:
            break
        parts[head.slug] = head.size
    if not single:
        outputs = {name: f"predictions.{name}" for name in plain["predictions"]}
        plain["outputs"] = parts
        plain["export_outputs"] = {
            "serving_default": {"name": "predict", "outputs": outputs}
        }
    plain["eval_metrics"] |= spec.eval_metrics
    try:
        return DeclaredSpecConfig.model_validate(plain)
    except ValidationError as error:
        # Rules between key paths: all else was validated with the config.
        problems = [
            Diagnostic(
                ".".join(["spec", *map(str, detail["loc"])]),
                f"got {detail['input']!r:.60}",
                expected=detail["msg"],
                code="table-head",
            )
            for detail in error.errors()
        ]
        raise ConfigError(*problems) from error


class _Head:
    """Loss, predictions and metrics of one column of labels."""

    def __init__(
        self,
        name: str,
        label: Label,
        config: HeadConfig,
        labels: TableLabels,
        single: bool,
    ):
        self.label, self.config, self.labels = label, config, labels
        self.kind = config.name or _kind(label)
        self.slug = _slug(name, labels.columns)
        self.prefix = "" if single else f"{self.slug}_"
        self.outputs = "outputs" if single else f"outputs.{self.slug}"
        self.path = labels.path(name)
        self.is_binary = self.kind == "classification" and len(label.classes) == 2

    @property
    def size(self) -> int:
        """Number of outputs of the model."""
        is_softmax = self.kind == "classification" and not self.is_binary
        return len(self.label.classes) if is_softmax else 1

    def sections(self) -> dict[str, dict[str, Any]]:
        """Members of the sections of a declared spec."""
        if self.kind == "regression":
            return self._regression()
        if self.kind == "poisson":
            return self._poisson()
        return self._binary() if self.is_binary else self._classes()

    def _classes(self) -> dict[str, dict[str, Any]]:
        of = self.outputs
        metrics: dict[str, Any] = {
            "accuracy": {"name": "accuracy", "predictions": self._prediction("class")}
        }
        if self.size > _TOP:
            metrics["top3"] = {"name": "top_k", "k": _TOP, "scores": of}
        return self._joined(
            {"probability": ("softmax", of), "class": ("argmax", of)},
            "cross_entropy",
            {"name": "softmax_cross_entropy", "logits": of},
            metrics,
            {
                "name": "classification",
                "scores": self._prediction("probability"),
                "classes": self._prediction("class"),
            },
        )

    def _binary(self) -> dict[str, dict[str, Any]]:
        probability, chosen = (self._prediction(n) for n in ("probability", "class"))
        names = ("precision", "recall", "accuracy")
        if self.labels.joined:
            names = ("precision", "recall", "f1", "accuracy")
        outputs: dict[str, Any] = {
            "name": "predict",
            "outputs": {"probability": probability, "class": chosen},
        }
        if self.labels.joined:
            outputs = {
                "name": "classification",
                "scores": probability,
                "classes": chosen,
                "class_names": list(self.labels.columns),
            }
        return self._joined(
            {
                "probability": ("sigmoid", self.outputs),
                "class": ("threshold", probability),
            },
            "cross_entropy",
            {"name": "sigmoid_cross_entropy", "logits": self.outputs},
            {
                "auc": {"name": "auc", "scores": probability},
                **{name: {"name": name, "predictions": chosen} for name in names},
            },
            outputs,
        )

    def _regression(self) -> dict[str, dict[str, Any]]:
        sections = self._numbers(
            {"value": {"name": "rescale", "of": self.outputs, "labels": self.path}},
            self.config.loss,
            {"name": self.config.loss, "predictions": self.outputs},
        )
        target = f"targets.{self.prefix}value"
        sections["loss"][f"{self.prefix}{self.config.loss}"]["labels"] = target
        return sections

    def _poisson(self) -> dict[str, dict[str, Any]]:
        return self._numbers(
            {"value": {"name": "exp", "of": self.outputs}},
            "poisson",
            {"name": "poisson", "logits": self.outputs, "full": True},
        )

    def _numbers(
        self, predictions: Mapping[str, Any], name: str, loss: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        value = self._prediction("value")
        sections = self._joined(
            {},
            name,
            loss,
            {name: {"name": name, "predictions": value} for name in _OF_NUMBERS},
            {"name": "regression", "value": value},
        )
        prefixed = {f"{self.prefix}{name}": each for name, each in predictions.items()}
        return sections | {"predictions": prefixed}

    def _joined(
        self,
        predictions: Mapping[str, tuple[str, str]],
        loss_name: str,
        loss: Mapping[str, Any],
        metrics: Mapping[str, Mapping[str, Any]],
        export: Mapping[str, Any],
    ) -> dict[str, dict[str, Any]]:
        """The sections with labels, weights and names."""
        weights = self.labels.weights_path
        common = {"labels": self.path}
        weighted = {} if weights is None else {"weights": weights}
        of_loss: dict[str, Any] = {**loss, **common, "weight": self.config.weight}
        if weights is not None:
            of_loss["example_weights"] = weights
        if self.config.class_weights is not None:
            of_loss["class_weights"] = _class_weights(self.config, self.label)
        return {
            "predictions": {
                f"{self.prefix}{name}": {"name": kind, "of": of}
                for name, (kind, of) in predictions.items()
            },
            "loss": {f"{self.prefix}{loss_name}": of_loss},
            "eval_metrics": {
                f"{self.prefix}{name}": {**metric, **common, **weighted}
                for name, metric in metrics.items()
            },
            "export_outputs": {"serving_default": dict(export)},
        }

    def _prediction(self, name: str) -> str:
        return f"predictions.{self.prefix}{name}"


def possible_metrics(spec: TableSpecConfig, labels: Sequence[str]) -> list[str]:
    """Names of the metrics that `spec=table` may have, before labels are read.

    Args:
        spec: with declared heads and further metrics.
        labels: columns of labels; empty: they are not known.

    >>> possible_metrics(TableSpecConfig(heads={"y": {"name": "poisson"}}), ["y"])
    ['mae', 'r2', 'rmse']
    """
    names = set(spec.eval_metrics)
    for label in labels or [""]:
        of_head = _METRICS[_declared(spec, label).name]
        # Several columns are one head if they are 0 and 1.
        prefixes = ["", f"{_slug(label, labels)}_"] if len(labels) > 1 else [""]
        names.update(f"{prefix}{name}" for prefix in prefixes for name in of_head)
    return sorted(names)


def _declared(spec: TableSpecConfig, name: str) -> HeadConfig:
    return spec.heads[name] if name in spec.heads else HeadConfig()


def _kind(label: Label) -> str:
    return "classification" if label.is_class else "regression"


def _slug(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """Name of a column as a name in the spec, unlike those of the others."""
    slugs: dict[str, str] = {}
    for each in names:
        slug = re.sub(r"[^A-Za-z0-9_]", "_", each)
        slug = slug if re.match(r"[A-Za-z_]", slug) else f"_{slug}"
        while slug in slugs.values():
            slug += "_"
        slugs[each] = slug
    return slugs[name]


def _class_weights(config: HeadConfig, label: Label) -> list[float]:
    """Weight of each class, as scikit-learn's `compute_class_weight`."""
    if config.class_weights == "balanced":
        present = sum(count > 0 for count in label.counts)
        rows = sum(label.counts)
        return [rows / (present * count) if count else 0.0 for count in label.counts]
    given = config.class_weights or {}
    assert isinstance(given, Mapping)
    return [given.get(name, 1.0) for name in label.classes]


def _diagnostics(spec: TableSpecConfig, labels: TableLabels) -> Iterator[Diagnostic]:
    """Heads that do not suit their columns, and columns whose head is not clear."""
    for name in spec.heads:
        if name not in labels.columns:
            yield Diagnostic(
                f"spec.heads.{name}",
                "names no column of labels",
                expected=f"one of {', '.join(labels.columns)}",
                hint=did_you_mean(nearest(name, labels.columns)),
                code="table-head",
            )
    if labels.joined and spec.heads:
        yield Diagnostic(
            "spec.heads",
            "is declared, and the columns of labels are one array",
            expected="no heads, or columns of labels by name",
            hint="Heads for each column: data.joined_labels=false.",
            code="table-head",
        )
    for name, label in labels.columns.items():
        head = _declared(spec, name)
        where = f"spec.heads.{name}"
        kind = head.name or _kind(label)
        if head.name is None and label.kind == "integer" and not label.is_class:
            if label.classes:
                yield _unclear(name, label)
                continue
        if kind == "classification" and not label.is_class:
            yield Diagnostic(
                where,
                f"is classification, and column {name} has numbers",
                expected="texts, booleans, or the integers from 0 up",
                hint=f"Take its values as classes: data.columns.{name}=category.",
                code="table-head",
            )
        elif kind != "classification" and label.kind == "class":
            listed = ", ".join(label.classes[:5])
            yield Diagnostic(
                where,
                f"is {kind}, and column {name} has classes: {listed}",
                expected="numbers",
                hint=f"If they are numbers: data.columns.{name}=number.",
                code="table-head",
            )
        elif head.class_weights is not None and kind != "classification":
            yield Diagnostic(
                f"{where}.class_weights",
                f"are given, and the head is {kind}",
                expected="null: numbers have no classes",
                hint="Weights of rows: data.weights=<column>.",
                code="table-head",
            )
        elif isinstance(head.class_weights, Mapping):
            for unknown in head.class_weights.keys() - set(label.classes):
                yield Diagnostic(
                    f"{where}.class_weights.{unknown}",
                    "names no class",
                    expected=f"one of {', '.join(label.classes)}",
                    hint=did_you_mean(nearest(unknown, label.classes)),
                    code="table-head",
                )


def _unclear(name: str, label: Label) -> Diagnostic:
    listed = ", ".join(label.classes)
    return Diagnostic(
        f"column {name}",
        f"has {len(label.classes)} different integers ({listed}), which may be classes "
        "or numbers",
        expected="a declared kind",
        hint=f"Classes: data.columns.{name}=category. Numbers: "
        f"spec.heads.{name}.name=regression. Counts: spec.heads.{name}.name=poisson.",
        code="table-head",
    )
