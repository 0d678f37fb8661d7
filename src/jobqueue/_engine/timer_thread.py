"""The timer thread of a controller.

A thread of its own starts it (base.pyx, poke): in the thread of a verb no bytecode runs for that,
so no signal can come between, and a handler of a signal may start another controller.

Blocked calls sleep in waiting.pyx, each on a lock of its own, which the engine releases when the
wait ends: nobody polls, nobody is woken in vain, and Ctrl-C ends the sleep at once.

Locking: nothing here holds a lock while it calls into the engine.
"""

from __future__ import annotations

import sys
from _weakref import ref
from functools import partial

from .._objects import green as _green
from .._objects.whole import WakeSignal, locked, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    class Ticking(Protocol):
        """What a timer thread serves: a controller, or the leases that a worker renews."""

        def _tick(self) -> int | None: ...


__all__ = ["TimerThread", "tell"]

# Of the platform: what is shared with real threads must not be shared by greenlets alone.
RLock: Final[Any] = _green.real("RLock")
get_ident: Final[Any] = _green.real("get_ident")


def tell(message: str, *args: object) -> None:
    """Log what a controller does by itself. Who wants to hear has imported logging: we need not."""
    get_logger = getattr(sys.modules.get("logging"), "getLogger", None)
    if get_logger is not None:  # else nobody has imported it, or another thread is about to
        get_logger("jobqueue.controller").debug(message, *args)


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
        served = ref(engine, partial(_ring, signal))
        thread = _green.RealThread if _green.replaced() else threading.Thread
        self._thread: Final = thread(target=_run, args=(served, signal), name=name, daemon=True)

    def start(self) -> None:
        """Begin, once its controller knows it, so that a hook may close that at once."""
        locked(self._starting, self._thread.start)

    def poke(self) -> None:
        """Make it look at the deadlines now."""
        self._signal.ring()

    def is_alive(self) -> bool:
        """Whether it has begun, and not ended."""
        return bool(self._thread.is_alive())

    def join(self) -> None:
        """Wait for its end, unless it is the calling thread or one that has not begun."""
        if self._thread.ident == get_ident():
            return
        if locked(self._starting, self._thread.is_alive):  # after its start
            self._thread.join()


def _ring(signal: WakeSignal, _: object) -> None:
    signal.ring()


def _run(served: ref[Any], signal: WakeSignal) -> None:
    if getattr(served(), "_thread_serves", _yes)(signal):  # else another does
        try:
            tell("a timer thread has begun")
            serve(served, signal)
        finally:
            getattr(served(), "_thread_ended", _yes)(signal)


def _yes(_: object) -> bool:
    return True
