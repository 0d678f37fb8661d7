"""One log, a child that works on it until it is killed, and what must be there afterwards.

The child is forked from a warm parent. Each of its threads adds jobs, leases them, completes and
deletes them, and writes a line to a pipe before a call (what may happen) and after it (what did).
"""

import os
import random
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

from jobqueue import Job, NotFoundError, State, WaitTimeoutError
from jobqueue.cmdlog import DurableController

THREADS = 3
SEGMENT = 64 << 10
ID_SIZE = 16
LINE = 2 + ID_SIZE
"""Bytes of an acknowledgement: the verb in both forms, then the id."""


def work(controller: DurableController, pipe: int, seed: str) -> None:
    """What one thread of the child does, without an end."""
    rng = random.Random(seed)
    name = seed.rpartition(" ")[2]

    def tell(mark: bytes, job: Job) -> None:
        os.write(pipe, mark + bytes(job.id))  # short: whole, or not at all

    while True:
        job = Job(name, rng.randbytes(rng.choice([10, 300, 3000])))
        tell(b"a?", job)
        controller.add(job)
        tell(b"a!", job)
        if rng.random() < 0.2:
            continue
        try:
            job = controller.lease(name, 0)
        except WaitTimeoutError:
            continue
        tell(b"l!", job)
        if rng.random() < 0.1:
            continue
        tell(b"c?", job)
        controller.complete(job, b"done")
        tell(b"c!", job)
        if rng.random() < 0.9:
            tell(b"d?", job)
            controller.delete(job)
            tell(b"d!", job)


def child(path: Path, sync: str, pipe: int, seed: str) -> None:
    """Open the log and work until somebody kills this process."""
    controller = DurableController(path, sync=sync, segment_size=SEGMENT)  # type: ignore[arg-type]
    os.write(pipe, b"o!" + bytes(ID_SIZE))
    for number in range(1, THREADS):
        threading.Thread(
            target=work, args=(controller, pipe, f"{seed} {number}"), daemon=True
        ).start()
    work(controller, pipe, f"{seed} 0")


@dataclass
class Book:
    """What was acknowledged of each job, by all the cycles: the last verb, "?" or "!"."""

    told: dict[bytes, str] = field(default_factory=dict)
    calls: int = 0

    def read(self, data: bytes) -> None:
        """Take in what a child wrote."""
        for at in range(0, len(data) - LINE + 1, LINE):
            mark, job = data[at : at + 2].decode(), data[at + 2 : at + LINE]
            if mark != "o!":
                self.told[job] = mark
                self.calls += mark[1] == "!"

    def check(self, controller: DurableController) -> None:
        """All that was acknowledged is there, and nothing else; begun calls may be or not.

        Then the book is as the log is, so that the next cycle goes on from there.
        """
        known = {bytes(record.job.id): record.state for record in controller.registry}
        strange = known.keys() - self.told.keys()
        assert not strange, f"{len(strange)} jobs that nobody added"
        for job, mark in self.told.items():
            state = known.get(job)
            assert state in ALLOWED[mark], f"{job.hex()}: {mark}, and it is {state!r}"
        self.told = {
            job: "c!" if state == State.COMPLETED else "l!" if state == State.LEASED else "a!"
            for job, state in known.items()
        }


WAITS = {State.NEW, State.PENDING, State.LEASED}
"""What a job may be that nobody was told the end of: a lease is told of after it happened."""
ALLOWED: dict[str, set[State | None]] = {
    "a?": {None, State.NEW},
    "a!": {*WAITS},
    "l!": {State.LEASED, State.PENDING},
    "c?": {State.LEASED, State.PENDING, State.COMPLETED},
    "c!": {State.COMPLETED},
    "d?": {State.COMPLETED, None},
    "d!": {None},
}


def drain(pipe: int) -> bytes:
    """All that is in a pipe that nobody writes to any more."""
    parts = []
    while part := os.read(pipe, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def cycle(path: Path, sync: str, book: Book, rng: random.Random) -> None:
    """Fork, let it work, kill it, open the log again and compare."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            child(path, sync, writer, f"{rng.random()}")
        finally:
            os._exit(3)  # it never ends by itself
    os.close(writer)
    data = b""
    wanted = rng.randrange(1, 500) * LINE  # so much is read, then it is killed wherever it is
    try:
        while len(data) < wanted:
            part = os.read(reader, 1 << 12)
            assert part, "the child ended by itself: it could not open the log, or a call failed"
            data += part
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    data += drain(reader)
    os.close(reader)
    book.read(data)
    with DurableController(path, sync=sync, segment_size=SEGMENT) as controller:  # type: ignore[arg-type]
        controller._check()
        book.check(controller)
        if len(book.told) > 300:  # so that a cycle stays short
            for job in list(book.told):
                try:
                    controller.delete(job)
                except NotFoundError:
                    pass
            book.told.clear()
