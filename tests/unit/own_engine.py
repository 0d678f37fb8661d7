"""An engine in plain Python that offers the ports: wings drive it, and the suite judges it.

It is small, not quick: one lock, and every wait is looked at whenever something changes. Its time
is a ManualClock's: whoever moves that has what is due done.
"""

import threading
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, Self

import jobqueue as jq
from jobqueue._ports import LeaseArguments, Leased
from jobqueue.testing import ManualClock
from jobqueue.testing.harness import Harness


def in_ms(duration: Any) -> int:
    jq.validate_timeout(duration)
    return duration if isinstance(duration, int) else duration // timedelta(milliseconds=1)


class OwnEngine:
    """LeasePort and WaitPort, with the verbs that they need."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.closed = clock, False
        self._changed = threading.Condition(threading.RLock())
        self._entries: dict[jq.ID, Any] = {}
        self._ready: list[Any] = []  # (-priority, order, entry)
        self._due: list[Any] = []  # (deadline_ns, order, function, its arguments)
        self._waits: list[Any] = []
        self._order = count()
        clock.attach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._serve()

    @contextmanager
    def _verb(self) -> Iterator[None]:
        with self._changed:
            if self.closed:
                raise jq.ClosedError("the engine is closed")
            yield
            self.fire_due()

    def add(self, job: jq.Job) -> None:
        with self._verb():
            if job.id in self._entries:
                error = jq.DuplicateJobError(f"job {job.id} is there")
                error.first = job.id
                raise error
            entry = SimpleNamespace(job=job, order=next(self._order))
            entry.number, entry.fails, entry.deadline_ns, entry.result = 0, 0, None, None
            self._entries[job.id] = entry
            self._back(entry, 0)

    def lease(self, names: Any, timeout: Any) -> Any:
        read, timeout_ms = self.lease_arguments(names, timeout)
        return self.wait_sleep(self.lease_begin(read, timeout_ms, None), read, timeout_ms)

    def result(self, id: Any, timeout: Any) -> Any:
        begun = self.result_begin(id, timeout, None)
        return begun if isinstance(begun, jq.RunResult) else self.wait_sleep(begun, id, 0)

    def complete(self, id: Any, result: Any = b"", *, attempt: Any = None) -> None:
        jq.validate_result(result)
        with self._verb():
            self._end(self._unanswered(id, attempt), jq.RunResult(True, bytes(result)))

    def fail(self, id: Any, result: Any = b"", *, attempt: Any = None, delay: Any = 0) -> None:
        jq.validate_result(result)
        with self._verb():
            entry = self._unanswered(id, attempt)
            entry.fails += 1
            if entry.fails < entry.job.max_fails:
                self._back(entry, delay)
            else:
                self._end(entry, jq.RunResult(False, bytes(result)))

    def touch(self, id: Any, ttr: Any = None, *, attempt: Any = None) -> None:
        with self._verb():
            entry = self._leased(id, attempt)
            self._lease(entry, entry.job.ttr if ttr is None else ttr)

    def release(self, id: Any, delay: Any = 0, *, attempt: Any = None) -> None:
        with self._verb():
            self._back(self._leased(id, attempt), delay)

    def lease_arguments(self, names: Any, timeout: Any) -> LeaseArguments:
        names = list(dict.fromkeys(names)) if isinstance(names, list | tuple) and names else [names]
        for name in names:
            jq.validate_name(name)
        with self._verb():
            return LeaseArguments(names, in_ms(timeout))

    def count_check(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")

    def lease_now(self, names: Any, timeout: Any, detailed: bool = False) -> Any:
        read, timeout_ms = self.lease_arguments(names, timeout)
        with self._verb():
            leased = self._take(read)
        if leased is None and not timeout_ms:
            raise jq.WaitTimeoutError(f"no job of {read}")
        return leased if detailed or leased is None else leased.job

    def take_many(self, names: list[str], most: int) -> list[jq.Job]:
        return [leased.job for _ in range(most) if (leased := self._take(names))]

    def lease_deadline_ns(self, job: jq.Job, attempt: int | None = None) -> int | None:
        entry = self._entries.get(job.id)
        return entry.deadline_ns if entry and attempt in (None, entry.number) else None

    def lease_deadline(self, deadline_ns: int) -> datetime:
        left_ns = deadline_ns - self.clock.monotonic_ns()
        return datetime.now(UTC) + timedelta(microseconds=left_ns // 1000)

    def lease_fails(self, job: jq.Job) -> int | None:
        return self._entries[job.id].fails if job.id in self._entries else None

    def lease_begin(self, names: Any, timeout_ms: int, wake: Any, detailed: bool = False) -> Any:
        return self._begin(timeout_ms, wake, detailed, lambda: self._take(names))

    def result_begin(self, id: Any, timeout: Any, wake: Any) -> Any:
        entry = self._find(id)
        return entry.result or self._begin(timeout, wake, False, lambda: entry.result)

    def run_begin(self, job: jq.Job, timeout: Any, wake: Any, lapse: bool = True) -> Any:
        self.add(job)
        return self.result_begin(job, timeout, wake)

    def run_over(self, job: jq.Job) -> None:
        self._entries.pop(job.id, None)

    def add_begin(self, job: jq.Job, wait: Any, wake: Any, scheduled: bool = False) -> None:
        self.add(job)  # there are no bounds: nobody waits

    def wait_sleep(self, waiter: Any, what: object, timeout_ms: int) -> Any:
        with self._changed:
            while waiter.outcome is None:
                self._changed.wait()
        return self.wait_finish(waiter, what, timeout_ms)

    def wait_finish(self, waiter: Any, what: object, timeout: object) -> Any:
        if isinstance(waiter.outcome, Exception):
            raise waiter.outcome
        plain = isinstance(waiter.outcome, Leased) and not waiter.detailed
        return waiter.outcome.job if plain else waiter.outcome

    def wait_abandon(self, waiter: Any) -> jq.Job | None:
        self._over(waiter, jq.ClosedError("its caller has left"))
        if not isinstance(waiter.outcome, Leased):
            return None
        self.release(waiter.outcome.job, attempt=waiter.outcome.number)
        return waiter.outcome.job

    wait_desert = wait_abandon

    def wait_lapse(self, waiter: Any) -> None:
        self._over(waiter, jq.WaitTimeoutError("nothing within the time"))

    def next_deadline_ns(self) -> int | None:
        return self._due[0][0] if self._due and not self.closed else None

    def fire_due(self) -> None:
        with self._changed:
            self._serve()
            while self._due and self._due[0][0] <= self.clock.monotonic_ns():
                _, _, function, argument = self._due.pop(0)
                function(argument)
                self._serve()

    def _at(self, after: Any, function: Any, argument: Any) -> int:
        deadline_ns = self.clock.monotonic_ns() + in_ms(after) * 10**6
        insort(self._due, (deadline_ns, next(self._order), function, argument))
        return deadline_ns

    def _stop(self, argument: Any) -> None:
        """Nothing is due for it any more."""
        self._due = [due for due in self._due if due[3] is not argument]

    def _begin(self, timeout: Any, wake: Any, detailed: bool, come_to: Any) -> Any:
        wait = SimpleNamespace(wake=wake, detailed=detailed, come_to=come_to, outcome=None)
        with self._verb():
            self._waits.append(wait)
            self._at(timeout, self.wait_lapse, wait)
        return wait

    def _serve(self) -> None:
        """End the waits that have come to something, longest first."""
        for wait in list(self._waits):
            closed = jq.ClosedError("the engine is closed") if self.closed else None
            if outcome := closed or wait.come_to():
                self._over(wait, outcome)

    def _over(self, wait: Any, outcome: Any) -> None:
        with self._changed:
            self._stop(wait)
            if wait in self._waits:
                self._waits.remove(wait)
                wait.outcome = outcome
                self._changed.notify_all()
                if wait.wake is not None:
                    wait.wake(wait)

    def _take(self, names: list[str]) -> Leased | None:
        with self._changed:
            for *_, entry in self._ready:
                if entry.job.name in names:
                    self._leave(entry)
                    entry.number += 1
                    self._lease(entry, entry.job.ttr)
                    return Leased(entry.job, entry.number, entry.deadline_ns)
            return None

    def _lease(self, entry: Any, ttr: Any) -> None:
        self._stop(entry)
        entry.deadline_ns = self._at(ttr, self._back, entry)

    def _leave(self, entry: Any) -> None:
        """Neither leased, nor ready, nor due."""
        self._stop(entry)
        self._ready = [place for place in self._ready if place[2] is not entry]
        entry.deadline_ns = None

    def _back(self, entry: Any, delay: Any = 0) -> None:
        self._leave(entry)
        self._at(delay, self._put, entry)

    def _put(self, entry: Any) -> None:
        insort(self._ready, (-entry.job.priority, entry.order, entry))

    def _end(self, entry: Any, result: jq.RunResult) -> None:
        self._leave(entry)
        entry.result = result

    def _find(self, id: Any) -> Any:
        if (entry := self._entries.get(jq.ID(id))) is None:
            raise jq.NotFoundError(f"no job {id}")
        return entry

    def _leased(self, id: Any, attempt: Any) -> Any:
        if attempt is not None and type(attempt) is not int:
            raise TypeError(f"attempt is an int, not a {type(attempt).__name__}")
        entry = self._find(id)
        if entry.deadline_ns is None or attempt not in (None, entry.number):
            raise jq.LeaseExpiredError(f"job {id} is not leased under attempt {attempt}")
        return entry

    def _unanswered(self, id: Any, attempt: Any) -> Any:
        entry = self._find(id)
        if entry.result is not None:
            raise jq.DuplicateResultError(f"job {id} has its result")
        return entry if attempt is None else self._leased(id, attempt)


class OwnHarness(Harness):
    """What the conformance suite needs to know of it."""

    name = "own"
    has = frozenset({"ids", "complete", "fail", "fencing", "results", "waits", "time"})

    def open(self, **options: Any) -> OwnEngine:
        return OwnEngine(self.clock, **options)
