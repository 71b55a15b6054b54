"""The place in the input at which a later call to train resumes."""

import warnings

import grain
import numpy as np
import pytest

import specflow as sf
from specflow.diagnostics.errors import DataError, SpecflowWarning
from specflow.loop import StopTraining
from tests.estimator.conftest import X, Y, line_fn


def epoch(size=8):
    for start in range(0, len(X), size):
        yield {"x": X[start : start + size]}, Y[start : start + size]


def grain_epoch():
    rows = grain.MapDataset.range(len(X)).map(lambda i: ({"x": X[i]}, Y[i]))
    return rows.batch(8).to_iter_dataset(grain.ReadOptions(num_threads=1))


FORMS = {
    "a generator function": epoch,
    "a list": lambda: list(epoch()),
    "an iterator": lambda: iter(list(epoch())),
    "a callable object": type("Epoch", (), {"__call__": lambda self: epoch()})(),
    "a Grain data set": grain_epoch,
    "a Grain iterator": lambda: iter(grain_epoch()),
}


def repeated(batches, times):
    return lambda: [batch for _ in range(times) for batch in batches()]


def weights(estimator):
    return np.asarray(estimator.checkpoints.arrays()["params/w"])


@pytest.fixture(scope="module")
def uninterrupted():
    """Weights after one pass over three epochs that are one input."""
    from specflow.config.sections.mesh import AxesConfig, MeshConfig
    from tests.estimator.conftest import Line

    whole = sf.Estimator(
        line_fn, model=Line, train_batch_size=8, mesh=MeshConfig(axes=AxesConfig())
    )
    whole.train(repeated(epoch, 3))
    assert whole.latest_step() == 9
    whole.close()
    return weights(whole)


@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("form", FORMS)
def test_an_epoch_an_evaluation_and_again_trains_an_epoch_in_each_call(
    line, rows, form, steps, uninterrupted
):
    """TensorFlow's estimators count 10, 20, 30 for epochs of 10 batches; here of 3."""
    estimator, found = line(), []
    for _ in range(3):
        estimator.train(FORMS[form], steps=steps)
        found.append(estimator.evaluate(rows)["global_step"])
    assert found == [3, 6, 9]
    np.testing.assert_array_equal(weights(estimator), uninterrupted)
    estimator.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_process_that_was_killed_resumes_inside_of_its_epoch(
    line, form, uninterrupted
):
    """Each estimator is new; two stop inside of an epoch, one at its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of 9 steps, the call has those to the end.
        for steps in (2, 9, 1, 9, 3):
            estimator = line()
            estimator.train(FORMS[form], steps=steps)
            estimator.close()
    assert estimator.latest_step() == 9
    np.testing.assert_array_equal(weights(estimator), uninterrupted)


def test_a_call_that_the_end_of_the_input_cuts_short_warns(line):
    """Epochs of 3, two steps a call: 2, then 1 to the end, then the next epoch."""
    estimator = line()
    estimator.train(epoch, steps=2)
    with pytest.warns(SpecflowWarning, match="the input") as reported:
        estimator.train(epoch, steps=2)
    assert str(reported[0].message) == (
        "train: the input ended after 1 of 2 steps, at step 3. The next call to train "
        "begins the input anew; RunConfig(resume_input='restart') begins it anew in "
        "every call."
    )
    assert estimator.train(epoch, steps=2).latest_step() == 5
    estimator.close()


def test_with_restart_each_call_begins_the_input_as_in_the_reference(line):
    """As in TensorFlow, which calls input_fn anew: batches 0, 1 and again 0, 1."""
    config = sf.RunConfig(resume_input="restart")
    estimator, whole = line(config=config), line(model_dir=None)
    estimator.train(epoch, steps=2).train(epoch, steps=2)
    first_two = list(epoch())[:2]
    whole.train(lambda: first_two * 2)
    np.testing.assert_array_equal(weights(estimator), weights(whole))
    estimator.close()
    whole.close()


@pytest.mark.parametrize("loops", [1, 2, 50])
@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("resume_input", ["continue", "restart"])
@pytest.mark.parametrize("kind", [iter, epoch])
def test_an_iterator_that_is_handed_over_again_loses_no_batch(
    line, uninterrupted, loops, anew, resume_input, kind
):
    """Two steps a call, and once a hook's wish: more batches were drawn than taken."""
    if kind is iter:
        shared = iter(repeated(epoch, 3)())
    else:
        shared = (batch for _ in range(3) for batch in epoch())
    config = sf.RunConfig(
        resume_input=resume_input,
        save_checkpoints_steps=1,
        tpu_config=sf.TPUConfig(iterations_per_loop=loops),
    )

    class Stop:
        def after_step(self, step, loss):
            raise StopTraining

    estimator = line(config=config)
    for steps, hooks in ((2, []), (3, [Stop()]), (2, []), (2, []), (2, [])):
        if anew:  # Another estimator of the same process and directory.
            estimator.close()
            estimator = line(config=config)
        estimator.train(lambda: shared, steps=steps, hooks=hooks)
    assert estimator.latest_step() == 9
    np.testing.assert_array_equal(weights(estimator), uninterrupted)
    with pytest.raises(DataError) as caught:
        estimator.train(lambda: shared, steps=1)
    assert str(caught.value) == (
        "data: the training input gave no batch; training stays at step 9. Expected at "
        "least one batch. An iterator gives its batches once: let input_fn make a new "
        "one."
    )
    estimator.close()


@pytest.mark.parametrize(("former", "later"), [(8, 12), (8, 5), (6, 24), (12, 4)])
@pytest.mark.parametrize("form", ["arrays", "batches", "grain"])
def test_another_batch_size_continues_behind_the_rows_that_were_seen(
    line, form, former, later
):
    """24 rows: what was seen before and after is every row once, by NumPy's sort."""
    seen = []

    def model_fn(model, features, labels, mode):
        spec = line_fn(model, features, labels, mode)
        if mode is not sf.Mode.TRAIN:
            return spec
        return spec._replace(
            host_call=(lambda ids: seen.append(np.array(ids)), [features["id"]])
        )

    features = {"x": X, "id": np.arange(len(X), dtype=np.int32)}

    def batches(params):
        size = params["batch_size"]
        for start in range(0, len(X), size):
            part = slice(start, start + size)
            yield {name: rows[part] for name, rows in features.items()}, Y[part]

    def in_grain(params):
        rows = grain.MapDataset.range(len(X)).map(
            lambda i: ({"x": X[i], "id": np.int32(i)}, Y[i])
        )
        return iter(rows.batch(params["batch_size"]).to_iter_dataset())

    input_fn = {
        "arrays": lambda: (features, Y),
        "batches": batches,
        "grain": in_grain,
    }[form]
    for size, rows in ((former, former), (later, len(X) - former)):
        estimator = line(model_fn, train_batch_size=size)
        if form == "arrays" and rows % size:
            rows += size - rows % size  # The last batch has rows of the next epoch.
        if form == "arrays":
            estimator.train(input_fn, steps=rows // size)
        else:
            estimator.train(input_fn, steps=1 if size is former else None)
            former = None
        estimator.close()
    drawn = np.concatenate(seen)[: len(X)]
    np.testing.assert_array_equal(np.sort(drawn), np.arange(len(X)))


def test_a_checkpoint_of_an_old_version_resumes_by_its_step(line, monkeypatch):
    """Places had no rows then: `next_step`, epoch and seed."""
    from specflow.data import TrainBatches

    whole = line(model_dir=None)
    whole.train(lambda: ({"x": X}, Y), steps=4)
    with monkeypatch.context() as patched:
        patched.setattr(
            TrainBatches,
            "state",
            lambda self, step: {"next_step": step, "epoch": 0, "seed": 0},
        )
        estimator = line()
        estimator.train(lambda: ({"x": X}, Y), steps=2)
        estimator.close()
    estimator = line()
    estimator.train(lambda: ({"x": X}, Y), steps=2)
    np.testing.assert_array_equal(weights(estimator), weights(whole))
    estimator.close()
    whole.close()


def test_a_run_resumes_with_its_batch_in_other_micro_steps(line, uninterrupted):
    """A mean of means of equal parts: the same step, but for rounding."""
    config = sf.RunConfig(tpu_config=sf.TPUConfig(micro_steps=2))
    line().train(repeated(epoch, 3), steps=4).close()
    estimator = line(config=config)
    estimator.train(repeated(epoch, 3))
    assert estimator.latest_step() == 9
    # Nine float32 steps: sums in another order, 1e-7 each.
    np.testing.assert_allclose(weights(estimator), uninterrupted, rtol=1e-6)
    estimator.close()
