"""Freezers (PyInstaller, cx_Freeze, py2exe, Nuitka) find every module by reading Python code.

What native modules import they cannot see; so each such module must be named in Python code, too.
"""

import importlib.util
import re
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import jobqueue

PACKAGE = Path(jobqueue.__file__).parent
SOURCES = Path(__file__).parents[2] / "src" / "jobqueue"
NATIVE = (
    {
        ".".join(("jobqueue", *path.relative_to(SOURCES).with_suffix("").parts)): path
        for path in SOURCES.rglob("*.pyx")
    }
    if SOURCES.is_dir()
    else {}
)
PROGRAM = """
import tempfile
import jobqueue
from jobqueue import ID, Controller, Job, aio
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from jobqueue.worker import Worker

with Controller() as c, Worker(c, {"double": lambda attempt: attempt.job.payload * 2}):
    assert c.run(Job("double", b"ab"), 20_000).result == b"abab"
    c.add(job := Job("other", b"x", ttr=1))
    with c.observe(lambda event: None):
        c.lease("other", 0)
        c.explain(job)
    assert ID(job.id.uuid) == job.id
with tempfile.TemporaryDirectory() as path:
    with DurableController(path) as c:
        c.add(job)
    with DurableController(path) as c:
        assert c.peek("other") == job

async def main():
    async with aio.Controller() as c:
        c.add(job)
        assert await c.lease("other", 0) == job

import asyncio
asyncio.run(main())
print("all is there")
"""


def seen_in(program: Path) -> set[str]:
    """What static analysis finds; modules of others count as found."""
    finder = ModuleFinder(path=[str(PACKAGE.parent)])
    finder.run_script(str(program))
    return {*finder.modules, *finder.any_missing()}


@pytest.mark.skipif(not NATIVE, reason="the sources are not here")
@pytest.mark.parametrize("wing", ["", ".cmdlog"])
def test_every_native_module_is_named_in_python_code(wing: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import jobqueue{wing}\n")
    seen = seen_in(tmp_path / "program.py")
    folders = ("jobqueue._", f"jobqueue{wing}._")
    wanted = {name for name in NATIVE if name.startswith(folders)}
    assert len(wanted) >= 16
    assert wanted - seen == set()


@pytest.mark.skipif(not NATIVE, reason="the sources are not here")
def test_what_native_code_imports_is_named_in_python_code(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    seen = {
        name.partition(".")[0] if "jobqueue" not in name else name
        for name in seen_in(tmp_path / "program.py")
    }
    found = set()
    for name, path in NATIVE.items():
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^\s*import ([\w.]+)$", text, re.MULTILINE))
        for module, names in re.findall(r"^\s*from ([\w.]+) import ([\w, ]+)", text, re.MULTILINE):
            absolute = importlib.util.resolve_name(module, name.rpartition(".")[0])
            if absolute == "jobqueue":
                found |= {f"jobqueue.{each.split()[0]}" for each in names.split(",")}
            else:
                found.add(absolute)
    assert {"uuid", "_weakref", "jobqueue.errors", "jobqueue._objects.green"} <= found
    assert found - seen == set()


def test_pyinstaller_finds_all(tmp_path: Path, *, long: bool) -> None:
    """The real thing; no hook is needed."""
    if not long:
        pytest.skip("long: a build takes half a minute")
    if importlib.util.find_spec("PyInstaller") is None:
        pytest.skip("PyInstaller is not installed for this Python")
    (tmp_path / "program.py").write_text(PROGRAM)
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "PyInstaller", "--onedir", "--noconfirm"),
            *("--log-level", "WARN", "--paths", str(PACKAGE.parent), "program.py"),
        ],
        cwd=tmp_path,
        check=True,
        timeout=600,
    )
    frozen = tmp_path / "dist" / "program" / "program"
    done = subprocess.run([frozen], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "all is there\n", done.stderr
