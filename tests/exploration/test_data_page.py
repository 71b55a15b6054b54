"""The page of data: its numbers, and that it is safe to open and fits a browser."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from specflow.cli.main import main
from specflow.config.sections.data import DigitsConfig
from specflow.data import build_data
from tests.browsing import WIDTHS, assert_fits, in_a_browser, probed
from tests.exploration.planted_table import (
    SETTINGS,
    clean_rows,
    planted_rows,
    write_csv,
)
from tests.reports.test_run_page import Cells

HOSTILE = '"><script>document.title = "hit"</script>'


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of the planted problems; a column and a cell are hostile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("specflow.exploration.pipeline_speed._SECONDS", 0.01)
    rows = [
        {**row, HOSTILE: HOSTILE if row["weight"] > 14 else "b"}
        for row in planted_rows()
    ]
    write_csv(tmp_path / "planted.csv", rows)
    words = [*SETTINGS, "data.files=planted.csv", "data.shuffle=false"]
    assert main(["data", "check", *words, "--output", "page.html"]) == 1
    return (tmp_path / "page.html").read_text()


def test_the_page_has_checks_statistics_distributions_and_rows(page):
    rows = Cells(page).rows
    assert ["constant", "warning", "1 of 7 columns"] in rows
    (leak,) = [row for row in rows if row[2:3] == ["code"] and row[0] == "leakage"]
    assert leak[1] == "error"
    (train,) = [
        row for row in rows if row[:4] == ["garden", "feature", "category", "train"]
    ]
    assert train[-1].startswith("north: ")
    assert "rows/s of the pipeline alone" in page
    # One distribution a column without the id, in two splits.
    assert page.count('role="img"') == 7
    assert "planted.csv:" in page


def test_the_page_is_one_file_and_cells_are_no_markup(page):
    assert set(Cells(page).addresses) <= {"data:,"}
    assert page.count("<script>") == 1
    assert "default-src 'none'" in page
    assert html.escape(HOSTILE) in page


def test_statistics_alone_write_the_page_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "pears.csv", clean_rows())
    words = [*SETTINGS, "data.files=pears.csv", "--output", "page.html"]
    assert main(["data", "stats", *words]) == 0
    assert capsys.readouterr().out.endswith("page.html\n")
    assert ["missing", "ok"] in [
        row[:2] for row in Cells((tmp_path / "page.html").read_text()).rows
    ]
    assert main(["data", "stats", *words, "--split", "eval"]) == 2


def test_pictures_are_on_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=digits", "--output", "page.html"]
    assert main(["data", "stats", *words]) == 0
    text = (tmp_path / "page.html").read_text()
    assert text.count('class="thumbnail"') == 12
    encoded = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    drawn = [Image.open(io.BytesIO(base64.b64decode(each))) for each in encoded]
    image = build_data(DigitsConfig()).train.take(slice(0, 1))[0]["image"][0, ..., 0]
    pixels = (image / image.max() * 255).round()
    assert np.asarray(drawn[0])[..., 0].tolist() == pixels.tolist()
    assert len(drawn) == 12


SORTS = """
  const table = [...document.querySelectorAll(".table")].find(
    (one) => one.getAttribute("aria-label") === "Statistics");
  const place = [...table.querySelectorAll("th")].findIndex(
    (head) => head.textContent === "mean");
  const values = () => [...table.querySelectorAll("tbody tr")].map(
    (row) => row.cells[place].dataset.value).filter((value) => value !== "");
  const button = table.querySelectorAll("th button")[place];
  button.click();
  result.ascending = values();
  button.click();
  result.descending = values();
  const outside = [...document.querySelectorAll("svg text")].filter((text) => {
    const box = text.getBoundingClientRect();
    const frame = text.ownerSVGElement.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1;
  });
  result.outside = outside.map((text) => text.textContent);
"""


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_sorts_and_fits_its_width_in_a_browser(page, tmp_path, width):
    result = probed(page, SORTS, tmp_path, width)
    assert_fits(result, width)
    assert result["title"] == "Data of table"
    ascending = [float(value) for value in result["ascending"]]
    assert ascending == sorted(ascending)
    assert result["descending"] == result["ascending"][::-1]
    assert result["outside"] == []
