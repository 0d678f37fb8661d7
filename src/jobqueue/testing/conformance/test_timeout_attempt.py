"""timeout_attempt: what the TTR timer calls; back to ready, or FAILED without attempts."""

import pytest

from jobqueue import Job, NotFoundError, RunResult, State

from .test_delete import STATES, bring_to


def test_by_hand(engine, harness):
    job = Job("a")
    engine.add(job)
    engine.lease("a", 0)
    assert engine.timeout_attempt(job.id) is None
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.PENDING, 1, 0)
    assert engine.jobs("a") == [job]
    stats = engine.stats()
    assert (stats.timed_out, stats.running, stats.ready, stats.failed) == (1, 0, 1, 0)


def test_by_hand_the_timer_stops(engine, clock):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(50)
    engine.timeout_attempt(job)
    engine.lease("a", 0)
    clock.advance(99)
    assert engine.stats().timed_out == 1
    clock.advance(1)
    assert engine.stats().timed_out == 2


@pytest.mark.parametrize("state", [state for state in STATES if state != "leased"])
def test_no_op_unless_leased(engine, harness, clock, state):
    job = bring_to(engine, clock, state)
    before = harness.view(engine)
    engine.timeout_attempt(job.id)
    assert harness.view(engine) == before


def test_no_op_on_an_unknown_id(engine, harness):
    before = harness.view(engine)
    engine.timeout_attempt(Job("a").id)
    assert harness.view(engine) == before


@pytest.mark.parametrize("max_attempts", [1, 2, 3, 255])
def test_failed_when_no_attempts_are_left(engine, harness, clock, max_attempts):
    job = Job("a", ttr=10, max_attempts=max_attempts)
    engine.add(job)
    for _ in range(max_attempts):
        assert engine.lease("a", 0) == job
        clock.advance(10)
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.result) == (State.FAILED, max_attempts, b"")
    assert engine.result(job, 0) == RunResult(False, b"")
    stats = engine.stats()
    assert (stats.timed_out, stats.failed, stats.ready) == (max_attempts, 1, 0)


def test_its_waiters_wake_when_it_fails(engine, clock, blocked_result):
    job = Job("a", ttr=10, max_attempts=1)
    engine.add(job)
    call = blocked_result(job, 5000)
    engine.lease("a", 0)
    clock.advance(10)
    assert call.outcome() == RunResult(False, b"")


def test_old_place_in_line(engine, clock):
    jobs = [Job("a", ttr=10) for _ in range(3)]
    for job in jobs:
        engine.add(job)
    engine.lease("a", 0)
    engine.lease("a", 0)
    clock.advance(10)
    assert engine.jobs("a") == jobs


def test_the_result_of_a_job_that_failed_so_is_kept_until_the_ttl(engine, clock):
    job = Job("a", ttr=10, ttl=1000, max_attempts=1)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(999)
    assert engine.result(job, 0) == RunResult(False, b"")
    clock.advance(1)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    assert engine.stats().evicted_jobs == 0


def test_a_timer_of_an_old_attempt_does_nothing(engine, harness, clock):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(60)
    engine.release(job)
    engine.lease("a", 0)
    clock.advance(60)  # the first attempt would have ended here
    assert harness.record(job.id).state == State.LEASED
    clock.advance(40)
    assert harness.record(job.id).state == State.PENDING
