"""What `import jobqueue` loads, and what is loaded once asked for. In processes of their own."""

import json
import subprocess
import sys
from typing import Any

import pytest

import jobqueue

HEAVY = {
    "typing",
    "re",
    "logging",
    "threading",
    "asyncio",
    "uuid",
    "random",
    "weakref",
    "contextlib",
}
"""Modules of the standard library that take long to load, and that no verb needs."""


def evaluated(code: str) -> Any:
    """What an expression is in a fresh interpreter, which loads nothing by itself."""
    program = f"import sys, jobqueue; value = {code}; import json; print(json.dumps(value))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_heavy_is_not_loaded() -> None:
    assert HEAVY & set(evaluated("sorted(sys.modules)")) == set()


@pytest.mark.parametrize("module", ["interfaces", "validation"])
def test_a_module_that_is_loaded_late_is_there_as_an_attribute(module: str) -> None:
    assert evaluated(f"jobqueue.{module}.__name__") == f"jobqueue.{module}"


def test_every_public_name_is_there_and_is_shown() -> None:
    assert evaluated("[hasattr(jobqueue, name) for name in jobqueue.__all__]") == [
        True for _ in jobqueue.__all__
    ]
    assert set(jobqueue.__all__) <= set(evaluated("dir(jobqueue)"))


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="module 'jobqueue' has no attribute 'Contoller'"):
        _ = jobqueue.Contoller


def test_a_named_tuple_is_as_typing_makes_it() -> None:
    assert jobqueue.RunResult._fields == ("success", "result")
    assert jobqueue.RunResult.__annotations__ == {"success": "bool", "result": "bytes"}
    assert jobqueue.RunResult.__doc__ == "How a job ended."
    assert jobqueue.Stats._field_defaults["max_jobs"] is None
    assert repr(jobqueue.RunResult(True, b"x")) == "RunResult(success=True, result=b'x')"
