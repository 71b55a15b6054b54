"""The notebooks run, and their stored outputs are what a reader gets."""

import base64
import re

import nbformat
import pytest

from tests.docs.notebooks import METADATA, NOTEBOOKS, execute

LARGEST_PICTURE = 60 << 10
PATHS = re.compile(r"/(tmp|home|root|Users|var|usr|opt)/|[A-Z]:\\|ipykernel_")
"""Paths of the machine on which the notebook ran."""

every_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS]
)


def outputs_of(cell):
    return cell.get("outputs", [])


def pictures_of(cell):
    images = (output.get("data", {}).get("image/png") for output in outputs_of(cell))
    return [image for image in images if image]


def test_there_are_six_notebooks():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert numbers == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs_and_stores_its_pictures(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    # Each program in them runs for some hundred steps.
    ran = execute(path, tmp_path)
    for number, (old, new) in enumerate(zip(stored.cells, ran.cells, strict=True)):
        pictures = len(pictures_of(old)), len(pictures_of(new))
        assert pictures[0] == pictures[1], f"cell {number}: {old.source}"
        assert bool(outputs_of(old)) == bool(outputs_of(new)), f"cell {number}"


@every_notebook
def test_stored_outputs_are_valid_small_and_free_of_local_paths(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert any(pictures_of(cell) for cell in notebook.cells)
    for cell in notebook.cells:
        for picture in pictures_of(cell):
            assert len(base64.b64decode(picture)) < LARGEST_PICTURE
        data = [output.get("data", {}) for output in outputs_of(cell)]
        texts = [output.get("text", "") for output in outputs_of(cell)]
        for text in (
            cell.source,
            *texts,
            *(part.get("text/plain", "") for part in data),
        ):
            assert not PATHS.search(text), text


@every_notebook
def test_stored_outputs_have_no_warnings(path):
    """Only commands that fail on purpose write to standard error."""
    for cell in nbformat.read(path, as_version=4).cells:
        names = {output.get("name") for output in outputs_of(cell)}
        assert "stderr" not in names or "--no-raise-error" in cell.source


@every_notebook
def test_stored_outputs_are_of_one_run_in_one_form(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == METADATA
    assert all(cell.metadata == {} for cell in notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))
    assert nbformat.writes(notebook) + "\n" == path.read_text()


@every_notebook
def test_a_notebook_begins_with_its_learning_goals(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {int(path.name[:2])}\. ", first.source)
    assert "After this notebook you can" in first.source


@every_notebook
def test_links_resolve(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []
