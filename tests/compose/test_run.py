"""`run=DIR`: the config of a run is the base, and it is data."""

import shlex

import pytest

from specflow.compose import compose, lines
from specflow.diagnostics.errors import ConfigError


@pytest.fixture
def run(project):
    """A run of the digits, as `train` leaves it."""
    given = ["experiment=digits", "optimizer.lr=1e-5", "name=1e3x", "mesh=fsdp"]
    composed = compose(given)
    project({"runs/1/config.yaml": composed.yaml()})
    return composed


def test_a_run_composes_to_its_own_config(run):
    again = compose(["run=runs/1"])
    assert again.config == run.config
    assert again.run == "runs/1"
    assert again.origins["optimizer.lr"].startswith("runs/1/config.yaml:")


def test_overrides_apply_to_a_run(run):
    again = compose(["run=runs/1", "loop.eval_batch_size=8", "~spec.eval_metrics.top3"])
    assert again.config.loop.eval_batch_size == 8
    assert "top3" not in again.config.spec.eval_metrics
    assert again.config.optimizer.lr == 1e-5


def test_a_choice_on_a_run_replaces_the_whole_section(run):
    again = compose(["run=runs/1", "mesh=single"])
    assert [rule.along for rule in again.config.mesh.rules] == [None]
    assert again.origins["mesh.axes.data"] == "conf/mesh/single.yaml:3"


def test_what_show_prints_of_a_run_can_be_pasted(run):
    given = compose(["run=runs/1", "mesh=single", "seed=5"])
    words = [shlex.split(line, comments=True)[0] for line in lines(given)]
    assert compose(words).tree == given.tree


def test_an_interpolation_in_a_run_stays_a_text(run, project, monkeypatch):
    """A run directory may come from elsewhere: it reads no environment variables."""
    monkeypatch.setenv("SECRET", "hush")
    text = run.yaml().replace("class_names: null", "class_names: ['${oc.env:SECRET}']")
    project({"runs/2/config.yaml": text})
    outputs = compose(["run=runs/2"]).tree["spec"]["export_outputs"]
    assert outputs["serving_default"]["class_names"] == ["${oc.env:SECRET}"]


def test_the_directory_of_a_run_is_not_reused(run, project):
    project({"runs/2/config.yaml": run.yaml().replace("dir: null", "dir: runs/2")})
    assert compose(["run=runs/2"]).config.output.dir is None
    assert compose(["run=runs/2", "output.dir=a"]).config.output.dir == "a"


@pytest.mark.parametrize(
    "line", ["defaults: [mesh: single]", "hydra: {searchpath: [x]}", "trust: mine"]
)
def test_the_config_of_a_run_cannot_set_hydra_or_trust(run, project, line):
    project({"runs/2/config.yaml": f"{run.yaml()}{line}\n"})
    with pytest.raises(ConfigError, match=line.split(":")[0]):
        compose(["run=runs/2"])


def test_a_target_in_a_run_resolves_only_by_the_command_lines_trust(run, project):
    spec = "spec: {model_fn: home_made.model_fn}"
    head, _, tail = run.yaml().partition("spec:")
    rest = tail[tail.index("\ndata:") + 1 :]
    project(
        {
            "runs/3/config.yaml": f"{head}{spec}\n{rest}",
            "home_made.py": "def model_fn(features, labels, mode): ...\n",
        }
    )
    with pytest.raises(ConfigError, match="outside the trusted packages"):
        compose(["run=runs/3"])
    composed = compose(["run=runs/3", "trust=home_made"])
    assert composed.config.spec.callable.__name__ == "model_fn"


def test_a_group_that_is_not_a_section_cannot_be_chosen_on_a_run(run):
    with pytest.raises(ConfigError, match="cannot be chosen when a run is the base"):
        compose(["run=runs/1", "experiment=diabetes"])


def test_a_text_that_looks_like_a_number_stays_a_text(project):
    composed = compose(["experiment=digits", "name='1e3'"])
    project({"runs/4/config.yaml": composed.yaml()})
    assert compose(["run=runs/4"]).config.name == "1e3"
