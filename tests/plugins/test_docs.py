"""Docs of plugins agree with the code and the sample package."""

import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from specflow import config
from specflow.cli.main import main
from specflow.config.plugins.signature import GIVEN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plugins.md").read_text()
OWN_CODE = (ROOT / "docs/own-code.md").read_text()
BLOCKS = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize(("file", "text"), BLOCKS)
def test_blocks_of_the_page_are_in_the_sample(file, text):
    assert textwrap.dedent(text) in (ROOT / "tests/plugin_sample" / file).read_text()


def test_the_page_lists_every_group_and_its_arguments():
    rows = {
        found[1]: found[2]
        for found in re.finditer(
            r"^\| `(specflow\.\w+)` \| `.*?` \| (.*?) \| ", PAGE, re.M
        )
    }
    folder = Path(config.__file__).parent
    source = "".join(path.read_text() for path in folder.rglob("*.py"))
    assert set(rows) == set(re.findall(r'group="(specflow\.\w+)"', source))
    for group, handed in GIVEN.items():
        assert handed <= set(re.findall(r"`(\w+)`", rows[group])), group


def test_the_example_of_own_code_is_reported_as_shown(package, capsys):
    about, code, shown = (
        re.search(rf"```{language}\n{head}(.*?)\n```", OWN_CODE, re.S)[1]
        for language, head in (
            ("toml", "# pyproject.toml\n"),
            ("python", "# my_losses.py\n"),
            ("text", re.escape("$ specflow train experiment=digits spec.loss")),
        )
    )
    (group, declared), *_ = tomllib.loads(about)["project"]["entry-points"].items()
    lines = "\n".join(f"{name} = {value}" for name, value in declared.items())
    package("my-losses", code, **{group.removeprefix("specflow."): lines})
    words, message = shown.split("\n", 1)
    assert main(["show", "experiment=digits", *f"spec.loss{words}".split()]) == 2
    assert capsys.readouterr().err == f"{message}\n"
