"""The documentation keeps to what is there. That its examples run: test_readme.py."""

import builtins
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jobqueue
import jobqueue.testing
from jobqueue.testing.harness import CAPABILITIES

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
TABLES_OF_NAMES = ("moving.md", "from_workq.md")


def named(page: Path) -> Iterator[str]:
    """Dotted names that stand as code in the last column of a page's tables."""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("| "):
            cell = line.rstrip(" |").rpartition(" | ")[2]
            yield from re.findall(r"`([A-Za-z_][\w.]*)[`(]", cell)


def found(name: str, scopes: tuple[Any, ...]) -> bool:
    """Whether a name like `Controller.add`, or a controller's `add`, is there."""
    for scope in scopes:
        try:
            operator.attrgetter(name)(scope)
        except AttributeError:
            continue
        return True
    return False


@pytest.mark.parametrize("name", TABLES_OF_NAMES)
def test_tables_name_what_is_there(name: str) -> None:
    names = set(named(ROOT / "docs" / name))
    assert len(names) > 20, "the tables were not read"
    with jobqueue.Controller() as c:
        scopes = (jobqueue, c, jobqueue.testing, builtins)
        assert not [name for name in names if not found(name, scopes)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_is_code_that_runs(page: Path) -> None:
    """Python stands in a `pycon` block, which the suite runs; others say what they are."""
    fences = re.findall(r"^ *```(.*)$", page.read_text("utf-8"), re.MULTILINE)
    openings = {fence.split("}")[0] for fence in fences[::2]}
    plain = {"", "pycon", "sh", "text", "ini", "toml", "yaml", "json"}
    assert openings <= plain | {"{toctree", "{include", "{eval-rst", "{image", "{figure", "{note"}


def test_every_capability_stands_in_the_page_on_engines() -> None:
    page = (ROOT / "docs/engines.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == list(CAPABILITIES.items())


def test_decisions_have_the_number_of_their_file() -> None:
    for page in sorted((ROOT / "docs/decisions").glob("0*.md")):
        assert page.read_text("utf-8").startswith(f"# {int(page.name[:4])}. ")
