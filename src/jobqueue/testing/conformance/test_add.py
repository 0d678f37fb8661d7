"""add: NEW, in ready; the TTL runs."""

from datetime import timedelta
from typing import Any

import pytest

from jobqueue import (
    DuplicateJobError,
    InvalidTimeError,
    Job,
    NotFoundError,
    QueueOutOfSyncError,
    State,
)

MS = timedelta(milliseconds=1)


def test_makes_a_new_record_in_ready(engine, harness):
    job = Job("a", b"payload")
    assert engine.add(job) is None
    record = harness.record(job.id)
    assert record.job == job
    assert (record.state, record.attempts, record.fails) == (State.NEW, 0, 0)
    assert record.result is None
    assert not record.running()
    assert not record.processed()
    assert engine.jobs("a") == [job]
    assert engine.scheduled_jobs("a") == []
    assert harness.in_line(job)
    stats = engine.stats()
    assert (stats.added, stats.ready, stats.records) == (1, 1, 1)


def test_the_job_comes_out_as_it_went_in(engine):
    fields: dict[str, Any] = {
        "priority": -7,
        "ttr": 1234,
        "ttl": 5678,
        "max_attempts": 3,
        "max_fails": 2,
    }
    engine.add(Job("a.b-c_D", b"\x00\xff", **fields))
    job = engine.lease("a.b-c_D", 0)
    assert job.payload == b"\x00\xff"
    assert {name: getattr(job, name) for name in fields} == fields


@pytest.mark.needs("ids")
def test_duplicate_id(engine, harness):
    job = Job("a", b"first")
    engine.add(job)
    before = harness.view(engine)
    for other in (job, job.replace(name="b"), Job("c", id=job.id, priority=9)):
        with pytest.raises(DuplicateJobError):
            engine.add(other)
    assert harness.view(engine) == before
    assert engine.peek("a").payload == b"first"


@pytest.mark.needs("ids")
def test_duplicate_of_a_leased_and_of_a_processed_job(engine):
    job = Job("a")
    engine.add(job)
    engine.lease("a", 0)
    with pytest.raises(DuplicateJobError):
        engine.add(job)
    engine.complete(job)
    with pytest.raises(DuplicateJobError):
        engine.add(job)


def test_an_id_is_free_again_after_delete(engine):
    job = Job("a")
    engine.add(job)
    engine.delete(job)
    engine.add(job)
    assert engine.lease("a", 0) == job


@pytest.mark.parametrize("ttl", [1, 2, 1000, 86_400_000])
def test_ttl_boundary(engine, harness, clock, ttl):
    job = Job("a", ttl=ttl)
    engine.add(job)
    clock.advance(ttl - 1)
    assert engine.peek("a") == job
    clock.advance(1)
    assert engine.peek("a") is None
    assert harness.record(job) is None
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    assert engine.stats().evicted_jobs == 1


def test_ttl_runs_from_now_for_every_job_of_one_instant(engine, clock):
    """Stamps run ahead of the clock to keep the order; times to live do not."""
    for _ in range(5):
        engine.add(Job("a", ttl=1000))
    clock.advance(1000)
    assert engine.stats().evicted_jobs == 5


def test_ttl_runs_from_now_not_from_construction(engine, clock):
    job = Job("a", ttl=1000)
    clock.advance(5000)
    engine.add(job)
    clock.advance(999)
    assert engine.peek("a") == job
    clock.advance(1)
    assert engine.peek("a") is None


def test_ttl_is_not_touched_by_the_wall_clock(engine, clock):
    engine.add(Job("a", ttl=1000))
    clock.step(-3_600_000)
    engine.add(Job("a", ttl=1000))
    clock.step(7_200_000)
    clock.advance(999)
    assert engine.stats().records == 2
    clock.advance(1)
    assert engine.stats().records == 0


def test_ttl_of_a_leased_job_runs_on(engine, clock):
    job = Job("a", ttl=1000, ttr=5000)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(1000)
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.running, stats.records, stats.timed_out) == (1, 0, 0, 0)


def test_created_in_the_past_shortens_the_ttl(engine, clock):
    job = Job("a", ttl=1000, created=clock.now - 600 * MS)
    engine.add(job)
    clock.advance(399)
    assert engine.peek("a") == job
    clock.advance(1)
    assert engine.peek("a") is None


def test_created_in_the_future_lengthens_the_ttl(engine, harness, clock):
    job = Job("a", ttl=1000, created=clock.now + 600 * MS)
    engine.add(job)
    clock.advance(1599)
    assert engine.lease("a", 0) == job
    clock.advance(1)
    assert harness.record(job) is None


def test_expired_before_it_begins(engine, harness, clock):
    before = harness.view(engine)
    with pytest.raises(InvalidTimeError):
        engine.add(Job("a", ttl=1000, created=clock.now - 1001 * MS))
    assert harness.view(engine) == before
    engine.add(Job("a", ttl=1000, created=clock.now - 999 * MS))


def test_the_time_of_a_job_does_not_delay_it(engine, clock):
    job = Job("a", time=clock.now + timedelta(hours=1))
    engine.add(job)
    assert engine.lease("a", 0) == job


@pytest.mark.parametrize("thing", [None, "a", b"a", 5, object(), {"name": "a"}])
def test_anything_but_a_job(engine, harness, thing):
    before = harness.view(engine)
    for verb in (engine.add, engine.schedule):
        with pytest.raises(TypeError):
            verb(thing)
    with pytest.raises(TypeError):
        engine.run(thing, 0)
    assert harness.view(engine) == before


def test_hands_the_job_to_the_blocked_leaser(engine, blocked):
    call = blocked(engine.lease, "a", 1000)
    job = Job("a")
    engine.add(job)
    stats = engine.stats()
    assert (stats.ready, stats.running, stats.waiting) == (0, 1, 0)
    assert call.outcome() == job


def test_queue_out_of_sync(engine, harness):
    job = Job("a")
    assert engine.queues.add(job)
    before = harness.view(engine)
    with pytest.raises(QueueOutOfSyncError):
        engine.add(job)
    assert harness.view(engine) == before
    assert harness.record(job) is None
    engine.queues.delete(job)
    engine.add(job)
    assert engine.lease("a", 0) == job
