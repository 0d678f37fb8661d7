"""An engine of one's own, in a class of less than 200 lines of code: a lock, lists, deadlines.

It is judged by the suite that judges jobqueue's own engines; what it lacks is skipped by name:

    pytest --pyargs jobqueue.testing.conformance --engine own_engine:OwnHarness
"""

import threading
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

import jobqueue as jq
from jobqueue.testing.harness import Harness, JobRecord

NEVER_NS = 2**63
ENDED = (jq.State.COMPLETED, jq.State.FAILED)


@dataclass(eq=False)
class Entry:
    """A job and what becomes of it."""

    job: jq.Job
    order: int
    state: jq.State = jq.State.NEW
    attempts: int = 0
    fails: int = 0
    result: bytes | None = None


class Wait:
    """A blocked call. A leaser has names, and gets an entry."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names, self.entry, self.timed_out = names, None, False


class OwnEngine:
    """Leases, budgets, fencing, results, and waits on a ManualClock."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._entries: dict[jq.ID, Entry] = {}
        self._lines: dict[str, list[tuple[int, int, Entry]]] = {}
        self._deadlines: dict[tuple[str, Any], int] = {}
        self._leasers: list[Wait] = []
        self._order, self._count, self._closed = count(), Counter[str](), False
        clock.attach(self)

    def add(self, job: jq.Job) -> None:
        with self._verb():
            if job.id in self._entries:
                error = jq.DuplicateJobError(f"job {job.id} is there")
                error.first = job.id
                raise error
            entry = self._entries[job.id] = Entry(job, next(self._order))
            self._count["added"] += 1
            self._to_line(entry)

    def lease(self, names: str | Sequence[str], timeout: Any) -> jq.Job:
        names = list(names) if isinstance(names, list | tuple) and names else [names]
        for name in names:
            jq.validate_name(name)
        with self._verb():
            self._leasers.append(wait := Wait(names))
            self._serve()
            self._block(wait, timeout, lambda: wait.entry is not None)
            return wait.entry.job

    def result(self, id: Any, timeout: Any) -> jq.RunResult:
        with self._verb():
            entry = self._find(id)
            gone = lambda: entry.job.id not in self._entries  # noqa: E731 - shorter so
            self._block(Wait(), timeout, lambda: entry.state in ENDED or gone())
            if gone():
                raise jq.NotFoundError(f"job {id} was deleted")
            return jq.RunResult(entry.state == jq.State.COMPLETED, entry.result)

    def complete(self, id: Any, result: Any = b"", *, attempt: Any = None) -> None:
        jq.validate_result(result)
        with self._verb():
            self._end(self._unanswered(id, attempt), bytes(result), jq.State.COMPLETED)

    def fail(self, id: Any, result: Any = b"", *, attempt: Any = None) -> None:
        jq.validate_result(result)
        with self._verb():
            entry = self._unanswered(id, attempt)
            entry.fails += 1
            self._back_or_end(entry, bytes(result), again=entry.fails < entry.job.max_fails)

    def delete(self, id: Any) -> None:
        with self._verb():
            entry = self._find(id)
            self._leave(entry)
            del self._entries[entry.job.id]

    def start_attempt(self, id: Any) -> None:
        with self._verb():
            self._start(self._find(id))

    def timeout_attempt(self, id: Any) -> None:
        with self._verb():
            entry = self._entries.get(jq.ID(id))
            if entry is not None and entry.state == jq.State.LEASED:
                self._count["timed_out"] += 1
                self._back_or_end(entry)

    def touch(self, id: Any, ttr: Any = None, *, attempt: Any = None) -> None:
        if ttr is not None:
            jq.validate_ttr(ttr)
        with self._verb():
            entry = self._leased(id, attempt)
            self._arm("ttr", entry, entry.job.ttr if ttr is None else ttr)

    def release(self, id: Any, *, attempt: Any = None) -> None:
        with self._verb():
            self._back(self._leased(id, attempt))

    def stats(self) -> jq.Stats:
        with self._verb():
            counts = {name: self._count[name] for name in jq.Stats._fields[:-2]}
            counts |= {"ready": sum(map(len, self._lines.values())), "waiting": len(self._leasers)}
            running = sum(entry.state == jq.State.LEASED for entry in self._entries.values())
            return jq.Stats(**counts | {"running": running, "records": len(self._entries)})

    def record(self, id: Any) -> JobRecord | None:
        e = self._entries.get(jq.ID(id))
        return None if e is None else JobRecord(e.job, e.state, e.attempts, e.fails, e.result)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- time: a ManualClock asks for the next deadline, and has it done

    def next_deadline_ns(self) -> int | None:
        with self._changed:
            return None if self._closed else min(self._deadlines.values(), default=None)

    def fire_due(self) -> None:
        with self._changed:
            while (self.next_deadline_ns() or NEVER_NS) <= self._clock.monotonic_ns():
                kind, what = min(self._deadlines, key=self._deadlines.__getitem__)
                del self._deadlines[kind, what]
                if kind == "ttr":
                    self.timeout_attempt(what.job)
                else:
                    what.timed_out = True
                    self._leasers = [leaser for leaser in self._leasers if leaser is not what]
                    self._changed.notify_all()

    def _arm(self, kind: str, what: Any, after: Any) -> None:
        ms = after if isinstance(after, int) else int(after.total_seconds() * 1000)
        self._deadlines.pop((kind, what), None)
        self._deadlines[kind, what] = self._clock.monotonic_ns() + ms * 1_000_000

    def _block(self, wait: Wait, timeout: Any, done: Callable[[], bool]) -> None:
        try:
            jq.validate_timeout(timeout)
            self._arm("wait", wait, timeout)
            self.fire_due()
            self._changed.notify_all()
            while not (done() or wait.timed_out or self._closed):
                self._changed.wait()
            if not done():
                error = jq.ClosedError if self._closed else jq.WaitTimeoutError
                raise error(f"nothing within {timeout} ms")
        finally:
            self._deadlines.pop(("wait", wait), None)
            self._leasers = [leaser for leaser in self._leasers if leaser is not wait]

    # ---- what verbs are made of

    @contextmanager
    def _verb(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise jq.ClosedError("the engine is closed")
            try:
                yield
            finally:
                self._serve()
                self._changed.notify_all()

    def _serve(self) -> None:
        """Ready jobs go to the leasers, the longest waiting first."""
        for wait in list(self._leasers):
            for line in [self._lines.get(name, []) for name in wait.names]:
                while line and wait.entry is None:
                    entry = line[0][2]
                    if self._attempts_left(entry):
                        self._start(entry)
                        wait.entry = entry
                        self._leasers.remove(wait)
                    else:
                        self._end(entry, b"", jq.State.FAILED)

    def _start(self, entry: Entry) -> None:
        if entry.state == jq.State.LEASED or entry.state in ENDED:
            ended = entry.state in ENDED
            error = jq.AlreadyProcessedError if ended else jq.AlreadyLeasedError
            raise error(f"job {entry.job.id} is {entry.state.name}")
        if not self._attempts_left(entry):
            self._end(entry, b"", jq.State.FAILED)
            raise jq.MaxAttemptsReachedError(f"job {entry.job.id} has no attempts left")
        self._leave(entry)
        entry.state = jq.State.LEASED
        entry.attempts += 1
        self._count["leased"] += 1
        self._arm("ttr", entry, entry.job.ttr)

    def _back_or_end(self, entry: Entry, result: bytes = b"", *, again: bool = True) -> None:
        if again and self._attempts_left(entry):
            self._back(entry)
        else:
            self._end(entry, result, jq.State.FAILED)

    def _back(self, entry: Entry) -> None:
        self._leave(entry)
        entry.state = jq.State.PENDING
        self._to_line(entry)

    def _end(self, entry: Entry, result: bytes, state: jq.State) -> None:
        self._leave(entry)
        entry.state, entry.result = state, result
        self._count[state.name.lower()] += 1

    def _to_line(self, entry: Entry) -> None:
        place = (-entry.job.priority, entry.order, entry)
        insort(self._lines.setdefault(entry.job.name, []), place)

    def _leave(self, entry: Entry) -> None:
        """Out of its line, and of its lease."""
        line = self._lines[entry.job.name]
        line[:] = [item for item in line if item[2] is not entry]
        self._deadlines.pop(("ttr", entry), None)

    def _find(self, id: Any) -> Entry:
        id = jq.ID(id)
        if id in self._entries:
            return self._entries[id]
        raise jq.NotFoundError(f"no job {id}")

    def _leased(self, id: Any, attempt: Any) -> Entry:
        if attempt is not None and type(attempt) is not int:
            raise TypeError(f"attempt is an int, not a {type(attempt).__name__}")
        entry = self._find(id)
        if entry.state != jq.State.LEASED or attempt not in (None, entry.attempts):
            raise jq.LeaseExpiredError(f"job {id} is not leased under attempt {attempt}")
        return entry

    def _unanswered(self, id: Any, attempt: Any) -> Entry:
        entry = self._find(id) if attempt is None else self._leased(id, attempt)
        if entry.state in ENDED:
            raise jq.DuplicateResultError(f"job {id} has its result")
        return entry

    def _attempts_left(self, entry: Entry) -> bool:
        return entry.attempts < (entry.job.max_attempts or jq.MAX_HARD_ATTEMPTS)


class OwnHarness(Harness):
    """What the suite needs to know of it."""

    name = "own"
    has = frozenset(
        {"ids", "complete", "fail", "delete", "results", "leases", "fencing", "budgets", "time"}
    ) | {*("waits", "stats", "records")}

    def open(self, **options: Any) -> OwnEngine:
        return OwnEngine(self.clock, **options)

    def find(self, engine: OwnEngine, id: Any) -> JobRecord | None:
        return engine.record(id)
