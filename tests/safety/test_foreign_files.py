"""Config files of others move no output and set no environment by themselves."""

import os

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.hydra_jobs import sweep

WINE = "# @package _global_\ndefaults:\n  - /experiment/wine\n  - _self_\n"
FILE = "theirs/experiment/big.yaml"
TYPED = "If you mean it, type {}, or trust the files of this folder: trust=./theirs."


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Writes the experiment that came from elsewhere."""
    (tmp_path / "here" / "theirs" / "experiment").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    def write(text):
        (tmp_path / "here" / FILE).write_text(f"{WINE}{text}\n")

    return write


def composed(*lines, **more):
    return compose(["experiment=big", *lines], config_dirs=["theirs"], **more)


def swept(*lines, experiment="big"):
    ran = []

    def task(job):
        ran.append(dict(os.environ))
        return {"step": 1, "eval": {"loss": 0.0}}

    sweep(
        [f"experiment={experiment}", "seed=1,2", *lines], task, config_dirs=["theirs"]
    )
    return ran


@pytest.mark.parametrize("value", ["/data/runs", "../up", "a/../../up", "~/runs"])
def test_a_file_does_not_move_the_output_outside(value, theirs):
    theirs(f"output: {{dir: {value}}}")
    with pytest.raises(ConfigError) as raised:
        composed()
    assert str(raised.value).startswith(
        f"output.dir: a file would write to {value!r}, outside the working directory "
        f"({FILE}:5:10). If you mean it, type "
    )
    assert raised.value.diagnostics[0].code == "file-untrusted"
    assert composed(f"output.dir='{value}'").config.output.dir == value
    assert composed("trust=./theirs").config.output.dir == value
    assert composed(trust=["./theirs"]).config.output.dir == value


def test_an_interpolation_moves_no_output_either(theirs, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", "/data")
    theirs("output: {dir: '${oc.env:ELSEWHERE}/runs'}")
    with pytest.raises(ConfigError, match="write to '/data/runs'"):
        composed()


@pytest.mark.parametrize("value", ["runs/x", "./x", "a/../b"])
def test_a_file_names_folders_below_the_working_directory(value, theirs):
    theirs(f"output: {{dir: {value}}}")
    assert composed().config.output.dir == value
    theirs(f"output: {{dir: {os.getcwd()}/x}}")
    assert composed().config.output.dir == f"{os.getcwd()}/x"


def test_the_folder_of_another_trusted_folder_is_not_trusted(theirs):
    theirs("output: {dir: /data/runs}")
    os.mkdir("mine")
    with pytest.raises(ConfigError, match="file would write"):
        composed("trust=./mine")


def test_the_config_folder_of_a_project_file_is_the_users_own(theirs, capsys):
    theirs("output: {dir: /data/runs}")
    assert main(["show", "experiment=big", "--config-dir", "theirs"]) == 2
    with open("specflow.toml", "w") as file:
        file.write('config_dir = "theirs"\n')
    assert main(["show", "experiment=big"]) == 0
    assert main(["show", "experiment=big", "--config-dir", "theirs"]) == 0


def test_a_file_does_not_send_results_to_a_database(theirs):
    theirs("sweep: {storage: 'postgresql://them/results'}")
    with pytest.raises(ConfigError) as raised:
        composed()
    typed = "sweep.storage='postgresql://them/results'"
    assert str(raised.value) == (
        "sweep.storage: a file would write to 'postgresql://them/results', outside the "
        f"working directory ({FILE}:5:9). " + TYPED.format(f'"{typed}"')
    )
    assert composed(typed).config.sweep.storage == "postgresql://them/results"
    assert composed("trust=./theirs").config.sweep.storage.endswith("//them/results")
    theirs("sweep: {storage: journal}")
    assert composed().config.sweep.storage == "journal"


ENVIRONMENT = "hydra: {job: {env_set: {THEIR_WORD: a}}}"


@pytest.mark.parametrize("experiment", ["big", "wine,big"])
def test_a_file_sets_no_environment_variable_of_a_sweep(experiment, theirs):
    theirs(ENVIRONMENT)
    with pytest.raises(ConfigError) as raised:
        swept(experiment=experiment)
    assert str(raised.value) == (
        "hydra.job.env_set.THEIR_WORD: a file would set the environment of the sweep's "
        f"trials ({FILE}:5:25). " + TYPED.format("++hydra.job.env_set.THEIR_WORD=a")
    )


@pytest.mark.parametrize("line", ["++hydra.job.env_set.THEIR_WORD=a", "trust=./theirs"])
def test_what_the_message_says_sets_the_variable(line, theirs):
    theirs(ENVIRONMENT)
    assert [environment["THEIR_WORD"] for environment in swept(line)] == ["a", "a"]
    assert "THEIR_WORD" not in os.environ


def test_a_copied_variable_is_refused_without_its_value(theirs, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "not-for-messages")
    theirs("hydra: {job: {env_copy: [MY_TOKEN]}}")
    with pytest.raises(ConfigError) as raised:
        swept()
    assert "not-for-messages" not in str(raised.value)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.where == "hydra.job.env_copy"
    assert diagnostic.hint == TYPED.format("++hydra.job.env_copy=[MY_TOKEN]")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hydra: {sweep: {dir: ../up}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {dir: '${oc.env:HOME}/up'}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {subdir: '../../${seed}'}}", "hydra.sweep.subdir"),
        ("hydra: {output_subdir: /data}", "hydra.output_subdir"),
        (
            "hydra: {job_logging: {handlers: {f: {class: logging.FileHandler, "
            "filename: /data/x.log}}}}",
            "hydra.job_logging.handlers.f.filename",
        ),
    ],
)
def test_a_file_does_not_move_a_sweep_outside(text, key, theirs):
    theirs(text)
    with pytest.raises(ConfigError) as raised:
        swept()
    (diagnostic,) = raised.value.diagnostics
    assert (diagnostic.where, diagnostic.code) == (key, "file-untrusted")
    assert diagnostic.origin.startswith(f"{FILE}:5:")


def test_a_file_names_the_folder_of_a_sweep_inside(theirs):
    theirs("hydra: {sweep: {dir: 'all/${now:%Y}', subdir: 'lr_${optimizer.lr}'}}")
    assert len(swept()) == 2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("trust: os", "trust: is read from the command line only"),
        ("run: ../other", "run: is read from the command line only"),
        ("output.dir: /data/x", "output.dir: a file would write to '/data/x'"),
        (
            "sweep.storage: 'mysql://them/x'",
            "sweep.storage: a file would write to 'mysql://them/x'",
        ),
    ],
)
def test_overrides_of_a_file_do_not_count_as_typed(params, message, theirs):
    theirs(f"hydra: {{sweeper: {{params: {{{params}}}}}}}")
    with pytest.raises(ConfigError) as raised:
        swept()
    assert str(raised.value).startswith(f"{message}")
    assert f"({FILE}:5:" in str(raised.value)


def test_a_callback_in_a_swept_choice_is_refused(theirs):
    theirs("hydra: {callbacks: {x: {_target_: os.getcwd}}}")
    with pytest.raises(ConfigError, match="would run code of its own"):
        swept(experiment="wine,big")
