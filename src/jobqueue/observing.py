"""Events for observers, and the explanation of a job: what happened to it, and why it does not run.

The engine writes a note of each transition while somebody observes; whoever made it hands the notes
on once it has let go of the engine's lock.
Invariant: observers are told in the order of the transitions, by one thread at a time. A transition
that an observer causes itself is told after the present one.
"""

import _thread
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ._blocking import fleet
from ._job import ID, Job
from ._records import State, report_error
from ._whole import if_free, locked

if TYPE_CHECKING:
    from .controller import Controller

__all__ = ["Event", "EventKind", "Explanation", "Observation"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HARD_ATTEMPTS: Final = 255


class EventKind(StrEnum):
    """What happened to a job."""

    ADDED = "added"
    """It was taken, and is in ready."""
    SCHEDULED = "scheduled"
    """It was taken, and waits for its time."""
    AWAKE = "awake"
    """Its time came; it is in ready."""
    LEASED = "leased"
    """An attempt began."""
    TOUCHED = "touched"
    """The TTR of its lease was started again."""
    RELEASED = "released"
    """Its worker gave it back."""
    COMPLETED = "completed"
    """It ended well."""
    FAILED = "failed"
    """A failure: back in line if ``state`` is PENDING, else it ended."""
    TIMED_OUT = "timed_out"
    """The TTR of its lease was over: back in line if ``state`` is PENDING, else it ended."""
    EXHAUSTED = "exhausted"
    """It was to be leased, but its attempts were spent: it ended."""
    KICKED = "kicked"
    """It was dead, and was put back."""
    UNDONE = "undone"
    """Its lease was undone: who was to have it had left."""
    EXPIRED = "expired"
    """Its TTL, or its time as a finished job, was over: it is gone."""
    DELETED = "deleted"
    """It was deleted, or its ``run`` is over: it is gone."""


_KINDS: Final = tuple(EventKind)
GONE: Final = frozenset({EventKind.EXPIRED, EventKind.DELETED})
"""After one of these nothing more is told of a job."""


class Event(NamedTuple):
    """One transition of one job."""

    kind: EventKind
    """What happened."""
    id: ID
    """Of the job."""
    name: str
    """Of its queue."""
    attempt: int
    """How often it had been leased: the number of the attempt that began, or ended."""
    time_ns: int
    """When, wall, in ns since 1970."""
    state: State
    """Where it led to; for a job that is gone, where it was."""
    reason: bytes | None
    """What a failed attempt was answered with."""

    @property
    def time(self) -> datetime:
        """When, UTC."""
        return _time(self.time_ns)


def _time(ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=ns // 1000)


def _event(note: tuple[int, ID, str, int, int, int, bytes | None]) -> Event:
    kind, id, name, attempt, time_ns, state, reason = note
    return Event(_KINDS[kind], id, name, attempt, time_ns, State(state), reason)


# ---------------------------------------------------------------- observers


class Observers:
    """All observers of one controller; it is their engine's teller."""

    def __init__(self, controller: "Controller") -> None:
        self._controller = weakref.ref(controller)  # whose registry holds this
        self._telling = _thread.allocate_lock()
        self._told_next: deque[Event] = deque()
        self._all: tuple[Observation, ...] = ()

    def add(self, one: "Observation") -> None:
        locked(fleet.changing, self._add, one)

    def _add(self, one: "Observation") -> None:
        self._all = (*self._all, one)
        if (controller := self._controller()) is not None:
            controller._tell(self.tell)

    def remove(self, one: "Observation") -> None:
        locked(fleet.changing, self._remove, one)

    def _remove(self, one: "Observation") -> None:
        self._all = tuple(other for other in self._all if other is not one)
        controller = self._controller()
        if not self._all and controller is not None and not controller.closed:
            controller._tell(None)

    def forked(self) -> None:
        """In a forked child: who told may not be here, and the parent tells what was noted."""
        self._telling = _thread.allocate_lock()
        self._told_next.clear()

    def tell(self) -> None:
        """Tell of every transition that was noted, unless another does: then it is left to him."""
        while if_free(
            self._telling, self._tell_all
        ):  # an observer may fork: the lock is another then
            pass

    def _tell_all(self) -> bool:
        """Tell what was noted until now; whether there was anything."""
        controller = self._controller()
        if controller is None:
            return False
        self._told_next += map(_event, controller._take_notes())
        if not self._told_next:
            return False
        while self._told_next:
            event = self._told_next.popleft()
            for one in self._all:
                if one in self._all:  # else another has just stopped it
                    one._tell(event)
        return True


class Observation:
    """An observer at work, until it is stopped: by stop(), or at the end of its with block."""

    def __init__(self, observers: Observers, callback: Callable[[Event], object]) -> None:
        self._observers = observers
        self._callback = callback
        observers.add(self)

    def stop(self) -> None:
        """Observe no more. Stopping twice is fine."""
        self._observers.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tell(self, event: Event) -> None:
        try:
            self._callback(event)
        except Exception as error:  # noqa: BLE001 - whose call it was is not to blame
            report_error(error, self._callback)


# ---------------------------------------------------------------- explaining


class Explanation(NamedTuple):
    """Why a job does, or does not, run; ``str()`` says it in sentences."""

    job: Job
    """The job."""
    state: State
    """Where it is in its life."""
    ahead: int | None
    """How many stand before it in ready, or in scheduled; None: it is in neither."""
    paused: bool
    """Its queue gives no jobs."""
    attempt: int
    """The number of its present or last attempt; 0: there was none."""
    attempts_left: int
    """Leases it may still have."""
    fails_left: int
    """Failures after which it would still be tried again."""
    due: datetime | None
    """When it will be ready, if it waits for its time, UTC."""
    deadline: datetime | None
    """When its lease ends, unless it is touched or answered, UTC."""
    expires: datetime | None
    """When its TTL is over, UTC; None: it does not run, or not yet."""
    history: tuple[Event, ...]
    """Its last transitions, oldest first; kept if the controller has ``history``."""

    @property
    def reason(self) -> bytes | None:
        """What its last failure was answered with, as far as the history goes back."""
        failed = (event for event in reversed(self.history) if event.kind == EventKind.FAILED)
        return next((event.reason for event in failed), None)

    def __str__(self) -> str:
        parts = [f"Job {self.job.id} of {self.job.name!r} is {self.state.name}: {self._why()}."]
        if self.state in (State.NEW, State.PENDING, State.LEASED):
            parts.append(
                f"It has {self.attempts_left} attempts and {self.fails_left} retries left."
            )
        if self.reason is not None:
            parts.append(f"Its last failure: {self.reason[:80]!r}.")
        if self.expires is not None:
            parts.append(f"It expires at {self.expires:%Y-%m-%d %H:%M:%S} UTC.")
        return " ".join(parts)

    def _why(self) -> str:
        if self.state == State.LEASED:
            until = "" if self.deadline is None else f" until {self.deadline:%Y-%m-%d %H:%M:%S} UTC"
            return f"a worker has it under attempt {self.attempt}{until}"
        if self.state in (State.COMPLETED, State.FAILED):
            return f"it ended after {self.attempt} attempts"
        if self.due is not None:
            return f"it waits for its time, {self.due:%Y-%m-%d %H:%M:%S} UTC"
        where = "it is in no queue" if self.ahead is None else f"{self.ahead} jobs are before it"
        return where + (", and its queue is paused" if self.paused else "")


def explain(controller: "Controller", id: object) -> Explanation:
    """What Controller.explain returns."""
    job, state, ahead, attempt, attempts, fails, deadline, due, expires, notes = (
        controller._explain(id)  # type: ignore[arg-type]
    )
    return Explanation(
        job=job,
        state=State(state),
        ahead=ahead,
        paused=controller.queue_stats(job.name).paused,
        attempt=attempt,
        attempts_left=max(0, (job.max_attempts or HARD_ATTEMPTS) - attempts),
        fails_left=max(0, job.max_fails - 1 - fails),
        due=None if due is None else _time(due),
        deadline=None if deadline is None else _time(deadline),
        expires=None if expires is None else _time(expires),
        history=tuple(map(_event, notes)),
    )
