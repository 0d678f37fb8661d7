"""The facade: Controller and Attempt.

The non-blocking verbs are native and inherited from _core.Engine, so that a call crosses into
native code once, with nothing in between. Here stands what is built on the verbs.
"""

from __future__ import annotations

from ._clock import SystemClock, is_clock
from ._core import Engine
from ._engine.live_controllers import live_controllers
from ._engine.timer_thread import TimerThread, tell
from ._objects.job import Job
from ._objects.queues import QueueController
from ._objects.registry import Registry
from ._objects.rules import MAX_RESULT
from ._objects.whole import locked
from ._values import QueueStats, Stats
from .errors import (
    DuplicateResultError,
    JobQueueError,
    LeaseExpiredError,
    NotFoundError,
    shown,
)
from .observing import Observation, Observers, explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    import random
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Any, Final, Never, Self

    from typing_extensions import Buffer

    from ._engine.notifier import WholeLock
    from .interfaces import Clock, Duration, IDLike, QueueControllerInterface
    from .observing import Event, Explanation

__all__ = ["Attempt", "Controller"]


class InitSignature:
    """How a class is called: as ``__init__`` says; ``__new__`` only looks at its arguments."""

    def __get__(self, _: object, kind: type) -> inspect.Signature:
        import inspect

        signature = inspect.signature(kind.__init__)  # type: ignore[misc]
        return signature.replace(parameters=[*signature.parameters.values()][1:])


class Controller(Engine):
    """A job queue engine: takes jobs, leases them to workers, keeps their results.

    registry, queues: where its records and jobs are; fresh ones when None. ``queues`` may be any
    object with QueueControllerInterface; the built-in QueueController takes the fast path.
    clock: a Clock; the system's when None. rng: a random.Random for the choice among names.
    result_ttl: ms or timedelta that a processed job is kept at most; None: until its TTL;
    0: forgotten at once, after its waiters are answered.
    keep_expired: ms or timedelta that a job which expired unprocessed is kept FAILED, with the
    result b"expired", among the dead; 0: it is gone at once. result_ttl does not shorten it.
    history: how many of its last transitions each job keeps, for explain(); 0: none.
    max_jobs, max_bytes: bounds on all queues together, as limit() has them for one; None: none.

    Every call is safe from any thread. After an error nothing has changed.

    >>> with Controller() as c:
    ...     c.add(Job("mail", b"to: you"))
    ...     job = c.lease("mail", 1000)
    ...     c.complete(job, b"sent")
    ...     c.result(job, 0)
    RunResult(success=True, result=b'sent')
    """

    __slots__ = ("_clock", "_lock", "_observers", "_random", "_retry_ns", "_thread")
    _thread: TimerThread | None
    _observers: Observers | None
    _clock: Clock
    _lock: WholeLock
    _random: random.Random
    _retry_ns: int
    __signature__ = InitSignature()

    if not TYPE_CHECKING:  # a subclass's __init__ takes what it likes, and checkers compare the two

        def __new__(  # noqa: D102 - __init__ says what it takes
            cls, _registry: object = None, queues: object = None, *_: object, **__: object
        ) -> Self:
            if queues is None or type(queues) is QueueController:
                return super().__new__(cls)
            from ._engine.foreign import foreign_class
            from .interfaces import QueueControllerInterface

            if not isinstance(queues, QueueControllerInterface):
                return super().__new__(cls)  # __init__ says what is wrong

            return super().__new__(foreign_class(cls, Controller))

    def __init__(
        self,
        registry: Registry | None = None,
        queues: QueueControllerInterface | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        result_ttl: Duration | None = None,
        max_jobs: int | None = None,
        max_bytes: int | None = None,
        history: int = 0,
        keep_expired: Duration = 0,
    ) -> None:
        if registry is not None and type(registry) is not Registry:
            raise TypeError(_no_registry_text(registry))
        if clock is not None and not is_clock(clock):
            raise TypeError(
                f"clock must be a Clock, with now_ns() and monotonic_ns(), not {shown(clock)}"
            )
        if queues is not None and type(queues) is not QueueController:
            from .interfaces import QueueControllerInterface

            if not isinstance(queues, QueueControllerInterface):
                raise TypeError(f"queues must have QueueControllerInterface, not {shown(queues)}")
            self._foreign_open(rng)
        if rng is not None and not hasattr(rng, "randrange"):
            raise TypeError(f"rng must be a random.Random, not {shown(rng)}")
        native = clock is None or type(clock) is SystemClock
        attach = getattr(clock, "attach", None)
        super().__init__(
            registry,
            queues,
            clock=None if native else clock,
            rng=rng,
            result_ttl=result_ttl,
            max_jobs=max_jobs,
            max_bytes=max_bytes,
            history=history,
            keep_expired=keep_expired,
            by_hand=attach is not None,
        )
        self._clock = SystemClock() if clock is None else clock
        self._thread = None
        self._observers = None
        live_controllers.join(self)
        if attach is not None:
            attach(self)

    def _foreign_open(self, rng: random.Random | None) -> None:
        from ._engine.foreign import ForeignVerbs, foreign_open

        if not isinstance(self, ForeignVerbs):
            raise TypeError(
                f"the queues of a {type(self).__name__} are a foreign object that its __new__ has"
                " not seen: let it pass them on, super().__new__(cls, queues=queues)"
            )
        foreign_open(self, rng)

    @property
    def clock(self) -> Clock:
        """Where its time comes from."""
        return self._clock

    # ------------------------------------------------------------ built on the verbs

    def attempt(self, names: str | Sequence[str], timeout: Duration) -> Attempt:
        """A context manager round lease: see Attempt.

        >>> with Controller() as c:
        ...     c.add(Job("mail", b"hello"))
        ...     with c.attempt("mail", 0) as attempt:
        ...         attempt.complete(attempt.job.payload.upper())
        ...     c.result(attempt.job, 0).result
        b'HELLO'
        """
        return Attempt(self, names, timeout)

    def stats(self) -> Stats:
        """Counters and gauges. O(queues)."""
        return Stats(*self._stats())

    def queue_stats(self, name: str) -> QueueStats:
        """Gauges of one queue; zeros if there is none of that name. O(1)."""
        return QueueStats(*self._queue_stats(name))

    def observe(self, callback: Callable[[Event], object]) -> Observation:
        """Let ``callback(event)`` be called for each transition of a job, in their order.

        It is called without any lock, and may call every verb: by the thread that made the
        transition, for 10 ms of a call; what is left by then, and what timers do, a thread of its
        own tells. What it raises goes to sys.unraisablehook. Up to observing.BACKLOG_MAX (65 536)
        events wait for slow observers, with 64 MiB of reasons; of what is beyond no event is kept,
        and one of the kind DROPPED says how many there were. It ends when the Observation that is
        returned is stopped, or its with block ends. While nobody observes, nothing is noted.

        >>> with Controller() as c:
        ...     with c.observe(lambda event: print(event.kind, event.state.name)):
        ...         c.add(Job("mail"))
        ...         c.complete(c.lease("mail", 0))
        added NEW
        leased LEASED
        completed COMPLETED
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {shown(callback)}")
        self._enter()
        if self._observers is None:
            locked(live_controllers.changing, self._observers_make, Observers)
        return Observation(self._observers, callback)  # type: ignore[arg-type] # it is there now

    def _observers_make(self, make: Callable[[Controller], Observers]) -> None:
        if self._observers is None:
            self._observers = make(self)

    def explain(self, id: IDLike) -> Explanation:
        """Why a job does, or does not, run: see jobqueue.observing.Explanation. O(queues).

        Raises NotFoundError.

        >>> with Controller() as c:
        ...     c.add_many([Job("mail"), job := Job("mail", max_attempts=3)])
        ...     c.pause("mail")
        ...     explanation = c.explain(job)
        ...     explanation.ahead, explanation.paused, explanation.attempts_left
        (1, True, 3)
        """
        return explain(self, id)

    # ------------------------------------------------------------ closing

    def close(self) -> None:
        """Stop the timer thread and wake every blocked call with ClosedError.

        Any later call raises ClosedError. Closing twice is fine.
        """
        if self._shut():
            tell("closed, with %d records", len(self.registry))
        if self._observers is not None:
            self._observers.close()
        self._thread_awaited()
        if self._thread is not None:  # also if the close before was struck
            self._thread.join()

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Never:
        raise TypeError("it is entered by `with`; for asyncio there is jobqueue.aio.Controller")

    async def __aexit__(self, *_: object) -> None:
        """Not called, since `__aenter__` raises; without it, `async with` does not get so far."""

    def __reduce__(self) -> Never:
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: it lives in one process."
            " Threads share it as it is; give other processes what they are to work on"
            " (jobs can be pickled), as jobqueue.worker does for process=True"
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self.registry)} records"
        return f"<{type(self).__name__} {state}>"

    def run_over(self, job: Job) -> None:
        """A run has ended: nothing is left of its job. Over foreign queues that takes more."""

    # ------------------------------------------------------------ what the engine calls

    def _thread_start(self) -> None:
        self._thread = TimerThread(self)
        self._thread.start()

    def _thread_lives(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _fork_missed(self) -> None:
        live_controllers.forked()

    def _forked(self) -> None:
        self._thread = None
        if self._observers is not None:
            self._observers.forked()
        forked = getattr(self._clock, "forked", None)
        if forked is not None:
            forked()
        super()._forked()


REFUSED: Final = (LeaseExpiredError, NotFoundError, DuplicateResultError)
"""What an answer is refused with when the lease is over."""


class Attempt:
    """A lease as a context manager; its answers are fenced by the number of the attempt.

    Leaving the block without an answer completes the job with ``b""``; leaving it by an exception
    fails the job with the exception's text, or releases it if that is KeyboardInterrupt, SystemExit
    or GeneratorExit. After an answer that was refused with LeaseExpiredError the lease is over:
    leaving the block does nothing more. Made by Controller.attempt.

    Entering raises as Controller.lease. Each answer raises LeaseExpiredError if the lease is over.
    """

    __slots__ = ("_controller", "_deadline_ns", "_names", "_timeout", "answered", "job", "number")
    job: Job
    """The job that is leased."""
    number: int
    """The number of the attempt, from 1."""
    answered: bool
    """Whether it has been answered, or was refused an answer: leaving the block does nothing."""
    _deadline_ns: int

    def __init__(
        self, controller: Controller, names: str | Sequence[str], timeout: Duration
    ) -> None:
        self._controller: Final = controller
        self._names: Final = names
        self._timeout: Final = timeout
        self.answered = False

    @property
    def deadline(self) -> datetime:
        """When the lease ends unless it is touched or answered, UTC."""
        return self._controller.lease_deadline(self._deadline_ns)

    def complete(self, result: Buffer = b"") -> None:
        """Complete the job."""
        try:
            self._controller.complete(self.job, result, attempt=self.number)
        except REFUSED:
            self.answered = True
            raise
        self.answered = True

    def fail(self, result: Buffer = b"", delay: Duration = 0, *, final: bool | None = None) -> None:
        """Fail the job; if it is tried again, it is ready after ``delay``. See Controller.fail."""
        more = {} if final is None else {"final": final}  # an engine of one's own may not know it
        try:
            self._controller.fail(self.job, result, attempt=self.number, delay=delay, **more)
        except REFUSED:
            self.answered = True
            raise
        self.answered = True

    def touch(self, ttr: Duration | None = None) -> None:
        """Start the TTR again: the job's own, or ``ttr``."""
        try:
            self._controller.touch(self.job, ttr, attempt=self.number)
        except REFUSED:
            self.answered = True
            raise
        self._deadline_ns = self._controller.lease_deadline_ns(self.job) or self._deadline_ns

    def release(self, delay: Duration = 0) -> None:
        """Give the job back: ready at once, or after ``delay``."""
        try:
            self._controller.release(self.job, delay, attempt=self.number)
        except REFUSED:
            self.answered = True
            raise
        self.answered = True

    def __enter__(self) -> Self:
        leased: list[Any] = [None] * 3  # filled within the call, so that no Ctrl-C comes between
        try:
            self._controller._lease_attempt(self._names, self._timeout, leased)
            job, number, deadline_ns = leased
            self._begun((job, number, deadline_ns))
        except BaseException:
            if leased[0] is not None:
                self._controller._unlease(leased[0])
            raise
        return self

    def _begun(self, leased: tuple[Job, int, int]) -> None:
        self.job, self.number, self._deadline_ns = leased
        self.answered = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.answered:
            return
        if error is None:
            self.complete()
            return
        try:
            if isinstance(error, Exception):
                self.fail(_text_of(error))
            else:
                self.release()
        except JobQueueError:
            pass  # the lease was over; what matters to the caller is the exception in flight

    async def __aenter__(self) -> Self:
        raise TypeError(
            "it is entered by `with`; jobqueue.aio.Controller makes one for `async with`"
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Not called, since `__aenter__` raises; without it, `async with` does not get so far."""

    def __reduce__(self) -> Never:
        raise TypeError("an Attempt cannot be copied or pickled: its lease is of this process")

    def __repr__(self) -> str:
        if not hasattr(self, "number"):
            return f"<Attempt at {self._names!r}, not entered>"
        return f"<Attempt {self.number} at {self.job!r}>"


def _no_registry_text(value: object) -> str:
    said = f"registry must be a Registry, not {shown(value)} of type {type(value).__name__}"
    if isinstance(value, str) or hasattr(type(value), "__fspath__"):
        return f"{said}; jobqueue.cmdlog.DurableController keeps its jobs in a directory"
    return said


def _text_of(error: Exception) -> bytes:
    """What a failed job keeps of an exception, even of one whose text fails."""
    text = type(error).__name__
    try:
        text = f"{text}: {error}"
    except Exception:  # noqa: BLE001, S110 - whatever its text raises, its name must do
        pass
    return text.encode(errors="replace")[:MAX_RESULT]
