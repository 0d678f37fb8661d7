"""Importing it again, in part, or in another interpreter: it works, or one error says why."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
import importlib, sys
import jobqueue
import jobqueue.cmdlog, jobqueue.aio, jobqueue.worker, jobqueue.testing
first = jobqueue
old = first.Controller()
old.add(held := first.Job("a", b"x"))
old.lease("a", 0)
"""
# What must hold whatever was done to the modules before.
TAIL = """
import jobqueue
import jobqueue.cmdlog, jobqueue.aio, jobqueue.worker, jobqueue.testing
assert jobqueue.errors.NotFoundError is jobqueue.NotFoundError
assert jobqueue.NotFoundError is first.NotFoundError
new = jobqueue.Controller()
for controller in (old, new):
    for package in (first, jobqueue):  # what one copy raises, the other catches
        try: controller.delete(package.ID.new())
        except package.NotFoundError: pass
        try: controller.lease("none", 0)
        except package.WaitTimeoutError: pass
        controller.add(job := package.Job("b", b"y"))
        assert controller.lease("b", 0) is job
        controller.complete(job)
        assert controller.stats() == package.Stats(*controller.stats())
        assert package.State(controller.registry.record(job).state) is package.State.COMPLETED
old.complete(held)
assert old.result(held, 0) == (True, b"")
import pickle
assert pickle.loads(pickle.dumps(held)) == held
try: pickle.loads(pickle.dumps(first.NotFoundError("x")))
except jobqueue.NotFoundError: pass
import os
if hasattr(os, "fork"):
    import warnings
    warnings.simplefilter("ignore")
    pid = os.fork()
    if pid == 0:
        ids = [str(first.ID.new()), str(jobqueue.ID.new())]
        old.add(first.Job("c")); new.add(jobqueue.Job("c"))
        assert old.lease("c", 0) and new.lease("c", 0)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
for controller in (old, new):
    controller._check()
    controller.close()
print("fine")
"""


def run_script(body: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", body],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


WAYS = {
    "all forgotten": """
for name in [*sys.modules]:
    if name[:8] == "jobqueue": del sys.modules[name]""",
    "the package forgotten": 'del sys.modules["jobqueue"]',
    "the python half forgotten": """
for name in [*sys.modules]:
    module = sys.modules[name]
    if name[:8] == "jobqueue" and module.__file__.endswith(".py"): del sys.modules[name]""",
    "the native half forgotten": """
for name in [*sys.modules]:
    module = sys.modules[name]
    if name[:8] == "jobqueue" and not module.__file__.endswith(".py"): del sys.modules[name]""",
    "errors forgotten": 'del sys.modules["jobqueue"], sys.modules["jobqueue.errors"]',
    "reloaded": "importlib.reload(jobqueue)",
    "wings reloaded": "importlib.reload(jobqueue.cmdlog); importlib.reload(jobqueue.aio)",
    "everything reloaded": """
for name, module in [*sys.modules.items()]:
    if name[:8] == "jobqueue":
        try: importlib.reload(module)
        except ImportError as error: assert "cannot be reloaded" in str(error), error""",
    "all forgotten, often": """
for _ in range(5):
    for name in [*sys.modules]:
        if name[:8] == "jobqueue": del sys.modules[name]
    import jobqueue.cmdlog""",
    "forgotten while a thread waits": """
import threading
thread = threading.Thread(target=lambda: old.lease("later", 20_000))
thread.start()
for name in [*sys.modules]:
    if name[:8] == "jobqueue": del sys.modules[name]
import jobqueue
old.add(jobqueue.Job("later"))
thread.join()""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_second_import_works(way: str) -> None:
    assert run_script(f"{HEAD}\n{WAYS[way]}\n{TAIL}") == "fine\n"


def test_errors_cannot_be_reloaded() -> None:
    said = run_script("""
import importlib, jobqueue
before = jobqueue.errors.NotFoundError
try: importlib.reload(jobqueue.errors)
except ImportError as error: print(error)
assert jobqueue.errors.NotFoundError is before
""")
    assert said == "jobqueue.errors cannot be reloaded: native modules raise its classes\n"


def test_another_interpreter_gets_one_error() -> None:
    said = run_script("""
import jobqueue
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("none")
        raise SystemExit
import sys
if sys.version_info >= (3, 13):
    which = interpreters.create("legacy")
else:
    which = interpreters.create(isolated=False)
code = '''
try:
    import jobqueue
    print("imported")
except ImportError as error:
    print(type(error).__name__, error, flush=True)
'''
if sys.version_info >= (3, 13):
    interpreters.exec(which, code)
else:
    interpreters.run_string(which, code)
interpreters.destroy(which)
with jobqueue.Controller() as c:
    c.add(jobqueue.Job("a"))
    c.lease("a", 0)
print("fine")
""")
    if said == "none\n":
        pytest.skip("no module for interpreters")
    assert said.startswith("ImportError "), said
    assert "interpreter" in said
    assert said.endswith("\nfine\n")
