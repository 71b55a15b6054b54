"""The front door: `specflow COMMAND [override ...]`.

Light on purpose: help needs the standard library alone; Hydra and Pydantic are imported
by the first command that composes, and JAX by the first one that computes.
"""

import argparse
import atexit
import contextlib
import dataclasses
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from specflow.cli import options
from specflow.diagnostics.errors import (
    ConfigError,
    Diagnostic,
    SpecflowError,
    did_you_mean,
    nearest,
)
from specflow.distributed import launcher_link
from specflow.runtime import gc_pause, standard_streams

if TYPE_CHECKING:
    from specflow.compose import Composed

__all__ = ["main"]

_SEVERAL = {"SPECFLOW_COORDINATOR", "SLURM_PROCID"}
"""Environment: this process is one of several."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is returned, not raised.

    Args:
        argv: the words after `specflow`; those of the process by default.

    Returns:
        0 when all went well, 2 for a mistake of the user's, 75 for a fault of the
        machine, 128 and the signal's number after a signal, 141 if the reader of
        standard output has left, 1 for anything else.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # At exit Python would look for garbage in all that was imported, several times.
    atexit.register(gc.freeze)
    gc_pause.pause()
    launcher_link.watch()
    with standard_streams.prepared():
        try:
            return _run(words)
        finally:
            gc_pause.resume()


def _run(words: list[str]) -> int:
    try:
        try:
            status = _dispatch(words)
        except SystemExit as stop:  # argparse ends so, after it has printed its help.
            status = stop.code if isinstance(stop.code, int) else 1
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has seen enough.
        from specflow.distributed import failure

        failure.sound(None, standard_streams.READER_GONE)
        return standard_streams.READER_GONE
    except (Exception, KeyboardInterrupt) as error:
        status = _failed(error, as_json=_is_for_tools(words))
        if isinstance(error, ConfigError) and words[:1] and words[0] in _COMPUTING:
            _call_off(error)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        return status


def _failed(error: BaseException, *, as_json: bool) -> int:
    """Tells how a command failed; of several processes, to the others too."""
    from specflow.diagnostics.rendering import tell
    from specflow.distributed import collectives, failure

    if getattr(error, "shared", False):
        if collectives.is_process_zero():
            return tell(error, as_json=as_json)
        return getattr(error, "exit_code", 1)
    error = failure.heard(error)
    status = tell(error, as_json=as_json)
    if isinstance(error, ConfigError):
        launcher_link.report(mistake=str(error))
    failure.sound(error, status)
    return status


def _call_off(error: ConfigError) -> None:
    """Tells the other processes, if there are any, that this one does not come."""
    said = error.processes
    if not said and not _SEVERAL & set(os.environ):
        return
    from specflow.config.sections.mesh import ProcessesConfig
    from specflow.mesh import call_off

    try:
        config = ProcessesConfig(**said) if isinstance(said, dict) else None
    except (TypeError, ValueError):
        config = None  # It is what is wrong.

    call_off(config, str(error), error.exit_code)


def _is_for_tools(words: Sequence[str]) -> bool:
    """Whether JSON is asked for, even where the words make no command."""
    asked = "--format=json" in words or "--format json" in " ".join(words)
    return asked or "--json" in words


@contextlib.contextmanager
def _running(
    arguments: argparse.Namespace, composed: "Composed | None", *, speaks: bool = True
) -> Iterator[dict[str, Any]]:
    """Runs a command's part: says who set what is wrong, and its result as JSON.

    Args:
        arguments: of the command.
        composed: its experiment; None: it has no config.
        speaks: whether there is a document when all went well. What the part prints
            for people goes to standard error then.

    Yields:
        What the document holds; to be filled.
    """
    said: dict[str, Any] = {}
    speaks = speaks and arguments.report == "json"
    aside = contextlib.redirect_stdout(sys.stderr) if speaks else None
    try:
        with aside or contextlib.nullcontext():
            yield said
    except Exception as error:
        if composed is not None:
            _placed(error, composed)
        raise
    if speaks:
        from specflow.diagnostics.rendering import document
        from specflow.output.json_values import to_plain

        print(document(0, **to_plain(said)))


def _placed(error: Exception, composed: "Composed") -> None:
    """Adds to an error who set what is wrong."""
    from specflow.compose.check.locate import placed, section_of

    if isinstance(error, SpecflowError):
        error.diagnostics = tuple(
            placed(diagnostic, composed) for diagnostic in error.diagnostics
        )
    else:
        error.section = section_of(error, composed)  # type: ignore[attr-defined]


def _train(arguments: argparse.Namespace) -> int:
    if arguments.multirun:
        return _sweep(arguments)
    composed = _compose(arguments)
    if arguments.topology is not None:
        _refuse_misfits(arguments, [composed.overrides])
    with _running(arguments, composed) as said:
        said["result"] = _train_one(composed)
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from specflow.sweep.hydra_jobs import records, sweep, table

    for_tools = arguments.report == "json"
    aside = contextlib.redirect_stdout(sys.stderr) if for_tools else None
    with aside or contextlib.nullcontext():
        outcomes = sweep(
            arguments.overrides,
            _train_one_of_many,
            config_dirs=arguments.config_dir,
            vet=None
            if arguments.topology is None
            else lambda jobs: _refuse_misfits(arguments, jobs),
            check=_refuse_other_run,
        )
        with standard_streams.to_the_end():
            print(table(outcomes))
        if (saved := _save_trials(records(outcomes))) is not None:
            with standard_streams.to_the_end():
                print(f"\n{saved}")
    failed = [str(number) for number, one in enumerate(outcomes) if one.result is None]
    if failed:
        print(f"error: failed: job {', '.join(failed)}", file=sys.stderr)
    status = 1 if failed else 0
    if for_tools:
        from specflow.diagnostics.rendering import document
        from specflow.output.json_values import to_plain

        jobs = [dataclasses.asdict(outcome) for outcome in outcomes]
        print(document(status, jobs=to_plain(jobs)))
    return status


def _refuse_other_run(composed: "Composed", directory: str) -> None:
    """Refuses, before any starts, a job whose directory holds a run of another job."""
    from specflow.output.run.run_directory import check_resumable

    if composed.config.output.on_change != "accept":
        check_resumable(directory, composed.yaml(), composed.origins)


def _save_trials(rows: Sequence[dict[str, Any]]) -> Any:
    from specflow.commands.trials_table import save_trials

    return save_trials(rows)


def _refuse_misfits(
    arguments: argparse.Namespace, jobs: Sequence[Sequence[str]]
) -> None:
    """Refuses, before any starts, the jobs that do not fit a slice."""
    from specflow.preflight import misfits

    diagnostics = misfits(_question(arguments, jobs), numbered=arguments.multirun)
    if diagnostics:
        raise ConfigError(*diagnostics)


def _question(
    arguments: argparse.Namespace, jobs: Sequence[Sequence[str]], **more: Any
) -> Any:
    from specflow.preflight import Question
    from specflow.runtime.chips import parse

    return Question(
        str(parse(arguments.topology)),
        jobs,
        config_dirs=arguments.config_dir,
        compiles=not arguments.no_compile,
        **more,
    )


def _train_one(composed: "Composed") -> dict:
    from specflow import commands

    if composed.run is not None:
        from specflow.compose.rerun import notes

        for note in notes(composed):
            print(f"note: {note}", file=sys.stderr)
    _note_dropped(composed)
    return commands.train(composed)


def _note_dropped(composed: "Composed") -> None:
    """Logs the fields that were dropped because a section changed its kind."""
    from specflow.compose.merge.component_changes import notes

    for note in notes(composed.dropped):
        print(f"note: {note}", file=sys.stderr)


def _train_one_of_many(composed: "Composed") -> dict:
    from specflow.distributed import failure

    try:
        return _train_one(composed)
    except Exception as error:
        if failure.is_on() and not getattr(error, "shared", False):
            # The other processes are in this job still: there is no next one.
            _failed(error, as_json=False)
        raise


def _evaluate(arguments: argparse.Namespace) -> int:
    made = _run_of_python(arguments)
    composed = None if made else _compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    with _running(arguments, composed) as said:
        if composed is None:
            said["metrics"] = commands.evaluate_recorded(made, step=arguments.step)
        else:
            said["metrics"] = commands.evaluate(
                composed, split=arguments.split, step=arguments.step
            )
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    made = _run_of_python(arguments)
    composed = None if made else _compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    given = {
        "output": arguments.output,
        "format": arguments.format,
        "keys": arguments.keys,
        "step": arguments.step,
    }
    # Rows that go to standard output are all that it says there.
    with _running(arguments, composed, speaks=arguments.output is not None) as said:
        if composed is None:
            said["rows"] = commands.predict_recorded(made, **given)
        else:
            said["rows"] = commands.predict(
                composed, rows_of=arguments.rows_of, split=arguments.split, **given
            )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    made = _run_of_python(arguments)
    composed = None if made else _compose_run(arguments)
    from specflow import commands

    gc_pause.resume()
    given = {
        "output": arguments.output,
        "step": arguments.step,
        "platforms": arguments.platforms,
        "batch": arguments.batch,
        "format": arguments.format,
    }
    with _running(arguments, composed) as said:
        if composed is None:
            said["path"] = commands.export_recorded(made, **given)
        else:
            said["path"] = commands.export(composed, **given)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    if arguments.topology is not None:
        return _preflight(arguments)
    composed = _compose(arguments)
    from specflow import commands

    gc_pause.resume()
    _note_dropped(composed)
    with _running(arguments, composed) as said:
        said |= commands.check(composed, fingerprint=arguments.fingerprint)
    return 0


def _preflight(arguments: argparse.Namespace) -> int:
    """`check --topology`: a child process compiles; this one stays light."""
    from specflow.preflight import as_text, ask, shortfall
    from specflow.runtime.chips import known

    if arguments.topology == "list":
        print(known())
        return 0
    question = _question(arguments, [arguments.overrides], seconds=arguments.budget)
    composed = _compose(arguments)
    with _running(arguments, composed, speaks=False):
        (report,) = ask(question)
    diagnostics = shortfall(report)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        status = ConfigError.exit_code if diagnostics else 0
        print(document(status, diagnostics, **report))
        return status
    print(as_text(report))
    if diagnostics:
        raise ConfigError(*diagnostics)
    return 0


def _launch(arguments: argparse.Namespace) -> int:
    from specflow.distributed.launch import launch

    words, count = arguments.command, arguments.processes
    name = words[0] if words else "nothing"
    diagnostics = []
    if count < 1:
        diagnostics.append(
            Diagnostic(
                "--processes",
                f"got {count}",
                expected="1 or more",
                origin="command line",
                code="usage",
            )
        )
    if arguments.restarts < 0:
        diagnostics.append(
            Diagnostic(
                "--restarts",
                f"got {arguments.restarts}",
                expected="0 or more",
                origin="command line",
                code="usage",
            )
        )
    if arguments.restarts and {"-m", "--multirun"} & set(words):
        diagnostics.append(
            Diagnostic(
                "--restarts",
                "a sweep is not started again: its jobs have directories of their own",
                hint="Launch the jobs one by one.",
                origin="command line",
                code="usage",
            )
        )
    if name not in _COMPUTING:
        diagnostics.append(
            Diagnostic(
                "launch",
                f"got {name}",
                expected=f"a command that computes, after --: {', '.join(_COMPUTING)}",
                hint=did_you_mean(nearest(name, _COMPUTING)),
                origin="command line",
                code="usage",
            )
        )
    if diagnostics:
        raise ConfigError(*diagnostics)
    return launch(words, processes=count, restarts=arguments.restarts)


def _explain(arguments: argparse.Namespace) -> int:
    from specflow.compose.inspect.explain import explain
    from specflow.compose.inspect.explain_text import as_lines, as_plain

    keys = [word for word in arguments.words if not options.is_override(word)]
    if len(keys) > 1:
        problem = "is a second key; one is explained at a time"
        raise ConfigError(
            Diagnostic(keys[1], problem, origin="command line", code="usage")
        )
    overrides = [word for word in arguments.words if options.is_override(word)]
    folders = arguments.config_dir
    found = explain("".join(keys), overrides, config_dirs=folders)
    status = ConfigError.exit_code if found.diagnostics else 0
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        print(document(status, found.diagnostics, **as_plain(found)))
        return status
    for line in as_lines(found):
        print(line)
    if found.diagnostics:
        raise ConfigError(*found.diagnostics)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from specflow.compose.inspect.diff import as_lines, as_plain, compare
    from specflow.compose.inspect.experiment_sources import read_side

    folders = arguments.config_dir
    a = read_side(arguments.a, config_dirs=folders)
    b = read_side(arguments.b, config_dirs=folders)
    found = compare(a, b)
    status = 1 if found else 0
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document

        print(document(status, a=a.name, b=b.name, differences=as_plain(found)))
        return status
    for line in as_lines(found, dim=standard_streams.is_terminal(sys.stdout)):
        print(line)
    return status


def _schema(arguments: argparse.Namespace) -> int:
    from specflow.compose.inspect.json_schema import as_text, schema_of, write_schemas
    from specflow.compose.read.config_folders import folders

    found = folders(arguments.config_dir)
    if arguments.write is None:
        print(as_text(schema_of(arguments.group, found)))
        return 0
    for file in write_schemas(arguments.write, found):
        print(file)
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    from specflow.cli.shells import answer, script

    if arguments.line is None:
        print(script(arguments.shell, arguments.typed_dirs), end="")
        return 0
    from specflow.cli.completion import complete

    commands = {name: (one.summary, one.takes) for name, one in _COMMANDS.items()}
    found = complete(arguments.line, commands, config_dirs=arguments.config_dir)
    print(answer(arguments.shell, found), end="")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from specflow.compose import lines

    composed = _compose(arguments)
    if arguments.report == "json":
        from specflow.diagnostics.rendering import document, origin

        who = {key: origin(place) for key, place in composed.places.items()}
        dropped = [
            {
                "key": one.key,
                "value": one.value,
                "origin": origin(one.origin.exact),
                "by": origin(one.by.exact),
            }
            for one in composed.dropped
        ]
        print(document(0, config=composed.tree, origins=who, dropped=dropped))
        return 0
    by = arguments.trusted_at or "command line"
    dim = standard_streams.is_terminal(sys.stdout)
    for line in lines(composed, dim=dim, trusted_by=by):
        print(line)
    return 0


@dataclasses.dataclass(frozen=True)
class _Command:
    run: Callable[[argparse.Namespace], int]
    summary: str
    example: str
    takes: tuple[options.Option, ...] = options.COMMON


_COMMANDS = {
    "train": _Command(
        _train,
        "train an experiment, or resume it where its run directory stopped",
        "specflow train experiment=digits optimizer.lr=3e-4",
        options.TRAINING,
    ),
    "evaluate": _Command(
        _evaluate,
        "evaluate a checkpoint of a run",
        "specflow evaluate run=runs/try1",
        options.EVALUATING,
    ),
    "predict": _Command(
        _predict,
        "write a run's predictions as JSON lines, CSV or Parquet",
        "specflow predict run=runs/try1 --output rows.csv",
        options.PREDICTING,
    ),
    "export": _Command(
        _export,
        "export a run's model, to be loaded with nothing but JAX",
        "specflow export run=runs/try1",
        options.EXPORTING,
    ),
    "check": _Command(
        _check,
        "trace every mode and print what would run; allocates nothing",
        "specflow check experiment=digits mesh=fsdp",
        options.CHECKING,
    ),
    "launch": _Command(
        _launch,
        "run a command as several processes on this machine, to try them out",
        "specflow launch --processes 2 -- train experiment=digits mesh=fsdp",
        options.LAUNCHING,
    ),
    "show": _Command(
        _show,
        "print the composed config, each line with who set it",
        "specflow show experiment=digits",
    ),
    "explain": _Command(
        _explain,
        "say what a key means and takes, what it is here, and who set it",
        "specflow explain optimizer.lr experiment=digits",
        options.EXPLAINING,
    ),
    "diff": _Command(
        _diff,
        "tell two runs, config files or experiments apart, key by key",
        "specflow diff runs/try1 'experiment=digits mesh=fsdp'",
        options.COMPARING,
    ),
    "schema": _Command(
        _schema,
        "print the JSON Schema of a config group, for editors that check YAML",
        "specflow schema --write my_conf/schema",
        options.SCHEMAS,
    ),
    "completion": _Command(
        _completion,
        "print the script by which a shell completes commands, keys and values",
        "source <(specflow completion bash)",
        options.COMPLETING,
    ),
}

_COMPUTING = ("train", "evaluate", "predict", "export", "check")
"""What can be launched as several processes."""


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    name, *rest = words
    if name == "--version":
        print(f"specflow {_version()}")
        return 0
    command = _COMMANDS.get(name)
    if command is None:
        near = did_you_mean(nearest(name, _COMMANDS))
        raise ConfigError(
            Diagnostic(
                name,
                "no such command",
                hint=f"{near} Commands: {', '.join(_COMMANDS)}.".strip(),
                origin="command line",
                code="unknown-command",
            )
        )
    to_launch: list[str] = []
    if command.run is _launch and "--" in rest:
        cut = rest.index("--")
        rest, to_launch = rest[:cut], rest[cut + 1 :]
    # Every command takes `trust=`, those without overrides too.
    trust = [word for word in rest if word.startswith("trust=")]
    rest = [word for word in rest if not word.startswith("trust=")]
    arguments = _parser(name, command).parse_intermixed_args(rest)
    arguments.command = to_launch
    from specflow.cli.project_defaults import completed

    with completed(arguments, trust):
        if getattr(arguments, "cfg", None):
            return _show(arguments)
        return command.run(arguments)


def _parser(name: str, command: _Command) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"specflow {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=f"example: {command.example}",
        allow_abbrev=False,
    )
    parser.set_defaults(report="text", trusted_at="")
    for option in command.takes:
        parser.add_argument(*option.names, **option.settings)
    return parser


class _Parser(argparse.ArgumentParser):
    """Tells wrong options in the form of all other faults."""

    def error(self, message: str) -> NoReturn:
        known = [name for name in self._option_string_actions if name[:2] == "--"]
        _, unknown, typed = message.partition("unrecognized arguments: ")
        near = did_you_mean(nearest(typed.split()[0], known)) if typed.strip() else ""
        if unknown and not typed.strip():
            message = f"{unknown}{typed!r}"  # A word that is empty, or a space.
        raise ConfigError(
            Diagnostic(
                self.prog,
                message,
                hint=f"{near} {self.prog} --help says what it takes.".strip(),
                origin="command line",
                code="usage",
            )
        )


def _help() -> str:
    width = max(map(len, _COMMANDS))
    commands = "\n".join(
        f"  {name:<{width}}  {command.summary}" for name, command in _COMMANDS.items()
    )
    return (
        "usage: specflow COMMAND [override ...] [option ...]\n\n"
        "Declarative training on JAX: an experiment is YAML, and every field of it an "
        "override.\n\n"
        f"commands:\n{commands}\n\n"
        "  specflow COMMAND --help  what a command takes\n"
        "  specflow --version       which specflow this is\n\n"
        f"example: {_COMMANDS['train'].example}"
    )


def _version() -> str:
    from specflow.runtime import distribution

    diagnostic = distribution.stranger()
    if diagnostic is not None and not distribution.was_warned():
        from specflow.diagnostics.rendering import line

        print(line(diagnostic, kind="warning"), file=sys.stderr)
    return distribution.version() or "(not installed: running from its sources)"


def _compose(arguments: argparse.Namespace) -> "Composed":
    from specflow.compose import compose

    return compose(arguments.overrides, config_dirs=arguments.config_dir)


def _run_of_python(arguments: argparse.Namespace) -> Any:
    """The run that a command names, if it was made in Python; its parts imported."""
    from specflow.compose.recorded_python import recorded_run

    made = recorded_run(
        arguments.overrides, input=arguments.input, config_dirs=arguments.config_dir
    )
    config = {
        "--split": getattr(arguments, "split", "eval") != "eval",
        "--rows-of": getattr(arguments, "rows_of", None) is not None,
    }
    refused = [name for name, is_given in config.items() if is_given] if made else []
    if made is None and arguments.input is not None:
        refused = ["--input"]
    if refused:
        kind, instead = (
            ("made in Python: no config names its data", "--input MODULE:FUNCTION")
            if made
            else ("made by a config, which names its data", "--split, or data=...")
        )
        raise ConfigError(
            *(
                Diagnostic(
                    name,
                    f"is given, and the run was {kind}",
                    expected=instead,
                    origin="command line",
                    code="usage",
                )
                for name in refused
            )
        )
    return made


def _compose_run(arguments: argparse.Namespace) -> "Composed":
    """An experiment whose base is a run, which must be named."""
    named = any(line.startswith("run=") for line in arguments.overrides)
    composed = _compose(arguments) if named else None
    if composed is None or composed.run is None:
        bare = (word for word in arguments.overrides if os.path.isdir(word))
        raise ConfigError(
            Diagnostic(
                "run",
                "is missing",
                expected="run=DIR, the directory of a finished or stopped run",
                hint=next((did_you_mean(word, prefix="run=") for word in bare), ""),
                origin="command line",
                code="missing",
            )
        )
    _note_dropped(composed)
    return composed
