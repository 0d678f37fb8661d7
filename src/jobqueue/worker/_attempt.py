"""An attempt as a handler sees it, and when the leases of all running handlers are renewed.

Invariant: while a handler runs its attempt is in `Renewals.running`; there is nothing per job
beyond that, no timer and no thread.
Invariant: an idle slot is in none of the sets here, and holds no attempt.
"""

import logging
from collections.abc import Callable
from typing import Final

from .. import controller as _controller
from .._ports import Leased, LeasePort
from ..errors import (
    AlreadyProcessedError,
    ClosedError,
    DuplicateResultError,
    LeaseExpiredError,
    NotFoundError,
)
from ..interfaces import Clock
from ._handlers import Rule
from ._outcomes import from_signal, job_text, say

__all__ = ["OVER", "Attempt", "Pause", "Renewals", "pause_ns"]

NEVER_NS: Final = 2**63 - 1
NS_PER_MS: Final = 10**6
PAUSE_FIRST_NS: Final = 10**7
PAUSE_MOST_NS: Final = 5 * 10**8

OVER: Final = (
    LeaseExpiredError,
    NotFoundError,
    DuplicateResultError,
    AlreadyProcessedError,
    ClosedError,
)
"""What the engine answers when an attempt is over. Whatever else it raises may pass."""


def pause_ns(failures: int) -> int:
    """How long to wait before the engine is asked again: doubled each time, up to half a second."""
    return min(PAUSE_FIRST_NS << min(failures - 1, 10), PAUSE_MOST_NS)


class Attempt(_controller.Attempt):
    """What a handler is given: the job, and what there is to know and to do about its lease.

    The worker answers with what the handler returns or raises, unless the handler has answered.
    """

    __slots__ = ("cancelled", "due_ns", "lost", "on_lost", "rule", "told")
    cancelled: bool
    """Whether the work should end: the worker stops, or the lease is lost."""
    due_ns: int
    """When the lease is to be renewed or looked at, monotonic."""
    lost: bool
    """Whether the lease is lost, so that no answer counts."""
    on_lost: "Callable[[Attempt], object] | None"
    """Called with the attempt when the lease is lost."""
    rule: Rule
    told: bool
    """Whether the log knows that the engine does not store what is said about it."""

    def __init__(  # the base's fields are set here: this is the way of every job
        self, engine: LeasePort, leased: Leased, rule: Rule
    ) -> None:
        self._controller = engine  # type: ignore[assignment,misc]
        self.job, self.number, self._deadline_ns = leased
        self.answered = self.cancelled = self.lost = self.told = False
        self.rule = rule
        self.on_lost = None
        self.due_ns = self._deadline_ns
        if rule.touch:
            self.due_ns -= self.job.ttr * NS_PER_MS * 2 // 3

    def _schedule(self) -> None:
        """A lease is renewed when a third of its TTR is over; else it is looked at at its end."""
        self.due_ns = self._deadline_ns
        if self.rule.touch:
            self.due_ns -= self.job.ttr * NS_PER_MS * 2 // 3

    def renew(self, now_ns: int) -> None:
        """Touch the lease, or see whether it still holds; a lost one cancels the attempt."""
        if self.answered:
            self.due_ns = NEVER_NS
            return
        try:
            if self.rule.touch:
                self.touch()
            elif self._deadline_now() <= now_ns:
                self.lose()
                return
        except OVER:
            self.lose()
        except BaseException as error:
            if from_signal(error):
                raise
            self._not_renewed(error, now_ns)
        else:
            self._schedule()

    def _not_renewed(self, error: BaseException, now_ns: int) -> None:
        """The engine could not store it: it is tried again while the lease lasts."""
        if not self.told:
            self.told = True
            say(logging.ERROR, "the lease of %s is not renewed: %s", self, error, error=error)
        if self.holds(now_ns):
            self.due_ns = min(now_ns + PAUSE_MOST_NS, max(self._deadline_ns, now_ns + 1))
        else:
            self.lose()

    def holds(self, now_ns: int) -> bool:
        """Whether the lease lasts."""
        return not self.lost and self._deadline_now() > now_ns

    def _deadline_now(self) -> int:
        """The deadline, which the handler may have moved; in the past if the lease is over."""
        deadline_ns = self._controller.lease_deadline_ns(self.job, self.number)
        if deadline_ns is None:
            return 0
        self._deadline_ns = deadline_ns
        return deadline_ns

    def lose(self) -> None:
        """The lease is over: nothing that is answered now counts."""
        self.cancelled = self.lost = True
        self.due_ns = NEVER_NS
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost(self)

    def __repr__(self) -> str:
        return f"<Attempt {self.number} at {job_text(self.job)}>"


class Pause:
    """A slot that waits before it asks the engine again."""

    __slots__ = ("due_ns", "wake")

    def __init__(self, due_ns: int, wake: Callable[[], object]) -> None:
        self.due_ns: Final = due_ns
        """When it ends, monotonic."""
        self.wake: Final = wake
        """Ends it; from any thread, any number of times."""


class Renewals:
    """When the leases of all running handlers are to be renewed; one timer serves them all.

    poke: called when that is earlier than the shell was told; from any thread.
    """

    def __init__(self, engine: LeasePort, poke: Callable[[], object]) -> None:
        self._engine: Final = engine
        self._poke: Final = poke
        self._wake_ns = NEVER_NS
        self.running: Final[set[Attempt]] = set()
        self.pauses: Final[set[Pause]] = set()
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
        attempt.on_lost = None  # it may know the attempt, which would wait for the collector

    def pause(self, failures: int, wake: Callable[[], object]) -> Pause:
        """Let a slot wait. A clock that is moved by hand ends it; else the shell's own timer."""
        try:
            now_ns = self._engine.clock.monotonic_ns()
        except Exception:  # noqa: BLE001 - a clock may be what does not work
            now_ns = 0
        pause = Pause(now_ns + pause_ns(failures), wake)
        self.pauses.add(pause)
        return pause

    def wake_all(self) -> None:
        """End all pauses: the worker stops, or the engine works again."""
        for pause in list(self.pauses):
            pause.wake()

    def next_deadline_ns(self) -> int | None:
        """Monotonic ns of the earliest renewal, or None. What a manual clock asks."""
        waiting: list[Attempt | Pause] = [*list(self.running), *list(self.pauses)]
        due_ns = min((each.due_ns for each in waiting), default=NEVER_NS)
        return None if due_ns == NEVER_NS else due_ns

    def fire_due(self) -> None:
        """Renew what is due. O(running)."""
        now_ns = self._engine.clock.monotonic_ns()
        self._wake_ns = NEVER_NS  # whoever begins from here on pokes
        for attempt in list(self.running):
            if attempt.due_ns <= now_ns:
                attempt.renew(now_ns)
        for pause in list(self.pauses):
            if pause.due_ns <= now_ns:
                self.pauses.discard(pause)
                pause.wake()

    def tick(self) -> int | None:
        """Renew what is due; ns until the next look, -1 if nothing is known, None at the end."""
        if self.ended:
            return None
        self.fire_due()
        earliest_ns = self.next_deadline_ns()
        if earliest_ns is None:
            return -1
        self._wake_ns = min(self._wake_ns, earliest_ns)
        return max(earliest_ns - self._engine.clock.monotonic_ns(), 0)

    _tick = tick  # what a TimerThread calls
