"""Options of Hydra: refused where they have no effect, or where Hydra has none."""

import pytest

from specflow.cli.experiments import print_notes
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.hydra_jobs import sweep

HEAD = "# @package _global_\ndefaults:\n  - /experiment/digits_mlp\n"
FILE = "mine/experiment/own.yaml"
NO_KEY = "Hydra has no such key"


def error_message(run):
    with pytest.raises(ConfigError) as refused:
        run()
    return "\n".join(
        f"[{diagnostic.code}] {diagnostic}" for diagnostic in refused.value.diagnostics
    )


@pytest.fixture
def of_file(project):
    """What is wrong with what an experiment asks of Hydra, alone and in a sweep."""

    def attempt(text, *, entries=""):
        project({FILE: f"{HEAD}{entries}  - _self_\n{text}\n"})
        words, own = ["experiment=own"], {"config_dirs": ["mine"]}
        alone = error_message(lambda: compose(words, **own))
        ran = []
        swept = error_message(lambda: sweep([*words, "seed=1,2"], ran.append, **own))
        assert ran == []
        assert alone == swept
        return alone

    return attempt


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "hydra.run.dir=foo",
            "[reserved] hydra.run.dir: is not used (override hydra.run.dir=foo). A "
            "run directory is named with output.dir=...",
        ),
        (
            "hydra.run={dir: foo}",
            "[reserved] hydra.run.dir: is not used (override hydra.run={dir: foo}). A "
            "run directory is named with output.dir=...",
        ),
        (
            "~hydra.run.dir",
            "[reserved] hydra.run.dir: is not used (override ~hydra.run.dir). A run "
            "directory is named with output.dir=...",
        ),
        (
            "hydra.mode=MULTIRUN",
            "[reserved] hydra.mode: is not used (override hydra.mode=MULTIRUN). A "
            "sweep is run with -m.",
        ),
        (
            "hydra.run.dri=x",
            f"[unknown-key] hydra.run.dri: {NO_KEY} (override hydra.run.dri=x). Did "
            "you mean hydra.run.dir? Keys of hydra.run: dir.",
        ),
        (
            "hydra.sweeper.nope=1",
            f"[unknown-key] hydra.sweeper.nope: {NO_KEY} (override "
            "hydra.sweeper.nope=1).",
        ),
        (
            "hydra/launcher=basik",
            "[unknown-choice] hydra/launcher: no choice named 'basik' (override "
            "hydra/launcher=basik). Did you mean hydra/launcher=basic? Choices: basic, "
            "specflow, specflow_ray, specflow_slurm.",
        ),
        (
            "hydra.job.chdir=maybe",
            "[type] hydra.job.chdir: Value 'maybe' is not a valid bool (type str) "
            "(override hydra.job.chdir=maybe).",
        ),
    ],
)
def test_options_of_hydra_without_effect_or_unknown_are_refused(
    line, expected, project
):
    project({})
    assert error_message(lambda: compose(["experiment=digits_mlp", line])) == expected
    assert error_message(lambda: sweep(["seed=1,2", line], lambda _: {})) == expected


def test_an_unknown_key_of_hydra_lists_the_known_ones():
    assert error_message(lambda: compose(["hydra.nosuch.key=1"])).startswith(
        f"[unknown-key] hydra.nosuch.key: {NO_KEY} (override hydra.nosuch.key=1). Keys "
        "of hydra: "
    )


@pytest.mark.parametrize("line", ["hydra/launcher=basic", "hydra.job.chdir=true"])
def test_an_option_of_sweeps_is_refused_in_a_single_run(line):
    assert error_message(lambda: compose([line])) == (
        f"[sweep] {line.split('=')[0]}: is an option of sweeps (override {line}). "
        "Expected -m, which runs one, or no option of Hydra."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "hydra: {run: {dir: x}}",
            f"[reserved] hydra.run.dir: is not used ({FILE}:5:15). A run directory is "
            "named with output.dir=...",
        ),
        (
            "hydra: {searchpath: [x]}",
            f"[reserved] hydra.searchpath: is set by specflow itself ({FILE}:5:9). "
            "Name your own folder of configs with --config-dir.",
        ),
        (
            "hydra: {run: {dri: x}}",
            f"[unknown-key] hydra.run.dri: {NO_KEY} ({FILE}:5:15). Did you mean "
            "hydra.run.dir? Keys of hydra.run: dir.",
        ),
        (
            "hydra: {job: {chdir: maybe}}",
            "[type] hydra.job.chdir: Value 'maybe' is not a valid bool (type str) "
            f"({FILE}:5:15).",
        ),
    ],
)
def test_options_of_hydra_in_files_are_checked_alike(text, expected, of_file):
    assert of_file(text) == expected


def test_an_unknown_plugin_is_refused_in_files(of_file):
    assert of_file("", entries="  - override /hydra/launcher: basik\n") == (
        f"[unknown-choice] hydra/launcher: no choice named 'basik' ({FILE}:4:5). Did "
        "you mean hydra/launcher=basic? Choices: basic, specflow, "
        "specflow_ray, specflow_slurm."
    )


def test_a_plugin_that_is_not_installed_names_its_package(of_file):
    """Tried: 1.3.0 runs with Hydra 1.3.8 and Optuna 2.10.1, and not with 1.4.0rc3."""
    line = "hydra/sweeper=optuna"
    expected = (
        "Install it: pip install 'hydra-optuna-sweeper==1.3.0' 'hydra-core<1.4'. It "
        "uses optuna 2, whose samplers need trust=optuna. Choices: basic, "
        "specflow."
    )
    message = error_message(lambda: sweep(["seed=1,2", line], lambda _: {}))
    assert message == (
        "[unknown-choice] hydra/sweeper: no choice named 'optuna' (override "
        f"{line}). {expected}"
    )
    assert of_file("", entries="  - override /hydra/sweeper: optuna\n") == (
        "[unknown-choice] hydra/sweeper: no choice named 'optuna' "
        f"({FILE}:4:5). {expected}"
    )
    assert "Install it: pip install 'hydra-joblib-launcher' 'hydra-core<1.4'. Ch" in (
        error_message(lambda: sweep(["hydra/launcher=joblib"], lambda _: {}))
    )


def test_the_search_path_of_a_users_root_config_is_refused(project):
    root = "defaults: [{experiment: null}, _self_]\nhydra: {searchpath: [file://x]}\n"
    project({"mine/config.yaml": root})
    assert error_message(lambda: compose([], config_dirs=["mine"])).startswith(
        "[reserved] hydra.searchpath: is set by specflow itself (mine/config.yaml:2:9)."
    )


def test_options_of_sweeps_in_files_do_not_affect_a_single_run(project):
    text = "hydra: {sweeper: {params: {seed: '1,2'}}, sweep: {dir: x}}\n"
    project({FILE: f"{HEAD}  - override /hydra/launcher: basic\n  - _self_\n{text}"})
    assert compose(["experiment=own"], config_dirs=["mine"]).config.seed == 0


def test_a_nested_section_named_hydra_is_not_hydras(project):
    project({"mine/model/own.yaml": "_target_: mine.Net\nhydra: 3\n"})
    with pytest.raises(ConfigError) as refused:
        compose(["model=own"], config_dirs=["mine"])
    assert "hydra" not in str(refused.value)  # Only the target is not found.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "hydra:\n  sweeper:\n    params: ['seed=1,2', 'optimizer.lr=0.1,0.2']",
            "[type] hydra.sweeper.params: got ['seed=1,2', 'optimizer.lr=0.1,0.2'] "
            "(mine/experiment/own.yaml:7:5). Expected a mapping, key: value. Write "
            "params: {seed: '1,2', optimizer.lr: '0.1,0.2'}.",
        ),
        (
            "hydra: {sweeper: {params: 3}}",
            "[type] hydra.sweeper.params: got 3 (mine/experiment/own.yaml:5:19). "
            "Expected a mapping, key: value.",
        ),
        (
            "hydra: {launcher: [a]}",
            "[type] hydra.launcher: got ['a'] (mine/experiment/own.yaml:5:9). Expected "
            "a mapping, key: value.",
        ),
        (
            "hydra: {job: [a]}",
            "[type] hydra.job: got ['a'] (mine/experiment/own.yaml:5:9). Expected a "
            "mapping, key: value.",
        ),
    ],
)
def test_a_list_in_place_of_hydras_mapping_is_refused(of_file, text, expected):
    assert of_file(text) == expected


def test_a_list_in_place_of_hydras_mapping_is_refused_on_the_command_line():
    line = 'hydra.sweeper.params=["seed=1,2"]'
    assert error_message(lambda: compose(["experiment=digits_mlp", line])) == (
        "[type] hydra.sweeper.params: got ['seed=1,2'] (override "
        f"{line}). Expected a mapping, key: value. Write params: {{seed: '1,2'}}."
    )


def test_a_key_that_is_no_text_is_refused(of_file):
    text = "hydra:\n  job:\n    no: 3"
    assert of_file(text) == (
        f"[type] hydra.job.no: is read by YAML as false ({FILE}:7:5). Expected a key "
        "that is text. Quote it: 'no'."
    )
    assert of_file("hydra: {null: 3}") == (
        f"[type] hydra.null: is read by YAML as null ({FILE}:5:9). Expected a key that "
        "is text. Quote it: 'null'."
    )


def test_a_single_run_notes_options_of_sweeps_in_files(project, capsys):
    entries = "  - override /hydra/launcher: basic\n"
    text = "hydra:\n  sweeper:\n    params: {seed: '1,2'}\n"
    project({FILE: f"{HEAD}{entries}  - _self_\n{text}"})
    composed = compose(["experiment=own"], config_dirs=["mine"])
    print_notes(composed)
    no_effect = "has no effect without -m, which runs a sweep"
    assert capsys.readouterr().err.splitlines() == [
        f"note: hydra.sweeper {no_effect} ({FILE}:7:3)",
        f"note: hydra/launcher {no_effect} ({FILE}:4:5)",
    ]
    assert compose(["experiment=digits_mlp"]).sweep_options == ()
