"""Runs the suite on the engines of `--engine`."""

import pytest

from jobqueue.testing.conformance.fixtures import *  # noqa: F403 - so does pytest find them
from jobqueue.testing.plugin import engines_of, parametrize


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, engines_of(metafunc.config))
