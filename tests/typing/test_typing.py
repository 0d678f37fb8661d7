"""The types that users meet: right uses check, wrong ones are refused.

That the stubs agree with the objects, stubtest says: see `make lint`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jobqueue

HERE = Path(__file__).parent
PACKAGE = Path(jobqueue.__file__).parent

pytest.importorskip("mypy")


def mypy(paths: list[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Check files as a user of this very package, without any configuration."""
    environment = dict(os.environ)
    environment.pop("MYPYPATH", None)
    if PACKAGE.parent.name not in {"site-packages", "dist-packages"}:
        environment["MYPYPATH"] = str(PACKAGE.parent)
    options = ["--config-file=", "--strict", "--no-error-summary", "--hide-error-context"]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, paths)],
        cwd=cwd,  # where its cache goes
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_uses(tmp_path: Path) -> None:
    stray = tmp_path / "stray.py"  # shows that a wrong use in plain sight is found
    stray.write_text('from jobqueue import Job\n\nJob("mail", "text")\n')
    checked = mypy([HERE / "right_uses.py", HERE / "wrong_uses.py", stray], tmp_path)
    assert not checked.stderr
    errors = [line for line in checked.stdout.splitlines() if " error: " in line]
    assert len(errors) == 1, checked.stdout
    assert errors[0].startswith('stray.py:3: error: Argument 2 to "Job"')
