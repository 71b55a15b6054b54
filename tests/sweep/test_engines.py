"""Launchers of specflow: their options, and what they refuse before the first trial."""

import dataclasses
import importlib
import json
import sys

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from specflow.cli.main import main
from specflow.diagnostics.errors import ConfigError
from specflow.sweep import engines

LAUNCHERS = {
    "specflow": engines.LocalEngine,
    "specflow_ray": engines.RayEngine,
    "specflow_slurm": engines.SlurmEngine,
}
TRIALS = ("experiment=digits_mlp", "seed=1,2", "output.dir=sweep")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Standard error of a sweep that is refused."""
    monkeypatch.chdir(tmp_path)

    def attempt(*overrides):
        assert main(["train", "-m", *TRIALS, *overrides]) == 2
        assert not (tmp_path / "sweep/trials.jsonl").exists()
        return capsys.readouterr().err

    return attempt


def options_of(name):
    """The options of a launcher, with their defaults."""
    importlib.import_module("hydra_plugins.specflow_launcher")
    node = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
    options = OmegaConf.to_container(node)
    del options["_target_"]
    return options


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_option_of_a_launcher_is_one_of_its_engine(name):
    fields = dataclasses.fields(LAUNCHERS[name])
    assert set(options_of(name)) == {field.name for field in fields}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_explain_has_every_option_with_its_meaning(name, capsys):
    words = ["explain", "hydra.launcher", f"hydra/launcher={name}", "--format=json"]
    assert main(words) == 0
    explained = json.loads(capsys.readouterr().out)
    assert set(LAUNCHERS) <= set(explained["choices"])
    assert all(explained["choices"][launcher] for launcher in LAUNCHERS)
    values = {key: one["value"] for key, one in explained["fields"].items()}
    assert values == options_of(name)
    assert all(one["about"] for one in explained["fields"].values())


def test_an_unknown_launcher_is_answered_with_the_one_that_was_meant(capsys):
    assert main(["explain", "hydra/launcher", "hydra/launcher=specflow_rya"]) == 2
    assert (
        "[unknown-choice] hydra/launcher: no choice named 'specflow_rya' (override "
        "hydra/launcher=specflow_rya). Did you mean hydra/launcher=specflow_ray? "
        "Choices: basic, specflow" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("launcher", "option", "value", "expected"),
    [
        ("specflow", "workers", 0, "a whole number >= 1"),
        ("specflow", "retries", -1, "a whole number >= 0"),
        ("specflow_ray", "cpus_per_trial", 0, "a whole number >= 1"),
        ("specflow_ray", "gpus_per_trial", -1, "a whole number >= 0"),
        ("specflow_ray", "max_concurrent", 0, "a whole number >= 1"),
        ("specflow_slurm", "trials_per_job", 0, "a whole number >= 1"),
        ("specflow_slurm", "timeout_min", 0, "a whole number >= 1"),
        ("specflow_slurm", "cluster", "pbs", "slurm, or local"),
    ],
)
def test_a_value_out_of_range_is_refused(launcher, option, value, expected):
    engine = LAUNCHERS[launcher](**{**options_of(launcher), option: value})
    with pytest.raises(ConfigError) as error, engine.open(None, None):
        pass
    assert str(error.value) == (
        f"hydra.launcher.{option}: got {value!r}. Expected {expected}."
    )


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named_with_its_extra(refused, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert refused(f"hydra/launcher=specflow_{name}") == (
        f"error[package-missing] hydra/launcher: specflow_{name} needs the package "
        f"{package}, which is not installed. pip install 'specflow-jax[{name}]'.\n"
    )


def test_an_option_that_changes_the_process_needs_this_one(refused):
    assert refused("hydra/launcher=specflow_ray", "hydra.job.chdir=true") == (
        "error[sweep] hydra/launcher: runs trials in processes of their own, which "
        "Hydra does not change. Expected specflow or basic with hydra.job.chdir, "
        "hydra.job.env_set, hydra.callbacks, hydra.output_subdir or handlers of "
        "hydra.job_logging, in a single process.\n"
    )


def test_a_search_on_slurm_cannot_prune(refused):
    pytest.importorskip("optuna")
    error = refused(
        "hydra/launcher=specflow_slurm",
        "sweep=asha",
        "loop.eval_every=10",
        "optimizer.lr=interval(1e-4,1e-2)",
    )
    assert error == (
        "error[sweep] sweep.pruner: is set, with hydra/launcher=specflow_slurm. "
        "Expected null: only trials of hydra/launcher=specflow and specflow_ray hear "
        "that they are pruned.\n"
    )
