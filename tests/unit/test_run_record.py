"""RunRecord: the mutable half of a job, alone and in a registry."""

import gc
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobqueue import (
    MAX_RESULT,
    MAX_RUN_RECORD_ATTEMPTS,
    Controller,
    InvalidResultError,
    Job,
    Registry,
    RunRecord,
    RunResult,
    State,
    Timer,
    TimerKind,
)
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)


def test_defaults() -> None:
    record = RunRecord()
    assert record.job is None
    assert (record.attempts, record.fails, record.state) == (0, 0, State.NEW)
    assert type(record.state) is State
    assert record.result is None
    assert record.timers == (None, None, None)
    assert (record.running(), record.success(), record.processed()) == (False, False, False)


def test_everything_given() -> None:
    job = Job("a")
    record = RunRecord(job, attempts=MAX_RUN_RECORD_ATTEMPTS, state=State.LEASED, fails=7)
    assert record.job is job
    assert (record.attempts, record.fails) == (2**64 - 1, 7)
    assert record.state is State.LEASED
    assert RunRecord(job=job).job is job


@pytest.mark.parametrize(
    ("state", "running", "success", "processed"),
    [
        (State.NEW, False, False, False),
        (State.COMPLETED, False, True, True),
        (State.FAILED, False, False, True),
        (State.PENDING, False, False, False),
        (State.LEASED, True, False, False),
    ],
)
def test_states(state: State, running: bool, success: bool, processed: bool) -> None:
    record = RunRecord(Job("a"), state=state)
    assert record.state is state
    assert record.running() is running
    assert record.success() is success
    assert record.processed() is processed


def test_state_may_be_its_number() -> None:
    assert RunRecord(state=4).state is State.LEASED


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": -1},
        {"attempts": 2**64},
        {"fails": -1},
        {"fails": 2**70},
        {"state": 5},
        {"state": -1},
    ],
)
def test_out_of_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(fields.values())))):
        RunRecord(Job("a"), **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"job": "a"},
        {"job": 5},
        {"attempts": 1.0},
        {"attempts": "1"},
        {"attempts": None},
        {"attempts": True},
        {"fails": 1.0},
        {"fails": None},
        {"other": 1},
    ],
)
def test_wrong_types(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        RunRecord(**fields)


def test_positional_only_the_job() -> None:
    with pytest.raises(TypeError):
        RunRecord(Job("a"), 1)


def test_read_only_but_by_write_result() -> None:
    record = RunRecord(Job("a"))
    for name in ("job", "attempts", "fails", "state", "result", "timers"):
        with pytest.raises(AttributeError):
            setattr(record, name, getattr(record, name))
    with pytest.raises(AttributeError):
        record.other = 1


@pytest.mark.parametrize("success", [True, False])
def test_write_result(success: bool) -> None:
    record = RunRecord(Job("a"))
    assert record.write_result(b"done", success) is True
    assert record.result == b"done"
    assert record.state is (State.COMPLETED if success else State.FAILED)
    assert record.success() is success
    assert record.processed()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_write_result_only_once(first: bool, second: bool) -> None:
    record = RunRecord(Job("a"), attempts=3, fails=1)
    record.write_result(b"first", first)
    state = record.state
    assert record.write_result(b"second", second) is False
    assert (record.result, record.state) == (b"first", state)
    assert (record.attempts, record.fails) == (3, 1)


def test_an_empty_result_is_a_result() -> None:
    record = RunRecord(Job("a"))
    assert record.write_result(b"", True)
    assert record.result == b""
    assert not record.write_result(b"x", True)


def test_write_result_without_a_job() -> None:
    record = RunRecord()
    assert record.write_result(b"x", True)
    assert record.result == b"x"


@pytest.mark.parametrize("state", [State.PENDING, State.LEASED])
def test_write_result_in_other_states(state: State) -> None:
    record = RunRecord(Job("a"), state=state)
    assert record.write_result(b"x", False)
    assert record.state is State.FAILED


def test_write_result_copies() -> None:
    record = RunRecord(Job("a"))
    data = bytearray(b"before")
    record.write_result(data, True)
    data[:] = b"AFTER!"
    assert type(record.result) is bytes
    assert record.result == b"before"


@pytest.mark.parametrize("bad", [None, "text", 5, bytes(MAX_RESULT + 1), [1]])
def test_write_result_refuses(bad: Any) -> None:
    record = RunRecord(Job("a"))
    with pytest.raises(InvalidResultError):
        record.write_result(bad, True)
    assert (record.result, record.state) == (None, State.NEW)


def test_write_result_with_a_broken_truth() -> None:
    class Hostile:
        def __bool__(self) -> bool:
            raise RuntimeError

    record = RunRecord(Job("a"))
    with pytest.raises(RuntimeError):
        record.write_result(b"x", Hostile())
    assert record.state is State.NEW


def test_write_result_in_a_controller_wakes_the_waiters() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a")
        c.add(job)
        calls = []
        for timeout in (3000, 2000, 1000):
            deadline_ns = clock.monotonic_ns() + timeout * 10**6
            calls.append(Call(c.result, job, timeout))
            wait_until(lambda deadline_ns=deadline_ns: c.next_deadline_ns() == deadline_ns)
        assert c.registry.record(job.id).write_result(b"by hand", False)
        assert [call.outcome() for call in calls] == [RunResult(False, b"by hand")] * 3
        c._check()


def test_write_result_on_a_leased_job_ends_its_lease() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", ttr=100)
        c.add(job)
        c.lease("a", 0)
        record = c.registry.record(job.id)
        assert record.write_result(b"by hand", True)
        clock.advance(100)
        assert record.state is State.COMPLETED
        assert c.stats().running == 0
        c._check()


# ---------------------------------------------------------------- timers


def test_timers_of_a_job_s_life() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", ttr=100, ttl=1000)
        c.add(job)
        record = c.registry.record(job.id)
        ttr, ttl, scheduled = record.timers
        assert ttr is None
        assert scheduled is None
        assert type(ttl) is Timer
        assert ttl.deadline == clock.now + 1000 * MS
        assert (ttl.cancelled, ttl.fired) == (False, False)
        c.lease("a", 0)
        ttr = record.timers[TimerKind.TTR]
        assert ttr.deadline == clock.now + 100 * MS
        assert record.timers[TimerKind.TTR] is ttr
        assert record.timers[TimerKind.TTL] is ttl
        clock.advance(100)
        assert (ttr.cancelled, ttr.fired) == (False, True)
        c.lease("a", 0)
        second = record.timers[TimerKind.TTR]
        assert second is not ttr
        c.complete(job)
        assert (second.cancelled, second.fired) == (True, False)
        clock.advance(900)
        assert (ttl.cancelled, ttl.fired) == (False, True)


def test_timer_of_a_scheduled_job() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", time=clock.now + 500 * MS)
        c.schedule(job)
        record = c.registry.record(job.id)
        timer = record.timers[TimerKind.SCHEDULED]
        assert timer.deadline == job.time
        assert not timer.fired
        clock.advance(500)
        assert timer.fired
        assert record.timers[TimerKind.TTL].deadline == job.expiration


def test_cancel_a_ttr_by_hand() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", ttr=100)
        c.add(job)
        c.lease("a", 0)
        record = c.registry.record(job.id)
        timer = record.timers[TimerKind.TTR]
        timer.cancel()
        assert timer.cancelled
        timer.cancel()
        clock.advance(10_000)
        assert record.state is State.LEASED
        assert c.stats().timed_out == 0
        c.complete(job)
        c._check()


def test_cancel_a_ttl_by_hand() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", ttl=100)
        c.add(job)
        c.registry.record(job.id).timers[TimerKind.TTL].cancel()
        clock.advance(10_000)
        assert c.peek("a") == job
        assert c.stats().evicted_jobs == 0
        c._check()


def test_cancel_a_scheduled_timer_by_hand() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job, other = Job("a", time=clock.now + 100 * MS), Job("a", time=clock.now + 100 * MS)
        c.schedule(job)
        c.schedule(other)
        timer = c.registry.record(job.id).timers[TimerKind.SCHEDULED]
        timer.cancel()
        assert timer.cancelled
        clock.advance(10_000)
        assert c.jobs("a") == [other]
        c.start_attempt(job)
        assert c.registry.record(job.id).state is State.LEASED
        c._check()


def test_timers_are_cancelled_by_delete() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a")
        c.add(job)
        c.lease("a", 0)
        timers = c.registry.record(job.id).timers
        c.delete(job)
        assert timers[TimerKind.TTR].cancelled
        assert timers[TimerKind.TTL].cancelled


def test_timers_outlive_their_records() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a")
        c.add(job)
        timer = c.registry.record(job.id).timers[TimerKind.TTL]
    del c
    gc.collect()
    assert timer.deadline == job.created + timedelta(days=1)
    timer.cancel()
    repr(timer)


@pytest.mark.parametrize("clock", [None, ManualClock()], ids=["system clock", "manual clock"])
def test_deadlines_after_the_record_has_left(clock: ManualClock | None) -> None:
    with Controller(clock=clock) as c:
        job = Job("a", ttr=2000)
        c.add(job)
        record = c.registry.record(job)
        c.lease("a", 0)
        within = [timer.deadline for timer in record.timers[:2]]
        c.delete(job)
        assert_near([timer.deadline for timer in record.timers[:2]], within)
        assert c.registry.add(record)
        assert_near([timer.deadline for timer in record.timers[:2]], within)
    del c
    gc.collect()
    assert_near([timer.deadline for timer in record.timers[:2]], within)


def assert_near(times: list[datetime], expected: list[datetime]) -> None:
    """Within a second: the offset between the clocks is measured now and then."""
    assert len(times) == len(expected)
    for time, near in zip(times, expected, strict=True):
        assert abs(time - near) < timedelta(seconds=1)


def test_a_job_back_in_scheduled_has_no_ttr() -> None:
    with Controller() as c:
        job = Job("a")
        c.add(job)
        record = c.registry.record(job)
        c.lease("a", 0)
        before = record.timers[TimerKind.TTR]
        c.release(job, delay=50_000)
        assert before.cancelled
        assert record.timers[TimerKind.TTR] is None
        assert not record.timers[TimerKind.SCHEDULED].fired
        c.queues.awake(job)
        assert record.timers[TimerKind.TTR] is None
        c.lease("a", 0)
        assert_near([record.timers[TimerKind.TTR].deadline], [before.deadline])
        c._check()


# ---------------------------------------------------------------- odds and ends


def test_identity_is_equality() -> None:
    job = Job("a")
    assert RunRecord(job) != RunRecord(job)
    record = RunRecord(job)
    assert record == record  # noqa: PLR0124 - the operator is under test
    assert len({record, record}) == 1


def test_repr() -> None:
    text = repr(RunRecord(Job("mail"), attempts=2, state=State.PENDING))
    assert "PENDING" in text
    assert "mail" in text
    assert repr(RunRecord())


def test_costs_the_collector_nothing() -> None:
    assert not gc.is_tracked(RunRecord(Job("a")))


def test_outlives_its_registry() -> None:
    registry = Registry()
    job = Job("a")
    record = RunRecord(job)
    registry.add(record)
    del registry
    gc.collect()
    assert record.job is job
    assert record.write_result(b"x", True)
    assert Registry().add(record)


def test_built_once() -> None:
    record = RunRecord(Job("a"), attempts=5)
    try:
        record.__init__(Job("b"), attempts=6)
    except TypeError:
        pass
    assert (record.job.name, record.attempts) == ("a", 5)
