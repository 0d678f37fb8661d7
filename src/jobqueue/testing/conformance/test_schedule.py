"""schedule: in scheduled until the job's time, then in ready; the TTL runs from that time."""

from datetime import timedelta, timezone

import pytest

from jobqueue import (
    AlreadyLeasedError,
    DuplicateJobError,
    InvalidTimeError,
    Job,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)

MS = timedelta(milliseconds=1)


def in_ms(clock, ms: int, name: str = "a", **fields) -> Job:
    return Job(name, time=clock.now + ms * MS, **fields)


def test_waits_in_scheduled(engine, harness, clock):
    job = in_ms(clock, 1000)
    assert engine.schedule(job) is None
    assert harness.record(job.id).state == State.NEW
    assert engine.scheduled_jobs("a") == [job]
    assert engine.jobs("a") == []
    stats = engine.stats()
    assert (stats.added, stats.scheduled, stats.ready, stats.records) == (1, 1, 0, 1)
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


@pytest.mark.parametrize("ms", [1, 2, 999, 1000, 86_400_000])
def test_is_ready_at_its_time_and_not_before(engine, clock, ms):
    job = in_ms(clock, ms)
    engine.schedule(job)
    clock.advance(ms - 1)
    assert engine.peek("a") is None
    clock.advance(1)
    assert engine.peek("a") == job
    assert engine.scheduled_jobs("a") == []
    assert engine.lease("a", 0) == job


@pytest.mark.parametrize("ms", [0, -1, -60_000])
def test_a_time_that_is_past_is_at_once(engine, clock, ms):
    job = in_ms(clock, ms)
    engine.schedule(job)
    assert engine.stats().ready == 1
    assert engine.lease("a", 0) == job


def test_a_past_time_hands_the_job_to_the_blocked_leaser(engine, clock, blocked):
    call = blocked(engine.lease, "a", 1000)
    job = in_ms(clock, -5)
    engine.schedule(job)
    assert call.outcome() == job


def test_its_time_hands_the_job_to_the_blocked_leaser(engine, clock, blocked):
    job = in_ms(clock, 500)
    engine.schedule(job)
    call = blocked(engine.lease, "a", 1000)
    clock.advance(499)
    assert engine.stats().waiting == 1
    clock.advance(1)
    assert engine.stats().running == 1
    assert call.outcome() == job


def test_other_timezones(engine, clock):
    job = Job("a", time=(clock.now + 1000 * MS).astimezone(timezone(timedelta(hours=-9.5))))
    engine.schedule(job)
    clock.advance(999)
    assert engine.peek("a") is None
    clock.advance(1)
    assert engine.peek("a") == job


def test_ttl_runs_from_its_time(engine, harness, clock):
    job = in_ms(clock, 5000, ttl=1000)
    engine.schedule(job)
    clock.advance(5999)
    assert engine.peek("a") == job
    clock.advance(1)
    assert engine.peek("a") is None
    assert harness.record(job) is None
    assert engine.stats().evicted_jobs == 1


def test_ttl_of_a_past_time_runs_from_that_time(engine, clock):
    job = in_ms(clock, -400, ttl=1000)
    engine.schedule(job)
    clock.advance(599)
    assert engine.peek("a") == job
    clock.advance(1)
    assert engine.peek("a") is None


def test_expired_before_it_begins(engine, harness, clock):
    before = harness.view(engine)
    with pytest.raises(InvalidTimeError):
        engine.schedule(in_ms(clock, -1001, ttl=1000))
    assert harness.view(engine) == before
    engine.schedule(in_ms(clock, -999, ttl=1000))


def test_no_time(engine, harness):
    before = harness.view(engine)
    with pytest.raises(InvalidTimeError):
        engine.schedule(Job("a"))
    assert harness.view(engine) == before


@pytest.mark.needs("ids")
def test_no_time_is_said_before_the_duplicate(engine):
    """Arguments are looked at before the state."""
    job = Job("a")
    engine.add(job)
    with pytest.raises(InvalidTimeError):
        engine.schedule(job)


@pytest.mark.needs("ids")
def test_duplicates(engine, harness, clock):
    job = in_ms(clock, 1000)
    engine.schedule(job)
    before = harness.view(engine)
    for verb in (engine.schedule, engine.add):
        with pytest.raises(DuplicateJobError):
            verb(job)
    with pytest.raises(DuplicateJobError):
        engine.run(job, 0)
    assert harness.view(engine) == before


def test_due_together_they_are_ready_by_priority(engine, clock):
    jobs = [in_ms(clock, 1000, priority=priority) for priority in (0, 5, -5, 5)]
    for job in jobs:
        engine.schedule(job)
    clock.advance(1000)
    assert engine.jobs("a") == [jobs[1], jobs[3], jobs[0], jobs[2]]


def test_two_blocked_leasers_and_two_jobs_of_one_instant(engine, clock, blocked):
    low, high = in_ms(clock, 1000), in_ms(clock, 1000, priority=1)
    engine.schedule(low)
    engine.schedule(high)
    first, second = blocked(engine.lease, "a", 5000), blocked(engine.lease, "a", 5000)
    clock.advance(1000)
    assert (first.outcome(), second.outcome()) == (high, low)


def test_ready_order_is_by_creation_not_by_time(engine, clock):
    first, second = in_ms(clock, 2000), in_ms(clock, 1000)
    engine.schedule(first)
    engine.schedule(second)
    clock.advance(2000)
    assert engine.jobs("a") == [first, second]


def test_the_wall_clock_steps_forward(engine, clock):
    job = in_ms(clock, 3_600_000)
    engine.schedule(job)
    clock.step(3_600_000)
    clock.advance(1000)  # a step is noticed within a second
    assert engine.peek("a") == job


def test_the_wall_clock_steps_back(engine, clock):
    job = in_ms(clock, 5000)
    engine.schedule(job)
    clock.step(-10_000)
    clock.advance(14_999)
    assert engine.peek("a") is None
    clock.advance(1)
    assert engine.peek("a") == job


def test_delete_while_scheduled(engine, clock):
    job = in_ms(clock, 1000)
    engine.schedule(job)
    engine.delete(job)
    assert engine.stats().scheduled == 0
    clock.advance(1000)
    assert engine.peek("a") is None
    assert engine.stats().records == 0


def test_expire_while_scheduled(engine, clock):
    job = in_ms(clock, 1000)
    engine.schedule(job)
    engine.expire(job.id)
    stats = engine.stats()
    assert (stats.scheduled, stats.evicted_jobs, stats.records) == (0, 1, 0)


def test_complete_while_scheduled(engine, clock):
    job = in_ms(clock, 1000, ttl=500)
    engine.schedule(job)
    engine.complete(job, b"early")
    assert engine.stats().scheduled == 0
    assert engine.result(job, 0) == RunResult(True, b"early")
    clock.advance(1499)
    assert engine.peek("a") is None
    assert engine.result(job, 0) == RunResult(True, b"early")
    clock.advance(1)  # its TTL ends where it would have ended
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    assert engine.stats().evicted_jobs == 0


def test_fail_while_scheduled_is_final_without_a_budget(engine, harness, clock):
    job = in_ms(clock, 1000)
    engine.schedule(job)
    engine.fail(job, b"no")
    assert harness.record(job.id).state == State.FAILED
    clock.advance(1000)
    assert engine.peek("a") is None


def test_fail_while_scheduled_with_a_budget_makes_it_ready(engine, clock):
    job = in_ms(clock, 1000, max_fails=2)
    engine.schedule(job)
    engine.fail(job)
    stats = engine.stats()
    assert (stats.ready, stats.scheduled) == (1, 0)
    assert engine.lease("a", 0) == job
    clock.advance(1000)  # its time comes and finds it leased
    assert engine.stats().running == 1
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


def test_start_attempt_while_scheduled(engine, clock):
    job = in_ms(clock, 1000, ttr=10_000)
    engine.schedule(job)
    engine.start_attempt(job)
    stats = engine.stats()
    assert (stats.scheduled, stats.running) == (0, 1)
    clock.advance(1000)
    assert engine.peek("a") is None
    with pytest.raises(AlreadyLeasedError):
        engine.start_attempt(job)


def test_a_scheduled_job_that_timed_out_goes_back_to_ready(engine, clock):
    job = in_ms(clock, 10_000, ttr=100)
    engine.schedule(job)
    engine.start_attempt(job)
    clock.advance(100)
    assert engine.jobs("a") == [job]
    assert engine.scheduled_jobs("a") == []
