"""The loggers of the standard library: what they tell, and that they are quiet by default."""

import logging
import subprocess
import sys
import types

import pytest

from jobqueue import Controller, Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import wait_until

LOUD = """
from jobqueue import Controller, Job
from jobqueue.cmdlog import DurableController
from jobqueue.worker import Worker
import sys, tempfile

def broken(attempt):
    raise ValueError("broken")

with tempfile.TemporaryDirectory() as path:
    with DurableController(path) as c:
        with Worker(c, {"a": broken}):
            c.add(job := Job("a", max_fails=1))
            assert not c.result(job, 60_000).success
        c._log._fail("a sync failed")
    with open(f"{path}/000000001.cmdlog", "ab") as file:
        file.write(b"half a record")
    with DurableController(path) as c:
        assert c.recovery.torn
"""


def test_a_program_that_sets_up_no_logging_hears_nothing():
    done = subprocess.run(
        [sys.executable, "-c", LOUD], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_controller_tells_of_its_thread_and_its_end(caplog):
    caplog.set_level(logging.DEBUG, "jobqueue.controller")
    with Controller() as c:
        c.add(Job("a"))
        wait_until(lambda: caplog.messages, "a message")
    assert caplog.messages == ["a timer thread has begun", "closed, with 1 records"]
    assert {record.name for record in caplog.records} == {"jobqueue.controller"}


def test_the_core_does_not_import_logging():
    script = """
import sys
import types
from jobqueue import Controller
Controller().close()
assert "logging" not in sys.modules
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True, timeout=60)


def test_a_command_log_tells_of_starts_segments_and_snapshots(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "jobqueue.cmdlog")
    with DurableController(tmp_path) as c:
        c.add(Job("a"))
        c.compact()
    assert caplog.messages[:3] == [
        f"{tmp_path / '000000001.cmdlog'}: begun",
        f"{tmp_path}: 0 records, 0 jobs",
        f"{tmp_path / '000000002.cmdlog'}: begun",
    ]
    assert caplog.messages[3].startswith(f"{tmp_path}: compacted to a snapshot of ")


def test_a_command_log_that_takes_no_more_tells_it(tmp_path, caplog):
    with DurableController(tmp_path) as c:
        c._log._fail("a sync failed: no disk")
        with pytest.raises(CommandLogError):
            c.add(Job("a"))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "a sync failed: no disk" in record.getMessage()


def test_a_log_that_another_thread_is_about_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer thread died of it."""
    monkeypatch.setitem(sys.modules, "logging", types.ModuleType("logging"))
    with Controller(clock=ManualClock()) as c:
        c.add(Job("a"))
    assert c.closed
