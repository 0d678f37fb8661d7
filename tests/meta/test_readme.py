"""The code in README.md and docs runs, and the commands exist."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RUNNABLE = [README, *sorted((ROOT / "docs").rglob("*.md"))]
"""Pages whose examples run."""


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_code_runs(page: Path) -> None:
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 0 or ">>>" not in page.read_text("utf-8")
    assert failed == 0


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_the_make_targets_exist(page: str) -> None:
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"(?<=[`\n])make ([a-z-]+)(?=[`\n ])", (ROOT / page).read_text("utf-8"))
    assert set(named) <= set(rules)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_the_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text("utf-8"))
    assert not [link for link in links if not (ROOT / link).exists()]


def test_first_screen_has_the_two_commands() -> None:
    first = README.read_text("utf-8").splitlines()[:40]
    assert {"make demo", "make test"} <= {line.split("#")[0].strip() for line in first}
