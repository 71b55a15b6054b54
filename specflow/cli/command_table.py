"""The commands of the CLI, and the call of one of them."""

import argparse
import sys
from collections.abc import Sequence

from specflow.cli import (
    check_commands,
    checkpoint_commands,
    config_commands,
    data_commands,
    data_options,
    fsck_command,
    new_command,
    options,
    report_command,
    run_commands,
    run_options,
    runs_command,
    sweep_commands,
    sweep_options,
    train_commands,
)
from specflow.cli.command import Command
from specflow.diagnostics.errors import ConfigError, Diagnostic, did_you_mean, nearest

__all__ = ["COMMANDS", "dispatch"]


def _completion(arguments: argparse.Namespace) -> int:
    """Prints a shell's completion script, or what completes a command line."""
    from specflow.cli.shells import answer, script

    if arguments.line is None:
        print(script(arguments.shell, arguments.typed_dirs), end="")
        return 0
    from specflow.cli.completion import complete

    commands = {
        name: (command.summary, command.takes) for name, command in COMMANDS.items()
    }
    answers = complete(arguments.line, commands, config_dirs=arguments.config_dir)
    print(answer(arguments.shell, answers), end="")
    return 0


COMMANDS = {
    "new": Command(
        new_command.new,
        "write a project of your own: a model, data, an experiment and tests",
        "specflow new my_project",
        options.STARTING,
    ),
    "train": Command(
        train_commands.train,
        "train an experiment, or resume it where its run directory stopped",
        "specflow train experiment=digits optimizer.lr=3e-4",
        options.TRAINING,
    ),
    "evaluate": Command(
        run_commands.evaluate,
        "evaluate a checkpoint of a run",
        "specflow evaluate run=runs/try1",
        options.EVALUATING,
    ),
    "predict": Command(
        run_commands.predict,
        "write a run's predictions as JSON lines, CSV or Parquet",
        "specflow predict run=runs/try1 --output rows.csv",
        options.PREDICTING,
    ),
    "export": Command(
        run_commands.export,
        "export a run's model, which JAX alone can load",
        "specflow export run=runs/try1",
        options.EXPORTING,
    ),
    "checkpoints": Command(
        checkpoint_commands.checkpoints,
        "list a run's checkpoints and what keeps each, or tag one",
        "specflow checkpoints run=runs/try1 --step best --tag release",
        options.LISTING,
    ),
    "sweep show": Command(
        sweep_commands.show,
        "list the trials of a sweep, also while it runs, as a table, CSV or Parquet",
        "specflow sweep show runs/grid --sort optimizer.lr",
        sweep_options.SHOWING_SWEEPS,
    ),
    "sweep best": Command(
        sweep_commands.best,
        "print the run directory of the best trial of a sweep",
        "specflow evaluate run=$(specflow sweep best runs/grid)",
        sweep_options.TAKING_THE_BEST,
    ),
    "sweep report": Command(
        sweep_commands.report,
        "write one HTML page of a sweep: trials, curves, what decides the objective",
        "specflow sweep report runs/grid",
        sweep_options.REPORTING_SWEEPS,
    ),
    "fsck": Command(
        fsck_command.fsck,
        "verify every file of a run, and repair what a killed process left",
        "specflow fsck run=runs/try1",
        options.VERIFYING,
    ),
    "data show": Command(
        data_commands.show,
        "print rows as the model gets them: cells beside features, pictures, tokens",
        "specflow data show experiment=digits --rows 3",
        data_options.SHOWING_DATA,
    ),
    "data stats": Command(
        data_commands.stats,
        "print statistics of the columns by split, or write them as a page",
        "specflow data stats experiment=diabetes --output data.html",
        data_options.STATISTICS,
    ),
    "data check": Command(
        data_commands.check,
        "check the data for five common problems, and measure its pipeline alone",
        "specflow data check experiment=diabetes",
        data_options.CHECKING_DATA,
    ),
    "data synthesize": Command(
        data_commands.synthesize,
        "write a table of plausible rows, of the columns of an experiment or a run",
        "specflow data synthesize run=runs/my_pears --output made.csv",
        data_options.SYNTHESIZING,
    ),
    "runs": Command(
        runs_command.runs,
        "list runs: state, step, best value, time and tags",
        "specflow runs runs/digits",
        run_options.LISTING_RUNS,
    ),
    "report": Command(
        report_command.report,
        "write a page about runs, or a model card; sync: send a run to its trackers",
        "specflow report run=runs/try1 run=runs/try2",
        run_options.REPORTING,
    ),
    "check": Command(
        check_commands.check,
        "trace every mode and print what would run; allocates nothing",
        "specflow check experiment=digits mesh=fsdp",
        options.CHECKING,
    ),
    "resume-check": Command(
        check_commands.resume_check,
        "interrupt and resume a copy of an experiment, and compare it bit for bit",
        "specflow resume-check experiment=digits",
        options.RESUMING,
    ),
    "launch": Command(
        train_commands.launch,
        "run a command as several processes on this machine, to try them out",
        "specflow launch --processes 2 -- train experiment=digits mesh=fsdp",
        options.LAUNCHING,
    ),
    "show": Command(
        config_commands.show,
        "print the composed config, each value with its origin",
        "specflow show experiment=digits",
    ),
    "explain": Command(
        config_commands.explain,
        "explain a key: its meaning, type, default, value and origin; or an error code",
        "specflow explain optimizer.lr experiment=digits",
        options.EXPLAINING,
    ),
    "diff": Command(
        config_commands.diff,
        "compare two runs, config files or experiments, key by key",
        "specflow diff runs/try1 'experiment=digits mesh=fsdp'",
        options.COMPARING,
    ),
    "schema": Command(
        config_commands.schema,
        "print the JSON Schema of a config group, for editors that check YAML",
        "specflow schema --write my_conf/schema",
        options.SCHEMAS,
    ),
    "completion": Command(
        _completion,
        "print the script with which a shell completes commands, keys and values",
        "source <(specflow completion bash)",
        options.COMPLETING,
    ),
}


def dispatch(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name, and returns its exit status.

    Args:
        arguments: of the process, after `specflow`.

    Raises:
        ConfigError: there is no such command, or it does not take the arguments.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"specflow {_version()}")
        return 0
    name, rest = _named(arguments)
    if _is_group(name) and rest[:1] in (["-h"], ["--help"]):
        print(_help(name))
        return 0
    command = COMMANDS.get(name)
    if command is None:
        near = did_you_mean(nearest(name, COMMANDS))
        raise ConfigError(
            Diagnostic(
                name,
                "no such command",
                hint=f"{near} Commands: {', '.join(COMMANDS)}.".strip(),
                origin="command line",
                code="unknown-command",
            )
        )
    to_launch: list[str] = []
    if command.run is train_commands.launch and "--" in rest:
        separator = rest.index("--")
        rest, to_launch = rest[:separator], rest[separator + 1 :]
    # Every command takes `trust=`, also those without overrides.
    trust = [argument for argument in rest if argument.startswith("trust=")]
    rest = [argument for argument in rest if not argument.startswith("trust=")]
    parsed = command.parser(name).parse_intermixed_args(rest)
    parsed.command = to_launch
    from specflow.cli.project_defaults import completed

    with completed(parsed, trust):
        if getattr(parsed, "cfg", None):
            return config_commands.show(parsed)
        return command.run(parsed)


def _named(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the name of a command, which may have two words, and its arguments."""
    name, *rest = arguments
    if _is_group(name) and rest and not rest[0].startswith("-"):
        return f"{name} {rest[0]}", rest[1:]
    return name, rest


def _is_group(name: str) -> bool:
    """Returns whether a word begins the names of several commands."""
    return any(command.startswith(f"{name} ") for command in COMMANDS)


def _help(group: str = "") -> str:
    shown = {
        name: command for name, command in COMMANDS.items() if name.startswith(group)
    }
    width = max(map(len, shown))
    commands = "\n".join(
        f"  {name:<{width}}  {command.summary}" for name, command in shown.items()
    )
    if group:
        return f"usage: specflow {group} COMMAND\n\ncommands:\n{commands}"
    return (
        "usage: specflow COMMAND [override ...] [option ...]\n\n"
        "Declarative training on JAX: an experiment is YAML, and every field of it an "
        "override.\n\n"
        f"commands:\n{commands}\n\n"
        "  specflow COMMAND --help  the options of a command\n"
        "  specflow --version       the installed version\n\n"
        f"example: {COMMANDS['train'].example}"
    )


def _version() -> str:
    from specflow.runtime import distribution

    diagnostic = distribution.stranger()
    if diagnostic is not None and not distribution.was_warned():
        from specflow.diagnostics.rendering import line

        print(line(diagnostic, kind="warning"), file=sys.stderr)
    return distribution.version() or "(not installed: running from its sources)"
