"""The workers of the process that were started: what the end of the program does to them."""

import atexit
import os
import warnings
import weakref
from typing import Final, Protocol

from ..interfaces import Duration

__all__ = ["EXIT_DRAIN_MS", "Started", "started", "stopped"]

EXIT_DRAIN_MS: Final = 10_000
"""How long the end of the program waits for what a worker runs that nobody has stopped."""


class Stoppable(Protocol):
    def stop(self, drain: Duration) -> bool: ...


class Started:
    """That a worker was started, and by which process."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid: int | None = None

    def begin(self) -> None:
        """Note it, once. Raises RuntimeError if it was started before."""
        if self._pid is None:
            self._pid = os.getpid()
        elif self.elsewhere():
            raise RuntimeError(
                "this worker was started before a fork, and runs in the parent only: make a new"
                " Worker in each process, after the fork"
            )
        else:
            raise RuntimeError("a worker is started once")

    def elsewhere(self) -> bool:
        """Whether it runs in another process, from which this one was forked."""
        return self._pid is not None and self._pid != os.getpid()


_workers: "Final[weakref.WeakSet[Stoppable]]" = weakref.WeakSet()


def started(worker: Stoppable) -> None:
    """Let the end of the program stop a worker, unless somebody has by then."""
    _workers.add(worker)


def stopped(worker: Stoppable) -> None:
    _workers.discard(worker)


def _stop_all() -> None:
    """The program ends: what is running may come to its end, which its threads could not."""
    for worker in list(_workers):
        try:
            warnings.warn(f"{worker!r} was never stopped", ResourceWarning, stacklevel=1)
        finally:
            worker.stop(EXIT_DRAIN_MS)


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.clear)
