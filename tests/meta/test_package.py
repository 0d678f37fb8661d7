"""What is built and published: the version, the files, the pins."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import jobqueue

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_the_version_is_the_distributions() -> None:
    """It stands in `__init__.py` alone; the metadata were built from it."""
    assert importlib.metadata.version("jobqueue") == jobqueue.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", jobqueue.__version__)


def test_types_are_marked() -> None:
    assert (Path(jobqueue.__file__).parent / "py.typed").exists()


def test_wheels_are_tested_with_all_that_the_suite_reads() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cibuildwheel"]
    assert {page.name for page in ROOT.glob("*.md")} <= set(settings["test-sources"])
    assert {"tests", "docs", "pyproject.toml", "Makefile"} <= set(settings["test-sources"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_trust_nothing_that_moves(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{action} is not pinned by commit"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} does not say its version"
    assert "\npermissions: {}\n" in text
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"run: make (?:--silent )?([a-z-]+)", text)) <= set(rules)
    jobs = text[text.index("\njobs:") :]
    assert jobs.count("runs-on:") == jobs.count("timeout-minutes:") == jobs.count("\n    perm")
    # One version of an action in all workflows: one pin to move.
    everywhere = re.findall(r"uses: (\S+)", "".join(path.read_text("utf-8") for path in WORKFLOWS))
    assert len(set(everywhere)) == len({action.partition("@")[0] for action in everywhere})
