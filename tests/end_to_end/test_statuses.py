"""Exit statuses of commands, for users, scripts and schedulers."""

import json
import signal

import pytest


def test_a_user_error_is_status_2_and_one_document(specflow):
    done = specflow("train", "seed=-1", "mesh.axes.data=4", "--format", "json")
    assert (done.status, done.err) == (2, "")
    found = json.loads(done.out)
    assert found["status"] == 2
    assert [one["code"] for one in found["diagnostics"]] == ["range"]
    # What is found when the devices are known has its place as well.
    later = specflow("check", "mesh.axes.data=4", "--format", "json")
    assert later.status == 2
    (diagnostic,) = json.loads(later.out)["diagnostics"]
    assert (diagnostic["code"], diagnostic["key"]) == ("mesh-devices", "mesh.axes")
    assert diagnostic["origin"] == {"override": "mesh.axes.data=4"}


def test_a_missing_device_is_status_75(specflow, quick):
    done = specflow(
        "train", *quick, "output.dir=run", "--format=json", env={"JAX_PLATFORMS": "tpu"}
    )
    assert done.status == 75
    (diagnostic,) = json.loads(done.out)["diagnostics"]
    assert (diagnostic["code"], diagnostic["key"]) == ("no-device", "JAX_PLATFORMS=tpu")
    assert not (specflow.cwd / "run").exists()


def test_a_directory_that_another_process_writes_is_status_75(specflow, quick):
    """Later it may be free."""
    import fcntl

    (specflow.cwd / "run").mkdir()
    with (specflow.cwd / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = specflow("train", *quick, "loop.train_steps=4", "output.dir=run")
    assert done.status == 75
    (line,) = done.errors
    assert line.startswith("error[run-locked] run: process ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_is_status_128_plus_its_number(
    specflow, quick, wait_for, number, status
):
    process = specflow.start(
        "train", *quick, "loop.train_steps=100000", "output.checkpoint.every=20",
        "output.dir=run",
    )  # fmt: skip
    wait_for(specflow.cwd / "run" / "checkpoints" / "20", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "error" not in err
