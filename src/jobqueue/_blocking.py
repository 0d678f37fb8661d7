"""The timer thread of a controller, and what a fork does to all of them.

A thread of its own starts it (_base.pyx, poke): in the thread of a verb no bytecode runs for that,
so no signal can come between, and a handler of a signal may start another controller.

Blocked calls sleep in _waits.pyx, each on a lock of its own, which the engine releases when the
wait ends: nobody polls, nobody is woken in vain, and Ctrl-C ends the sleep at once.

Locking: nothing here holds a lock while it calls into the engine.
"""

import os
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._objects import green as _green
from ._objects import registry
from ._objects.whole import WakeSignal, locked, serve
from ._structures import system as _system

if TYPE_CHECKING:
    from ._waits import WaitingEngine

__all__ = ["TimerThread", "fleet", "tell"]

# Of the platform: what is shared with real threads must not be shared by greenlets alone.
RLock: Final[Any] = _green.real("RLock")
get_ident: Final[Any] = _green.real("get_ident")


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

        signal = WakeSignal()
        self._signal: Final = signal
        self._starting: Final = RLock()  # a handler of a signal may join
        # Bound: at the end of the interpreter the names of a module go before controllers do.
        ref = weakref.ref(engine, partial(_ring, signal))
        thread = _green.RealThread if _green.replaced() else threading.Thread
        self._thread: Final = thread(target=_run, args=(ref, signal), name=name, daemon=True)

    def start(self) -> None:
        """Begin, once its controller knows it, so that a hook may close that at once."""
        locked(self._starting, self._thread.start)

    def poke(self) -> None:
        """Make it look at the deadlines now."""
        self._signal.ring()

    def join(self) -> None:
        """Wait for its end, unless it is the calling thread or one that has not begun."""
        if self._thread.ident == get_ident():
            return
        if locked(self._starting, self._thread.is_alive):  # after its start
            self._thread.join()


def _ring(signal: WakeSignal, _: object) -> None:
    signal.ring()


def _run(ref: weakref.ref[Any], signal: WakeSignal) -> None:
    if getattr(ref(), "_thread_serves", _yes)(signal):  # else another does
        try:
            tell("a timer thread has begun")
            serve(ref, signal)
        finally:
            getattr(ref(), "_thread_ended", _yes)(signal)


def _yes(_: object) -> bool:
    return True


class Fleet:
    """All controllers of the process, to be told of a fork."""

    def __init__(self) -> None:
        self._members: weakref.WeakSet[WaitingEngine] = weakref.WeakSet()
        self.changing = RLock()  # a handler of a signal may fork
        """Held while controllers join, while their observers come and go, and round a fork."""
        self._forking: list[WaitingEngine] = []
        self._forks_seen = _system.forks()
        self._looking: dict[int, Any] = {}  # a child's lock, by how many forks lie before it
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._fork_begin, after_in_parent=self._fork_end, after_in_child=self.forked
            )

    def join(self, engine: "WaitingEngine") -> None:
        locked(self.changing, self._members.add, engine)

    def _fork_begin(self) -> None:
        """No thread is in the middle of a transition when the process forks."""
        self.changing.acquire()
        self._forking = [engine for engine in list(self._members) if engine._fork_begin()]

    def _fork_end(self) -> None:
        for engine in self._forking:
            engine._fork_end()
        self._forking = []
        self.changing.release()

    def forked(self) -> None:
        """In a child, once: by Python's hook, or by the first verb where the host did not run it.

        Locks are made anew: their holders need not be here.
        """
        forks = _system.forks()
        with self._looking.setdefault(forks, RLock()):  # one of the child's threads looks
            if self._forks_seen == forks:
                return
            registry._forked()
            self.changing = RLock()
            self._forking = []
            for engine in list(self._members):
                engine._forked()
            self._forks_seen = forks


fleet: Final = Fleet()
