"""delete: gone, whatever its state."""

from datetime import timedelta

import pytest

from jobqueue import Job, NotFoundError, WaitTimeoutError

STATES = ["new", "scheduled", "leased", "pending", "completed", "failed"]


def bring_to(engine, clock, state: str) -> Job:
    """A job in the given state."""
    later = clock.now + timedelta(hours=1) if state == "scheduled" else None
    job = Job("a", time=later, ttr=60_000)
    (engine.schedule if later else engine.add)(job)
    if state in ("leased", "pending", "completed", "failed"):
        engine.lease("a", 0)
    if state == "pending":
        engine.timeout_attempt(job)
    if state == "completed":
        engine.complete(job, b"done")
    if state == "failed":
        engine.fail(job, b"failed")
    return job


@pytest.mark.parametrize("state", STATES)
def test_in_every_state(engine, harness, clock, state):
    job = bring_to(engine, clock, state)
    counted = engine.stats()
    assert engine.delete(job) is None
    assert harness.record(job) is None
    assert not harness.in_line(job)
    stats = engine.stats()
    assert (stats.ready, stats.scheduled, stats.running, stats.records) == (0, 0, 0, 0)
    assert stats.evicted_jobs == 0
    assert (stats.completed, stats.failed) == (counted.completed, counted.failed)
    for call in (engine.delete, engine.complete, engine.fail, engine.touch, engine.start_attempt):
        with pytest.raises(NotFoundError):
            call(job)


@pytest.mark.parametrize("state", STATES)
def test_no_timer_is_left(engine, clock, state):
    engine.delete(bring_to(engine, clock, state))
    assert engine.next_deadline_ns() is None
    clock.advance(timedelta(days=2))
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.timed_out, stats.ready) == (0, state == "pending", 0)


def test_unknown_id(engine, harness):
    before = harness.view(engine)
    with pytest.raises(NotFoundError):
        engine.delete(Job("a").id)
    assert harness.view(engine) == before


def test_others_stay(engine):
    jobs = [Job("a") for _ in range(10)]
    for job in jobs:
        engine.add(job)
    for job in jobs[::2]:
        engine.delete(job)
    assert engine.jobs("a") == jobs[1::2]


def test_the_late_answer_of_its_worker(engine):
    job = Job("a")
    engine.add(job)
    engine.lease("a", 0)
    engine.delete(job)
    with pytest.raises(NotFoundError):
        engine.complete(job, b"late")
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
