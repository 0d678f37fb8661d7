"""The rules of the repository that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "benchmarks")
SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".h"}
LINES_MAX = 800
LONGER = {
    "src/jobqueue/_core.pyx": "verbs with their docstrings, and nothing else",
    "src/jobqueue/_engine/base.pyx": "one class: verbs begin and end in it; time, closing",
    "src/jobqueue/_machine/life.pyx": "one state machine, whose steps inline each other",
    "src/jobqueue/_objects/registry.pyx": "records and waiters, which know each other",
    "src/jobqueue/_structures/skiplist.pyx": "one structure",
    "src/jobqueue/cmdlog/_journal.pyx": "one class: noting, room and segments, under one lock",
}
"""Files that may pass it, and why."""
HEAD_MAX = 15
EMPTY_MARKERS = {"__init__.py", "__init__.pxd"}  # they may say nothing
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc"}
# Split, so that this file does not name them itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and "floor" not in path.parts:
                yield path


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_file = pytest.mark.parametrize("path", list(files()), ids=name_of)


@every_file
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert (lines > LINES_MAX) == (name_of(path) in LONGER)


@every_file
def test_no_name_says_nothing(path: Path) -> None:
    assert not VAGUE & {part.removeprefix("_").split(".")[0] for part in path.parts}


@every_file
def test_nothing_is_left_unfinished(path: Path) -> None:
    assert not UNFINISHED.findall(path.read_text("utf-8"))


@every_file
def test_each_file_begins_with_its_purpose(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.suffix == ".pyi" or (path.name in EMPTY_MARKERS and not text):
        return
    if path.suffix == ".h":
        head = re.match(r"/\*(.*?)\*/", text, re.DOTALL)
    else:
        head = re.match(r'[rR]?"""(.*?)"""', text, re.DOTALL)
    assert head, "no head"
    if path.is_relative_to(ROOT / "src"):
        assert len(head[1].splitlines()) <= HEAD_MAX


TESTS = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src/jobqueue/testing").rglob("*.py")]


@pytest.mark.parametrize("path", sorted(TESTS), ids=name_of)
def test_no_test_sleeps(path: Path) -> None:
    calls = [
        (node.lineno, ast.unparse(node.func))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert not [line for line, called in calls if called in {"time.sleep", "sleep"}]


COMPREHENSION = re.compile(r"[\[{](?P<element>[^\[\]{}\n]+?) for \w+(, \w+)* in ")


@pytest.mark.parametrize("path", sorted(ROOT.glob("src/jobqueue/**/*.pyx")), ids=name_of)
def test_comprehensions_in_native_code_collect_variables(path: Path) -> None:
    """Cython 3.3 drops a fresh element twice when the list finds no memory."""
    code = "\n".join(
        line for line in path.read_text("utf-8").splitlines() if not re.match(r"\s*(#|>>>)", line)
    )
    elements = [match["element"] for match in COMPREHENSION.finditer(code)]
    assert not [element for element in elements if not element.isidentifier()]
