"""Verbs: the calls of a Controller that do not wait, under the same names.

Each passes on to the engine. For speed a controller binds the engine's own methods instead, where
no subclass has its own (see Verbs.__init__).
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from .. import controller
from .._objects.job import ID, Job
from .._objects.queues import QueueController
from .._objects.registry import Registry
from ..interfaces import Clock, Duration, IDLike, QueueControllerInterface, QueueStats, Stats

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..observing import Event, Explanation, Observation

__all__ = ["Verbs"]


MAY_WAIT: Final = {"add": "add_now", "schedule": "schedule_now"}
"""Verbs of an engine that wait if they are told to, and what never does."""


class Verbs:
    """What is plain to call, since it never waits. Each: see jobqueue.Controller."""

    def __init__(self, engine: controller.Controller) -> None:
        self._engine: Final = engine
        for name, passed_on in vars(Verbs).items():
            own = getattr(type(self), name) is not passed_on
            if callable(passed_on) and not name.startswith("_") and not own:
                self._bind(name)

    def _bind(self, name: str) -> None:
        """Put the engine's own method in place of one that passes on to it."""
        if name in MAY_WAIT:
            own = getattr(type(self._engine), name, None)
            if own is not getattr(controller.Controller, name):
                return  # it may wait, if it is told to
        method = getattr(self._engine, MAY_WAIT.get(name, name), None)
        if method is not None:  # an engine may have fewer verbs
            setattr(self, name, method)

    @property
    def controller(self) -> controller.Controller:
        """The controller for threads over the same engine."""
        return self._engine

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._engine.closed

    @property
    def clock(self) -> Clock:
        """Where its time comes from."""
        return self._engine.clock

    @property
    def registry(self) -> Registry:
        """All records by id."""
        return self._engine.registry

    @property
    def queues(self) -> QueueController | QueueControllerInterface:
        """All queues by name."""
        return self._engine.queues

    # ------------------------------------------------------------ adding

    def add(self, job: Job, wait: None = None) -> None:
        """Put a job in line. A ``wait`` is refused with a TypeError: add_wait is awaited."""
        if wait is not None:
            raise TypeError("add() does not wait here: add_wait(job, wait) does, and is awaited")
        self._engine.add(job)

    def schedule(self, job: Job, wait: None = None) -> None:
        """Put a job in line at its time. A ``wait`` is refused: schedule_wait is awaited."""
        if wait is not None:
            raise TypeError(
                "schedule() does not wait here: schedule_wait(job, wait) does, and is awaited"
            )
        self._engine.schedule(job)

    def add_many(self, jobs: Iterable[Job]) -> None:
        """Put jobs in line: all of them, or none."""
        self._engine.add_many(jobs)

    # ------------------------------------------------------------ answering

    def start_attempt(self, id: IDLike) -> None:
        """The second half of lease."""
        self._engine.start_attempt(id)

    def complete(self, id: IDLike, result: "Buffer" = b"", *, attempt: int | None = None) -> None:
        """End a job COMPLETED, with its result."""
        self._engine.complete(id, result, attempt=attempt)

    def complete_many(self, pairs: "Iterable[tuple[IDLike, Buffer]]") -> None:
        """End jobs COMPLETED: all of them, or none."""
        self._engine.complete_many(pairs)

    def fail(
        self,
        id: IDLike,
        result: "Buffer" = b"",
        *,
        attempt: int | None = None,
        delay: Duration = 0,
        final: bool | None = None,
    ) -> None:
        """Count a failure: back in line, after ``delay``, or FAILED."""
        more = {} if final is None else {"final": final}  # an engine of one's own may not know it
        self._engine.fail(id, result, attempt=attempt, delay=delay, **more)

    def cancel(self, id: IDLike, reason: "Buffer" = b"") -> None:
        """End a job FAILED, whatever budgets are left."""
        self._engine.cancel(id, reason)

    def touch(self, id: IDLike, ttr: Duration | None = None, *, attempt: int | None = None) -> None:
        """Start the TTR of a leased job again."""
        self._engine.touch(id, ttr, attempt=attempt)

    def release(self, id: IDLike, delay: Duration = 0, *, attempt: int | None = None) -> None:
        """Give a leased job back."""
        self._engine.release(id, delay, attempt=attempt)

    # ------------------------------------------------------------ ending

    def delete(self, id: IDLike) -> None:
        """Forget a job, whatever its state."""
        self._engine.delete(id)

    def delete_many(self, ids: Iterable[IDLike]) -> int:
        """Forget jobs; how many there were."""
        return self._engine.delete_many(ids)

    def kick(self, id: IDLike) -> None:
        """Put a dead job back."""
        self._engine.kick(id)

    def expire(self, id: IDLike) -> None:
        """What the TTL timer calls."""
        self._engine.expire(id)

    def timeout_attempt(self, id: IDLike) -> None:
        """What the TTR timer calls."""
        self._engine.timeout_attempt(id)

    def handle_expire(self, f: Callable[[ID], object] | None) -> None:
        """Let the TTL timers call another function."""
        self._engine.handle_expire(f)

    def expire_func(self) -> Callable[[ID], object]:
        """The function that TTL timers call."""
        return self._engine.expire_func()

    def handle_timeout_attempt(self, f: Callable[[ID], object] | None) -> None:
        """Let the TTR timers call another function."""
        self._engine.handle_timeout_attempt(f)

    def timeout_attempt_func(self) -> Callable[[ID], object]:
        """The function that TTR timers call."""
        return self._engine.timeout_attempt_func()

    # ------------------------------------------------------------ looking

    def peek(self, name: str) -> Job | None:
        """The job that would be leased next."""
        return self._engine.peek(name)

    def jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Ready jobs in order."""
        return self._engine.jobs(name, offset, limit)

    def scheduled_jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Scheduled jobs in the order of their times."""
        return self._engine.scheduled_jobs(name, offset, limit)

    def dead(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        """Jobs that ended FAILED, in the order of failing."""
        return self._engine.dead(name, offset, limit)

    def names(self) -> list[str]:
        """The names of all queues, sorted."""
        return self._engine.names()

    def is_paused(self, name: str) -> bool:
        """Whether a queue gives no jobs for now."""
        return self._engine.is_paused(name)

    def pause(self, name: str) -> None:
        """Let a queue accept jobs and give none."""
        self._engine.pause(name)

    def resume(self, name: str) -> None:
        """Let a paused queue give jobs again."""
        self._engine.resume(name)

    def limit(
        self, name: str, *, max_jobs: int | None = None, max_bytes: int | None = None
    ) -> None:
        """Bound a queue."""
        self._engine.limit(name, max_jobs=max_jobs, max_bytes=max_bytes)

    def queue_stats(self, name: str) -> QueueStats:
        """Gauges of one queue."""
        return self._engine.queue_stats(name)

    def observe(self, callback: "Callable[[Event], object]") -> "Observation":
        """Let a function be called for each transition of a job."""
        return self._engine.observe(callback)

    def explain(self, id: IDLike) -> "Explanation":
        """Why a job does, or does not, run."""
        return self._engine.explain(id)

    def stats(self) -> Stats:
        """Counters and gauges."""
        return self._engine.stats()

    def next_deadline_ns(self) -> int | None:
        """Monotonic ns of the earliest deadline, or None."""
        return self._engine.next_deadline_ns()

    def fire_due(self) -> None:
        """Do all that is due now."""
        self._engine.fire_due()

    def close(self) -> None:
        """Close the engine: every waiting call, of a thread or a task, ends with ClosedError."""
        self._engine.close()
