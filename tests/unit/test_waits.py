"""Waits that are begun and ended without a thread, as whoever sleeps in another way does it."""

import gc
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


@pytest.mark.parametrize("last", ["controller", "waiter"])
def test_a_bounded_engine_that_is_dropped_amid_a_run_crashes_nothing(last: str) -> None:
    """The waiter of the run gives its job back, whichever the collector takes first."""

    def drop() -> None:
        c = Controller(clock=ManualClock(), max_jobs=5)
        c.limit("a", max_jobs=5)
        kept: dict[str, Any] = {}
        kept |= {"controller": c, "waiter": c.run_begin(Job("a"), 60_000, lambda _: kept.get("x"))}
        kept[last] = kept.pop(last)

    for _ in range(3):
        drop()
        gc.collect()
