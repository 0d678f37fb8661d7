"""ManualClock: virtual time without a thread."""

import gc
import threading
import weakref
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobqueue import Controller, InvalidTimeError, Job, State
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)


def test_start() -> None:
    assert ManualClock().now == datetime(2026, 1, 1, tzinfo=UTC)
    start = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    clock = ManualClock(start)
    assert clock.now == start
    assert clock.now_ns() == int(start.replace(microsecond=0).timestamp()) * 10**9 + 123_456_000
    assert ManualClock(start=start.astimezone(timezone(timedelta(hours=3)))).now == start


@pytest.mark.parametrize("start", [datetime(2026, 1, 1), 5, "2026", 1.5])
def test_bad_start(start: Any) -> None:
    with pytest.raises(InvalidTimeError):
        ManualClock(start)


def test_stands_still() -> None:
    clock = ManualClock()
    assert clock.now == clock.now
    assert clock.monotonic_ns() == clock.monotonic_ns()


@pytest.mark.parametrize(
    ("duration", "ns"),
    [
        (0, 0),
        (1, 10**6),
        (1500, 1500 * 10**6),
        (timedelta(0), 0),
        (timedelta(microseconds=1), 1000),
        (timedelta(days=400), 400 * 86_400 * 10**9),
    ],
)
def test_advance(duration: Any, ns: int) -> None:
    clock = ManualClock()
    wall, mono = clock.now_ns(), clock.monotonic_ns()
    clock.advance(duration)
    assert clock.now_ns() == wall + ns
    assert clock.monotonic_ns() == mono + ns


@pytest.mark.parametrize("duration", [-1, timedelta(microseconds=-1)])
def test_time_does_not_go_back(duration: Any) -> None:
    clock = ManualClock()
    now = clock.now
    with pytest.raises(ValueError, match="-"):
        clock.advance(duration)
    assert clock.now == now


@pytest.mark.parametrize("duration", [1.0, "1", None, True])
def test_bad_durations(duration: Any) -> None:
    clock = ManualClock()
    for move in (clock.advance, clock.step):
        with pytest.raises(TypeError):
            move(duration)
    assert clock.now == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("duration", [5000, -5000, timedelta(hours=1), -timedelta(days=30)])
def test_step_moves_the_wall_clock_only(duration: Any) -> None:
    clock = ManualClock()
    wall, mono = clock.now, clock.monotonic_ns()
    clock.step(duration)
    moved = duration if isinstance(duration, timedelta) else duration * MS
    assert clock.now == wall + moved
    assert clock.monotonic_ns() == mono


def test_everything_due_runs_on_the_way_in_order_of_deadlines() -> None:
    clock = ManualClock()
    start = clock.now
    with Controller(clock=clock) as c:
        seen = []
        c.handle_expire(lambda id: seen.append(("ttl", clock.now - start)))
        c.handle_timeout_attempt(lambda id: seen.append(("ttr", clock.now - start)))
        c.add(Job("a", ttr=300, ttl=900))
        c.add(Job("a", ttr=100, ttl=200))
        c.lease_many("a", 2, 0)
        clock.advance(1000)
    assert seen == [("ttr", 100 * MS), ("ttl", 200 * MS), ("ttr", 300 * MS), ("ttl", 900 * MS)]
    assert clock.now == start + 1000 * MS


def test_timers_armed_on_the_way_run_too() -> None:
    """A chain of leases, each begun by the time-out of the one before."""
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", ttr=100)
        c.add(job)
        c.lease("a", 0)
        time_out = c.timeout_attempt_func()

        def again(id: Any) -> None:
            time_out(id)
            c.lease("a", 0)

        c.handle_timeout_attempt(again)
        clock.advance(1050)
        assert c.stats().timed_out == 10
        assert c.registry.record(job.id).attempts == 11


def test_ties_run_in_the_order_of_arming() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        seen = []
        c.handle_expire(lambda id: seen.append("ttl"))
        c.handle_timeout_attempt(lambda id: seen.append("ttr"))
        c.schedule(Job("b", time=clock.now + 100 * MS))
        c.add(Job("a", ttl=100, ttr=100))
        c.lease("a", 0)
        c.add(Job("c", ttl=100))
        clock.advance(100)
        assert seen == ["ttl", "ttr", "ttl"]
        assert c.peek("b") is not None


def test_sub_millisecond_steps() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        c.add(Job("a", ttl=1))
        clock.advance(timedelta(microseconds=999))
        assert c.stats().records == 1
        clock.advance(timedelta(microseconds=1))
        assert c.stats().records == 0


def test_one_clock_drives_many_engines() -> None:
    clock = ManualClock()
    start = clock.now
    seen = []
    engines = [Controller(clock=clock) for _ in range(3)]
    for index, (c, ttl) in enumerate(zip(engines, (300, 100, 200), strict=True)):
        c.handle_expire(lambda id, i=index: seen.append((i, clock.now - start)))
        c.add(Job("a", ttl=ttl))
    clock.advance(1000)
    assert seen == [(1, 100 * MS), (2, 200 * MS), (0, 300 * MS)]
    for c in engines:
        c.close()


def test_no_thread() -> None:
    before = threading.enumerate()
    clock = ManualClock()
    with Controller(clock=clock) as c:
        c.add(Job("a", ttl=5))
        c.lease("a", 0)
        clock.advance(1)
        assert threading.enumerate() == before


def test_a_blocked_call_waits_for_the_clock_or_for_work() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        call = Call(c.lease, "a", 1)
        wait_until(lambda: c.stats().waiting == 1)
        clock.advance(timedelta(microseconds=999))
        assert c.stats().waiting == 1
        clock.advance(timedelta(microseconds=1))
        with pytest.raises(TimeoutError):
            call.outcome()
        call = Call(c.lease, "a", 1)
        wait_until(lambda: c.stats().waiting == 1)
        job = Job("a")
        c.add(job)
        assert call.outcome() == job


def test_a_user_s_worker_in_virtual_time() -> None:
    """A worker that retries for an hour of virtual time, in no time."""
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", max_fails=3, ttr=60_000)
        c.add(job)

        def work() -> list[datetime]:
            begun = []
            while True:
                with c.attempt("a", timedelta(hours=2)) as attempt:
                    begun.append(clock.now)
                    if attempt.number == 3:
                        return begun
                    attempt.release(timedelta(minutes=30))

        call = Call(work)
        for number in (1, 2):
            wait_until(
                lambda n=number: (
                    c.registry.record(job.id).attempts == n
                    and c.stats().scheduled == 1
                    and c.stats().waiting == 1
                )
            )
            clock.advance(timedelta(minutes=30))
        begun = call.outcome()
        assert begun[2] - begun[0] == timedelta(hours=1)
        assert c.registry.record(job.id).state is State.COMPLETED


def test_advance_from_several_threads() -> None:
    clock = ManualClock()
    start = clock.now
    with Controller(clock=clock) as c:
        c.add_many([Job("a", ttl=1 + n) for n in range(100)])
        calls = [Call(lambda: [clock.advance(1) for _ in range(50)]) for _ in range(4)]
        for call in calls:
            call.outcome()
        assert clock.now == start + 200 * MS
        assert c.stats().evicted_jobs == 100


def test_advance_from_within_a_hook() -> None:
    clock = ManualClock()
    start = clock.now
    with Controller(clock=clock) as c:
        c.handle_expire(lambda id: clock.advance(500))
        c.add(Job("a", ttl=100))
        clock.advance(200)
    assert clock.now >= start + 600 * MS


def test_it_keeps_no_engine_alive() -> None:
    clock = ManualClock()
    c = Controller(clock=clock)
    alive = weakref.ref(c)
    c.close()
    del c
    gc.collect()
    assert alive() is None
    clock.advance(1000)


def test_repr() -> None:
    assert "2026-01-01" in repr(ManualClock())
