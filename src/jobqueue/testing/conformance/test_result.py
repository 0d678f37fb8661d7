"""result: blocks until the job is processed, and never longer than that makes sense."""

from datetime import timedelta

import pytest

from jobqueue import Job, NotFoundError, RunResult, WaitTimeoutError
from jobqueue.testing.waiting import Call


@pytest.fixture
def job(engine):
    added = Job("a")
    engine.add(added)
    return added


def test_of_a_processed_job(engine, job):
    engine.complete(job, b"done")
    for timeout in (0, 1000, timedelta(seconds=1)):
        result = engine.result(job, timeout)
        assert result.success is True
        assert result.result == b"done"


def test_may_be_read_many_times(engine, job):
    engine.complete(job, b"done")
    assert [engine.result(job, 0) for _ in range(5)] == [RunResult(True, b"done")] * 5


def test_poll(engine, harness, job):
    before = harness.view(engine)
    with pytest.raises(WaitTimeoutError):
        engine.result(job, 0)
    assert harness.view(engine) == before


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.result(Job("a").id, 1000)


@pytest.mark.parametrize("timeout", [1, 2, 30_000, timedelta(seconds=2)])
def test_waits_exactly_its_timeout(engine, harness, clock, job, timeout, blocked_result):
    ms = timeout if isinstance(timeout, int) else timeout // timedelta(milliseconds=1)
    call = blocked_result(job, ms)
    clock.advance(ms - 1)
    assert engine.next_deadline_ns() == clock.monotonic_ns() + 1_000_000
    clock.advance(1)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert harness.record(job) is not None


def test_is_not_a_leaser(engine, job, blocked_result):
    blocked_result(job, 1000)
    assert engine.stats().waiting == 0


@pytest.mark.parametrize("success", [True, False])
def test_wakes_with_the_answer(engine, job, blocked_result, success):
    call = blocked_result(job, 1000)
    engine.lease("a", 0)
    (engine.complete if success else engine.fail)(job, b"answer")
    assert call.outcome() == RunResult(success, b"answer")


@pytest.mark.parametrize("verb", ["delete", "expire"])
@pytest.mark.parametrize("leased", [False, True])
def test_wakes_when_the_job_goes(engine, job, blocked_result, verb, leased):
    call = blocked_result(job, 1000)
    if leased:
        engine.lease("a", 0)
    getattr(engine, verb)(job.id)
    with pytest.raises(NotFoundError):
        call.outcome()


def test_wakes_when_many_go(engine, job, blocked_result):
    call = blocked_result(job, 1000)
    engine.delete_many([job.id])
    with pytest.raises(NotFoundError):
        call.outcome()


def test_a_time_out_just_before_the_ttl_ends(engine, clock, blocked_result):
    job = Job("a", ttl=5000)
    engine.add(job)
    clock.advance(4500)
    call = blocked_result(job, 499)
    clock.advance(499)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    clock.advance(1)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)


def test_ttl_during_the_wait(engine, clock):
    """The TTL ends while the wait would go on: NotFound at once, not a time-out later."""
    job = Job("a", ttl=1000)
    engine.add(job)
    call = Call(engine.result, job, 60_000)
    clock.advance(1000)
    with pytest.raises(NotFoundError):
        call.outcome()


def test_wakes_when_the_attempts_are_used_up(engine, clock):
    job = Job("a", ttr=100, max_attempts=1)
    engine.add(job)
    call = Call(engine.result, job, 60_000)
    engine.lease("a", 0)
    clock.advance(100)
    assert call.outcome() == RunResult(False, b"")


def test_waits_through_retries_and_time_outs(engine, clock, blocked_result):
    job = Job("a", ttr=100, max_fails=3)
    engine.add(job)
    call = blocked_result(job, 5000)
    engine.lease("a", 0)
    clock.advance(100)
    engine.fail(engine.lease("a", 0))
    engine.release(engine.lease("a", 0))
    assert not call.done
    engine.complete(engine.lease("a", 0), b"at last")
    assert call.outcome() == RunResult(True, b"at last")


def test_of_a_scheduled_job(engine, clock, blocked_result):
    job = Job("a", time=clock.now + timedelta(hours=1))
    engine.schedule(job)
    call = blocked_result(job, 60_000)
    engine.complete(job, b"early")
    assert call.outcome() == RunResult(True, b"early")


def test_a_record_written_by_hand_wakes_too(engine, blocked_result, job):
    call = blocked_result(job, 1000)
    assert engine.registry.record(job.id).write_result(b"by hand", True)
    assert call.outcome() == RunResult(True, b"by hand")


def test_many_waiters_of_many_jobs(engine, blocked_result):
    jobs = [Job("a") for _ in range(5)]
    engine.add_many(jobs)
    calls = [(job, blocked_result(job, 5000 - index)) for index, job in enumerate(jobs * 3)]
    for job in reversed(jobs):
        engine.complete(job, job.id.uuid.hex.encode())
    for job, call in calls:
        assert call.outcome() == RunResult(True, job.id.uuid.hex.encode())
