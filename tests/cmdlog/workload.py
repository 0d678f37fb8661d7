"""Random work for a durable controller, and the state that it leaves behind."""

import hashlib
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from jobqueue import Controller, Job, JobQueueError
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.cmdlog._files import Files
from jobqueue.cmdlog._format import state_bytes
from jobqueue.testing import ManualClock

SEGMENT = 64 << 10
INSTANT = timedelta(microseconds=1)


def digest(controller: Controller, *, settled: bool = True) -> str:
    """A hash of all that must come back; settled: but for deadlines that a start may change."""
    made = hashlib.sha256()
    for part in state_bytes(controller.registry, settled=settled):
        made.update(part)
    for name in sorted(controller.queues.queues()):
        if controller.is_paused(name):
            made.update(name.encode())
        made.update(b"".join(bytes(job.id) for job in controller.jobs(name)))
        made.update(b"".join(bytes(job.id) for job in controller.scheduled_jobs(name)))
    return made.hexdigest()


def open_log(
    path: Path, clock: ManualClock, files: Files | None = None, **options: Any
) -> DurableController:
    """A log that comes back as it was left: leases go on."""
    options = {"sync": "always", "segment_size": SEGMENT, "keep_leases": True} | options
    return DurableController(path, clock=clock, files=files, **options)


class Workload:
    """Calls verbs at random; what each raises, but the log's own errors, is part of life."""

    def __init__(
        self,
        controller: DurableController,
        clock: ManualClock,
        seed: object,
        without: tuple[str, ...] = (),
    ) -> None:
        self.choices = [choice for choice in CHOICES if choice not in without]
        self.controller = controller
        self.clock = clock
        self.rng = random.Random(f"{seed}")
        self.known: list[Job] = []
        self.remembered = 40

    def job(self, **options: Any) -> Job:
        rng = self.rng
        made = Job(
            rng.choice("abc"),
            rng.randbytes(rng.choice([0, 10, 100, 700])),
            id=rng.randbytes(6) + b"\x40" + rng.randbytes(1) + b"\x80" + rng.randbytes(7),
            priority=rng.choice([0, 0, 5, -5]),
            ttr=rng.choice([50, 1000, 60_000]),
            ttl=rng.choice([500, 86_400_000, 86_400_000]),
            max_attempts=rng.choice([0, 1, 2]),
            max_fails=rng.choice([0, 2, 3]),
            unique=rng.choice([None, None, b"key"]),
            **options,
        )
        self.known.append(made)
        del self.known[: -self.remembered]
        return made

    def step(self) -> None:
        """One call, and now and then time passes.

        No two calls are at one instant: leases that end at the same would die in the order in
        which they began, and that is in the log only as long as their ends are.
        """
        self.clock.advance(INSTANT)
        try:
            getattr(self, self.rng.choice(self.choices))()
        except CommandLogError:
            raise
        except JobQueueError:
            pass

    def some(self) -> Job:
        return self.rng.choice(self.known) if self.known else self.job()

    def add(self) -> None:
        self.controller.add(self.job())

    def add_many(self) -> None:
        self.controller.add_many([self.job() for _ in range(self.rng.randrange(6))])

    def schedule(self) -> None:
        later = timedelta(milliseconds=self.rng.randrange(-10, 3000))
        self.controller.schedule(self.job(time=self.clock.now + later))

    def lease(self) -> None:
        self.controller.lease(["a", "b", "c"], 0)

    def lease_many(self) -> None:
        self.controller.lease_many("a", self.rng.randrange(1, 5), 0)

    def complete(self) -> None:
        self.controller.complete(self.some(), self.rng.randbytes(self.rng.choice([0, 20, 500])))

    def complete_many(self) -> None:
        self.controller.complete_many([(self.some(), b"done") for _ in range(2)])

    def fail(self) -> None:
        self.controller.fail(self.some(), b"why", delay=self.rng.choice([0, 0, 400]))

    def touch(self) -> None:
        self.controller.touch(self.some(), self.rng.choice([None, 30]))

    def release(self) -> None:
        self.controller.release(self.some(), self.rng.choice([0, 700]))

    def delete(self) -> None:
        self.controller.delete(self.some())

    def delete_many(self) -> None:
        self.controller.delete_many([self.some(), self.some()])

    def kick(self) -> None:
        dead = self.controller.dead(self.rng.choice("abc"))
        if dead:
            self.controller.kick(self.rng.choice(dead))

    def cancel(self) -> None:
        self.controller.cancel(self.some(), b"no")

    def pause(self) -> None:
        self.controller.pause(self.rng.choice("ab"))

    def resume(self) -> None:
        self.controller.resume(self.rng.choice("ab"))

    def advance(self) -> None:
        self.clock.advance(self.rng.choice([1, 60, 400]))

    def step_clock(self) -> None:
        self.clock.step(self.rng.choice([-5000, 5000, 100]))


CHOICES = [
    *["add"] * 8,
    "add_many",
    "add_many",
    *["schedule"] * 2,
    *["lease"] * 8,
    "lease_many",
    *["complete"] * 4,
    "complete_many",
    *["fail"] * 4,
    "touch",
    "release",
    *["delete"] * 3,
    "delete_many",
    "kick",
    "cancel",
    "pause",
    "resume",
    *["advance"] * 3,
    "step_clock",
]
