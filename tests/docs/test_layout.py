"""`docs/design/layout.md` names packages and modules that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design" / "layout.md").read_text()
SPANS = re.findall(r"`([^`]+)`", PAGE)


def exists(path):
    return any((base / path).exists() for base in (ROOT, ROOT / "specflow"))


def test_every_path_on_the_page_exists():
    paths = {
        path
        for span in SPANS
        for path in span.split()
        if re.fullmatch(r"[\w./]+(\.py|/)|[\w.]+/[\w./]+\.yaml", path)
    }
    assert len(paths) > 50
    assert [path for path in sorted(paths) if not exists(path)] == []


def test_every_package_is_in_the_table_of_layers():
    table = PAGE[PAGE.index("| layer |") : PAGE.index("`.importlinter`")]
    packages = {path.parent.name for path in (ROOT / "specflow").glob("*/__init__.py")}
    packages.discard("tf")
    assert {name for name in packages if f"{name}/" not in table} == set()
    assert "tf/canned/" in table
    assert "tf/heads/" in table
