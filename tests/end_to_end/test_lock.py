"""A run directory is a lock file: it reruns, and reports changes."""

import json
import shutil

import pytest


@pytest.fixture
def run(specflow, finished):
    """A copy of a finished run in another directory."""
    shutil.copytree(finished[0], specflow.cwd / "try1")
    return specflow.cwd / "try1"


def contents(run):
    files = (path for path in run.rglob("*") if path.is_file())
    return {path.relative_to(run): path.read_bytes() for path in files}


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


@pytest.mark.slow
def test_a_rerun_beside_the_run_is_the_same_program_bit_for_bit(
    specflow, here, run, rows_of, digests_of
):
    before = contents(run)
    done = specflow("train", "run=try1")
    assert done.status == 0, done.err
    again = specflow.cwd / "try1_2"
    assert done.out.splitlines()[-1] == "try1_2"
    assert contents(run) == before
    for key in ("fingerprint", "programs", "packages", "mesh"):
        assert manifest(again)[key] == manifest(run)[key]
    same = {"of": "try1", "same_program": True, "same_inputs": True}
    assert manifest(again)["rerun"] == same
    train = manifest(run)["programs"]["train"]
    assert f"note: the same program as try1 (train {train})" in done.err
    assert rows_of(again) == rows_of(run)
    assert digests_of(again, 12) == digests_of(run, 12)

    changed = here("train", "run=try1", "optimizer.lr=1e-4", "output.dir=mine")
    assert changed.status == 0, changed.err
    note = f"note: the same program as try1, with other hyperparameters (train {train})"
    assert note in changed.err
    origins = json.loads((specflow.cwd / "mine" / "origins.json").read_text())
    assert origins["optimizer.lr"] == "override optimizer.lr=1e-4"
    assert origins["loop.train_steps"].startswith("try1/config.yaml:")
    rerun = manifest(specflow.cwd / "mine")["rerun"]
    assert (rerun["same_program"], rerun["same_inputs"]) == (True, False)
    assert rows_of(specflow.cwd / "mine") != rows_of(run)


@pytest.mark.slow
def test_the_fingerprint_equals_that_of_the_run_in_every_process(specflow, run):
    arguments = ("check", "run=try1", "--fingerprint", "--format=json")
    fingerprints = []
    for seed in ("1", "2"):
        done = specflow(*arguments, env={"PYTHONHASHSEED": seed})
        assert done.status == 0, done.err
        fingerprints.append(json.loads(done.out)["fingerprints"])
    assert fingerprints[0] == fingerprints[1]
    assert list(fingerprints[0]) == ["train", "eval", "predict", "all"]
    assert manifest(run)["programs"].items() <= fingerprints[0].items()


def test_a_run_of_an_older_version_reports_its_differences(here, run):
    """One field has been renamed, another one added."""
    config = (run / "config.yaml").read_text()
    old = config.replace("  nesterov: false\n", "").replace(
        "  weight_decay:", "  decay:"
    )
    (run / "config.yaml").write_text(old)
    said = json.loads((run / "manifest.json").read_text())
    said["packages"] |= {"specflow": "0.0.9", "jax": "0.9.0"}
    (run / "manifest.json").write_text(json.dumps(said))
    line = old[: old.index("  decay:")].count("\n") + 1

    done = here("train", "run=try1", "--format=json")
    assert done.status == 2
    version, field = json.loads(done.out)["diagnostics"]
    assert (version["code"], version["key"]) == ("run-version", "run")
    assert version["problem"].startswith("try1 was written by specflow 0.0.9; ")
    assert (field["code"], field["key"]) == ("unknown-key", "optimizer.decay")
    assert field["origin"] == {"file": "try1/config.yaml", "line": line, "column": 3}

    fixed = here("train", "run=try1", "~optimizer.decay", "loop.train_steps=1",
                      "loop.eval_every=0")  # fmt: skip
    assert fixed.status == 0, fixed.err
    notes = [line for line in fixed.err.splitlines() if line.startswith("note: ")]
    assert notes[0].startswith("note: try1 was made with jax 0.9.0 (installed: ")
    assert notes[1].startswith(
        "note: try1 predates these fields, which keep their defaults: "
    )
    assert "optimizer.nesterov=false" in notes[1]
    assert notes[2].startswith("note: another program than try1 (train ")


def test_packages_that_a_run_trusted_are_not_trusted_again(specflow, run):
    """A config in a run directory is data."""
    (specflow.cwd / "home_made.py").write_text("raise SystemExit('it ran')\n")
    config = (run / "config.yaml").read_text()
    head, _, tail = config.partition("\nmodel:\n")
    rest = tail[tail.index("\nspec:") :]
    (run / "config.yaml").write_text(f"{head}\nmodel:\n  _target_: home_made.Net{rest}")
    said = manifest(run)
    said["overrides"] = ["trust=home_made", *said["overrides"]]
    (run / "manifest.json").write_text(json.dumps(said))
    done = specflow("train", "run=try1", "--format", "json")
    assert done.status == 2
    (diagnostic,) = json.loads(done.out)["diagnostics"]
    assert (diagnostic["code"], diagnostic["key"]) == (
        "target-untrusted",
        "model._target_",
    )
    assert "trust=home_made" in diagnostic["hint"]
    assert not (specflow.cwd / "try1_2").exists()
