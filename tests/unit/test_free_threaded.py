"""Builds of CPython without a GIL: the package says that it needs none, and leaves it off."""

import subprocess
import sys
import sysconfig

import pytest

MODULES = """
import importlib, pkgutil, sys
import jobqueue
for module in pkgutil.iter_modules(jobqueue.__path__):
    if module.name != "__main__":
        importlib.import_module(f"jobqueue.{module.name}")
assert not sys._is_gil_enabled()
"""


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL"
)
def test_importing_it_leaves_the_gil_off() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", MODULES], check=True)
