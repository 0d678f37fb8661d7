"""The model's observers, the history of each job, and what explains one.

A verb notes what it does, and tells it once it is done. Timers that are due are one deed, unless a
hook of the user's stands between: before it is called, all until then is told.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from jobqueue import MAX_HARD_ATTEMPTS, ClosedError, State
from jobqueue._objects.rules import to_datetime
from jobqueue.observing import Event, EventKind, Explanation

from .arguments import check_count
from .parts import Queue, Record, to_id

GONE = (EventKind.EXPIRED, EventKind.DELETED)


class Observation:
    """An observer, until it is stopped."""

    def __init__(self, model: Any, callback: Callable[[Event], object]) -> None:
        self._model = model
        self.callback = callback

    def stop(self) -> None:
        if self in self._model._observers:
            self._model._observers.remove(self)
        if not self._model._observers:
            self._model._notes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Watching:
    """What a model that is watched does beside the rest."""

    def __init__(self, history: int) -> None:
        check_count("history", history, 0)
        self._history_size = history
        self._observers: list[Observation] = []
        self._notes: list[Event] = []  # not told of yet
        self._told_next: deque[Event] = deque()
        self._telling = False
        self._locks = False  # as an engine over foreign queues: observers wait for its lock
        self._held = 0  # hooks that run amid a verb which has that lock
        self._depth = 0  # of verbs within verbs

    # ------------------------------------------------------------ noting

    def _note(
        self: Any,
        record: Record,
        kind: EventKind,
        state: State | None = None,
        reason: bytes | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Write down what happened to a record, and the state it leads to.

        time_ns: now if None; 0: the time at which it is told.
        """
        time_ns = self._clock.now_ns() if time_ns is None else time_ns
        state = State(record.state if state is None else state)
        id, name = record.job.id, record.job.name
        event = Event(kind, id, name, record.attempts, time_ns, state, reason)
        if kind not in GONE:  # who is gone has no history
            kept = self._history_size
            record.history = [*record.history, event][-kept:] if kept else []
        if self._observers:
            self._notes.append(event)

    # ------------------------------------------------------------ telling

    def observe(self: Any, callback: Callable[[Event], object]) -> Observation:
        if not callable(callback):
            raise TypeError("an observer must be callable")
        if self._closed:
            raise ClosedError("the controller is closed")
        observation = Observation(self, callback)
        self._observers.append(observation)
        return observation

    @contextmanager
    def _whole(self: Any) -> Iterator[None]:
        """A deed. Once it is done, and if it is not part of another, its consequences follow."""
        with self._changed:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._follow_up()

    @contextmanager
    def _outside(self) -> Iterator[None]:
        """For what the user's functions do, whatever deed they are called in."""
        depth, self._depth = self._depth, 0
        try:
            yield
        finally:
            self._depth = depth

    def _follow_up(self: Any) -> None:
        """Let in adders that wait for capacity, notify observers, wake sleepers."""
        with self._outside():
            if not self._closed:
                self._admit()
            self._tell()
            self._changed.notify_all()

    def _tell(self: Any) -> None:
        if self._notes:  # whichever thread notifies: they get the time at which they are seen first
            now_ns = self._clock.now_ns()
            self._notes[:] = [note._replace(time_ns=note.time_ns or now_ns) for note in self._notes]
        while not self._telling and not self._held and self._notes:
            self._telling = True
            try:
                self._told_next += self._notes
                self._notes.clear()
                while self._told_next:
                    event = self._told_next.popleft()
                    for observation in list(self._observers):
                        if observation in self._observers:
                            self._call(observation.callback, event)
            finally:
                self._telling = False

    # ------------------------------------------------------------ explaining

    def explain(self: Any, id: Any) -> Explanation:
        id = to_id(id)
        with self._open():
            self.fire_due()
            record = self._find(id)
            job = record.job
            queue = self.queues.queues().get(job.name, Queue())
            line = queue.scheduled_jobs() if job in queue.due else queue.ready_jobs()
            attempts = record.attempts - record.attempts_before
            ready = job in line and job not in queue.due and job.name not in self._paused
            waited_for = {name for leaser in self._leasers for name in leaser.names if ready}
            return Explanation(
                job=job,
                state=record.state,
                ahead=line.index(job) if job in line else None,
                paused=job.name in self._paused,
                attempt=record.attempts,
                attempts_left=max(0, (job.max_attempts or MAX_HARD_ATTEMPTS) - attempts),
                fails_left=max(0, job.max_fails - 1 - record.fails),
                due=to_datetime(queue.due[job][0]) if job in queue.due else None,
                deadline=self._end_of(record, "ttr"),
                expires=self._end_of(record, "ttl"),
                history=tuple(record.history),
                waited_for=tuple(sorted(waited_for)),
            )

    def _end_of(self: Any, record: Record, kind: str) -> datetime | None:
        """The wall time of a timer."""
        if (record, kind) not in self._timers:
            return None
        deadline_ns, _ = self._timers[record, kind]
        return to_datetime(deadline_ns + self._clock.now_ns() - self._clock.monotonic_ns())
