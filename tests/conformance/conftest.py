"""Runs the public suite, `jobqueue.testing.conformance`, on our own engines.

Its tests stand under engines.py: pytest "tests/conformance/engines.py::test_add" runs a file.
"""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobqueue.testing.conformance.fixtures import *  # noqa: F403 - so does pytest find them
from jobqueue.testing.plugin import Suite, parametrize
from tests.conformance.engines import ENGINES, LOOPS, loops
from tests.loops import LoopThread


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return Suite.from_parent(parent, path=file_path) if file_path.name == "engines.py" else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, ENGINES)


@pytest.fixture(scope="session", autouse=True)
def running_loops() -> Iterator[None]:
    found = [name for name in LOOPS if importlib.util.find_spec(name)]
    loops.update({name: LoopThread(importlib.import_module(name).new_event_loop) for name in found})
    yield
    for thread in loops.values():
        thread.close()
    loops.clear()
