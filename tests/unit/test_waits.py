"""Waits that are begun and ended without a thread, as whoever sleeps in another way does it."""

import gc
import os
import subprocess
import sys
from typing import Any

import pytest

from jobqueue import Controller, Job
from jobqueue._objects.registry import Waiter
from jobqueue.testing import ManualClock


def test_an_answer_outlives_what_comes_before_it_is_fetched() -> None:
    with Controller(clock=ManualClock()) as c:
        c.add(job := Job("a"))
        waiter = c.result_begin(job, 1000, lambda _: None)
        c.fail(job, b"the reason")
        c.kick(job)
        c.delete(job)
        assert c.wait_finish(waiter, job, 1000) == (False, b"the reason")


def living_waiters() -> int:
    gc.collect()
    return sum(type(one) is Waiter for one in gc.get_objects())


@pytest.mark.parametrize("first", [True, False])
def test_an_engine_that_is_dropped_amid_a_hand_off_leaves_no_waiter(*, first: bool) -> None:
    """What one gives back as the collector takes all goes to the next, whom nobody wakes."""

    def drop() -> None:
        c = Controller(clock=ManualClock())
        kept: dict[str, Any] = {"controller": c}  # a cycle: they are garbage all at once
        waiters = [c.lease_begin("a", 60_000, lambda _: kept.get("none")) for _ in range(3)]
        kept["waiters"] = waiters if first else waiters[::-1]
        c.add(Job("a"))

    before = living_waiters()
    drop()
    assert living_waiters() == before


DROPPED = """
import gc
from jobqueue import Controller, Job
from jobqueue.testing import ManualClock

class Holder:
    pass

def drop(order):
    c = Controller(clock=ManualClock(), max_jobs=5)
    c.limit("a", max_jobs=5)
    kept = {}
    waiter = c.run_begin(Job("a", bytes(300)), 60_000, lambda _: kept.get("none"))
    holders = [Holder() for _ in range(3)]
    for holder in holders:
        holder.kept, holder.all = kept, holders
    for key, value in [("controller", c), ("waiter", waiter)][::order]:
        kept[key] = value
    kept["holders"] = holders

gc.disable()
for number in range(200):
    drop(1 if number % 2 else -1)
    gc.collect()
    others = [bytes(200 + size) for size in range(50)]
"""


def test_a_bounded_engine_that_is_dropped_amid_a_run_crashes_nothing() -> None:
    """The waiter of the run gives its job back, whichever of them the collector takes first."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", DROPPED],
        env={**os.environ, "PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
