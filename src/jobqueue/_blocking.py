"""The timer thread of a controller, and what a fork does to all of them.

Blocked calls sleep in _waits.pyx, each on a lock of its own, which the engine releases when the
wait ends: nobody polls, nobody is woken in vain, and Ctrl-C ends the sleep at once.

Locking: nothing here holds a lock while it calls into the engine, except to start a thread.
"""

import os
import sys
import weakref
from _thread import TIMEOUT_MAX, RLock, allocate_lock, get_ident
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from . import _records
from ._records import report_error

if TYPE_CHECKING:
    from _thread import LockType

    from ._waits import WaitingEngine

__all__ = ["TimerThread", "fleet", "tell"]

LOOK_NOW: Final = -(2**63)
"""Wake time of a timer thread that has been told to look."""

LOOK_NEVER: Final = 2**63 - 1
"""Wake time while there is no timer thread: whatever is armed is earlier."""

RETRY_NS: Final = 10**9
"""Pause of the timer thread after a look that failed, so that a broken clock does not spin it."""


def tell(message: str, *args: object) -> None:
    """Log what a controller does by itself. Who wants to hear has imported logging: we need not."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.getLogger("jobqueue.controller").debug(message, *args)


class Ticking(Protocol):
    """What a timer thread serves: a controller, or the leases that a worker renews."""

    def _tick(self) -> int | None: ...


class TimerThread:
    """One daemon thread a controller, asleep until the next deadline.

    It holds no reference to its controller while it sleeps, and ends with it.
    """

    __slots__ = ("_signal", "_starting", "_thread")

    def __init__(self, engine: Ticking, name: str = "jobqueue-timers") -> None:
        import threading  # a program without timers need not wait for it

        signal = allocate_lock()
        signal.acquire()
        self._signal: Final = signal
        self._starting: Final = RLock()  # a handler of a signal may join
        # Bound: at the end of the interpreter the names of a module go before controllers do.
        ref = weakref.ref(engine, partial(_release, signal))
        self._thread: Final = threading.Thread(
            target=_run, args=(ref, signal), name=name, daemon=True
        )

    def start(self) -> None:
        """Begin, once its controller knows it, so that a hook may close that at once."""
        with self._starting:
            self._thread.start()

    def poke(self) -> None:
        """Make it look at the deadlines now."""
        _release(self._signal)

    def join(self) -> None:
        """Wait for its end, unless it is the calling thread or one that has not begun."""
        if self._thread.ident == get_ident():
            return
        with self._starting:  # whoever joins may come before the start is over
            running = self._thread.is_alive()
        if running:
            self._thread.join()


def _release(signal: "LockType", _: object = None) -> None:
    try:
        signal.release()
    except RuntimeError:
        pass  # it has been told already, and is on its way


def _run(ref: weakref.ref[Ticking], signal: "LockType") -> None:
    tell("a timer thread has begun")
    while True:
        engine = ref()
        if engine is None:
            return
        try:
            wait_ns = engine._tick()
        except BaseException as error:  # noqa: BLE001 - of a hook or a clock: the thread lives on
            report_error(error, engine)
            wait_ns = RETRY_NS
        if wait_ns is None:
            return
        del engine
        signal.acquire(timeout=-1 if wait_ns < 0 else min(wait_ns / 1e9, TIMEOUT_MAX))


class Fleet:
    """All controllers of the process, to be told of a fork."""

    def __init__(self) -> None:
        self.starting = allocate_lock()
        """Held while a timer thread is started."""
        self._members: weakref.WeakSet[WaitingEngine] = weakref.WeakSet()
        self.changing = RLock()  # a handler of a signal may fork
        """Held while controllers join, while their observers come and go, and round a fork."""
        self._forking: list[WaitingEngine] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._fork_begin, after_in_parent=self._fork_end, after_in_child=self._forked
            )

    def join(self, engine: "WaitingEngine") -> None:
        with self.changing:
            self._members.add(engine)

    def _fork_begin(self) -> None:
        """No thread is in the middle of a transition when the process forks."""
        self.changing.acquire()
        self._forking = [engine for engine in list(self._members) if engine._fork_begin()]

    def _fork_end(self) -> None:
        for engine in self._forking:
            engine._fork_end()
        self._forking = []
        self.changing.release()

    def _forked(self) -> None:
        _records._forked()
        self._fork_end()
        self.starting = allocate_lock()  # its holder may not be here
        for engine in list(self._members):
            engine._forked()


fleet: Final = Fleet()
