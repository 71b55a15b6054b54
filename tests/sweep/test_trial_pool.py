"""The pool of workers, over workers that compute nothing."""

import os
import resource
import signal
import sys
import threading
import time
import types

import pytest

from specflow.sweep.pool.slurm_job import SlurmJob
from specflow.sweep.pool.trial import Trial, TrialStatus
from specflow.sweep.pool.trial_pool import SweepStopped, TrialPool
from specflow.sweep.pool.worker_process import WorkerProcess, local_workers

COMMAND = (sys.executable, "-m", "tests.sweep.fake_worker")


def pool_of(workers=1, **options):
    return TrialPool(local_workers(COMMAND, workers), workers=workers, **options)


def outcomes(*trials, **options):
    """Number -> outcome of trials that do the given actions."""
    with pool_of(**options) as pool:
        for number, actions in enumerate(trials):
            pool.submit(
                Trial(number=number, overrides=tuple(actions), directory=str(number))
            )
        ended = [pool.next_outcome() for _ in trials]
    assert len({one.number for one in ended}) == len(trials)
    return {one.number: one for one in ended}


def test_one_worker_runs_all_trials_in_order():
    ended = outcomes([], [], [])
    assert list(ended) == [0, 1, 2]
    assert len({one.result["pid"] for one in ended.values()}) == 1
    assert {one.status for one in ended.values()} == {TrialStatus.COMPLETE}


@pytest.fixture
def thousand_open_files():
    """More than `select` can wait for."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_with_many_open_files_runs_trials(thousand_open_files):
    assert list(outcomes([], [])) == [0, 1]


def test_a_worker_that_dies_costs_its_running_trial_alone():
    ended = outcomes([], [f"die={signal.SIGKILL:d}"], ["exit=3"], [], retries=1)
    assert [ended[n].status for n in range(4)] == [
        TrialStatus.COMPLETE,
        TrialStatus.FAILED,
        TrialStatus.FAILED,
        TrialStatus.COMPLETE,
    ]
    assert ended[1].failure == ended[2].failure == "died"
    assert ended[1].error == (
        "its process ended with signal 9, as when memory runs out"
    )
    assert ended[2].error == "its process ended with exit status 3"
    assert ended[0].result["pid"] != ended[3].result["pid"]
    assert [ended[number].attempts for number in range(4)] == [1, 2, 2, 1]


def once(folder, action):
    """An action of the first attempt of a trial alone."""
    return f"once={folder / action.partition('=')[0]}:{action}"


@pytest.mark.parametrize(
    ("action", "failure", "error"),
    [
        ("exit=3", "died", "its process ended with exit status 3"),
        ("fail=out-of-memory", "out-of-memory", "bad luck"),
        ("fail=machine", "machine", "bad luck"),
        ("stop", "preempted", "its process was stopped"),
    ],
)
def test_what_may_succeed_runs_again_in_a_new_process(tmp_path, action, failure, error):
    retried, started = [], []
    ended = outcomes(
        [],
        [once(tmp_path, action)],
        [],
        retries=1,
        on_retry=retried.append,
        on_start=lambda trial: started.append(trial.number),
    )
    assert [(one.number, one.failure, one.error) for one in retried] == [
        (1, failure, error)
    ]
    assert [ended[n].status for n in range(3)] == [TrialStatus.COMPLETE] * 3
    assert [ended[n].attempts for n in range(3)] == [1, 2, 1]
    assert started == [0, 1, 2]
    if failure != "preempted":
        assert ended[0].result["pid"] != ended[1].result["pid"]


@pytest.mark.parametrize("action", ["print=", "exit=3", "fail=machine", "stop"])
def test_a_trial_that_is_prepared_meanwhile_starts_in_its_turn(tmp_path, action):
    started = []
    ended = outcomes(
        ["ask", once(tmp_path, action)],
        [],
        [],
        retries=1,
        on_start=lambda trial: started.append(trial.number),
    )
    assert {one.status for one in ended.values()} == {TrialStatus.COMPLETE}
    assert ended[0].result["ahead"] == "1"
    assert list(ended) == started == [0, 1, 2]
    attempts = 1 if action == "print=" else 2
    assert [ended[number].attempts for number in range(3)] == [attempts, 1, 1]


@pytest.mark.parametrize("failure", ["config", "nan", "bug", "cancelled"])
def test_what_fails_again_is_not_retried(failure):
    ended = outcomes([f"fail={failure}"], retries=5)
    assert (ended[0].failure, ended[0].attempts) == (failure, 1)


def test_out_of_memory_is_retried_once():
    ended = outcomes(["fail=out-of-memory"], ["fail=machine"], retries=3)
    assert (ended[0].attempts, ended[1].attempts) == (2, 4)


class Late(WorkerProcess):
    """A worker that is ready some time after it was started, or never."""

    def __init__(self, index):
        super().__init__(COMMAND, {"LATE": "never" if index else "0.3"})
        self.is_ready = False


def test_trials_wait_for_no_worker_that_is_not_ready():
    options = {"workers": 2, "retries": 3}
    with TrialPool(Late, **options) as pool:
        for number in range(3):
            pool.submit(Trial(number=number, overrides=(), directory=""))
        ended = [pool.next_outcome() for _ in range(3)]
    assert {one.status for one in ended} == {TrialStatus.COMPLETE}
    assert len({one.result["pid"] for one in ended}) == 1


def test_a_worker_that_never_starts_costs_a_bounded_number_of_attempts():
    class Broken(WorkerProcess):
        def __init__(self, _):
            super().__init__((sys.executable, "-c", "raise SystemExit(5)"), {})
            self.is_ready = False

    with TrialPool(Broken, retries=1) as pool:
        for number in range(2):
            pool.submit(Trial(number=number, overrides=(), directory=""))
        ended = [pool.next_outcome() for _ in range(2)]
    assert [(one.failure, one.error, one.attempts) for one in ended] == [
        ("died", "its process ended with exit status 5", 2)
    ] * 2


def test_a_trial_that_fails_costs_no_worker():
    ended = outcomes([], ["fail=nan"], [])
    assert (ended[1].error, ended[1].failure) == ("bad luck", "nan")
    assert ended[0].result["pid"] == ended[2].result["pid"]


def test_reports_are_answered_before_a_trial_goes_on():
    seen = []

    def prune(reports):
        seen.extend((one.number, one.step, one.metrics["loss"]) for one in reports)
        return [one.number for one in reports if (one.number, one.step) == (1, 20)]

    each = ["report=10", "report=20", "report=30"]
    ended = outcomes(each, each, on_reports=prune)
    assert seen == [(0, 10, 1), (0, 20, 1), (0, 30, 1), (1, 10, 1), (1, 20, 1)]
    assert (ended[0].status, ended[1].status) == (
        TrialStatus.COMPLETE,
        TrialStatus.PRUNED,
    )
    assert ended[1].result["step"] == 20


def test_a_trial_that_needs_another_process_gets_one_and_starts_once():
    started = []
    ended = outcomes(
        [], ["decline=yes"], [], on_start=lambda trial: started.append(trial.number)
    )
    assert {one.status for one in ended.values()} == {TrialStatus.COMPLETE}
    assert ended[0].result["pid"] != ended[1].result["pid"] == ended[2].result["pid"]
    assert started == [0, 1, 2]


def test_workers_divide_the_cores():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores")
    began = time.monotonic()
    ended = outcomes(["wait=0.5"], ["wait=0.5"], workers=2)
    assert len({one.result["pid"] for one in ended.values()}) == 2
    assert sum(one.seconds for one in ended.values()) > time.monotonic() - began


def test_the_output_of_a_trial_can_go_to_the_process_of_the_sweep(capfd):
    outcomes(["print=hello"])
    assert capfd.readouterr().out == "hello\n"


def test_a_signal_stops_the_running_trial_and_starts_no_other():
    started, handler = [], signal.getsignal(signal.SIGINT)

    def interrupt(trial):
        started.append(trial.number)
        args = os.getpid(), signal.SIGINT
        threading.Timer(0.3, os.kill, args).start()

    with pytest.raises(SweepStopped) as stopped:
        outcomes(["wait=30"], [], on_start=interrupt)
    assert stopped.value.exit_code == 130
    assert started == [0]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("failure", "ends"), [("machine", False), ("died", False), ("nan", True)]
)
def test_what_may_succeed_is_left_to_the_sweep_that_resumes(failure, ends):
    """A trial that fails while the sweep stops."""
    ended = []
    stop = lambda _: pool.stop(signal.SIGINT) or ()  # noqa: E731
    with pool_of(retries=1, on_reports=stop) as pool:
        actions = ("catch=1", f"fail={failure}")
        pool.submit(Trial(number=0, overrides=actions, directory=""))
        with pytest.raises(SweepStopped):
            ended.extend(iter(pool.next_outcome, None))
    assert [one.failure for one in ended] == [failure] * ends


def test_the_signal_of_a_sweep_is_no_second_one_of_a_worker_that_got_it_too(capfd):
    """A manager of services sends SIGTERM to all processes."""
    stop = lambda _: os.kill(os.getpid(), signal.SIGTERM) or ()  # noqa: E731
    with pytest.raises(SweepStopped) as stopped:
        outcomes(["save="], on_reports=lambda reports: stop(reports))
    assert stopped.value.exit_code == 143
    assert set(capfd.readouterr().out.split()) == {"heard", f"{signal.SIGINT:d}"}


class Requeued(BaseException):
    """submitit has ended the process of a job."""


@pytest.mark.parametrize("first", ["start", "report"])
def test_a_job_that_is_preempted_while_it_handles_a_message_is_requeued(
    tmp_path, monkeypatch, first
):
    """The signal arrives in the midst of what the supervisor of the job does."""
    job = SlurmJob(
        (Trial(number=0, overrides=("save=",), directory=""),),
        tmp_path / "events",
        COMMAND,
        {"logs": tmp_path},
    )
    write = job._write

    def interrupted(event):
        if first in event:
            os.kill(os.getpid(), signal.SIGUSR2)
        write(event)

    def requeue(*_):
        assert job.checkpoint() == "again"
        raise Requeued

    submitit = types.SimpleNamespace(DelayedSubmission=lambda _: "again")
    monkeypatch.setitem(sys.modules, "submitit.helpers", submitit)
    monkeypatch.setattr(job, "_write", interrupted)
    former = signal.signal(signal.SIGUSR2, requeue)
    with pytest.raises(Requeued):
        job()
    signal.signal(signal.SIGUSR2, former)


def test_an_empty_pool_has_no_next_outcome():
    with pool_of() as pool, pytest.raises(LookupError):
        pool.next_outcome()


def test_no_worker_outlives_its_pool():
    ended = outcomes([])
    with pytest.raises(ProcessLookupError):
        os.kill(ended[0].result["pid"], 0)


def test_a_worker_that_dies_costs_its_pack_which_runs_again_one_by_one(tmp_path):
    actions = [once(tmp_path, "exit=3")], [], []
    retried = []
    pack = {"pack": "map", "trials_per_pack": 3}
    ended = outcomes(*actions, retries=0, on_retry=retried.append, **pack)
    assert {one.status for one in ended.values()} == {TrialStatus.COMPLETE}
    assert [ended[number].attempts for number in range(3)] == [2, 2, 2]
    assert sorted(one.number for one in retried) == [0, 1, 2]
    assert [ended[number].result["pack"] for number in range(3)] == [None] * 3


def test_a_worker_of_packs_gets_as_many_trials_as_it_runs():
    with pool_of(pack="vmap", trials_per_pack=3) as pool:
        assert pool.slots == 3
        for number in range(5):
            pool.submit(Trial(number=number, overrides=(), directory=""))
        ended = [pool.next_outcome() for _ in range(5)]
    assert {one.result["pack"] for one in ended} == {"vmap"}
    assert len({one.result["pid"] for one in ended}) == 1
