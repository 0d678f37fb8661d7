"""Builds of CPython without a GIL: the package says that it needs none, and leaves it off."""

import subprocess
import sys
import sysconfig

import pytest

MODULES = """
import importlib, pkgutil, sys
import jobqueue
for module in pkgutil.walk_packages(jobqueue.__path__, "jobqueue."):
    if "_" in module.name and "__main__" not in module.name and "testing" not in module.name:
        importlib.import_module(module.name)
assert not sys._is_gil_enabled()
"""


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL"
)
def test_importing_it_leaves_the_gil_off() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", MODULES], check=True)
