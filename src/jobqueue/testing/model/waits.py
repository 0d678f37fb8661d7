"""The model's waits: blocked callers, how their waits end, and what leaves when they give up."""

from dataclasses import dataclass, field
from typing import Any

from jobqueue import ClosedError, NotFoundError, RunResult, WaitTimeoutError
from jobqueue.observing import EventKind

from .bounds import Adder
from .parts import Record


@dataclass(eq=False)
class Waiter:
    """A blocked caller: a leaser with names, or one who waits for the end of a record."""

    names: list[str] = field(default_factory=list)
    record: Record | None = None  # whose end it waits for; a leaser's: the job that it was handed
    attempt: int | None = None  # a leaser's: its number
    answer: RunResult | None = None  # its record's
    gone: bool = False  # its record, before it had an answer
    timed_out: bool = False
    lapsed: bool = False  # run: its time-out is over, only the lease keeps it going


class Waits:
    """What a model does for those who wait."""

    def _is_run(self, waiter: Waiter | Adder) -> bool:
        return waiter.record is not None and waiter.record.runner is waiter

    def _is_answered(self, waiter: Waiter | Adder) -> bool:
        if isinstance(waiter, Adder):
            return waiter.record is not None or waiter.error is not None
        if waiter.names:
            return waiter.attempt is not None
        return waiter.answer is not None or waiter.gone

    def _has_ended(self: Any, waiter: Waiter | Adder) -> bool:
        return waiter.timed_out or self._is_answered(waiter) or self._closed

    def _wait(self: Any, waiter: Waiter | Adder) -> Any:
        """Block until it is answered, its time is over, or the engine is closed."""
        try:
            self.fire_due()
            with self._outside():  # verbs of other threads are no part of this one
                while not self._has_ended(waiter):
                    self._changed.wait(0.01)
        except BaseException:
            self._abandon(waiter)
            raise
        return self._collect(waiter)

    def _collect(self: Any, waiter: Waiter | Adder) -> Any:
        """What an ended wait came to. A run is forgotten."""
        self._cancel(waiter, "wait")
        if isinstance(waiter, Adder):
            self._collect_capacity(waiter)
            return None
        record, gone = waiter.record, waiter.gone
        if self._is_run(waiter):
            with self._whole():
                self._forget(record)
        if waiter.timed_out:
            raise WaitTimeoutError("it did not come in time")
        if waiter.attempt is not None:
            return record.job
        if waiter.answer is not None:  # after a kick: the latest
            return record.answer() if record.processed() else waiter.answer
        if gone:
            raise NotFoundError(f"job {record.job.id} was deleted or has expired")
        raise ClosedError("the controller was closed")

    def _abandon(self: Any, waiter: Waiter | Adder) -> None:
        """Its caller leaves by an exception: a job it was handed goes back, a run is gone."""
        with self._whole():
            self._cancel(waiter, "wait")
            if isinstance(waiter, Adder):
                self._leave_line(waiter)
                return
            if waiter in self._leasers:
                self._leasers.remove(waiter)
            if waiter.attempt is not None:
                self._undo_lease(waiter.record, waiter.attempt)
            if self._is_run(waiter):
                self._forget(waiter.record)

    def _undo_lease(self: Any, record: Record, attempt: int) -> None:
        if self._is_gone(record) or not record.running() or record.attempts != attempt:
            return
        if record.runner is not None and record.runner.lapsed:
            self._time_out_run(record)
            return
        self._cancel(record, "ttr")
        record.state = record.state_before
        record.attempts -= 1
        self._count["leased"] -= 1
        self._note(record, EventKind.UNDONE)
        self._to_ready(record)

    def _time_out_wait(self: Any, waiter: Waiter | Adder) -> None:
        if self._is_answered(waiter):
            return
        if isinstance(waiter, Adder):
            waiter.timed_out = True
            self._adders.remove(waiter)
        elif not self._is_run(waiter):
            waiter.timed_out = True
            if waiter in self._leasers:
                self._leasers.remove(waiter)
        elif waiter.record.running():
            waiter.lapsed = True
        else:
            self._time_out_run(waiter.record)

    def _time_out_run(self: Any, record: Record) -> None:
        record.runner.timed_out = True
        self._forget(record)
