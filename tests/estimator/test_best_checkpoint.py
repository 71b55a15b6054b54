"""The best checkpoint: saved where an evaluation finds it, kept whatever its age.

Which step is best is told by the evaluations themselves: a minimum by hand.
"""

import math

import numpy as np
import pytest

import specflow as sf
from specflow.cli.main import main
from specflow.config.sections.output import BestConfig
from specflow.diagnostics.errors import CheckpointError, ConfigError
from specflow.metrics import Mean
from tests.estimator.conftest import arrays, line_fn

LOOP = sf.TPUConfig(iterations_per_loop=1)


def scored(*values):
    """A model function whose metric `score` has these values, one an evaluation."""
    left = iter(values)
    last = []

    def metric_fn(losses):
        # 24 rows in batches of 8: three calls an evaluation.
        if not last or last[0] == 3:
            last[:] = [0, next(left)]
        last[0] += 1
        return {"score": Mean.from_batch(np.full(len(losses), last[1]))}

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is sf.Mode.PREDICT:
            return spec
        return spec._replace(eval_metrics=(metric_fn, spec.eval_metrics[1]))

    return model_fn


def run(line, values, *, order="lowest", keep=1, steps=70, every=10, **arguments):
    estimator = line(
        scored(*values),
        config=sf.RunConfig(
            save_checkpoints_steps=25,
            save_at_start=False,
            keep_checkpoint_max=keep,
            keep_best=BestConfig(metric="score", order=order),
            tpu_config=LOOP,
        ),
        **arguments,
    )
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, steps), sf.EvalSpec(arrays, every_steps=every)
    )
    return estimator


@pytest.mark.parametrize(
    ("values", "order", "best"),
    [
        # Step 40 is due by no other rhythm.
        ([5, 6, 4, 1, 7, 8, 9], "lowest", 40),
        ([5, 6, 4, 9, 7, 8, 1], "highest", 40),
        # NaN is never best, the first of the numbers is.
        ([math.nan, 3, math.nan, 4, 5, 6, 7], "lowest", 20),
        # Of equals the first one is saved for it.
        ([5, 1, 4, 1, 7, 8, 9], "lowest", 20),
    ],
)
def test_the_best_state_is_saved_at_its_evaluation(line, values, order, best):
    estimator = run(line, values, order=order)
    assert estimator.checkpoints.steps() == [best, 70]
    value = (min if order == "lowest" else max)(v for v in values if v == v)
    assert estimator.checkpoints.best() == (best, "score", value)
    path = estimator.model_dir / "checkpoints" / str(best)
    assert estimator.best_checkpoint() == path
    expected = list(estimator.predict(arrays, checkpoint_path=path))
    for found in (
        estimator.predict(arrays, checkpoint_step="best"),
        estimator.predict(arrays, checkpoint_step=best),
    ):
        np.testing.assert_equal(list(found), expected)
    estimator.close()


def test_the_last_evaluation_judges_a_state_that_was_saved_before_it(line):
    """Evaluations are due by time, checkpoints by steps: the last step is saved first.

    The lowest of the values given is the last one's.
    """
    estimator = line(
        scored(5, 1),
        config=sf.RunConfig(
            save_checkpoints_steps=25,
            save_at_start=False,
            keep_checkpoint_max=1,
            keep_best=BestConfig(metric="score"),
            tpu_config=LOOP,
        ),
    )
    # The checkpoint of step 50 is no time for an evaluation: it is too soon.
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, 50), sf.EvalSpec(arrays, throttle_secs=3600)
    )
    assert estimator.checkpoints.best() == (50, "score", 1)
    assert estimator.checkpoints.steps() == [50]
    estimator.close()


def test_a_former_best_checkpoint_is_removed_as_any_other(line):
    estimator = run(line, [5, 4, 6, 3, 7, 2, 9])
    assert estimator.checkpoints.steps() == [60, 70]
    estimator.close()


def test_a_later_run_goes_by_the_best_of_the_former(line):
    run(line, [5, 1, 4], steps=30).close()
    estimator = run(line, [2, 3, 4, 5])
    assert estimator.checkpoints.steps() == [20, 70]
    estimator.close()


def test_evaluations_without_best_save_nothing(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=25, tpu_config=LOOP))
    estimator.train_and_evaluate(
        sf.TrainSpec(arrays, 30), sf.EvalSpec(arrays, every_steps=10)
    )
    assert estimator.checkpoints.steps() == [0, 25, 30]
    assert estimator.checkpoints.best() is None
    estimator.close()


def test_an_evaluation_that_is_made_up_for_judges_its_checkpoint(line):
    """The last evaluation fails; the call that resumes finds that it was the best."""

    class Fails:
        def after_step(self, *_):
            raise KeyError("mine")

    config = sf.RunConfig(
        save_checkpoints_steps=2,
        save_at_start=False,
        keep_checkpoint_max=1,
        keep_best=BestConfig(metric="mse"),
        tpu_config=LOOP,
    )
    estimator = line(config=config)
    with pytest.raises(KeyError):
        estimator.train_and_evaluate(
            sf.TrainSpec(arrays, 4),
            sf.EvalSpec(arrays, every_steps=0, hooks=[Fails()]),
        )
    assert estimator.checkpoints.best() is None
    estimator.close()
    again = line(config=config)
    metrics, _ = again.train_and_evaluate(
        sf.TrainSpec(arrays, 4), sf.EvalSpec(arrays, every_steps=0)
    )
    assert again.checkpoints.best() == (4, "mse", metrics["mse"])
    again.close()
    # What it says of itself is signed anew, and is no damage.
    with_digest = line(config=config)
    assert with_digest.evaluate(arrays)["global_step"] == 4
    assert with_digest.checkpoints.best() == (4, "mse", metrics["mse"])
    with_digest.close()


def test_without_a_best_checkpoint_selecting_it_raises(line):
    estimator = line(config=sf.RunConfig(save_checkpoints_steps=2))
    estimator.train(arrays, steps=2)
    assert estimator.best_checkpoint() is None
    with pytest.raises(CheckpointError, match="no metric ranks them"):
        estimator.evaluate(arrays, checkpoint_step="best")
    with pytest.raises(CheckpointError, match=r"tag 'bset'.*Did you mean best\?"):
        estimator.evaluate(arrays, checkpoint_step="bset")
    with pytest.raises(ConfigError, match=r"got -1\. Expected a step, best, latest or"):
        estimator.evaluate(arrays, checkpoint_step=-1)
    estimator.close()
    judged = line(config=sf.RunConfig(keep_best=BestConfig()))
    with pytest.raises(CheckpointError, match="none has the evaluation metric 'loss'"):
        judged.export("nowhere", features=arrays()[0], checkpoint_step="best")
    judged.close()


def test_keep_best_without_evaluations_during_training_raises(capsys):
    words = ("experiment=digits_mlp", "loop.eval_every=0")
    assert main(["show", *words, "output.checkpoint.best={metric:accuracy}"]) == 2
    assert capsys.readouterr().err == (
        "error[rule] loop.eval_every: got 0 (override loop.eval_every=0). Expected a "
        "number of steps, epochs or a time such as 10m: output.checkpoint.best "
        "compares evaluations during training, and a single one is always the best.\n"
    )
