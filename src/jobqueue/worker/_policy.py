"""What a worker answers, and when a job is tried again. Sans IO.

Threads and tasks share it: it calls only what never waits. A shell leases, hands each lease to
`begin`, calls the handler, and hands what came of it to `succeeded`, `failed` or `released`.

Invariant: every answer is fenced by the number of its attempt.
Invariant: an answer that the engine could not store is handed back to the shell, which gives it to
`again` after a pause, until it is stored or its lease is over.
"""

import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from .._objects.rules import MAX_TIMEOUT, check_name
from .._ports import Leased, LeasePort
from ..errors import ClosedError, JobQueueError, ValidationError
from ._attempt import OVER, Attempt, Renewals
from ._handlers import Handler, Rule, rule_for
from ._outcomes import from_signal, job_text, reason, result_bytes, say
from ._retry import Retry, duration_ms

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from ._processes import Outcome, Processes

__all__ = ["Answer", "Attempt", "Handler", "Policy", "Renewals", "Retry", "duration_ms"]

Answer: TypeAlias = Callable[[], object]
"""An answer that is not stored yet."""

H = TypeVar("H", bound=Handler)


class Policy:
    """The rules by name, and what is answered."""

    def __init__(
        self,
        engine: LeasePort,
        handlers: Mapping[str, Handler] | None,
        retry: Retry | None,
        rng: random.Random | None,
        mp_context: "BaseContext | None",
        *,
        awaits: bool,
    ) -> None:
        self.engine: Final = engine
        self.rules: Final[dict[str, Rule]] = {}
        self.unanswered = 0
        """Answers that the engine never stored."""
        self._retry: Final = Retry() if retry is None else retry
        self._rng: Final = rng
        self._context: Final = mp_context
        self._awaits: Final = awaits
        self._troubled = False
        self._complete: Final = engine.complete
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
        rule = rule_for(
            name,
            handler,
            retry=self._retry if retry is None else retry,
            touch=touch,
            process=process,
            forked=self._context is not None and self._context.get_start_method() == "fork",
        )
        if rule.is_async and not self._awaits:
            raise TypeError(
                f"the handler of {name!r} is async, and a thread has no loop: use"
                " jobqueue.aio.Worker, or make it a plain function"
            )
        if name in self.rules:
            raise ValueError(f"{name!r} has a handler already")
        self.rules[name] = rule

    def decorator(
        self, name: str, *, retry: Retry | None, touch: bool, process: bool
    ) -> Callable[[H], H]:
        """What makes a function the handler of a name, and leaves it as it is."""

        def decorate(handler: H) -> H:
            self.add(name, handler, retry=retry, touch=touch, process=process)
            return handler

        return decorate

    def processes(self) -> "Processes | None":
        """Where handlers run that want a process; None if none does."""
        handlers = {name: rule.handler for name, rule in self.rules.items() if rule.process}
        if not handlers:
            return None
        from ._processes import Processes

        return Processes(handlers, self._context)

    def names(self) -> str | list[str]:
        """What to lease."""
        if not self.rules:
            raise ValueError("a worker needs at least one handler")
        names = list(self.rules)
        return names[0] if len(names) == 1 else names

    def begin(self, leased: Leased) -> Attempt:
        return Attempt(self.engine, leased, self.rules[leased.job.name])

    # ------------------------------------------------------------ answers

    def succeeded(self, attempt: Attempt, value: object) -> Answer | None:
        """The handler has returned."""
        if attempt.answered:
            return None
        try:
            result = value if type(value) is bytes else result_bytes(value)
        except BaseException as error:
            if from_signal(error):
                raise
            return self.failed(attempt, error)
        try:
            self._complete(attempt.job, result, attempt=attempt.number)
        except (TypeError, ValidationError) as error:
            return self.failed(attempt, error)
        except BaseException as error:  # noqa: BLE001 - it may pass
            return self._refused(attempt, partial(attempt.complete, result), error)
        attempt.answered = True
        return None

    def failed(self, attempt: Attempt, error: BaseException) -> Answer | None:
        """The handler has raised."""
        answer = self.failed_because(attempt, reason(error))
        number, text = attempt.number, job_text(attempt.job)
        say(logging.WARNING, "%s failed in attempt %d", text, number, error=error)
        return answer

    def failed_because(self, attempt: Attempt, why: bytes) -> Answer | None:
        return self._answer(attempt, partial(attempt.fail, why, self._delay(attempt)))

    def came_to(self, attempt: Attempt, outcome: "Outcome") -> Answer | None:
        """The process of the handler has answered, or it is gone."""
        if attempt.lost:
            return None
        if outcome.returned is not None:
            return self.succeeded(attempt, outcome.returned)
        if outcome.reason is not None:
            answer = self.failed_because(attempt, outcome.reason)
        else:  # killed from outside: no failure of the job
            answer = self._answer(attempt, attempt.release)
        number, text = attempt.number, job_text(attempt.job)
        say(logging.WARNING, "%s: attempt %d in a process: %s", text, number, outcome.told)
        return answer

    def released(self, attempt: Attempt) -> None:
        """The handler was stopped: somebody else may have the job."""
        attempt.cancelled = True
        if self._answer(attempt, attempt.release) is not None:
            self.unanswered += 1  # the end of its TTR gives it back

    def again(self, attempt: Attempt, answer: Answer) -> Answer | None:
        """Try to store an answer once more; None when that is over."""
        try:
            if attempt.lost or not attempt.holds(self.engine.clock.monotonic_ns()):
                self._given_up(attempt)
                return None
            answer()
        except OVER as error:
            self._lost(attempt, error)
        except BaseException as error:
            if from_signal(error):
                raise
            return answer
        else:
            self.recovered()
        return None

    def _answer(self, attempt: Attempt, answer: Answer) -> Answer | None:
        if attempt.answered:
            return None
        try:
            answer()
        except BaseException as error:  # noqa: BLE001 - it may pass
            return self._refused(attempt, answer, error)
        return None

    def _refused(self, attempt: Attempt, answer: Answer, error: BaseException) -> Answer | None:
        if isinstance(error, OVER):
            self._lost(attempt, error)
            return None
        if from_signal(error):
            raise error
        attempt.told = True
        text = job_text(attempt.job)
        say(logging.ERROR, "the answer to %s is not stored yet: %s", text, _text(error))
        return answer

    def _given_up(self, attempt: Attempt) -> None:
        self.unanswered += 1
        text = job_text(attempt.job)
        say(logging.ERROR, "the answer to %s was not stored while its lease lasted", text)

    def _lost(self, attempt: Attempt, error: JobQueueError) -> None:
        attempt.cancelled = attempt.lost = True
        if not isinstance(error, ClosedError):
            number, text = attempt.number, job_text(attempt.job)
            say(logging.INFO, "attempt %d of %s came too late: %s", number, text, error)

    def _delay(self, attempt: Attempt) -> int:
        """Ms until the job may be tried again: it grows with its failures since the last kick."""
        try:
            fails = self.engine.lease_fails(attempt.job)
            failures = attempt.number if fails is None else fails + 1
            delay: Any = attempt.rule.retry.delay(failures, self._rng)
            return min(max(int(delay), 0), MAX_TIMEOUT)
        except BaseException as error:
            if from_signal(error):
                raise
            say(logging.ERROR, "the delay of %s cannot be found", attempt, error=error)
            return 0

    # ------------------------------------------------------------ trouble with the engine

    def trouble(self, leased: Leased | None, error: BaseException) -> None:
        """The engine raised what it should not; it is asked again after a pause. Said once."""
        if not self._troubled:
            self._troubled = True
            say(logging.ERROR, "the engine cannot be used, for now: %s", _text(error), error=error)
        if leased is not None:
            try:
                self.engine.release(leased.job, attempt=leased.number)
            except OVER:
                pass  # it was answered
            except Exception:  # noqa: BLE001 - the end of its TTR gives it back
                self.unanswered += 1

    def recovered(self) -> None:
        """The engine works again."""
        if self._troubled:
            self._troubled = False
            say(logging.WARNING, "the engine can be used again")


def _text(error: BaseException) -> str:
    return reason(error).decode()
