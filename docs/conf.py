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
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

MAY_COME = {"asyncio", "workers", "durability", "observability", "reliability", "performance"}
"""Pages that the index lists as soon as they are there: some are written by a make target."""


def prepare(app: Sphinx, page: str, content: list[str]) -> None:
    """Drop the empty line that ends an example for doctest, and pages that have not come."""
    content[0] = content[0].replace("\n\n```\n", "\n```\n")
    if page == "index":
        missing = MAY_COME - app.project.docnames
        lines = content[0].splitlines()
        content[0] = "\n".join(line for line in lines if line not in missing)


def setup(app: Sphinx) -> None:
    """Called by sphinx."""
    app.connect("source-read", prepare)
