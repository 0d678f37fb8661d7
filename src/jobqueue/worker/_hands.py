"""Threads that call what would block a loop: plain handlers, and those that run in a process.

A pool of concurrent.futures is joined when the interpreter ends, so that a handler that never
returns would keep it; and a StopIteration cannot go through its futures. These are daemons, as many
as there are calls at a time, and are kept for the next ones.
"""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

__all__ = ["Hands", "Outcome"]

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a call returned, and what it raised."""

Call: TypeAlias = tuple["asyncio.Future[Outcome]", Context, Callable[[Any], Any], Any]


class Hands:
    """The threads of a worker."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Call | None]] = []
        self._changing: Final = threading.Lock()
        self._closed = False

    def call(
        self, context: Context, function: Callable[[Any], Any], argument: Any
    ) -> "asyncio.Future[Outcome]":
        """Call in a thread; the future is of the running loop, and may be cancelled.

        Raises RuntimeError if no thread can be started.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        with self._changing:
            calls = self._idle.pop() if self._idle else None
        if calls is None:
            calls = SimpleQueue()
            threading.Thread(
                target=self._serve, args=(calls,), name="jobqueue-handler", daemon=True
            ).start()
        calls.put((future, context, function, argument))
        return future

    def close(self) -> None:
        """End the threads that are idle; those that work end after it."""
        with self._changing:
            self._closed = True
            idle, self._idle = self._idle, []
        for calls in idle:
            calls.put(None)

    def _serve(self, calls: "SimpleQueue[Call | None]") -> None:
        while self._serve_one(calls):  # an idle thread keeps nothing of the last call
            pass

    def _serve_one(self, calls: "SimpleQueue[Call | None]") -> bool:
        call = calls.get()
        if call is None:
            return False
        future, context, function, argument = call
        outcome: Outcome
        try:
            outcome = context.run(function, argument), None
        except BaseException as error:  # noqa: BLE001 - it goes to who awaits it
            outcome = None, error
        with self._changing:
            if not self._closed:
                self._idle.append(calls)
        try:
            future.get_loop().call_soon_threadsafe(_end, future, outcome)
        except RuntimeError:
            pass  # the loop is closed: nobody awaits it
        del call, future, outcome  # an exception knows this frame, which would know it
        return not self._closed


def _end(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
