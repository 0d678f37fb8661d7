"""The two sides of a simulation: the engine and the model, each with a clock and jobs of its own.

A step names jobs by numbers and waits by numbers; a side turns them into its own objects, and what
its calls come to back into plain values, which can be compared with those of the other side.
"""

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from jobqueue import ID, Job, RunRecord, RunResult, WaitTimeoutError, validate_timeout
from jobqueue._engine.foreign import ForeignVerbs
from jobqueue._objects import registry
from jobqueue.observing import Event, Explanation
from jobqueue.testing import ManualClock
from jobqueue.testing.model import Adder, Waiter
from jobqueue.testing.model.parts import Record

START = ManualClock().now
MS = timedelta(milliseconds=1)
FORMS: dict[str, Callable[[ID], Any]] = {
    "ID": lambda id: id,
    "uuid": lambda id: id.uuid,
    "str": str,
    "bytes": bytes,
}


@cache
def id_of(number: int) -> ID:
    """The id of a job: numbers in order have ids in none."""
    mixed = number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128
    return ID(uuid.UUID(int=mixed, version=4))


@dataclass(frozen=True)
class Old:
    """The job of a number, or its id in one of its forms."""

    number: int
    form: str = "Job"

    def __repr__(self) -> str:
        return f"{self.form}({self.number})"


@dataclass(frozen=True)
class New:
    """A new job. Its times are in ms since the start, its size is of its payload."""

    number: int
    name: str = "a"
    options: tuple[tuple[str, Any], ...] = ()

    def job(self) -> Job:
        options = {
            key: START + value * MS if key in ("time", "created") else value
            for key, value in self.options
            if key != "size"
        }
        payload = bytes(dict(self.options).get("size", 0))
        return Job(self.name, payload, id=id_of(self.number), **options)

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self.options)
        return f"New({self.number}, {self.name!r}{options})"


class Alarm:
    """What wakes a sleeper: it must ring once, when the wait ends."""

    def __init__(self) -> None:
        self.rings = 0

    def __call__(self, *_: Any) -> None:
        self.rings += 1


@dataclass
class Wait:
    """A blocked caller: what it waits with, and for."""

    waiter: Any
    kind: str
    what: Any
    timeout: int
    alarm: Alarm


class Side:
    """One of the two: what is common to both."""

    def __init__(self, engine: Any, clock: ManualClock) -> None:
        self.engine = engine
        self.clock = clock
        self.waits: dict[int, Wait] = {}
        self.log: list[Any] = []  # what hooks and observers saw, and the errors that nobody caught
        self.observations: dict[int, Any] = {}
        self.lost = 0  # jobs that were unprocessed when they were deleted, or their run ended
        self.by_hand = 0  # unprocessed records that were registered by hand
        self._jobs: dict[int, Job] = {}
        self.numbers: dict[ID, int] = {}
        self.hook_calls = 0

    # ------------------------------------------------------------ from plain values and back

    def make(self, value: Any) -> Any:
        """Its own object for a value of a step."""
        match value:
            case New():
                return self._keep(value.number, value.job())
            case Old(number, "Job"):
                return self.job(number)
            case Old(number, form):
                return FORMS[form](id_of(number))
            case list():
                return [self.make(item) for item in value]
            case tuple():
                return tuple(self.make(item) for item in value)
        return value

    def job(self, number: int) -> Job:
        if number not in self._jobs:
            return self._keep(number, Job("a", id=id_of(number)))
        return self._jobs[number]

    def _keep(self, number: int, job: Job) -> Job:
        self._jobs[number] = job
        self.numbers[job.id] = number
        return job

    def plain(self, value: Any) -> Any:
        """What a call came to, in terms of both sides."""
        match value:
            case Job() | ID():
                return Old(self.numbers[getattr(value, "id", value)])
            case RunResult():
                return [value.success, value.result]
            case Explanation():
                return [str(value), *map(self.plain, value)]
            case list() | tuple() if type(value) in (list, tuple, Event):
                return [self.plain(item) for item in value]
        return value

    def outcome(self, call: Callable[[], Any]) -> Any:
        """What a call returns or raises, as a plain value."""
        try:
            return self.plain(call())
        except Exception as error:  # noqa: BLE001 - each side may raise what the other does
            return self.failure(error)

    def failure(self, error: Exception) -> Any:
        """An error as a plain value."""
        index = getattr(error, "index", None)
        first = getattr(error, "first", None)
        return type(error).__name__, index, None if first is None else self.plain(first)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Errors that nobody catches go to its log."""
        before = sys.unraisablehook
        sys.unraisablehook = lambda args: self.log.append(args.exc_type.__name__)
        try:
            yield
        finally:
            sys.unraisablehook = before

    # ------------------------------------------------------------ what several verbs need

    def forget(self, call: Callable[[], Any], ids: list[Any]) -> Any:
        """Do a call that takes these jobs away, and note how many of them were unprocessed."""
        registry = self.engine.registry
        found = {}
        for id in ids:
            try:
                record = registry.record(id)
            except (TypeError, ValueError):
                continue
            if record is not None:
                found[record.job.id] = not record.processed()
        result = call()
        self.lost += sum(found.values())
        return result

    def begin(self, number: int, kind: str, what: Any, timeout: Any) -> Any:
        """Begin to wait, if there is need to."""
        alarm = Alarm()
        begun = self.begin_wait(kind, what, timeout, alarm)
        if not self.is_waiter(begun):
            return begun
        self.waits[number] = Wait(begun, kind, what, in_ms(timeout), alarm)
        return "waits"

    def begin_wait(self, kind: str, what: Any, timeout: Any, alarm: Alarm) -> Any:
        """A waiter, or what was there at once."""
        if kind == "lease":
            patient = self.outcome(lambda: validate_timeout(timeout)) is None
            try:
                return self.engine.lease(what, 0 if patient else timeout)
            except WaitTimeoutError:
                if not timeout:
                    raise
                return self.begin_lease(what, timeout, alarm)
        if kind in ("add", "schedule"):
            begun = self.begin_add(what, timeout, alarm, scheduled=kind == "schedule")
            return "added" if begun is None else begun
        if kind == "result":
            # Without patience it is a plain look.
            if not timeout:
                return self.engine.result(what, timeout)
            return self.begin_result(what, timeout, alarm)
        return self.begin_run(what, timeout, alarm)

    def end(self, number: int) -> Any:
        """What a wait came to, if it is over."""
        wait = self.waits.get(number)
        if wait is None or not self.has_ended(wait):
            return "pending"
        del self.waits[number]
        try:
            return self.collect(wait)
        except WaitTimeoutError:
            self.lost += wait.kind == "run"
            raise

    def give_up(self, number: int) -> Any:
        """Leave a wait as by an exception."""
        wait = self.waits.get(number)
        if wait is None or (wait.kind == "run" and self.has_ended(wait)):
            return self.end(number)
        del self.waits[number]
        if wait.kind == "run":
            self.lost += 1
        self.abandon(wait)
        return None

    def ended(self) -> list[int]:
        return [number for number, wait in self.waits.items() if self.has_ended(wait)]

    def runs_ended(self) -> bool:
        """Whether a run has ended whose caller has not been told."""
        return any(w.kind == "run" and self.has_ended(w) for w in self.waits.values())

    # ------------------------------------------------------------ what differs

    record: Callable[..., Any]
    """Makes a record by hand."""

    def is_waiter(self, begun: Any) -> bool:
        raise NotImplementedError

    def has_ended(self, wait: Wait) -> bool:
        raise NotImplementedError

    def begin_add(self, job: Any, wait: Any, alarm: Alarm, *, scheduled: bool) -> Any:
        raise NotImplementedError

    def begin_lease(self, names: Any, timeout: Any, alarm: Alarm) -> Any:
        raise NotImplementedError

    def begin_result(self, id: Any, timeout: Any, alarm: Alarm) -> Any:
        raise NotImplementedError

    def begin_run(self, job: Any, timeout: Any, alarm: Alarm) -> Any:
        raise NotImplementedError

    def collect(self, wait: Wait) -> Any:
        raise NotImplementedError

    def abandon(self, wait: Wait) -> None:
        raise NotImplementedError


class EngineSide(Side):
    """The engine, on its fast path or over foreign queues."""

    record = RunRecord

    def is_waiter(self, begun: Any) -> bool:
        return isinstance(begun, registry.Waiter)

    def has_ended(self, wait: Wait) -> bool:
        return not wait.waiter.pending

    def begin_add(self, job: Any, wait: Any, alarm: Alarm, *, scheduled: bool) -> Any:
        return self.engine.add_begin(job, wait, alarm, scheduled)

    def begin_lease(self, names: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine.lease_begin(names, in_ms(timeout), alarm)

    def begin_result(self, id: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine.result_begin(id, timeout, alarm)

    def begin_run(self, job: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine.run_begin(job, timeout, alarm)

    def collect(self, wait: Wait) -> Any:
        try:
            return self.engine.wait_finish(wait.waiter, wait.what, wait.timeout)
        finally:
            self._run_over(wait)

    def misrung(self) -> list[int]:
        """Waits whose sleeper was not woken, or in vain."""
        return [
            number
            for number, wait in self.waits.items()
            if wait.alarm.rings != self.has_ended(wait)
        ]

    def abandon(self, wait: Wait) -> None:
        self.engine.wait_abandon(wait.waiter)
        self._run_over(wait)

    def _run_over(self, wait: Wait) -> None:
        """As run does, over foreign queues."""
        if wait.kind == "run" and isinstance(self.engine, ForeignVerbs):
            self.engine.run_over(wait.what)


class ModelSide(Side):
    """The model."""

    record = Record

    def is_waiter(self, begun: Any) -> bool:
        return isinstance(begun, Waiter | Adder)

    def has_ended(self, wait: Wait) -> bool:
        return bool(self.engine._has_ended(wait.waiter))

    def begin_add(self, job: Any, wait: Any, alarm: Alarm, *, scheduled: bool) -> Any:
        return self.engine._add_begin(job, wait, scheduled=scheduled)

    def begin_lease(self, names: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine._lease_begin(names, timeout)

    def begin_result(self, id: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine._result_begin(id, timeout)

    def begin_run(self, job: Any, timeout: Any, alarm: Alarm) -> Any:
        return self.engine._run_begin(job, timeout)

    def collect(self, wait: Wait) -> Any:
        return self.engine._collect(wait.waiter)

    def abandon(self, wait: Wait) -> None:
        self.engine._abandon(wait.waiter)


def in_ms(duration: int | timedelta) -> int:
    return duration // MS if isinstance(duration, timedelta) else duration
