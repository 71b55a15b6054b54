"""`sweep=gp`, whose package torch no extra has."""

import pytest

from tests.sweep.search_samples import K, X, loss, plan, run

pytest.importorskip("torch")
pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process ended here."""


def test_killed_anywhere_a_search_proposes_what_it_would_have(tmp_path):
    sampler = {"name": "gp", "n_startup_trials": 4, "deterministic_objective": True}
    bounds = [{"metric": "x", "at_least": -0.5}]
    of = plan(X, K, trials=10, sampler=sampler, constraints=bounds)
    whole, _ = run(of, tmp_path / "whole")
    for end in (5, 14):
        count = 0

        def killing(trial, step, end=end):
            nonlocal count
            count += 1
            if count == end:
                raise Killed
            return loss(trial, step)

        with pytest.raises(Killed):
            run(of, tmp_path / "killed", metrics=killing)
    resumed, _ = run(of, tmp_path / "killed")
    assert [one.settings for one in resumed] == [one.settings for one in whole]
    # The minimum of x * x.
    xs = [abs(float(one.settings["x"])) for one in whole]
    assert min(xs[4:]) < min(*xs[:4], 0.02)
