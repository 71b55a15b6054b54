"""Exporters, against a fake estimator that counts its exports."""

import math

import pytest

from specflow.diagnostics.errors import ConfigError
from specflow.lifecycle import BestExporter, FinalExporter, LatestExporter


class Counting:
    """Makes empty exports with the ten digits that real ones have."""

    def __init__(self):
        self.made = 0

    def export(self, directory, **options):
        self.made += 1
        path = directory / f"{1_700_000_000 + self.made}"
        path.mkdir(parents=True)
        return path


def names(directory):
    return sorted(path.name[-2:] for path in directory.iterdir() if path.is_dir())


def run(exporter, directory, losses, *, final=False, estimator=None):
    """Exports after evaluations with these losses; which of them were exported."""
    estimator = estimator or Counting()
    return [
        exporter.export(estimator, directory, {"loss": loss}, is_final=final)
        is not None
        for loss in losses
    ]


def test_final_exporter_exports_only_the_final_state(tmp_path):
    exporter = FinalExporter("final")
    assert run(exporter, tmp_path, [1.0, 0.5]) == [False, False]
    assert run(exporter, tmp_path, [0.5], final=True) == [True]


def test_latest_exporter_exports_always_and_keeps_the_newest_five(tmp_path):
    assert run(LatestExporter("latest"), tmp_path, [1.0] * 7) == [True] * 7
    assert names(tmp_path) == ["03", "04", "05", "06", "07"]


def test_best_exporter_exports_a_strictly_lower_loss(tmp_path):
    found = run(BestExporter(), tmp_path, [1.0, 1.0, 0.9, 0.95, 0.8])
    assert found == [True, False, True, False, True]


def test_best_exporter_without_a_loss_raises_at_the_second_call(tmp_path):
    exporter, estimator = BestExporter(), Counting()
    exporter.export(estimator, tmp_path, {"auc": 1.0}, is_final=False)
    with pytest.raises(ValueError, match="no 'loss'"):
        exporter.export(estimator, tmp_path, {"auc": 1.0}, is_final=False)


@pytest.mark.parametrize(
    "compare_fn", [None, lambda best, current: True, lambda best_eval_result: True]
)
def test_compare_fn_takes_two_results_by_their_names(compare_fn):
    with pytest.raises(ValueError, match="best_eval_result"):
        BestExporter(compare_fn=compare_fn)


@pytest.mark.parametrize("keep", [0, -1])
def test_exports_to_keep_is_positive_or_none(keep):
    with pytest.raises(ValueError, match="exports_to_keep"):
        LatestExporter("latest", exports_to_keep=keep)
    assert LatestExporter("latest", exports_to_keep=None)


@pytest.mark.parametrize("name", ["", None, 3])
def test_the_name_of_an_exporter_must_be_a_string(name):
    with pytest.raises(ValueError, match="name"):
        LatestExporter(name)


def test_best_exporter_remembers_the_best_across_restarts(tmp_path):
    """The reference exported a worse model over a better one after a restart."""
    estimator = Counting()
    run(BestExporter(), tmp_path, [0.5], estimator=estimator)
    assert run(BestExporter(), tmp_path, [0.9], estimator=estimator) == [False]
    assert run(BestExporter(), tmp_path, [0.4], estimator=estimator) == [True]


def test_nan_is_the_worst_metric(tmp_path):
    """In the reference nothing was smaller than a first NaN, so nothing followed."""
    found = run(BestExporter(), tmp_path, [math.nan, math.nan, 2.0, math.nan, 1.0])
    assert found == [True, False, True, False, True]


def test_retention_removes_only_directories_with_ten_digits(tmp_path):
    for other in ("notes", "12345678901", "123456789"):
        (tmp_path / other).mkdir()
    run(LatestExporter("latest", exports_to_keep=1), tmp_path, [1.0, 1.0, 1.0])
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes",
        "12345678901",
        "123456789",
        "1700000003",
    }


def test_errors_of_an_exporter_name_everything_at_once():
    with pytest.raises(ConfigError) as error:
        LatestExporter("", exports_to_keep=0)
    assert [str(diagnostic) for diagnostic in error.value.diagnostics] == [
        "exporter: has the name ''. Expected a text that is not empty.",
        "exports_to_keep: got 0. Expected a positive integer, or None for all.",
    ]
