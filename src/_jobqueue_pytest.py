"""The entry point for pytest: loads the conformance suite's plugin if a run asks for the suite.

pytest loads it in every run where jobqueue is installed. So it stands outside of the package,
imports nothing of it, and adds no option to other runs. It is needed since pytest reads options
from no conftest.py that it finds by `--pyargs`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_load_initial_conftests(early_config: "pytest.Config", args: list[str]) -> None:
    """Look at the arguments, before options are read."""
    suite = "jobqueue.testing.conformance"
    asked = (str(arg).replace("/", ".").replace("\\", ".") for arg in args)
    if any(suite in arg for arg in asked):
        early_config.pluginmanager.import_plugin("jobqueue.testing.plugin")
