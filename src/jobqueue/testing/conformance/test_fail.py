"""fail: one failure more; back to ready while both budgets last, else FAILED."""

from datetime import timedelta

import pytest

from jobqueue import (
    InvalidTimeoutError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)


def fail_leased(engine, result: bytes = b"") -> Job:
    job = engine.lease("a", 0)
    engine.fail(job, result)
    return job


def test_without_a_budget_it_is_final(engine, harness):
    job = Job("a", max_attempts=10)
    engine.add(job)
    engine.lease("a", 0)
    assert engine.fail(job, b"why") is None
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.FAILED, 1, 1)
    assert record.processed()
    assert not record.success()
    assert engine.result(job, 0) == RunResult(False, b"why")
    stats = engine.stats()
    assert (stats.failed, stats.completed, stats.running) == (1, 0, 0)
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


def test_the_default_result_is_empty(engine):
    engine.add(Job("a"))
    job = fail_leased(engine)
    assert engine.result(job, 0) == RunResult(False, b"")


@pytest.mark.parametrize("max_fails", [1, 2, 3, 254, 255])
def test_a_budget_of_failures(engine, harness, max_fails):
    job = Job("a", max_fails=max_fails)
    engine.add(job)
    for fails in range(1, max_fails):
        fail_leased(engine, b"not kept")
        record = harness.record(job.id)
        assert (record.state, record.fails, record.result) == (State.PENDING, fails, None)
        assert engine.jobs("a") == [job]
        assert engine.stats().failed == 0
    fail_leased(engine, b"last")
    assert engine.result(job, 0) == RunResult(False, b"last")
    assert harness.record(job.id).fails == max_fails
    assert engine.stats().failed == 1
    assert engine.jobs("a") == []


@pytest.mark.parametrize(("max_attempts", "max_fails"), [(1, 5), (2, 5), (3, 3), (5, 2)])
def test_both_budgets_apply(engine, harness, max_attempts, max_fails):
    job = Job("a", max_attempts=max_attempts, max_fails=max_fails)
    engine.add(job)
    turns = min(max_attempts, max_fails)
    for _ in range(turns - 1):
        fail_leased(engine)
        assert harness.record(job.id).state == State.PENDING
    fail_leased(engine, b"last")
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.FAILED, turns, turns)
    assert record.result == b"last"


def test_back_at_its_old_place(engine):
    jobs = [Job("a", max_fails=2) for _ in range(3)]
    for job in jobs:
        engine.add(job)
    fail_leased(engine)
    assert engine.jobs("a") == jobs


def test_ttr_stops(engine, clock):
    job = Job("a", max_fails=2, ttr=100)
    engine.add(job)
    fail_leased(engine)
    clock.advance(99)
    engine.lease("a", 0)
    clock.advance(99)  # the second lease has a TTR of its own
    assert engine.stats().timed_out == 0
    clock.advance(1)
    assert engine.stats().timed_out == 1


def test_the_blocked_leaser_gets_it(engine, harness, blocked):
    job = Job("a", max_fails=2)
    engine.add(job)
    engine.lease("a", 0)
    call = blocked(engine.lease, "a", 1000)
    engine.fail(job)
    assert call.outcome() == job
    record = harness.record(job.id)
    assert (record.attempts, record.fails) == (2, 1)


def test_who_waits_for_the_result_waits_on_while_it_is_retried(engine, blocked_result):
    job = Job("a", max_fails=2)
    engine.add(job)
    call = blocked_result(job, 5000)
    fail_leased(engine, b"first")
    assert not call.done
    fail_leased(engine, b"second")
    assert call.outcome() == RunResult(False, b"second")


def test_a_job_that_was_never_leased(engine, harness):
    job = Job("a", max_fails=2)
    engine.add(job)
    engine.fail(job, b"first")
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.PENDING, 0, 1)
    assert engine.jobs("a") == [job]
    engine.fail(job, b"second")
    assert harness.record(job.id).state == State.FAILED
    assert engine.jobs("a") == []
    assert engine.result(job, 0) == RunResult(False, b"second")


def test_the_result_is_kept_until_the_ttl(engine, clock):
    job = Job("a", ttl=1000)
    engine.add(job)
    engine.fail(job, b"kept")
    clock.advance(999)
    assert engine.result(job, 0) == RunResult(False, b"kept")
    clock.advance(1)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    assert engine.stats().evicted_jobs == 0


def test_a_retry_does_not_restart_the_ttl(engine, harness, clock):
    job = Job("a", ttl=1000, max_fails=5)
    engine.add(job)
    clock.advance(900)
    fail_leased(engine)
    clock.advance(100)
    assert harness.record(job) is None
    assert engine.stats().evicted_jobs == 1


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.fail(Job("a").id)


def test_a_time_out_is_not_a_failure(engine, harness, clock):
    job = Job("a", ttr=10, max_fails=2)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(10)
    assert harness.record(job.id).fails == 0
    fail_leased(engine)
    assert harness.record(job.id).state == State.PENDING


@pytest.mark.parametrize("delay", [1, 5000, timedelta(seconds=2), 86_400_000 - 1])
def test_after_a_delay(engine, harness, clock, delay):
    ms = delay if isinstance(delay, int) else delay // timedelta(milliseconds=1)
    job = Job("a", max_fails=2, ttl=2_592_000_000)
    engine.add(job)
    engine.fail(engine.lease("a", 0), b"not yet", attempt=1, delay=delay)
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.PENDING, 1, 1)
    assert engine.scheduled_jobs("a") == [job]
    stats = engine.stats()
    assert (stats.ready, stats.scheduled, stats.running, stats.failed) == (0, 1, 0, 0)
    clock.advance(ms - 1)
    assert engine.peek("a") is None
    clock.advance(1)
    assert engine.lease("a", 0) == job
    assert engine.stats().timed_out == 0


def test_the_last_failure_is_final_whatever_the_delay(engine):
    job = Job("a", max_fails=1)
    engine.add(job)
    engine.fail(engine.lease("a", 0), b"why", delay=5000)
    assert engine.result(job, 0) == RunResult(False, b"why")
    assert engine.stats().scheduled == 0


@pytest.mark.parametrize("delay", [0, 1, 999])
def test_a_delayed_failure_of_a_job_that_is_in_line(engine, clock, delay):
    jobs = [Job("a", max_fails=3) for _ in range(3)]
    engine.add_many(jobs)
    engine.fail(jobs[0], delay=1000)
    assert engine.jobs("a") == jobs[1:]
    assert engine.scheduled_jobs("a") == jobs[:1]
    engine.fail(jobs[0], delay=delay)  # the later call decides
    clock.advance(delay)
    assert engine.jobs("a") == jobs
    assert engine.scheduled_jobs("a") == []
    clock.advance(1000)
    assert engine.jobs("a") == jobs


def test_a_delayed_failure_of_a_scheduled_job(engine, harness, clock):
    job = Job("a", time=clock.now + timedelta(seconds=1), max_fails=9, ttl=5000)
    engine.schedule(job)
    engine.fail(job, delay=3000)
    clock.advance(1000)
    assert engine.scheduled_jobs("a") == [job]
    engine.fail(job, delay=2000)  # at the very time it was due
    clock.advance(1999)
    assert engine.scheduled_jobs("a") == [job]
    clock.advance(1)
    assert engine.jobs("a") == [job]
    clock.advance(2999)
    assert harness.record(job) is not None
    clock.advance(1)  # its TTL runs from its time, as ever
    assert harness.record(job) is None


def test_the_ttl_runs_on_during_the_delay(engine, clock):
    job = Job("a", ttl=1000, max_fails=2)
    engine.add(job)
    engine.fail(engine.lease("a", 0), delay=5000)
    clock.advance(1000)
    stats = engine.stats()
    assert (stats.scheduled, stats.records, stats.evicted_jobs) == (0, 0, 1)


def test_a_run_ends_in_time_during_the_delay(engine, clock, running):
    call = running(Job("a", max_fails=2), 1000)
    engine.fail(engine.lease("a", 0), delay=5000)
    clock.advance(1000)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert engine.stats().records == 0


def test_a_refused_failure_with_a_delay_changes_nothing(engine, harness, clock):
    job = Job("a", ttr=100, max_fails=5)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(100)
    before = harness.view(engine)
    with pytest.raises(LeaseExpiredError):
        engine.fail(job, delay=1000, attempt=1)
    for delay in (-1, 86_400_001, 1.0, True, "1", None, timedelta(seconds=-1)):
        with pytest.raises(InvalidTimeoutError):
            engine.fail(job, delay=delay)
    assert harness.view(engine) == before
