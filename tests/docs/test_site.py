"""Pages that the site adds to docs/: every command, config key, code, public name."""

import inspect
import json
import re
import shutil
import types
from pathlib import Path

import pytest

import specflow as sf
from docs.site import api_pages, assemble, config_pages
from specflow.cli.command_table import COMMANDS
from specflow.diagnostics.error_pages import error_pages

ROOT = Path(__file__).parents[2]
OF_COMPOSING = {"defaults", "experiment", "hydra"}
"""Keys that Hydra reads while it composes."""


@pytest.fixture(scope="module")
def every_file():
    """Path on the site -> its content: pages, and pictures as bytes."""
    return assemble.pages()


@pytest.fixture(scope="module")
def pages(every_file):
    """Path on the site -> text of its page."""
    return {name: text for name, text in every_file.items() if isinstance(text, str)}


def test_every_command_has_all_that_its_help_lists(pages):
    page = pages["reference/commands.md"]
    sections = re.split(r"^## (.+)$", page, flags=re.M)
    assert sections[1::2] == [*COMMANDS]
    for name, text in zip(sections[1::2], sections[2::2], strict=True):
        assert COMMANDS[name].example in text
        shown = re.findall(r"^`([^` ,]+).*`\n: .+$", text, re.M)
        usage = COMMANDS[name].parser(name).format_usage()
        listed = re.findall(r"-{1,2}[a-z][a-z-]*", usage.partition(name)[2])
        assert {word for word in shown if word.startswith("-")} == {*listed} - {"-h"}


def test_every_error_code_has_a_section(pages):
    sections = re.findall(r"^### (.+)$", pages["errors.md"], re.M)
    assert sections == [*error_pages()]
    assert "| `" not in pages["errors.md"].partition("## Codes")[2]


def properties(schema):
    """Names of all properties of a JSON Schema, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        for inner in schema.values():
            yield from properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from properties(inner)


def test_every_property_of_the_schema_has_an_entry(pages):
    """The schema is made from the same classes, but not by the same walk."""
    schema = json.loads((ROOT / "conf/schema/experiment.json").read_text())
    reference = {
        Path(name).stem: text
        for name, text in pages.items()
        if name.startswith("reference/config/")
    }
    entries = {
        key.rpartition(".")[2]
        for text in reference.values()
        for key in re.findall(r"^`([^`]+)`\n: .+\n: .+$", text, re.M)
    }
    keys = {name for name in properties(schema) if name.isidentifier()}
    assert keys - entries - {*reference} <= OF_COMPOSING


def test_every_key_of_every_kind_of_section_has_an_entry(pages):
    keys = [*config_pages.keys()]
    assert len(keys) > 800
    assert [
        (path, key)
        for path, key in keys
        if f"`{path}.{key}`\n: " not in pages[f"reference/config/{top(path)}.md"]
    ] == []


def top(path):
    return path.partition(".")[0]


def test_a_key_without_a_text_fails_the_build(monkeypatch):
    monkeypatch.setattr(config_pages.Place, "about", property(lambda place: ""))
    with pytest.raises(ValueError, match="has no text below it"):
        config_pages.config_pages()


def test_every_public_name_has_an_entry(pages):
    for module in api_pages.MODULES:
        page = pages[f"reference/api/{module}.rst"]
        shown = re.findall(rf"^\.\. auto\w+:: {re.escape(module)}\.(\w+)$", page, re.M)
        assert shown == [name for name, _ in api_pages.public_names(module)]


def test_every_public_module_has_a_page():
    """`sf.metrics` and the like; `config` and `diagnostics` have no public names."""

    def modules(module):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if isinstance(value, types.ModuleType):
                yield value
                yield from modules(value)

    public = {
        module.__name__
        for module in modules(sf)
        if any(
            not inspect.ismodule(getattr(module, name))
            for name in getattr(module, "__all__", ())
        )
    }
    assert public - {*api_pages.MODULES} == set()


def test_a_public_name_without_a_docstring_fails_the_build(monkeypatch):
    monkeypatch.setattr(sf.metrics.AUC, "__doc__", "")
    with pytest.raises(ValueError, match=r"specflow\.metrics\.AUC: has no docstring"):
        api_pages.api_pages()


def test_links_lead_to_pages_of_the_site(pages, every_file):
    """Those that lead to the source of the program became plain text."""
    broken = []
    for name, text in pages.items():
        if name.endswith(".md"):
            for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
                target = assemble.normal(Path(name).parent / link)
                if target not in every_file:
                    broken.append(f"{name}: {link}")
    assert broken == []


def test_a_link_to_nothing_fails_the_build(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("notebooks", "CHANGELOG.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs/data.md").write_text("See [this](nowhere.md).")
    monkeypatch.setattr(assemble, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"data\.md: nowhere\.md is neither a page"):
        assemble.pages()


def test_the_contents_list_every_page(pages):
    trees = re.findall(
        r"^```\{toctree\}\n(?::.*\n)+\n((?:.+\n)+)```",
        "\n".join(text for name, text in pages.items() if name.endswith("index.md")),
        re.M,
    )
    listed = {entry for tree in trees for entry in tree.split()}
    names = {name.rsplit(".", 1)[0] for name in pages} - {"index"}
    sections = {name for name in names if name.startswith("reference/config/")}
    interface = {name for name in names if name.startswith("reference/api/")}
    assert names - listed - sections - interface == set()
    assert {"reference/config/index", "reference/api/index"} <= listed
