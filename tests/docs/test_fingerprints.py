"""`docs/fingerprint.md` lists the keys that change the program, by changing each one.

`pytest -m thorough --update-golden tests/docs/test_fingerprints.py` writes the table.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from specflow.compose import compose
from specflow.compose.read.override_grammar import format_value
from specflow.data import build_data
from specflow.estimator import TPUEstimator
from specflow.runtime.plain_tree import settings

PAGE = Path(__file__).parents[2] / "docs" / "fingerprint.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
MODES = ("train", "eval", "predict")

BASE = (
    "experiment=digits_mlp",
    "model.hidden=[8]",
    "mesh.axes.data=2",
    "loop.iterations_per_loop=4",
)
"""Two devices, so that shardings matter; small, so that the table takes seconds."""

OTHERS = {
    "name": "other",
    "warm_start": "/runs/base",
    "model.inputs": 64,
    "model.hidden": [9],
    "model.activation": "gelu",
    "model.dtype": "bfloat16",
    "spec.predictions.probability.name": "sigmoid",
    "spec.predictions.class.of": "predictions.probability",
    "spec.loss.cross_entropy.example_weights": "labels",
    "spec.loss.cross_entropy.class_weights": [1.0] * 9 + [2.0],
    "spec.eval_metrics.accuracy.weights": "labels",
    "spec.eval_metrics.accuracy.undefined": 0.0,
    "spec.eval_metrics.accuracy.labels": "predictions.class",
    "spec.eval_metrics.accuracy.predictions": "labels",
    "spec.eval_metrics.top3.weights": "labels",
    "spec.eval_metrics.top3.undefined": 0.0,
    "spec.eval_metrics.top3.labels": "predictions.class",
    "spec.eval_metrics.top3.scores": "predictions.probability",
    "spec.export_outputs.serving_default.scores": "outputs",
    "spec.export_outputs.serving_default.classes": None,
    "spec.export_outputs.serving_default.class_names": [str(n) for n in range(10)],
    "spec.train_op.wrt": ["head.**"],
    "spec.train_op.frozen": ["**.bias"],
    "spec.mix": {"mixup": 0.2},
    "optimizer.clip_norm": 1.0,
    "optimizer.clip_value": 1.0,
    "optimizer.ema": {"decay": 0.9},
    "optimizer.schedule.warmup_steps": 101,
    "optimizer.schedule.warmup": 0.3,
    "optimizer.schedule.decay_steps": 700,
    "optimizer.no_decay": [],
    "optimizer.mu_dtype": "bfloat16",
    "mesh.axes.data": 4,
    "mesh.axes.fsdp": 2,
    "mesh.axes.tensor": 2,
    "mesh.axes.sequence": 2,
    "mesh.axes.expert": 2,
    "mesh.slices": 2,
    "mesh.logical": {"mlp": "data"},
    "mesh.rules": [{"path": "**.kernel", "dims": [None, "data"]}],
    "mesh.cpu": "plain",
    "mesh.pretend_devices": 8,
    "mesh.processes": {"coordinator": "localhost:4000", "count": 1},
    "loop.epochs": 3.0,
    "loop.batch_size": 64,
    "loop.eval_batch_size": 128,
    "loop.eval_steps": 1,
    "loop.micro_steps": 2,
    "loop.compute_dtype": "bfloat16",
    "loop.loss_scale": "dynamic",
    "loop.profile": {"start": 3},
    "loop.eval_loss": "batches",
    "loop.early_stopping": {"name": "lower", "metric": "loss", "threshold": 0.1},
    "output.dir": "elsewhere",
    "output.checkpoint.keep_every_steps": 1_000,
    "output.checkpoint.keep_every_hours": 1.0,
    "output.checkpoint.best": {"metric": "accuracy", "order": "highest"},
    "output.checkpoint.params": "bfloat16",
    "output.exporters": {"final": {"name": "final"}},
    "output.reporters": [],
    "output.tags": ["baseline"],
    "output.notes": "as published",
    "output.on_change": "accept",
}
"""Another valid value for each key that has no obvious one."""

KINDS = {
    "model.name": [
        "model=linear",
        "model.outputs=10",
        "~model.hidden",
        "~model.dropout",
    ],
    "data.name": ["data=wine", "spec.inputs.x=features.x"],
    "optimizer.name": ["optimizer=lion"],
    "optimizer.schedule.name": ["optimizer.schedule.name=linear"],
}
"""Keys that choose a section's component; its other fields change with them."""

ALONE = {
    "data.eval_sets",  # Another value names a file.
    "spec.name",
    "spec.inputs.x",
    "spec.outputs",
    "spec.predictions.probability.of",
    "spec.predictions.class.name",
    "spec.loss.cross_entropy.name",
    "spec.loss.cross_entropy.labels",
    "spec.loss.cross_entropy.logits",
    "spec.eval_metrics.accuracy.name",
    "spec.eval_metrics.top3.name",
    "spec.export_outputs.serving_default.name",
}
"""Keys without another valid value, all else being equal."""


NOT_TOGETHER = {
    "loop.epochs",  # In place of steps.
    "optimizer.schedule.warmup",  # In place of its steps.
}
"""Keys that exclude another one; they change alone."""


def _shown() -> str:
    """The table of the page."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


ROWS = {
    key.strip(" `"): (value.strip(" `"), tuple(mark.strip() for mark in marks))
    for _, key, value, *marks, _ in (
        line.split("|") for line in _shown().splitlines()[2:]
    )
}
"""Key -> the value it is changed to, and the marks of the three modes."""
CHANGING = [key for key, (_, marks) in ROWS.items() if "yes" in marks]


@pytest.fixture(scope="module")
def base() -> dict[str, str]:
    return _fingerprints()


def test_the_table_has_a_row_for_every_key_and_the_value_it_is_changed_to():
    values = {key: value for key, (value, _) in ROWS.items()}
    assert values == {key: _value_text(changed) for key, changed in _changes()}


def test_keys_that_change_no_program_change_none_together(base):
    """One program instead of one for each key."""
    together = [
        override
        for key, changed in _changes()
        if key not in CHANGING and key not in NOT_TOGETHER
        for override in changed
    ]
    assert len(together) > len(ROWS) - len(CHANGING) - 3
    assert _fingerprints(*together) == base
    for key in NOT_TOGETHER:
        assert _fingerprints(*dict(_changes())[key]) == base


@pytest.mark.parametrize("key", CHANGING[::3])
def test_a_key_changes_the_programs_that_the_table_says(key, base):
    """Every third; `make thorough` changes each key alone."""
    changed = _fingerprints(*dict(_changes())[key])
    marks = tuple("yes" if changed[mode] != base[mode] else "-" for mode in MODES)
    assert marks == ROWS[key][1]


@pytest.mark.slow
@pytest.mark.thorough
def test_the_table_is_the_result_of_changing_every_key(request):
    rows = "".join(f"{line}\n" for line in _table())
    shown = _shown()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(PAGE.read_text().replace(shown, rows))
        shown = rows
    assert shown == rows


def _table() -> Iterator[str]:
    yield "| key | changed to | train | eval | predict |"
    yield "|---|---|---|---|---|"
    base = _fingerprints()
    for key, changed in _changes():
        fingerprints = _fingerprints(*changed)
        marks = ("yes" if fingerprints[mode] != base[mode] else "-" for mode in MODES)
        yield f"| `{key}` | `{_value_text(changed)}` | {' | '.join(marks)} |"


def _changes() -> Iterator[tuple[str, list[str]]]:
    """Each key with the overrides that change it."""
    for path, value in settings(compose(BASE).tree):
        key = ".".join(path)
        if key in ALONE:
            continue
        changed = KINDS.get(key)
        if changed is None:
            other = OTHERS[key] if key in OTHERS else _another(value)
            changed = [f"{key}={format_value(other)}"]
        yield key, changed


def _value_text(changed: list[str]) -> str:
    return changed[0].partition("=")[2]


def _fingerprints(*overrides: str) -> dict[str, str]:
    config = compose([*BASE, *overrides]).config
    data = build_data(config.data)
    estimator = TPUEstimator.from_config(config, data=data, model_dir="nowhere")
    assert estimator.experiment is not None
    steps = estimator.experiment.loop.steps
    return estimator.fingerprints(data.train, data.eval, max_steps=steps)


def _another(value):
    """Another number or boolean."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else round(value / 2 + 0.05, 4)
