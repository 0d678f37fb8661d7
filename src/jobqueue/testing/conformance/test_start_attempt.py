"""start_attempt: the second half of lease."""

import pytest

from jobqueue import (
    AlreadyLeasedError,
    AlreadyProcessedError,
    Job,
    MaxAttemptsReachedError,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)


def test_leases_by_id(engine, harness):
    job, other = Job("a"), Job("a")
    engine.add(job)
    engine.add(other)
    assert engine.start_attempt(other.id) is None
    record = harness.record(other.id)
    assert (record.state, record.attempts) == (State.LEASED, 1)
    stats = engine.stats()
    assert (stats.leased, stats.running, stats.ready) == (1, 1, 1)
    assert engine.lease("a", 0) == job
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


def test_ttr_runs(engine, clock):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.start_attempt(job)
    clock.advance(99)
    assert engine.stats().running == 1
    clock.advance(1)
    assert engine.stats().timed_out == 1


def test_works_on_a_job_that_left_its_queue_before(engine, harness):
    job = Job("a")
    engine.add(job)
    assert engine.queues.delete(job)
    engine.start_attempt(job)
    assert harness.record(job.id).state == State.LEASED
    engine.complete(job)


def test_already_leased(engine, harness):
    job = Job("a")
    engine.add(job)
    engine.start_attempt(job)
    before = harness.view(engine)
    with pytest.raises(AlreadyLeasedError):
        engine.start_attempt(job)
    assert harness.view(engine) == before


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_already_processed(engine, harness, verb):
    job = Job("a", max_attempts=1)
    engine.add(job)
    engine.start_attempt(job)
    getattr(engine, verb)(job)
    before = harness.view(engine)
    with pytest.raises(AlreadyProcessedError):
        engine.start_attempt(job)
    assert harness.view(engine) == before


def test_unknown_id(engine, harness):
    before = harness.view(engine)
    with pytest.raises(NotFoundError):
        engine.start_attempt(Job("a").id)
    assert harness.view(engine) == before


def test_max_attempts_reached(engine, harness, blocked_result):
    job = Job("a", max_attempts=2)
    engine.add(job)
    for _ in range(2):
        engine.start_attempt(job)
        engine.release(job)
    call = blocked_result(job, 1000)
    with pytest.raises(MaxAttemptsReachedError):
        engine.start_attempt(job)
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.result) == (State.FAILED, 2, b"")
    assert call.outcome() == RunResult(False, b"")
    stats = engine.stats()
    assert (stats.failed, stats.leased, stats.ready) == (1, 2, 0)
    with pytest.raises(AlreadyProcessedError):
        engine.start_attempt(job)


def test_the_hard_limit(engine, harness):
    job = Job("a")
    engine.add(job)
    for _ in range(255):
        engine.start_attempt(job)
        engine.release(job)
    with pytest.raises(MaxAttemptsReachedError):
        engine.start_attempt(job)
    assert harness.record(job.id).attempts == 255


def test_a_record_added_by_hand(engine, harness, make_engine, clock):
    job = Job("a", ttr=100, max_fails=2)
    record = harness.record_by_hand(job, attempts=7)
    assert engine.registry.add(record)
    assert engine.registry.record(job.id) is record
    engine.start_attempt(job)
    assert (record.state, record.attempts) == (State.LEASED, 8)
    clock.advance(100)
    assert record.state == State.PENDING
    assert engine.lease("a", 0) == job
    engine.fail(job)
    assert (record.state, record.fails) == (State.PENDING, 1)
    assert engine.lease("a", 0) == job
    engine.complete(job, b"done")
    assert engine.result(job, 0) == RunResult(True, b"done")
    engine.delete(job)
    assert engine.stats().records == 0


def test_a_record_added_by_hand_without_attempts_left(engine, harness, make_engine):
    job = Job("a", max_attempts=3)
    record = harness.record_by_hand(job, attempts=3)
    engine.registry.add(record)
    with pytest.raises(MaxAttemptsReachedError):
        engine.start_attempt(job)
    assert record.state == State.FAILED
