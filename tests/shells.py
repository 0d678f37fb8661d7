"""A worker of each kind behind the same plain calls: threads, tasks, plain functions on a loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

from jobqueue import Controller, aio
from jobqueue.testing.waiting import PATIENCE_S
from jobqueue.worker import Worker
from tests.loops import LoopThread

KINDS = ("threads", "tasks", "plain")


class Shell:
    """A worker. In "tasks" each handler is a coroutine function; in "plain" a loop calls it."""

    def __init__(self, kind: str, controller: Controller, **options: Any) -> None:
        self.kind = kind
        self.worker: Any
        if kind == "threads":
            self._loop = None
            self.worker = Worker(controller, **options)
        else:
            self._loop = LoopThread(asyncio.new_event_loop)
            self.worker = aio.Worker(aio.Controller(controller), **options)

    def handler(
        self,
        name: str,
        function: Callable[[Any], Any],
        *,
        gate: threading.Event | None = None,
        **options: Any,
    ) -> Self:
        """Let a function handle a name, once the gate is open; that is waited for as is fit."""

        async def in_task(attempt: Any) -> Any:
            while gate is not None and not gate.is_set():
                await asyncio.sleep(0.001)
            return function(attempt)

        def in_thread(attempt: Any) -> Any:
            assert gate is None or gate.wait(PATIENCE_S)
            return function(attempt)

        own = in_task if self.kind == "tasks" else in_thread
        self.worker.handler(name, **options)(function if options.get("process") else own)
        return self

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._loop is None:
            return function(*args, **kwargs)
        return self._loop.do(function, *args, **kwargs)

    def alive(self) -> int:
        """Slots that live."""
        if self._loop is None:
            return sum(thread.is_alive() for thread in self.worker._threads)
        return self.do(lambda: len(self.worker._left()))  # type: ignore[no-any-return]

    def start(self) -> Self:
        self.do(self.worker.start)
        return self

    def stop(self, drain: int = 20_000) -> bool:
        stopped: bool = self.do(self.worker.stop, drain)
        return stopped

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.close()

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()
