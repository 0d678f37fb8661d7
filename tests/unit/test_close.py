"""close on the system clock: every blocked call ends, no thread is left, nothing leaks."""

import gc
import threading
import weakref

import pytest

from jobqueue import ClosedError, Controller, Job, SystemClock
from jobqueue.testing.waiting import Call, wait_until


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "jobqueue" in thread.name]


def test_every_blocked_call_ends_with_closed_error() -> None:
    c = Controller()
    job = Job("other")
    c.add(job)
    calls = [
        Call(c.lease, "a", 60_000),
        Call(c.lease, ["a", "b", "c"], 60_000),
        Call(c.lease_many, "a", 5, 60_000),
        Call(lambda: c.attempt("a", 60_000).__enter__()),
        Call(c.result, job, 60_000),
        Call(c.result, job, 60_000),
        Call(c.run, Job("never"), 60_000),
    ]
    wait_until(lambda: c.stats().waiting == 4 and c.stats().ready == 2)
    c.close()
    for call in calls:
        with pytest.raises(ClosedError):
            call.outcome()
    assert timer_threads() == []


def test_a_closed_run_leaves_no_job() -> None:
    c = Controller()
    job = Job("a")
    call = Call(c.run, job, 60_000)
    wait_until(lambda: job.id in c.registry)
    c.close()
    with pytest.raises(ClosedError):
        call.outcome()
    assert job.id not in c.registry


def test_the_timer_thread_ends() -> None:
    before = set(timer_threads())
    c = Controller()
    c.add(Job("a"))
    c.lease("a", 0)
    assert len(set(timer_threads()) - before) <= 1
    c.close()
    assert set(timer_threads()) == before


def test_close_of_an_unused_one() -> None:
    before = threading.enumerate()
    c = Controller()
    assert threading.enumerate() == before, "no thread before the first timer"
    c.close()
    c.close()


def test_close_from_many_threads() -> None:
    c = Controller()
    c.add(Job("a"))
    calls = [Call(c.close) for _ in range(5)]
    for call in calls:
        assert call.outcome() is None
    with pytest.raises(ClosedError):
        c.stats()


def test_close_from_a_hook() -> None:
    """The timer thread closes its own controller: it must not wait for itself."""
    c = Controller()
    closed = threading.Event()

    def close(id: object) -> None:
        c.close()
        closed.set()

    c.handle_expire(close)
    c.add(Job("a", ttl=1))
    wait_until(closed.is_set, "the hook")
    with pytest.raises(ClosedError):
        c.stats()


def test_closed_is_said_in_repr() -> None:
    c = Controller()
    assert "closed" not in repr(c)
    c.close()
    assert "closed" in repr(c)


def test_dropped_without_close() -> None:
    """A controller that nobody refers to any more ends, and its thread with it."""
    c = Controller()
    c.add(Job("a"))
    alive = weakref.ref(c)
    del c
    gc.collect()
    wait_until(lambda: alive() is None, "the end of the controller")
    wait_until(lambda: timer_threads() == [], "the end of its thread")


def test_many_in_turn() -> None:
    before = threading.active_count()
    for _ in range(50):
        with Controller() as c:
            c.add(Job("a"))
            c.complete(c.lease("a", 0))
    assert threading.active_count() == before


def test_with_a_clock_given() -> None:
    with Controller(clock=SystemClock()) as c:
        c.add(Job("a"))
    with pytest.raises(ClosedError):
        c.lease("a", 0)
    assert timer_threads() == []
