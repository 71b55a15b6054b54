"""The report of trials that have failed."""

from specflow.sweep.failed_trials import failed_trials
from specflow.sweep.outcomes import Outcome
from tests.sweep.search_samples import plan, run


def test_a_failed_trial_of_a_search_is_not_said_to_start_again(tmp_path):
    def failing(trial, step):
        raise ArithmeticError("overflow")

    trials, _ = run(plan(trials=2), tmp_path, metrics=failing)
    _, again = run(plan(trials=2), tmp_path)
    assert not again.ran
    outcomes = [Outcome(one.lines, "", None, failure="bug") for one in trials]
    _, diagnostic = failed_trials(outcomes, tmp_path)
    assert diagnostic is not None
    assert str(diagnostic) == (
        "sweep: 2 of 2 trials failed: trial 0 (bug), trial 1 (bug). specflow sweep "
        f"show {tmp_path} lists the reasons; those of a search do not start again: "
        "raise sweep.trials for others."
    )
