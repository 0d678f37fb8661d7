"""result_ttl: how long a processed job is kept at most."""

from datetime import timedelta
from functools import partial

import pytest

from jobqueue import (
    MAX_TTL,
    InvalidTTLError,
    Job,
    NotFoundError,
    RunResult,
    State,
)
from jobqueue.testing.waiting import Call, wait_until


def test_none_keeps_until_the_ttl(make_engine, clock):
    engine = make_engine(result_ttl=None)
    job = Job("a", ttl=1000)
    engine.add(job)
    engine.complete(job, b"x")
    clock.advance(999)
    assert engine.result(job, 0) == RunResult(True, b"x")
    clock.advance(1)
    assert engine.stats().records == 0


@pytest.mark.parametrize("answer", ["complete", "fail"])
@pytest.mark.parametrize("result_ttl", [300, timedelta(milliseconds=300)])
def test_kept_so_long_after_the_end(make_engine, clock, result_ttl, answer):
    engine = make_engine(result_ttl=result_ttl)
    job = Job("a", ttl=100_000)
    engine.add(job)
    clock.advance(500)
    getattr(engine, answer)(job, b"x")
    clock.advance(299)
    assert engine.result(job, 0) == RunResult(answer == "complete", b"x")
    clock.advance(1)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    stats = engine.stats()
    assert (stats.records, stats.evicted_jobs) == (0, 0)


def test_never_longer_than_the_ttl(make_engine, clock):
    engine = make_engine(result_ttl=1000)
    job = Job("a", ttl=1200)
    engine.add(job)
    clock.advance(900)
    engine.complete(job)
    clock.advance(299)
    assert engine.stats().records == 1
    clock.advance(1)
    assert engine.stats().records == 0


def test_unprocessed_jobs_are_not_concerned(make_engine, harness, clock):
    engine = make_engine(result_ttl=10)
    job = Job("a", ttr=100, max_fails=3)
    engine.add(job)
    engine.fail(engine.lease("a", 0))
    clock.advance(50)
    assert engine.jobs("a") == [job]
    engine.lease("a", 0)
    clock.advance(150)
    assert harness.record(job.id).state == State.PENDING


@pytest.mark.parametrize("result_ttl", [0, timedelta(0)])
def test_zero_forgets_at_once(make_engine, result_ttl):
    engine = make_engine(result_ttl=result_ttl)
    jobs = [Job("a", max_attempts=1) for _ in range(4)]
    engine.add_many(jobs)
    engine.lease_many("a", 4, 0)
    engine.complete(jobs[0])
    engine.fail(jobs[1])
    engine.timeout_attempt(jobs[2])
    engine.complete_many([(jobs[3], b"")])
    assert engine.stats().records == 0
    assert engine.next_deadline_ns() is None
    stats = engine.stats()
    assert (stats.records, stats.completed, stats.failed, stats.evicted_jobs) == (0, 2, 2, 0)
    for job in jobs:
        with pytest.raises(NotFoundError):
            engine.result(job, 0)
    engine.add(jobs[0])  # its id is free again


@pytest.mark.parametrize("verb", ["complete", "fail", "complete_many", "delete_many"])
def test_zero_takes_waiting_jobs_out_of_their_queues(make_engine, harness, clock, verb):
    engine = make_engine(result_ttl=0)
    ready, scheduled = Job("a"), Job("a", time=clock.now + timedelta(seconds=1))
    engine.add(ready)
    engine.schedule(scheduled)
    if verb == "complete_many":
        engine.complete_many([(ready, b""), (scheduled, b"")])
    elif verb == "delete_many":
        engine.delete_many([ready, scheduled])
    else:
        for job in (ready, scheduled):
            getattr(engine, verb)(job)
    for job in (ready, scheduled):
        assert not harness.in_line(job)
    stats = engine.stats()
    assert (stats.ready, stats.scheduled, stats.records) == (0, 0, 0)
    engine.add(ready)
    assert engine.lease("a", 0) == ready


def next_is(engine, deadline_ns: int) -> bool:
    return engine.next_deadline_ns() == deadline_ns


@pytest.mark.needs("waits")
@pytest.mark.parametrize("answer", ["complete", "fail"])
def test_zero_answers_its_waiters_first(make_engine, harness, clock, answer):
    engine = make_engine(result_ttl=0)
    job = Job("a")
    engine.add(job)
    calls = []
    for timeout in (2000, 1000):
        deadline_ns = clock.monotonic_ns() + timeout * 1_000_000
        calls.append(Call(engine.result, job, timeout))
        wait_until(partial(next_is, engine, deadline_ns))
    engine.lease("a", 0)
    getattr(engine, answer)(job, b"x")
    for call in calls:
        assert call.outcome() == RunResult(answer == "complete", b"x")
    assert harness.record(job) is None


def test_the_exhausted_at_lease_are_forgotten_too(make_engine, harness):
    engine = make_engine(result_ttl=0)
    job, good = Job("a", max_attempts=1), Job("a", priority=-1)
    engine.add_many([job, good])
    engine.release(engine.lease("a", 0))
    assert engine.lease("a", 0) == good
    assert harness.record(job) is None


def test_a_service_does_not_grow(make_engine, clock):
    engine = make_engine(result_ttl=100)
    for _ in range(200):
        engine.add(Job("a"))
        engine.complete(engine.lease("a", 0))
        clock.advance(10)
        assert engine.stats().records <= 10


@pytest.mark.parametrize("result_ttl", [-1, MAX_TTL + 1, 1.5, True, "1", timedelta(days=31)])
def test_bad_values(make_engine, result_ttl):
    with pytest.raises(InvalidTTLError):
        make_engine(result_ttl=result_ttl)


def test_largest_value(make_engine):
    make_engine(result_ttl=MAX_TTL)
