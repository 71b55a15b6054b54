"""The same command resumes a stopped or killed process, bit for bit."""

import json
import re
import signal

import pytest

STEPS = ("loop.train_steps=400", "loop.eval_every=100", "output.checkpoint.every=20")
"""Twenty checkpoints, which take long enough to stop the run between two."""


def command(quick, directory):
    loops = ("loop.iterations_per_loop=7", "loop.log_every=10")
    return ("train", *quick, *loops, *STEPS, f"output.dir={directory}")


@pytest.mark.slow
def test_a_run_stopped_by_ctrl_c_or_killed_resumes_bit_for_bit(
    specflow, quick, rows_of, digests_of, wait_for
):
    whole = specflow.start(*command(quick, "whole"))
    whole_words = whole.communicate(timeout=120)
    assert whole.returncode == 0, whole_words
    run = specflow.cwd / "whole"
    rows, saved = rows_of(run), digests_of(run, 400)
    assert rows[-1]["split"] == "eval"

    killed = specflow.start(*command(quick, "killed"))
    wait_for(specflow.cwd / "killed" / "checkpoints" / "60", killed)
    killed.kill()
    killed.communicate()
    assert not (specflow.cwd / "killed" / "result.json").exists()

    stopped = specflow.start(*command(quick, "stopped"))
    wait_for(specflow.cwd / "stopped" / "checkpoints" / "60", stopped)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate()
    assert stopped.returncode == 130
    assert err.splitlines()[-1] == (
        f"stopped at step {step_in(err)} of 400; the same command with "
        "output.dir=stopped resumes there"
    )
    assert "stopping: the state is being saved (once more to stop at once)" in err
    assert "Traceback" not in err
    assert not (specflow.cwd / "stopped" / "result.json").exists()
    assert (specflow.cwd / "stopped" / "checkpoints" / str(step_in(err))).is_dir()

    for name in ("killed", "stopped"):
        done = specflow(*command(quick, name))
        assert done.status == 0, done.err
        assert re.match(r"digits_mlp resumes from step \d+: ", done.err)
        again = specflow.cwd / name
        assert digests_of(again, 400) == saved
        assert rows_of(again) == rows
        results = [
            json.loads((directory / "result.json").read_text())
            for directory in (run, again)
        ]
        assert results[0]["eval"] == results[1]["eval"]


def step_in(err):
    found = re.search(r"^stopped at step (\d+) of", err, re.MULTILINE)
    assert found, err
    return int(found[1])


@pytest.mark.slow
def test_ten_steps_and_ten_more_in_a_new_process_equal_twenty(
    specflow, quick, rows_of, digests_of
):
    def train(directory, steps):
        done = specflow(
            "train",
            *quick,
            "loop.log_every=1",
            "loop.iterations_per_loop=7",
            f"loop.train_steps={steps}",
            f"output.dir={directory}",
        )
        assert done.status == 0, done.err
        return [
            row for row in rows_of(specflow.cwd / directory) if row["split"] == "train"
        ]

    whole = train("whole", 20)
    ten = train("pieces", 10)
    assert ten == whole[:10]
    assert train("pieces", 20) == whole
    assert digests_of(specflow.cwd / "pieces", 20) == digests_of(
        specflow.cwd / "whole", 20
    )
