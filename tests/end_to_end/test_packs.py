"""Packs of trials as a user runs them: the files, the failures and the search."""

import json
import os
import signal
import time

import pytest

from specflow.sweep.trial_records import TRIALS, read_records
from tests.end_to_end.conftest import QUICK
from tests.end_to_end.test_sweep import _children, _started, arrays, evaluation, names

pytestmark = pytest.mark.slow

RUN = (*QUICK[:-1], "loop.train_steps=40", "loop.batch_size=32", "loop.eval_every=10")
MAP = ("hydra.launcher.pack=map", "hydra.launcher.trials_per_pack=4")


@pytest.mark.usefixtures("compiled_as_a_users")
def test_a_pack_leaves_what_trials_one_after_another_leave(specflow, tmp_path):
    words = ("train", "-m", *RUN, "optimizer.lr=1e-3,1e38,1e-2", "seed=1,2")
    # Each trial is on one of them; those of a pack are on all.
    words = (*words, "mesh.pretend_devices=2")
    assert specflow(*words, "output.dir=serial").status == 2
    done = specflow(*words, *MAP, "output.dir=map")
    assert done.status == 2, done.err
    assert "note: " not in done.err
    statuses = [one.status for one in read_records(tmp_path / "map").values()]
    assert statuses == [*["complete"] * 2, *["failed"] * 2, *["complete"] * 2]
    for number in (0, 1, 4, 5):
        serial, packed = tmp_path / f"serial/{number}", tmp_path / f"map/{number}"
        assert names(packed) == names(serial)
        assert arrays(packed) == arrays(serial)
        assert evaluation(packed) == evaluation(serial)
        lines = [(run / "metrics.jsonl").read_text() for run in (packed, serial)]
        assert lines[0] == lines[1]
        assert f"map/{number}" in (tmp_path / f"map/logs/{number}.log").read_text()
    failed = {one.failure for one in read_records(tmp_path / "map").values()}
    assert failed == {"", "nan"}
    again = specflow("train", "run=map/4", "output.dir=again")
    assert "same program" in again.err
    assert arrays(tmp_path / "again") == arrays(tmp_path / "map/4")


def _begun(folder, process, count):
    """Waits until that many trials have reported a step."""
    while process.poll() is None:
        files = list(folder.glob("*/metrics.jsonl"))
        if sum(file.stat().st_size > 0 for file in files) >= count:
            return
        time.sleep(0.01)


def test_a_signal_reaches_all_trials_of_a_pack_and_a_kill_costs_it(specflow, tmp_path):
    folder = tmp_path / "sweep"
    words = ("train", "-m", *RUN[:-3], "loop.train_steps=12000", "seed=1,2,3")
    words = (*words, "loop.batch_size=32", *MAP, f"output.dir={folder}")
    process = specflow.start(*words, start_new_session=True)
    _begun(folder, process, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, errors
    saved = [
        max(int(path.name) for path in (folder / f"{number}/checkpoints").iterdir())
        for number in range(3)
    ]
    assert min(saved) > 0
    for number in range(3):
        assert "once more to stop" in (folder / f"logs/{number}.log").read_text()
    before = len((folder / TRIALS).read_text().splitlines())
    process = specflow.start(*words)
    _started(folder, process, before + 3)
    os.kill(min(_children(process.pid)), signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert errors.count("starts again (died): its process ended with signal 9") == 3
    records = read_records(folder)
    assert [one.attempts for one in records.values()] == [2, 2, 2]
    assert {one.status for one in records.values()} == {"complete"}
    for number in range(3):
        assert "resumes from step" in (folder / f"logs/{number}.log").read_text()


def test_a_search_fills_packs_and_prunes_inside_of_them(specflow, tmp_path):
    words = ("train", "-m", *RUN, "sweep=asha", "sweep.trials=6")
    rates = "optimizer.lr=tag(log,interval(1e-6,1e-1))"
    done = specflow(*words, *MAP, rates, "output.dir=sweep", "sweep.seed=3")
    assert done.status == 0, done.err
    lines = (tmp_path / "sweep/trials.jsonl").read_text().splitlines()
    statuses = [json.loads(line)["status"] for line in lines]
    # Four begin before one ends; then each is replaced.
    assert statuses[:4] == ["running"] * 4
    assert statuses.count("running") == 6
    records = read_records(tmp_path / "sweep").values()
    pruned = [one for one in records if one.status == "pruned"]
    complete = [one for one in records if one.status == "complete"]
    assert pruned
    assert len(pruned) + len(complete) == 6
    assert {one.step for one in complete} == {40}
    assert {one.step for one in pruned} <= {10, 20, 30}


def test_an_unknown_pack_is_refused(specflow):
    words = ("train", "-m", *RUN, "seed=1,2")
    done = specflow(*words, "hydra.launcher.pack=scan")
    message = "hydra.launcher.pack: got 'scan'. Expected serial, map, vmap or auto."
    assert (done.status, done.errors) == (2, [f"error[sweep] {message}"])
