"""Signals in every phase of a run: it saves, ends in time, and resumes bit for bit."""

import functools
import random
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.soak.cases import Case
from tests.soak.kills import conclude, final_problems
from tests.soak.processes import Ended, Workplace
from tests.soak.report import Tally
from tests.soak.runs import Reference, problems_of_checkpoints

__all__ = ["PHASES", "signal_cases"]

_WRITER = "specflow.output.checkpoint.checkpoint_writer:CheckpointWriter"
PHASES = {
    "importing": "specflow.cli.main::1",
    "composing": "specflow.compose.overrides:compose:1",
    "starting": "specflow.commands.jax_session:start:1",
    "opening": "specflow.output.run.run_directory:open_run:1",
    "compiling": "specflow.executor.program:Program.train:1",
    "training": "specflow.executor.program:Program.train:9",
    "saving": f"{_WRITER}.start:2",
    "writing": f"{_WRITER}._prepare:2",
    "evaluating": "specflow.loop.evaluate:evaluate:2",
    "exporting": "specflow.output.export.exporting:write_export:1",
    "waiting": "specflow.estimator.training:Training._finish_writing:1",
    "finishing": "specflow.commands.train_result:TrainResult.of:1",
    "closing": "specflow.commands.train_result:TrainResult.print:1",
}
"""Phase -> `module:attribute:n`, at whose n-th call the signal arrives."""
_SAVED = ("compiling", "training", "saving", "writing", "evaluating", "exporting")
"""Phases in which a request to stop saves the state and has its exit status."""
_HANDLED = {signal.SIGINT: 130, signal.SIGTERM: 143}
_OTHERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT)
"""Signals that end a process at once, as a kill does."""
TWICE = "2,2"


def signal_cases(
    reference: Reference, *, seed: int, share: float = 1.0
) -> Iterator[Case]:
    """Sends signals to an experiment in its phases.

    Args:
        share: of all pairs of a phase and a signal; a random choice below 1.
    """
    experiment = reference.experiment
    rng = random.Random(f"{seed} signal {experiment.name}")
    numbers = [str(int(number)) for number in (*_HANDLED, *_OTHERS)]
    cases = [(phase, sent) for phase in PHASES for sent in (*numbers, TWICE, "15,15")]
    if experiment.script is not None or not reference.exports:
        cases = [case for case in cases if case[0] != "exporting"]
    if experiment.script is not None:
        # A script has no handler of specflow's, and no phases of a command.
        cases = [case for case in cases if case[0] in _SAVED]
    chosen = set(rng.sample(cases, max(1, round(share * len(cases)))))
    for phase in PHASES:
        signals = [sent for at, sent in cases if at == phase and (at, sent) in chosen]
        if signals:
            attempt = functools.partial(_stop_and_resume, reference, phase, signals)
            name = f"{' '.join(signals)} while {phase}"
            yield Case("signal", experiment.name, name, seed, attempt)


def _stop_and_resume(
    reference: Reference,
    phase: str,
    signals: Sequence[str],
    workplace: Workplace,
    tally: Tally,
) -> None:
    """Sends each signal to the run that the one before has stopped."""
    experiment, waiting, number = reference.experiment, [*signals], 0
    while waiting:
        directory, number = workplace.folder / f"run-{number}", number + 1
        outcomes: list[tuple[str, list[str]]] = []
        while waiting:
            hooks = {"SOAK_AT": PHASES[phase], "SOAK_SIGNALS": waiting[0]}
            if experiment.processes > 1:
                hooks |= {"SOAK_INDEX": "0", "SOAK_TARGET": "parent"}
            ended = workplace.run(experiment.program(directory), **hooks)
            if outcomes and ended.exit_s is None and ended.status == 0:
                break  # What is left of this run does not have the phase.
            sent = waiting.pop(0)
            if ended.hung:
                outcomes.append(("hung", [f"{sent}: hung: {ended.err}"]))
                continue
            tally.exit_s += [] if ended.exit_s is None else [ended.exit_s]
            problems = _problems(reference, ended, phase, sent, directory)
            outcomes.append(("lost", [f"{sent}: {problem}" for problem in problems]))
        final = workplace.run(experiment.program(directory))
        conclude(tally, outcomes, final_problems(reference, directory, final))


def _problems(
    reference: Reference, ended: Ended, phase: str, sent: str, directory: Path
) -> list[str]:
    problems = []
    if (directory / "checkpoints").is_dir():
        problems += problems_of_checkpoints(directory, reference)
    number, *again = map(int, sent.split(","))
    if ended.exit_s is None:
        return [*problems, f"the signal was never sent; status {ended.status}"]
    allowed = {-number, 128 + number}
    is_saved = not again and number in _HANDLED and phase in _SAVED
    if reference.experiment.script is not None:
        # Python ends with 1 instead of by the signal if any thread evaluates code from
        # a text after an interrupt, as the import of a module may.
        allowed = {-number, 1} if number == signal.SIGINT else {-number}
        is_saved = False
    elif is_saved:
        allowed = {128 + number}
    if phase == "closing":
        allowed |= {0}  # The run is complete.
    if ended.status not in allowed:
        problems.append(f"ended with {ended.status}: {ended.err}")
    if "Traceback" in ended.err and reference.experiment.script is None:
        problems.append(f"printed a traceback: {ended.err}")
    if is_saved:
        stopped = re.search(r"^stopped at step (\d+) of", ended.err, re.MULTILINE)
        if stopped is None:
            problems.append(f"did not tell where it stopped: {ended.err}")
        elif not (directory / "checkpoints" / stopped[1]).is_dir():
            problems.append(f"did not save step {stopped[1]}")
    return problems
