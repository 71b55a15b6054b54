"""The document of a page: its head, style, script, and a policy that loads nothing."""

import base64
import hashlib
import importlib.resources

from specflow.runtime.html.html_text import Html, element

__all__ = ["page_document"]


def page_document(title: str, body: Html) -> str:
    """Returns a whole page, with its style and its script inside.

    Args:
        title: of the page.
        body: its content; tables whose heads are buttons sort by a click.
    """
    files = importlib.resources.files("specflow.runtime.html")
    style = files.joinpath("report.css").read_text(encoding="utf-8")
    script = files.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Whatever a value in it contains, nothing is loaded and no other script runs.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        None,
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<link rel="icon" href="data:,">'),
        element("title", None, title),
        element("style", None, Html(style)),
    )
    page = element("body", None, body, element("script", None, Html(script)))
    return f"<!doctype html>\n{element('html', {'lang': 'en'}, head, page)}\n"
