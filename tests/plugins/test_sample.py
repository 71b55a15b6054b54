"""The sample package through every command, in processes of its own."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(scope="session")
def trained(run, tmp_path_factory):
    """Directory with a finished run whose components are the sample's."""
    cwd = tmp_path_factory.mktemp("plugins")
    done = run("train", "experiment=stripes", "output.dir=run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


def test_an_experiment_of_plugins_trains_and_reports(trained):
    result = json.loads((trained / "run/result.json").read_text())
    # The two orientations are easy to separate.
    assert result["eval"]["near"] == result["eval"]["accuracy"] > 0.9
    rows = (trained / "run/table.txt").read_text().splitlines()
    assert [row.split()[0] for row in rows] == ["20", "40"]
    assert float(rows[-1].split()[1]) == pytest.approx(result["eval"]["loss"], abs=1e-4)


def test_the_manifest_records_packages_and_versions(trained):
    manifest = json.loads((trained / "run/manifest.json").read_text())
    assert manifest["packages"]["specflow-sample"] == "1.2.0"
    assert set(manifest["plugins"].values()) == {"specflow-sample"}
    assert set(manifest["plugins"]) == {
        "model",
        "data",
        "spec.predictions.margin",
        "spec.loss.cross_entropy",
        "spec.eval_metrics.near",
        "optimizer",
        "optimizer.schedule",
        "output.reporters.0",
    }


def test_every_command_runs_on_a_run_of_plugins(trained, run):
    commands = {
        "train": ["train", "run=run"],
        "evaluate": ["evaluate", "run=run"],
        "predict": ["predict", "run=run"],
        "export": ["export", "run=run"],
        "check": ["check", "run=run"],
        "gone": ["show", "run=run"],
    }
    with ThreadPoolExecutor(2) as pool:
        running = {
            name: pool.submit(run, *words, cwd=trained, installed=name != "gone")
            for name, words in commands.items()
        }
    done = {name: one.result() for name, one in running.items()}
    gone = done.pop("gone")
    assert {name: one.stderr for name, one in done.items() if one.returncode} == {}
    assert "note: the same program as run (train " in done["train"].stderr
    first, second = (
        (trained / name / "metrics.jsonl").read_text() for name in ("run", "run_2")
    )
    assert first == second
    assert "near      1" in done["evaluate"].stdout
    assert "margin" in json.loads(done["predict"].stdout.splitlines()[0])
    assert "train    f32[]  signed " in done["check"].stdout
    # Without the package: one error for each component it declared.
    assert gone.returncode == 2
    lines = gone.stderr.splitlines()
    assert len(lines) == 8
    assert lines[0] == (
        "error[plugin-missing] model.name: got 'tiny_resnet', which came with "
        "specflow-sample 1.2.0 (run/config.yaml:5:3). Expected that package to be "
        "installed. Install it if you trust it."
    )
    assert all(line.startswith("error[plugin-missing] ") for line in lines)


NETS = "specflow_sample.nets"
LOADED = """
import sys
from specflow.cli.main import main
status = main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("words", "status", "kept_out"),
    [
        # A schema in a light module keeps start-up light.
        (["show", "model=tiny_resnet", "model.width=4"], 0, {"jax", NETS}),
        (["show", "output.reporters=[table]"], 0, {"jax", "specflow_sample.reporters"}),
        # Near matches and lists need names only: no package is imported.
        (["show", "model.name=tiny_resnt", "mesh=x"], 2, {"jax", NETS}),
        (["completion", "bash", "--line", "specflow show model=t"], 0, {"pydantic"}),
        # Without plugins, entry points are not read.
        (["show", "experiment=digits", "seed=3"], 0, {"importlib.metadata"}),
        (["show", "experiment=digits", "optimizer.lrr=3"], 2, {"importlib.metadata"}),
        (["explain", "loop.batch_size"], 0, {"importlib.metadata"}),
    ],
)  # fmt: skip
def test_commands_import_only_what_they_need(words, status, kept_out, run, tmp_path):
    done = run(*words, cwd=tmp_path, code=LOADED)
    assert done.returncode == status, done.stderr
    assert kept_out & set(done.stderr.splitlines()[-1].split()) == set()
