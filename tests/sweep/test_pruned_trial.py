"""A trial that its sweep prunes, in this process."""

import os
import signal

from specflow.commands.swept_trial import SharedParts, SweptTrial
from specflow.commands.train import train_loops
from specflow.compose import compose
from specflow.executor.device_loops import run_alone


def test_a_signal_does_not_undo_that_a_trial_was_pruned(tmp_path):
    """Resumed, it would train on to the next evaluation, and might not be pruned."""

    def is_pruned(step, metrics):
        os.kill(os.getpid(), signal.SIGTERM)
        return step == 4

    words = "experiment=diabetes", "mesh=single", "loop.train_steps=8"
    words += "loop.eval_every=4", f"output.dir={tmp_path}/run"
    result = run_alone(
        train_loops(compose(words), SweptTrial(SharedParts(), is_pruned))
    )
    assert (result["step"], result["pruned"]) == (4, True)
    assert (tmp_path / "run/result.json").exists()
