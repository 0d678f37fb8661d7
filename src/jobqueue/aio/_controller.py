"""Controller and Attempt for asyncio.

Locking: none. Several event loops and any number of threads may share one engine; each wait knows
the loop that it belongs to (see _sleep).
"""

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Never, Self, TypedDict, Unpack

from .. import controller as _threads
from .._objects.job import Job
from .._objects.registry import Registry, report_error
from .._ports import Leased, WaitPort
from ..errors import shown
from ..interfaces import Clock, Duration, IDLike, QueueControllerInterface, RunResult
from ..worker._sleep import left, sleep_begin, waited
from ._verbs import Verbs

if TYPE_CHECKING:
    import random

__all__ = ["Attempt", "Controller"]


class Options(TypedDict, total=False):
    """What jobqueue.Controller takes."""

    registry: Registry | None
    queues: QueueControllerInterface | None
    clock: Clock | None
    rng: "random.Random | None"
    result_ttl: Duration | None
    max_jobs: int | None
    max_bytes: int | None
    history: int
    keep_expired: Duration


class Controller(Verbs):
    """A job queue engine whose waiting calls (lease, lease_many, run, result, attempt) are awaited.

    controller: the jobqueue.Controller whose engine it shares; a fresh one when None, made with
    ``options``. A thread may add to that one what a task leases from this one, and the reverse.

    Everything else is called as it is there: nothing else ever waits. Calls are safe from any
    thread, and any number of event loops may share one engine.

    A task that is cancelled while it waits leaves nothing behind: no place in line, and no job,
    even if one was handed to it in the same moment.

    As a context manager (``async with`` or ``with``) it closes the engine that it made; an engine
    that it was given stays open.

    >>> import asyncio
    >>> from jobqueue import aio
    >>> async def main():
    ...     async with aio.Controller() as c:
    ...         waiting = asyncio.ensure_future(c.lease("mail", 1000))
    ...         c.add(Job("mail", b"to: you"))
    ...         return (await waiting).payload
    >>> asyncio.run(main())
    b'to: you'
    """

    def __init__(
        self, controller: _threads.Controller | None = None, **options: Unpack[Options]
    ) -> None:
        if controller is not None and options:
            raise TypeError("options are for the controller that is made when none is given")
        if controller is not None and not isinstance(controller, (_threads.Controller, WaitPort)):
            raise TypeError(_no_controller_text(controller))
        self._owner = controller is None
        super().__init__(_threads.Controller(**options) if controller is None else controller)
        self._lease_now = self._engine.lease_now
        self._lease_begin = self._engine.lease_begin
        self._wait_finish = self._engine.wait_finish

    # ------------------------------------------------------------ what waits

    async def lease(self, names: str | Sequence[str], timeout: Duration) -> Job:
        """Take a job of one of ``names``, waiting up to ``timeout`` (ms or timedelta). O(log n).

        Raises WaitTimeoutError, InvalidNameError, InvalidTimeoutError, ClosedError.
        """
        if type(names) is not str:
            names, timeout = self._engine.lease_arguments(names, timeout)
        job: Job | None = self._lease_now(names, timeout)
        if job is not None:
            return job
        # As waited does, but with one coroutine less: this is the way of every hand-off.
        future, wake = sleep_begin(self._engine)
        timeout_ms = _ms(timeout)
        waiter = None
        try:
            waiter = self._lease_begin(names, timeout_ms, wake)
            await future
            # Within the try, so that nothing can strike between. The stub says Any, as what it
            # returns depends on the kind of the waiter.
            return self._wait_finish(waiter, names, timeout_ms)  # type: ignore[no-any-return]
        except BaseException:
            left(self._engine, future, waiter)
            raise

    async def lease_detailed(self, names: str | Sequence[str], timeout: Duration) -> Leased:
        """As lease, but a Leased: job, number of the attempt, monotonic ns of its deadline."""
        if type(names) is not str:
            names, timeout = self._engine.lease_arguments(names, timeout)
        leased: Leased | None = self._lease_now(names, timeout, True)
        if leased is None:
            future, wake = sleep_begin(self._engine)
            asked = names, _ms(timeout)
            leased = await waited(
                self._engine, future, *asked, self._lease_begin, *asked, wake, True
            )
        return leased

    async def lease_many(self, names: str | Sequence[str], n: int, timeout: Duration) -> list[Job]:
        """Lease up to ``n`` jobs; waits, up to ``timeout``, only for the first. O(n log m).

        Returns a list of 1 to n Jobs. Raises as lease.
        """
        distinct, _ = self._engine.lease_arguments(names, 0)  # each is read once
        self._engine.count_check(n)
        _, timeout_ms = self._engine.lease_arguments(distinct, timeout)
        first = await self.lease(distinct, timeout_ms)
        if n == 1 or self._engine.closed:
            return [first]
        try:
            return [first, *self._engine.take_many(distinct, n - 1)]
        except Exception as error:  # noqa: BLE001 - the first is leased all the same
            report_error(error, self.lease_many)
            return [first]

    async def add_wait(self, job: Job, wait: Duration) -> None:
        """Put a job in line, once there is room: as jobqueue.Controller.add with a ``wait``.

        A cancelled task leaves the line of those who wait; a job that was taken in at the same
        moment is taken back, unless a worker has it already.
        """
        await self._add_wait(job, wait, scheduled=False)

    async def schedule_wait(self, job: Job, wait: Duration) -> None:
        """Put a job in line at its time, once there is room; see add_wait."""
        await self._add_wait(job, wait, scheduled=True)

    async def _add_wait(self, job: Job, wait: Duration, *, scheduled: bool) -> None:
        future, wake = sleep_begin(self._engine)
        begin = self._engine.add_begin
        await waited(self._engine, future, None, wait, begin, job, wait, wake, scheduled)

    async def run(self, job: Job, timeout: Duration) -> RunResult:
        """Add a job without TTL and wait for its result; see jobqueue.Controller.run.

        Whatever happens, cancellation included, the job is gone afterwards.

        Raises WaitTimeoutError, DuplicateJobError, NotFoundError (deleted meanwhile), ClosedError.
        """
        future, wake = sleep_begin(self._engine)
        waiter = None
        try:
            waiter = self._engine.run_begin(job, timeout, wake)
            await future
            return self._engine.wait_finish(waiter, None, _ms(timeout))  # type: ignore[no-any-return]
        except BaseException:
            left(self._engine, future, waiter)
            raise
        finally:
            if waiter is not None:
                self._engine.run_over(job)

    async def result(self, id: IDLike, timeout: Duration) -> RunResult:
        """Wait up to ``timeout`` (ms or timedelta) for a job's result. O(1) once it is there.

        Raises NotFoundError (also when the job is deleted or expires meanwhile), WaitTimeoutError,
        ClosedError.
        """
        future, wake = sleep_begin(self._engine)
        begin = self._engine.result_begin
        return await waited(  # type: ignore[no-any-return]
            self._engine, future, None, timeout, begin, id, timeout, wake
        )

    def attempt(self, names: str | Sequence[str], timeout: Duration) -> "Attempt":
        """An asynchronous context manager round lease: see Attempt.

        >>> import asyncio
        >>> from jobqueue import aio
        >>> async def main():
        ...     async with aio.Controller() as c:
        ...         c.add(Job("mail", b"hello"))
        ...         async with c.attempt("mail", 0) as attempt:
        ...             attempt.complete(attempt.job.payload.upper())
        ...         return (await c.result(attempt.job, 0)).result
        >>> asyncio.run(main())
        b'HELLO'
        """
        return Attempt(self, names, timeout)

    # ------------------------------------------------------------ closing

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._owner:
            self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __repr__(self) -> str:
        return f"<aio.{type(self).__name__} over {self._engine!r}>"


class Attempt(_threads.Attempt):
    """A lease as an asynchronous context manager; its answers are plain calls.

    Leaving the block without an answer completes the job with ``b""``; leaving it by an exception
    fails the job with the exception's text, or releases it if its task was cancelled.

    Entering raises as Controller.lease. Each answer raises LeaseExpiredError if the lease is over.
    """

    __slots__ = ("_leaser",)

    def __init__(
        self, controller: Controller, names: str | Sequence[str], timeout: Duration
    ) -> None:
        super().__init__(controller.controller, names, timeout)
        self._leaser = controller

    def __enter__(self) -> Never:
        raise TypeError("the attempt of an aio.Controller is entered by `async with`")

    async def __aenter__(self) -> Self:
        self._begun(await self._leaser.lease_detailed(self._names, self._timeout))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def _no_controller_text(value: object) -> str:
    said = f"controller must be a jobqueue.Controller, not {shown(value)}"
    if isinstance(value, Controller):
        return f"{said}; its engine is meant: .controller"
    if isinstance(value, str) or hasattr(type(value), "__fspath__"):
        return f"{said}; jobqueue.cmdlog.DurableController keeps its jobs in a directory"
    return said


def _ms(timeout: Duration) -> int:
    """A valid time-out in ms."""
    return timeout if isinstance(timeout, int) else timeout // timedelta(milliseconds=1)
