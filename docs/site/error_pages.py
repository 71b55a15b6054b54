"""The codes of docs/errors.md as sections: a table of that width fits no screen."""

from specflow.diagnostics.error_pages import error_pages

__all__ = ["with_sections"]


def with_sections(page: str) -> str:
    """Replaces the table of codes by a section for each code."""
    lines = page.splitlines()
    rows = [at for at, line in enumerate(lines) if line.startswith("| `")]
    sections = []
    for code, entry in error_pages().items():
        sections += [
            f"### {code}",
            "",
            entry.meaning,
            "",
            f"```console\n{entry.kind}[{code}] {entry.example}\n```",
            "",
            entry.hint,
            "",
        ]
    return "\n".join([*lines[: rows[0] - 2], *sections, *lines[rows[-1] + 1 :]])
