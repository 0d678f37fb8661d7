"""What wakes a main program: SIGTERM and SIGINT, and `ring` from any thread."""

import selectors
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any, Final, Self

__all__ = ["SIGNALS", "WakeUp", "restore"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
"""At which a worker's main program stops."""


def restore(number: int, handler: Any) -> None:
    """Give a signal the handler back that it had; None is one that was not set by Python."""
    if handler is not None:
        signal.signal(number, handler)


class WakeUp:
    """What wakes a main program: SIGTERM and SIGINT, and `ring` from any thread.

    A signal may strike another thread, or just before this one falls asleep; only the descriptor
    that Python writes to at once, wherever it strikes, wakes a sleeper in any case.
    """

    def __init__(self) -> None:
        self.signals = 0

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("run() hears signals, which only the main thread can: use start()")
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._near, selectors.EVENT_READ)
        self._fd = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        self._kept = {number: signal.signal(number, self._struck) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            restore(number, handler)
        signal.set_wakeup_fd(self._fd)
        self._selector.close()
        self._near.close()
        self._far.close()

    def _struck(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1

    def ring(self) -> None:
        try:
            self._far.send(b"\0")
        except OSError:
            pass  # it is full, so somebody is about to wake; or closed, and nobody sleeps

    def wait(self, end: float | None) -> bool:
        """Sleep until it rings; False when the time is over first."""
        timeout = None if end is None else max(0.0, end - time.monotonic())
        if not self._selector.select(timeout):
            return False
        self._near.recv(4096)
        return True
