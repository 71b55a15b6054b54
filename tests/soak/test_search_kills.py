"""The campaign of killed searches notices what would be lost, repeated or changed."""

import json
import shutil

from specflow.sweep.results.sweep_results import read_sweep
from specflow.sweep.trial_records import TRIALS
from tests.soak.search_kills import problems_of_search
from tests.sweep.search_samples import plan, run


def test_a_lost_a_repeated_and_a_changed_trial_are_noticed(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    run(plan(trials=4), whole)
    shutil.copytree(whole, folder)
    reference = read_sweep(whole)
    assert problems_of_search(folder, reference) == []
    file = folder / TRIALS
    lines = file.read_text().splitlines(keepends=True)
    last = json.loads(lines[-1])
    file.write_text("".join([*lines, lines[-1]]))
    assert problems_of_search(folder, reference) == ["trial 3 ended 2 times"]
    file.write_text("".join(one for one in lines if json.loads(one)["number"] != 3))
    assert "trials [0, 1, 2]" in problems_of_search(folder, reference)
    metrics = {"loss": -1.0, "x": 0.0}
    result = {"step": 3, "eval": metrics}
    (folder / "3/result.json").write_text(json.dumps(result))
    file.write_text("".join(lines))
    best = min(reference.trials, key=lambda one: one.metrics["loss"]).number
    expected = dict(reference.trials[3].metrics)
    assert last["status"] == "complete"
    assert problems_of_search(folder, reference) == [
        f"trial 3: metrics {metrics}, not {expected}",
        *([f"the best is trial 3, not {best}"] if best != 3 else []),
    ]
