"""The wall between the layers: no file imports or cimports what stands above it.

Each folder knows those before it in LAYERS, and nothing else of the package. A wing knows what is
below the wings, itself, and the wings that WINGS grants it. An import for type checkers alone is no
edge, since it is not there at run time.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src/jobqueue"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("_structures",),
    ("_machine",),
    ("errors",),
    ("_objects",),
    ("_clock", "_values", "interfaces", "_ports", "validation"),
    ("_engine",),
    ("_core",),
    ("observing",),
    ("controller",),
    ("__init__",),
)
"""From the inside out. What stands in one line knows the lines before it, and its own."""

WINGS: dict[str, tuple[str, ...]] = {
    "testing": (),
    "worker": (),
    "aio": ("worker",),
    "cmdlog": (),
    "telemetry": (),
    "cli": ("cmdlog", "worker"),
    "__main__": ("cli",),
}
"""A wing, and the wings that it may use."""

CIMPORT = re.compile(
    r"^\s*(?:from\s+(jobqueue[\w.]*)\s+cimport\s+([\w, ]+|\()|cimport\s+(jobqueue[\w.]*))"
)


def place_of(module: str) -> str:
    """The layer or wing of a dotted name below the package."""
    return module.split(".", maxsplit=1)[0] if module else "__init__"


def native_imports(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        if (match := CIMPORT.match(line)) is not None:
            yield (match[1] or match[3]).removeprefix("jobqueue").lstrip(".")


def python_imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Dotted names below the package that a module imports when it runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "jobqueue":
                    yield alias.name.removeprefix("jobqueue").lstrip(".")
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + base
            elif base[:1] == ["jobqueue"]:
                base = base[1:]
            else:
                continue
            for alias in node.names:  # `from . import x` names a module, or a name of the package
                yield ".".join([*base, alias.name])
        else:
            yield from python_imports(node, package)


PYTHON_IN_NATIVE = re.compile(r"^\s*(?:from\s+[.\w]+\s+import\s|import\s)")


def imports_of(path: Path, root: Path) -> Iterator[str]:
    package = list(path.relative_to(root).parent.parts)
    if path.suffix == ".py":
        yield from python_imports(ast.parse(path.read_text("utf-8")), package)
        return
    yield from native_imports(path)
    for line in path.read_text("utf-8").splitlines():
        if PYTHON_IN_NATIVE.match(line) and not line.rstrip().endswith("("):
            yield from python_imports(ast.parse(line.strip()), package)


def rank_of(place: str) -> int:
    for rank, places in enumerate(LAYERS):
        if place in places:
            return rank
    return len(LAYERS)


def may_know(place: str, other: str) -> bool:
    if place == other:
        return True
    if place in WINGS:
        return other in WINGS[place] or other not in WINGS
    return other not in WINGS and rank_of(other) <= rank_of(place)


def edges_up(root: Path) -> list[str]:
    """Each import of a file that stands below what it imports."""
    known = {place for places in LAYERS for place in places} | WINGS.keys()
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in {".py", ".pyx", ".pxd"}:
            continue
        where = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        place = place_of(where)
        if place not in known:
            found.append(f"{where} stands in no layer")
            continue
        for module in imports_of(path, root):
            other = place_of(module)
            if other not in known:  # a name of the package itself: `from .. import Job`
                other = "__init__"
            if not may_know(place, other):
                found.append(f"{where} knows {module}")
    return found


def test_no_edge_goes_up() -> None:
    assert edges_up(PACKAGE) == []


PLANTED = [
    ("_machine/life.pyx", "from jobqueue._objects.job cimport Job\n"),
    ("_structures/wheel.pxd", "from jobqueue._machine.types cimport (\n    job_t,\n)\n"),
    ("_objects/rules.pyx", "from .._engine import status\n"),
    ("_engine/waiting.pyx", "from ..controller import Controller\n"),
    ("_core.pyx", "from . import observing\n"),
    ("controller.py", "def f() -> None:\n    from .aio import Controller\n"),
    ("interfaces.py", "import jobqueue.controller\n"),
    ("worker/_policy.py", "from ..cmdlog import DurableController\n"),
    ("aio/_verbs.py", "from jobqueue.testing import ManualClock\n"),
    ("nowhere/at_all.py", "import os\n"),
]


@pytest.mark.parametrize(("path", "code"), PLANTED, ids=[path for path, _ in PLANTED])
def test_an_edge_that_is_planted_is_seen(path: str, code: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code, "utf-8")
    assert len(edges_up(tmp_path)) == 1


def test_what_goes_down_or_is_for_types_alone_is_no_edge(tmp_path: Path) -> None:
    files = {
        "controller.py": "from ._core import Engine\nfrom . import errors\n",
        "_machine/life.pyx": "from jobqueue._structures.wheel cimport wheel_arm\n",
        "_engine/foreign.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from ..controller import Controller\n"
        ),
        "aio/_verbs.py": "from ..worker import Retry\nfrom .. import Job\n",
    }
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, "utf-8")
    assert edges_up(tmp_path) == []
