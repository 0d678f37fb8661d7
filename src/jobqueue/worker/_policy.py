"""What a worker answers, when a job is tried again, and when a lease is renewed. Sans IO.

Threads and tasks share it: it calls only what never waits. A shell leases, hands each lease to
`begin`, calls the handler, and hands what came of it to `succeeded`, `failed` or `released`.

Invariant: every answer is fenced by the number of its attempt.
Invariant: while a handler runs its attempt is in `Renewals.running`; there is nothing per job
beyond that, no timer and no thread.
"""

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from .. import controller as _controller
from .._clock import Clock
from .._job import MAX_TIMEOUT, Job, check_name, check_timeout
from ..errors import ClosedError, JobQueueError, ValidationError, shown
from ..interfaces import Duration

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from ._processes import Processes

__all__ = ["Attempt", "Handler", "Policy", "Renewals", "Retry", "Rule", "reason", "result_bytes"]

Handler: TypeAlias = Callable[..., Any]
"""Takes an Attempt and returns the result: bytes, a str or None. For asyncio it may be ``async``.

One that runs in a process takes the Job instead.
"""

H = TypeVar("H", bound=Handler)

NEVER_NS: Final = 2**63 - 1
NS_PER_MS: Final = 10**6
MESSAGE_MAX: Final = 1000  # characters of an exception's text that a reason keeps

logger: Final = logging.getLogger("jobqueue.worker")
logger.addHandler(logging.NullHandler())  # quiet, unless the program wants to hear


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a job that failed waits until it may be tried again: exponential, with jitter.

    first: ms before the second attempt; factor: how much longer each time; most: ms at most;
    jitter: the part of it that is left to chance, 0 to 1, so that jobs that failed together do not
    come back together.

    Whether it is tried again at all is the job's own: see ``max_fails``.

    >>> retry = Retry(first=100, factor=2, most=1000, jitter=0)
    >>> [retry.delay(attempt) for attempt in (1, 2, 3, 4, 5)]
    [100, 200, 400, 800, 1000]
    """

    first: int = 1000
    factor: float = 2.0
    most: int = 3_600_000
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.most <= MAX_TIMEOUT:
            raise ValueError(f"0 <= first <= most <= {MAX_TIMEOUT} ms must hold, not {self}")
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"factor must be at least 1, and jitter from 0 to 1, not {self}")

    def delay(self, attempt: int, rng: random.Random | None = None) -> int:
        """Milliseconds to wait after an attempt, counted from 1, has failed. O(1)."""
        grown = self.first * self.factor ** min(attempt - 1, 64)
        whole = min(grown, self.most)
        chance = (rng or random).random() if self.jitter else 0.0
        return round(whole * (1 - self.jitter * chance))


@dataclass(frozen=True, slots=True)
class Rule:
    """How jobs of one name are handled."""

    handler: Handler
    retry: Retry
    touch: bool
    process: bool


class Attempt(_controller.Attempt):
    """What a handler is given: the job, and what there is to know and to do about its lease.

    The worker answers with what the handler returns or raises, unless the handler has answered.
    """

    __slots__ = ("cancelled", "due_ns", "lost", "on_lost", "rule")
    cancelled: bool
    """Whether the work should end: the worker stops, or the lease is lost."""
    due_ns: int
    """When the lease is to be renewed or looked at, monotonic."""
    lost: bool
    """Whether the lease is lost, so that no answer counts."""
    on_lost: Callable[[], object] | None
    """Called when the lease is lost."""
    rule: Rule

    def __init__(
        self, engine: _controller.Controller, leased: tuple[Job, int, int], rule: Rule
    ) -> None:
        super().__init__(engine, leased[0].name, 0)
        self._begun(leased)
        self.rule = rule
        self.cancelled = self.lost = False
        self.on_lost = None
        self._schedule()

    def _schedule(self) -> None:
        """A lease is renewed when a third of its TTR is over; else it is looked at at its end."""
        self.due_ns = self._deadline_ns
        if self.rule.touch:
            self.due_ns -= self.job.ttr * NS_PER_MS * 2 // 3

    def renew(self, now_ns: int) -> None:
        """Touch the lease, or see whether it still holds; a lost one cancels the attempt."""
        if self._answered:
            self.due_ns = NEVER_NS
            return
        try:
            if self.rule.touch:
                self.touch()
            elif self._deadline_now() <= now_ns:
                self.lose()
                return
        except JobQueueError:
            self.lose()
            return
        self._schedule()

    def _deadline_now(self) -> int:
        """The deadline, which the handler may have moved; in the past if the lease is over."""
        record = self._controller.registry.record(self.job)
        deadline_ns = self._controller._lease_deadline_ns(self.job)
        if record is None or record.attempts != self.number or deadline_ns is None:
            return 0
        self._deadline_ns = deadline_ns
        return deadline_ns

    def lose(self) -> None:
        """The lease is over: nothing that is answered now counts."""
        self.cancelled = self.lost = True
        self.due_ns = NEVER_NS
        if self.on_lost is not None:
            self.on_lost()


class Renewals:
    """When the leases of all running handlers are to be renewed; one timer serves them all.

    poke: called when that is earlier than the shell was told; from any thread.
    """

    def __init__(self, engine: _controller.Controller, poke: Callable[[], object]) -> None:
        self._engine: Final = engine
        self._poke: Final = poke
        self._wake_ns = NEVER_NS
        self.running: Final[set[Attempt]] = set()
        self.ended = False

    def attach_to(self, clock: Clock) -> bool:
        """Let a clock that is moved by hand renew leases as it is; whether this is one."""
        attach = getattr(clock, "attach", None)
        if attach is not None:
            attach(self)
        return attach is not None

    def begin(self, attempt: Attempt) -> None:
        self.running.add(attempt)
        if attempt.due_ns < self._wake_ns:
            self._wake_ns = attempt.due_ns
            self._poke()

    def end(self, attempt: Attempt) -> None:
        self.running.discard(attempt)

    def next_deadline_ns(self) -> int | None:
        """Monotonic ns of the earliest renewal, or None. What a manual clock asks."""
        due_ns = min((attempt.due_ns for attempt in list(self.running)), default=NEVER_NS)
        return None if due_ns == NEVER_NS else due_ns

    def fire_due(self) -> None:
        """Renew what is due. O(running)."""
        now_ns = self._engine.clock.monotonic_ns()
        self._wake_ns = NEVER_NS  # whoever begins from here on pokes
        for attempt in list(self.running):
            if attempt.due_ns <= now_ns:
                attempt.renew(now_ns)

    def _tick(self) -> int | None:
        """Renew what is due; ns until the next look, -1 if nothing is known, None at the end."""
        if self.ended:
            return None
        self.fire_due()
        earliest_ns = self.next_deadline_ns()
        if earliest_ns is None:
            return -1
        self._wake_ns = min(self._wake_ns, earliest_ns)
        return max(earliest_ns - self._engine.clock.monotonic_ns(), 0)


class Policy:
    """The rules by name, and what is answered."""

    def __init__(
        self,
        engine: _controller.Controller,
        handlers: Mapping[str, Handler] | None,
        retry: Retry,
        rng: random.Random | None,
    ) -> None:
        self.engine: Final = engine
        self.rules: Final[dict[str, Rule]] = {}
        self._retry: Final = retry
        self._rng: Final = rng
        for name, handler in (handlers or {}).items():
            self.add(name, handler)

    def add(
        self,
        name: str,
        handler: Handler,
        *,
        retry: Retry | None = None,
        touch: bool = True,
        process: bool = False,
    ) -> None:
        check_name(name)
        if not callable(handler):
            raise TypeError(f"the handler of {name!r} must be callable, not {shown(handler)}")
        if name in self.rules:
            raise ValueError(f"{name!r} has a handler already")
        own = self._retry if retry is None else retry
        self.rules[name] = Rule(handler, own, touch and not process, process)

    def decorator(
        self, name: str, *, retry: Retry | None, touch: bool, process: bool
    ) -> Callable[[H], H]:
        """What makes a function the handler of a name, and leaves it as it is."""

        def decorate(handler: H) -> H:
            self.add(name, handler, retry=retry, touch=touch, process=process)
            return handler

        return decorate

    def processes(self, context: "BaseContext | None") -> "Processes | None":
        """Where handlers run that want a process; None if none does."""
        if not any(rule.process for rule in self.rules.values()):
            return None
        from ._processes import Processes

        return Processes(self, context)

    def names(self) -> str | list[str]:
        """What to lease."""
        if not self.rules:
            raise ValueError("a worker needs at least one handler")
        names = list(self.rules)
        return names[0] if len(names) == 1 else names

    def begin(self, leased: tuple[Job, int, int]) -> Attempt:
        return Attempt(self.engine, leased, self.rules[leased[0].name])

    def succeeded(self, attempt: Attempt, value: object) -> None:
        """The handler has returned."""
        if attempt._answered:
            return
        try:
            attempt.complete(result_bytes(value))
        except (TypeError, ValidationError) as error:
            self.failed(attempt, error)
        except JobQueueError as error:
            self._lost(attempt, error)

    def failed(self, attempt: Attempt, error: BaseException) -> None:
        """The handler has raised."""
        logger.warning("%r failed in attempt %d", attempt.job, attempt.number, exc_info=error)
        self.failed_because(attempt, reason(error))

    def failed_because(self, attempt: Attempt, why: bytes) -> None:
        if attempt._answered:
            return
        try:
            attempt.fail(why, attempt.rule.retry.delay(attempt.number, self._rng))
        except JobQueueError as lost:
            self._lost(attempt, lost)

    def released(self, attempt: Attempt) -> None:
        """The handler was stopped: somebody else may have the job."""
        attempt.cancelled = True
        if attempt._answered:
            return
        try:
            attempt.release()
        except JobQueueError as lost:
            self._lost(attempt, lost)

    def _lost(self, attempt: Attempt, error: JobQueueError) -> None:
        attempt.cancelled = attempt.lost = True
        if not isinstance(error, ClosedError):
            logger.info("attempt %d of %r came too late: %s", attempt.number, attempt.job, error)


def result_bytes(value: object) -> bytes:
    """The result that a handler's return value stands for.

    >>> result_bytes(None), result_bytes("text"), result_bytes(b"bytes")
    (b'', b'text', b'bytes')
    """
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a handler returns bytes, a str or None, not {shown(value)}")


def reason(error: BaseException) -> bytes:
    """Why a job failed, as JSON: type, message and where it was raised.

    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     sorted(json.loads(reason(error)))
    ['message', 'type', 'where']
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)[:MESSAGE_MAX]
    except Exception:  # noqa: BLE001 - whatever its text raises, its name must do
        message = ""
    why = {"type": name, "message": message, "where": _where(error)}
    return json.dumps(why).encode()


def duration_ms(duration: Duration) -> int:
    """A time-out in ms."""
    check_timeout(duration)
    return duration if isinstance(duration, int) else int(duration.total_seconds() * 1000)


def _where(error: BaseException) -> str:
    """module.function:line of the innermost frame."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    module = trace.tb_frame.f_globals.get("__name__", "?")
    return f"{module}.{code.co_qualname}:{trace.tb_lineno}"
