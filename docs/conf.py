"""How the documentation is built: `make docs`. Pages are Markdown; the reference is docstrings."""

from sphinx.application import Sphinx

import jobqueue

project = "jobqueue"
author = "the jobqueue developers"
version = release = jobqueue.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["README.md"]

myst_heading_anchors = 3
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # they stand in the signature, where there are any
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpick_ignore_regex = [("py:.*", r"(?!jobqueue).*")]  # names that are not ours

highlight_language = "none"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_copyright = False
html_title = f"jobqueue {release}"
html_copy_source = False
html_show_sphinx = False
smartquotes_action = "qe"  # quotes and ellipses: two dashes begin an option
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def prepare(_app: Sphinx, _page: str, content: list[str]) -> None:
    """Drop the empty line that ends an example for doctest."""
    content[0] = content[0].replace("\n\n```\n", "\n```\n")


def setup(app: Sphinx) -> None:
    """Called by sphinx."""
    app.connect("source-read", prepare)
