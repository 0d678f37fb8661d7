"""What an engine offers, as protocols, and the values it answers with.

An engine that offers ControllerInterface runs the conformance suite, jobqueue.testing.conformance.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ._objects.job import ID, Job

if TYPE_CHECKING:
    import uuid

__all__ = [
    "Adder",
    "Batcher",
    "Completer",
    "ControllerInterface",
    "Deleter",
    "Duration",
    "Failer",
    "IDLike",
    "Leaser",
    "Limiter",
    "Looker",
    "Observed",
    "QueueControllerInterface",
    "QueueInterface",
    "QueueStats",
    "Renewer",
    "Resulter",
    "RunResult",
    "Runner",
    "Scheduler",
    "Stats",
]

IDLike: TypeAlias = "ID | uuid.UUID | str | bytes | Job"  # text: uuid takes long to import
"""What every call that takes an id takes."""

Duration: TypeAlias = int | timedelta
"""Milliseconds, or a timedelta, which is rounded down to them."""


class RunResult(NamedTuple):
    """How a job ended."""

    success: bool
    """COMPLETED, not FAILED."""
    result: bytes
    """What its worker answered with."""


class Stats(NamedTuple):
    """Counters since the controller was made, and gauges of now."""

    evicted_jobs: int
    """Jobs whose TTL was over before they were processed."""
    added: int
    """Jobs taken by add, schedule and run."""
    leased: int
    """Attempts begun."""
    completed: int
    """Jobs that ended COMPLETED."""
    failed: int
    """Jobs that ended FAILED."""
    timed_out: int
    """Attempts whose TTR was over."""
    ready: int
    """Jobs that wait to be leased, now."""
    scheduled: int
    """Jobs that wait for their time, now."""
    running: int
    """Jobs that are leased, now."""
    waiting: int
    """Leasers that are blocked, now."""
    records: int
    """Jobs in the registry, processed ones included, now."""
    kicked: int = 0
    """Dead jobs that were put back."""
    dead: int = 0
    """Jobs that ended FAILED and are still kept, now."""
    bytes: int = 0
    """What the records take, now: payloads, results, and 320 for each."""
    blocked: int = 0
    """Adders that wait for capacity, now."""
    max_jobs: int | None = None
    """The bound on jobs that are not processed."""
    max_bytes: int | None = None
    """The bound on bytes."""


class QueueStats(NamedTuple):
    """Gauges of one queue, now."""

    ready: int
    """Jobs that wait to be leased."""
    scheduled: int
    """Jobs that wait for their time."""
    paused: bool
    """It gives no jobs."""
    jobs: int | None
    """Jobs that are not processed, leased ones included; counted while the queue has a bound."""
    bytes: int | None
    """What its records take; counted while the queue has a bound."""
    max_jobs: int | None
    """Its own bound on jobs that are not processed."""
    max_bytes: int | None
    """Its own bound on bytes."""


@runtime_checkable
class Adder(Protocol):
    """Takes jobs, and lets them expire."""

    def add(self, job: Job) -> None: ...
    def expire(self, id: IDLike) -> None: ...
    def handle_expire(self, f: Callable[[ID], Any] | None) -> None: ...
    def expire_func(self) -> Callable[[ID], Any]: ...


@runtime_checkable
class Completer(Protocol):
    """Takes the answers of workers."""

    def complete(self, id: IDLike, result: bytes = ..., *, attempt: int | None = ...) -> None: ...


@runtime_checkable
class Failer(Protocol):
    """Takes the failures of workers."""

    def fail(
        self,
        id: IDLike,
        result: bytes = ...,
        *,
        attempt: int | None = ...,
        delay: Duration = ...,
    ) -> None: ...


@runtime_checkable
class Deleter(Protocol):
    """Forgets jobs."""

    def delete(self, id: IDLike) -> None: ...


@runtime_checkable
class Runner(Protocol):
    """Runs a job and waits for its end."""

    def run(self, job: Job, timeout: Duration) -> RunResult: ...


@runtime_checkable
class Scheduler(Protocol):
    """Takes jobs for a later time."""

    def schedule(self, job: Job) -> None: ...


@runtime_checkable
class Leaser(Protocol):
    """Gives jobs to workers, and takes them back when time is over."""

    def lease(self, names: str | Sequence[str], timeout: Duration) -> Job: ...
    def start_attempt(self, id: IDLike) -> None: ...
    def timeout_attempt(self, id: IDLike) -> None: ...
    def handle_timeout_attempt(self, f: Callable[[ID], Any] | None) -> None: ...
    def timeout_attempt_func(self) -> Callable[[ID], Any]: ...


@runtime_checkable
class ControllerInterface(Adder, Completer, Deleter, Failer, Runner, Scheduler, Leaser, Protocol):
    """A whole engine."""


# What an engine may offer beyond: each declares what it has.


@runtime_checkable
class Batcher(Protocol):
    """Takes, gives, answers and forgets many jobs in one call, all or none."""

    def add_many(self, jobs: Iterable[Job]) -> None: ...
    def lease_many(self, names: str | Sequence[str], n: int, timeout: Duration) -> list[Job]: ...
    def complete_many(self, pairs: Iterable[tuple[IDLike, bytes]]) -> None: ...
    def delete_many(self, ids: Iterable[IDLike]) -> int: ...


@runtime_checkable
class Looker(Protocol):
    """Shows its jobs without taking them."""

    def names(self) -> list[str]: ...
    def peek(self, name: str) -> Job | None: ...
    def jobs(self, name: str, offset: int = ..., limit: int | None = ...) -> list[Job]: ...
    def scheduled_jobs(
        self, name: str, offset: int = ..., limit: int | None = ...
    ) -> list[Job]: ...
    def dead(self, name: str, offset: int = ..., limit: int | None = ...) -> list[Job]: ...
    def stats(self) -> Stats: ...


@runtime_checkable
class Resulter(Protocol):
    """Keeps results, and lets callers wait for them."""

    def result(self, id: IDLike, timeout: Duration) -> RunResult: ...


@runtime_checkable
class Renewer(Protocol):
    """Leases that are renewed, and jobs that are given back."""

    def touch(
        self, id: IDLike, ttr: Duration | None = ..., *, attempt: int | None = ...
    ) -> None: ...
    def release(self, id: IDLike, delay: Duration = ..., *, attempt: int | None = ...) -> None: ...
    def kick(self, id: IDLike) -> None: ...


@runtime_checkable
class Limiter(Protocol):
    """Bounds queues, and pauses them."""

    def limit(
        self, name: str, *, max_jobs: int | None = ..., max_bytes: int | None = ...
    ) -> None: ...
    def queue_stats(self, name: str) -> QueueStats: ...
    def pause(self, name: str) -> None: ...
    def resume(self, name: str) -> None: ...


@runtime_checkable
class Observed(Protocol):
    """Tells of each transition, and why a job does, or does not, run."""

    def observe(self, callback: Callable[[Any], object]) -> object: ...
    def explain(self, id: IDLike) -> object: ...


@runtime_checkable
class QueueInterface(Protocol):
    """One queue: what WorkQueue offers."""

    def add(self, job: Job) -> bool: ...
    def schedule(self, job: Job) -> bool: ...
    def delete(self, job: Job) -> bool: ...
    def exists(self, job: Job) -> bool: ...
    def awake(self, job: Job) -> bool: ...
    def lease(self) -> Job | None: ...
    def __len__(self) -> int: ...


@runtime_checkable
class QueueControllerInterface(Protocol):
    """All queues by name: what QueueController offers, and a Controller needs."""

    def queues(self) -> Mapping[str, Any]: ...
    def add(self, job: Job) -> bool: ...
    def schedule(self, job: Job) -> bool: ...
    def run(self, job: Job) -> bool: ...
    def delete(self, job: Job) -> bool: ...
    def awake(self, job: Job) -> bool: ...
    def exists(self, job: Job) -> bool: ...
    def lease(self, name: str) -> Job | None: ...
