"""All controllers of the process: they are told of a fork, before and after it.

Locking: ``changing`` is held while controllers are added and round a fork; nothing else is.
"""

from __future__ import annotations

import os
from _weakrefset import WeakSet

from .._objects import green as _green
from .._objects import registry
from .._objects.whole import locked
from .._structures import system as _system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .base import EngineBase

__all__ = ["live_controllers"]

# Of the platform: what is shared with real threads must not be shared by greenlets alone.
RLock: Final[Any] = _green.real("RLock")


class LiveControllers:
    """All controllers of the process, to be told of a fork."""

    def __init__(self) -> None:
        self._members: WeakSet[EngineBase] = WeakSet()
        self.changing = RLock()  # a handler of a signal may fork
        """Held while controllers are added, while their observers change, and round a fork."""
        self._forking: list[EngineBase] = []
        self._forks_seen = _system.forks()
        self._looking: dict[int, Any] = {}  # a child's lock, by how many forks lie before it
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._fork_begin, after_in_parent=self._fork_end, after_in_child=self.forked
            )

    def join(self, engine: EngineBase) -> None:
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


live_controllers: Final = LiveControllers()
