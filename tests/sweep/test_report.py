"""The page of `specflow sweep report`: its numbers, and that it is safe to open."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from specflow.cli.main import main
from specflow.config.sections.sweep import ObjectiveConfig
from specflow.runtime.html.axes import axis_of
from specflow.sweep.pool.trial import TrialStatus
from specflow.sweep.report.importance import importance, rank_importance
from specflow.sweep.report.learning_curves import curves_of, seed_groups
from specflow.sweep.report.report_page import report_page
from specflow.sweep.results.sweep_results import read_sweep
from tests.sweep.search_samples import K, X, loss, plan, run
from tests.sweep.sweep_samples import curve, finished, launched, recorded, write_run

HOSTILE = "<script>alert(1)</script><img src=//x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """Elements of a page, and the text of its scripts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.scripts, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        inside = self.elements[-1][0] if self.elements else ""
        if inside == "script" and data.strip():
            self.scripts.append(data)
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder):
    return Page(report_page(read_sweep(folder)))


def test_a_page_is_one_file_that_loads_nothing(tmp_path, capsys):
    folder = launched(tmp_path / "grid")
    assert main(["sweep", "report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/report.html\n"
    text = (folder / "report.html").read_text()
    page = Page(text)
    script = files("specflow.runtime.html").joinpath("report.js").read_text()
    assert page.scripts == [script]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m for m in page.named("meta") if "http-equiv" in m)["content"]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "data", "action")
    ]
    assert addresses == ["data:,"]
    assert "url(" not in text
    assert "@import" not in text


def test_a_value_never_becomes_markup(tmp_path):
    folder = tmp_path / "grid"
    for number in range(6):
        values = {f"model.{HOSTILE}": f"{HOSTILE}{number % 2}", "lr": str(number + 1)}
        metrics = {"loss": number + 1.0, HOSTILE: 0.5}
        finished(folder, number, values, metrics)
    error = {"error": HOSTILE, "failure": HOSTILE}
    recorded(folder, 6, {"lr": HOSTILE}, TrialStatus.FAILED, **error)
    (folder / "0/config.yaml").write_text(json.dumps({"name": HOSTILE}))
    page = page_of(folder)
    assert len(page.named("script")) == 1
    assert page.named("img") == []
    assert not [
        name
        for _, attributes in page.elements
        for name in attributes
        if "on" == name[:2]
    ]
    assert page.text.count(HOSTILE) > 10


def test_every_chart_has_a_name_and_a_description(tmp_path):
    folder = tmp_path / "search"
    run(plan(trials=8), folder)
    text = report_page(read_sweep(folder))
    drawings = re.findall(r'<svg [^>]*role="img"[^>]*>', text)
    assert len(drawings) >= 4
    for drawing in drawings:
        names = re.search(r'aria-labelledby="([^"]+)"', drawing)[1].split()
        assert len(names) == 2
        for name in names:
            assert text.count(f'id="{name}"') == 1


def luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Of the Web Content Accessibility Guidelines, 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_have_the_contrast_of_the_guidelines(theme):
    css = files("specflow.runtime.html").joinpath("report.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.S)[theme]
    colors = dict(re.findall(r"--(\w+): (#\w{6});", block))
    texts = ("text", "muted", "accent", "complete", "pruned", "failed", "running")
    for name in (*texts, "infeasible", "stopped"):
        for ground in ("card", "page"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    assert contrast(colors["accent"], colors["fade"]) >= 1.5


def test_unfinished_and_failed_sweeps_have_a_page(tmp_path):
    for status in (TrialStatus.RUNNING, TrialStatus.FAILED):
        folder = tmp_path / str(status)
        recorded(folder, 0, {"lr": "0.1"}, status, error="out of memory")
        page = page_of(folder)
        assert f"1 {status}" in page.text
        assert "Best trial" not in page.text


def test_seeds_are_one_curve_with_a_band(tmp_path):
    folder = tmp_path / "grid"
    last = {0: 0.5, 1: 0.7, 2: 0.3, 3: 2.0}
    for number, value in last.items():
        lr = "0.1" if number < 3 else "0.2"
        values = {"lr": lr, "seed": str(number)}
        finished(folder, number, values, {"loss": value})
    results = read_sweep(folder)
    groups = seed_groups(results, "loss")
    assert [[one.number for one in group.trials] for group in groups] == [
        [0, 1, 2],
        [3],
    ]
    seeds, single = curves_of(groups, "loss")
    rows = np.array([[row["loss"] for row in curve(last[n])] for n in range(3)])
    assert [step for step, _ in seeds.mean] == [10, 20, 30, 40]
    np.testing.assert_allclose([v for _, v in seeds.mean], rows.mean(0))
    np.testing.assert_allclose([low for _, low, _ in seeds.band], rows.min(0))
    np.testing.assert_allclose([high for _, _, high in seeds.band], rows.max(0))
    assert (single.band, single.mean[-1]) == ([], (40, 2.0))
    page = page_of(folder)
    assert "Lines are means over seeds" in page.text
    bands = [a for a in page.named("path") if a.get("class", "").startswith("band ")]
    assert [a["data-trial"] for a in bands] == ["0 1 2"]


def test_repeats_of_a_trial_are_one_curve_with_a_band(tmp_path):
    folder = tmp_path / "search"
    run(plan(trials=2, repeats=3), folder)
    for seed, value in enumerate((0.5, 0.25, 1.0)):
        rows = [json.dumps({"split": "eval", **row}) for row in curve(value)]
        file = folder / f"0/seed-{seed}/metrics.jsonl"
        file.write_text("\n".join(rows))
    group, _ = seed_groups(read_sweep(folder), "loss")
    assert group.values == (0.5, 0.25, 1.0)
    (drawn,) = curves_of([group], "loss")
    assert drawn.mean[-1] == (40, pytest.approx(1.75 / 3))
    assert drawn.band[-1] == (40, 0.25, 1.0)


def test_long_curves_are_thinned_and_keep_their_end(tmp_path):
    write_run(tmp_path / "0", curve(0.5, 1000), ["lr=1"])
    write_run(tmp_path / "1", curve(0.5, 10), ["lr=2"])
    results = read_sweep(tmp_path)
    first, _ = curves_of(seed_groups(results, "loss"), "loss")
    assert len(first.mean) <= 151
    assert first.mean[-1] == (10_000, 0.5)


def test_the_most_important_parameter_is_the_one_that_decides(tmp_path, monkeypatch):
    folder = tmp_path / "search"
    run(plan(X, K, trials=30), folder, metrics=loss)
    results = read_sweep(folder)
    for method in ("Optuna's fANOVA", "The share of the variance of the objective's"):
        found = importance(results, ObjectiveConfig())
        assert found.method.startswith(method)
        assert [*found.shares] == ["x", "k"]
        assert found.shares["x"] > 0.7
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=5))
def test_the_simple_importance_is_eta_squared_of_kruskal_and_wallis(pairs):
    column, values = [a for a, _ in pairs], [float(b) for _, b in pairs]
    groups = [[v for a, v in pairs if a == name] for name in sorted(set(column))]
    if len(groups) < 2 or len(set(values)) < 2 or len(pairs) <= len(groups):
        return
    statistic = scipy.stats.kruskal(*groups).statistic
    # SciPy corrects for ties by the same factor by which they reduce the variance.
    k, n = len(groups), len(pairs)
    expected = max(0.0, (statistic - k + 1) / (n - k))
    assert rank_importance(column, values) == pytest.approx(expected, abs=1e-9)


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)
    | st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=20)
)
def test_an_axis_holds_its_values_in_order_and_has_few_ticks(values):
    axis = axis_of(values, 10.0, 110.0)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(9.99 <= place <= 110.01 for place in places)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 12
    assert all(9 <= place <= 111 for place, _ in ticks)


def test_a_page_of_many_trials_is_small(tmp_path):
    folder = tmp_path / "search"
    for number in range(300):
        values = {f"model.key{key}": str(number + key) for key in range(8)}
        finished(folder, number, values, {"loss": float(number)})
    text = report_page(read_sweep(folder))
    assert len(text) < 2_000_000
    assert "The best 100 of 300 are drawn." in text
    assert "explains alone, of 150 trials." in text


def test_the_page_is_made_without_jax(tmp_path):
    folder = tmp_path / "search"
    run(plan(trials=8), folder)
    code = (
        "import sys\n"
        "from specflow.cli.main import main\n"
        f"assert main(['sweep', 'report', {str(folder)!r}]) == 0\n"
        "assert not {'jax', 'flax', 'optax'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
