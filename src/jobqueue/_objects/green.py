"""Hosts whose threads are greenlets: gevent and eventlet.

A greenlet that waits must let the others of its thread run: it sleeps in the hub, and the
thread that ends its wait wakes it by a descriptor. What must be a real thread stays one, also
where threads were replaced (``monkey.patch_all``, ``monkey_patch``).
"""

from __future__ import annotations

import os
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol

    class WakeUp(Protocol):
        """Wakes one greenlet; made, waited for and closed in its thread."""

        def ring(self, waiter: object = None, /) -> None:
            """Wake it. From any thread; once it is closed, nothing happens."""

        def wait(self, seconds: float | None) -> None:
            """Let the other greenlets run until it rings, or the time is over."""

        def close(self) -> None:
            """Wait no more."""


__all__ = ["RealThread", "real", "replaced", "wake_up"]


def real(name: str) -> Any:
    """A function of _thread that is of the platform, whatever was put in its place."""
    saved = sys.modules.get("gevent.monkey")
    if saved is not None:
        return saved.get_original("_thread", name)
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None:
        return getattr(patcher.original("_thread"), name)
    return getattr(sys.modules["_thread"], name)


def replaced() -> bool:
    """Whether threading.Thread makes greenlets."""
    return real("start_new_thread") is not sys.modules["_thread"].start_new_thread


class RealThread:
    """A thread of the platform: as much of threading.Thread as a timer thread takes."""

    def __init__(
        self, target: Callable[..., object], args: tuple[object, ...], name: str, *, daemon: bool
    ) -> None:
        self._begin: Final = partial(target, *args)
        self._running: Final = real("allocate_lock")()
        self.name: Final = name
        self.daemon: Final = daemon
        self.ident: int | None = None

    def start(self) -> None:
        self._running.acquire()
        try:
            self.ident = real("start_new_thread")(self._work, ())
        except BaseException:
            self._running.release()
            raise

    def _work(self) -> None:
        try:
            self._begin()
        finally:
            self._running.release()

    def is_alive(self) -> bool:
        return bool(self._running.locked())

    def join(self) -> None:
        with self._running:
            pass


def wake_up() -> WakeUp | None:
    """A wake-up if the calling thread has a hub, in which other greenlets may wait for their turn.

    Raises RuntimeError if the caller is the hub itself: it cannot wait.
    """
    local = sys.modules.get("gevent._hub_local")
    hub = None if local is None else local.get_hub_if_exists()
    kind: Callable[[Any], WakeUp] = GeventWakeUp
    if hub is None:
        hubs = sys.modules.get("eventlet.hubs")
        hub = None if hubs is None else getattr(hubs._threadlocal, "hub", None)
        kind = EventletWakeUp
    if hub is None:
        return None
    if sys.modules["greenlet"].getcurrent() is getattr(hub, "greenlet", hub):
        raise RuntimeError(
            "a call that waits would stop the hub: make it in a greenlet, or with a timeout of 0"
        )
    return kind(hub)


class GeventWakeUp:
    """An async watcher of the hub's loop: the one of its watchers that any thread may ring."""

    def __init__(self, hub: Any) -> None:
        self._ringing: Final = real("allocate_lock")()
        self._event: Final = __import__("gevent.event", fromlist=["Event"]).Event()
        self._watcher: Any = hub.loop.async_()
        self._watcher.start(self._event.set)

    def ring(self, _: object = None, /) -> None:
        with self._ringing:
            if self._watcher is not None:
                self._watcher.send()

    def wait(self, seconds: float | None) -> None:
        self._event.wait(seconds)

    def close(self) -> None:
        with self._ringing:
            watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


class EventletWakeUp:
    """A pipe: eventlet's hub knows no other way to be woken from another thread."""

    def __init__(self, hub: Any) -> None:
        self._hub: Final = hub
        self._os: Final = __import__(os.name)  # eventlet replaces functions of os
        self._ringing: Final = real("allocate_lock")()
        self._reader, self._writer = self._os.pipe()

    def ring(self, _: object = None, /) -> None:
        with self._ringing:
            if self._writer >= 0:
                self._os.write(self._writer, b"!")

    def wait(self, seconds: float | None) -> None:
        hubs = sys.modules["eventlet.hubs"]
        try:
            hubs.trampoline(self._reader, read=True, timeout=seconds, timeout_exc=_Over)
        except _Over:
            pass

    def close(self) -> None:
        with self._ringing:
            reader, writer = self._reader, self._writer
            self._reader = self._writer = -1
        if writer >= 0:
            self._os.close(reader)
            self._os.close(writer)


class _Over(Exception):  # noqa: N818 - it never leaves this module
    """The time of a wait is over."""
