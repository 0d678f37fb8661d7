"""Worker: handlers in tasks of one event loop. What it decides is in worker/_policy.

Invariant: a task that is cancelled releases its job: at the end of a drain, or when the loop ends.
"""

import asyncio
import inspect
import random
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from .._job import MAX_TIMEOUT, Job
from ..errors import ClosedError, WaitTimeoutError
from ..interfaces import Duration
from ..worker._policy import Attempt, Handler, Policy, Renewals, Retry, duration_ms
from ._controller import Controller

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from ..worker._processes import Processes

__all__ = ["Worker"]

TURN: Final = 16
"""Jobs that a task may handle in a row, if its handler never waits."""

H = TypeVar("H", bound=Handler)


class Worker:
    """Tasks that lease jobs, call the handler of each job's name, and answer for it.

    As jobqueue.worker.Worker; handlers are coroutine functions, or plain ones that do not block.

    >>> import asyncio
    >>> from jobqueue import aio
    >>> async def main():
    ...     async with aio.Controller() as c:
    ...         worker = aio.Worker(c)
    ...         @worker.handler("double")
    ...         async def double(attempt):
    ...             return attempt.job.payload * 2
    ...         async with worker:
    ...             return (await c.run(Job("double", b"ab"), 1000)).result
    >>> asyncio.run(main())
    b'abab'
    """

    def __init__(
        self,
        controller: Controller,
        handlers: Mapping[str, Handler] | None = None,
        *,
        concurrency: int = 100,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        mp_context: "BaseContext | None" = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}")
        self._leaser: Final = controller
        self._policy: Final = Policy(controller.controller, handlers, retry or Retry(), rng)
        self._concurrency: Final = concurrency
        self._renewals: Final = Renewals(controller.controller, self._poke)
        self._renewer: asyncio.TimerHandle | None = None
        self._processes: Processes | None = None
        self._mp_context: Final = mp_context
        self._tasks: dict[asyncio.Task[None], bool] = {}  # and whether it has a job
        self._stopping = False
        self._manual: Final = self._renewals.attach_to(controller.clock)

    def handler(
        self, name: str, *, retry: Retry | None = None, touch: bool = True, process: bool = False
    ) -> Callable[[H], H]:
        """Decorate the handler of a name; see jobqueue.worker.Worker.handler."""
        if self._tasks:
            raise RuntimeError("the worker has been started: its handlers are fixed")
        return self._policy.decorator(name, retry=retry, touch=touch, process=process)

    # ------------------------------------------------------------ beginning and ending

    def start(self) -> None:
        """Start the tasks, in the running loop. A worker is started once."""
        if self._tasks:
            raise RuntimeError("a worker is started once")
        names = self._policy.names()
        self._processes = self._policy.processes(self._mp_context)
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._work(names), name=f"jobqueue-worker-{number}"): False
            for number in range(self._concurrency)
        }

    async def stop(self, drain: Duration = 30_000) -> bool:
        """Take no more jobs, and wait up to ``drain`` (ms or timedelta) for those that are running.

        Their attempts are told at once (``attempt.cancelled``). What is not finished in time is
        cancelled, and its job released, so that another worker may have it. Returns whether all was
        finished in time. In a handler it only tells the worker to stop.
        """
        drain_s = duration_ms(drain) / 1000
        self._stop_begin()
        if asyncio.current_task() in self._tasks:
            return False
        left = [task for task in self._tasks if not task.done()]
        if left:
            left = list((await asyncio.wait(left, timeout=drain_s))[1])
        return await self._stop_end(left)

    async def run(self, drain: Duration = 30_000) -> bool:
        """Start, and stop on SIGTERM or SIGINT, as a main program does; a second ends the drain.

        Returns as ``stop`` when all is stopped: also by ``stop``, or when the controller is closed.
        """
        drain_s = duration_ms(drain) / 1000
        loop = asyncio.get_running_loop()
        signals: asyncio.Queue[int] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, number)
        try:
            self.start()
            left = await self._until_signal(signals, None)
            self._stop_begin()
            if left:
                left = await self._until_signal(signals, drain_s)
            return await self._stop_end(left)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _until_signal(
        self, signals: "asyncio.Queue[int]", timeout_s: float | None
    ) -> list[asyncio.Task[None]]:
        """The tasks that are left at a signal, or when the time is over."""
        struck = asyncio.ensure_future(signals.get())
        left = [task for task in self._tasks if not task.done()]
        try:
            while left and not struck.done():
                done, _ = await asyncio.wait(
                    [struck, *left], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                left = [task for task in left if not task.done()]
                if not done:
                    break
        finally:
            struck.cancel()
        return left

    def _stop_begin(self) -> None:
        self._stopping = True
        for task, busy in self._tasks.items():
            if not busy:
                task.cancel()
        for attempt in list(self._renewals.running):
            attempt.cancelled = True

    async def _stop_end(self, left: list[asyncio.Task[None]]) -> bool:
        """Cancel what is still running; whether nothing was."""
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        self._renewals.ended = True
        if self._renewer is not None:
            self._renewer.cancel()
        if self._processes is not None:
            self._processes.close()
        return not left

    # ------------------------------------------------------------ a task's work

    async def _work(self, names: str | list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is one of ours
        handled = 0
        try:
            while not self._stopping:
                try:
                    leased = await self._leaser._lease_attempt(names, MAX_TIMEOUT)
                except WaitTimeoutError:
                    continue
                self._tasks[task] = True
                await self._handle(leased, task)
                self._tasks[task] = False
                handled += 1
                if handled % TURN == 0:  # however many jobs there are, others have their turn
                    await asyncio.sleep(0)
        except ClosedError:
            pass

    async def _handle(self, leased: tuple[Job, int, int], task: "asyncio.Task[None]") -> None:
        attempt = self._policy.begin(leased)
        self._renewals.begin(attempt)
        attempt.cancelled = self._stopping
        try:
            if attempt.rule.process:
                await self._handle_in_process(attempt)
                return
            value = attempt.rule.handler(attempt)
            if inspect.isawaitable(value):
                value = await value
        except asyncio.CancelledError as error:
            if task.cancelling():
                self._policy.released(attempt)
                raise
            self._policy.failed(attempt, error)  # of something that the handler waited for
        except Exception as error:  # noqa: BLE001 - whatever it raises is its job's failure
            self._policy.failed(attempt, error)
        except BaseException:
            self._policy.released(attempt)
            raise
        else:
            self._policy.succeeded(attempt, value)
        finally:
            self._renewals.end(attempt)

    async def _handle_in_process(self, attempt: Attempt) -> None:
        assert self._processes is not None  # noqa: S101 - made at the start, for rules like this
        slot, future = self._processes.begin(attempt)
        awaited = asyncio.wrap_future(future)
        awaited.add_done_callback(_retrieve)
        try:
            await asyncio.wait([awaited])
        finally:
            self._processes.end(attempt, slot, future)

    def _poke(self) -> None:
        """A lease is to be renewed earlier than was known."""
        if not self._manual:  # else whoever advances the clock sees to it
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        wait_ns = self._renewals._tick()
        if self._renewer is not None:
            self._renewer.cancel()
            self._renewer = None
        if wait_ns is not None and wait_ns >= 0:
            loop = asyncio.get_running_loop()
            self._renewer = loop.call_later(wait_ns / 1e9, self._renew)


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Its exception is seen to where the job is answered."""
    if not future.cancelled():
        future.exception()
