"""Assembly of the pages that Sphinx reads: docs/, notebooks, and generated ones."""

import re
import shutil
from pathlib import Path

from docs.site.api_pages import api_pages
from docs.site.command_pages import command_page
from docs.site.config_pages import config_pages
from docs.site.error_pages import with_sections

__all__ = ["assemble", "normal", "pages"]

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
_HEADING = re.compile(r"^# (.+)", re.M)
_TABLE = re.compile(r"^## (.+)\n(?:.*\n)*?\|---\|---\|\n((?:\|.*\n)+)", re.M)
_ROW_LINK = re.compile(r"^\| \[[^\]]*\]\(([^)]+)\)", re.M)


def assemble(folder: Path) -> None:
    """Writes every page of the site into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in pages().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


def pages() -> dict[str, str | bytes]:
    """Returns path on the site -> content of every page and picture."""
    generated = {
        "reference/commands.md": command_page(),
        **config_pages(),
        **api_pages(),
    }
    made: dict[str, str | bytes] = {}
    for file in sorted((ROOT / "docs").rglob("*.md")):
        made[str(file.relative_to(ROOT / "docs"))] = file.read_text()
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        made[f"notebooks/{file.name}"] = file.read_text()
    made["changelog.md"] = (ROOT / "CHANGELOG.md").read_text()
    made["errors.md"] = with_sections(str(made["errors.md"]))
    made["index.md"] = _with_contents(str(made["index.md"]), [*generated])
    on_site = {*made, *generated}
    titles = {
        name: match[1]
        for name, text in made.items()
        if (match := _HEADING.search(str(text)))
    }
    made = {
        name: _relinked(str(text), name, on_site, titles) for name, text in made.items()
    } | generated
    for folder in (ROOT / "docs", ROOT / "notebooks"):
        for file in sorted(folder.rglob("pictures/*")):
            made[_site_path(str(file.relative_to(ROOT)))] = file.read_bytes()
    return made


def _relinked(text: str, name: str, on_site: set[str], titles: dict[str, str]) -> str:
    """Adapts links to files outside docs/: to their pages, or to plain text.

    A link that shows the name of a page shows its title instead.
    """
    home = _repository_path(name).parent

    def adapt(match: re.Match[str]) -> str:
        mark, label, target, anchor = match.groups()
        path = normal(home / target)
        if path == "README.md":
            path = "docs/index.md"
        page = _site_path(path)
        if label.endswith(".md"):
            label = titles.get(page, label)
        if mark or page in on_site:
            depth = name.count("/")
            return f"{mark}[{label}]({'../' * depth}{page}{anchor or ''})"
        if not (ROOT / path).exists():
            raise ValueError(f"{name}: {target} is neither a page nor a file")
        return label

    return _LINK.sub(adapt, text)


def _repository_path(name: str) -> Path:
    if name == "changelog.md":
        return Path("CHANGELOG.md")
    return Path(name) if name.startswith("notebooks/") else Path("docs", name)


def _site_path(path: str) -> str:
    return "changelog.md" if path == "CHANGELOG.md" else path.removeprefix("docs/")


def normal(path: Path) -> str:
    """The path without `..` and `.`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _with_contents(index: str, generated: list[str]) -> str:
    """Adds the tables of the index as tables of contents, and the generated pages."""
    first = [name for name in generated if name.count("/") == 1 or "/index." in name]
    trees = []
    for title, rows in _TABLE.findall(index):
        links = [normal(Path("docs", link)) for link in _ROW_LINK.findall(rows)]
        entries = [*map(_site_path, links), *(first if title == "Reference" else ())]
        trees.append(_toctree(title, entries))
    trees.append(_toctree("History", ["changelog.md"]))
    return "\n".join([index, *trees])


def _toctree(title: str, entries: list[str]) -> str:
    lines = "\n".join(name.rsplit(".", 1)[0] for name in entries)
    return f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{lines}\n```\n"
