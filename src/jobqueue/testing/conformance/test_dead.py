"""Dead jobs: listed with their reason, and kicked back to life."""

import pytest

from jobqueue import (
    DuplicateJobError,
    Job,
    LeaseExpiredError,
    NotDeadError,
    NotFoundError,
    RunResult,
    State,
)


def fail(engine, job: Job, reason: bytes = b"why") -> Job:
    engine.add(job)
    engine.fail(job, reason)
    return job


def test_dead_jobs_are_listed_in_the_order_of_failing(engine, clock) -> None:
    jobs = [Job("a", priority=n) for n in range(5)]
    engine.add_many(jobs)
    fail(engine, Job("b"))
    for job in jobs[::-1]:
        engine.fail(job, b"%d" % job.priority)
    engine.add(alive := Job("a"))
    engine.complete(alive)
    assert engine.dead("a") == jobs[::-1]
    assert engine.dead("a", 1, 2) == [jobs[3], jobs[2]]
    assert engine.dead("a", 5) == engine.dead("a", 0, 0) == engine.dead("none") == []
    assert [engine.result(job, 0).result for job in engine.dead("a", 3)] == [b"1", b"0"]
    assert engine.stats().dead == 6
    engine.delete(jobs[2])
    engine.delete(jobs[0])
    assert engine.dead("a") == [jobs[4], jobs[3], jobs[1]]
    clock.advance(86_400_000)
    assert engine.dead("a") == []
    assert engine.stats().dead == 0


def test_time_outs_and_spent_attempts_make_dead_jobs_too(engine, clock) -> None:
    engine.add(job := Job("a", ttr=100, max_attempts=1))
    engine.lease("a", 0)
    clock.advance(100)
    assert engine.dead("a") == [job]


def test_nothing_is_dead_that_is_forgotten_at_once(make_engine) -> None:
    engine = make_engine(result_ttl=0)
    fail(engine, Job("a"))
    assert engine.dead("a") == []
    assert engine.stats().dead == 0


def test_kick(engine, harness, clock) -> None:
    engine.add(job := Job("a", max_attempts=2, max_fails=2, ttl=1000, ttr=100))
    for _ in range(2):
        engine.lease("a", 0)
        engine.fail(job, b"why")
    assert harness.record(job).state == State.FAILED
    clock.advance(900)
    engine.kick(job)
    record = harness.record(job)
    assert (record.state, record.fails, record.result) == (State.NEW, 0, None)
    assert engine.dead("a") == []
    assert engine.jobs("a") == [job]
    assert engine.stats()._replace(records=0) == engine.stats()._replace(
        added=1, leased=2, failed=1, kicked=1, ready=1, dead=0, records=0
    )
    clock.advance(900)  # its TTL runs from the kick
    for _ in range(2):  # both budgets are fresh
        assert engine.lease("a", 0) == job
        engine.fail(job, b"again")
    assert engine.result(job, 0) == RunResult(False, b"again")
    assert engine.dead("a") == [job]
    engine.kick(job)
    clock.advance(1000)
    with pytest.raises(NotFoundError):
        engine.kick(job)
    assert engine.stats().evicted_jobs == 1


def test_the_answer_of_a_former_life_is_refused(engine) -> None:
    engine.add(job := Job("a", max_attempts=1))
    engine.lease("a", 0)
    engine.fail(job)
    engine.kick(job)
    engine.lease("a", 0)
    with pytest.raises(LeaseExpiredError):
        engine.complete(job, b"late", attempt=1)
    engine.complete(job, b"done", attempt=2)
    assert engine.result(job, 0) == RunResult(True, b"done")


def test_a_kicked_job_has_its_old_place_and_goes_to_who_waits(engine, blocked) -> None:
    job = fail(engine, Job("a"))
    engine.add(Job("a"))
    engine.kick(job)
    assert engine.jobs("a")[0] == job
    engine.delete_many(engine.jobs("a"))
    fail(engine, job)
    call = blocked(engine.lease, "a", 60_000)
    engine.kick(job)
    assert call.outcome() == job


def test_attempts_that_are_spent_at_once(engine) -> None:
    job = fail(engine, Job("a", max_attempts=1))
    engine.kick(job)
    engine.kick(fail(engine, other := Job("a", max_attempts=1)))
    assert [engine.lease("a", 0), engine.lease("a", 0)] == [job, other]
    engine.release(job)
    with pytest.raises(TimeoutError):
        engine.lease("a", 0)
    assert engine.dead("a") == [job]


def test_what_cannot_be_kicked(engine, harness, clock) -> None:
    new, leased, done = Job("a"), Job("b"), Job("c")
    engine.add_many([new, leased, done])
    engine.lease("b", 0)
    engine.complete(done)
    before = harness.view(engine)
    for job in (new, leased, done):
        with pytest.raises(NotDeadError):
            engine.kick(job)
    with pytest.raises(NotFoundError):
        engine.kick(Job("a"))
    assert harness.view(engine) == before


def test_a_key_that_was_taken_meanwhile(engine, harness) -> None:
    job = fail(engine, Job("a", unique=b"k"))
    engine.add(second := Job("a", unique=b"k"))
    before = harness.view(engine)
    with pytest.raises(DuplicateJobError) as caught:
        engine.kick(job)
    assert caught.value.first == second.id
    assert harness.view(engine) == before
    engine.delete(second)
    engine.kick(job)
    with pytest.raises(DuplicateJobError):
        engine.add(Job("a", unique=b"k"))


def test_a_record_made_by_hand_may_be_dead(make_engine, harness) -> None:
    engine = make_engine()
    record = harness.record_by_hand(job := Job("a"), state=State.FAILED, attempts=2**40)
    engine.registry.add(record)
    assert engine.dead("a") == [job]
    engine.kick(job)
    assert engine.lease("a", 0) == job
    assert record.attempts == 1
