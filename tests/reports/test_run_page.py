"""The page of runs: its numbers, and that it is safe to open and fits a browser."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from specflow.cli.main import main
from specflow.columns import FittedColumns, LabelColumn, NumberColumn
from tests.browsing import WIDTHS, assert_fits, in_a_browser, probed
from tests.reports.test_run_listing import write_run

HOSTILE = '"><script>document.title = "hit"</script>'
SHARES = {"step": 0.5, "compile": 0.25, "idle": 0.25}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, rate in enumerate((1e-3, 3e-4)):
        rows = [
            {"step": step, "split": split, "loss": 1.0 / step + number, HOSTILE: 0.5}
            for step in (1, 2, 3)
            for split in ("train", "eval")
        ]
        matrix = [[5 + number, 1], [0, 4]]
        result = {
            "step": 3, "timing": {"total": 7.0},
            "eval": {"loss": 0.25 + number, "auc": None, "matrix": matrix},
            "efficiency": {"shares": SHARES, "total_s": 7.0, "mfu": None},
        }  # fmt: skip
        run = tmp_path / f"runs/{number}"
        write_run(run, rows=rows, result=result, tags=[HOSTILE])
        config = json.loads((run / "config.yaml").read_text())
        config |= {"optimizer": {"name": "adam", "lr": rate}, "seed": 0}
        config["output"]["notes"] = "What this is about"
        (run / "config.yaml").write_text(json.dumps(config))
        manifest = json.loads((run / "manifest.json").read_text())
        manifest["packages"] = {"jax": f"0.10.{number}", "numpy": "2.4"}
        (run / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "runs"


class Cells(HTMLParser):
    """Rows of the tables of a page, as texts; and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href") and v]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.rows[-1][-1] += data


def test_a_comparison_has_differences_numbers_and_environment(runs, capsys):
    assert main(["report", "run=runs/0", "run=runs/1"]) == 0
    assert capsys.readouterr().out == "runs/0/report.html\n"
    text = (runs / "0/report.html").read_text()
    page = Cells(text)
    assert ["optimizer.lr", "0.001", "0.0003"] in page.rows
    assert not [row for row in page.rows if row[0] in ("seed", "optimizer.name")]
    assert ["0", "0.25", ""] in page.rows
    assert ["1", "1.25", ""] in page.rows
    assert ["jax", "0.10.0", "0.10.1"] in page.rows
    assert [
        "1",
        "digits",
        "complete",
        "3",
        "1.333",
        "3",
        "1.333",
        "7",
        HOSTILE,
    ] in page.rows
    assert "90.0% of 10 are on the diagonal." in text
    assert text.count("step 50%") == 2
    assert "What this is about" in text
    # Curves of both runs and splits: the loss, and the metric with a hostile name.
    assert len(re.findall(r'class="curve( dashed)?"', text)) == 8


def test_a_page_is_one_file_and_texts_of_runs_are_no_markup(runs):
    assert main(["report", "run=runs/0", "--output", "page.html"]) == 0
    text = (runs.parent / "page.html").read_text()
    assert set(Cells(text).addresses) <= {"data:,"}
    assert text.count("<script>") == 1
    assert "default-src 'none'" in text
    assert html.escape(HOSTILE) in text


def test_a_confusion_matrix_has_the_names_of_the_classes_of_the_table(runs):
    fitted = FittedColumns(
        columns={"weight": NumberColumn.fit(np.array([1.0, 2.0]))},
        labels={"kind": LabelColumn(kind="class", classes=("comice", "williams"))},
    )
    (runs / "0/columns.json").write_text(json.dumps(fitted.to_json()))
    assert main(["report", f"run={runs}/0", "--output", "named.html"]) == 0
    assert main(["report", f"run={runs}/1", "--output", "numbered.html"]) == 0
    named, numbered = (
        Path(f"{kind}.html").read_text() for kind in ("named", "numbered")
    )
    assert "class comice predicted as williams: 1, 16.7% of the class" in named
    assert "class 0 predicted as 1: 1, 14.3% of the class" in numbered


def test_a_run_that_is_not_complete_has_a_page_too(runs):
    (runs / "0/result.json").unlink()
    (runs / "0/manifest.json").write_text("{")
    (runs / "1/metrics.jsonl").unlink()
    assert main(["report", "run=runs/0", "run=runs/1", "--output", "page.html"]) == 0
    rows = Cells((runs.parent / "page.html").read_text()).rows
    assert ["0", "digits", "stopped", "3", "0.3333", "3", "0.3333", "", HOSTILE] in rows


def test_a_card_has_the_facts_and_asks_for_the_rest(runs, capsys):
    assert main(["report", "run=runs/0", "--card"]) == 0
    assert capsys.readouterr().out == "runs/0/card.md\n"
    text = (runs / "0/card.md").read_text()
    assert text.startswith("# Model card: digits\n")
    for line in (
        "What this is about",
        "| `loss` | 0.25 |",
        "| `auc` | not finite |",
        "| optimizer | `adam`: lr 0.001 |",
        "| jax | 0.10.0 |",
        "[Where the data comes from, what it leaves out, and whom it concerns.]",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report"], "run: is missing"),
        (["report", "runs/0"], "runs/0: is no argument of report"),
        (["report", "run=runs/0", "run=runs/1", "--card"], "--card: is given with"),
        (["report", "run=nowhere"], "run: 'nowhere' is no directory"),
        (["report", "sync"], "run: is missing"),
    ],
)
def test_wrong_arguments_are_errors(runs, capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


SORTS = """
  const head = [...document.querySelectorAll("th")].find(
    (one) => one.textContent.startsWith("best"));
  const values = () => [...head.closest("table").tBodies[0].rows].map(
    (row) => row.cells[head.cellIndex].dataset.value);
  head.querySelector("button").click();
  result.ascending = values();
  head.querySelector("button").click();
  result.descending = values();
"""


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_sorts_and_fits_its_width_in_a_browser(runs, tmp_path, width):
    assert main(["report", "run=runs/0", "run=runs/1", "--output", "page.html"]) == 0
    result = probed((runs.parent / "page.html").read_text(), SORTS, tmp_path, width)
    assert_fits(result, width)
    assert result["title"] == "2 runs of digits"
    ascending = [float(value) for value in result["ascending"]]
    assert ascending == sorted(ascending)
    assert result["descending"] == result["ascending"][::-1]
