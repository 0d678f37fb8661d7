"""Events for observers, and the explanation of a job: what happened to it, and why it does not run.

The engine keeps an event of each transition while somebody observes; whoever made it notifies the
observers once it has let go of the engine's lock. It does so for a slice of time; a thread of its
own notifies of what is left. See notifier.pyx.
Invariant: observers are told in the order of the transitions, by one thread at a time, of each
event once. A transition that an observer causes itself is told after the present one.
"""

from __future__ import annotations

from _weakref import ref
from enum import StrEnum
from functools import partial

from ._engine.live_controllers import live_controllers
from ._engine.notifier import BACKLOG_MAX, Notifier
from ._engine.timer_thread import TimerThread
from ._objects.job import ID, Job
from ._objects.registry import MAX_HARD_ATTEMPTS, State, report_error
from ._objects.rules import to_datetime
from ._objects.whole import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Final, NamedTuple, Self

    from .controller import Controller
else:
    from ._objects.named import NamedTuple

__all__ = ["BACKLOG_MAX", "Event", "EventKind", "Explanation", "Observation"]

NAMES_SHOWN: Final = 8
AGAIN_NS: Final = 10**6
"""Pause of the thread that notifies, after an observer that raised what ends a thread."""

FLUSH_SECONDS: Final = 5.0
"""How long the end of an observer's with block waits for another thread that notifies."""


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
    """A failure: back in line if ``state`` is PENDING, else it ended. Reason b"expired": its TTL
    was over, and it is kept."""
    TIMED_OUT = "timed_out"
    """The TTR of its lease was over: back in line if ``state`` is PENDING, else it ended."""
    EXHAUSTED = "exhausted"
    """It was to be leased, but its attempts were spent: it ended."""
    KICKED = "kicked"
    """It was dead, and was put back."""
    UNDONE = "undone"
    """Its lease was undone: who was to have it had left."""
    CANCELLED = "cancelled"
    """It was cancelled: it ended, FAILED."""
    EXPIRED = "expired"
    """Its TTL, or its time as a finished job, was over: it is gone."""
    DELETED = "deleted"
    """It was deleted, or its ``run`` is over: it is gone."""
    DROPPED = "dropped"
    """Not of a job: here ``dropped`` transitions happened of which no event was kept, since more
    than BACKLOG_MAX waited for the observers."""


_KINDS: Final = tuple(EventKind)
GONE: Final = frozenset({EventKind.EXPIRED, EventKind.DELETED})
"""After one of these nothing more is told of a job."""


class Event(NamedTuple):
    """One transition of one job."""

    kind: EventKind
    """What happened."""
    id: ID
    """Of the job; of DROPPED: all zeros."""
    name: str
    """Of its queue; of DROPPED: empty."""
    attempt: int
    """How often it had been leased: the number of the attempt that began, or ended. Of DROPPED: see
    ``dropped``."""
    time_ns: int
    """When, wall, in ns since 1970."""
    state: State
    """Where it led to; for a job that is gone, where it was."""
    reason: bytes | None
    """What a failed attempt was answered with."""

    @property
    def time(self) -> datetime:
        """When, UTC."""
        return to_datetime(self.time_ns)

    @property
    def dropped(self) -> int:
        """How many transitions are missing here: 0, unless the kind is DROPPED."""
        return self.attempt if self.kind == EventKind.DROPPED else 0


def _event(
    kind: int,
    id: ID,
    name: str | None,
    attempt: int,
    time_ns: int,
    state: int,
    reason: bytes | None,
) -> Event:
    return Event(_KINDS[kind], id, name or "", attempt, time_ns, State(state), reason)


# ---------------------------------------------------------------- observers


class Observers:
    """All observers of one controller, and the thread that notifies them of what is left over."""

    def __init__(self, controller: Controller) -> None:
        lock = getattr(controller, "_lock", None)  # over foreign queues: held until a verb is whole
        self._notifier: Final = Notifier(
            controller.registry,
            _event,
            None if controller.by_hand else partial(_help, ref(self)),
            None if lock is None else partial(_is_owned, ref(controller)),
        )
        self._controller = ref(controller)  # whose registry holds this
        self._thread: TimerThread | None = None

    def add(self, one: object, callback: Callable[[Event], object]) -> None:
        locked(live_controllers.changing, self._add, one, callback)

    def _add(self, one: object, callback: Callable[[Event], object]) -> None:
        self._notifier.add(one, callback)
        if (controller := self._controller()) is not None:
            controller._tell(self._notifier)

    def remove(self, one: object) -> None:
        locked(live_controllers.changing, self._remove, one)

    def _remove(self, one: object) -> None:
        left = self._notifier.remove(one)
        controller = self._controller()
        if not left and controller is not None and not controller.closed:
            controller._tell(None)

    def flush(self, seconds: float) -> bool:
        """Notify of all that has happened; False: another thread is at it, and goes on."""
        return self._notifier.flush(seconds)

    def forked(self) -> None:
        """In a forked child: who told may not be here, and the parent tells what was noted."""
        self._thread = None
        self._notifier.forked()

    def tell(self) -> None:
        """Notify of what has happened, unless another thread does: then it is left to it."""
        self._notifier()

    def help(self) -> None:
        """Make the thread that notifies go on, or begin."""
        locked(live_controllers.changing, self._help)

    def _help(self) -> None:
        if self._thread is not None:
            self._thread.poke()
            return
        self._thread = thread = TimerThread(self, "jobqueue-observers")
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise

    def close(self) -> None:
        """The controller is closed: the thread that notifies ends once it has told the rest."""
        thread = self._thread
        if thread is not None:
            thread.poke()

    def _tick(self) -> int | None:
        """What that thread does; it sleeps until it is told again, and ends with the controller."""
        try:
            self._notifier.catch_up()
        except BaseException as error:  # noqa: BLE001 - of an observer: the thread lives on
            report_error(error, self._notifier)
            return AGAIN_NS
        controller = self._controller()
        if controller is None or controller.closed:
            self._thread = None
            return None
        return -1


def _help(served: ref[Observers]) -> None:
    observers = served()
    if observers is not None:
        observers.help()


def _is_owned(served: ref[Controller]) -> bool:
    controller = served()
    return controller is not None and controller._lock.is_mine()


class Observation:
    """An observer at work, until it is stopped: by stop(), or at the end of its with block.

    The end of the with block waits, up to FLUSH_SECONDS, until it was told of all that happened
    within.
    """

    def __init__(self, observers: Observers, callback: Callable[[Event], object]) -> None:
        self._observers = observers
        self._key: Final = object()  # it is not in a cycle with those that it is one of
        observers.add(self._key, callback)

    def stop(self) -> None:
        """Observe no more, not even what has happened and was not told yet. Twice is fine."""
        self._observers.remove(self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._observers.flush(FLUSH_SECONDS)
        finally:
            self.stop()


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
    waited_for: tuple[str, ...] = ()
    """Names that workers wait for while it lies in ready: none for its own. Eight at most."""

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
        if self.paused:
            return f"{where}, and its queue is paused"
        if self.waited_for:
            names = ", ".join(map(repr, self.waited_for))
            return f"{where}, and no worker waits for {self.job.name!r} while some wait for {names}"
        return where


def explain(controller: Controller, id: object) -> Explanation:
    """What Controller.explain returns."""
    job, state, ahead, attempt, attempts, fails, deadline, due, expires, notes = (
        controller._explain(id)  # type: ignore[arg-type]
    )
    paused = controller.queue_stats(job.name).paused
    ready = ahead is not None and due is None and not paused
    return Explanation(
        job=job,
        state=State(state),
        ahead=ahead,
        paused=paused,
        attempt=attempt,
        attempts_left=max(0, (job.max_attempts or MAX_HARD_ATTEMPTS) - attempts),
        fails_left=max(0, job.max_fails - 1 - fails),
        due=None if due is None else to_datetime(due),
        deadline=None if deadline is None else to_datetime(deadline),
        expires=None if expires is None else to_datetime(expires),
        history=tuple(_event(*note) for note in notes),
        waited_for=tuple(controller._names_waited_for(NAMES_SHOWN)) if ready else (),
    )
