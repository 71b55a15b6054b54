"""Defaults lists that lead back to themselves, and entries near what is not there."""

import pytest

from specflow.cli import options
from specflow.cli.completion import complete
from specflow.cli.main import main
from specflow.compose import compose
from specflow.diagnostics.errors import ConfigError
from specflow.sweep.hydra_jobs import sweep

AT = "mine/experiment"


def experiment(*entries):
    listed = "".join(f"  - {entry}\n" for entry in entries)
    return f"# @package _global_\ndefaults:\n{listed}  - _self_\n"


@pytest.fixture
def reported(project):
    """What is wrong with an experiment of some files, alone and in a sweep."""

    def attempt(name, **files):
        project({f"{AT}/{file}.yaml": text for file, text in files.items()})
        words, own = [f"experiment={name}"], {"config_dirs": ["mine"]}
        messages = set()
        for run in (
            lambda: compose(words, **own),
            lambda: sweep([*words, "seed=1,2"], lambda _: {}, **own),
        ):
            with pytest.raises(ConfigError) as refused:
                run()
            diagnostics = refused.value.diagnostics
            messages.add(
                "\n".join(
                    f"[{diagnostic.code}] {diagnostic}" for diagnostic in diagnostics
                )
            )
        (message,) = messages
        return message

    return attempt


def test_a_file_that_names_itself_is_refused(reported):
    assert reported("m2", m2=experiment("/experiment/m2")) == (
        "[composition] experiment/m2: names itself in its defaults list "
        f"({AT}/m2.yaml:3:5). Remove this entry."
    )


@pytest.mark.parametrize(
    ("to_b", "to_c", "to_a"),
    [
        ("/experiment/b", "/experiment/c", "/experiment/a"),
        ("b", "c", "a"),
        ("/experiment: b", "/experiment: [c]", "/experiment@_global_: a"),
    ],
)
def test_each_entry_of_a_cycle_is_named_with_its_line(to_b, to_c, to_a, reported):
    a, b, c = experiment("/data: wine", to_b), experiment(to_c), experiment(to_a)
    # What is odd about an entry itself is reported before.
    assert reported("a", a=a, b=b, c=c).endswith(
        f"[composition] experiment/a: names experiment/b in its defaults list ({AT}/"
        f"a.yaml:4:5). Expected no cycle: experiment/b names experiment/c ({AT}/"
        f"b.yaml:3:5), experiment/c names experiment/a ({AT}/c.yaml:3:5). Remove one "
        "of these entries."
    )


def test_a_cycle_that_another_config_reaches_is_reported_at_its_start(reported):
    a, b = experiment("b"), experiment("c")
    assert reported("a", a=a, b=b, c=experiment("b")).startswith(
        f"[composition] experiment/b: names experiment/c in its defaults list ({AT}/b"
    )


def test_a_missing_parent_is_not_suggested_as_the_file_itself(reported):
    message = reported("trial_v2", trial_v2=experiment("/experiment/trial_v1"))
    assert message.startswith(
        f"[unknown-choice] experiment: no choice named 'trial_v1' ({AT}/trial_v2.yaml:"
        "3:5). Choices: "
    )


def test_a_suggestion_that_makes_a_cycle_is_not_substituted(reported):
    """Who takes the place of what is not there must not make a circle of it."""
    files = {"trial_v3": experiment("trial_v1"), "trial_v2": experiment("trial_v3")}
    message = reported("trial_v2", **files)
    assert message.startswith("[unknown-choice] experiment: no choice named 'trial_v1'")
    assert "circle" not in message
    assert "\n" not in message


def test_an_unknown_choice_has_the_origin_of_the_file_that_was_read(reported):
    """Another file with the same entry, first by name, is not accused."""
    own = experiment("/experiment/digits", "override /mesh: fspd")
    assert reported("own", aardvark=own, own=own).startswith(
        f"[unknown-choice] mesh: no choice named 'fspd' ({AT}/own.yaml:4:5). Did you "
    )


def test_a_cycle_is_reported_once(project, capsys):
    project({f"{AT}/m2.yaml": experiment("/experiment/m2")})
    assert main(["show", "--config-dir", "mine", "experiment=m2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_completion_works_beside_a_cycle(project):
    project({f"{AT}/m2.yaml": experiment("/experiment/m2")})
    line = "specflow show --config-dir=mine experiment=m2 optimizer."
    assert [*complete(line, {"show": ("", options.COMMON)})]


HEADED = "defaults:\n  - override /model: mlp\n  - _self_\nloop: {train_steps: 0}\n"
STEPS = "[range] loop.train_steps: got 0"


@pytest.mark.parametrize(
    ("head", "problem", "hint"),
    [
        ("", "has no package header, so it is merged into experiment", ""),
        ("# @package _globl_\n", "is merged into _globl_", ""),
        ("# @package global\n", "is merged into global", ""),
        (
            "# Mine.\n# @package _global_\n",
            "has no package header, so it is merged into experiment",
            " Line 2 is ignored: Hydra reads the header from the first lines.",
        ),
        (
            "%YAML 1.2\n---\n# @package _global_\n",
            "has no package header, so it is merged into experiment",
            " Line 3 is ignored: Hydra reads the header from the first lines.",
        ),
    ],
)
def test_a_missing_package_header_is_reported_beside_all_other_errors(
    head, problem, hint, reported
):
    header, steps = reported("own", own=f"{head}{HEADED}").splitlines()
    assert header == (
        f"[package] {AT}/own.yaml: {problem}, which is not a section "
        f"({AT}/own.yaml:1:1). "
        f'Expected its first line to be "# @package _global_".{hint}'
    )
    assert steps.startswith(STEPS)


@pytest.mark.parametrize("text", ["", "seed: 3\n"])
def test_an_experiment_of_values_alone_needs_the_header_too(text, reported):
    (header,) = reported("own", own=text).splitlines()
    assert header.startswith(f"[package] {AT}/own.yaml: has no package")


def test_a_package_in_a_defaults_list_needs_no_header(project):
    entry = experiment("/extra@_global_: own")
    project({f"{AT}/own.yaml": entry, "mine/extra/own.yaml": "seed: 3\n"})
    assert compose(["experiment=own"], config_dirs=["mine"]).config.seed == 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Hydra: "Could not delete from config. The value of ... is 240 and not 7."
        (
            "~loop.train_steps=7",
            "[deletion] loop.train_steps: is 1000 and not 7, so it is not deleted "
            "(override ~loop.train_steps=7). ~loop.train_steps deletes it whatever its "
            "value.",
        ),
        (
            "~optimizer=sgd",
            "[defaults] optimizer: sgd is not chosen, so there is nothing to delete "
            "(override ~optimizer=sgd). ~optimizer deletes the current choice.",
        ),
    ],
)
def test_a_deletion_of_another_value_is_refused(line, expected):
    with pytest.raises(ConfigError) as refused:
        compose(["experiment=digits_mlp", line])
    (diagnostic,) = refused.value.diagnostics
    assert f"[{diagnostic.code}] {diagnostic}" == expected


@pytest.mark.parametrize("line", ["~loop.train_steps=1000", "~loop.train_steps"])
def test_a_deletion_of_the_current_value_deletes(line):
    composed = compose(["experiment=digits_mlp", "loop.eval_every=7", line])
    assert composed.origins["loop.train_steps"] == f"override {line}"
