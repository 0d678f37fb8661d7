"""Adders that wait for room in a way of their own, or leave by an exception."""

import sysconfig

import pytest

from jobqueue import Controller, Job, QueueFullError, State
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call


@pytest.fixture
def engine():
    with Controller(clock=ManualClock(), max_jobs=1) as made:
        made.add(Job("a"))
        yield made
        made._check()


def begin(engine: Controller, job: Job, woken: list[Job]):
    waiter = engine.add_begin(job, 1000, lambda _: woken.append(job))
    assert waiter is not None
    assert waiter.pending
    return waiter


def test_begin_and_finish(engine) -> None:
    woken: list[Job] = []
    waiter = begin(engine, second := Job("a"), woken)
    assert waiter.adds is None
    engine.complete(engine.peek("a"))
    assert woken == [second]
    assert waiter.adds == second
    assert engine.wait_finish(waiter, None, 1000) is None
    assert engine.jobs("a") == [second]


def test_room_that_is_there_at_once(engine) -> None:
    engine.delete(engine.peek("a"))
    assert engine.add_begin(Job("new"), 1000, None) is None
    assert engine.stats().added == 2


def test_giving_up_before(engine) -> None:
    woken: list[Job] = []
    waiter = begin(engine, Job("a"), woken)
    behind = begin(engine, third := Job("a"), woken)
    engine.wait_abandon(waiter)
    assert engine.stats().blocked == 1
    engine.delete(engine.peek("a"))
    assert woken == [third]
    assert behind.adds == third


def test_giving_up_after_takes_the_job_back(engine) -> None:
    woken: list[Job] = []
    waiter = begin(engine, second := Job("a"), woken)
    behind = begin(engine, third := Job("a"), woken)
    engine.delete(engine.peek("a"))
    engine.wait_abandon(waiter)
    assert woken == [second, third]
    assert behind.adds == third
    assert engine.jobs("a") == [third]
    assert engine.stats().added == 2


def test_giving_up_leaves_a_job_that_a_worker_has(engine) -> None:
    woken: list[Job] = []
    waiter = begin(engine, second := Job("a"), woken)
    engine.delete(engine.peek("a"))
    assert engine.lease("a", 0) == second
    engine.wait_abandon(waiter)
    record = engine.registry.record(second)
    assert record is not None
    assert record.state == State.LEASED


def test_the_time_is_over(engine) -> None:
    woken: list[Job] = []
    waiter = begin(engine, second := Job("a"), woken)
    engine.clock.advance(1000)
    assert woken == [second]
    with pytest.raises(QueueFullError, match="max_jobs is 1"):
        engine.wait_finish(waiter, None, 1000)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="there the line holds who waits, since another thread may be about to wake it",
)
def test_a_waiter_that_is_forgotten_leaves_the_line(engine) -> None:
    begin(engine, Job("a"), [])
    assert engine.stats().blocked == 0


def test_many_threads_through_a_narrow_door() -> None:
    """No more jobs than the bound at any time, and none is lost."""
    with Controller(max_jobs=3) as c:
        most = 0

        def produce(count: int) -> None:
            for _ in range(count):
                c.add(Job("a"), wait=60_000)

        calls = [Call(produce, 200) for _ in range(4)]
        for _ in range(800):
            job = c.lease("a", 60_000)
            stats = c.stats()
            most = max(most, stats.ready + stats.running)
            c.complete(job)
            c.delete(job)
        for call in calls:
            assert call.outcome() is None
        assert most <= 3
        c._check()
        assert c.stats().completed == 800
