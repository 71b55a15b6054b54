"""`hydra/launcher=specflow_ray` on a cluster of three small nodes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.conftest import (
    LONG,
    PACK,
    ROOT,
    SHORT,
    arrays,
    equal,
    facts,
    lines,
    log_of,
    saved,
    wait,
    workers,
)

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

RAY = "hydra/launcher=specflow_ray"


@pytest.fixture(scope="module")
def cluster():
    """The cluster as a process, which removes and adds a node; and its address."""
    folders = map(str, (ROOT, ROOT / "plugins"))
    environment = {
        "RAY_AUTH_MODE": "disabled",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(folders),
    }
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ray_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture
def address(cluster):
    return f"hydra.launcher.address={cluster[1]}"


def test_trials_are_those_of_the_launcher_of_this_machine(start, sweep, local, address):
    folder, table = local
    words = (*SHORT, "seed=1,2,3", RAY, address, "output.dir=ray")
    status, out, err = sweep(*words)
    assert status == 0, err
    assert out.replace("ray/", "local/") == table
    equal(start.cwd / "ray", folder)
    assert sorted(one for one in err.splitlines() if one.startswith("trial "))
    # Nothing is left to run, and no process is left.
    assert sweep(*words)[0] == 0
    assert len(lines(start.cwd / "ray")) == 6
    assert workers(start.cwd) == {}


def cores(folder):
    """Cores of each worker that runs in a folder."""
    return [frozenset(os.sched_getaffinity(worker)) for worker in workers(folder)]


def test_a_lost_ray_worker_costs_no_trial(start, sweep, address):
    folder = start.cwd / "lost"
    process = start(*LONG, "seed=1,2", RAY, address, "output.dir=lost")
    wait(lambda: len(workers(start.cwd)) == 2, process)
    if (os.cpu_count() or 1) > 1:
        # Each on a core of its own, though both nodes are this machine.
        wait(lambda: sorted(map(len, cores(start.cwd))) == [1, 1], process)
        assert len(set(cores(start.cwd))) == 2
    wait(lambda: saved(folder / "0"), process)
    found = workers(start.cwd)
    (worker,) = (one for one in found if log_of(one) == folder / "logs/0.log")
    os.kill(found[worker], signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    # It sees that its parent is gone, and ends.
    wait(lambda: not os.path.exists(f"/proc/{worker}"), None, seconds=30)
    assert " starts again (died): its process ended with its node or Ray" in err
    assert [one["attempts"] for one in facts(folder)] == [2, 1]
    assert sweep(*LONG, "seed=1,2", "output.dir=kept")[0] == 0
    for number in ("0", "1"):
        assert arrays(folder / number) == arrays(start.cwd / "kept" / number)


def test_a_lost_node_costs_no_trial(start, cluster, address):
    folder = start.cwd / "node"
    leased = "+hydra.launcher.resources_per_trial.spot=1"
    process = start(*LONG, "seed=1", RAY, address, leased, "output.dir=node")
    wait(lambda: saved(folder / "0"), process)
    cluster[0].stdin.write("\n")
    cluster[0].stdin.flush()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert [(one["status"], one["attempts"]) for one in facts(folder)] == [
        ("complete", 2)
    ]


def gpus(worker):
    """GPUs that a process sees."""
    variables = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    values = dict(one.split(b"=", 1) for one in variables if b"=" in one)
    return values[b"CUDA_VISIBLE_DEVICES"].decode()


def test_a_killed_sweep_leaves_no_process_and_resumes(start, sweep, address):
    folder = start.cwd / "killed"
    leased = "hydra.launcher.gpus_per_trial=1"
    words = (*LONG, "seed=1,2", RAY, address, leased, "output.dir=killed")
    process = start(*words)
    wait(lambda: len(workers(start.cwd)) == 2, process)
    assert sorted(map(gpus, workers(start.cwd))) == ["0", "1"]
    wait(lambda: saved(folder / "0"), process)
    process.kill()
    process.communicate()
    until = time.monotonic() + 60
    while workers(start.cwd):
        assert time.monotonic() < until
        time.sleep(0.1)
    status, _, err = sweep(*words)
    assert status == 0, err
    assert "resumes from step " in (folder / "logs/0.log").read_text()
    assert [one["status"] for one in facts(folder)] == ["complete"] * 2


def test_ctrl_c_saves_the_running_trials(start, address):
    folder = start.cwd / "stopped"
    endless = (*LONG, "loop.train_steps=1_000_000", "seed=1,2")
    words = (*endless, RAY, address, "output.dir=stopped")
    process = start(*words, start_new_session=True)
    wait(lambda: saved(folder / "0") and saved(folder / "1"), process)
    before = [saved(folder / number) for number in ("0", "1")]
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert (
        "stopped: 0 of 2 trials are complete; the same command with output.dir=stopped "
        "resumes\n" in err
    )
    log = (folder / "logs/0.log").read_text()
    step = int(log.rpartition("stopped at step ")[2].split()[0])
    assert saved(folder / "0") == step >= before[0]
    assert workers(start.cwd) == {}


def test_a_pack_is_a_task_and_a_lost_worker_costs_none_of_its_trials(
    start, sweep, local, address
):
    packed = (RAY, address, *PACK)
    assert sweep(*SHORT, "seed=1,2,3", *packed, "output.dir=pack")[0] == 0
    equal(start.cwd / "pack", local[0])
    folder = start.cwd / "lost_pack"
    process = start(*LONG, "seed=1,2", *packed, "output.dir=lost_pack")
    wait(lambda: all(saved(folder / number) for number in ("0", "1")), process)
    ((worker, parent),) = workers(start.cwd).items()
    os.kill(parent, signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert not os.path.exists(f"/proc/{worker}")
    assert [one["attempts"] for one in facts(folder)] == [2, 2]
    assert sweep(*LONG, "seed=1,2", "output.dir=serial")[0] == 0
    for number in ("0", "1"):
        assert arrays(folder / number) == arrays(start.cwd / "serial" / number)


def test_a_search_prunes_trials_on_the_cluster(start, sweep, address):
    pytest.importorskip("optuna")
    status, _, err = sweep(
        *SHORT,
        "loop.train_steps=40",
        "loop.eval_every=4",
        "sweep=asha",
        "sweep.trials=6",
        "sweep.pruner.min_resource=4",
        "sweep.pruner.reduction_factor=2",
        "sweep.sampler.name=random",
        "optimizer.lr=tag(log,interval(1e-6,1e-1))",
        RAY,
        address,
        "output.dir=search",
    )
    assert status == 0, err
    statuses = [one["status"] for one in facts(start.cwd / "search")]
    assert len(statuses) == 6
    assert set(statuses) == {"complete", "pruned"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["hydra.launcher.gpus_per_trial=3"],
            "error[cluster] hydra.launcher: no node of the Ray cluster has what a "
            "trial needs: CPU 1, GPU 3. Lease less by cpus_per_trial, gpus_per_trial "
            "and resources_per_trial, or start a larger node.\n",
        ),
        (
            ["hydra.launcher.address=127.0.0.1:1"],
            "error[cluster] hydra.launcher.address: got 127.0.0.1:1: [Errno 111] "
            "Connection refused. Expected host:port of a running Ray cluster, or null: "
            "this machine. `ray status --address=host:port` shows whether it does.\n",
        ),
    ],
)
def test_a_cluster_that_does_not_fit_is_one_error(
    start, sweep, address, options, message
):
    words = (*SHORT, "seed=1,2", RAY, address, *options, "output.dir=none")
    status, out, err = sweep(*words)
    assert (status, out) == (2, "")
    assert err.endswith(message)
    assert not (start.cwd / "none/trials.jsonl").exists()
