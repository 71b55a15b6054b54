"""Headless Chromium, which opens a page at a width and answers what is asked of it."""

import html
import json
import re
import shutil
import subprocess

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed"),
]
"""Marks of the tests of a file that need one."""


def in_a_browser(test):
    """Marks a test that needs one."""
    for mark in IN_A_BROWSER:
        test = mark(test)
    return test


WIDTHS = [390, 1280]
"""A telephone, and a screen, in pixels."""

BEGIN = """
<script>
const result = {errors: []};
addEventListener("error", (event) => result.errors.push(event.message));
addEventListener("load", () => {
  %s
  result.title = document.title;
  result.width = [document.documentElement.scrollWidth, innerWidth];
  result.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  parent.postMessage(JSON.stringify(result), "*");
});
</script>
"""
FRAME = """<!doctype html>
<pre id="result"></pre>
<script>
const pre = document.getElementById("result");
addEventListener("message", (event) => { pre.textContent = event.data; });
</script>
<iframe src="probed.html" width="%d" height="2000" style="border: 0"></iframe>
"""
"""Chromium's own windows are at least 500 pixels wide."""


def browse(page, tmp_path, *options):
    """Opens a file with options of Chromium; returns what it prints."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
        *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def probed(text, script, tmp_path, width):
    """Runs a script in a page of some width, and returns its `result`.

    It has `errors`, `title`, `width` (of the content and of the window) and `loaded`
    (addresses) beside what the script sets.
    """
    # The probe is not of the page: its policy would refuse it.
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)
    text = text.replace("<body>", f"<body>{BEGIN % script}")
    (tmp_path / "probed.html").write_text(text)
    (frame := tmp_path / "frame.html").write_text(FRAME % width)
    options = ("--window-size=1400,2000", "--virtual-time-budget=10000", "--dump-dom")
    dom = browse(frame, tmp_path, *options)
    (written,) = re.findall(r'<pre id="result">(.*?)</pre>', dom, re.S)
    return json.loads(html.unescape(written))


def assert_fits(result, width):
    """Nothing failed or was loaded, and the page is as wide as its window."""
    assert (result["errors"], result["loaded"]) == ([], [])
    assert result["width"][0] <= result["width"][1] == width
