"""The parts of the model: records, registry and queues over plain dicts and sorted().

Queues and Queue offer QueueControllerInterface and QueueInterface, so they also serve as foreign
queues of a real engine. The optional arguments are for the model, which stamps in its own records.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Any, Self

from jobqueue import (
    ID,
    MAX_HARD_ATTEMPTS,
    ClosedError,
    DuplicateResultError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    State,
    validate_id,
    validate_name,
    validate_result,
)
from jobqueue._objects.rules import to_datetime

from .arguments import text_of


def to_id(value: Any) -> ID:
    """An id in any of its forms."""
    validate_id(value)
    if isinstance(value, Job):
        return value.id
    return ID.parse(value) if isinstance(value, str) else ID(value)


def to_bytes(result: Any) -> bytes:
    """A valid result."""
    validate_result(result)
    return bytes(result)


@dataclass(eq=False)
class Record:
    """The mutable half of a job, as RunRecord."""

    job: Job | None = None
    attempts: int = field(default=0, kw_only=True)
    state: State = field(default=State.NEW, kw_only=True)
    fails: int = field(default=0, kw_only=True)
    result: bytes | None = field(default=None, init=False)
    last_result: bytes | None = field(default=None, init=False)  # a kicked job's too
    stamp_ns: int | None = field(default=None, init=False)  # if the job came without `created`
    runner: Any = field(default=None, init=False)
    state_before: State = field(default=State.NEW, init=False)  # its lease
    failed: int = field(default=0, init=False)  # its place among those that failed
    attempts_before: int = field(default=0, init=False)  # of its lives before the last kick
    waiters: list[Any] = field(default_factory=list, init=False)  # for its end
    lease_ends_ns: int = field(default=0, init=False)
    ttl_began: bool = field(default=False, init=False)
    history: list[Any] = field(default_factory=list, init=False)  # its last transitions

    def running(self) -> bool:
        return self.state == State.LEASED

    def success(self) -> bool:
        return self.state == State.COMPLETED

    def processed(self) -> bool:
        return self.state in (State.COMPLETED, State.FAILED)

    def dead(self) -> bool:
        return self.state == State.FAILED and self.runner is None

    def write_result(self, result: bytes, success: bool) -> bool:
        if self.processed():
            return False
        self.result = self.last_result = to_bytes(result)
        self.state = State.COMPLETED if success else State.FAILED
        for waiter in self.waiters:
            waiter.answer = self.answer()
        return True

    def answer(self) -> RunResult:
        return RunResult(self.success(), self.result or b"")

    def attempts_remain(self) -> bool:
        return self.attempts - self.attempts_before < (self.job.max_attempts or MAX_HARD_ATTEMPTS)


class Registry:
    """All records by id."""

    def __init__(self) -> None:
        self._records: dict[ID, Record] = {}
        self.order = count(1)  # of failing

    def add(self, record: Record) -> bool:
        if record.job is None or record.job.id in self._records or self._holds_key_of(record):
            return False
        self._records[record.job.id] = record
        record.failed = next(self.order)
        return True

    def _holds_key_of(self, record: Record) -> bool:
        """Whether another that is not processed has its key, so that it must not come in."""
        key = (record.job.name, record.job.unique)
        others = [other for other in self._records.values() if not other.processed()]
        return (
            record.job.unique is not None
            and not record.processed()
            and key in [(other.job.name, other.job.unique) for other in others]
        )

    def delete(self, id: Any) -> bool:
        record = self._records.pop(to_id(id), None)
        for waiter in [] if record is None else record.waiters:
            waiter.gone = waiter.answer is None
        return record is not None

    def record(self, id: Any) -> Record | None:
        return self._records.get(to_id(id))

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: Any) -> bool:
        return self.record(id) is not None

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))


class Queue:
    """One named queue: each job under its sort key. Offers QueueInterface."""

    def __init__(self) -> None:
        self.ready: dict[Job, tuple[int, int, bytes]] = {}
        self.due: dict[Job, tuple[int, int, int, bytes]] = {}

    def add(self, job: Job, created_ns: int | None = None) -> bool:
        if job in self:
            return False
        created_ns = job.created_ns if created_ns is None else created_ns
        self.ready[job] = (-job.priority, created_ns, bytes(job.id))
        return True

    def schedule(self, job: Job, due_ns: int | None = None, created_ns: int | None = None) -> bool:
        if job in self or (due_ns is None and job.time_ns is None):
            return False
        due_ns = job.time_ns if due_ns is None else due_ns
        created_ns = job.created_ns if created_ns is None else created_ns
        self.due[job] = (due_ns, -job.priority, created_ns, bytes(job.id))
        return True

    def awake(self, job: Job) -> bool:
        if job not in self.due:
            return False
        _, *rest = self.due.pop(job)
        self.ready[job] = tuple(rest)
        return True

    def delete(self, job: Job) -> bool:
        return self.ready.pop(job, None) is not None or self.due.pop(job, None) is not None

    def exists(self, job: Job) -> bool:
        return job in self

    def lease(self) -> Job | None:
        if not self.ready:
            return None
        job = self.ready_jobs()[0]
        del self.ready[job]
        return job

    def ready_jobs(self) -> list[Job]:
        return sorted(self.ready, key=self.ready.__getitem__)

    def scheduled_jobs(self) -> list[Job]:
        return sorted(self.due, key=self.due.__getitem__)

    def __contains__(self, job: Job) -> bool:
        return job in self.ready or job in self.due

    def __len__(self) -> int:
        return len(self.ready) + len(self.due)


class Queues:
    """All queues by name. Offers QueueControllerInterface."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}

    def queue(self, name: str) -> Queue:
        validate_name(name)
        return self._queues.setdefault(name, Queue())

    def queues(self) -> MappingProxyType[str, Queue]:
        return MappingProxyType(self._queues)

    def add(self, job: Job) -> bool:
        return self.queue(job.name).add(job)

    run = add

    def schedule(self, job: Job) -> bool:
        return self.queue(job.name).schedule(job)

    def delete(self, job: Job) -> bool:
        return job.name in self._queues and self._queues[job.name].delete(job)

    def awake(self, job: Job) -> bool:
        return job.name in self._queues and self._queues[job.name].awake(job)

    def exists(self, job: Job) -> bool:
        return job.name in self._queues and self._queues[job.name].exists(job)

    def lease(self, name: str) -> Job | None:
        return self._queues[name].lease() if name in self._queues else None


class Attempt:
    """A lease as a context manager, every answer fenced by its number."""

    def __init__(self, engine: Any, job: Job) -> None:
        self._engine = engine
        self.job = job
        self.number: int = engine.registry.record(job.id).attempts
        self._deadline_ns = 0
        self._answered = False
        self._look_up()

    def _look_up(self) -> None:
        """When its lease ends, unless that is over."""
        record = self._engine.registry.record(self.job.id)
        if record is not None and record.running():
            self._deadline_ns = record.lease_ends_ns

    @property
    def deadline(self) -> datetime:
        clock = self._engine._clock
        wall_ns = self._deadline_ns + clock.now_ns() - clock.monotonic_ns()
        return to_datetime(wall_ns)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """After an answer, given or refused, the attempt is over."""
        try:
            yield
        except (LeaseExpiredError, NotFoundError, DuplicateResultError):
            self._answered = True
            raise
        self._answered = True

    def complete(self, result: Any = b"") -> None:
        with self._answering():
            self._engine.complete(self.job, result, attempt=self.number)

    def fail(
        self, result: Any = b"", delay: int | timedelta = 0, *, final: bool | None = None
    ) -> None:
        with self._answering():
            self._engine.fail(self.job, result, attempt=self.number, delay=delay, final=final)

    def touch(self, ttr: int | timedelta | None = None) -> None:
        try:
            self._engine.touch(self.job, ttr, attempt=self.number)
        except (LeaseExpiredError, NotFoundError):
            self._answered = True
            raise
        self._look_up()

    def release(self, delay: int | timedelta = 0) -> None:
        with self._answering():
            self._engine.release(self.job, delay, attempt=self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._answered:
            return
        if error is None:
            self.complete()
            return
        with suppress(LeaseExpiredError, NotFoundError, ClosedError):  # the first error counts
            if isinstance(error, Exception):
                self.fail(text_of(error))
            else:
                self.release()
