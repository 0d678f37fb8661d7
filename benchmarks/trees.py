"""Builds a commit, or this tree, into a virtual environment of its own, so that it can be measured.

The benchmarks themselves always come from this tree: both sides are measured by the same code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from benchmarks.machine import COMMIT_VARIABLE, ROOT, commit

HERE = "."  # names this tree as it is, uncommitted changes included
BUILT = ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE")  # what a build reads


@dataclass(frozen=True, slots=True)
class Installed:
    """A built commit: run its python in ROOT with its environment."""

    name: str
    python: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Standard output of `python -m arguments...`; progress goes to our standard error."""
        done = subprocess.run(
            [str(self.python), "-m", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        # 1 is a verdict (a target falls short), and anything above is a failure.
        if done.returncode > 1 or not done.stdout:
            raise RuntimeError(f"{' '.join(arguments)} failed with {done.returncode}")
        return done.stdout


def lay_out(ref: str, folder: Path) -> str:
    """Puts the files of a commit, or of this tree, into `folder`; returns what to call it."""
    folder.mkdir(parents=True)
    if ref == HERE:
        for name in BUILT:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__")
                shutil.copytree(source, folder / name, ignore=ignored)
            elif source.exists():
                shutil.copy(source, folder)
        return commit()
    git = ["git", "-C", str(ROOT)]
    name = subprocess.check_output(
        [*git, "rev-parse", "--short=10", f"{ref}^{{commit}}"], text=True
    )
    # An archive instead of `git worktree`: it leaves nothing behind in .git, however this ends.
    packed = subprocess.check_output([*git, "archive", name.strip()])
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return name.strip()


def install(
    ref: str, folder: Path, python: str = sys.executable, requirements: tuple[str, ...] = ()
) -> Installed:
    """Builds `ref` with `python` into `folder`, release build; installs `requirements` as well."""
    tree, venv = folder / "tree", folder / "venv"
    name = lay_out(ref, tree)
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DEBUG", "TRACE", "COVERAGE", "SANITIZE", "PYTHONPATH", "PYTHONHOME")
    }
    environment[COMMIT_VARIABLE] = name

    def run(*command: str) -> None:
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    run(python, "-m", "venv", str(venv))
    inside = str(venv / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = (inside, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    run(*pip, "setuptools>=77", "cython>=3.1", *requirements)
    run(*pip, "--no-build-isolation", "--no-deps", str(tree))
    return Installed(name, Path(inside), environment)
