"""Ports: what aio, workers, telemetry and tools ask of an engine. No code, types alone.

Controller offers both. Whatever else does (a client of a server, an engine over a database) is
driven by the same workers and the same asyncio front. Values that cross are named tuples.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ._objects.job import Job
from ._values import LeaseArguments, Leased, QueueStats, RunResult, Stats
from .interfaces import Clock, Duration, IDLike

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LeaseArguments", "LeasePort", "Leased", "LookPort", "WaitPort"]


@runtime_checkable
class LeasePort(Protocol):
    """What a worker asks for: leases, their answers and deadlines, and waits for a lease.

    A wait is begun with a function ``wake``, which any thread may call, once, with what lease_begin
    returned: then the caller calls wait_finish. A thread gives None, and sleeps in wait_sleep. A
    caller who leaves in another way calls wait_abandon. What lease_begin returns is the engine's.
    """

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    @property
    def clock(self) -> Clock:
        """Where its time comes from."""

    # leases
    def lease_now(
        self, names: str | Sequence[str], timeout: Duration, detailed: bool = False
    ) -> Any:
        """Lease without waiting: a Job, a Leased if ``detailed``, or None where lease would wait.

        Raises as lease: with the time-out 0, WaitTimeoutError where there is nothing.
        """

    def lease_begin(
        self,
        names: str | Sequence[str],
        timeout_ms: int,
        wake: Callable[[Any], object] | None,
        detailed: bool = False,
    ) -> Any:
        """Stand in line for a job: a wait."""

    def lease_deadline_ns(self, job: Job, attempt: int | None = None) -> int | None:
        """Monotonic ns at which a lease ends; None: the job is not leased (under ``attempt``)."""

    def lease_fails(self, job: Job) -> int | None:
        """How often a job has failed since it was added or kicked; None if it is gone."""

    def lease_deadline(self, deadline_ns: int) -> datetime:
        """The wall time of a monotonic deadline, UTC."""

    # waits
    def wait_sleep(self, waiter: Any, what: object, timeout_ms: int) -> Any:
        """Block the thread until a wait ends, and return what it came to, or raise its error."""

    def wait_finish(self, waiter: Any, what: object, timeout: object) -> Any:
        """What a wait that has ended came to, or its error."""

    def wait_abandon(self, waiter: Any) -> Job | None:
        """Its caller leaves: a job that it was handed goes back, and is returned."""

    def wait_lapse(self, waiter: Any) -> None:
        """The time of a wait is over."""

    def wait_desert(self, waiter: Any) -> None:
        """Its caller cannot be reached any more: it is abandoned. From ``wake``."""

    # answers
    def complete(self, id: IDLike, result: "Buffer" = b"", *, attempt: int | None = None) -> None:
        """End a job: COMPLETED."""

    def fail(
        self,
        id: IDLike,
        result: "Buffer" = b"",
        *,
        attempt: int | None = None,
        delay: Duration = 0,
    ) -> None:
        """End an attempt in failure."""

    def touch(self, id: IDLike, ttr: Duration | None = None, *, attempt: int | None = None) -> None:
        """Start the TTR of a lease again."""

    def release(self, id: IDLike, delay: Duration = 0, *, attempt: int | None = None) -> None:
        """Give a job back."""


@runtime_checkable
class WaitPort(LeasePort, Protocol):
    """What the asyncio front asks for beyond LeasePort: the other waits, and batches."""

    def lease_arguments(self, names: str | Sequence[str], timeout: Duration) -> LeaseArguments:
        """Read and check the arguments of a lease. Raises as lease."""

    def count_check(self, n: int) -> None:
        """Raise unless ``n`` is a count of jobs, from 1."""

    def take_many(self, names: list[str], most: int) -> list[Job]:
        """Lease up to so many jobs that are ready now: a list, which may be empty."""

    def add_begin(
        self,
        job: Job,
        wait: Duration,
        wake: Callable[[Any], object] | None,
        scheduled: bool = False,
    ) -> Any:
        """Add a job: None, or a wait where there is no space for it."""

    def run_begin(
        self,
        job: Job,
        timeout: Duration,
        wake: Callable[[Any], object] | None,
        lapse: bool = True,
    ) -> Any:
        """Add a run job: the wait for its end. lapse: it ends at once if the time-out is 0."""

    def run_over(self, job: Job) -> None:
        """A run has ended, in whatever way: nothing is left of its job."""

    def result_begin(
        self, id: IDLike, timeout: Duration, wake: Callable[[Any], object] | None
    ) -> Any:
        """A RunResult if the job is processed, else the wait for that."""


@runtime_checkable
class LookPort(Protocol):
    """What whoever watches asks for: metrics, dashboards, the command line."""

    def names(self) -> list[str]:
        """The names of all queues, sorted."""

    def is_paused(self, name: str) -> bool:
        """Whether a queue gives no jobs for now."""

    def stats(self) -> Stats:
        """Counters and gauges."""

    def queue_stats(self, name: str) -> QueueStats:
        """Gauges of one queue."""

    def jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Ready jobs of a queue, in order."""

    def scheduled_jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Scheduled jobs of a queue, in the order of their times."""

    def dead(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Jobs of a queue that ended FAILED and are kept."""

    def result(self, id: IDLike, timeout: Duration) -> RunResult:
        """How a job ended."""

    def explain(self, id: IDLike) -> Any:
        """Why a job does, or does not, run: an Explanation."""

    def observe(self, callback: Callable[[Any], object]) -> Any:
        """Let a function be called for each transition: an Observation."""
