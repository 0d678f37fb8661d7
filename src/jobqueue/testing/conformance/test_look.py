"""peek, jobs, scheduled_jobs, names: look without taking."""

from datetime import timedelta

import pytest

from jobqueue import InvalidNameError, Job


def test_peek_is_the_head(engine):
    assert engine.peek("a") is None
    low, high = Job("a"), Job("a", priority=1)
    engine.add(low)
    assert engine.peek("a") == low
    engine.add(high)
    assert engine.peek("a") == high
    assert engine.lease("a", 0) == high
    assert engine.peek("a") == low


def test_looking_changes_nothing(engine, harness, clock):
    engine.add_many([Job("a"), Job("b")])
    engine.schedule(Job("a", time=clock.now + timedelta(seconds=1)))
    before = harness.view(engine)
    for _ in range(3):
        engine.peek("a")
        engine.jobs("a")
        engine.scheduled_jobs("a", 0, 5)
        engine.names()
        engine.stats()
        engine.peek("unknown")
        engine.jobs("unknown")
        engine.scheduled_jobs("unknown")
    assert harness.view(engine) == before


def test_peek_does_not_see_scheduled_jobs(engine, clock):
    engine.schedule(Job("a", time=clock.now + timedelta(seconds=1)))
    assert engine.peek("a") is None


@pytest.mark.parametrize("verb", ["jobs", "scheduled_jobs"])
def test_offset_and_limit(engine, clock, verb):
    jobs = [Job("a", time=clock.now + timedelta(seconds=1 + n)) for n in range(10)]
    for job in jobs:
        (engine.add if verb == "jobs" else engine.schedule)(job)
    look = getattr(engine, verb)
    assert look("a") == jobs
    assert look("a", 0, None) == jobs
    for offset in range(12):
        assert look("a", offset) == jobs[offset:]
        for limit in range(12):
            assert look("a", offset, limit) == jobs[offset : offset + limit]
    assert look("a", offset=3, limit=2) == jobs[3:5]
    assert look("a", 10**6, 10**6) == []
    assert isinstance(look("a"), list)


@pytest.mark.parametrize("verb", ["jobs", "scheduled_jobs"])
def test_bad_offset_and_limit(engine, harness, verb):
    engine.add(Job("a"))
    look = getattr(engine, verb)
    before = harness.view(engine)
    for bad in (-1, -(10**20)):
        with pytest.raises(ValueError, match=str(bad)):
            look("a", bad)
        with pytest.raises(ValueError, match=str(bad)):
            look("a", 0, bad)
    for bad in (1.0, "1", True):
        with pytest.raises(TypeError):
            look("a", bad)
        with pytest.raises(TypeError):
            look("a", 0, bad)
    with pytest.raises(TypeError):
        look("a", None)
    assert harness.view(engine) == before


@pytest.mark.parametrize("verb", ["peek", "jobs", "scheduled_jobs"])
def test_bad_names(engine, verb):
    for name in ("", "a b", "ä", "x" * 256, None, 5, b"a", ["a"]):
        with pytest.raises(InvalidNameError):
            getattr(engine, verb)(name)


def test_jobs_is_a_copy(engine):
    job = Job("a")
    engine.add(job)
    engine.jobs("a").clear()
    assert engine.jobs("a") == [job]


def test_leased_jobs_are_in_neither(engine):
    engine.add(Job("a"))
    engine.lease("a", 0)
    assert engine.jobs("a") == engine.scheduled_jobs("a") == []


def test_names_are_sorted(engine, clock):
    assert engine.names() == []
    for name in ("b", "a.c", "B", "a"):
        engine.add(Job(name))
    engine.schedule(Job("0", time=clock.now + timedelta(seconds=1)))
    assert engine.names() == ["0", "B", "a", "a.c", "b"]


def test_scheduled_jobs_are_by_time_then_priority_then_creation(engine, clock):
    def later(seconds: int, **fields) -> Job:
        return Job("a", time=clock.now + timedelta(seconds=seconds), **fields)

    jobs = [later(2), later(1, priority=-1), later(1, priority=5), later(1), later(1)]
    for job in jobs:
        engine.schedule(job)
    assert engine.scheduled_jobs("a") == [jobs[2], jobs[3], jobs[4], jobs[1], jobs[0]]


def test_looking_fires_what_is_due(engine, clock):
    """A step of the wall clock makes a scheduled job due: who looks a second later sees it."""
    job = Job("a", time=clock.now + timedelta(hours=1))
    engine.schedule(job)
    clock.step(3_600_000)
    clock.advance(1000)
    assert engine.scheduled_jobs("a") == []
    assert engine.jobs("a") == [job]
