"""Exporters: which of the evaluated states are exported, and how many are kept."""

import dataclasses
import inspect
import json
import math
import numbers
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
"""Names that exports have; a clean-up touches nothing else."""


class Exporter:
    """Exports a state after some evaluations.

    Args:
        name: of the folder `<model_dir>/export/<name>`.
        exports_to_keep: newest exports kept; None keeps all.
        **export: handed to `estimator.export`: `input_fn` or `features`, and the like.

    Raises:
        ConfigError: the name is empty or no text, `exports_to_keep` not positive, or
            a function none (also a TypeError).
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
        estimator: Any,
        directory: str | Path,
        metrics: Mapping[str, Any],
        *,
        is_final: bool,
    ) -> Path | None:
        """Exports, if this exporter wants this state.

        Args:
            estimator: holds the state that was evaluated.
            directory: where this exporter's exports lie.
            metrics: what the evaluation found.
            is_final: whether training is over.

        Returns:
            The new export, or None.
        """
        folder = expanded(directory, "directory")
        if not collectives.on_process_zero(
            lambda: self.wants(folder, metrics, is_final=is_final)
        ):
            return None
        made = estimator.export(folder, **self._export)
        collectives.on_process_zero(lambda: self.keep(folder, metrics))
        return made

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        """Whether a state with these metrics is to be exported."""
        raise NotImplementedError

    def keep(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        """After an export: removes the oldest ones that are too many."""
        if self._keep is None:
            return
        for old in _exports(directory)[: -self._keep]:
            with reported(old):
                shutil.rmtree(old)


class LatestExporter(Exporter):
    """Exports after every evaluation, and keeps the newest five."""

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        return True


class FinalExporter(Exporter):
    """Exports once, when training is over."""

    def __init__(self, name: str, **export: Any):
        super().__init__(name, exports_to_keep=None, **export)

    def wants(
        self, directory: Path, metrics: Mapping[str, Any], *, is_final: bool
    ) -> bool:
        return is_final


@dataclasses.dataclass(frozen=True, slots=True)
class ByMetric:
    """Whether the current result is strictly better by one metric; NaN is worst.

    Where the best result lacks the metric, because it was not measured then, there is
    nothing to hold the current one against, and it is better.

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
            there = sorted(set(current_eval_result) - {"global_step"})
            raise ConfigError(
                Diagnostic(
                    "compare_fn",
                    f"the current result has no '{self.metric}'",
                    expected=f"one of {', '.join(there)}, or a compare_fn for them",
                    hint=did_you_mean(nearest(self.metric, there)),
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
    """Exports what is better than everything exported before, also by earlier runs.

    What was best is remembered in `best.json` beside the exports. (The reference forgot
    it at a restart, and exported a worse model over a better one.)

    Args:
        name: of the folder `<model_dir>/export/<name>`.
        compare_fn: `(best_eval_result, current_eval_result) -> bool`, by these names:
            whether the current one is better; by default by a lower `loss`.
        exports_to_keep: newest exports kept; None keeps all.
        **export: handed to `estimator.export`.

    Raises:
        ConfigError: `compare_fn` is no function of these two.
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
        # NaN is written as JSON's readers in Python know it; nobody else reads this.
        write_text(directory / "best.json", json.dumps(numbers))
        super().keep(directory, metrics)

    def _best(self, directory: Path) -> dict[str, float] | None:
        path = directory / "best.json"
        return (
            json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else None
        )


class Made(NamedTuple):
    """An export that was made, as it lies there."""

    path: Path
    step: int
    """Training steps of its weights."""
    note: str
    """What there is to know about it; may be empty."""

    def to_json(self, base: Path) -> dict[str, Any]:
        """Plain values; the path from a directory on."""
        return {"step": self.step, "path": str(self.path.relative_to(base))}


def newest_export(directory: str | Path) -> Made | None:
    """The newest of the exports that lie side by side."""
    from specflow.serving.load_export import MANIFEST  # Few runs export.

    for path in reversed(_exports(expanded(directory))):
        try:
            about = json.loads((path / MANIFEST).read_text(encoding="utf-8-sig"))
            return Made(path, int(about["step"]), str(about["note"]))
        except (OSError, ValueError, KeyError):
            continue  # Somebody else's, or damaged: not what was exported here.
    return None


def _is_positive(value: Any) -> bool:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) > 0


def _exports(directory: Path) -> list[Path]:
    """Exports, the oldest first."""
    if not directory.is_dir():
        return []
    return sorted(
        path
        for path in directory.iterdir()
        if _EXPORT_NAME.fullmatch(path.name) and path.is_dir()
    )
