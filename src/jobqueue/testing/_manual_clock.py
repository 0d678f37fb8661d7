"""ManualClock: virtual time, without a thread."""

import threading
import weakref
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from .._objects import rules
from .._objects.whole import locked
from ..errors import hint, shown

__all__ = ["ManualClock"]


LATEST_NS: Final = 2**63 - 1 - 60 * 86_400 * 10**9
"""In 2262: the last time that a controller reckons with. There the clock stops."""


class _Driven(Protocol):
    def next_deadline_ns(self) -> int | None: ...
    def fire_due(self) -> None: ...


class ManualClock:
    """A clock that stands still until somebody advances it.

    start: an aware datetime; 2026-01-01 UTC when None.

    Controllers made with it have no timer thread: ``advance`` runs their timers, synchronously, in
    the order of their deadlines. A call that blocks with a timeout above 0 waits until another
    thread adds work or advances the clock past its deadline. Time ends early in 2262.

    >>> from jobqueue import Controller, Job
    >>> clock = ManualClock()
    >>> with Controller(clock=clock) as c:
    ...     c.add(Job("mail", ttr=1000))
    ...     job = c.lease("mail", 0)
    ...     clock.advance(1000)
    ...     c.peek("mail") is job
    True
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is None:
            start = datetime(2026, 1, 1, tzinfo=UTC)
        self._wall_ns = rules.check_time(start)
        self._monotonic_ns = self._wall_ns
        self._driven: list[weakref.ref[_Driven]] = []  # in the order of attaching
        self._advancing = threading.RLock()

    @property
    def now(self) -> datetime:
        """The wall time, UTC."""
        return rules.to_datetime(self._wall_ns)

    def now_ns(self) -> int:
        """The wall time: ns since 1970."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """The monotonic time in ns."""
        return self._monotonic_ns

    def attach(self, driven: _Driven) -> None:
        """Drive an engine: one with ``next_deadline_ns()`` (monotonic, or None) and ``fire_due()``.

        Controllers attach themselves. The clock holds no reference that keeps them alive.
        """
        self._driven = [ref for ref in self._driven if ref() is not None]
        self._driven.append(weakref.ref(driven))

    def forked(self) -> None:
        """In a forked child: the thread that advanced may not be here."""
        self._advancing = threading.RLock()

    def _alive(self) -> list[_Driven]:
        return [driven for ref in self._driven if (driven := ref()) is not None]

    def advance(self, duration: int | timedelta) -> None:
        """Move on by ms or a timedelta, to the nanosecond of each deadline on the way.

        Each timer that is due runs at its own time, before the next one; timers that those arm, and
        that are due by the end, run too.

        Raises TypeError for a float, ValueError for a negative duration.
        """
        locked(self._advancing, self._advance, duration)

    def _advance(self, duration: int | timedelta) -> None:
        target_ns = min(self._monotonic_ns + _duration_ns(duration), LATEST_NS)
        while True:
            deadlines = [
                (deadline_ns, driven)
                for driven in self._alive()
                if (deadline_ns := driven.next_deadline_ns()) is not None
            ]
            earliest = min(deadlines, key=lambda pair: pair[0], default=None)
            if earliest is None or earliest[0] > target_ns:
                break
            self._move(earliest[0])
            earliest[1].fire_due()
        self._move(target_ns)

    def step(self, duration: int | timedelta) -> None:
        """Let the wall clock jump, either way, as if somebody set it; monotonic time stands still.

        Scheduled jobs that this makes due run at once.
        """
        locked(self._advancing, self._step, duration)

    def _step(self, duration: int | timedelta) -> None:
        wall_ns = self._wall_ns + _duration_ns(duration, signed=True)
        self._wall_ns = min(max(wall_ns, -LATEST_NS), LATEST_NS)
        for driven in self._alive():
            driven.fire_due()

    def _move(self, monotonic_ns: int) -> None:
        forward_ns = max(monotonic_ns - self._monotonic_ns, 0)  # a timer may have advanced further
        self._wall_ns = min(self._wall_ns + forward_ns, LATEST_NS)
        self._monotonic_ns += forward_ns

    def __repr__(self) -> str:
        return f"ManualClock({self.now.isoformat()})"


def _duration_ns(duration: object, *, signed: bool = False) -> int:
    if isinstance(duration, timedelta):
        us = (duration.days * 86400 + duration.seconds) * 10**6 + duration.microseconds
        ns = us * 1000
    elif isinstance(duration, int) and not isinstance(duration, bool):
        ns = duration * 10**6
    else:
        wanted = "an int of ms or a timedelta"
        raise TypeError(
            f"duration must be {wanted}, not {shown(duration)} of type {type(duration).__name__}"
            f"{hint('duration', wanted, duration)}"
        )
    if ns < 0 and not signed:
        raise ValueError(f"time moves on by 0 ms or more, not by {shown(duration)}")
    return ns
