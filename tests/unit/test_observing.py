"""observe() and explain(): what is told of each transition, and in which order."""

import gc
import sys
import threading
import weakref
from datetime import timedelta

import pytest

from jobqueue import Controller, Job, NotFoundError, QueueController, State
from jobqueue.observing import Event, EventKind
from jobqueue.testing import ManualClock
from tests.plain import Queues
from tests.waiting import Call, wait_until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["embedded", "custom"])
def engine(request, clock):
    queues = Queues() if request.param == "custom" else None
    with Controller(queues=queues, clock=clock, history=4) as made:
        yield made
        made._check()


@pytest.fixture
def told(engine):
    events: list[Event] = []
    with engine.observe(events.append):
        yield events


def kinds(events: list[Event]) -> list[str]:
    return [f"{event.kind} {event.state.name} {event.attempt}" for event in events]


def test_a_life_with_everything_in_it(engine, clock, told) -> None:
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


def test_ends(engine, told) -> None:
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


def test_a_result_that_is_forgotten_at_once_is_gone(clock) -> None:
    told: list[Event] = []
    with Controller(clock=clock, result_ttl=0) as c, c.observe(told.append):
        c.add(Job("a"))
        c.complete(c.lease("a", 0))
    assert kinds(told)[-2:] == ["completed COMPLETED 1", "expired COMPLETED 1"]


def test_what_is_refused_is_not_told(engine, told) -> None:
    job = Job("a")
    with pytest.raises(ValueError, match="item 1"):
        engine.add_many([Job("a"), Job("a", created=ManualClock().now - timedelta(days=9))])
    with pytest.raises(LookupError):
        engine.complete(job)
    assert told == []


def test_a_hand_off_is_told_after_the_adding(engine, told) -> None:
    call = Call(engine.lease, "a", 60_000)
    wait_until(lambda: engine.stats().waiting == 1, "the blocked leaser")
    engine.add(job := Job("a"))
    assert call.outcome() == job
    assert kinds(told) == ["added NEW 0", "leased LEASED 1"]


def test_what_an_observer_does_is_told_in_its_turn(engine) -> None:
    if not isinstance(engine.queues, QueueController):
        pytest.skip("over foreign queues an observer is told while the verb is still under way")
    told: list[Event] = []

    def work(event: Event) -> None:
        told.append(event)
        if event.kind == EventKind.ADDED:
            engine.lease("a", 0)
            engine.complete(event.id)

    with engine.observe(work), engine.observe(told.append):
        engine.add(Job("a"))
    assert [event.kind for event in told] == [
        kind for kind in ("added", "leased", "completed") for _ in range(2)
    ]


def test_an_observer_that_fails_harms_nobody(engine, told, monkeypatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(str(what.exc_value)))
    with engine.observe(lambda event: 1 // 0):
        engine.add(Job("a"))
    engine.add(Job("a"))
    assert len(told) == 2
    assert len(reported) == 1
    assert "zero" in reported[0]
    with pytest.raises(TypeError, match="callable"):
        engine.observe("no function")


def test_observing_ends(engine) -> None:
    told: list[Event] = []
    observation = engine.observe(told.append)
    engine.add(Job("a"))
    observation.stop()
    observation.stop()
    engine.add(Job("a"))
    assert len(told) == 1


@pytest.mark.parametrize("stopped", [True, False])
def test_nothing_keeps_a_controller_that_was_observed(stopped: bool) -> None:
    gc.collect()
    gc.disable()  # no cycle leads to it, so that its timer thread ends with it
    try:
        c = Controller()
        observation = c.observe(lambda event: None)
        c.add(Job("a"))
        if stopped:
            observation.stop()
        gone = weakref.ref(c)
        del c
        wait_until(lambda: gone() is None, "the end of the controller")
        observation.stop()
    finally:
        gc.enable()


def test_threads_are_told_of_in_order() -> None:
    """Each job's events come in the order of its life, whoever tells them."""
    lives: dict[object, list[EventKind]] = {}
    telling = threading.Lock()

    def note(event: Event) -> None:
        assert telling.acquire(blocking=False), "two threads tell at once"
        lives.setdefault(event.id, []).append(event.kind)
        telling.release()

    with Controller() as c, c.observe(note):

        def live() -> None:
            for _ in range(200):
                c.add(Job("a"))
                job = c.lease("a", 60_000)
                c.complete(job)
                c.delete(job)

        for call in [Call(live) for _ in range(4)]:
            assert call.outcome() is None
        wait_until(lambda: sum(map(len, lives.values())) == 3200, "the last event")
    assert set(map(tuple, lives.values())) == {("added", "leased", "completed", "deleted")}


def test_explain_who_waits(engine, clock) -> None:
    jobs = [Job("a", max_attempts=5, max_fails=3) for _ in range(3)]
    engine.add_many(jobs)
    engine.pause("a")
    found = engine.explain(jobs[2])
    assert (found.state, found.ahead, found.paused) == (State.NEW, 2, True)
    assert (found.attempt, found.attempts_left, found.fails_left) == (0, 5, 2)
    assert (found.due, found.deadline) == (None, None)
    assert found.expires == clock.now + timedelta(days=1)
    assert "2 jobs are before it, and its queue is paused" in str(found)


def test_explain_who_runs_and_who_is_late(engine, clock) -> None:
    engine.add(job := Job("a", ttr=60_000, max_fails=2))
    engine.lease("a", 0)
    found = engine.explain(job)
    assert (found.state, found.ahead, found.attempt) == (State.LEASED, None, 1)
    assert found.deadline == clock.now + timedelta(minutes=1)
    assert "a worker has it under attempt 1 until 2026-01-01 00:01:00 UTC" in str(found)
    engine.fail(job, b"locked", delay=5000)
    found = engine.explain(job)
    assert (found.due, found.ahead) == (clock.now + timedelta(seconds=5), 0)
    assert found.reason == b"locked"
    assert "Its last failure: b'locked'." in str(found)
    assert "it waits for its time, 2026-01-01 00:00:05 UTC" in str(found)


def test_explain_who_ended(engine) -> None:
    engine.add(job := Job("a"))
    engine.lease("a", 0)
    engine.complete(job)
    assert "is COMPLETED: it ended after 1 attempts" in str(engine.explain(job))
    engine.delete(job)
    with pytest.raises(NotFoundError):
        engine.explain(job)


def test_the_history_keeps_the_last_transitions(engine) -> None:
    engine.add(job := Job("a"))
    assert kinds(engine.explain(job).history) == ["added NEW 0"]
    for _ in range(5):
        engine.lease("a", 0)
        engine.release(job)
    assert kinds(engine.explain(job).history) == [
        "leased LEASED 4",
        "released PENDING 4",
        "leased LEASED 5",
        "released PENDING 5",
    ]


def test_no_history_unless_it_is_asked_for(clock) -> None:
    with Controller(clock=clock) as c:
        c.add(job := Job("a"))
        assert c.explain(job).history == ()
    with pytest.raises(ValueError, match="history"):
        Controller(history=-1)


def test_places_in_a_long_line(engine, rng) -> None:
    jobs = [Job("a", priority=rng.randrange(5)) for _ in range(300)]
    engine.add_many(jobs)
    for place, job in list(enumerate(engine.jobs("a")))[::37]:
        assert engine.explain(job).ahead == place
