"""README and pages run: their Python, their YAML, and their command lines."""

import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from specflow.cli.main import main
from specflow.compose import compose
from tests import preloaded
from tests.sweep.sweep_samples import launched

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
HAVE_OWN_TESTS = ("porting.md", "plugins.md")
"""Their Python is run by `test_porting.py` and `tests/plugins`."""
DATED = re.compile(
    r"\b(faults?|told|whoever|nobody|somebody|lay|lays|laid|stands?|stood|mends?|mended|"
    r"rhythms?|in vain|goes? on|went on|hand(?:s|ed)? over)\b",
    re.I,
)
"""Words that the pages do not use; the first ones are those of `test_language.py`."""
BLOCKS = [
    (page, language, text)
    for page in PAGES
    for language, text in re.findall(
        r"^```(\w+)\n(.*?)^```", page.read_text(), re.M | re.S
    )
]


def of_language(wanted):
    return [(page, text) for page, language, text in BLOCKS if language == wanted]


def by_page(blocks):
    """Parameters whose ids begin with the page's name."""
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for number, (page, text) in enumerate(blocks)
    ]


FILES = [
    (match[1], text)
    for _, language, text in BLOCKS
    if language in ("yaml", "python")
    and (match := re.match(r"(?:# @package.*\n)?# (my_\S+)\n", text))
]
"""Name and text of the files that a reader writes."""
PYTHON = [
    (page, text)
    for page, text in of_language("python")
    if page.name not in HAVE_OWN_TESTS and not text.startswith("# my_")
]
COMMANDS = [
    (page, line)
    for page, text in of_language("sh")
    for line in text.splitlines()
    if line.startswith("specflow ")
]
LINES = [line for _, line in COMMANDS]
OF_SWEEPS = [one for one in COMMANDS if one[1].startswith("specflow sweep ")]
OF_DATA = [one for one in COMMANDS if one[1].startswith("specflow data ")]
COMMANDS = [one for one in COMMANDS if one not in [*OF_SWEEPS, *OF_DATA]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a reader who has written all files of the pages."""
    root = tmp_path_factory.mktemp("reader")
    for name, text in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def specflow(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "specflow", *arguments]
    return preloaded.run(command, cwd=cwd, env=environment)


def test_the_first_two_commands_are_where_ci_reads_them():
    block = re.search(
        r"<!-- first mile -->\n```sh\n(.*?)\n```", README.read_text(), re.S
    )
    assert block is not None
    first, second = block[1].splitlines()
    assert first == "pip install -e . && specflow train experiment=digits"
    assert second == "pip install -e '.[test]' && pytest"


def test_the_readme_is_short():
    """One or two screens before the first command; everything else has its page."""
    text = README.read_text()
    assert text.count("\n") <= 120
    assert text[: text.index("```")].count("\n") <= 40


def test_each_claim_of_the_comparison_has_its_page_and_test():
    text = (ROOT / "docs" / "comparison.md").read_text()
    rows = re.findall(
        r"^\| ([^|]+\.) \| \[.*\]\((.*)\) \| `(.*)::(.*)` \|$", text, re.M
    )
    assert (
        len(rows)
        == text.partition("## Claims")[2].partition("\n## ")[0].count("\n| ") - 1
    )
    for _, page, file, test in rows:
        assert (ROOT / "docs" / page).is_file()
        assert f"\ndef {test}(" in (ROOT / file).read_text()


def test_the_index_lists_every_page_and_notebook():
    index = (ROOT / "docs" / "index.md").read_text()
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    paths = [os.path.relpath(path, ROOT / "docs") for path in (*PAGES[1:], *notebooks)]
    assert [path for path in paths if f"]({path})" not in index] == ["index.md"]


@pytest.mark.parametrize("text", by_page(of_language("yaml")))
def test_a_file_begins_with_its_package(text):
    """Hydra reads it from the first line alone, so a block that is copied must too."""
    assert "# @package" not in text.partition("\n")[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_row_of_a_table_has_the_pipes_of_its_header(page):
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.M):
        header, *rows = table.splitlines()
        pipes = len(re.findall(r"(?<!\\)\|", header))
        for row in rows:
            assert len(re.findall(r"(?<!\\)\|", row)) == pipes, row


def test_no_two_pages_write_the_same_file():
    names = [name for name, _ in FILES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_prose_is_in_the_terms_of_the_field(page):
    """Code and messages are judged where they are written."""
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text(), flags=re.M | re.S)
    assert DATED.findall(prose) == []


@pytest.mark.parametrize("code", by_page(PYTHON))
def test_the_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page.md", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("command", by_page(COMMANDS))
def test_a_command_line_composes(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    _, name, *arguments = shlex.split(command)
    if "--from" in arguments:
        return  # Needs a table: test_a_file_of_ones_own_trains_and_is_served.
    if name == "new":
        assert main([name, *arguments]) == 0
        return
    if "--" in arguments:
        # The launched command, without its name.
        arguments = arguments[arguments.index("--") + 2 :]
    if any(argument.startswith("run=") for argument in arguments):
        return  # Needs a run: test_a_run_is_evaluated_predicted_with_and_exported.
    folders = (
        [arguments.pop(arguments.index("--config-dir") + 1)]
        if "--config-dir" in arguments
        else []
    )
    if "--topology" in arguments:
        del arguments[(at := arguments.index("--topology")) : at + 2]
    overrides = [text for text in arguments if text not in ("-m", "--config-dir")]
    if "-m" in arguments:  # The first trial of a sweep.
        overrides = [text.split(",")[0] for text in overrides]
    compose(overrides, config_dirs=folders)


@pytest.mark.parametrize("command", by_page(OF_SWEEPS))
def test_a_command_reads_a_sweep(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    launched(tmp_path / "runs/grid")
    assert main(shlex.split(command, comments=True)[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", by_page(OF_DATA))
def test_a_command_looks_at_data(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out


def test_a_package_of_ones_own_trains_from_yaml(folder):
    commands = [line for line in LINES if "trust=my_package" in line]
    assert len(commands) == 2
    for command in commands:
        done = specflow(*shlex.split(command)[1:], cwd=folder)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^accuracy +0\.9", done.stdout, re.M)
        assert re.search(r"^errors +\d+$", done.stdout, re.M)


def test_arrays_of_ones_own_train_and_predict(folder):
    done = preloaded.run([sys.executable, "my_arrays.py"], cwd=folder)
    assert done.returncode == 0, done.stderr
    commands = [line for line in LINES if "plums" in line]
    assert len(commands) == 2
    for line in commands:
        done = specflow(*shlex.split(line)[1:], cwd=folder)
        assert done.returncode == 0, done.stderr
    rows = (folder / "plums.csv").read_text().splitlines()
    assert rows[0] == "name,class,probability"
    assert [row.partition(",")[0] for row in rows[1:]] == [
        f"plum {number}" for number in range(500, 600)
    ]


def test_text_of_ones_own_trains_predicts_and_is_exported(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    runpy.run_path("my_stories.py")
    commands = [line for line in LINES if "stories" in line]
    assert len(commands) == 3
    for line in commands:
        words = shlex.split(line)[1:]
        if words[0] == "train":  # It takes most of the time.
            words += ["model.layers=1", "model.width=32", "loop.train_steps=6"]
            words += ["loop.eval_every=6"]
        assert main(words) == 0, capsys.readouterr().err
    (first, *_) = (folder / "next_bytes.jsonl").read_text().splitlines()
    assert '"document": "stories/' in first


def test_a_mixture_of_ones_own_trains_and_evaluates_a_part(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    runpy.run_path("my_cherries.py")
    commands = [line for line in LINES if re.search("cherries|runs/mixed", line)]
    assert len(commands) == 3
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    # min(770 / 0.7, 60 / 0.3) rows an epoch: 4 epochs are 20 steps of 40.
    assert "rows seen" in (printed := capsys.readouterr().out)
    assert re.search(r"rows seen +800: garden 240, market 560", printed)


def test_a_file_of_ones_own_trains_and_is_served(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    runpy.run_path("my_pears.py")
    commands = [line for line in LINES if re.search("pears|runs/declared", line)]
    assert len(commands) == 9
    for line in commands:
        capsys.readouterr()
        assert main(shlex.split(line)[1:]) == 0
        done = capsys.readouterr()
        assert done.out or "--output" in line, done.err
    rows = (folder / "picked_kinds.csv").read_text().splitlines()
    assert rows[0] == "tag,class,probability"
    assert [row.partition(",")[0] for row in rows[1:]] == [
        f"pear {number}" for number in range(550, 600)
    ]
    (example,) = [text for _, text in PYTHON if '"serving_raw", weight' in text]
    page: dict[str, Any] = {}
    exec(compile(example, "page.md", "exec"), page)
    (path,) = (folder / "runs" / "my_pears" / "export").iterdir()
    names, probabilities = page["kinds"](path, [21.5, None], ["blue", "red"])
    assert {*names} <= {"comice", "nashi", "williams"}
    assert probabilities.shape == (2,)


def test_a_run_is_evaluated_predicted_with_and_exported(folder, monkeypatch, capsys):
    """`run=runs/try1`, as on the pages, on the smallest run that there is."""
    monkeypatch.chdir(folder)
    run = ["experiment=diabetes", "loop.train_steps=40"]
    for seed in (1, 2):
        assert main(["train", *run, f"seed={seed}", f"output.dir=runs/try{seed}"]) == 0
    commands = {line for line in LINES if "run=runs/try1" in line}
    # Trackers are extras; tests/output/test_tracker.py has them.
    commands -= {line for line in commands if "report sync" in line}
    assert len(commands) == 15
    for line in sorted(commands, key=LINES.index):
        capsys.readouterr()
        assert main(shlex.split(line)[1:]) == 0
        assert capsys.readouterr().out or "--output" in line
    (export,) = {path.parent for path in Path("runs/try1").rglob("export.json")}
    imports = re.findall(
        r"^(?:import|from) (\w+)", Path("my_server.py").read_text(), re.M
    )
    assert {*imports} - sys.stdlib_module_names == {"jax", "numpy"}
    monkeypatch.setattr(sys, "argv", ["my_server.py", str(export)])
    runpy.run_path("my_server.py")
    assert re.findall(
        r"(\w+) \(\d+,\) largest difference (\S+)", capsys.readouterr().out
    )[0] == ("value", "0.0")


def anchors(page):
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.M)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_resolve(page):
    links = re.findall(r"\]\((?!http)([^)]+)\)", page.read_text())
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.usefixtures("compiled_as_a_users")
@pytest.mark.parametrize("block", by_page(of_language("console")))
def test_the_output_of_a_command_is_what_it_prints(block, folder):
    command, *shown = block.splitlines()
    done = specflow(*shlex.split(command.removeprefix("$ specflow ")), cwd=folder)
    printed = (done.stdout + done.stderr).splitlines()
    for line, real in zip(shown, printed, strict=True):
        begin, _, end = line.partition("[...]")
        assert real.startswith(begin)
        assert real.endswith(end)
    failing = "error[" in block and "explain" not in command
    assert done.returncode == (2 if failing else "diff" in command)
