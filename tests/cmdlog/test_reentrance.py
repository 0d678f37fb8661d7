"""Handlers of signals, finalizers, handlers of logging: any may call a verb amid another.

It works, or raises one clear error; it never waits for itself, and what was acknowledged is there.
"""

import gc
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from jobqueue import ClosedError, Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call
from tests.cmdlog.disk import Disk
from tests.cmdlog.workload import SEGMENT, open_log
from tests.strikes.striker import Striker

GAP = 10_000
SAMPLE = 2
"""Bytecodes of one pair at which the suite calls; with --long it calls at all."""

pytestmark = pytest.mark.skipif(
    sys.gettrace() is not None and sys.version_info < (3, 12), reason="another tracer is at work"
)


class Scene:
    """A log whose next job finds no room, and what was acknowledged."""

    def __init__(self, directory: str, sync: str) -> None:
        self.directory = directory
        self.sync = sync
        self.clock = ManualClock()
        self.c = self.open()
        self.acknowledged: list[Job] = []
        self.paused: set[str] = set()
        journal = self.c._log.journal
        while journal.position < SEGMENT - GAP or journal.end - journal.position > GAP:
            self.add(200)

    def open(self) -> DurableController:
        return open_log(self.directory, self.clock, sync=self.sync)  # type: ignore[arg-type]

    def add(self, size: int = 3000) -> None:
        self.c.add(job := Job("a", bytes(size)))
        self.acknowledged.append(job)

    def pause(self) -> None:
        name = f"q{len(self.paused)}"
        self.c.pause(name)
        self.paused.add(name)

    def lease(self) -> None:
        self.c.lease("a", 0)

    def compact(self) -> None:
        self.c.compact()

    def close(self) -> None:
        self.c.close()

    def check(self) -> None:
        self.c.close()
        self.c.close()
        with self.open() as c:
            c._check()
            assert {job.id for job in self.acknowledged} <= {r.job.id for r in c.registry}
            assert all(c.is_paused(name) for name in self.paused)


VERBS = ("add", "pause", "lease", "compact", "close")


class Caller(Striker):
    """Calls something before the bytecode of that number, in place of raising."""

    def __init__(self, at: int, call: Callable[[], object]) -> None:
        super().__init__(at)
        self.call = call

    def _step(self, code: CodeType, offset: int) -> None:
        self.count += 1
        if self.count == self.at:
            self.where = f"{code.co_qualname}+{offset}"
            tolerant(self.call)


def tolerant(call: Callable[[], object]) -> None:
    """A clear error is an answer, too."""
    try:
        call()
    except (CommandLogError, ClosedError):
        pass


def nested(scene: Scene, outer: str, inner: str, at: int) -> bool:
    """Call one verb amid another, at a bytecode. Returns whether there was that bytecode."""
    caller = Caller(at, getattr(scene, inner))
    with caller.watching():
        tolerant(getattr(scene, outer))
    return caller.done


@pytest.mark.parametrize("sync", ["always", "os"])
@pytest.mark.parametrize("outer", VERBS)
@pytest.mark.parametrize("inner", VERBS)
def test_a_verb_amid_another(sync: str, outer: str, inner: str, rng: random.Random, long: bool):
    points: Iterator[int] = iter(
        range(1, 10**6) if long else sorted(rng.sample(range(1, 80), SAMPLE))
    )
    for at in points:
        with tempfile.TemporaryDirectory() as directory:
            scene = Scene(directory, sync)
            found = Call(nested, scene, outer, inner, at).outcome()
            scene.check()
        if not found:
            return


def test_the_first_change_of_a_log_amid_the_first_change(rng: random.Random, long: bool):
    """There, the log's own thread is started."""
    for at in range(1, 10**6) if long else sorted(rng.sample(range(1, 80), SAMPLE)):
        with tempfile.TemporaryDirectory() as directory:
            c = open_log(directory, ManualClock(), sync="os")  # type: ignore[arg-type]
            jobs = [Job("a"), Job("a")]
            caller = Caller(at, lambda c=c, jobs=jobs: c.add(jobs[0]))

            def watched(c: Any = c, jobs: Any = jobs, caller: Any = caller) -> None:
                with caller.watching():
                    c.add(jobs[1])

            Call(watched).outcome()
            assert c.stats().records == 1 + caller.done
            c.close()
        if not caller.done:
            return


# ---------------------------------------------------------------- where no bytecode of ours runs


class Amid(Disk):
    """Calls something in the midst of one of its calls, as a finalizer or an audit hook may."""

    what = ""
    call: Callable[[], object] = staticmethod(lambda: None)

    def step(self, what: str) -> Any:
        if what == self.what:
            self.what = ""
            tolerant(self.call)
        return super().step(what)


@pytest.mark.parametrize("sync", ["always", "os"])
@pytest.mark.parametrize("inner", ["add", "pause", "compact", "close"])
@pytest.mark.parametrize("what", ["open", "allocate", "sync of the directory", "sync"])
def test_a_verb_amid_a_call_to_the_disk(what: str, inner: str, sync: str):
    def scene() -> None:
        disk, clock = Amid(), ManualClock()
        c = open_log("log", clock, disk, sync=sync)  # type: ignore[arg-type]
        jobs: list[Job] = []

        def add() -> None:
            c.add(job := Job("b", bytes(9000)))
            jobs.append(job)

        calls = {"add": add, "pause": lambda: c.pause("q"), "compact": c.compact, "close": c.close}
        disk.call = calls[inner]
        disk.what = what
        tolerant(lambda: [add() for _ in range(20)])
        c.close()
        c.close()
        with open_log("log", clock, disk) as again:  # type: ignore[arg-type]
            again._check()
            assert {job.id for job in jobs} <= {record.job.id for record in again.registry}

    Call(scene).outcome()


def test_a_handler_of_logging_calls_verbs(tmp_path):
    def scene() -> None:
        with open_log(tmp_path, ManualClock(), sync="always") as c:

            class Busy(logging.Handler):
                def emit(self, record: logging.LogRecord) -> None:
                    tolerant(lambda: c.add(Job("told", bytes(20_000))))
                    tolerant(c.compact)

            logger = logging.getLogger("jobqueue.cmdlog")
            handler = Busy()
            logger.addHandler(handler)
            before = logger.level
            logger.setLevel(logging.DEBUG)
            try:
                for _ in range(20):
                    c.add(Job("a", bytes(20_000)))
                c.compact()
            finally:
                logger.removeHandler(handler)
                logger.setLevel(before)
            assert len(c.jobs("a")) == 20

    Call(scene).outcome()


def test_a_collection_calls_verbs(tmp_path):
    """At each allocation, nearly."""

    def scene() -> None:
        with open_log(tmp_path, ManualClock(), sync="os") as c:
            busy = False

            def collected(phase: str, _: object) -> None:
                nonlocal busy
                if phase == "stop" and not busy:
                    busy = True
                    tolerant(lambda: c.add(Job("gc", bytes(3000))))
                    tolerant(lambda: c.pause("gc"))
                    busy = False

            before = gc.get_threshold()
            gc.callbacks.append(collected)
            gc.set_threshold(1)
            try:
                for _ in range(100):
                    c.add(Job("a", bytes(1000)))
                c.compact()
            finally:
                gc.set_threshold(*before)
                gc.callbacks.remove(collected)
            assert len(c.jobs("a", 0, 1000)) == 100
        ids = {
            record.job.id for record in c.registry
        }  # a thread of the log may have been amid an add
        with open_log(tmp_path, ManualClock()) as c:
            assert {record.job.id for record in c.registry} == ids

    Call(scene).outcome()


# ---------------------------------------------------------------- what is paused


class Label(str):
    """A name whose text is another."""

    __slots__ = ()

    def __str__(self) -> str:
        return "the mail queue \U0001f4e8"


def test_the_name_that_was_read_is_the_one_that_is_kept(tmp_path):
    """The text of the object was noted, and a log could never be opened again."""
    with open_log(tmp_path, ManualClock()) as c:
        c.add(Job("mail"))
        c.pause(Label("mail"))
        c.pause(Label("sms"))
        c.resume(Label("sms"))
    with open_log(tmp_path, ManualClock()) as c:
        assert c.queue_stats("mail").paused
        assert not c.queue_stats("sms").paused
        assert c.names() == ["mail"]
