"""Event loops in threads of their own, and a controller for asyncio behind plain calls."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from jobqueue import aio
from jobqueue.testing.waiting import wait_until


class LoopThread:
    """An event loop that runs in a thread."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call in the loop, await what is to be awaited, and give what comes of it."""

        async def call() -> Any:
            outcome = function(*args, **kwargs)
            return await outcome if inspect.isawaitable(outcome) else outcome

        if threading.current_thread() is self._thread:  # a hook calls the engine
            return function(*args, **kwargs)
        return asyncio.run_coroutine_threadsafe(call(), self.loop).result()

    def rest(self) -> None:
        """Fail if a task is left behind."""
        wait_until(lambda: not self.do(self._others), "the end of all tasks")

    def _others(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class AwaitedEngine:
    """An aio.Controller whose calls are made in a loop, each to its end; for the conformance suite.

    shared: what does not wait is called on the controller for threads, from the thread of the test.
    """

    def __init__(self, thread: LoopThread, engine: aio.Controller, *, shared: bool) -> None:
        self._thread = thread
        self._engine = engine
        self._plain = engine.controller if shared else engine

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(self._engine, name):
            return getattr(self._engine.controller, name)
        value = getattr(self._engine, name)
        if name == "attempt":
            return lambda *args, **kwargs: AwaitedAttempt(self._thread, value(*args, **kwargs))
        if name in {"add", "schedule"}:
            return self._adding(name)
        if inspect.iscoroutinefunction(value):
            return lambda *args, **kwargs: self._thread.do(value, *args, **kwargs)
        value = getattr(self._plain, name)
        known = name in {"expire", "timeout_attempt"}  # compared with what hooks are
        if not callable(value) or known or self._plain is not self._engine:
            return value
        return lambda *args, **kwargs: self._thread.do(value, *args, **kwargs)

    def _adding(self, name: str) -> Callable[..., None]:
        def add(job: Any, wait: Any = 0) -> None:
            if wait:
                self._thread.do(getattr(self._engine, f"{name}_wait"), job, wait)
            elif self._plain is not self._engine:
                getattr(self._plain, name)(job)
            else:
                self._thread.do(getattr(self._engine, name), job)

        return add

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()


class AwaitedAttempt:
    """`async with` from a thread."""

    def __init__(self, thread: LoopThread, attempt: aio.Attempt) -> None:
        self._thread = thread
        self._attempt = attempt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attempt, name)

    def __enter__(self) -> aio.Attempt:
        entered: aio.Attempt = self._thread.do(self._attempt.__aenter__)
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.do(self._attempt.__aexit__, kind, error, trace)
