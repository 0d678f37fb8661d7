"""The sleep of a coroutine, which any thread or another coroutine may end.

Invariant: a wait that was begun is finished or abandoned, whatever happens to its task. So a job
that was handed to a task that is cancelled goes back as if it had never been leased.
"""

from asyncio import Future, _get_running_loop, get_running_loop
from collections.abc import Callable
from functools import partial
from typing import Any

from .._objects.whole import ring_future
from .._ports import LeasePort
from .._values import RunResult
from ..interfaces import Duration
from ._retry import duration_ms

__all__ = ["left", "sleep_begin", "waited"]


def sleep_begin(engine: LeasePort) -> tuple[Future[None], Callable[[Any], None]]:
    """A future to await, and what the engine is to call when the wait has ended."""
    future = get_running_loop().create_future()
    return future, partial(_wake, engine, future)


async def waited(
    engine: LeasePort,
    future: Future[None],
    what: object,
    duration: Duration,
    begin: Callable[..., Any],
    *arguments: object,
) -> Any:
    """Begin a wait, and return what it comes to, or what comes without one."""
    waiter = None
    try:
        waiter = begin(*arguments)
        if waiter is None or isinstance(waiter, RunResult):
            return waiter
        await future
        return engine.wait_finish(waiter, what, duration_ms(duration, "timeout"))
    except BaseException:
        left(engine, future, waiter)
        raise


def left(engine: LeasePort, future: Future[None], waiter: Any) -> None:
    """A task leaves its wait. One that was struck as that began may not know it: it is deserted."""
    if waiter is None:
        future.cancel()
    else:
        engine.wait_abandon(waiter)


def _wake(engine: LeasePort, future: Future[None], waiter: Any) -> None:
    """From any thread. Struck by an exception it is called again: twice does no harm."""
    if future.cancelled():
        engine.wait_desert(waiter)  # its task, if there is one, leaves it, too
        return
    loop = future.get_loop()
    if _get_running_loop() is loop:
        ring_future(future)
        return
    try:
        loop.call_soon_threadsafe(ring_future, future)
    except RuntimeError:
        if not loop.is_closed():
            raise  # RecursionError is one: it is tried again
        engine.wait_desert(waiter)  # nobody will ever come for the job
