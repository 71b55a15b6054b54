"""Configuration of Sphinx; `docs/site/assemble.py` makes the pages that it reads."""

from specflow.runtime import distribution

project = "specflow"
author = "the authors of specflow"
release = distribution.version() or ""
html_title = f"specflow {release}".strip()

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Notebooks are run by the tests; the site shows the outputs that they stored.
nb_execution_mode = "off"
nb_merge_streams = True
suppress_warnings = ["misc.highlighting_failure"]  # Cells of `%%sh` are no Python.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# One backtick in a docstring is code, as in Markdown.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
napoleon_numpy_docstring = False

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
smartquotes = False  # They would turn the -- of an option into a dash.

html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

_attributes: dict[str, list[str]] = {}


def setup(app):
    """Keeps napoleon from reading `text: more` below a field as its type."""
    name = "autodoc-process-docstring"
    app.connect(name, _keep_attribute, priority=400)
    app.connect(name, _restore_attribute, priority=600)


def _keep_attribute(app, what, name, obj, options, lines):
    if what in ("attribute", "data", "property"):
        _attributes[name] = [*lines]


def _restore_attribute(app, what, name, obj, options, lines):
    if name in _attributes:
        lines[:] = _attributes.pop(name)
