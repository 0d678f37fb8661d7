"""Each allocation of each verb fails in turn: MemoryError, and nothing has changed.

In DEBUG builds every object and every block of the core is asked of Python's allocators, which
_testcapi makes fail; other builds take jobs, records and blocks from chunks of their own.
"""

import itertools
import random
import sys
import sysconfig
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from jobqueue import Controller, Job, RunRecord, State, WorkQueue
from jobqueue.testing import ManualClock
from jobqueue.testing.model import view_of

_testcapi: ModuleType = pytest.importorskip(
    "_testcapi", reason="only _testcapi makes Python's allocators fail"
)
pytestmark = pytest.mark.skipif(
    sys.gettrace() is not None, reason="a tracer asks for memory of its own, within the verbs"
)
QUIET = 30
"""So many allocations that fail after the last that a verb asks for: it has no more."""


def a_job(rng: random.Random, name: str = "a", **options: Any) -> Job:
    return Job(name, id=uuid.UUID(int=rng.getrandbits(128), version=4), **options)


@dataclass
class Scene:
    """An engine with jobs in every state; its tables are full, so that one more makes them grow."""

    c: Controller
    clock: ManualClock
    fresh: list[Job]
    later: Job
    keyed: Job
    leased: Job
    ready: Job
    dead: Job
    scheduled: Job
    record: RunRecord


def scene() -> Scene:
    rng = random.Random(1)
    clock = ManualClock()
    c = Controller(clock=clock, rng=random.Random(2))
    jobs = [a_job(rng, "ab"[n % 2], max_attempts=3, max_fails=3) for n in range(8)]
    c.add_many(jobs)
    leased = c.lease("a", 0)
    c.add(dead := a_job(rng, "dead"))
    c.fail(c.lease("dead", 0), b"why")
    soon = clock.now + timedelta(seconds=5)
    scheduled = a_job(rng, "s", time=soon)
    c.schedule(scheduled)
    c.schedule(a_job(rng, "s", time=soon))
    c.lease("b", 0)
    held = c.registry.record(scheduled)
    assert held is not None
    return Scene(
        c,
        clock,
        fresh=[a_job(rng, "ab"[n % 2]) for n in range(30)],
        later=a_job(rng, "new", time=soon),
        keyed=a_job(rng, "k", unique=b"key"),
        leased=leased,
        ready=c.jobs("a")[0],
        dead=dead,
        scheduled=scheduled,
        record=held,
    )


def lease_in_line(s: Scene) -> None:
    """Stand in line for two names, and leave."""
    waiter = s.c.lease_begin(["x", "y"], 5, None)
    s.c.wait_abandon(waiter)


def lease_handed(s: Scene) -> None:
    """A job comes to a leaser that waits, who leaves without having seen it."""
    waiter = s.c.lease_begin("x", 5, callable)  # a wake-up that needs no memory
    try:
        s.c.add(s.fresh[0].replace(name="x"))
    finally:
        s.c.wait_abandon(waiter)
    s.c.delete(s.fresh[0])


def run_and_leave(s: Scene) -> None:
    s.c.wait_abandon(s.c.run_begin(s.fresh[0], 5, None))


def await_result(s: Scene) -> None:
    s.c.wait_abandon(s.c.result_begin(s.ready, 5, None))


def add_by_hand(s: Scene) -> None:
    if not s.c.registry.add(RunRecord(s.fresh[0], state=State.PENDING)):
        raise AssertionError


def cancel_schedule(s: Scene) -> None:
    timer = s.record.timers[2]
    assert timer is not None
    timer.cancel()


VERBS: dict[str, Callable[[Scene], object]] = {
    "add": lambda s: s.c.add(s.fresh[0]),
    "add, a new name": lambda s: s.c.add(s.later),
    "add, unique": lambda s: s.c.add(s.keyed),
    "add_many": lambda s: s.c.add_many(s.fresh),
    "add_many, new names": lambda s: s.c.add_many([*s.fresh, s.later, s.keyed]),
    "schedule": lambda s: s.c.schedule(s.later),
    "run": run_and_leave,
    "lease": lambda s: s.c.lease("a", 0),
    "lease, any": lambda s: s.c.lease(["a", "b", "x"], 0),
    "lease, in line": lease_in_line,
    "lease, handed": lease_handed,
    "lease_many": lambda s: s.c.lease_many("a", 10, 0),
    "lease_many, any": lambda s: s.c.lease_many(["a", "b"], 10, 0),
    "attempt": lambda s: s.c.attempt("a", 0).__enter__(),
    "start_attempt": lambda s: s.c.start_attempt(s.ready),
    "complete": lambda s: s.c.complete(s.leased, b"result"),
    "complete_many": lambda s: s.c.complete_many([(s.leased, b"1"), (str(s.ready.id), b"2")]),
    "fail": lambda s: s.c.fail(s.leased, b"why"),
    "fail, later": lambda s: s.c.fail(s.leased, b"why", delay=5),
    "timeout_attempt": lambda s: s.c.timeout_attempt(s.leased),
    "touch": lambda s: s.c.touch(s.leased, 5),
    "release": lambda s: s.c.release(s.leased),
    "release, later": lambda s: s.c.release(s.leased, 5),
    "kick": lambda s: s.c.kick(s.dead),
    "cancel": lambda s: s.c.cancel(s.leased, b"why"),
    "expire": lambda s: s.c.expire(s.ready),
    "delete": lambda s: s.c.delete(str(s.ready.id)),
    "delete_many": lambda s: s.c.delete_many([s.ready, str(s.leased.id)]),
    "result": lambda s: s.c.result(s.dead, 0),
    "result, in line": await_result,
    "pause": lambda s: s.c.pause("y"),
    "resume": lambda s: s.c.resume("a"),
    "look": lambda s: (s.c.jobs("a"), s.c.scheduled_jobs("s"), s.c.dead("dead"), s.c.stats()),
    "timer, cancelled": cancel_schedule,
    "record, by hand": add_by_hand,
    "queue, by hand": lambda s: s.c.queues.queue("b").add(s.fresh[0]),
    "queue, by hand, lease": lambda s: s.c.queues.queue("a").lease(),
}


FRUGAL = {
    "lease",
    "start_attempt",
    "complete",
    "fail",
    "timeout_attempt",
    "touch",
    "release",
    "kick",
    "cancel",
    "expire",
    "resume",
    "queue, by hand, lease",
    "record, by hand",
}
"""Verbs that may need no memory."""

LISTS = {
    "lease, in line",
    "lease_many",
    "lease_many, any",
    "attempt",
    "complete_many",
    "delete_many",
}
"""Verbs that make a short list. CPython 3.13 without a GIL crashes by itself where that finds no
memory: PyList_New gives back a list that still holds what it held before."""


class Failing:
    """The allocation with a number fails, counted from the begin of the block."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        _testcapi.set_nomemory(self.number, self.number + 1)

    def __exit__(self, *_: object) -> None:
        _testcapi.remove_mem_hooks()


def outcomes(call: Callable[[Scene], object]) -> Iterator[tuple[Scene, dict[str, Any], bool]]:
    """Scenes after a call of which one allocation more fails each time; what was before; whether
    it raised."""
    quiet = 0
    for number in itertools.count():
        s = scene()
        before = view_of(s.c)
        failed = False
        hook = Failing(number)
        try:
            with hook:
                call(s)
        except MemoryError:
            failed = True
        yield s, before, failed
        s.c._check()
        s.c.close()
        quiet = 0 if failed else quiet + 1
        if quiet == QUIET:
            return


def expected(call: Callable[[Scene], object]) -> dict[str, Any]:
    s = scene()
    call(s)
    after = view_of(s.c)
    s.c.close()
    return after


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_changes_when_an_allocation_fails(verb: str) -> None:
    if verb in LISTS and sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("a list that finds no memory crashes CPython without a GIL")
    call = VERBS[verb]
    after = expected(call)
    failures = 0
    for s, before, failed in outcomes(call):
        if failed:
            failures += 1
            assert view_of(s.c) == before
            call(s)  # once there is memory again, it works
        assert view_of(s.c) == after
    assert failures or verb in FRUGAL


@pytest.mark.parametrize("place", ["add", "schedule"])
def test_a_queue_that_stands_alone(place: str) -> None:
    time = ManualClock().now
    jobs = [Job("a", time=time, priority=n) for n in range(20)]
    failures = 0
    for number in range(20):
        queue = WorkQueue()
        for job in jobs:
            try:
                with Failing(number):
                    getattr(queue, place)(job)
            except MemoryError:
                failures += 1
                assert job not in queue
                getattr(queue, place)(job)
            queue._check()
        assert len(queue) == len(jobs)
    assert failures


@pytest.mark.parametrize("options", [{}, {"unique": b"key"}, {"payload": bytearray(b"x")}])
def test_no_job_is_half_built(options: dict[str, Any]) -> None:
    for number in range(40):
        try:
            with Failing(number):
                job = Job("a", **options)
        except MemoryError:
            continue
        assert job.name == "a"


def test_no_controller_is_half_built() -> None:
    for number in range(80):
        try:
            with Failing(number):
                c = Controller()
        except MemoryError:
            continue
        c.add(Job("a"))
        c.close()
