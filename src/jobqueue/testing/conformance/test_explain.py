"""explain: why a job does, or does not, run; and the history that it may keep."""

from datetime import timedelta

import pytest

from jobqueue import ClosedError, InvalidIDError, Job, NotFoundError, State
from jobqueue.observing import Event


@pytest.fixture
def engine(make_engine):
    return make_engine(history=4)


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [f"{event.kind} {event.state.name} {event.attempt}" for event in events]


def test_who_waits(engine, clock):
    jobs = [Job("a", max_attempts=5, max_fails=3) for _ in range(3)]
    engine.add_many(jobs)
    engine.pause("a")
    found = engine.explain(jobs[2])
    assert found.job == jobs[2]
    assert (found.state, found.ahead, found.paused) == (State.NEW, 2, True)
    assert (found.attempt, found.attempts_left, found.fails_left) == (0, 5, 2)
    assert (found.due, found.deadline, found.reason) == (None, None, None)
    assert found.expires == clock.now + timedelta(days=1)
    assert "2 jobs are before it, and its queue is paused" in str(found)
    engine.resume("a")
    assert not engine.explain(jobs[2]).paused


def test_who_waits_for_its_time(engine, clock):
    times = [clock.now + timedelta(seconds=s) for s in (9, 5)]
    jobs = [Job("a", time=time, ttl=1000) for time in times]
    for job in jobs:
        engine.schedule(job)
    found = engine.explain(jobs[0])
    assert (found.state, found.ahead, found.due) == (State.NEW, 1, times[0])
    assert found.expires is None, "its TTL runs from its time"
    assert "it waits for its time, 2026-01-01 00:00:09 UTC" in str(found)
    clock.advance(5000)
    found = engine.explain(jobs[1])
    assert (found.ahead, found.due) == (0, None)
    assert found.expires == times[1] + timedelta(seconds=1)


def test_who_runs_and_who_is_late(engine, clock):
    engine.add(job := Job("a", ttr=60_000, max_fails=2))
    engine.lease("a", 0)
    found = engine.explain(job)
    assert (found.state, found.ahead, found.attempt) == (State.LEASED, None, 1)
    assert found.deadline == clock.now + timedelta(minutes=1)
    assert "a worker has it under attempt 1 until 2026-01-01 00:01:00 UTC" in str(found)
    engine.fail(job, b"locked", delay=5000)
    found = engine.explain(job)
    assert (found.due, found.ahead) == (clock.now + timedelta(seconds=5), 0)
    assert (found.deadline, found.fails_left) == (None, 0)
    assert found.reason == b"locked"
    assert "Its last failure: b'locked'." in str(found)


def test_times_follow_the_wall_clock(engine, clock):
    engine.add(job := Job("a", ttr=60_000))
    engine.lease("a", 0)
    clock.step(timedelta(hours=1))
    found = engine.explain(job)
    assert found.deadline == clock.now + timedelta(minutes=1)
    assert found.expires == clock.now + timedelta(days=1)


def test_who_runs_for_a_caller_has_no_time_to_live(engine, running):
    call = running(job := Job("a"), 60_000)
    assert engine.explain(job).expires is None
    engine.complete(job)
    assert call.outcome().success


def test_who_ended(engine):
    engine.add(job := Job("a"))
    engine.lease("a", 0)
    engine.complete(job)
    found = engine.explain(job)
    assert (found.state, found.ahead, found.deadline) == (State.COMPLETED, None, None)
    assert "is COMPLETED: it ended after 1 attempts" in str(found)


def test_a_kick_gives_fresh_budgets(engine):
    engine.add(job := Job("a", max_attempts=3, max_fails=1))
    engine.fail(engine.lease("a", 0), b"no")
    engine.kick(job)
    found = engine.explain(job)
    assert (found.attempt, found.attempts_left, found.fails_left) == (1, 3, 0)
    assert found.reason == b"no", "its history goes on"
    assert kinds(found.history)[-1] == "kicked NEW 1"


def test_a_record_made_by_hand_stands_nowhere(make_engine, harness):
    engine = make_engine(history=4)
    job = Job("a")
    assert engine.registry.add(harness.record_by_hand(job, attempts=2))
    found = engine.explain(job)
    assert (found.state, found.ahead, found.attempt) == (State.NEW, None, 2)
    assert (found.expires, found.history) == (None, ())
    assert "it is in no queue" in str(found)


def test_the_history_keeps_the_last_transitions(engine, clock):
    engine.add(job := Job("a"))
    assert kinds(engine.explain(job).history) == ["added NEW 0"]
    for _ in range(5):
        clock.advance(1000)
        engine.lease("a", 0)
        engine.release(job)
    history = engine.explain(job).history
    assert kinds(history) == [
        "leased LEASED 4",
        "released PENDING 4",
        "leased LEASED 5",
        "released PENDING 5",
    ]
    assert [(clock.now - event.time).seconds for event in history] == [1, 1, 0, 0]
    assert {(event.id, event.name) for event in history} == {(job.id, "a")}


def test_the_last_reason_counts(engine):
    engine.add(job := Job("a", max_fails=9))
    for reason in (b"first", b"second"):
        engine.fail(engine.lease("a", 0), reason)
    assert engine.explain(job).reason == b"second"


def test_no_history_unless_it_is_asked_for(make_engine):
    engine = make_engine()
    engine.add(job := Job("a"))
    assert engine.explain(job).history == ()


@pytest.mark.parametrize("history", [-1, 1.5, True, "1"])
def test_bad_history(make_engine, history):
    with pytest.raises((ValueError, TypeError), match="history"):
        make_engine(history=history)


def test_places_in_a_long_line(engine, rng):
    jobs = [Job("a", priority=rng.randrange(5)) for _ in range(300)]
    engine.add_many(jobs)
    for place, job in list(enumerate(engine.jobs("a")))[::37]:
        assert engine.explain(job).ahead == place


def test_explain_looks_and_changes_nothing(engine, clock):
    engine.add(job := Job("a", ttl=10))
    before = engine.stats()
    assert engine.explain(job) == engine.explain(job.id) == engine.explain(str(job.id))
    assert engine.stats() == before
    clock.advance(10)
    with pytest.raises(NotFoundError):
        engine.explain(job)


def test_of_nothing(engine):
    with pytest.raises(NotFoundError):
        engine.explain(Job("a"))
    with pytest.raises(InvalidIDError):
        engine.explain("no id")
    engine.close()
    with pytest.raises(ClosedError):
        engine.explain(Job("a"))
