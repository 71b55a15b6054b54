"""Whole messages of errors in the user's own code, for each place that calls it.

`their_code.py` is what a user writes; each part of it fails in turn. What is right of a
traceback is Python's own, from the user's first line on.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import specflow
from specflow.cli.main import main
from specflow.compose.section_types import ROOT, Slot
from specflow.config.base import TARGET, Target

CODE = Path(__file__).with_name("their_code.py")
BASE = (
    "trust=their_code", "model={_target_: their_code.Net}",
    "data={_target_: their_code.data}", "optimizer={name: sgd}", "mesh=single",
    "loop.train_steps=2", "loop.batch_size=8", "loop.eval_batch_size=8",
    "loop.log_every=1", "output.dir=run", "output.reporters=[]",
)  # fmt: skip
MODEL_FN = "spec={model_fn: their_code.model_fn}"
PREDICTIONS = "spec.predictions={class: {_target_: their_code.prediction, of: outputs}}"
LOSS = "spec.loss={ce: {_target_: their_code.loss, logits: outputs, labels: labels}}"
METRIC = "spec.eval_metrics={m: {_target_: their_code.Metric, of: predictions.class}}"
EXPORT = (
    "spec.export_outputs={serving_default: {_target_: their_code.export_output, "
    "of: outputs}}"
)
OPTIMIZER = "optimizer={_target_: their_code.optimizer}"
SCHEDULE = "optimizer.schedule={_target_: their_code.schedule}"
MIXTURE = "data={name: mixture, parts: {mine: {_target_: their_code.part_of_data}}}"
EXPORTER = "output.exporters={mine: {_target_: their_code.LastExporter}}"


@dataclasses.dataclass(frozen=True)
class Row:
    """A part of the user's code that fails, and a command that calls it."""

    part: str
    slot: str
    """Key of the section that names the code; a `*` is any name."""
    overrides: tuple[str, ...] = ()
    command: str = "train"


ROWS = [
    Row("model.__init__", "model"),
    Row("model.__call__", "model"),
    Row("model.__call__ (ValueError)", "model"),
    Row("model.__call__ (TypeError)", "model"),
    Row("model.__call__ (shape)", "model"),
    Row("model.setup", "model", ("model={_target_: their_code.Linen}",)),
    Row("model.__call__ (Linen)", "model", ("model={_target_: their_code.Linen}",)),
    Row("model_fn (train)", "spec", (MODEL_FN,)),
    Row("model_fn (eval)", "spec", (MODEL_FN,)),
    Row("model_fn (infer)", "spec", (MODEL_FN,), "predict"),
    Row("metric_fn", "spec", (MODEL_FN,)),
    Row("host_call", "spec", (MODEL_FN,)),
    Row("data", "data"),
    Row("part of data", "data.parts.*", (MIXTURE,)),
    Row("prediction", "spec.predictions.*", (PREDICTIONS,)),
    Row("loss", "spec.loss.*", (LOSS,)),
    Row("metric.from_batch", "spec.eval_metrics.*", (METRIC,)),
    Row("metric.merge", "spec.eval_metrics.*", (METRIC,)),
    Row("metric.compute", "spec.eval_metrics.*", (METRIC,)),
    Row("export output", "spec.export_outputs.*", (EXPORT,), "export"),
    Row("optimizer", "optimizer", (OPTIMIZER,)),
    Row("optimizer.init", "optimizer", (OPTIMIZER,)),
    Row("optimizer.update", "optimizer", (OPTIMIZER,)),
    Row("schedule", "optimizer.schedule", (SCHEDULE,)),
    Row("schedule(step)", "optimizer.schedule", (SCHEDULE,)),
    Row("exporter", "output.exporters.*", (EXPORTER,)),
    Row("exporter.export", "output.exporters.*", (EXPORTER,)),
]
STOPPING = ("loop.early_stopping={name: theirs}", "loop.eval_every=1")
PLUGINS = {
    "models": Row("model.__init__", "Net", ("model={name: theirs}",)),
    "data": Row("data", "data", ("data={name: theirs}",)),
    "predictions": Row(
        "prediction", "prediction", ("spec.predictions={class: {name: theirs}}",)
    ),
    "losses": Row("loss", "loss", ("spec.loss={ce: {name: theirs}}",)),
    "metrics": Row(
        "metric.from_batch", "Metric", ("spec.eval_metrics={m: {name: theirs}}",)
    ),
    "optimizers": Row("optimizer", "optimizer", ("optimizer={name: theirs}",)),
    "schedules": Row("schedule", "schedule", ("optimizer.schedule={name: theirs}",)),
    "reporters": Row("reporter", "Reporter", ("output.reporters=[theirs]",)),
    "reporters (write)": Row(
        "reporter.write", "Reporter", ("output.reporters=[theirs]",)
    ),
    "reporters (close)": Row(
        "reporter.close", "Reporter", ("output.reporters=[theirs]",)
    ),
    "exporters": Row(
        "exporter", "LastExporter", ("output.exporters={mine: {name: theirs}}",)
    ),
    "early_stopping": Row("early stopping", "Rule", STOPPING),
    "early_stopping (reason)": Row("early stopping.reason", "Rule", STOPPING),
}


def write(folder, fails=""):
    text = CODE.read_text().replace('FAILS = ""', f"FAILS = {fails!r}")
    (folder / "their_code.py").write_text(text)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def experiment(overrides):
    """The base without the overridden section, since a `_target_` is not merged."""
    keys = {line.partition("=")[0] for line in overrides}
    return [line for line in BASE if line.partition("=")[0] not in keys] + [*overrides]


def message(capsys, folder, words):
    """Output of a command from the traceback on, without the folder's name."""
    capsys.readouterr()
    status = main([*words])
    said = capsys.readouterr().err.replace(str(folder), ".")
    found = re.search(r"^(Traceback|  File|error)", said, re.MULTILINE)
    assert found, said
    return f"{said[found.start() :]}status {status}\n"


def no_frames_of_others(text):
    frames = re.findall(r'^  File "(.*)", line', text, re.MULTILINE)
    return frames and all(frame.startswith("./") for frame in frames)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.part)
def test_a_target_that_fails(folder, capsys, golden, row):
    words = experiment(row.overrides)
    if row.command != "train":
        write(folder)
        assert main(["train", *words]) == 0
        forget()
        words = ["run=run", "trust=their_code"]
        words += ["--output", "rows.csv"] if row.command == "predict" else []
    write(folder, row.part)
    text = message(capsys, folder, [row.command, *words])
    assert no_frames_of_others(text)
    name = re.sub(r"\W+", "_", row.part).strip("_")
    golden(f"user_code/{name}.txt", text)


def slots() -> Iterator[str]:
    """Keys that may have a `_target_`, one for each kind of section."""
    waiting, seen = [(ROOT, "")], set()
    while waiting:
        slot, path = waiting.pop(0)
        if TARGET in slot.members() and id(slot.kinds) not in seen:
            yield path
        sections = {slot.section(None), *slot.members().values()} - {None, Target}
        for section in {*sections} - seen:
            for name, field in section.model_fields.items():
                waiting.append((Slot.of_field(field), f"{path}.{name}".strip(".")))
        seen |= {id(slot.kinds), *sections}
        if slot.is_mapping and (inner := slot.child("*", {})):
            waiting.append((inner, f"{path}.*"))


def test_every_key_of_a_target_has_a_row():
    assert {*slots()} == {row.slot for row in ROWS} - {"spec"}


@pytest.mark.parametrize("group", PLUGINS)
def test_a_plugin_that_fails(folder, capsys, golden, package, group):
    row = PLUGINS[group]
    kind = group.partition(" ")[0]
    code = CODE.read_text().replace('FAILS = ""', f"FAILS = {row.part!r}")
    package("their-plugin", code, **{kind: f"theirs = their_plugin:{row.slot}"})
    write(folder)
    text = message(capsys, folder, ["train", *experiment(row.overrides)])
    assert no_frames_of_others(text)
    name = re.sub(r"\W+", "_", group).strip("_")
    golden(f"user_code/plugin_{name}.txt", text)


def test_every_group_of_plugins_has_a_row():
    sources = Path(specflow.__file__).parent.rglob("*.py")
    found = {
        name
        for file in sources
        for name in re.findall(r'group="specflow\.(\w+)"', file.read_text())
    }
    assert found == {group.partition(" ")[0] for group in PLUGINS}


BROKEN = {
    "raises": 'import json\n\nWIDTH = int("four")\n',
    "has_no_syntax": "def net(:\n    pass\n",
    "lacks_a_package": "import json\n\nimport no_such_package\n",
    "imports_what_has_no_syntax": "from their_helper import width\n",
    "exits": "import sys\n\nsys.exit(3)\n",
}
NAMED = {
    "model": ("model={_target_: their_broken.Net}",),
    "model_fn": ("spec={model_fn: their_broken.model_fn}",),
    "two": ("model={_target_: their_broken.Net}",
            "spec.loss={ce: {_target_: their_broken.loss}}"),
}  # fmt: skip


@pytest.mark.parametrize("diagnostic", BROKEN)
@pytest.mark.parametrize("named", [*NAMED, "plugin"])
def test_a_module_that_cannot_be_imported(
    folder, capsys, golden, package, diagnostic, named
):
    write(folder)
    (folder / "their_helper.py").write_text("width = = 3\n")
    if named == "plugin":
        package("their-broken", BROKEN[diagnostic], models="theirs = their_broken:Net")
        overrides = ("model={name: theirs}",)
    else:
        (folder / "their_broken.py").write_text(BROKEN[diagnostic])
        overrides = ("trust=[their_broken,their_code]", *NAMED[named])
    text = message(capsys, folder, ["check", *experiment(overrides)])
    assert no_frames_of_others(text)
    golden(f"user_code/import_{named}_{diagnostic}.txt", text)


def test_a_model_that_fails_in_the_pre_flight(folder, capfd, golden):
    write(folder, "model.__call__ (shape)")
    words = ["check", "--topology", "v5e:2x2", "--no-compile", *BASE]
    text = message(capfd, folder, words)
    assert no_frames_of_others(text)
    golden("user_code/preflight.txt", text)


def test_with_json_the_traceback_is_on_standard_error(folder, capsys):
    (folder / "their_broken.py").write_text(BROKEN["raises"])
    words = ["trust=their_broken", *NAMED["model"], "--format", "json"]
    assert main(["check", *words]) == 2
    said = capsys.readouterr()
    (diagnostic,) = json.loads(said.out)["diagnostics"]
    assert diagnostic["code"] == "target-import"
    assert f'File "{folder}/their_broken.py", line 3' in said.err
