"""Worker: handlers in tasks of one event loop. What it decides is in _policy.

Invariant: a task that is cancelled from outside releases its job: at the end of a drain, or when
the loop ends. What a handler does to the task that it runs in ends with the handler.
Invariant: nothing that a handler, the log or the engine does ends a task before the worker stops,
the controller is closed, or the loop ends.
"""

import asyncio
import contextvars
import inspect
import random
from asyncio import _get_running_loop
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from .._objects.rules import MAX_TIMEOUT
from .._ports import Leased, LeasePort
from ..errors import ClosedError, WaitTimeoutError, shown
from ..interfaces import Duration
from ._attempt import pause_ns
from ._handlers import check_spawned
from ._hands import Hands, Outcome
from ._living import Started
from ._outcomes import from_signal
from ._policy import Answer, Attempt, Handler, Policy, Renewals, Retry, duration_ms
from ._signals import Signals
from ._sleep import sleep_begin, waited

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from ._processes import Processes

__all__ = ["Worker"]

TURN: Final = 16
"""Jobs that a task may handle in a row, if its handler never waits."""

GRACE_S = 5.0
"""How long a handler that is cancelled may take to end, before its job is released all the same."""

H = TypeVar("H", bound=Handler)


class Fronting(Protocol):
    """Something in front of an engine, as aio.Controller is."""

    @property
    def controller(self) -> LeasePort:
        """The engine."""


def engine_of(controller: "LeasePort | Fronting") -> LeasePort:
    """The engine that is given, or that stands behind what is."""
    if isinstance(controller, LeasePort):
        return controller
    engine = getattr(controller, "controller", None)
    if not isinstance(engine, LeasePort):
        raise TypeError(f"controller must be an aio.Controller, not {shown(controller)}")
    return engine


class Slot:
    """A task of a worker."""

    __slots__ = ("attempt", "lost", "own", "running", "task")

    def __init__(
        self, task: "asyncio.Task[Any]", lost: "Callable[[Slot, Attempt], object]"
    ) -> None:
        self.task: Final = task
        self.lost: Final = partial(lost, self)
        """What an attempt calls when its lease is lost."""
        self.attempt: Attempt | None = None
        """What it works on."""
        self.running = False
        """Whether its handler runs, and not yet the answer to it."""
        self.own = 0
        """How often the task was cancelled by its own handler, or because the lease was lost."""

    def cancelled(self) -> bool:
        """Whether somebody else wants the task to end."""
        return self.task.cancelling() > self.own


class Worker:
    """Tasks that lease jobs, call the handler of each job's name, and answer for it.

    As jobqueue.worker.Worker; handlers are coroutine functions, or plain ones, which are called in
    a thread. A handler whose lease is lost is cancelled. Each runs in a copy of the context
    (``contextvars``) that `start` was called in.

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
        controller: "LeasePort | Fronting",
        handlers: Mapping[str, Handler] | None = None,
        *,
        concurrency: int = 100,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        mp_context: "BaseContext | None" = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}")
        engine = engine_of(controller)
        self._engine: Final = engine
        self._policy: Final = Policy(engine, handlers, retry, rng, mp_context, awaits=True)
        self._concurrency: Final = concurrency
        self._renewals: Final = Renewals(engine, self._poke)
        self._renewer: asyncio.TimerHandle | None = None
        self._processes: Processes | None = None
        self._hands: Final = Hands()
        self._started: Final = Started()
        self._context = contextvars.Context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: Final[dict[asyncio.Task[Any], Slot]] = {}
        self._stopping = self._ended = False
        self._manual: Final = self._renewals.attach_to(engine.clock)

    def handler(
        self, name: str, *, retry: Retry | None = None, touch: bool = True, process: bool = False
    ) -> Callable[[H], H]:
        """Decorate the handler of a name; see jobqueue.worker.Worker.handler."""
        if self._loop is not None:
            raise RuntimeError("the worker has been started: its handlers are fixed")
        return self._policy.decorator(name, retry=retry, touch=touch, process=process)

    # ------------------------------------------------------------ beginning and ending

    def start(self) -> None:
        """Start the tasks, in the running loop. A worker is started once.

        Raises RuntimeError as jobqueue.worker.Worker.start.
        """
        check_spawned()
        names = self._policy.names()
        processes = self._policy.processes()
        loop = asyncio.get_running_loop()
        self._started.begin()
        self._loop, self._processes = loop, processes
        self._context = contextvars.copy_context()
        try:
            for number in range(self._concurrency):
                # An eager task runs before this returns: it makes its slot itself, if need be.
                task = loop.create_task(self._work(names), name=f"jobqueue-worker-{number}")
                self._slot_of(task)
        except BaseException:
            self._stop_begin()
            raise

    async def stop(self, drain: Duration = 30_000) -> bool:
        """Take no more jobs, and wait up to ``drain`` (ms or timedelta) for those that are running.

        Their attempts are told at once (``attempt.cancelled``). What is not finished in time is
        cancelled, and its job released, so that another worker may have it. Returns whether all was
        finished in time, and every answer stored. In a handler it only tells the worker to stop.
        """
        drain_s = duration_ms(drain, "drain") / 1000
        if self._started.elsewhere():
            return True  # a fork: nothing of it is here
        self._stop_begin()
        if asyncio.current_task() in self._slots:
            return False
        left = self._left()
        try:
            if left:
                left = list((await asyncio.wait(left, timeout=drain_s))[1])
        except BaseException:  # who drains is cancelled: what is still running goes back
            for task in left:
                task.cancel()
            raise
        return await self._stop_end(left)

    async def run(self, drain: Duration = 30_000) -> bool:
        """Start, and stop on SIGTERM or SIGINT, as a main program does; a second ends the drain.

        Returns as ``stop`` when all is stopped: also by ``stop``, or when the controller is closed.
        The handlers that the program had for these signals are put back then.
        """
        drain_s = duration_ms(drain, "drain") / 1000
        with Signals() as signals:
            self.start()
            try:
                left = await self._until_signal(signals.struck, None)
                self._stop_begin()
                if left:
                    left = await self._until_signal(signals.struck, drain_s)
                return await self._stop_end(left)
            except BaseException:
                self._stop_begin()
                for task in self._left():
                    task.cancel()
                raise

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        names = ", ".join(list(self._policy.rules)[:3])
        return f"<aio.Worker of {names}, {len(self._left())} tasks>"

    def _left(self) -> "list[asyncio.Task[Any]]":
        """The tasks that have not ended."""
        return [task for task in self._slots if not task.done()]

    async def _until_signal(
        self, signals: "asyncio.Queue[int]", timeout_s: float | None
    ) -> "list[asyncio.Task[Any]]":
        """The tasks that are left at a signal, or when the time is over."""
        struck = asyncio.ensure_future(signals.get())
        left = self._left()
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
        for slot in list(self._slots.values()):
            if slot.attempt is None:
                slot.task.cancel()
        for attempt in list(self._renewals.running):
            attempt.cancelled = True

    async def _stop_end(self, left: "list[asyncio.Task[Any]]") -> bool:
        """Cancel what is still running; whether nothing was."""
        self._ended = True
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=GRACE_S)
        for attempt in list(self._renewals.running):  # its handler does not heed the cancellation
            self._policy.released(attempt)
            attempt.lose()
        self._renewals.ended = True
        if self._renewer is not None:
            self._renewer.cancel()
        if self._processes is not None:
            processes = self._processes
            await self._hands.call(self._context.copy(), lambda _: processes.close(), None)
        self._hands.close()
        return not left and not self._policy.unanswered

    # ------------------------------------------------------------ a task's work

    def _slot_of(self, task: "asyncio.Task[Any]") -> Slot:
        return self._slots.setdefault(task, Slot(task, self._lost))

    async def _work(self, names: str | list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is one of ours
        slot = self._slot_of(task)
        lease_now = self._engine.lease_now
        leased: Leased | None = None
        handled = failures = 0
        while not self._stopping:
            try:
                leased = lease_now(names, MAX_TIMEOUT, True)
                if leased is None:
                    leased = await self._lease(names)
                if failures:
                    failures = 0
                    self._policy.recovered()
                    self._renewals.wake_all()
                await self._handle(leased, slot)
                leased = None  # an idle task keeps nothing of the last job
                handled += 1
                if handled % TURN == 0:  # however many jobs there are, others have their turn
                    await asyncio.sleep(0)
                continue
            except ClosedError:
                break
            except BaseException as error:  # noqa: BLE001 - it may pass; the slot lives on
                failures += self._trouble(slot, leased, error)
            leased = None
            await (self._pause(failures) if failures else asyncio.sleep(0))

    async def _lease(self, names: str | list[str]) -> Leased:
        """The next job, whenever it is added."""
        future, wake = sleep_begin(self._engine)
        begin = self._engine.lease_begin
        leased: Leased = await waited(
            self._engine, future, names, MAX_TIMEOUT, begin, names, MAX_TIMEOUT, wake, True
        )
        return leased

    def _trouble(self, slot: Slot, leased: Leased | None, error: BaseException) -> bool:
        """Whether the engine is to be asked again after a pause. Raises what ends the task."""
        if isinstance(error, WaitTimeoutError):
            return False
        if isinstance(error, asyncio.CancelledError):
            if slot.task.cancelling() or self._stopping:
                raise error
            return False  # what is left of a cancellation that its handler undid
        if isinstance(error, GeneratorExit):
            raise error
        if not from_signal(error):
            self._policy.trouble(leased, error)
            return True
        if not isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        # It ends the loop's run as if it had struck the loop itself; which may run again.
        asyncio.get_running_loop().call_soon(_raise, error)
        return False

    async def _handle(self, leased: Leased, slot: Slot) -> None:
        attempt = self._policy.begin(leased)
        slot.attempt = attempt
        self._renewals.begin(attempt)
        if self._stopping:
            attempt.cancelled = True
        rule = attempt.rule
        context = self._context.copy()
        slot.running = True
        try:
            try:
                if rule.is_async:
                    attempt.on_lost = slot.lost
                    handler = rule.handler(attempt)
                    try:
                        waits_for = context.run(handler.send, None)
                    except StopIteration as stop:  # it has not waited for anything
                        value = stop.value
                        slot.own = slot.task.cancelling()
                    else:
                        value = await _run_on(slot, context, handler, waits_for)
                else:
                    value = await self._in_thread(slot, attempt, context)
            except BaseException as error:  # noqa: BLE001 - it says what is the job's
                answer = self._raised(slot, attempt, error)
            else:
                answer = self._returned(slot, attempt, value)
            if answer is not None:
                await self._insist(attempt, answer)
        finally:
            self._renewals.end(attempt)
            slot.attempt = None
        if slot.task.cancelling() or getattr(slot.task, "_must_cancel", False):
            await self._settle(slot)

    def _returned(self, slot: Slot, attempt: Attempt, value: Any) -> Answer | None:
        slot.running = False
        attempt.on_lost = None
        if attempt.rule.process:
            return self._policy.came_to(attempt, value)
        return self._policy.succeeded(attempt, value)

    def _raised(self, slot: Slot, attempt: Attempt, error: BaseException) -> Answer | None:
        """Answer for what came out of a handler. Raises what is not the job's."""
        slot.running = False
        if self._for_us(slot, error):
            self._policy.released(attempt)
            attempt.lose()
            raise error
        if attempt.rule.process:  # one could not be started
            raise error
        return None if attempt.lost else self._policy.failed(attempt, error)

    def _for_us(self, slot: Slot, error: BaseException) -> bool:
        """Whether an exception that came out of a handler is meant for its task, or the program."""
        if isinstance(error, asyncio.CancelledError):
            return slot.cancelled()
        if isinstance(error, GeneratorExit):  # unless the handler raised it
            try:
                return asyncio.current_task() is not slot.task
            except RuntimeError:
                return True
        return from_signal(error)

    async def _settle(self, slot: Slot) -> None:
        """Undo what the handler did to its task; go on with what others did."""
        own, slot.own = min(slot.own, slot.task.cancelling()), 0
        for _ in range(own):
            slot.task.uncancel()
        if slot.task.cancelling():
            raise asyncio.CancelledError  # its handler went on after it was cancelled
        try:
            await asyncio.sleep(0)  # before 3.13 a cancellation that was undone may still strike
        except asyncio.CancelledError:
            if slot.task.cancelling():
                raise

    async def _in_thread(self, slot: Slot, attempt: Attempt, context: contextvars.Context) -> Any:
        """Call a plain function, or wait for a process; what it returns may be awaitable."""
        function = attempt.rule.handler
        if attempt.rule.process:
            assert self._processes is not None  # noqa: S101 - made at the start, for rules like this
            function = self._processes.call
        value = _value(await self._hands.call(context, function, attempt))
        if inspect.isawaitable(value):
            attempt.on_lost = slot.lost
            handler = _awaiting(value)
            value = await _run_on(slot, context, handler, context.run(handler.send, None))
        return value

    def _lost(self, slot: Slot, attempt: Attempt) -> None:
        """The lease is over: cancel the handler. From any thread."""
        assert self._loop is not None  # noqa: S101 - it runs
        if _get_running_loop() is self._loop:
            self._cancel(slot, attempt)
            return
        try:
            self._loop.call_soon_threadsafe(self._cancel, slot, attempt)
        except RuntimeError:
            pass  # the loop is closed

    def _cancel(self, slot: Slot, attempt: Attempt) -> None:
        if slot.running and slot.attempt is attempt and not self._ended:
            slot.own += 1
            slot.task.cancel()

    # ------------------------------------------------------------ trouble with the engine

    async def _insist(self, attempt: Attempt, answer: Answer) -> None:
        """Try to store an answer, until it is stored or its lease is over."""
        tries = 0
        again: Answer | None = answer
        try:
            while again is not None:
                tries += 1
                await self._pause(tries)
                again = self._policy.again(attempt, again)
        except asyncio.CancelledError:
            self._policy.released(attempt)
            raise

    async def _pause(self, failures: int) -> None:
        """Wait before the engine is asked again. A clock moved by hand ends it by itself."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        pause = self._renewals.pause(failures, partial(loop.call_soon_threadsafe, _end, over))
        timer = None if self._manual else loop.call_later(pause_ns(failures) / 1e9, _end, over)
        try:
            await over
        finally:
            self._renewals.pauses.discard(pause)
            if timer is not None:
                timer.cancel()

    def _poke(self) -> None:
        """A lease is to be renewed earlier than was known."""
        if not self._manual:  # else whoever advances the clock sees to it
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        wait_ns: int | None = pause_ns(16)
        try:
            wait_ns = self._renewals.tick()
        finally:  # whatever it raises, renewals go on
            if self._renewer is not None:
                self._renewer.cancel()
                self._renewer = None
            if wait_ns is not None and wait_ns >= 0:
                loop = asyncio.get_running_loop()
                self._renewer = loop.call_later(wait_ns / 1e9, self._renew)


@coroutine
def _run_on(
    slot: Slot, context: contextvars.Context, handler: "Coroutine[Any, Any, Any]", waits_for: Any
) -> "Generator[Any, Any, Any]":
    """Drive a handler's coroutine from its first wait on, in the slot's task and its own context.

    What cancels the task while the handler itself runs, and not while it waits, is its own doing.
    """
    cancelling = slot.task.cancelling
    slot.own = cancelling()
    while True:
        given: Any = None
        step: Callable[[Any], Any] = handler.send
        try:
            given = yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is the handler's
            given = error
            step = handler.throw
        before = cancelling()
        try:
            waits_for = context.run(step, given)
        except StopIteration as stop:
            return stop.value
        finally:
            given = None  # it may be an exception, whose traceback knows this frame
            after = cancelling()
            if after != before:
                slot.own = max(slot.own + after - before, 0)


def _value(outcome: Outcome) -> Any:
    """What a call in a thread has returned. Raises what it has raised."""
    value, error = outcome
    if error is None:
        return value
    try:
        raise error
    finally:
        del error, outcome  # it knows this frame, which would know it


def _raise(error: BaseException) -> None:
    raise error


async def _awaiting(value: Any) -> Any:
    return await value


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
