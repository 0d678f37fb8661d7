"""Runs the suite on the engines of `--engine`."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from jobqueue.testing.conformance.fixtures import *  # noqa: F403 - so does pytest find them
from jobqueue.testing.plugin import engines_of, parametrize


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the suite's files where the user's are called otherwise (`python_files`)."""
    known = any(fnmatch(file_path.name, glob) for glob in parent.config.getini("python_files"))
    if known or parent.session.isinitpath(file_path) or not fnmatch(file_path.name, "test_*.py"):
        return None
    return pytest.Module.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, engines_of(metafunc.config))
