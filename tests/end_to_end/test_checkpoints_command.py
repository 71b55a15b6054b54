"""`specflow checkpoints`: what there is, what keeps it, and names for it."""

import datetime
import json
import subprocess
import sys

import jax.numpy as jnp
import pytest

from specflow.cli.main import main
from specflow.config.sections.output import BestConfig
from specflow.output import Checkpointer
from tests.end_to_end.conftest import ROOT

STATE = {"params": {"x": jnp.arange(1024.0)}}
LOSSES = {10: 0.9, 20: 0.25, 30: 0.5, 40: 0.75}


@pytest.fixture
def run(tmp_path):
    """A directory of a run as an estimator leaves it: steps 20 and 40 are left."""
    best = BestConfig(metric="loss")
    with Checkpointer(tmp_path / "run/checkpoints", keep=1, best=best) as saves:
        for step, loss in LOSSES.items():
            metrics = {"accuracy": 1 - loss, "loss": loss, "rows": [1, 2]}
            saves.save(step, STATE, metrics=metrics)
    return tmp_path / "run"


def listed(capsys, *arguments):
    """Status, and the entries of the JSON document by name."""
    status = main(["checkpoints", *map(str, arguments), "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    return status, {entry["name"]: entry for entry in document["checkpoints"]}


def files_below(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_the_list_has_size_metrics_verdict_and_reasons(run, capsys):
    status, entries = listed(capsys, f"run={run}")
    assert status == 0
    assert list(entries) == ["20", "40"]
    now = datetime.datetime.now(datetime.UTC)
    age = now - datetime.datetime.fromisoformat(entries["20"].pop("saved"))
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
    assert entries["20"] == {
        "name": "20",
        "step": 20,
        "rows": None,
        "size": files_below(run / "checkpoints/20"),
        "verdict": "complete",
        "damage": "",
        "metrics": {"accuracy": 0.75, "loss": 0.25, "rows": [1, 2]},
        "kept_by": ["best loss"],
        "tags": [],
    }
    assert entries["40"]["kept_by"] == ["latest", "newest 1"]


def test_the_table_has_scalar_metrics_the_ranking_one_first(run, capsys):
    assert main(["checkpoints", str(run)]) == 0  # A path alone, too.
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == "step rows saved size loss accuracy verdict kept by".split()
    assert rows[0].startswith("  20  ")
    assert rows[0].endswith("0.25      0.75  complete  best loss")
    assert rows[1].endswith("0.75      0.25  complete  latest, newest 1")


def test_tags_are_set_moved_and_removed(run, capsys):
    _, entries = listed(capsys, run, "--step", "best", "--tag", "release")
    assert entries["20"]["kept_by"] == ["tag release", "best loss"]
    assert main(["checkpoints", str(run), "--tag", "release"]) == 2
    assert capsys.readouterr().err == (
        "error[checkpoint-tag] tag: 'release' is the checkpoint of step 20. --move "
        "moves it to step 40; in Python, move=True.\n"
    )
    _, entries = listed(capsys, run, "--tag", "release", "--move")
    assert [entries[step]["tags"] for step in ("20", "40")] == [[], ["release"]]
    _, entries = listed(capsys, run, "--untag", "release")
    assert entries["40"]["tags"] == []


def test_superseded_and_unfinished_checkpoints_are_listed(run, capsys):
    (run / "checkpoints/50.partial").mkdir()
    with Checkpointer(run / "checkpoints", keep=1) as saves:
        (run / "checkpoints/30").mkdir()  # Of another process, damaged.
        assert saves.steps() == [20, 30, 40]
    superseded = run / "checkpoints/superseded"
    superseded.mkdir()
    (run / "checkpoints/40").rename(superseded / "40-1")
    _, entries = listed(capsys, run)
    verdicts = {name: entry["verdict"] for name, entry in entries.items()}
    assert verdicts == {
        "20": "complete",
        "30": "damaged",
        "50.partial": "partial",
        "superseded/40-1": "superseded",
    }
    # Training resumes from 20; the next save removes what no rule keeps.
    assert entries["20"]["kept_by"] == ["latest", "best loss"]
    assert [entries["50.partial"][key] for key in ("step", "kept_by")] == [None, []]


def test_verify_finds_a_changed_byte_that_the_list_does_not_read(run, capsys):
    (file,) = (run / "checkpoints/20").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    status, entries = listed(capsys, run)
    assert (status, entries["20"]["verdict"]) == (0, "complete")
    assert main(["checkpoints", str(run), "--verify"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"error[checkpoint-damaged] {run}/checkpoints/20: the checkpoint of step 20 is "
        "damaged: params/x"
    )


@pytest.mark.parametrize("cut", [3, 500])
def test_a_file_that_was_cut_is_damage_without_reading_it(run, capsys, cut):
    (file,) = (run / "checkpoints/20").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-cut])
    status, entries = listed(capsys, run)
    assert (status, entries["20"]["verdict"]) == (0, "damaged")
    assert entries["20"]["damage"] == (
        f"{file.name}: its size has changed since it was written"
    )
    assert entries["20"]["kept_by"] == ["best loss"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "error[usage] run: is missing (command line). Expected run=DIR, a run "
            "directory or the model_dir of an estimator.",
        ),
        (
            ("{run}", "seed=1"),
            "error[usage] seed=1: is no override of this command (command line). "
            "Expected run=DIR, a run directory or the model_dir of an estimator.",
        ),
        (
            ("{run}", "--move"),
            "error[usage] --move: is given without --tag (command line). Expected "
            "--tag NAME, the name to set.",
        ),
        (
            ("{run}", "--step", "30", "--tag", "x"),
            "error[checkpoint-missing] {run}/checkpoints: no checkpoint of step 30; "
            "there are 20, 40.",
        ),
        (
            ("run={run}", "--untag", "x"),
            "error[checkpoint-missing] {run}/checkpoints: no checkpoint has the tag "
            "'x'. Expected a step, best, latest or a tag. There are no tags. Steps: "
            "20, 40.",
        ),
    ],
)
def test_mistakes_are_named(run, capsys, arguments, message):
    arguments = [argument.format(run=run) for argument in arguments]
    assert main(["checkpoints", *arguments]) == 2
    assert capsys.readouterr().err.strip() == message.format(run=run)


def test_the_list_loads_no_jax(run):
    code = (
        "import sys; from specflow.cli.main import main\n"
        f"assert main(['checkpoints', {str(run)!r}, '--verify']) == 0\n"
        f"assert main(['checkpoints', {str(run)!r}, '--tag', 'a']) == 0\n"
        "assert not {'jax', 'flax', 'optax'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
