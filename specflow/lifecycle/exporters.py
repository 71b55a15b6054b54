"""Exporters: select evaluated states to export, and limit how many are kept."""

import dataclasses
import inspect
import json
import math
import numbers
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest
from specflow.distributed import collectives
from specflow.output import reported, write_text
from specflow.runtime.callables import check_callables
from specflow.runtime.filesystem import expanded

__all__ = [
    "BestExporter",
    "ByMetric",
    "Exporter",
    "FinalExporter",
    "LatestExporter",
    "Made",
    "newest_export",
]

_EXPORT_NAME = re.compile("[0-9]{10}")
"""Names of exports; retention removes nothing else."""


class CanExport(Protocol):
    """The part of an estimator that exporters use."""

    @property
    def export(self) -> Callable[..., Path]:
        """Exports the newest state, as `Estimator.export`."""
        ...


class Exporter:
    """Exports the state after some evaluations; a subclass selects which.

    Args:
        name: name of the directory `<model_dir>/export/<name>`.
        exports_to_keep: number of newest exports to keep; None: all.
        **export: arguments of `Estimator.export`, such as `input_fn` or `features`.

    Raises:
        ConfigError: the name is empty or not a string, `exports_to_keep` is not
            positive, or (also a TypeError) `input_fn` or `serving_fn` is not a
            function.

    Examples:
        An exporter of states with a loss below 0.1:

        >>> class GoodExporter(Exporter):
        ...     def wants(self, directory, metrics, *, is_final):
        ...         return metrics["loss"] < 0.1
        >>> exporter = GoodExporter("good", exports_to_keep=2)
        >>> exporter.wants(Path(), {"loss": 0.05}, is_final=False)
        True
    """

    def __init__(self, name: str, *, exports_to_keep: int | None = 5, **export: Any):
        diagnostics = []
        if not isinstance(name, str) or not name:
            diagnostics.append(
                Diagnostic(
                    "exporter",
                    f"has the name {name!r}",
                    code="exporter",
                    expected="a text that is not empty",
                )
            )
        if exports_to_keep is not None and not _is_positive(exports_to_keep):
            diagnostics.append(
                Diagnostic(
                    "exports_to_keep",
                    f"got {exports_to_keep!r:.60}",
                    expected="a positive integer, or None for all",
                    code="exporter",
                )
            )
        if diagnostics:
            raise ConfigError(*diagnostics)
        functions = {key: export.get(key) for key in ("input_fn", "serving_fn")}
        check_callables(functions)
        self.name = name
        self._keep = exports_to_keep
        self._export = export

    def export(
        self,
        estimator: CanExport,
        directory: str | Path,
        metrics: Mapping[str, Any],
        *,
        is_final: bool,
    ) -> Path | None:
        """Exports the evaluated state, if this exporter wants it.

        Args:
            estimator: the estimator with the evaluated state.
            directory: parent of the exports of this exporter.
            metrics: metrics of the evaluation.
            is_final: True after the last step of training.

        Returns:
            The new export; None if the state was not wanted.
        """
        folder = expanded(directory, "directory")
        if not collectives.on_process_zero(
            lambda: self.wants(folder, metrics, is_final=is_final)
        ):
            return None
        path = estimator.export(folder, **self._export)
        collectives.on_process_zero(lambda: self.keep(folder, metrics))
        return path

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        """Returns whether to export a state with these metrics."""
        raise NotImplementedError

    def keep(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        """Removes the oldest exports beyond `exports_to_keep`, after an export."""
        if self._keep is None:
            return
        for old in _exports(directory)[: -self._keep]:
            with reported(old):
                shutil.rmtree(old)


class LatestExporter(Exporter):
    """Exports after every evaluation, and keeps the newest five by default.

    Examples:
        >>> exporter = LatestExporter("latest", exports_to_keep=3)
        >>> exporter.wants(Path(), {"loss": 0.5}, is_final=False)
        True
    """

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        return True


class FinalExporter(Exporter):
    """Exports once, after the last step of training.

    Examples:
        >>> exporter = FinalExporter("final")
        >>> [exporter.wants(Path(), {}, is_final=last) for last in (False, True)]
        [False, True]
    """

    def __init__(self, name: str, **export: Any):
        super().__init__(name, exports_to_keep=None, **export)

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        return is_final


@dataclasses.dataclass(frozen=True, slots=True)
class ByMetric:
    """Compares results by one metric: a better one is strictly better; NaN is worst.

    The current result is better than a best result that lacks the metric, since that
    was not measured then.

    >>> ByMetric("auc", "highest")({"auc": 0.5}, {"auc": 0.6})
    True
    >>> ByMetric("loss")({"loss": float("nan")}, {"loss": 9.0})
    True

    Raises:
        ConfigError: the current result lacks the metric.
    """

    metric: str
    order: Literal["lowest", "highest"] = "lowest"

    def __call__(
        self,
        best_eval_result: Mapping[str, Any],
        current_eval_result: Mapping[str, Any],
    ) -> bool:
        if self.metric not in current_eval_result:
            names = sorted(set(current_eval_result) - {"global_step"})
            raise ConfigError(
                Diagnostic(
                    "compare_fn",
                    f"the current result has no '{self.metric}'",
                    expected=f"one of {', '.join(names)}, or a compare_fn for them",
                    hint=did_you_mean(nearest(self.metric, names)),
                    code="exporter",
                )
            )
        if self.metric not in best_eval_result:
            return True
        best = float(best_eval_result[self.metric])
        current = float(current_eval_result[self.metric])
        better = current < best if self.order == "lowest" else current > best
        return better or (math.isnan(best) and not math.isnan(current))


class BestExporter(Exporter):
    """Exports each state that is better than all exported ones, of earlier runs too.

    `best.json` beside the exports stores the best result. (TensorFlow forgot it at a
    restart, and exported a worse model over a better one.)

    Args:
        name: name of the directory `<model_dir>/export/<name>`.
        compare_fn: `(best_eval_result, current_eval_result) -> bool`, by these names:
            returns whether the current result is better; by default by a lower `loss`.
        exports_to_keep: number of newest exports to keep; None: all.
        **export: arguments of `Estimator.export`.

    Raises:
        ConfigError: `compare_fn` is not a function of these two.

    Examples:
        >>> exporter = BestExporter(compare_fn=ByMetric("auc", "highest"))
        >>> exporter.wants(Path("no exports yet"), {"auc": 0.7}, is_final=False)
        True
        >>> best, current = {"auc": 0.7}, {"auc": 0.6}
        >>> exporter.compare(best_eval_result=best, current_eval_result=current)
        False
    """

    def __init__(
        self,
        name: str = "best",
        *,
        compare_fn: Callable[..., bool] = ByMetric("loss"),
        exports_to_keep: int | None = 5,
        **export: Any,
    ):
        super().__init__(name, exports_to_keep=exports_to_keep, **export)
        expected = {"best_eval_result", "current_eval_result"}
        if (
            not callable(compare_fn)
            or set(inspect.signature(compare_fn).parameters) != expected
        ):
            raise ConfigError(
                Diagnostic(
                    "compare_fn",
                    f"got {compare_fn!r:.60}",
                    code="exporter",
                    expected="a function of best_eval_result and "
                    "current_eval_result, by these names",
                )
            )
        self.compare = compare_fn

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        best = self._best(directory)
        return best is None or bool(
            self.compare(best_eval_result=best, current_eval_result=metrics)
        )

    def keep(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        numbers = {
            name: float(value)
            for name, value in metrics.items()
            if getattr(value, "ndim", 0) == 0
        }
        # Python's JSON reads and writes NaN, and only this class reads the file.
        write_text(directory / "best.json", json.dumps(numbers))
        super().keep(directory, metrics)

    def _best(self, directory: Path) -> dict[str, float] | None:
        path = directory / "best.json"
        return (
            json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else None
        )


class Made(NamedTuple):
    """An export on disk."""

    path: Path
    step: int
    """Training steps of its weights."""
    note: str
    """Note of its manifest; may be empty."""

    def to_json(self, base: Path) -> dict[str, Any]:
        """Returns plain values, with the path relative to `base`."""
        return {"step": self.step, "path": str(self.path.relative_to(base))}


def newest_export(directory: str | Path) -> Made | None:
    """Returns the newest export in a directory; None if there is none."""
    from specflow.serving.load_export import MANIFEST  # Few runs export.

    for path in reversed(_exports(expanded(directory))):
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8-sig"))
            return Made(path, int(manifest["step"]), str(manifest["note"]))
        except (OSError, ValueError, KeyError):
            continue  # Damaged, or not an export.
    return None


def _is_positive(value: Any) -> bool:
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and int(value) > 0


def _exports(directory: Path) -> list[Path]:
    """Returns the exports in a directory, the oldest first."""
    if not directory.is_dir():
        return []
    return sorted(
        path
        for path in directory.iterdir()
        if _EXPORT_NAME.fullmatch(path.name) and path.is_dir()
    )
