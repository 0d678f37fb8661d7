"""The signals that end a main program on a loop; the program's own handlers are put back after."""

import asyncio
import signal
from typing import Any, Final, Self

from ._wake_up import SIGNALS, restore

__all__ = ["Signals"]


class Signals:
    """A queue of the signals that struck, while its block runs. In the main thread."""

    def __init__(self) -> None:
        self.struck: Final[asyncio.Queue[int]] = asyncio.Queue()
        self._loop: Final = asyncio.get_running_loop()
        self._kept: list[tuple[int, Any, Any]] = []

    def __enter__(self) -> Self:
        known = getattr(self._loop, "_signal_handlers", {})  # asyncio does not tell otherwise
        self._fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._fd, warn_on_full_buffer=False)
        try:
            for number in SIGNALS:
                kept = (number, signal.getsignal(number), known.get(number))
                try:
                    self._loop.add_signal_handler(number, self.struck.put_nowait, number)
                except NotImplementedError:  # the loops of Windows
                    signal.signal(number, self._strike)
                self._kept.append(kept)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler, of_loop in self._kept:
            try:
                self._loop.remove_signal_handler(number)
            except NotImplementedError:
                pass
            if of_loop is not None:
                self._loop.add_signal_handler(number, of_loop._callback, *of_loop._args)  # noqa: SLF001 - asyncio's: it shows them nowhere else
            else:
                restore(number, handler)
        if not any(of_loop for _, _, of_loop in self._kept):
            signal.set_wakeup_fd(self._fd, warn_on_full_buffer=False)

    def _strike(self, number: int, _frame: object) -> None:
        self._loop.call_soon_threadsafe(self.struck.put_nowait, number)
