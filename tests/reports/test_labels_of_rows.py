"""`predict --labels`: the labels that `report --rows` reads."""

import numpy as np
import pytest

from specflow.commands.predict import _labels
from specflow.data import ArraySource
from specflow.diagnostics.errors import ConfigError

FEATURES = {"x": np.zeros((3, 1), np.float32)}


def test_labels_are_those_of_the_rows_in_order():
    source = ArraySource(FEATURES, np.array([2, 0, 1], np.int32))
    assert _labels(source, ["class"]).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "names", "problem"),
    [
        (None, ["class"], "--labels: are not in this data (command line)."),
        (
            np.zeros(3, np.int32),
            ["label"],
            "--labels: are named like the prediction label (command line).",
        ),
    ],
)
def test_labels_that_cannot_be_written_are_an_error(labels, names, problem):
    with pytest.raises(ConfigError) as error:
        _labels(ArraySource(FEATURES, labels), names)
    assert str(error.value) == problem
