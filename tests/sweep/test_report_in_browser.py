"""The page of a sweep in headless Chromium: two widths, light and dark, clicks."""

import json

import matplotlib.image
import pytest

from specflow.sweep.report.report_page import report_page
from specflow.sweep.results.sweep_results import read_sweep
from tests.browsing import IN_A_BROWSER, WIDTHS, assert_fits, browse, probed
from tests.sweep.search_samples import K, X, plan, run, value_of
from tests.sweep.test_report import HOSTILE

pytestmark = IN_A_BROWSER

CLICKS = """
const column = (name) => {
  const heads = [...document.querySelectorAll("th")];
  const place = heads.findIndex((head) => head.textContent.startsWith(name));
  const rows = [...document.querySelectorAll("tbody tr")];
  return {head: heads[place], texts: rows.map((row) => row.cells[place].dataset.value)};
};
const x = column("x");
x.head.querySelector("button").click();
result.ascending = [column("x").texts, column("x").head.getAttribute("aria-sort")];
x.head.querySelector("button").click();
result.descending = [column("x").texts, column("x").head.getAttribute("aria-sort")];
const row = document.querySelector('tr[data-trial="3"]');
row.dispatchEvent(new PointerEvent("pointerenter"));
result.on = [...document.querySelectorAll("svg .on")].map((part) => part.dataset.trial);
const other = document.querySelector('svg .mark[data-trial="4"]');
result.dimmed = getComputedStyle(other).opacity;
row.dispatchEvent(new PointerEvent("pointerleave"));
result.after = document.querySelectorAll(".on").length;
const sizes = [...document.querySelectorAll("svg[role=img] text")]
  .map((text) => text.getBoundingClientRect().height);
result.least = Math.min(...sizes);
const outside = [...document.querySelectorAll(".pairs svg text, .slices svg text")]
  .filter((text) => {
    const box = text.getBoundingClientRect();
    const frame = text.ownerSVGElement.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1;
  });
result.outside = outside.map((text) => text.textContent);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "search"

    def metrics(trial, step):
        if trial.number == 5:
            raise ArithmeticError(HOSTILE)
        x = float(value_of(trial.overrides)["x"])
        return {"loss": x * x + (3 - step), "x2": x, HOSTILE: x}

    pruner = {"name": "median", "n_startup_trials": 4}
    run(plan(X, K, trials=12, pruner=pruner), folder, metrics=metrics)
    for number in range(12):
        rows = [
            json.dumps({"step": step, "split": "eval", "loss": number + 1.0 / step})
            for step in (1, 2, 3)
        ]
        (folder / str(number)).mkdir(exist_ok=True)
        (folder / f"{number}/metrics.jsonl").write_text("\n".join(rows))
    (folder / "report.html").write_text(report_page(read_sweep(folder)))
    return folder / "report.html"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_sorts_and_points_and_fits_its_width(page, tmp_path, width):
    result = probed(page.read_text(), CLICKS, tmp_path, width)
    assert_fits(result, width)
    assert result["title"] == "Sweep of search"
    texts, order = result["ascending"]
    assert order == "ascending"
    assert len(texts) == 12
    assert texts == sorted(texts, key=float)
    assert result["descending"] == [texts[::-1], "descending"]
    # In the table, the best so far, the parallel coordinates, and each parameter.
    assert len(result["on"]) >= 4
    assert set(result["on"]) == {"3"}
    assert float(result["dimmed"]) < 0.5
    assert result["after"] == 0
    assert result["least"] >= 9
    assert result["outside"] == []


def test_the_policy_of_the_page_runs_no_other_script(page, tmp_path):
    hostile = tmp_path / "hostile.html"
    script = "<script>document.title = 'hit'</script>"
    hostile.write_text(page.read_text().replace("<body>", f"<body>{script}"))
    dom = browse(hostile, tmp_path, "--dump-dom")
    assert "<title>Sweep of search</title>" in dom


@pytest.mark.parametrize(("scheme", "is_dark"), [("1", False), ("0", True)])
def test_the_page_follows_the_scheme_of_the_reader(page, tmp_path, scheme, is_dark):
    picture = tmp_path / "page.png"
    browse(
        page,
        tmp_path,
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1280,1600",
        f"--screenshot={picture}",
    )
    pixels = matplotlib.image.imread(picture)[..., :3]
    assert pixels.shape[:2] == (1600, 1280)
    assert (pixels.mean() < 0.3) == is_dark
    # Not a blank page: the accent colour of marks and bars is there.
    blue = (pixels[..., 2] - pixels[..., 0]) > 0.3
    assert blue.sum() > 1000
