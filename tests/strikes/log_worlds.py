"""Logs to be struck where they grow, switch, sync, compact and close; what must be left of them."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing.waiting import wait_until
from tests.strikes.deeds import deed
from tests.strikes.worlds import WORLDS, Durable, World

SEGMENT = 64 << 10
GAP = 10_000
"""Bytes that are left where the next job finds no more room; the margin is 8192."""


def ids_of(c: Any) -> set[Any]:
    return {record.job.id for record in c.registry}


class Log(Durable):
    """A log with small segments. What it acknowledged is in ``kept["acknowledged"]``."""

    options: dict[str, Any] = {"sync": "os", "segment_size": SEGMENT}  # noqa: RUF012 - as Durable

    def check(self) -> None:
        self.rest()
        self.check_copy()
        if not self.c.closed:
            self.check_whole()
            self.check_books()
            self.c.add(Job("after"))
        self.c.close()
        self.c.close()
        self.check_closed()
        self.directory.cleanup()

    @property
    def acknowledged(self) -> set[Any]:
        return {job.id for job in self.kept.get("acknowledged", ())}

    def check_copy(self) -> None:
        """After kill -9 at this moment all that was acknowledged would be there."""
        with tempfile.TemporaryDirectory() as copy:
            wait_until(lambda: self.copied(Path(copy)), "files that nobody changes")
            with DurableController(copy, clock=self.clock, **self.options) as c:
                c._check()
                assert self.acknowledged <= ids_of(c)

    def copied(self, copy: Path) -> bool:
        """Copy the files as they are; False: a compaction removed one meanwhile."""
        for path in copy.iterdir():
            path.unlink()
        try:
            for path in Path(self.directory.name).iterdir():
                if path.name != "lock":
                    shutil.copy(path, copy)
        except FileNotFoundError:
            return False
        return True

    def check_closed(self) -> None:
        """The lock is free, no draft is left, and all is there."""
        with self.open() as c:
            c._check()
            assert self.acknowledged <= ids_of(c)
            assert not list(Path(self.directory.name).glob("*.tmp"))
            c.add(Job("after"))
        assert not self.c._log.segments.is_kept


class SyncedLog(Log):
    """Each call waits for the disk."""

    options = {"sync": "always", "segment_size": SEGMENT}  # noqa: RUF012


class BoundedLog(Log):
    """So near its bound that the next job waits for a compaction."""

    options = {  # noqa: RUF012
        "sync": "os",
        "segment_size": 4 * SEGMENT,
        "max_log_bytes": 200_000,
    }


LOGS = ("log", "log, always")
WORLDS |= {"log": Log, "log, always": SyncedLog, "log, bounded": BoundedLog}


def filled(w: World) -> None:
    """Jobs were acknowledged, and the segment has hardly any room left."""
    add_until(w, lambda journal: journal.end - journal.position < GAP)


def nearly_whole(w: World) -> None:
    """The segment itself is nearly full: the next job begins another."""
    add_until(w, lambda journal: journal.position > SEGMENT - GAP)


def add_until(w: World, done: Any) -> None:
    jobs = w.kept["acknowledged"] = []
    journal = w.c._log.journal
    while not done(journal):
        w.c.add(job := Job("a", bytes(500)))
        jobs.append(job)


@deed(*LOGS, scene=filled)
def add_that_extends(w: World) -> None:
    w.c.add(job := Job("a", bytes(3000)))
    w.kept["acknowledged"].append(job)


@deed(*LOGS, scene=nearly_whole)
def add_that_begins_a_segment(w: World) -> None:
    w.c.add(job := Job("a", bytes(3000)))
    w.kept["acknowledged"].append(job)


@deed("log", scene=nearly_whole)
def add_many_that_begins_a_segment(w: World) -> None:
    w.c.add_many(jobs := [Job("a", bytes(3000)) for _ in range(4)])
    w.kept["acknowledged"] += jobs


@deed(*LOGS, scene=filled)
def compact(w: World) -> None:
    w.c.compact()


@deed(*LOGS, scene=filled)
def close_a_log(w: World) -> None:
    w.c.close()


@deed("log", scene=filled)
def close_amid_a_second_close(w: World) -> None:
    w.c.close()
    w.c.close()


@deed(*LOGS, scene=filled)
def pause_a_queue(w: World) -> None:
    w.c.pause("a")
    w.c.resume("a")


@deed("log, bounded")
def add_at_the_bound(w: World) -> None:
    jobs = [Job("a", bytes(20_000)) for _ in range(12)]
    for job in jobs:
        w.c.add(job)
        w.c.delete(job)


@deed("log")
def open_and_close(w: World) -> None:
    with tempfile.TemporaryDirectory() as path:
        try:
            with DurableController(path, clock=w.clock, **w.options) as c:  # type: ignore[attr-defined]
                c.add(Job("a"))
        except CommandLogError as error:
            raise AssertionError("it was free") from error
