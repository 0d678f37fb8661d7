"""The values that an engine answers with."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from ._objects.job import Job
else:
    from ._objects.named import NamedTuple

__all__ = ["LeaseArguments", "Leased", "QueueStats", "RunResult", "Stats"]


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
    cancelled: int = 0
    """Jobs that were cancelled; they count as failed, too."""


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


class Leased(NamedTuple):
    """A lease, as its holder needs it."""

    job: Job
    number: int
    """Of the attempt, from 1: answers are fenced by it."""
    deadline_ns: int
    """When its TTR is over, on the monotonic clock of the engine."""


class LeaseArguments(NamedTuple):
    """What a lease was asked for, once it is read."""

    names: list[str]
    """Valid, each once."""
    timeout_ms: int
