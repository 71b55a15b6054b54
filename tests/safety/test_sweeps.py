"""A sweep goes through Hydra, whose own section can name code to run."""

import re

import pytest

from specflow.diagnostics.errors import ConfigError
from specflow.sweep.hydra_jobs import sweep

HEADER = "# @package _global_\n"
TOUCH = "{_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [ran]}}"


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Diagnostics of a sweep whose experiment sets this in `hydra`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)

    def attempt(text="", *lines):
        (tmp_path / "mine/experiment/evil.yaml").write_text(f"{HEADER}{text}\n")
        ran = []
        with pytest.raises(ConfigError) as caught:
            sweep(
                ["experiment=evil", "seed=1,2", *lines],
                ran.append,
                config_dirs=["mine"],
            )
        assert ran == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
        return str(caught.value)

    return attempt


def test_a_callback_is_refused_before_it_is_instantiated(refused):
    assert refused(f"hydra:\n  callbacks:\n    x: {TOUCH}") == (
        "hydra.callbacks.x: would run code of its own "
        "(mine/experiment/evil.yaml:4:5). "
        "Expected no callbacks."
    )


def test_a_callback_of_the_command_line_is_refused_too(refused):
    line = "+hydra.callbacks.x={_target_: os.getcwd}"
    assert refused("", line) == (
        f"hydra.callbacks.x: would run code of its own (override {line}). "
        "Expected no callbacks."
    )


@pytest.mark.parametrize(
    "handler",
    [
        "{(): pathlib.Path.touch, self: ran}",
        "{class: os.mkdir, path: ran}",
        "{class: logging.os.mkdir, path: ran}",
        "{class: logging.StreamHandler, stream: ext://os.environ}",
        "${evil}",
    ],
)
@pytest.mark.parametrize("log", ["job_logging", "hydra_logging"])
def test_a_log_names_no_code(refused, log, handler):
    text = f"hydra:\n  {log}:\n    handlers:\n      y: {handler}\n    root: {{}}"
    message = refused(text)
    assert message.startswith(f"hydra.{log}.handlers.y")
    assert re.search(r"\(mine/experiment/evil.yaml:5:\d+\)", message)


def test_a_plugin_has_no_targets_inside(refused):
    first, *_ = refused("", f"+hydra.launcher.x={TOUCH}").splitlines()
    assert first.startswith(
        "hydra.launcher.x._target_: 'pathlib.Path.touch' is outside"
    )
    assert f"(override +hydra.launcher.x={TOUCH})" in first


@pytest.mark.parametrize("name", ["os.system", "hydra_plugins.nothing.Launcher"])
def test_a_launcher_is_a_plugin(refused, name):
    line = f"hydra.launcher._target_={name}"
    assert refused("", line) == (
        f"hydra.launcher._target_: got '{name}' (override {line}). "
        "Expected a plugin of Hydra."
    )
