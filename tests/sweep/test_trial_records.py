import multiprocessing

from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.trial_records import (
    TRIALS,
    TrialRecord,
    append_record,
    read_records,
)


def _record(number, status=TrialStatus.RUNNING, **fields):
    return TrialRecord(
        number=number,
        overrides={"optimizer.lr": "0.1"},
        directory=str(number),
        status=status,
        **fields,
    )


def test_the_last_record_of_a_trial_counts(tmp_path):
    done = _record(1, TrialStatus.COMPLETE, values={"loss": 0.5}, step=9, seconds=1.5)
    for record in (_record(1), _record(0), done):
        append_record(tmp_path, record)
    assert read_records(tmp_path) == {0: _record(0), 1: done}


def test_a_line_cut_by_a_crash_loses_itself_alone(tmp_path):
    append_record(tmp_path, _record(0))
    append_record(tmp_path, _record(1))
    whole = (tmp_path / TRIALS).read_bytes()
    second = whole.index(b"\n") + 1
    for length in range(second, len(whole) - 1):
        (tmp_path / TRIALS).write_bytes(whole[:length])
        assert list(read_records(tmp_path)) == [0]
        append_record(tmp_path, _record(2))
        assert list(read_records(tmp_path)) == [0, 2]


def test_values_that_are_not_finite_return(tmp_path):
    values = {"loss": float("inf")}
    append_record(tmp_path, _record(0, TrialStatus.COMPLETE, values=values))
    assert read_records(tmp_path)[0].values == values


def test_without_a_file_there_are_no_records(tmp_path):
    assert read_records(tmp_path / "missing") == {}


def _append(folder, start):
    for number in range(start, start + 50):
        append_record(folder, _record(number))


def test_processes_that_share_a_directory_lose_no_record(tmp_path):
    context = multiprocessing.get_context("spawn")
    starts = (0, 50, 100)
    processes = [context.Process(target=_append, args=(tmp_path, n)) for n in starts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert list(read_records(tmp_path)) == list(range(150))
