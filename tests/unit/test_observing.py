"""Observers and histories of the real engine: what the conformance suite does not see."""

import gc
import threading
import weakref
from datetime import timedelta

import pytest

from jobqueue import Controller, Job
from jobqueue.observing import Event, EventKind
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until


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


def test_one_comes_while_the_last_goes() -> None:
    told: list[Event] = []
    calls: list[Call] = []

    class Slow(Controller):
        def _tell(self, notifier: object) -> None:
            if notifier is None:
                calls.append(Call(self.observe, told.append))
                threading.Event().wait(0.05)  # enough for it to come between, if it can
            super()._tell(notifier)  # type: ignore[arg-type]

    with Slow() as c:
        c.observe(print).stop()
        calls[0].outcome()
        c.add(Job("a"))
        wait_until(lambda: told, "the event")


def test_a_job_that_no_controller_was_given_is_not_told_of() -> None:
    clock = ManualClock()
    told: list[Event] = []
    with Controller(clock=clock) as c, c.observe(told.append):
        c.queues.schedule(Job("a", time=clock.now + timedelta(seconds=1)))
        clock.advance(1000)
        assert len(c.queues.queue("a")) == 1
    assert told == []


def test_who_comes_back_by_hand_has_no_end_in_its_history() -> None:
    with Controller(clock=ManualClock(), history=4) as c:
        c.add(job := Job("a"))
        record = c.registry.record(job)
        c.delete(job)
        assert record is not None
        assert c.registry.add(record)
        assert [event.kind for event in c.explain(job).history] == ["added"]
