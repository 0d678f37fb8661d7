"""An engine in plain Python that offers the ports: what it takes to be driven by the wings.

It is small, not quick: one lock, and every wait is looked at whenever something changes.
"""

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Self

import jobqueue
from jobqueue import ID, Job, RunResult, WaitTimeoutError
from jobqueue._ports import LeaseArguments, Leased


def in_ms(duration: Any) -> int:
    return duration if isinstance(duration, int) else duration // timedelta(milliseconds=1)


class OwnEngine:
    """LeasePort and WaitPort, with the verbs that they need."""

    def __init__(self) -> None:
        self.clock = jobqueue.SystemClock()
        self.closed = False
        self._lock = threading.RLock()
        self._entries: dict[ID, Any] = {}
        self._ready: list[Any] = []
        self._waits: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        self._end(lambda _: jobqueue.ClosedError("it is closed"))

    def add(self, job: Job) -> None:
        with self._lock:
            if job.id in self._entries:
                raise jobqueue.DuplicateJobError(f"job {job.id} was added before")
            entry = SimpleNamespace(job=job, number=0, deadline_ns=None, fails=0, result=None)
            self._entries[job.id] = entry
            self._put(entry)

    def complete(self, id: Job, result: Any = b"", *, attempt: int | None = None) -> None:
        with self._lock:
            self._leased(id, attempt).result = RunResult(success=True, result=bytes(result))
            self._end(self._came_to)

    def fail(self, id: Job, result: Any = b"", *, attempt: Any = None, delay: Any = 0) -> None:
        with self._lock:
            entry = self._leased(id, attempt)
            entry.fails += 1
            if entry.fails < id.max_fails:
                self._put(entry)
            else:
                entry.result = RunResult(success=False, result=bytes(result))
                self._end(self._came_to)

    def touch(self, id: Job, ttr: Any = None, *, attempt: int | None = None) -> None:
        with self._lock:
            self._leased(id, attempt).deadline_ns = self._in(id.ttr if ttr is None else in_ms(ttr))

    def release(self, id: Job, delay: Any = 0, *, attempt: int | None = None) -> None:
        with self._lock:
            self._put(self._leased(id, attempt))

    def lease_arguments(self, names: Any, timeout: Any) -> LeaseArguments:
        read = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        for name in read:
            jobqueue.validate_name(name)
        if self.closed:
            raise jobqueue.ClosedError("it is closed")
        return LeaseArguments(read, in_ms(timeout))

    def count_check(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")

    def lease_now(self, names: Any, timeout: Any, detailed: bool = False) -> Any:
        read, timeout_ms = self.lease_arguments(names, timeout)
        leased = self._take(read)
        if leased is None and not timeout_ms:
            raise WaitTimeoutError(f"no job of {read}")
        return leased if detailed or leased is None else leased.job

    def take_many(self, names: list[str], most: int) -> list[Job]:
        return [leased.job for _ in range(most) if (leased := self._take(names))]

    def lease_deadline_ns(self, job: Job, attempt: int | None = None) -> int | None:
        entry = self._entries.get(job.id)
        held = entry and entry.result is None and attempt in (None, entry.number)
        return entry.deadline_ns if held else None

    def lease_deadline(self, deadline_ns: int) -> datetime:
        left_ns = deadline_ns - self.clock.monotonic_ns()
        return datetime.now(UTC) + timedelta(microseconds=left_ns // 1000)

    def lease_fails(self, job: Job) -> int | None:
        entry = self._entries.get(job.id)
        return entry and entry.fails

    def lease_begin(self, names: Any, timeout_ms: int, wake: Any, detailed: bool = False) -> Any:
        read, _ = self.lease_arguments(names, timeout_ms)
        return self._begin(timeout_ms, wake, names=read, detailed=detailed)

    def result_begin(self, id: Job, timeout: Any, wake: Any) -> Any:
        if id.id not in self._entries:
            raise jobqueue.NotFoundError(f"no job {id.id}")
        return self._begin(in_ms(timeout), wake, id=id.id)

    def run_begin(self, job: Job, timeout: Any, wake: Any, lapse: bool = True) -> Any:
        self.add(job)
        return self._begin(in_ms(timeout), wake, id=job.id)

    def run_over(self, job: Job) -> None:
        self._entries.pop(job.id, None)

    def add_begin(self, job: Job, wait: Any, wake: Any, scheduled: bool = False) -> None:
        self.add(job)  # there are no bounds

    def wait_sleep(self, waiter: Any, what: object, timeout_ms: int) -> Any:
        if not waiter.over.wait(timeout_ms / 1000):
            self.wait_lapse(waiter)
        return self.wait_finish(waiter, what, timeout_ms)

    def wait_finish(self, waiter: Any, what: object, timeout: object) -> Any:
        if isinstance(waiter.outcome, Exception):
            raise waiter.outcome
        plain = isinstance(waiter.outcome, Leased) and not waiter.detailed
        return waiter.outcome.job if plain else waiter.outcome

    def wait_abandon(self, waiter: Any) -> Job | None:
        with self._lock:
            waiter.timer.cancel()
            self._waits = [wait for wait in self._waits if wait is not waiter]
            if not isinstance(waiter.outcome, Leased):
                return None
            self.release(waiter.outcome.job, attempt=waiter.outcome.number)
            return waiter.outcome.job

    wait_desert = wait_abandon

    def wait_lapse(self, waiter: Any) -> None:
        self._end(lambda wait: WaitTimeoutError("it is over") if wait is waiter else None)

    def _in(self, ms: int) -> int:
        return self.clock.monotonic_ns() + ms * 10**6

    def _put(self, entry: Any) -> None:
        entry.deadline_ns = None
        self._ready.append(entry)
        self._end(self._came_to)

    def _take(self, names: list[str]) -> Leased | None:
        with self._lock:
            for entry in self._ready:
                if entry.job.name in names:
                    self._ready.remove(entry)
                    entry.number += 1
                    entry.deadline_ns = self._in(entry.job.ttr)
                    return Leased(entry.job, entry.number, entry.deadline_ns)
            return None

    def _leased(self, job: Job, attempt: int | None) -> Any:
        if self.lease_deadline_ns(job, attempt) is None:
            raise jobqueue.LeaseExpiredError(f"job {job.id} is not leased under this attempt")
        return self._entries[job.id]

    def _begin(self, timeout_ms: int, wake: Any, **wanted: Any) -> Any:
        wait = SimpleNamespace(wake=wake, over=threading.Event(), outcome=None, **wanted)
        wait.timer = threading.Timer(timeout_ms / 1000, self.wait_lapse, [wait])
        if wake is not None:
            wait.timer.start()
        with self._lock:
            self._waits.append(wait)
            self._end(self._came_to)
        return wait

    def _came_to(self, wait: Any) -> Any:
        return self._take(wait.names) if hasattr(wait, "names") else self._entries[wait.id].result

    def _end(self, outcome_of: Any) -> None:
        """End the waits that have come to something, longest first."""
        with self._lock:
            for wait in list(self._waits):
                if wait.outcome is None:
                    wait.outcome = outcome_of(wait)
                if wait.outcome is not None and wait in self._waits:
                    self._waits.remove(wait)
                    wait.over.set()
                    wait.timer.cancel()
                    if wait.wake is not None:
                        wait.wake(wait)
