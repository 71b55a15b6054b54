"""Cross-validation: every row is evaluated once, by columns fitted without it."""

import numpy as np
import pytest

from specflow.config.sections.table import TableConfig
from specflow.data import build_data

ROWS, FOLDS = 60, 4
VALUES = np.random.default_rng(0).normal(size=ROWS).round(6)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("folds") / "t.csv"
    rows = [f"{row},{value},{row % 3}" for row, value in enumerate(VALUES)]
    file.write_text("\n".join(["key,x,y", *rows]))
    return str(file)


@pytest.mark.parametrize(
    "rule",
    [{"by": "random"}, {"by": "stratified", "column": "y"}, {"by": "hash"}],
    ids=lambda rule: rule["by"],
)
def test_each_fold_has_columns_of_its_own_and_all_rows_are_evaluated_once(rule, path):
    evaluated: list[str] = []
    for fold in range(FOLDS):
        split = {"folds": FOLDS, "test": 0.2, **rule}
        config = TableConfig(
            files=[path], labels=["y"], id=["key"], split=split, fold=fold
        )
        data = build_data(config)
        train = VALUES[np.asarray(data.train.ids["key"]).astype(int)]
        column = data.columns.columns["x"]
        assert column.offset == pytest.approx(train.mean(), abs=1e-15)
        assert column.divisor == pytest.approx(train.std(), rel=1e-14)
        evaluated += list(data.eval.ids["key"])
        tested = list(data.split("test").ids["key"])
        assert not set(tested) & {*data.train.ids["key"], *data.eval.ids["key"]}
    assert sorted([*evaluated, *tested], key=int) == [str(row) for row in range(ROWS)]
