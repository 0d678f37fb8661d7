"""The only room that sleeps: blocked calls, and the timer thread.

A blocked call sleeps on a lock of its own, which the engine releases when the wait ends: nobody
polls, nobody is woken in vain, and Ctrl-C ends the sleep at once.

Locking: nothing here holds a lock while it calls into the engine, except to start a thread.
"""

import os
import threading
import weakref
from _thread import LockType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._waits import WaitingEngine as Engine
    from ._records import Waiter

__all__ = ["TimerThread", "sleep"]

LOOK_NOW: Final = -(2**63)
"""Wake time of a timer thread that has been told to look."""


def sleep(engine: "Engine", waiter: "Waiter", signal: LockType, timeout_ms: int) -> None:
    """Sleep until a wait ends, at most ``timeout_ms``; longer only for a run that is leased."""
    if not signal.acquire(timeout=timeout_ms / 1000):
        engine._lapse(waiter)
        if waiter.pending:
            signal.acquire()


def sleep_by_hand(signal: LockType) -> None:
    """Sleep until a wait ends; its time-out is a timer on the clock that somebody advances."""
    signal.acquire()


class TimerThread:
    """One daemon thread a controller, asleep until the next deadline.

    It holds no reference to its controller while it sleeps, and ends with it.
    """

    __slots__ = ("_signal", "_thread")

    def __init__(self, engine: "Engine") -> None:
        signal = threading.Lock()
        signal.acquire()
        self._signal: Final = signal
        ref = weakref.ref(engine, lambda _: _release(signal))
        self._thread: Final = threading.Thread(
            target=_run, args=(ref, signal), name="jobqueue-timers", daemon=True
        )
        self._thread.start()

    def poke(self) -> None:
        """Make it look at the deadlines now."""
        _release(self._signal)

    def join(self) -> None:
        """Wait for its end, unless it is the calling thread."""
        if self._thread is not threading.current_thread():
            self._thread.join()


def _release(signal: LockType) -> None:
    try:
        signal.release()
    except RuntimeError:
        pass  # it has been told already, and is on its way


def _run(ref: "weakref.ref[Engine]", signal: LockType) -> None:
    while True:
        engine = ref()
        wait_ns = None if engine is None else engine._tick()
        if wait_ns is None:
            return
        del engine
        signal.acquire(timeout=-1 if wait_ns < 0 else min(wait_ns / 1e9, threading.TIMEOUT_MAX))


class Fleet:
    """All controllers of the process, to be told of a fork."""

    def __init__(self) -> None:
        self._members: weakref.WeakSet[Engine] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def join(self, engine: "Engine") -> None:
        self._members.add(engine)

    def _forked(self) -> None:
        for engine in list(self._members):
            engine._forked()


fleet: Final = Fleet()
