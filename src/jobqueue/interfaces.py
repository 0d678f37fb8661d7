"""What an engine offers, as protocols; the values it answers with are those of _values.py.

An engine that offers ControllerInterface runs the conformance suite, jobqueue.testing.conformance.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

from ._objects.job import ID, Job
from ._values import QueueStats, RunResult, Stats

if TYPE_CHECKING:
    import uuid

__all__ = [
    "Adder",
    "Batcher",
    "Canceller",
    "Clock",
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

IDLike: TypeAlias = Union[ID, "uuid.UUID", str, bytes, Job]  # uuid itself takes long to import
"""What every call that takes an id takes."""

Duration: TypeAlias = int | timedelta
"""Milliseconds, or a timedelta, which is rounded down to them."""


@runtime_checkable
class Clock(Protocol):
    """What a controller asks for the time. Both calls must be cheap and safe from any thread."""

    def now_ns(self) -> int:
        """Wall time, UTC: nanoseconds since 1970. May step either way."""
        ...

    def monotonic_ns(self) -> int:
        """Monotonic time: nanoseconds since any fixed point. Never goes back."""
        ...


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
class Canceller(Protocol):
    """Ends jobs for good, whatever budgets they have left."""

    def cancel(self, id: IDLike, reason: bytes = ...) -> None: ...


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
