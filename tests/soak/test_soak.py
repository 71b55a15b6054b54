"""A small share of every campaign, and that campaigns notice what is wrong."""

import json
import random
import shutil
import signal

import numpy as np
import pytest

from specflow.output import Checkpointer
from tests.soak import processes
from tests.soak.damage import Copy, faults, judge
from tests.soak.experiments import EXPERIMENTS
from tests.soak.full_disk import disk_campaign
from tests.soak.interrupted_writes import state_of, write_campaign
from tests.soak.kills import kill_campaign
from tests.soak.processes import Workplace
from tests.soak.report import Tally, failures, read, record, table
from tests.soak.runs import Reference, files_of
from tests.soak.signals import signal_campaign


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("soak"))


@pytest.fixture(scope="module")
def reference(workplace):
    return Reference.of(EXPERIMENTS["dropout"], workplace)


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


def test_a_kill_at_a_file_operation_of_a_save_loses_no_complete_step(workplace):
    tally = write_campaign(workplace, seed=0, faults=12)
    assert failures([tally]) == []
    assert tally.tried >= 7


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_the_reference(reference, workplace):
    tally = kill_campaign(reference, workplace, kills=1, seed=3)
    assert failures([tally]) == []
    assert (tally.tried, tally.survived) == (1, 1)


@pytest.mark.slow
def test_a_signal_saves_and_the_run_ends_as_the_reference(reference, workplace):
    tally = signal_campaign(reference, workplace, seed=0, share=0.01)
    assert failures([tally]) == []
    assert tally.tried == tally.survived == len(tally.exit_s) == 1


@pytest.mark.slow
def test_a_run_on_a_full_disk_ends_as_the_reference(reference, workplace):
    tally = disk_campaign(reference, workplace, seed=1, attempts=1)
    assert failures([tally]) == []
    assert tally.tried == 1


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
    (run / "checkpoints" / "200.partial").mkdir()
    assert reference.problems(run) == [
        f"{run}: the rows of metrics.jsonl differ",
        f"{run}: the result differs",
        f"{run}: left behind: 200.partial",
    ]
    path = max(files_of(run / "checkpoints" / "200"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])
    problems = reference.problems(run)
    assert any("step 200 is listed and does not restore" in p for p in problems)


def test_a_process_that_does_not_end_is_hung(workplace, monkeypatch):
    monkeypatch.setattr(processes, "TIMEOUT_S", 0.3)
    ended = workplace.run(["-S", "-c", "import time; time.sleep(60)"])
    assert ended.hung
    assert ended.status == -signal.SIGKILL


def test_figures_are_joined_by_experiment_and_kept_in_a_file(tmp_path):
    first, second = Tally("kill", "ema"), Tally("kill", "ema", steps_lost=7)
    first.survive()
    second.survive("one", "two", kind="silent")
    second.exit_s = [0.5, 1.5, 1.0]
    for tally in (first, second):
        record(tmp_path / "figures", tally)
    both = read(tmp_path / "figures")
    assert both == [first, second]
    assert failures(both) == ["kill, ema: one", "kill, ema: two"]
    header, line, total = table(both).splitlines()
    assert (
        header.split()
        == (
            "campaign experiment tried survived steps lost "
            "exit s (max) lost silent hung"
        ).split()
    )
    assert line.split() == "kill ema 2 1 7 1.00 (1.50) 0 1 0".split()
    assert total.split()[1:] == line.split()[2:]
