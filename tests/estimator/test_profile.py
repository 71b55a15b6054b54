"""`profile`: a window of steps is recorded; training is the same."""

import numpy as np
import pytest

import specflow as sf


def config(start, steps):
    return sf.RunConfig(profile={"start": start, "steps": steps})


def recorded(estimator):
    return sorted(estimator.model_dir.glob("profile/plugins/profile/*/*.xplane.pb"))


def params(estimator):
    return np.asarray(estimator.checkpoints.arrays()["params/w"])


def test_a_window_is_recorded_once_and_changes_nothing(line, rows, tmp_path):
    plain = line()
    plain.train(rows, steps=12)
    seen = line(config=config(2, 3), model_dir=tmp_path / "seen")
    seen.train(rows, steps=6)
    assert len(recorded(seen)) == 1
    seen.train(rows, steps=6)  # Beyond the window.
    assert len(recorded(seen)) == 1
    np.testing.assert_array_equal(params(seen), params(plain))


def test_a_window_that_training_ends_in_is_closed(line, rows):
    estimator = line(config=config(2, 100))
    estimator.train(rows, steps=4)
    assert len(recorded(estimator)) == 1


def test_a_window_has_a_beginning():
    with pytest.raises(ValueError, match=r"RunConfig\.profile\.start: got 0"):
        config(0, 1)
