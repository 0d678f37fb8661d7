"""The collector runs strangers' code wherever an object is made: finalisers, callbacks of weak
references, gc.callbacks. Such code may call every verb of the controller in whose call it runs.

Here a callback of the collector does, at the first collection within a call, then at the second,
and so on, until the call makes no more. On CPython 3.11 the collector runs within the allocation
itself, in the midst of native code; from 3.12 on between two bytecodes, so that there these tests
reach less.
"""

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import Controller, Inspector, Job, JobQueueError, QueueOutOfSyncError
from jobqueue.aio import Controller as AioController
from jobqueue.observing import Event, EventKind
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues

MANY = 12


class Calm(Queues):
    """Foreign queues in whose own methods the collector does not run: they are written in Python,
    and what strikes within them is theirs to bear."""


def calm(name: str) -> Callable[..., Any]:
    plain = getattr(Queues, name)

    def call(self: Calm, *arguments: Any) -> Any:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return plain(self, *arguments)
        finally:
            if enabled:
                gc.enable()

    return call


for _name in ("add", "run", "schedule", "delete", "awake", "exists", "lease"):
    setattr(Calm, _name, calm(_name))


class World:
    """A controller with jobs in every state, somebody who observes it, and its clock."""

    def __init__(self, kind: str) -> None:
        self.clock = ManualClock()
        self.c = Controller(
            queues=Calm() if kind == "foreign" else None, clock=self.clock, history=32
        )
        self.told: list[Event] = []
        self.observation = self.c.observe(self.told.append)
        c = self.c
        self.ready = [Job("a", max_fails=255) for _ in range(3)]
        c.add_many(self.ready)
        for _ in range(6):
            c.fail(self.ready[0], b"why" * 30)
        c.add(Job("l"))
        self.leased = c.lease("l", 0)
        c.add(dead := Job("d", max_attempts=1))
        c.fail(c.lease("d", 0), b"dead")
        self.dead = dead
        self.soon = Job("s", time=self.clock.now + timedelta(seconds=5))
        c.schedule(self.soon)
        c.add(done := Job("r"))
        c.complete(done, b"result")
        self.done = done
        self.stopped = False
        self.refused = 0

    def check(self) -> None:
        """Invariants, books, and that the observer heard of everything once."""
        self.c._check()
        if self.c.queues is not None and isinstance(self.c.queues, Calm):
            self.check_queues(self.c.queues)
        if self.stopped:
            return
        self.c.names()  # tells what is left
        stats = self.c.stats()
        kinds = Counter(event.kind for event in self.told)
        ends = Counter(event.state.name for event in self.told if event.kind in FAILING)
        added = stats.added + self.refused  # those were told of, and taken back
        assert kinds[EventKind.ADDED] + kinds[EventKind.SCHEDULED] == added
        assert kinds[EventKind.LEASED] - kinds[EventKind.UNDONE] == stats.leased
        assert kinds[EventKind.COMPLETED] == stats.completed
        assert ends["FAILED"] == stats.failed
        assert kinds[EventKind.KICKED] == stats.kicked
        assert kinds[EventKind.CANCELLED] == stats.cancelled
        assert added - kinds[EventKind.DELETED] - kinds[EventKind.EXPIRED] == stats.records
        lives: dict[Any, list[Event]] = {}
        for event in self.told:
            lives.setdefault(event.id, []).append(event)
        for id, life in lives.items():
            gone = [event for event in life if event.kind in ("deleted", "expired")]
            assert len(gone) == (id not in self.c.registry), "gone once, and then for good"
            if gone:
                assert life[-1] is gone[0]

    def check_queues(self, queues: Calm) -> None:
        """What is in line is ready, and the other way round."""
        for record in self.c.registry:
            job = record.job
            assert job is not None
            waits = not record.running() and not record.processed() and job != self.soon
            if waits and not self.c._waits_for_time(job):  # type: ignore[attr-defined]
                assert queues.exists(job), (job, record)
            if record.running() or record.processed():
                assert not queues.exists(job), (job, record)
        for queue in queues._queues.values():
            for job in queue.ready_jobs():
                assert job in self.c.registry


FAILING = (EventKind.FAILED, EventKind.TIMED_OUT, EventKind.EXHAUSTED, EventKind.CANCELLED)


def lease(w: World, name: str = "a") -> Job:
    return w.c.lease(name, 0)


def walk(w: World) -> None:
    for iterator in Inspector(w.c.queues.queue("a")).iterators():
        list(iterator)


def run(w: World) -> None:
    w.c.run(Job("run"), 0)


# What is called.
CALLS: dict[str, Callable[[World], object]] = {
    "add": lambda w: w.c.add(Job("a")),
    "add, a new name": lambda w: w.c.add(Job("fresh")),
    "add, a key": lambda w: w.c.add(Job("a", unique=b"k")),
    "schedule": lambda w: w.c.schedule(Job("s", time=w.clock.now + timedelta(seconds=1))),
    "add_many": lambda w: w.c.add_many([Job("a") for _ in range(MANY)]),
    "add_many, new names": lambda w: w.c.add_many([Job(f"n{i}") for i in range(MANY)]),
    "lease": lease,
    "lease of several names": lambda w: w.c.lease(["a", "l", "s"], 0),
    "lease_many": lambda w: w.c.lease_many(["a", "x"], 9, 0),
    "complete": lambda w: w.c.complete(w.leased, b"x"),
    "complete_many": lambda w: w.c.complete_many([(job, b"x") for job in w.ready]),
    "fail": lambda w: w.c.fail(w.ready[0], b"why"),
    "fail, later": lambda w: w.c.fail(w.ready[0], b"why", delay=5),
    "touch": lambda w: w.c.touch(w.leased),
    "release": lambda w: w.c.release(w.leased),
    "kick": lambda w: w.c.kick(w.dead),
    "cancel": lambda w: w.c.cancel(w.ready[0], b"why"),
    "delete": lambda w: w.c.delete(w.ready[0]),
    "delete_many": lambda w: w.c.delete_many([job.id for job in w.ready]),
    "expire": lambda w: w.c.expire(w.ready[1]),
    "timeout_attempt": lambda w: w.c.timeout_attempt(w.leased),
    "run": run,
    "result": lambda w: w.c.result(w.done, 0),
    "explain": lambda w: str(w.c.explain(w.ready[0].id)),
    "jobs": lambda w: w.c.jobs("a"),
    "peek": lambda w: w.c.peek("a"),
    "scheduled_jobs": lambda w: w.c.scheduled_jobs("s"),
    "dead": lambda w: w.c.dead("d"),
    "names": lambda w: w.c.names(),
    "stats": lambda w: w.c.stats(),
    "queue_stats": lambda w: w.c.queue_stats("a"),
    "limit": lambda w: w.c.limit("a", max_jobs=100),
    "pause": lambda w: w.c.pause("a"),
    "resume": lambda w: w.c.resume("a"),
    "advance": lambda w: w.clock.advance(120_000),
    "the registry": lambda w: [(record.state, record.timers) for record in w.c.registry],
    "an iterator": walk,
    "observe": lambda w: w.c.observe(print).stop(),
}


def grow(w: World) -> None:
    """The ring of the history grows, and is freed where it was."""
    for _ in range(40):
        w.c.fail(w.ready[0], b"new")


def stop(w: World) -> None:
    w.observation.stop()
    w.stopped = True


# What the collector does within.
DEEDS: dict[str, Callable[[World], object]] = {
    "adds": lambda w: w.c.add_many([Job("a") for _ in range(3)]),
    "deletes": lambda w: w.c.delete_many([*w.ready, w.leased, w.dead]),
    "fails": grow,
    "leases": lambda w: w.c.lease_many("a", 5, 0),
    "looks": lambda w: (w.c.jobs("a"), w.c.explain(w.ready[0]), w.c.stats()),
    "stops observing": stop,
    "lets time pass": lambda w: w.clock.advance(90_000),
}

FOREIGN_CANNOT = ("limit", "an iterator")


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """Nothing of before is looked at by the collector, and no tuple comes from a free list."""
    before = gc.get_threshold()
    held = [[(i,) * size for i in range(2100)] for size in range(1, 20)]
    gc.collect()
    gc.freeze()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    del held


def collected(w: World, turn: int, call: Callable[[World], object], deed: Any) -> bool:
    """Call, and let the collector do something the turn-th time. False: it ran less often."""
    seen = 0

    def act(phase: str, _: object) -> None:
        nonlocal seen
        if phase == "start":
            seen += 1
            if seen == turn:
                try:
                    deed(w)
                except JobQueueError:
                    pass  # another has ended the job, say

    gc.collect()
    held = [(i,) * size for size in range(1, 20) for i in range(20)]
    gc.callbacks.append(act)
    gc.set_threshold(1)
    try:
        call(w)
    except QueueOutOfSyncError:  # the collector put it in line before its own verb did
        w.refused += 1
    except JobQueueError:
        pass  # the collector has ended the job, say
    finally:
        gc.set_threshold(100_000)
        gc.callbacks.remove(act)
    del held
    return seen >= turn


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", ["native", "foreign"])
def test_the_collector_calls_verbs_within_verbs(
    kind: str, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: raised.append(what.exc_value))
    reached = 0
    for name, call in CALLS.items():
        if kind == "foreign" and name in FOREIGN_CANNOT:
            continue
        for turn in range(1, 60):
            w = World(kind)
            again = collected(w, turn, call, DEEDS[deed])
            reached += again
            w.check()
            assert not raised, (name, turn)
            w.c.close()
            if not again:
                break
    assert reached > len(CALLS), "the collector hardly ran"


def test_the_collector_calls_verbs_within_a_task() -> None:
    async def live(turn: int) -> bool:
        async with AioController(history=8) as c:
            told: list[Event] = []
            c.observe(told.append)
            added: list[Job] = []
            seen = 0

            def act(phase: str, _: object) -> None:
                nonlocal seen
                if phase == "start":
                    seen += 1
                    if seen % 5 == turn:
                        added.append(job := Job("a"))
                        c.add(job)

            gc.callbacks.append(act)
            gc.set_threshold(1)
            try:
                waiting = asyncio.ensure_future(c.lease("b", 60_000))
                await asyncio.sleep(0)
                c.add(Job("b"))
                job = await waiting
                running = asyncio.ensure_future(c.run(Job("run"), 60_000))
                await asyncio.sleep(0)
                c.complete(await c.lease("run", 60_000), b"ran")
                assert (await running).result == b"ran"
                c.complete(job)
                c.add_many([Job("c") for _ in range(20)])
                await c.lease_many("c", 20, 0)
            finally:
                gc.set_threshold(100_000)
                gc.callbacks.remove(act)
            c.controller._observers.flush(60)  # type: ignore[union-attr]
            heard = Counter(event.id for event in told if event.kind == EventKind.ADDED)
            assert {job.id for job in added} <= set(heard)
            assert set(heard.values()) == {1}
            assert heard.total() == c.stats().added
            c.controller._check()
            return bool(added)

    assert sum(asyncio.run(live(turn)) for turn in range(5)) > 1


def test_a_finaliser_calls_verbs_while_events_are_told() -> None:
    """An observer makes garbage in cycles; its finalisers add jobs, of which it hears too."""
    with Controller(clock=ManualClock()) as c:
        told: list[Event] = []
        final: list[Job] = []

        class Thing:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                if len(final) < 300:
                    final.append(job := Job("b"))
                    c.add(job)

        def observe(event: Event) -> None:
            told.append(event)
            Thing()

        with c.observe(observe):
            gc.set_threshold(1)
            c.add_many([Job("a") for _ in range(200)])
            gc.set_threshold(100_000)
            gc.collect()
        heard = Counter(event.id for event in told)
        assert set(heard.values()) == {1}
        assert {job.id for job in final} <= set(heard)
        assert len(heard) == 200 + len(final)
        c._check()
