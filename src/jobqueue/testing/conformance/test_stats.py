"""stats: counters that only grow, gauges that tell the present."""

from dataclasses import fields, is_dataclass
from datetime import timedelta

from jobqueue import Job, Stats

NAMES = [
    "evicted_jobs",
    "added",
    "leased",
    "completed",
    "failed",
    "timed_out",
    "ready",
    "scheduled",
    "running",
    "waiting",
    "records",
]


def test_all_names(engine):
    stats = engine.stats()
    assert isinstance(stats, Stats)
    assert {name: getattr(stats, name) for name in NAMES} == dict.fromkeys(NAMES, 0)
    if is_dataclass(stats):
        assert {field.name for field in fields(stats)} == set(NAMES)


def test_is_a_snapshot(engine):
    before = engine.stats()
    engine.add(Job("a"))
    assert before.added == 0
    assert engine.stats() != before
    assert engine.stats() == engine.stats()


def test_a_whole_story(engine, clock, blocked):
    for _ in range(6):
        engine.add(Job("a", ttr=1000))
    engine.schedule(Job("a", time=clock.now + timedelta(minutes=1), priority=-1))
    call = blocked(engine.lease, "b", 60_000)
    leased = [engine.lease("a", 0) for _ in range(4)]
    engine.complete(leased[0])
    engine.fail(leased[1])
    engine.release(leased[2])
    clock.advance(1000)
    engine.expire(leased[2])
    stats = engine.stats()
    assert {name: getattr(stats, name) for name in NAMES} == {
        "evicted_jobs": 1,
        "added": 7,
        "leased": 4,
        "completed": 1,
        "failed": 1,
        "timed_out": 1,
        "ready": 3,
        "scheduled": 1,
        "running": 0,
        "waiting": 1,
        "records": 6,
    }
    engine.add(Job("b"))
    call.outcome()
    stats = engine.stats()
    assert (stats.waiting, stats.running, stats.leased) == (0, 1, 5)


def test_gauges_are_over_all_queues(engine, clock):
    for name in "abc":
        engine.add(Job(name))
        engine.schedule(Job(name, time=clock.now + timedelta(seconds=1)))
    stats = engine.stats()
    assert (stats.ready, stats.scheduled) == (3, 3)


def test_a_paused_queue_counts(engine):
    engine.pause("a")
    engine.add(Job("a"))
    assert engine.stats().ready == 1
