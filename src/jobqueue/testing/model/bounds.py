"""The model's bounds on jobs and bytes, counted afresh each time, and the line of adders."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobqueue import (
    ClosedError,
    Job,
    JobQueueError,
    QueueFullError,
    QueueStats,
    State,
    validate_name,
)
from jobqueue import validate_timeout as validate_wait

from .arguments import check_count, check_job, to_ms
from .parts import Record

JOB_COST = 320
"""Bytes that a job counts beside its payload and its result."""


def bytes_of(job: Job, result: bytes | None = None) -> int:
    return JOB_COST + len(job.payload) + len(result or b"")


@dataclass(eq=False)
class Adder:
    """A caller that waits for capacity."""

    job: Job
    add: Callable[[Job], None]
    record: Record | None = None  # of the job, once it is in
    error: JobQueueError | None = None  # it cannot come in any more
    timed_out: bool = False


class Bounds:
    """What a bounded model does beside the rest."""

    def __init__(self, max_jobs: int | None, max_bytes: int | None) -> None:
        self._limits: dict[str | None, tuple[int | None, int | None]] = {}  # None: all queues
        self._bound(None, max_jobs, max_bytes)
        self._adders: list[Adder] = []

    def _bound(self, name: str | None, max_jobs: int | None, max_bytes: int | None) -> None:
        for what, bound in (("max_jobs", max_jobs), ("max_bytes", max_bytes)):
            if bound is not None:
                check_count(what, bound, 1)
        self._limits[name] = (max_jobs, max_bytes)

    def limit(
        self: Any, name: str, *, max_jobs: int | None = None, max_bytes: int | None = None
    ) -> None:
        validate_name(name)
        with self._open():
            self._bound(name, max_jobs, max_bytes)
            self.queues.queue(name)

    def queue_stats(self: Any, name: str) -> QueueStats:
        validate_name(name)
        with self._open():
            self.fire_due()
            limits = self._limits.get(name, (None, None))
            load = (None, None) if limits == (None, None) else self._load(name)
            queue = self.queues.queues().get(name)
            ready, due = (0, 0) if queue is None else (len(queue.ready), len(queue.due))
            return QueueStats(ready, due, name in self._paused, *load, *limits)

    def _gauges(self) -> dict[str, Any]:
        """What stats() has of bounds."""
        max_jobs, max_bytes = self._limits[None]
        size, blocked = self._load()[1], len(self._adders)
        return {"bytes": size, "blocked": blocked, "max_jobs": max_jobs, "max_bytes": max_bytes}

    def _load(self: Any, name: str | None = None) -> tuple[int, int]:
        """(unprocessed jobs, bytes) of a queue, or of all."""
        records = [r for r in self.registry if name in (None, r.job.name)]
        jobs = sum(not record.processed() for record in records)
        return jobs, sum(bytes_of(record.job, record.last_result) for record in records)

    def _has_capacity(
        self, job: Job, name: str | None, before: Iterable[Job] = (), *, known: bool = False
    ) -> bool:
        max_jobs, max_bytes = self._limits.get(name, (None, None))
        jobs, size = self._load(name)
        for other in before:
            if name in (None, other.name):
                jobs, size = jobs + 1, size + bytes_of(other)
        if max_jobs is not None and jobs + 1 > max_jobs:
            return False
        return known or max_bytes is None or size + bytes_of(job) <= max_bytes

    def _check_capacity(self, job: Job, before: Iterable[Job] = (), *, known: bool = False) -> None:
        """Raise if a job has no capacity: beside those before it in a batch; known: its bytes are
        counted."""
        for name in (job.name, None):
            if not self._has_capacity(job, name, before, known=known):
                max_jobs, max_bytes = self._limits[name]
                jobs, size = self._load(name)
                over = max_jobs is not None and jobs + 1 > max_jobs
                said = (
                    f"max_jobs is {max_jobs}, it would be {jobs + 1}"
                    if over
                    else (f"max_bytes is {max_bytes}, {size} are taken")
                )
                raise QueueFullError(f"no room for job {job.id}: {said}")
        full: set[str] = set()
        for adder in self._adders:
            name = adder.job.name
            held_up = name in full or not self._has_capacity(adder.job, name)
            if name == job.name or not held_up:
                raise QueueFullError(f"job {adder.job.id} waits for the room of job {job.id}")
            full.add(name)  # an adder behind waits for the capacity of its queue too

    def _fits_at_all(self, job: Job) -> bool:
        bounds = [self._limits.get(name, (None, None))[1] for name in (job.name, None)]
        return all(bound is None or bytes_of(job) <= bound for bound in bounds)

    def _add_or_wait(self: Any, job: Job, wait: int | timedelta, *, scheduled: bool) -> None:
        with self._changed:
            adder = self._add_begin(job, wait, scheduled=scheduled)
            if adder is not None:
                self._wait(adder)

    def _add_begin(
        self: Any, job: Job, wait: int | timedelta, *, scheduled: bool = False
    ) -> Adder | None:
        """None if the job was added, else the adder that waits for capacity."""
        check_job(job)
        add = self._check_and_schedule if scheduled else self._check_and_add
        validate_wait(wait)
        with self._open():
            if to_ms(wait):  # an add that does not wait leaves timers to who looks after them
                self.fire_due()
            try:
                add(job)
            except QueueFullError:
                if not to_ms(wait) or not self._fits_at_all(job):
                    raise
                adder = Adder(job, add)
                self._adders.append(adder)
                self._arm(adder, "wait", to_ms(wait))
                return adder
            return None

    def _collect_capacity(self: Any, adder: Adder) -> None:
        """How a wait for capacity ended."""
        if adder.error is not None:
            raise adder.error
        if adder.timed_out:
            raise QueueFullError(f"still no room for job {adder.job.id}")
        if adder.record is None:
            raise ClosedError("the controller was closed")

    def _leave_line(self: Any, adder: Adder) -> None:
        """Its caller leaves: a job that was taken in for it, and met nobody, goes too."""
        if adder in self._adders:
            self._adders.remove(adder)
        record = adder.record
        if record is None or self._is_gone(record):
            return
        if record.state == State.NEW and not record.fails:
            self._count["added"] -= 1
            self._forget(record)

    def _admit(self: Any) -> None:
        """Waiting adders are let in, longest first, as far as there is capacity."""
        full: set[str] = set()
        for adder in list(self._adders):
            name = adder.job.name
            if name in full or not self._has_capacity(adder.job, name):
                full.add(name)
                continue
            if not self._has_capacity(adder.job, None):
                break
            self._adders.remove(adder)
            self._cancel(adder, "wait")
            waiting, self._adders = self._adders, []  # it overtakes nobody
            try:
                adder.add(adder.job)
                adder.record = self.registry.record(adder.job.id)
            except JobQueueError as error:
                adder.error = error
            self._adders = waiting
