"""Engines to be struck, and what must hold of each afterwards, wherever it was.

A world is one engine with what belongs to it. ``check`` is told nothing of what was struck: its
rules hold after any call, finished or not.
"""

import asyncio
import gc
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from jobqueue import Controller, Job, JobQueueError, State, WaitTimeoutError, aio
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)
LONG = timedelta(days=40)
"""Longer than any TTL."""
PATIENCE_S = 10.0
MEMORY = Path("/dev/shm")  # noqa: S108 - below it, names are drawn
"""A file system in memory, where there is one: thousands of logs are made, and none outlives us."""
UNPROCESSED = (State.NEW, State.PENDING)


class World:
    """An engine on a clock that is moved by hand, or on the system's (``threaded``)."""

    threaded = False

    def __init__(self) -> None:
        self.clock = None if self.threaded else ManualClock()
        self.calls: list[Call] = []
        self.kept: dict[str, Any] = {}  # what a deed leaves for its check
        self.engine: Any = self.make()

    def make(self) -> Any:
        """A fresh engine."""
        return Controller(clock=self.clock)

    @property
    def c(self) -> Any:
        """The controller for threads."""
        return self.engine

    def now(self) -> datetime:
        """The wall time of its clock."""
        return datetime.now(UTC) if self.clock is None else self.clock.now

    def blocked(self, function: Callable[..., Any], *args: Any) -> Call:
        """Start a call that waits in another thread, and return once it does."""
        before = self.c.stats().waiting
        call = Call(function, *args)
        self.calls.append(call)
        wait_until(lambda: self.c.stats().waiting > before, "the blocked leaser")
        return call

    def do(self, deed: Callable[["World"], object]) -> None:
        """Do what is to be struck."""
        deed(self)

    def rest(self) -> None:
        """Let what the deed set going come to its end."""

    # ------------------------------------------------------------ what must hold

    def check(self) -> None:
        """Fail unless the engine is whole, at work, and can be closed."""
        self.rest()
        if not self.c.closed:
            self.check_whole()
            self.check_books()
            self.check_hand_off()
            self.check_timers()
        self.check_close()

    def check_whole(self) -> None:
        self.c._check()

    def check_books(self) -> None:
        """Each job is in one place, and what is leased will be timed out."""
        c = self.c
        stats = c.stats()
        records = list(c.registry)
        assert stats.records == len(records)
        assert stats.running == sum(record.running() for record in records)
        names = {record.job.name for record in records}
        ready = [job for name in names for job in c.jobs(name)]
        later = [job for name in names for job in c.scheduled_jobs(name)]
        line = ready + later
        assert len(set(line)) == len(line), "a job stands in line twice"
        assert (stats.ready, stats.scheduled) == (len(ready), len(later))
        for record in records:
            ttr = record.timers[0]
            armed = ttr is not None and not ttr.fired and not ttr.cancelled
            assert armed == record.running(), (record, ttr)
            assert (record.job in line) == (record.state in UNPROCESSED), record

    def check_hand_off(self) -> None:
        """A blocked leaser gets a job, and its result reaches who waits for that."""
        leaser = Call(self.c.lease, "check", 60_000)
        self.calls.append(leaser)
        # By its name: without a GIL, who was struck as a wait began is counted until its time-out.
        wait_until(lambda: "check" in self.c._names_waited_for(9), "the blocked leaser")
        self.c.add(job := Job("check"))
        assert leaser.outcome() == job
        asker = Call(self.c.result, job, 60_000)
        self.c.complete(job, b"done")
        assert asker.outcome().result == b"done"
        self.c.delete(job)

    def check_timers(self) -> None:
        """What is due happens, though nobody asks."""
        if self.clock is not None:
            self.clock.advance(LONG)
            assert self.c.stats().records == 0, list(self.c.registry)
            return
        self.c.add(job := Job("check", ttl=1))
        wait_until(lambda: job not in self.c.jobs("check"), "the timer thread")

    def check_close(self) -> None:
        """It closes, wakes who waits, and a second close finishes the first."""
        self.c.close()
        self.c.close()
        assert self.c.closed
        for call in self.calls:
            try:
                call.outcome()
            except (JobQueueError, WaitTimeoutError):
                pass
        try:
            self.c.stats()
        except JobQueueError:
            return
        raise AssertionError("a closed controller answers")


class Threaded(World):
    """On the system's clock, with a timer thread."""

    threaded = True


class Foreign(World):
    """Over queues that are a foreign object."""

    def make(self) -> Any:
        return Controller(clock=self.clock, queues=Queues())


class ForeignThreaded(Foreign):
    """The same, with a timer thread."""

    threaded = True


class Awaiting(World):
    """Called by tasks of an event loop, in the thread that is struck."""

    threaded = True

    def make(self) -> Any:
        self.loop = asyncio.new_event_loop()
        return aio.Controller(Controller())

    @property
    def c(self) -> Any:
        return self.engine.controller

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Run to its end, as ``asyncio.run`` does with what a program is."""
        return self.loop.run_until_complete(awaitable)

    def wait(self, task: "asyncio.Task[Any]") -> None:
        """Run until a task has ended."""
        done, _ = self.run(asyncio.wait([task], timeout=PATIENCE_S))
        assert done, "a task never ends"

    def task(self, coroutine: Any) -> "asyncio.Task[Any]":
        """Begin a task, and let it come to where it waits."""
        task = self.loop.create_task(coroutine)
        self.run(asyncio.sleep(0))
        return task

    def rest(self) -> None:
        """Tasks that wait are cancelled; those that were woken, or struck, end by themselves."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            done, pending = self.run(asyncio.wait(tasks, timeout=PATIENCE_S))
            assert not pending, "a task never ends"
            for task in done:
                if not task.cancelled():
                    task.exception()

    def check_close(self) -> None:
        super().check_close()
        self.rest()
        self.loop.close()


class Durable(World):
    """With a command log. After the close it is opened again: what it knew, it still knows."""

    options: ClassVar[dict[str, Any]] = {"sync": "os"}

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        super().__init__()

    def make(self) -> Any:
        """A fresh log: the first is the engine's, others are in directories of their own."""
        path = self.directory.name
        if hasattr(self, "engine"):
            path = tempfile.mkdtemp(dir=path)
        return DurableController(path, clock=self.clock, **self.options)

    def open(self) -> Any:
        """Open the engine's log again."""
        return DurableController(self.directory.name, clock=self.clock, **self.options)

    def state(self) -> dict[Any, Any]:
        """What a log must keep."""
        return {record.job.id: (record.state, record.fails) for record in self.c.registry}

    def check(self) -> None:
        self.rest()
        if not self.c.closed:
            self.check_whole()
            self.check_books()
            self.check_reopened()
            self.check_hand_off()
            self.check_timers()
        self.check_close()
        self.directory.cleanup()

    def check_reopened(self) -> None:
        before = self.state()
        self.c.close()
        self.engine = self.open()
        after = self.state()
        assert after.keys() == before.keys()
        self.check_whole()
        self.check_books()


class DurableThreaded(Durable):
    """The same, with a timer thread, and each call waits for the disk."""

    threaded = True
    options: ClassVar[dict[str, Any]] = {"sync": "always"}


WORLDS: dict[str, type[World]] = {
    "native": World,
    "threaded": Threaded,
    "foreign": Foreign,
    "foreign, threaded": ForeignThreaded,
    "asyncio": Awaiting,
    "durable": Durable,
    "durable, threaded": DurableThreaded,
}


def quiet(_: Any) -> None:
    """sys.unraisablehook for the time of a strike: what it shows would be kept alive."""


def threads_of_package() -> list[threading.Thread]:
    """Timer threads that are alive."""
    return [thread for thread in threading.enumerate() if "jobqueue" in thread.name]


def collected() -> None:
    """What a struck call left behind in cycles is gone."""
    if sys.version_info >= (3, 12):
        gc.collect(0)
