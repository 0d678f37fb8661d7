"""run: add and wait for the result; whatever happens, nothing is left."""

from datetime import timedelta

import pytest

from jobqueue import (
    ClosedError,
    DuplicateJobError,
    Job,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)
from jobqueue.testing.waiting import Call, wait_until


def assert_nothing_left(engine, harness, job: Job) -> None:
    assert harness.record(job) is None
    assert not harness.in_line(job)
    stats = engine.stats()
    assert (stats.records, stats.ready, stats.scheduled, stats.running) == (0, 0, 0, 0)


def test_result_of_a_worker(engine, harness, running):
    job = Job("a", b"2 + 2")
    call = running(job, 1000)
    assert harness.record(job.id).state == State.NEW
    leased = engine.lease("a", 0)
    assert leased.payload == b"2 + 2"
    engine.complete(leased, b"4")
    assert call.outcome() == RunResult(True, b"4")
    assert_nothing_left(engine, harness, job)
    stats = engine.stats()
    assert (stats.added, stats.leased, stats.completed) == (1, 1, 1)


def test_failure_of_a_worker(engine, harness, running):
    job = Job("a")
    call = running(job, 1000)
    engine.fail(engine.lease("a", 0), b"broken")
    assert call.outcome() == RunResult(False, b"broken")
    assert_nothing_left(engine, harness, job)


def test_cancelled(engine, harness, running):
    job = Job("a")
    call = running(job, 1000)
    engine.cancel(job, b"why")
    assert call.outcome() == RunResult(False, b"why")
    assert_nothing_left(engine, harness, job)


def test_goes_straight_to_a_blocked_leaser(engine, blocked, running):
    worker = blocked(engine.lease, "a", 1000)
    job = Job("a")
    call = running(job, 0)  # no time to wait, and none is needed
    engine.complete(worker.outcome(), b"done")
    assert call.outcome() == RunResult(True, b"done")


def test_completed_without_a_lease(engine, harness, running):
    job = Job("a")
    call = running(job, 1000)
    engine.complete(job, b"from the side")
    assert call.outcome() == RunResult(True, b"from the side")
    assert_nothing_left(engine, harness, job)


def test_nobody_takes_it_at_once(engine, harness):
    job = Job("a")
    with pytest.raises(WaitTimeoutError):
        engine.run(job, 0)
    assert_nothing_left(engine, harness, job)
    stats = engine.stats()
    assert (stats.added, stats.evicted_jobs, stats.failed) == (1, 0, 0)


@pytest.mark.parametrize("timeout", [1, 1000, timedelta(seconds=5)])
def test_nobody_takes_it_in_time(engine, harness, clock, running, timeout):
    ms = timeout if isinstance(timeout, int) else timeout // timedelta(milliseconds=1)
    job = Job("a")
    call = running(job, timeout)
    wait_until(lambda: engine.next_deadline_ns() == clock.monotonic_ns() + ms * 1_000_000)
    clock.advance(ms - 1)
    assert engine.peek("a") == job
    clock.advance(1)
    assert_nothing_left(engine, harness, job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    with pytest.raises(NotFoundError):
        engine.complete(job)


def test_a_worker_may_take_longer_than_the_timeout(engine, clock, running):
    job = Job("a", ttr=60_000)
    call = running(job, 1000)
    engine.lease("a", 0)
    clock.advance(30_000)
    engine.complete(job, b"late, in time")
    assert call.outcome() == RunResult(True, b"late, in time")


@pytest.mark.parametrize("max_attempts", [0, 1, 5])
def test_the_ttr_deadline_ends_it_even_if_attempts_remain(
    engine, harness, clock, running, max_attempts
):
    job = Job("a", ttr=500, max_attempts=max_attempts)
    call = running(job, 1000)
    engine.lease("a", 0)
    clock.advance(499)
    assert harness.record(job) is not None
    clock.advance(1)
    assert_nothing_left(engine, harness, job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert engine.stats().timed_out == 1
    with pytest.raises(NotFoundError):
        engine.complete(job)


def test_touch_extends_the_deadline(engine, clock, running):
    job = Job("a", ttr=500)
    call = running(job, 1000)
    engine.lease("a", 0)
    for _ in range(5):
        clock.advance(400)
        engine.touch(job)
    engine.complete(job, b"alive")
    assert call.outcome() == RunResult(True, b"alive")


def test_released_it_waits_for_another_worker(engine, clock, running):
    job = Job("a")
    call = running(job, 1000)
    engine.release(engine.lease("a", 0))
    clock.advance(999)
    assert engine.lease("a", 0) == job
    clock.advance(5000)
    engine.complete(job, b"second")
    assert call.outcome() == RunResult(True, b"second")


def test_released_it_waits_no_longer_than_the_timeout(engine, harness, clock, running):
    job = Job("a")
    call = running(job, 1000)
    wait_until(lambda: engine.next_deadline_ns() == clock.monotonic_ns() + 1_000_000_000)
    engine.release(engine.lease("a", 0))
    clock.advance(1000)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert_nothing_left(engine, harness, job)


def test_released_after_the_timeout_it_ends_at_once(engine, harness, clock, running):
    job = Job("a")
    call = running(job, 1000)
    wait_until(lambda: engine.next_deadline_ns() == clock.monotonic_ns() + 1_000_000_000)
    engine.lease("a", 0)
    clock.advance(2000)
    engine.release(job)
    assert_nothing_left(engine, harness, job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()


def test_fail_with_a_budget_goes_on(engine, running):
    job = Job("a", max_fails=2)
    call = running(job, 1000)
    engine.fail(engine.lease("a", 0), b"first")
    assert not call.done
    engine.fail(engine.lease("a", 0), b"second")
    assert call.outcome() == RunResult(False, b"second")


def test_fail_with_a_budget_after_the_timeout_ends_it(engine, harness, clock, running):
    job = Job("a", max_fails=2)
    call = running(job, 1000)
    wait_until(lambda: engine.next_deadline_ns() == clock.monotonic_ns() + 1_000_000_000)
    engine.lease("a", 0)
    clock.advance(2000)
    engine.fail(job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert_nothing_left(engine, harness, job)


@pytest.mark.parametrize("leased", [False, True])
@pytest.mark.parametrize("verb", ["delete", "expire"])
def test_deleted_or_expired_meanwhile(engine, harness, running, verb, leased):
    job = Job("a")
    call = running(job, 1000)
    if leased:
        engine.lease("a", 0)
    getattr(engine, verb)(job.id)
    with pytest.raises(NotFoundError):
        call.outcome()
    assert_nothing_left(engine, harness, job)


def test_has_no_ttl(engine, clock, running):
    job = Job("a", ttl=1)
    call = running(job, 10_000)
    clock.advance(5000)
    engine.complete(engine.lease("a", 0), b"still there")
    assert call.outcome() == RunResult(True, b"still there")
    assert engine.stats().evicted_jobs == 0


def test_an_old_job_may_run(engine, clock, running):
    job = Job("a", ttl=1, created=clock.now - timedelta(days=1))
    call = running(job, 1000)
    engine.complete(engine.lease("a", 0))
    assert call.outcome() == RunResult(True, b"")


@pytest.mark.needs("ids")
def test_duplicate(engine):
    job = Job("a")
    engine.add(job)
    with pytest.raises(DuplicateJobError):
        engine.run(job, 1000)
    assert engine.lease("a", 0) == job


@pytest.mark.needs("ids")
def test_a_second_runner_of_the_same_job(engine, running):
    job = Job("a")
    call = running(job, 1000)
    with pytest.raises(DuplicateJobError):
        engine.run(job, 1000)
    engine.complete(engine.lease("a", 0), b"once")
    assert call.outcome() == RunResult(True, b"once")


def test_the_same_job_may_run_again_afterwards(engine, running):
    job = Job("a")
    for answer in (b"1", b"2"):
        call = running(job, 1000)
        engine.complete(engine.lease("a", 0), answer)
        assert call.outcome() == RunResult(True, answer)


def test_others_may_wait_for_its_result(engine, running, blocked_result):
    job = Job("a")
    call = running(job, 10_000)
    other = blocked_result(job, 5000)
    engine.complete(engine.lease("a", 0), b"for both")
    assert call.outcome() == other.outcome() == RunResult(True, b"for both")


def test_others_who_wait_learn_that_it_is_gone(engine, clock, running, blocked_result):
    job = Job("a")
    call = running(job, 1000)
    wait_until(lambda: engine.next_deadline_ns() == clock.monotonic_ns() + 1_000_000_000)
    other = Call(engine.result, job, 5000)
    clock.advance(1000)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    with pytest.raises(NotFoundError):
        other.outcome()


def test_close_ends_it(engine, harness, running):
    job = Job("a")
    call = running(job, 1000)
    engine.close()
    with pytest.raises(ClosedError):
        call.outcome()
    assert harness.record(job) is None


def test_timeout_attempt_by_hand_ends_it(engine, harness, running):
    job = Job("a")
    call = running(job, 1000)
    engine.timeout_attempt(job)  # not leased: nothing happens
    engine.lease("a", 0)
    engine.timeout_attempt(job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert_nothing_left(engine, harness, job)


def test_many_runners(engine, running):
    calls = {}
    for index in range(20):
        job = Job("a", str(index).encode())
        calls[job] = running(job, 60_000)
    while engine.stats().ready:
        job = engine.lease("a", 0)
        engine.complete(job, b"answer " + job.payload)
    for job, call in calls.items():
        assert call.outcome() == RunResult(True, b"answer " + job.payload)
    assert engine.stats().records == 0
