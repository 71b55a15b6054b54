"""The report for people, against golden files."""

import json
from pathlib import Path

import pytest

from specflow.preflight import as_text, shortfall

TEXTS = Path(__file__).parent / "texts"
REPORTS = json.loads((TEXTS / "reports.json").read_text())


@pytest.mark.parametrize("name", REPORTS)
def test_the_screen_is_as_it_was(name, pytestconfig):
    golden = TEXTS / f"{name}.txt"
    shown = as_text(REPORTS[name]) + "\n"
    shown += "".join(f"\n{diagnostic}\n" for diagnostic in shortfall(REPORTS[name]))
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(shown)
    assert shown == golden.read_text()
