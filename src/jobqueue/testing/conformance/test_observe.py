"""observe: what is told of each transition, in which order, and to whom."""

import sys
from datetime import timedelta

import pytest

from jobqueue import ID, ClosedError, Job, QueueFullError, State
from jobqueue.observing import Event, EventKind
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until


@pytest.fixture
def told(engine):
    events: list[Event] = []
    with engine.observe(events.append):
        yield events


def kinds(events: list[Event]) -> list[str]:
    return [f"{event.kind} {event.state.name} {event.attempt}" for event in events]


def stories(events: list[Event]) -> list[tuple[ID, str]]:
    return [(event.id, str(event.kind)) for event in events]


def test_a_life_with_everything_in_it(engine, clock, told):
    job = Job("a", max_fails=3, ttr=100, ttl=10_000, time=clock.now + timedelta(seconds=1))
    engine.schedule(job)
    clock.advance(1000)
    engine.lease("a", 0)
    engine.touch(job)
    engine.release(job)
    engine.lease("a", 0)
    clock.advance(100)
    engine.fail(job, b"why", delay=50)
    clock.advance(50)
    engine.lease("a", 0)
    engine.complete(job)
    clock.advance(10_000)
    assert kinds(told) == [
        "scheduled NEW 0",
        "awake NEW 0",
        "leased LEASED 1",
        "touched LEASED 1",
        "released PENDING 1",
        "leased LEASED 2",
        "timed_out PENDING 2",
        "failed PENDING 2",
        "awake PENDING 2",
        "leased LEASED 3",
        "completed COMPLETED 3",
        "expired COMPLETED 3",
    ]
    assert {(event.id, event.name) for event in told} == {(job.id, "a")}
    assert [event.reason for event in told if event.reason is not None] == [b"why"]
    start = ManualClock().now
    assert [(event.time - start) / timedelta(milliseconds=1) for event in told] == [
        *(0, 1000, 1000, 1000, 1000, 1000, 1100, 1100, 1150, 1150, 1150, 11_000)
    ]


def test_ends(engine, told):
    jobs = [Job(name, max_attempts=1) for name in "abcd"]
    engine.add_many(jobs)
    engine.fail(jobs[0], b"no")
    engine.kick(jobs[0])
    engine.lease("b", 0)
    engine.release(jobs[1])
    with pytest.raises(TimeoutError):
        engine.lease("b", 0)
    engine.lease("c", 0)
    engine.timeout_attempt(jobs[2])
    engine.delete(jobs[3])
    engine.complete_many([(jobs[0], b"")])
    with pytest.raises(TimeoutError):
        engine.run(Job("e"), 0)
    assert kinds(told)[4:] == [
        "failed FAILED 0",
        "kicked NEW 0",
        "leased LEASED 1",
        "released PENDING 1",
        "exhausted FAILED 1",
        "leased LEASED 1",
        "timed_out FAILED 1",
        "deleted NEW 0",
        "completed COMPLETED 0",
        "added NEW 0",
        "deleted NEW 0",
    ]


def test_batches_are_told_in_their_order(engine, told):
    jobs = [Job("a", priority=priority) for priority in range(3)]
    engine.add_many(jobs)
    assert engine.lease_many("a", 3, 0) == jobs[::-1]
    engine.complete_many([(jobs[1], b"")])
    assert engine.delete_many([jobs[2], Job("unknown"), jobs[0], jobs[2], jobs[1]]) == 3
    assert stories(told) == [
        *[(job.id, "added") for job in jobs],
        *[(job.id, "leased") for job in jobs[::-1]],
        (jobs[1].id, "completed"),
        *[(job.id, "deleted") for job in (jobs[2], jobs[0], jobs[1])],
    ]


def test_a_run_is_gone_when_it_is_over(engine, told, running):
    call = running(job := Job("a"), 60_000)
    engine.complete(engine.lease("a", 0), b"done")
    assert call.outcome().result == b"done"
    assert kinds(told) == [
        "added NEW 0",
        "leased LEASED 1",
        "completed COMPLETED 1",
        "deleted COMPLETED 1",
    ]
    assert {event.id for event in told} == {job.id}


def test_an_attempt_that_is_left_by_an_exception(engine, told):
    engine.add(Job("a", max_fails=2))
    with pytest.raises(OSError, match="broken"), engine.attempt("a", 0):
        raise OSError("broken")
    assert kinds(told)[2:] == ["failed PENDING 1"]
    assert told[2].reason == b"OSError: broken"


def test_a_result_that_is_forgotten_at_once_is_gone(make_engine):
    engine = make_engine(result_ttl=0)
    told: list[Event] = []
    with engine.observe(told.append):
        engine.add(Job("a"))
        engine.complete(engine.lease("a", 0))
    assert kinds(told)[-2:] == ["completed COMPLETED 1", "expired COMPLETED 1"]


def test_what_is_refused_is_not_told(engine, told):
    job = Job("a")
    with pytest.raises(ValueError, match="item 1"):
        engine.add_many([Job("a"), Job("a", created=ManualClock().now - timedelta(days=9))])
    with pytest.raises(LookupError):
        engine.complete(job)
    assert told == []


def test_what_a_hook_keeps_from_happening_is_not_told(engine, clock, told):
    engine.handle_expire(lambda id: None)
    engine.handle_timeout_attempt(lambda id: None)
    engine.add_many([Job("a", ttl=10), Job("b", ttr=10)])
    engine.lease("b", 0)
    clock.advance(100)
    assert [event.kind for event in told] == ["added", "added", "leased"]


def test_a_hand_off_is_told_after_the_adding(engine, told, blocked):
    call = blocked(engine.lease, "a", 60_000)
    engine.add(job := Job("a"))
    assert call.outcome() == job
    assert kinds(told) == ["added NEW 0", "leased LEASED 1"]


@pytest.mark.needs("adders")
def test_who_waits_for_room_is_told_of_when_it_comes_in(make_engine):
    engine = make_engine(max_jobs=1)
    told: list[Event] = []
    with engine.observe(told.append):
        engine.add(first := Job("a"))
        call = Call(engine.add, second := Job("a"), 60_000)
        wait_until(lambda: engine.stats().blocked == 1, "the blocked adder")
        with pytest.raises(QueueFullError):
            engine.add(Job("b"))
        assert len(told) == 1
        engine.complete(first)
        assert call.outcome() is None
    assert stories(told) == [
        (first.id, "added"),
        (first.id, "completed"),
        (second.id, "added"),
    ]


def test_a_record_made_by_hand_is_told_of_from_its_first_transition(make_engine, harness, told):
    engine = make_engine()
    events: list[Event] = []
    with engine.observe(events.append):
        record = harness.record_by_hand(Job("a"), attempts=2)
        assert engine.registry.add(record)
        engine.start_attempt(record.job)
    assert kinds(events) == ["leased LEASED 3"]
    assert told == [], "it is another engine's"


@pytest.mark.needs("turns")
def test_what_an_observer_does_is_told_in_its_turn(make_engine):
    engine = make_engine()
    told: list[Event] = []

    def work(event: Event) -> None:
        told.append(event)
        if event.kind == EventKind.ADDED:
            engine.start_attempt(event.id)
            engine.complete(event.id)

    with engine.observe(work), engine.observe(told.append):
        engine.add(Job("a"))
    assert [event.kind for event in told] == [
        kind for kind in ("added", "leased", "completed") for _ in range(2)
    ]


@pytest.mark.needs("turns")
def test_a_lease_begins_when_slow_observers_are_done(make_engine, harness, clock):
    engine = make_engine()
    over = Job("a", ttl=1000, created=clock.now - timedelta(seconds=2))
    assert engine.registry.add(harness.record_by_hand(over))
    engine.add(job := Job("b", ttr=100))
    engine.complete(over)  # which expires as soon as somebody looks

    def dawdle(event: Event) -> None:
        if event.kind == EventKind.EXPIRED:
            clock.advance(50)

    with engine.observe(dawdle):
        engine.lease("b", 0)
    assert harness.record(over) is None
    assert engine.explain(job).deadline == clock.now + timedelta(milliseconds=100)


def test_an_observer_that_fails_harms_nobody(engine, told, monkeypatch):
    reported: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(str(what.exc_value)))
    with engine.observe(lambda event: 1 // 0):
        engine.add(Job("a"))
    engine.add(Job("a"))
    assert len(told) == 2
    assert len(reported) == 1
    assert "zero" in reported[0]


def test_observing_ends(engine):
    told: list[Event] = []
    observation = engine.observe(told.append)
    engine.add(Job("a"))
    observation.stop()
    observation.stop()
    engine.add(Job("a"))
    assert len(told) == 1


def test_whom_another_has_stopped_is_told_no_more(engine):
    told: list[Event] = []
    stopped = []
    with engine.observe(lambda event: stopped.pop().stop()):
        stopped.append(engine.observe(told.append))
        engine.add(Job("a"))
    assert told == []


def test_only_what_happens_from_then_on(engine):
    engine.add(job := Job("a"))
    told: list[Event] = []
    with engine.observe(told.append):
        engine.delete(job)
    assert kinds(told) == ["deleted NEW 0"]
    assert told[0].state == State.NEW


def test_not_everything_can_observe(engine):
    with pytest.raises(TypeError, match="callable"):
        engine.observe("no function")
    engine.close()
    with pytest.raises(ClosedError):
        engine.observe(print)
