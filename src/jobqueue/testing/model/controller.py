"""The model's verbs, and what time does."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Self

from jobqueue import (
    ID,
    AlreadyLeasedError,
    AlreadyProcessedError,
    ClosedError,
    DuplicateResultError,
    InvalidTimeError,
    Job,
    JobQueueError,
    LeaseExpiredError,
    MaxAttemptsReachedError,
    NotDeadError,
    NotFoundError,
    QueueOutOfSyncError,
    RunResult,
    State,
    Stats,
    validate_name,
    validate_timeout,
    validate_ttl,
    validate_ttr,
)
from jobqueue.observing import EventKind

from .arguments import (
    check_count,
    check_hook,
    check_job,
    created_was_given,
    duplicate,
    failed_at,
    to_ms,
    to_names,
)
from .bounds import Bounds
from .parts import Attempt, Queue, Queues, Record, Registry, to_bytes, to_id
from .waits import Waiter, Waits
from .watching import Watching

NS_PER_MS = 1_000_000
NEVER_NS = 2**63 - 1
ATTEMPTS_KEPT_MAX = 2**31 - 1
"""A record made by hand with more begins anew when it is kicked."""
COUNTERS = (
    "added",
    "leased",
    "completed",
    "failed",
    "timed_out",
    "evicted_jobs",
    "kicked",
    "cancelled",
)
"""What `stats` counts from the beginning; the rest it looks up."""


class ModelController(Bounds, Waits, Watching):
    """Every verb of the contract, slowly."""

    def __init__(
        self,
        registry: Registry | None = None,
        queues: Queues | None = None,
        *,
        clock: Any,
        rng: Random | None = None,
        result_ttl: int | timedelta | None = None,
        max_jobs: int | None = None,
        max_bytes: int | None = None,
        history: int = 0,
        keep_expired: int | timedelta = 0,
    ) -> None:
        Bounds.__init__(self, max_jobs, max_bytes)
        Watching.__init__(self, history)
        if result_ttl is not None and (result_ttl or not isinstance(result_ttl, int | timedelta)):
            validate_ttl(result_ttl)
        if keep_expired or not isinstance(keep_expired, int | timedelta):
            validate_ttl(keep_expired)
        self.registry = Registry() if registry is None else registry
        self.queues = Queues() if queues is None else queues
        self._clock = clock
        self._rng = rng or Random()
        self._keep_expired_ms = to_ms(keep_expired)
        self._result_ttl_ms = None if result_ttl is None else to_ms(result_ttl)
        self._changed = threading.Condition(threading.RLock())
        self._timers: dict[tuple[Any, str], tuple[int, int]] = {}  # (deadline, order of arming)
        self._armed = 0
        self._last_created_ns = 0
        self._leasers: list[Waiter] = []
        self._paused: set[str] = set()
        self._count: Counter[str] = Counter()
        self._closed = False
        self._on_expire: Callable[[ID], object] = self.expire
        self._on_timeout: Callable[[ID], object] = self.timeout_attempt
        clock.attach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """A verb."""
        with self._changed:
            if self._closed:
                raise ClosedError("the controller is closed")
            with self._whole():
                yield

    # ------------------------------------------------------------ in

    def add(self, job: Job, wait: int | timedelta = 0) -> None:
        self._add_or_wait(job, wait, scheduled=False)

    def _check_and_add(self, job: Job) -> None:
        self._check_new(job)
        self._place(job)
        self._hand_off(job.name)

    def _place(self, job: Job) -> None:
        record = self._register(job)
        # The stamp may run ahead of the clock; the time to live does not.
        self._arm_ttl(record, job.created_ns if created_was_given(job) else self._clock.now_ns())
        self.queues.queue(job.name).add(job, self._created(job))
        self._note(record, EventKind.ADDED)

    def add_many(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        for index, job in enumerate(jobs):
            try:
                check_job(job)
            except TypeError as error:
                raise failed_at(index, error) from None
        with self._open():
            for index, job in enumerate(jobs):
                try:
                    self._check_new(job, jobs[:index])
                except JobQueueError as error:
                    raise failed_at(index, error) from None
            for job in jobs:
                self._place(job)
            for job in jobs:  # the best of them, not the first, to who waits longest
                self._hand_off(job.name)

    def schedule(self, job: Job, wait: int | timedelta = 0) -> None:
        self._add_or_wait(job, wait, scheduled=True)

    def _check_and_schedule(self, job: Job) -> None:
        if job.time is None:
            raise InvalidTimeError(f"job {job.id} has no time to be scheduled at")
        self._check_new(job)
        record = self._register(job)
        if job.time_ns > self._clock.now_ns():
            queue = self.queues.queue(job.name)
            queue.schedule(job, created_ns=self._created(job))
            self._note(record, EventKind.SCHEDULED)
        else:
            self._arm_ttl(record, job.time_ns)
            self._note(record, EventKind.ADDED)
            self._to_ready(record)

    def run(self, job: Job, timeout: int | timedelta) -> RunResult:
        with self._changed:
            return self._wait(self._run_begin(job, timeout))

    def _run_begin(self, job: Job, timeout: int | timedelta) -> Waiter:
        check_job(job)
        validate_timeout(timeout)
        with self._open():
            self.fire_due()
            self._check_new(job, expires=False)
            record = self._register(job)
            runner = record.runner = Waiter(record=record)
            record.waiters.append(runner)
            self._arm(runner, "wait", to_ms(timeout))
            self._note(record, EventKind.ADDED)
            self._to_ready(record)
            self.fire_due()
            return runner

    def _check_new(self, job: Job, before: Sequence[Job] = (), *, expires: bool = True) -> None:
        """Raise if a job cannot come in beside those before it in a batch."""
        start_ns = job.time_ns
        known = self.registry.record(job.id)
        if start_ns is None and created_was_given(job):
            start_ns = job.created_ns
        elif start_ns is None and known is not None and known.job is job:  # no other of its id
            start_ns = self._created(job)
        over = start_ns is not None and start_ns + job.ttl * NS_PER_MS < self._clock.now_ns()
        if expires and over:
            raise InvalidTimeError(f"job {job.id} has expired before it begins")
        if job.id in self.registry or job in before:
            raise duplicate(job, job)
        self._check_key(job, [*self._unprocessed(), *before])
        self._check_capacity(job, before)
        if job.name in self.queues.queues() and self.queues.exists(job):
            raise QueueOutOfSyncError(f"queue {job.name!r} holds job {job.id} already")

    def _unprocessed(self) -> list[Job]:
        return [record.job for record in self.registry if not record.processed()]

    def _check_key(self, job: Job, others: list[Job]) -> None:
        """Raise if one of the others holds the job's key."""
        for other in others:
            if job.unique is not None and (other.name, other.unique) == (job.name, job.unique):
                raise duplicate(job, other)

    def _register(self, job: Job) -> Record:
        record = Record(job)
        self.registry.add(record)
        if not created_was_given(job):
            record.stamp_ns = max(self._clock.now_ns(), self._last_created_ns + 1)
            self._last_created_ns = record.stamp_ns
        self._count["added"] += 1
        return record

    def _created(self, job: Job) -> int:
        record = self.registry.record(job.id)
        stamped = record is not None and record.stamp_ns is not None
        return record.stamp_ns if stamped else job.created_ns

    def _to_ready(self, record: Record) -> None:
        """Into ready at its place, and on to the next in line."""
        self.queues.queue(record.job.name).add(record.job, self._created(record.job))
        self._hand_off(record.job.name)

    # ------------------------------------------------------------ out

    def lease(self, names: str | Sequence[str], timeout: int | timedelta) -> Job:
        return self.lease_many(names, 1, timeout)[0]

    def lease_many(self, names: str | Sequence[str], n: int, timeout: int | timedelta) -> list[Job]:
        names = to_names(names)
        check_count("n", n, 1)
        validate_timeout(timeout)
        with self._open():
            self.fire_due()
            jobs: list[Job] = []
            while len(jobs) < n and (job := self._take_any(names)) is not None:
                jobs.append(job)
            if jobs:
                return jobs
            return [self._wait(self._lease_begin(names, timeout))]

    def _lease_begin(self, names: str | Sequence[str], timeout: int | timedelta) -> Waiter:
        """Stand in line; a job may have come since the look before."""
        with self._open():
            waiter = Waiter(to_names(names))
            self._leasers.append(waiter)
            self._arm(waiter, "wait", to_ms(timeout))
            for name in waiter.names:
                self._hand_off(name)
            return waiter

    def attempt(self, names: str | Sequence[str], timeout: int | timedelta) -> Attempt:
        with self._open():  # what an observer does comes later
            return Attempt(self, self.lease(names, timeout))

    def _take_any(self, names: list[str]) -> Job | None:
        while names := [name for name in names if self._has_work(name)]:
            name = names[self._rng.randrange(len(names))] if len(names) > 1 else names[0]
            if (job := self._take(name)) is not None:
                return job
        return None

    def _has_work(self, name: str) -> bool:
        queues = self.queues.queues()
        return name not in self._paused and name in queues and bool(queues[name].ready)

    def _take(self, name: str) -> Job | None:
        """The first job of a queue that can be leased, leased."""
        while self._has_work(name):
            job = self.queues.lease(name)
            if job.id in self.registry:  # else nobody knows it any more: dropped
                with suppress(AlreadyLeasedError, AlreadyProcessedError, MaxAttemptsReachedError):
                    self._start(self.registry.record(job.id))
                    return job
        return None

    def _hand_off(self, name: str) -> None:
        """Ready jobs of a name go to the leasers that wait for it, the longest waiting first."""
        for waiter in list(self._leasers):
            if name in waiter.names and (job := self._take(name)) is not None:
                waiter.record = self.registry.record(job.id)
                waiter.attempt = waiter.record.attempts
                self._leasers.remove(waiter)
                self._cancel(waiter, "wait")

    def start_attempt(self, id: Any) -> None:
        id = to_id(id)
        with self._open():
            self._start(self._find(id))

    def _start(self, record: Record) -> None:
        if record.running():
            raise AlreadyLeasedError(f"job {record.job.id} is leased")
        if record.processed():
            raise AlreadyProcessedError(f"job {record.job.id} is {record.state.name}")
        if not record.attempts_remain():
            self._note(record, EventKind.EXHAUSTED, State.FAILED)
            self._finish(record, b"", success=False)
            raise MaxAttemptsReachedError(f"job {record.job.id} had {record.attempts} attempts")
        if record.job in self.queues.queues().get(record.job.name, Queue()).due:
            self._arm_ttl(record)
        self.queues.delete(record.job)
        record.state_before, record.state = record.state, State.LEASED
        record.attempts += 1
        self._count["leased"] += 1
        self._arm(record, "ttr", record.job.ttr)
        self._note(record, EventKind.LEASED)

    # ------------------------------------------------------------ answers

    def complete(self, id: Any, result: Any = b"", *, attempt: int | None = None) -> None:
        id, result = to_id(id), to_bytes(result)
        self._check_attempt(attempt)
        with self._open():
            self._finish(self._find_unanswered(id, attempt), result, success=True)

    def complete_many(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        answers: list[tuple[ID, bytes]] = []
        for index, pair in enumerate(pairs):
            try:
                id, result = pair
                answers.append((to_id(id), to_bytes(result)))
            except (TypeError, ValueError) as error:
                raise failed_at(index, error) from None
        with self._open():
            records: list[Record] = []
            for index, (id, _) in enumerate(answers):
                try:
                    records.append(self._find_unanswered(id, None))
                    if records[-1] in records[:-1]:
                        raise DuplicateResultError(f"job {id} is answered twice")
                except JobQueueError as error:
                    raise failed_at(index, error) from None
            for record, (_, result) in zip(records, answers, strict=True):
                self._finish(record, result, success=True)

    def fail(
        self,
        id: Any,
        result: Any = b"",
        *,
        attempt: int | None = None,
        delay: int | timedelta = 0,
        final: bool | None = None,
    ) -> None:
        id, result = to_id(id), to_bytes(result)
        self._check_attempt(attempt)
        validate_timeout(delay)
        if final is not None and type(final) is not bool:
            raise TypeError(f"final must be a bool, not {final!r}")
        with self._open():
            record = self._find_unanswered(id, attempt)
            record.fails += 1
            again = record.fails < record.job.max_fails if final is None else not final
            if again and record.attempts_remain():
                self._back(record, EventKind.FAILED, to_ms(delay), result)
            else:
                self._note(record, EventKind.FAILED, State.FAILED, result)
                self._finish(record, result, success=False)

    def cancel(self, id: Any, reason: Any = b"") -> None:
        id, reason = to_id(id), to_bytes(reason)
        with self._open():
            record = self._find(id)
            if record.processed():
                raise AlreadyProcessedError(f"job {id} is {record.state.name}")
            self._count["cancelled"] += 1
            self._note(record, EventKind.CANCELLED, State.FAILED, reason)
            self._finish(record, reason, success=False)

    def touch(
        self, id: Any, ttr: int | timedelta | None = None, *, attempt: int | None = None
    ) -> None:
        id = to_id(id)
        if ttr is not None:
            validate_ttr(ttr)
        self._check_attempt(attempt)
        with self._open():
            record = self._find_leased(id, attempt)
            self._arm(record, "ttr", record.job.ttr if ttr is None else to_ms(ttr))
            self._note(record, EventKind.TOUCHED)

    def release(self, id: Any, delay: int | timedelta = 0, *, attempt: int | None = None) -> None:
        id = to_id(id)
        validate_timeout(delay)
        self._check_attempt(attempt)
        with self._open():
            self._back(self._find_leased(id, attempt), EventKind.RELEASED, to_ms(delay))

    def _check_attempt(self, attempt: int | None) -> None:
        if attempt is not None and type(attempt) is not int:
            raise TypeError(f"attempt must be an int or None, not a {type(attempt).__name__}")

    def _find(self, id: ID) -> Record:
        record = self.registry.record(id)
        if record is None:
            raise NotFoundError(f"no job {id}")
        return record

    def _find_leased(self, id: ID, attempt: int | None) -> Record:
        record = self._find(id)
        if not record.running() or attempt not in (None, record.attempts):
            raise LeaseExpiredError(f"job {id} is not leased under attempt {attempt}")
        return record

    def _find_unanswered(self, id: ID, attempt: int | None) -> Record:
        record = self._find(id) if attempt is None else self._find_leased(id, attempt)
        if record.processed():
            raise DuplicateResultError(f"job {id} has its result")
        return record

    def _finish(self, record: Record, result: bytes, *, success: bool) -> None:
        """COMPLETED or FAILED; its waiters see that by themselves."""
        self.queues.delete(record.job)
        self._cancel(record, "ttr")
        self._arm_ttl(record)
        record.write_result(result, success)
        self._count["completed" if success else "failed"] += 1
        if success:  # who fails a job notes why
            self._note(record, EventKind.COMPLETED)
        record.failed = next(self.registry.order)
        if record.runner is not None:
            return  # its runner forgets it
        if self._result_ttl_ms == 0:
            self._note(record, EventKind.EXPIRED)
            self._remove(record)
        elif self._result_ttl_ms is not None:
            latest_ns = self._clock.monotonic_ns() + self._result_ttl_ms * NS_PER_MS
            if latest_ns < self._timers.get((record, "ttl"), (NEVER_NS, 0))[0]:
                self._arm(record, "ttl", self._result_ttl_ms)

    def _back(
        self, record: Record, kind: EventKind, delay_ms: int = 0, reason: bytes | None = None
    ) -> None:
        """PENDING: in ready at its old place, or scheduled. Ends a run that only its lease kept."""
        self._cancel(record, "ttr")
        if record.runner is not None and record.runner.lapsed:
            self._time_out_run(record)
            return
        record.state = State.PENDING
        queue = self.queues.queue(record.job.name)
        self._arm_ttl(record)
        queue.delete(record.job)
        self._note(record, kind, reason=reason)
        if delay_ms:
            due_ns = self._clock.now_ns() + delay_ms * NS_PER_MS
            queue.schedule(record.job, due_ns, self._created(record.job))
            return
        self._to_ready(record)

    def _forget(self, record: Record, kind: EventKind = EventKind.DELETED) -> None:
        """Out of everything, if it is not gone: by its time, or by a call."""
        if not self._is_gone(record):
            self._note(record, kind, time_ns=0)
            self._remove(record)

    def _remove(self, record: Record) -> None:
        self.queues.delete(record.job)
        self.registry.delete(record.job.id)
        for kind in ("ttr", "ttl"):
            self._cancel(record, kind)

    def _is_gone(self, record: Record) -> bool:
        return self.registry.record(record.job.id) is not record

    # ------------------------------------------------------------ results and ends

    def result(self, id: Any, timeout: int | timedelta) -> RunResult:
        with self._changed:
            begun = self._result_begin(id, timeout)
            return self._wait(begun) if isinstance(begun, Waiter) else begun

    def _result_begin(self, id: Any, timeout: int | timedelta) -> RunResult | Waiter:
        """The result if it is there, else a waiter for it."""
        id = to_id(id)
        validate_timeout(timeout)
        with self._open():
            self.fire_due()
            record = self._find(id)
            if record.processed():
                return record.answer()
            waiter = Waiter(record=record)
            record.waiters.append(waiter)
            self._arm(waiter, "wait", to_ms(timeout))
            return waiter

    def dead(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return self._listed(name, offset, limit, lambda _: self._dead_jobs(name))

    def _dead_jobs(self, name: str) -> list[Job]:
        dead = [record for record in self.registry if record.dead()]
        return [r.job for r in sorted(dead, key=lambda r: r.failed) if r.job.name == name]

    def kick(self, id: Any) -> None:
        id = to_id(id)
        with self._open():
            self.fire_due()
            record = self._find(id)
            if not record.dead():
                raise NotDeadError(f"job {id} is {record.state.name}")
            self._check_key(record.job, self._unprocessed())
            self._check_capacity(record.job, known=True)
            if self.queues.exists(record.job):
                raise QueueOutOfSyncError(f"the queue holds job {id} already")
            record.state, record.result = State.NEW, None  # the bytes are kept till the next end
            if record.attempts > ATTEMPTS_KEPT_MAX:
                record.attempts = 0
            record.fails, record.attempts_before = 0, record.attempts
            self._cancel(record, "ttl")
            record.ttl_began = False
            self._arm_ttl(record, self._clock.now_ns())
            self._count["kicked"] += 1
            self._note(record, EventKind.KICKED)
            self._to_ready(record)

    def delete(self, id: Any) -> None:
        id = to_id(id)
        with self._open():
            self._forget(self._find(id))

    def delete_many(self, ids: Iterable[Any]) -> int:
        read: list[ID] = []
        for index, id in enumerate(ids):
            try:
                read.append(to_id(id))
            except JobQueueError as error:
                raise failed_at(index, error) from None
        with self._open():
            found = [self.registry.record(id) for id in read]
            records = list(dict.fromkeys(record for record in found if record is not None))
            for record in records:
                self._forget(record)
            return len(records)

    def expire(self, id: Any) -> None:
        id = to_id(id)
        with self._open():
            record = self.registry.record(id)
            if record is None:
                return
            if self._keep_expired_ms and not record.processed() and record.runner is None:
                self._keep(record)
                return
            self._count["evicted_jobs"] += not record.processed()
            self._forget(record, EventKind.EXPIRED)

    def _keep(self, record: Record) -> None:
        """It expired unprocessed: FAILED, and gone a while later. It counts as evicted only."""
        self._count["evicted_jobs"] += 1
        self.queues.delete(record.job)
        self._cancel(record, "ttr")
        record.write_result(b"expired", False)
        self._note(record, EventKind.FAILED, State.FAILED, b"expired")
        record.failed = next(self.registry.order)
        record.ttl_began = True
        self._arm(record, "ttl", self._keep_expired_ms)

    def timeout_attempt(self, id: Any) -> None:
        id = to_id(id)
        with self._open():
            record = self.registry.record(id)
            if record is None or not record.running():
                return
            self._count["timed_out"] += 1
            if record.runner is not None:
                self._time_out_run(record)
            elif record.attempts_remain():
                self._back(record, EventKind.TIMED_OUT)
            else:
                self._note(record, EventKind.TIMED_OUT, State.FAILED)
                self._finish(record, b"", success=False)

    def handle_expire(self, f: Callable[[ID], object] | None) -> None:
        check_hook(f)
        with self._open():
            self._on_expire = self.expire if f is None else f

    def expire_func(self) -> Callable[[ID], object]:
        with self._open():
            return self._on_expire

    def handle_timeout_attempt(self, f: Callable[[ID], object] | None) -> None:
        check_hook(f)
        with self._open():
            self._on_timeout = self.timeout_attempt if f is None else f

    def timeout_attempt_func(self) -> Callable[[ID], object]:
        with self._open():
            return self._on_timeout

    # ------------------------------------------------------------ looking, pausing

    def stats(self) -> Stats:
        with self._open():
            self.fire_due()
            queues = self.queues.queues().values()
            return Stats(
                **{name: self._count[name] for name in COUNTERS},
                ready=sum(len(queue.ready) for queue in queues),
                scheduled=sum(len(queue.due) for queue in queues),
                running=sum(record.running() for record in self.registry),
                waiting=len(self._leasers),
                records=len(self.registry),
                dead=sum(record.dead() for record in self.registry),
                **self._gauges(),
            )

    def peek(self, name: str) -> Job | None:
        return next(iter(self.jobs(name, 0, 1)), None)

    def jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return self._listed(name, offset, limit, Queue.ready_jobs)

    def scheduled_jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return self._listed(name, offset, limit, Queue.scheduled_jobs)

    def _listed(
        self, name: str, offset: int, limit: int | None, of: Callable[[Queue], list[Job]]
    ) -> list[Job]:
        validate_name(name)
        check_count("offset", offset, 0)
        if limit is not None:
            check_count("limit", limit, 0)
        with self._open():
            self.fire_due()
            jobs = of(self.queues.queues().get(name, Queue()))
            return jobs[offset:] if limit is None else jobs[offset : offset + limit]

    def names(self) -> list[str]:
        with self._open():
            self.fire_due()
            return sorted(self.queues.queues())

    def pause(self, name: str) -> None:
        validate_name(name)
        with self._open():
            self.queues.queue(name)
            self._paused.add(name)

    def resume(self, name: str) -> None:
        validate_name(name)
        with self._open():
            self.fire_due()
            self.queues.queue(name)
            self._paused.discard(name)
            self._hand_off(name)

    # ------------------------------------------------------------ time

    def _arm(self, owner: Record | Waiter, kind: str, ms: int) -> None:
        deadline_ns = self._clock.monotonic_ns() + ms * NS_PER_MS
        self._armed += 1
        self._timers[owner, kind] = (deadline_ns, self._armed)
        if kind == "ttr":
            owner.lease_ends_ns = deadline_ns

    def _arm_ttl(self, record: Record, start_ns: int | None = None) -> None:
        """TTL runs from a wall time (of the job's own if None); not twice, nor for a run."""
        if record.runner is None and not record.ttl_began:
            record.ttl_began = True
            if start_ns is None:
                start_ns = record.job.time_ns or self._created(record.job)
            self._arm(record, "ttl", record.job.ttl)
            deadline_ns, order = self._timers[record, "ttl"]
            deadline_ns += start_ns - self._clock.now_ns()
            self._timers[record, "ttl"] = (deadline_ns, order)

    def _cancel(self, owner: Record | Waiter, kind: str) -> None:
        self._timers.pop((owner, kind), None)

    def next_deadline_ns(self) -> int | None:
        with self._changed:
            event = self._next_event()
            return None if event is None or self._closed else event[0]

    def _next_event(self) -> tuple[int, int, tuple[Any, ...], Any, str] | None:
        """What happens next by itself: (deadline, timers before scheduled, order, owner, kind)."""
        wall_offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        events = [
            (deadline_ns, 0, (order,), owner, kind)
            for (owner, kind), (deadline_ns, order) in self._timers.items()
            if not (self._is_answered(owner) if kind == "wait" else self._is_gone(owner))
        ]
        for queue in self.queues.queues().values():
            events += [(k[0] - wall_offset_ns, 1, k, job, "awake") for job, k in queue.due.items()]
        return min(events, key=lambda event: event[:3], default=None)

    def fire_due(self) -> None:
        """Do all that is due, in order of deadlines."""
        with self._changed:
            self._depth += 1
            while (
                not self._closed
                and (event := self._next_event()) is not None
                and event[0] <= self._clock.monotonic_ns()
            ):
                self._fire(event[3], event[4])
            self._depth -= 1
            self._follow_up()

    def _fire(self, owner: Any, kind: str) -> None:
        self._cancel(owner, kind)
        match kind:
            case "wait":
                self._time_out_wait(owner)
            case "ttl":
                self._fire_hook(self._on_expire, self.expire, owner, kind)
            case "ttr":
                self._fire_hook(self._on_timeout, self.timeout_attempt, owner, kind)
            case "awake":
                self.queues.awake(owner)
                if (record := self.registry.record(owner.id)) is not None:
                    self._arm_ttl(record)
                    self._note(record, EventKind.AWAKE)
                self._hand_off(owner.name)

    def _fire_hook(self, hook: Any, own: Any, owner: Record, kind: str) -> None:
        attempts = owner.attempts

        def own_if_due() -> None:
            """The hook raised: what fell due happens, unless it did."""
            here = not self._closed and self.registry.record(owner.job.id) is owner
            leased = owner.state == State.LEASED and owner.attempts == attempts
            if here and (owner, kind) not in self._timers and (leased or kind == "ttl"):
                own(owner.job.id)

        if hook == own:
            own(owner.job.id)
            return
        held = self._locks and self._depth > 1  # else time alone has called it, with no lock
        self._held += held
        try:
            self._follow_up()
            with self._outside():
                self._call(hook, owner.job.id, own_if_due)
        finally:
            self._held -= held

    def _call(
        self,
        hook: Callable[[Any], object],
        argument: Any,
        otherwise: Callable[[], object] = lambda: None,
    ) -> None:
        try:
            hook(argument)
        except Exception as error:  # noqa: BLE001 - it goes to sys.unraisablehook
            otherwise()
            sys.unraisablehook(
                SimpleNamespace(
                    exc_type=type(error),
                    exc_value=error,
                    exc_traceback=error.__traceback__,
                    err_msg=None,
                    object=hook,
                )
            )


def view_of(engine: Any) -> dict[str, Any]:
    """All that can be seen of an engine from outside: to compare two, or before and after."""
    names = engine.names()
    return {
        "stats": engine.stats(),
        "ready": {name: [job.id for job in engine.jobs(name)] for name in names},
        "scheduled": {name: [job.id for job in engine.scheduled_jobs(name)] for name in names},
        "records": {
            record.job.id: (record.state, record.attempts, record.fails, record.result)
            for record in engine.registry
        },
        "next": engine.next_deadline_ns(),
    }
