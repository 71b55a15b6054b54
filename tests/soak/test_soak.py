"""A small share of every campaign, and that campaigns notice what is wrong."""

import functools
import json
import random
import shutil
import signal
import time
from pathlib import Path

import jax.export
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specflow.output import Checkpointer
from tests.soak import damage, processes
from tests.soak.cases import Case, run_cases
from tests.soak.damage import Copy, faults, judge
from tests.soak.experiments import EXPERIMENTS
from tests.soak.full_disk import disk_cases, status_problems
from tests.soak.interrupted_writes import state_of, write_cases
from tests.soak.kills import conclude, final_problems, kill_cases
from tests.soak.processes import Ended, Workplace
from tests.soak.report import OUTCOMES, Records, Tally, failures, skips, table
from tests.soak.runs import Reference, content_of, contents, files_of
from tests.soak.signals import signal_cases


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("soak"))


@pytest.fixture(scope="module")
def reference(workplace):
    return Reference.of(EXPERIMENTS["dropout"], workplace, is_timed=False)


@pytest.fixture
def copy(tmp_path):
    """Checkpoints of steps 10 and 20, of which the latter is to be damaged."""
    source = tmp_path / "source"
    with Checkpointer(source) as checkpointer:
        for step in (10, 20):
            checkpointer.save(step, state_of(step), data={"next_index": step})
    return Copy(tmp_path / "copy", source, (10, 20))


def test_a_fault_in_any_file_of_a_checkpoint_never_gives_wrong_values(copy):
    rng, outcomes = random.Random(0), []
    files = files_of(copy.folder / "20")
    for path in files:
        content = path.read_bytes()
        for name, act in list(faults(path, rng, flips=3)):
            act()
            outcomes.append((path.name, name, *judge(copy)))
            path.write_bytes(content)
    assert len(outcomes) >= 5 * len(files) > 0
    assert [outcome for outcome in outcomes if outcome[2]] == []
    assert any("step 20 is damaged" in what for *_, what in outcomes)
    assert judge(copy) == ("", "restored the right values")


def test_other_values_than_those_that_were_saved_are_silent_damage(copy):
    shutil.rmtree(copy.folder / "20")
    with Checkpointer(copy.folder) as checkpointer:
        checkpointer.save(20, state_of(21), data={"next_index": 20})
    kind, what = judge(copy)
    assert (kind, what) == (
        "silent",
        "restored wrong values of ['params/b', 'params/w', 'step']",
    )


def test_a_restored_step_before_a_damaged_one_needs_a_warning(copy):
    shutil.rmtree(copy.folder / "20")
    assert judge(copy) == ("silent", "fell back with the notes []")


def test_a_call_that_does_not_end_is_hung(copy, monkeypatch):
    monkeypatch.setattr(damage, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(Checkpointer, "restore", lambda *_: time.sleep(60))
    assert judge(copy) == ("hung", "did not end in 0 s")


def passed(cases, workplace) -> Tally:
    """The sum of cases that have passed."""
    records = Records()
    run_cases(cases, workplace, records)
    assert failures(records.tallies) == []
    (tally,) = records.tallies
    return tally


def test_a_kill_at_a_file_operation_of_a_save_loses_no_complete_step(workplace):
    tally = passed(write_cases(seed=0, faults=12), workplace)
    assert tally.tried == tally.survived == 12


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_the_reference(reference, workplace):
    tally = passed(kill_cases(reference, kills=1, seed=3), workplace)
    assert (tally.tried, tally.survived) == (1, 1)


@pytest.mark.thorough
def test_a_signal_saves_and_the_run_ends_as_the_reference(reference, workplace):
    tally = passed(signal_cases(reference, seed=0, share=0.01), workplace)
    assert tally.tried == tally.survived == len(tally.exit_s) == 1


@pytest.mark.thorough
def test_a_run_on_a_full_disk_ends_as_the_reference(reference, workplace):
    *_, while_saving = disk_cases(reference, seed=1, attempts=3)
    assert passed([while_saving], workplace).tried == 1


@pytest.mark.parametrize(
    ("status", "is_script", "err", "problem"),
    [
        (75, False, "error: no space\n  hint", None),
        (1, True, "Traceback\nOSError: no space", None),
        (0, False, "", "ended with 0, though it could not write everything: "),
        (0, True, "", "ended with 0, though it could not write everything: "),
        (1, False, "error: x", "ended with 1: error: x"),
        (75, False, "error: x\nerror: y", "is not one message: error: x\nerror: y"),
    ],
)
def test_a_run_without_space_has_to_fail_with_one_message(
    status, is_script, err, problem
):
    ended = Ended(status, "", err, 1.0)
    assert status_problems(ended, is_script=is_script) == [problem] * bool(problem)


@pytest.mark.slow
def test_another_number_in_a_finished_run_is_noticed(reference, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reference.directory, run)
    for step in sorted(reference.steps)[:-3]:
        shutil.rmtree(run / "checkpoints" / str(step))
    assert reference.problems(run) == []
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(rows[:-1]))
    result = json.loads((run / "result.json").read_text())
    result["eval"]["loss"] = float(np.nextafter(result["eval"]["loss"], 1))
    (run / "result.json").write_text(json.dumps(result))
    (export,) = (run / "export" / "final").iterdir()
    weights = bytearray((export / "weights.bin").read_bytes())
    weights[-1] ^= 1
    (export / "weights.bin").write_bytes(weights)
    (run / "checkpoints" / "200.partial").mkdir()
    assert reference.problems(run) == [
        f"{run}: the rows of metrics.jsonl differ",
        f"{run}: the result differs",
        f"{run}: step 200/weights.bin of the exporter final differs",
        f"{run}: left behind: 200.partial",
    ]
    path = max(files_of(run / "checkpoints" / "200"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])
    problems = reference.problems(run)
    assert any("step 200 is listed and does not restore" in p for p in problems)


def test_an_interrupted_evaluation_is_no_difference_of_checkpoints(tmp_path):
    with Checkpointer(tmp_path / "checkpoints", keep=0) as checkpointer:
        for step, data in enumerate(
            [{"next": 1, "evaluation": 0}, {"next": 1, "evaluation": 1}, {"next": 2}]
        ):
            checkpointer.save(step, {"step": np.int32(1)}, data=data)
    first, second, other = (contents(tmp_path, step) for step in range(3))
    assert first == second != other


def test_exported_programs_are_compared_without_their_source_lines(tmp_path):
    functions = [
        lambda x: x + 1,
        lambda x: x + 1,
        lambda x: x + 2,
    ]
    paths = [tmp_path / f"{number}.jax_export" for number in range(3)]
    for path, function in zip(paths, functions, strict=True):
        path.write_bytes(jax.export.export(jax.jit(function))(1).serialize())
    assert len({path.read_bytes() for path in paths}) == 3
    first, second, other = map(content_of, paths)
    assert first == second != other


def test_a_process_that_does_not_end_is_hung(workplace, monkeypatch):
    monkeypatch.setattr(processes, "TIMEOUT_S", 0.3)
    ended = workplace.run(["-S", "-c", "import time; time.sleep(60)"])
    assert ended.hung
    assert ended.status == -signal.SIGKILL


def test_a_process_gets_signals_that_the_soak_ignores(workplace):
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        program = (
            f"import signal; print(*map(signal.getsignal, {[*map(int, numbers)]}))"
        )
        ended = workplace.run(["-S", "-c", program])
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_IGN] * 3
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert "default_int_handler" in ended.out
    assert ended.out.count("SIG_IGN") == 0


@pytest.mark.parametrize(
    ("final", "outcome", "problems"),
    [
        (Ended(-9, "", "e", 1.0, hung=True), "hung", ["run: the same command hung: e"]),
        (Ended(3, "", "e", 1.0), "lost", ["run: the same command ended with 3: e"]),
    ],
)
def test_a_last_command_that_hangs_is_hung_and_one_that_fails_is_lost(
    final, outcome, problems
):
    reference = Reference(EXPERIMENTS["ema"], Path("none"), {}, {}, {}, {}, 0.0)
    assert final_problems(reference, Path("run"), final) == (outcome, problems)


def test_every_fault_of_a_run_is_to_blame_for_its_end():
    def counts(outcomes, final):
        tally = Tally("kill", "ema")
        conclude(tally, outcomes, final)
        return tally.survived, tally.lost, tally.silent, tally.hung, tally.notes

    good, bad = ("lost", []), ("silent", ["wrong"])
    note, end = "kill, ema, : wrong", "kill, ema, : end"
    assert counts([good, good], good) == (2, 0, 0, 0, [])
    assert counts([good, bad], good) == (1, 0, 1, 0, [note])
    assert counts([good, bad], ("hung", ["end"])) == (0, 0, 1, 1, [end, note])
    # One that no fault explains counts for itself.
    assert counts([bad], ("hung", ["end"])) == (0, 0, 1, 1, [note, end])
    assert counts([], ("lost", ["end"])) == (0, 1, 0, 0, [end])


def test_a_case_has_a_folder_of_its_own_which_stays_if_it_failed(tmp_path):
    shared, seen = Workplace(tmp_path), []

    def attempt(problems, workplace, tally):
        seen.append(workplace)
        (workplace.folder / "run").mkdir()  # Fails if an earlier one has left it.
        tally.judge(problems)

    for problems in (["one"], [], ["two"]):
        once = functools.partial(attempt, problems)
        case = Case("kill", "ema", "kills 1 to 6", 0, once)
        assert case.run(shared).notes == [
            f"kill, ema, kills 1 to 6: {problem}" for problem in problems
        ]
        assert seen[-1].folder.exists() == bool(problems)
    assert [workplace.folder.name for workplace in seen] == [
        "kill-ema-kills-1-to-6"
    ] * 3
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        assert seen[0].environment({})[name] == shared.environment({})[name]


def test_a_campaign_that_was_cut_resumes_at_its_first_case_without_figures(tmp_path):
    ran, path = [], tmp_path / "figures"

    def cases(outcomes, seed=0):
        def attempt(name, outcome, workplace, tally):
            ran.append(name)
            if outcome is None:
                raise KeyboardInterrupt
            if outcome == "skipped":
                tally.skip("needs root")
            else:
                tally.judge([] if outcome == "survived" else ["wrong"], outcome)

        for number, outcome in enumerate(outcomes):
            once = functools.partial(attempt, number, outcome)
            yield Case("kill", "ema", f"kill {number}", seed, once)

    def run(outcomes, **options):
        ran.clear()
        records = Records(path)
        run_cases(cases(outcomes, **options), Workplace(tmp_path), records)
        return records.tallies

    with pytest.raises(KeyboardInterrupt):
        run(["survived", "silent", "skipped", None, "survived"])
    assert ran == [0, 1, 2, 3]
    # As though the process had been killed while it wrote a line.
    path.write_text(path.read_text() + '{"campaign": "ki')
    tallies = run(["survived"] * 5)
    assert ran == [1, 2, 3, 4]  # Failures and what was skipped are tried again.
    assert [tally.survived for tally in tallies] == [1] * 5
    assert Records(path).tallies == tallies
    assert run(["survived"] * 5) == tallies
    assert ran == []
    assert len(run(["survived"] * 5, seed=1)) == 10
    assert ran == [0, 1, 2, 3, 4]


@given(st.lists(st.sampled_from([*OUTCOMES, "skipped"])))
def test_what_was_tried_is_the_sum_of_all_outcomes(outcomes):
    tallies = []
    for number, outcome in enumerate(outcomes):
        tallies.append(tally := Tally("kill", f"experiment {number % 3}"))
        if outcome == "skipped":
            tally.skip("needs root")
        else:
            tally.judge([] if outcome == "survived" else ["one", "two"], outcome)
    header, *_, total = table(tallies).splitlines()
    assert header.split()[-3:] == ["silent", "hung", "skipped"]
    tried, survived, _, _, lost, silent, hung, skipped = total.split()[1:]
    counts = [outcomes.count(name) for name in (*OUTCOMES, "skipped")]
    assert [*map(int, (survived, lost, silent, hung, skipped))] == counts
    assert int(tried) == len(outcomes) - int(skipped)
    assert len(failures(tallies)) == 2 * (int(lost) + int(silent) + int(hung))
    expected = [f"skipped {skipped}: needs root"] if int(skipped) else []
    assert skips(tallies) == expected


def test_the_table_has_a_line_for_each_campaign_and_experiment():
    tallies = [
        Tally("kill", "ema", "1", survived=1, exit_s=[0.5, 1.5], steps_lost=7),
        Tally("disk", "ema", "1", survived=2, skipped=1, reasons=["needs root"]),
        Tally("kill", "ema", "2", silent=1, exit_s=[1.0], notes=["wrong"]),
    ]
    assert table(tallies) == (
        "campaign  experiment      tried  survived  steps lost  exit s (max)"
        "  lost  silent  hung  skipped\n"
        "disk      ema                 2         2           0             -"
        "     0       0     0        1\n"
        "kill      ema                 2         1           7   1.00 (1.50)"
        "     0       1     0        0\n"
        "all                           4         3           7   1.00 (1.50)"
        "     0       1     0        1"
    )
