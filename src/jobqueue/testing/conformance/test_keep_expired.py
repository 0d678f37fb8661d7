"""keep_expired: a job that expired unprocessed is kept FAILED for a while."""

from datetime import timedelta

import pytest

from jobqueue import (
    DuplicateJobError,
    InvalidTTLError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    State,
)


def test_by_itself_an_expired_job_is_gone(make_engine, clock):
    engine = make_engine()
    engine.add(Job("a", ttl=100))
    clock.advance(100)
    assert (engine.dead("a"), engine.stats().evicted_jobs) == ([], 1)


@pytest.mark.parametrize("kept", [300, timedelta(milliseconds=300)])
def test_it_is_dead_so_long_and_then_gone(make_engine, harness, clock, kept):
    engine = make_engine(keep_expired=kept)
    job = Job("a", ttl=100)
    engine.add(job)
    clock.advance(100)
    assert engine.dead("a") == [job]
    assert engine.jobs("a") == []
    record = harness.record(job.id)
    assert (record.state, record.result, record.fails) == (State.FAILED, b"expired", 0)
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.failed, stats.records, stats.dead) == (1, 0, 1, 1)
    clock.advance(299)
    assert engine.result(job, 0) == RunResult(False, b"expired")
    clock.advance(1)
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.records, stats.dead) == (1, 0, 0)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)


def test_who_waits_for_its_result_is_told(make_engine, clock):
    engine = make_engine(keep_expired=1000)
    job = Job("a", ttl=100)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(100)
    assert engine.result(job, 1000) == RunResult(False, b"expired")


def test_its_lease_is_over(make_engine, clock):
    engine = make_engine(keep_expired=1000)
    job = Job("a", ttl=100, ttr=5000)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(100)
    assert engine.stats().running == 0
    with pytest.raises(LeaseExpiredError):
        engine.complete(job, attempt=1)
    clock.advance(1000)
    assert (engine.stats().records, engine.stats().timed_out) == (0, 0)


def test_it_can_be_kicked_and_expires_again(make_engine, clock):
    engine = make_engine(keep_expired=1000)
    job = Job("a", ttl=100)
    engine.add(job)
    clock.advance(100)
    engine.kick(job)
    assert engine.jobs("a") == [job]
    clock.advance(99)
    assert engine.dead("a") == []
    clock.advance(1)
    assert engine.dead("a") == [job]
    assert engine.stats().evicted_jobs == 2
    clock.advance(1000)
    assert engine.stats().records == 0


def test_it_lets_go_of_its_key(make_engine, clock):
    engine = make_engine(keep_expired=1000)
    first, second = Job("a", unique=b"k", ttl=100), Job("a", unique=b"k")
    engine.add(first)
    clock.advance(100)
    engine.add(second)
    with pytest.raises(DuplicateJobError):
        engine.kick(first)
    assert engine.dead("a") == [first]


def test_it_takes_no_place_under_a_bound(make_engine, clock):
    engine = make_engine(keep_expired=1000, max_jobs=1)
    engine.add(Job("a", ttl=100))
    clock.advance(100)
    engine.add(Job("a"))
    assert (engine.stats().records, engine.stats().ready) == (2, 1)


def test_result_ttl_does_not_shorten_it(make_engine, clock):
    engine = make_engine(keep_expired=1000, result_ttl=0)
    job = Job("a", ttl=100)
    engine.add(job)
    clock.advance(100 + 999)
    assert engine.dead("a") == [job]
    clock.advance(1)
    assert engine.stats().records == 0


def test_the_call_does_the_same(make_engine, harness, clock):
    engine = make_engine(keep_expired=50)
    ready, leased = Job("a"), Job("b")
    scheduled = Job("c", time=clock.now + timedelta(hours=1))
    for job in (ready, leased):
        engine.add(job)
    engine.schedule(scheduled)
    engine.lease("b", 0)
    for job in (ready, leased, scheduled):
        engine.expire(job)
        assert harness.record(job.id).result == b"expired"
    assert engine.stats().evicted_jobs == 3
    engine.expire(ready)  # processed by now: gone
    assert [engine.dead(name) for name in "abc"] == [[], [leased], [scheduled]]
    clock.advance(50)
    assert engine.stats().records == 0
    clock.advance(timedelta(hours=2))
    assert (engine.stats().ready, engine.stats().scheduled) == (0, 0)


def test_a_processed_job_is_not_concerned(make_engine, clock):
    engine = make_engine(keep_expired=1000)
    job = Job("a", ttl=100)
    engine.add(job)
    engine.complete(job, b"done")
    clock.advance(100)
    assert (engine.stats().records, engine.stats().evicted_jobs) == (0, 0)


def test_observers_and_explain_tell_of_it(make_engine, clock):
    engine = make_engine(keep_expired=1000, history=4)
    told = []
    job = Job("a", ttl=100)
    with engine.observe(lambda event: told.append((event.kind, event.state, event.reason))):
        engine.add(job)
        clock.advance(100)
        assert engine.explain(job).history[-1].reason == b"expired"
        clock.advance(1000)
        engine.stats()
    assert told == [
        ("added", State.NEW, None),
        ("failed", State.FAILED, b"expired"),
        ("expired", State.FAILED, None),
    ]


@pytest.mark.parametrize("wrong", [-1, 2_592_000_001])
def test_bad_values(make_engine, wrong):
    with pytest.raises(InvalidTTLError):
        make_engine(keep_expired=wrong)
    with pytest.raises(TypeError):
        make_engine(keep_expired=1.5)
