"""`specflow check`: traces every mode; allocates and trains nothing."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specflow.columns import FittedColumns
from specflow.commands.placement_table import ParameterTable
from specflow.commands.run_data import data_to_train
from specflow.commands.settings_warnings import (
    resolved_experiment,
    settings_warnings,
)
from specflow.config.experiment import ExperimentConfig
from specflow.contract import Mode, TPUEstimatorSpec
from specflow.data import Data
from specflow.diagnostics.errors import Diagnostic
from specflow.diagnostics.rendering import line, to_plain
from specflow.estimator import Estimator
from specflow.executor import fingerprint as combined
from specflow.executor import to_tree
from specflow.exploration.mixture_parts import mixture_json, mixture_rows
from specflow.output import Checkpointer
from specflow.output.checkpoint.disk_space import bytes_of
from specflow.runtime.filesystem import expanded
from specflow.runtime.formatting import columns, short
from specflow.runtime.typing import leaves

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["check"]


def check(composed: "Composed", *, fingerprint: bool = False) -> dict[str, Any]:
    """Prints the spec of each mode and the placement of each parameter.

    Args:
        composed: the experiment.
        fingerprint: print hashes of the lowered programs instead.

    Returns:
        The same as plain values.

    Raises:
        SpecflowError: the experiment is wrong in a way that training would report.
    """
    config = composed.config
    data = data_to_train(composed)
    estimator = Estimator.from_config(config, data=data)
    config = resolved_experiment(estimator)
    estimator.check_labels()
    if fingerprint:
        steps = config.loop.steps
        programs = estimator.fingerprints(data.train, data.eval, max_steps=steps)
        programs["all"] = combined(programs)
        print(columns(list(programs.items())))
        return {"fingerprints": programs}
    if data.columns is not None and (data.columns.columns or data.columns.labels):
        print(columns(_column_rows(data.columns)))
        print()
    optimizer = getattr(config.optimizer, "name", None) or config.optimizer.path
    if mixture := mixture_rows(data):
        print(columns(mixture, right=range(1, 4)))
        print()
    modes = mode_rows(estimator, data, optimizer=optimizer)
    print(columns(modes))
    print()
    table = ParameterTable.of(estimator, data)
    print(table)
    warnings = [
        *settings_warnings(composed, data, estimator),
        *estimator.program.warnings(),
    ]
    warm_plan = estimator.warm_plan(data.train)
    if warm_plan is not None:
        print(f"\n{warm_plan}")
        warnings += warm_plan.warnings
    warnings += _disk_warnings(estimator, config, data)
    for warning in warnings:
        print(line(warning, kind="warning"), file=sys.stderr)
    return {
        **({} if data.columns is None else {"columns": data.columns.to_json()}),
        **({} if not mixture else {"mixture": mixture_json(data)}),
        "modes": as_dicts(modes),
        **table.to_plain(),
        "warm_start": None if warm_plan is None else warm_plan.to_plain(),
        "warnings": [to_plain(warning) for warning in warnings],
    }


def _column_rows(fitted: FittedColumns) -> list[tuple[str, ...]]:
    """A header, and one row for each column of features and labels of a table."""
    rows = [("column", "kind", "values a row", "fitted to the training split")]
    for name, column in fitted.columns.items():
        kind = column.to_json()["name"]
        rows.append((name, kind, str(column.values_per_row), str(column)))
    for name, label in fitted.labels.items():
        rows.append((name, f"label: {label.kind}", "1", str(label)))
    return rows


def _disk_warnings(
    estimator: Estimator, config: ExperimentConfig, data: Data
) -> list[Diagnostic]:
    """Warns if the disk of `output.dir` has too little room for checkpoints."""
    checkpoint = config.output.checkpoint
    run = expanded(config.output.dir or "runs", "output.dir").absolute()
    checkpointer = Checkpointer(
        run / "checkpoints", keep=checkpoint.keep, best=checkpoint.best
    )
    if (checkpointer.latest_step() or 0) >= config.loop.steps:
        return []
    state = to_tree(estimator.abstract_state(data.train))
    diagnostics = checkpointer.space.diagnostics(bytes_of(state))
    return [diagnostic for diagnostic in diagnostics if diagnostic is not None]


def mode_rows(
    estimator: Estimator, data: Data, *, optimizer: str
) -> list[tuple[str, ...]]:
    """A header, and one row for each mode with the contents of its spec."""
    rows = [("mode", "loss", "train_op", "eval tensors (batch-major)", "export")]
    for mode in Mode:
        source = data.train if mode is Mode.TRAIN else data.eval
        spec = estimator.abstract_spec(mode, source)
        rows.append(
            (
                mode.name.lower(),
                short(spec.loss) if spec.loss is not None else "-",
                optimizer if spec.train_op is not None else "-",
                _eval_tensors(spec),
                _signatures(spec) if mode is Mode.PREDICT else "-",
            )
        )
    return rows


def as_dicts(rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Converts rows below a header to dicts.

    >>> as_dicts([("mode", "loss"), ("train", "f32[]")])
    [{'mode': 'train', 'loss': 'f32[]'}]
    """
    header, *body = rows
    return [dict(zip(header, row, strict=True)) for row in body]


def _eval_tensors(spec: TPUEstimatorSpec) -> str:
    if spec.eval_metrics is None:
        return "-"
    return "  ".join(
        f"{name} {short(tensor)}" for name, tensor in spec.eval_metrics.named()
    )


def _signatures(spec: TPUEstimatorSpec) -> str:
    return "; ".join(
        f"{name}: {', '.join(path for path, _ in leaves(output.tensors()))}"
        for name, output in spec.export_outputs.items()
    )
