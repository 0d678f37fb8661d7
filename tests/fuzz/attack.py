"""One attack: a controller, its parts, and hostile calls at all of them, out of some bytes."""

import gc
import sys
from collections.abc import Callable
from typing import Any

from jobqueue import (
    ID,
    ClosedError,
    Controller,
    Inspector,
    Job,
    QueueController,
    Registry,
    RunRecord,
    TimerWheel,
    WorkQueue,
    validation,
)
from jobqueue.testing import ManualClock
from tests.fuzz.hostile import (
    BrokenError,
    Hostile,
    LyingClock,
    LyingQueues,
    LyingRandom,
    Source,
    value,
)

CALLS = 40
DEPTH = 3
"""How deep hooks and hostile objects call back into the engine."""

# Each verb, how many arguments it takes by position, and those by keyword.
VERBS: dict[str, tuple[int, tuple[str, ...]]] = {
    "add": (1, ()),
    "add_many": (1, ()),
    "schedule": (1, ()),
    "complete": (2, ("attempt",)),
    "complete_many": (1, ()),
    "fail": (2, ("attempt", "delay", "final")),
    "touch": (2, ("attempt",)),
    "release": (2, ("attempt",)),
    "start_attempt": (1, ()),
    "delete": (1, ()),
    "delete_many": (1, ()),
    "expire": (1, ()),
    "timeout_attempt": (1, ()),
    "kick": (1, ()),
    "cancel": (2, ()),
    "dead": (3, ()),
    "peek": (1, ()),
    "jobs": (3, ()),
    "scheduled_jobs": (3, ()),
    "names": (0, ()),
    "stats": (0, ()),
    "pause": (1, ()),
    "resume": (1, ()),
    "handle_expire": (1, ()),
    "handle_timeout_attempt": (1, ()),
    "expire_func": (0, ()),
    "timeout_attempt_func": (0, ()),
}
# These may wait: their timeout is none, or one that is not taken.
WAITING: dict[str, Callable[[Controller, Any, Any], Any]] = {
    "lease": lambda c, a, _: c.lease(a, 0),
    "lease_many": lambda c, a, b: c.lease_many(a, b, 0),
    "attempt": lambda c, a, _: c.attempt(a, 0).__enter__(),
    "result": lambda c, a, _: c.result(a, 0),
    "run": lambda c, a, _: c.run(a, 0),
}
JOB_OPTIONS = (
    *("payload", "id", "priority", "ttr", "ttl", "max_attempts", "max_fails", "time", "created"),
    "unique",
)
VALIDATORS = tuple(name for name in dir(validation) if name.startswith("validate_"))


class Attack:
    """The objects under attack, and what is done to them."""

    def __init__(self, data: bytes) -> None:
        self.source = Source(data)
        self.hostile = Hostile(self.source, self.call_back)
        self.depth = 0
        self.clock: Any = self.source.pick((ManualClock, ManualClock, LyingClock))()
        self.queues = self.source.pick((None, None, QueueController, LyingQueues))
        self.queues = self.queues and self.queues()
        self.jobs = [Job("a"), Job("b", max_attempts=1), Job("a", ttr=1, ttl=5, unique=b"k")]
        self.rng = LyingRandom() if self.source.number(2) else None
        self.engine = Controller(clock=self.clock, queues=self.queues, rng=self.rng)
        self.engine.observe(self.observe)
        self.engine.add_many(self.jobs)
        self.wheel = TimerWheel(0)
        self.queue = WorkQueue()
        self.registry = Registry()
        self.let_loose(self.hostile)

    def value(self) -> Any:
        return value(self.hostile, self.jobs)

    def call_back(self) -> None:
        """What a hostile object does while it is asked: any call."""
        if self.depth < DEPTH:
            self.depth += 1
            try:
                self.call()
            finally:
                self.depth -= 1

    def observe(self, _: object) -> None:
        """An observer that calls back, raises, or ends what observes."""
        match self.source.number(6):
            case 0:
                self.call_back()
            case 1:
                raise BrokenError
            case 2:
                self.engine.observe(lambda _: None).stop()

    def collect(self, phase: str, _: object) -> None:
        """What the collector does wherever an object is made."""
        if phase == "start" and not self.source.is_empty and self.source.number(8) == 0:
            try:
                self.call_back()
            except Exception:  # noqa: BLE001, S110 - a hostile object may raise anything
                pass

    def call(self) -> None:
        """One call of anything."""
        match self.source.number(12):
            case 0:
                self.build()
            case 1:
                getattr(validation, self.source.pick(VALIDATORS))(self.value())
            case 2:
                self.handle_parts()
            case 3 | 4:
                verb = WAITING[self.source.pick(tuple(WAITING))]
                verb(self.engine, self.value(), self.value())
            case 5:
                self.move_clock()
            case _:
                name = self.source.pick(tuple(VERBS))
                count, keywords = VERBS[name]
                arguments = [self.value() for _ in range(count)]
                named = {key: self.value() for key in keywords if self.source.number(3) == 0}
                getattr(self.engine, name)(*arguments, **named)

    def build(self) -> None:
        """A constructor."""
        match self.source.number(5):
            case 0 | 1:
                options = {key: self.value() for key in JOB_OPTIONS if self.source.number(4) == 0}
                self.jobs.append(Job(self.value(), **options))
            case 2:
                self.source.pick((ID, ID.parse))(self.value())
            case 3:
                RunRecord(self.value(), attempts=self.value(), state=self.value())
            case 4:
                options = {"registry": None, "queues": None, "clock": ManualClock(), "rng": None}
                options["result_ttl"] = None
                options[self.source.pick(("registry", "queues", "rng", "result_ttl"))] = (
                    self.value()
                )
                with Controller(**options) as other:
                    other.add(self.source.pick(self.jobs))

    def handle_parts(self) -> None:
        """The parts by themselves."""
        parts = (self.engine.registry, self.registry, self.queue, self.engine.queues, self.wheel)
        part = self.source.pick(parts)
        name = self.source.pick([name for name in dir(part) if not name.startswith("_")])
        member = getattr(part, name)
        if callable(member):
            member(*[self.value() for _ in range(self.source.number(3))])
        ready, _ = Inspector(self.queue).iterators()
        ready.seek(self.value())
        self.source.pick(self.jobs).replace(priority=self.value())

    def move_clock(self) -> None:
        if self.source.number(4):
            self.clock.advance(self.source.pick((0, 1, 5, 10_000)))
        else:
            self.clock.step(self.source.pick((-5000, 5000)))

    def let_loose(self, hostile: Hostile | None) -> None:
        """From here on clock, queues and chance may lie; with None, they tell the truth."""
        for liar in (self.clock, self.queues, self.rng):
            if hasattr(liar, "hostile"):
                liar.hostile = hostile


def attack(data: bytes) -> None:
    """Do as the bytes say; then the engine must be whole, and work."""
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    threshold = gc.get_threshold()
    callbacks = list(gc.callbacks)
    try:
        made = Attack(data)
        if made.source.number(4) == 0:
            gc.callbacks.append(made.collect)
            gc.set_threshold(20)
        for _ in range(CALLS):
            if made.source.is_empty:
                break
            try:
                made.call()
            except Exception:  # noqa: BLE001, S110 - a hostile object may raise anything
                pass
        made.let_loose(None)
        gc.callbacks[:] = callbacks
        check(made)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks[:] = callbacks
        sys.unraisablehook = unraisable


def check(made: Attack) -> None:
    """Whole, and it still works."""
    engine = made.engine
    engine._check()
    made.registry._check()
    made.queue._check()
    made.wheel._check()
    try:
        engine.handle_expire(None)
        engine.handle_timeout_attempt(None)
        engine.resume("still-works")
    except ClosedError:
        return
    job = Job("still-works")
    engine.add(job)
    assert engine.lease("still-works", 0) is job
    engine.complete(job, b"yes")
    assert engine.result(job, 0).result == b"yes"
    engine.delete(job)
    engine._check()
    engine.close()
