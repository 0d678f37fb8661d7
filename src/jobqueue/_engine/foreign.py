"""Controllers over foreign queues: any object with QueueControllerInterface.

The native engine keeps the records, the timers and the lines of blocked leasers; the foreign object
keeps the order of jobs. One lock makes each verb whole across the two, so this path is slower.

Locking: ``_lock`` is reentrant, for timers that fire within a verb; nobody sleeps with it held, and
observers are notified once it is let go: they may call every verb. See WholeLock in notifier.pyx.

Invariant: a job whose place in the foreign queue may not agree with its record is in ``_astray``:
it is put there before the record changes, and leaves it once the queue has followed. A queue that
raises, or Ctrl-C between the two, leaves it there; the timer thread, or the next call that leases
or looks, sees to it again. So no job is lost, and a broken queue gets its jobs once it works.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from .._objects.job import ID, Job
from .._objects.registry import State, Waiter, report_error
from .._objects.rules import check_name
from .._objects.whole import whole
from .._ports import Leased
from ..errors import JobQueueError, NotFoundError, QueueOutOfSyncError, ValidationError
from ..interfaces import Duration, IDLike, QueueControllerInterface, RunResult
from .notifier import WholeLock
from .status import _at_index
from .timer_thread import tell

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..controller import Controller
else:
    Controller = object  # the class that is made has it: see foreign_class

__all__ = ["ForeignVerbs", "foreign_class", "foreign_open"]

REFUSALS: Final = (JobQueueError, TypeError, ValueError)
"""What the engine refuses a call with. Anything else may have struck after it was done."""

MILLISECOND: Final = timedelta(milliseconds=1)

RETRY_NS: Final = 10**9
"""Pause before a queue that raised is asked again."""


class ForeignVerbs(Controller):
    """The verbs of ``Controller(queues=...)`` where the queues are not the built-in ones."""

    __slots__ = ()  # its fields are slots of Controller

    @property
    def _queues(self) -> QueueControllerInterface:
        return self.queues

    # ------------------------------------------------------------ what the queue has not followed

    def _change(self, job: Job | None, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Change a record natively, and let the foreign queue follow."""
        if job is None:
            return verb(*args, **kwargs)
        known = job in self._astray
        self._astray.add(job)
        try:
            done = verb(*args, **kwargs)
        except REFUSALS:  # then nothing has changed
            if not known:
                self._astray.discard(job)
            raise
        try:
            self._settle(job)
        except Exception as error:  # noqa: BLE001 - as _follow, a frame less
            report_error(error, self.queues)
            self._poke()
        return done

    def _follow(self, job: Job | None) -> None:
        """Settle a job. What is done is done: if the queue raises, it follows later."""
        try:
            self._settle(job)
        except Exception as error:  # noqa: BLE001 - a foreign queue may raise anything
            report_error(error, self.queues)
            self._poke()  # in time it is tried again

    @whole
    def _tidy(self) -> None:
        """Settle what is astray, until the queue raises."""
        for job in list(self._astray):
            if self.closed:
                return
            try:
                self._settle(job)
            except Exception as error:  # noqa: BLE001 - it was reported when it came first
                self._retry_ns = self.clock.monotonic_ns() + RETRY_NS
                tell("a foreign queue still does not follow: %r", error)
                return

    def _tick(self) -> int | None:
        if self._astray:
            self._tidy()
        wait_ns = super()._tick()
        if wait_ns is not None and self._astray:
            return RETRY_NS if wait_ns < 0 else min(wait_ns, RETRY_NS)
        return wait_ns

    def fire_due(self) -> None:
        if self._astray:
            self._tidy()
        super().fire_due()

    def next_deadline_ns(self) -> int | None:
        deadline_ns = super().next_deadline_ns()
        if not self._astray or self.closed:
            return deadline_ns
        retry_ns = max(self._retry_ns, self.clock.monotonic_ns())
        return retry_ns if deadline_ns is None else min(deadline_ns, retry_ns)

    def _forked(self) -> None:
        self._lock = WholeLock(self)  # its holder may not be here
        super()._forked()

    # ------------------------------------------------------------ adding

    def _place(self, job: Job, how: str) -> None:
        """Put a job that the engine has just taken into the foreign queue.

        A verb called amid this, by a handler of a signal, may have done so, and have leased it.
        """
        done = job not in self._astray or getattr(self._queues, how)(job)
        if job not in self._astray:
            self._settle(job)
        elif not done:
            raise QueueOutOfSyncError(f"the queue refused job {job.id}")

    def add(self, job: Job, wait: Duration = 0) -> None:
        self._add_or_wait(job, wait, False)

    def schedule(self, job: Job, wait: Duration = 0) -> None:
        self._add_or_wait(job, wait, True)

    def _add_or_wait(self, job: Job, wait: Duration, scheduled: bool) -> None:
        waiter = self.add_begin(job, wait, None, scheduled)
        if waiter is not None:
            _, wait_ms = self.lease_arguments(job.name, wait)
            self.wait_sleep(waiter, None, wait_ms)

    @whole
    def add_begin(
        self,
        job: Job,
        wait: Duration,
        wake: Callable[[Waiter], object] | None,
        scheduled: bool = False,
    ) -> Waiter | None:
        created_ns = getattr(job, "created_ns", 0)
        given: object = job  # it may be anything
        fresh = type(given) is Job and job not in self.registry
        placed = False
        try:
            if fresh:
                self._astray.add(job)
            waiter = super().add_begin(job, wait, wake, scheduled)
            if waiter is None:
                self._place(job, "schedule" if self._waits_for_time(job) else "add")
                placed = True
                self._offer(job.name)
            if fresh:
                self._astray.discard(job)
        except BaseException as error:
            # Native calls alone: near the recursion limit nothing else can be called.
            if not placed:
                if fresh:
                    self._unadd(job, created_ns)
                    self._unplaced(job)
                raise
            if not isinstance(error, Exception):
                raise
            report_error(error, self.queues)  # the job is in, and is offered later
            self._poke()
            return None
        return waiter

    def _unplaced(self, job: Job) -> None:
        """A job was not taken: the queue keeps nothing of it, at the latest when it works."""
        try:
            self._settle(job)
        except Exception as error:  # noqa: BLE001 - the error of the add is on its way
            tell("a foreign queue does not follow: %r", error)

    def wait_sleep(self, waiter: Waiter, what: object, timeout_ms: int) -> Any:
        return self._finished(waiter, super().wait_sleep(waiter, what, timeout_ms))

    def wait_finish(self, waiter: Waiter, what: object, timeout: object) -> Any:
        return self._finished(waiter, super().wait_finish(waiter, what, timeout))

    def _finished(self, waiter: Waiter, answer: Any) -> Any:
        """A job that waited for room and was taken in goes to its queue."""
        job = waiter.adds
        if job is not None:
            self._admitted(job)
        return answer

    @whole
    def _admitted(self, job: Job) -> None:
        if self.registry.record(job) is not None and not self._queues.exists(job):
            self._astray.add(job)
            self._place(job, "schedule" if self._waits_for_time(job) else "add")
            self._settle(job)  # it may have met somebody meanwhile

    @whole
    def add_many(self, jobs: Iterable[Job]) -> None:
        taken = list(jobs)
        stamps = [getattr(job, "created_ns", 0) for job in taken]
        given: list[Any] = taken  # they may be anything
        fresh = {job for job in given if type(job) is Job and job not in self.registry}
        placed = 0
        try:
            self._astray.update(fresh)
            super().add_many(taken)
            for job in taken:
                self._place(job, "add")
                placed += 1
        except BaseException as error:
            for job, stamp in zip(given, stamps, strict=True):
                if type(job) is Job and job in fresh:
                    self._unadd(job, stamp)
            for job in fresh:
                self._unplaced(job)
            if isinstance(error, QueueOutOfSyncError) and error.index is None:
                raise _at_index(error, placed) from None
            raise
        for name in dict.fromkeys(job.name for job in taken):
            self._offer_or_report(name)
        self._astray.difference_update(taken)

    def _offer_or_report(self, name: str) -> None:
        try:
            self._offer(name)
        except Exception as error:  # noqa: BLE001 - the jobs are in
            report_error(error, self.queues)

    @whole
    def run_begin(
        self,
        job: Job,
        timeout: Duration,
        wake: Callable[[Waiter], object] | None,
        lapse: bool = True,
    ) -> Waiter:
        created_ns = getattr(job, "created_ns", 0)
        given: object = job  # it may be anything
        fresh = type(given) is Job and job not in self.registry
        waiter: Waiter | None = None
        placed = False
        try:
            if fresh:
                self._astray.add(job)
            waiter = super().run_begin(job, timeout, wake, False)
            self._place(job, "run")
            placed = True
            self._offer(job.name)
            if lapse and not timeout:
                self.wait_lapse(waiter)
                self._settle(job)
            self._astray.discard(job)
        except BaseException:
            if fresh and not placed:
                self._unadd(job, created_ns)
            if waiter is not None:
                self.wait_abandon(waiter)
            if fresh:
                self._unplaced(job)
            raise
        return waiter

    def run(self, job: Job, timeout: Duration) -> RunResult:
        try:
            return super().run(job, timeout)
        finally:
            self.run_over(job)

    def run_over(self, job: Job) -> None:
        if type(job) is Job:
            self._over(job)

    @whole
    def _over(self, job: Job) -> None:
        self._follow(self._job(job) or job)

    # ------------------------------------------------------------ leasing

    def _ready(self, names: Sequence[str]) -> Iterator[Job]:
        """Jobs taken out of the foreign queues, from the names in random order."""
        order = [name for name in names if not self.is_paused(name)]
        self._random.shuffle(order)
        for name in order:
            while (job := self._pull(name)) is not None:
                yield job

    def _take(self, names: Sequence[str]) -> Job | None:
        self.fire_due()
        for job in self._ready(names):
            try:
                super().start_attempt(job)
            except JobQueueError:
                self._astray.discard(job)
                continue  # it cannot be leased any more; its record says why
            self._astray.discard(job)
            self._lock.touch(job)
            return job
        return None

    def _offer(self, name: str) -> None:
        """Note a name that has jobs, and hand the ready ones to those who wait, longest first."""
        self._note_name(name)
        self._hand_on(name)

    def _hand_on(self, name: str) -> None:
        while self._waited_for(name):
            job = self._pull(name)
            if job is None:
                return
            self._lock.touch(job)
            if not self._hand(name, job) and not self._waited_for(name):
                self._settle(job)  # who waited has left meanwhile
            self._astray.discard(job)

    def lease_now(
        self, names: str | Sequence[str], timeout: Duration, detailed: bool = False
    ) -> Any:
        distinct, timeout_ms = self.lease_arguments(names, timeout)
        leased = self._take_now(distinct, timeout, detailed)
        if leased is None and not timeout_ms:
            return super().lease(distinct, 0)  # nothing is there natively: its error is ours
        return leased

    @whole
    def _take_now(self, names: list[str], timeout: Duration, detailed: bool) -> Any:
        self.lease_arguments(names, timeout)  # nobody closes it from here on
        job = self._take(names)
        return self._leased(job) if detailed and job is not None else job

    @whole
    def lease_begin(
        self,
        names: str | Sequence[str],
        timeout_ms: int,
        wake: Callable[[Waiter], object] | None,
        detailed: bool = False,
    ) -> Waiter:
        distinct, _ = self.lease_arguments(names, timeout_ms)
        waiter = super().lease_begin(distinct, timeout_ms, wake, detailed)
        try:
            for name in distinct:  # a job may have come since the look before
                self._hand_on(name)
        except BaseException:
            self.wait_abandon(waiter)
            raise
        return waiter

    def _lease_general(self, names: str | Sequence[str], timeout: Duration, detailed: bool) -> Any:
        distinct, timeout_ms = self.lease_arguments(names, timeout)  # each is read once
        leased = self.lease_now(distinct, timeout_ms, detailed)
        if leased is not None:
            return leased
        return self.wait_sleep(
            self.lease_begin(distinct, timeout_ms, None, detailed), distinct, timeout_ms
        )

    def _leased(self, job: Job) -> Leased:
        record = self.registry.record(job)
        deadline_ns = self.lease_deadline_ns(job)
        if record is None or deadline_ns is None:
            raise NotFoundError(f"job {job.id} is gone")
        return Leased(job, record.attempts, deadline_ns)

    def lease(self, names: str | Sequence[str], timeout: Duration) -> Job:
        job: Job = self._lease_general(names, timeout, False)
        return job

    def _lease_attempt(
        self, names: str | Sequence[str], timeout: Duration, into: list[object]
    ) -> None:
        into[:] = self._lease_general(names, timeout, True)

    @whole
    def _unlease(self, job: Job) -> None:
        self._change(job, super()._unlease, job)

    def lease_many(self, names: str | Sequence[str], n: int, timeout: Duration) -> list[Job]:
        distinct, _ = super().lease_arguments(names, 0)  # each is read once
        super().count_check(n)
        _, timeout_ms = self.lease_arguments(distinct, timeout)
        jobs = self.take_many(distinct, n)
        if jobs:
            return jobs
        return [self.lease(distinct, timeout_ms), *self.take_many(distinct, n - 1)]

    @whole
    def take_many(self, names: list[str], most: int) -> list[Job]:
        """Lease up to so many jobs that are ready now, as one."""
        jobs: list[Job] = []
        try:
            while len(jobs) < most and not self.closed:
                job = self._take(names)
                if job is None:
                    break
                jobs.append(job)
        except Exception as error:
            if not jobs:
                raise
            report_error(error, self.lease_many)  # what is leased is leased all the same
        return jobs

    @whole
    def start_attempt(self, id: IDLike) -> None:
        job = self._job(id)
        try:
            self._change(job, super().start_attempt, id)
        except JobQueueError:
            self._follow(job)  # its attempts may be spent: then it is FAILED
            raise

    @whole
    def wait_abandon(self, waiter: Waiter) -> Job | None:
        back = super().wait_abandon(waiter)
        if back is not None:
            self._follow(back)
        return back

    # ------------------------------------------------------------ answering and ending

    def _job(self, id: IDLike) -> Job | None:
        record = self.registry.record(id)
        return None if record is None else record.job

    def _job_or_none(self, id: Any) -> Job | None:
        """The job of one item of a batch; what is wrong with an item, the batch says itself."""
        try:
            return self._job(id)
        except (TypeError, ValidationError):
            return None

    def _job_of_pair(self, pair: Any) -> Job | None:
        try:
            return self._job_or_none(pair[0])
        except (TypeError, LookupError):
            return None

    def _waits_for_time(self, job: Job) -> bool:
        """Whether it waits natively for its time."""
        record = self.registry.record(job)
        timer = None if record is None else record.timers[2]
        return timer is not None and not timer.fired and not timer.cancelled

    def _stands(self, job: Job, *, scheduled: bool) -> bool:
        """Whether it is in line, or waits for its time: a record by hand need be neither."""
        due = self._waits_for_time(job)
        return due if scheduled else not due and self._queues.exists(job)

    def _settle(self, job: Job | None) -> None:
        """Make the foreign queue agree with the job's record."""
        if job is None:
            return
        self._lock.touch(job)
        record = self.registry.record(job)
        if record is None or record.running() or record.processed():
            self._queues.delete(job)
        elif self._waits_for_time(job):
            self._note_name(job.name)
        else:
            if not self._queues.exists(job):
                self._queues.add(job)
            else:
                self._queues.awake(job)
            self._offer(job.name)
        self._astray.discard(job)

    @whole
    def complete(self, id: IDLike, result: "Buffer" = b"", *, attempt: int | None = None) -> None:
        self._change(self._job(id), super().complete, id, result, attempt=attempt)

    @whole
    def fail(
        self,
        id: IDLike,
        result: "Buffer" = b"",
        *,
        attempt: int | None = None,
        delay: Duration = 0,
        final: bool | None = None,
    ) -> None:
        job = self._job(id)

        def fail() -> None:
            super(ForeignVerbs, self).fail(id, result, attempt=attempt, delay=delay, final=final)

        self._change(job, fail)
        if job is not None and self._waits_for_time(job):
            self._queues.delete(job)  # it may have been ready, or due at another time

    @whole
    def cancel(self, id: IDLike, reason: "Buffer" = b"") -> None:
        self._change(self._job(id), super().cancel, id, reason)

    @whole
    def complete_many(self, pairs: "Iterable[tuple[IDLike, Buffer]]") -> None:
        taken = list(pairs)
        jobs = [self._job_of_pair(pair) for pair in taken]
        self._change_all(jobs, super().complete_many, taken)

    def _change_all(
        self, jobs: Iterable[Job | None], verb: Callable[[list[Any]], Any], taken: list[Any]
    ) -> Any:
        """Change the records of a batch natively, and let the foreign queue follow."""
        changed = {job for job in jobs if job is not None}
        fresh = changed - self._astray
        self._astray.update(changed)
        try:
            done = verb(taken)
        except REFUSALS:  # then nothing has changed
            self._astray.difference_update(fresh)
            raise
        for job in changed:
            self._follow(job)
        return done

    @whole
    def release(self, id: IDLike, delay: Duration = 0, *, attempt: int | None = None) -> None:
        self._change(self._job(id), super().release, id, delay, attempt=attempt)

    @whole
    def kick(self, id: IDLike) -> None:
        job = self._job(id)
        record = self.registry.record(id)
        dead = record is not None and record.state == State.FAILED
        if dead and job is not None and self._queues.exists(job):
            raise QueueOutOfSyncError(f"the queue holds job {job.id} already")
        self._change(job, super().kick, id)

    @whole
    def delete(self, id: IDLike) -> None:
        self._change(self._job(id), super().delete, id)

    @whole
    def delete_many(self, ids: Iterable[IDLike]) -> int:
        taken = list(ids)
        deleted: int = self._change_all(map(self._job_or_none, taken), super().delete_many, taken)
        return deleted

    @whole
    def expire(self, id: IDLike) -> None:
        self._change(self._job(id), super().expire, id)

    @whole
    def timeout_attempt(self, id: IDLike) -> None:
        record = self.registry.record(id)
        leased = record is not None and record.running()
        self._change(record.job if record and leased else None, super().timeout_attempt, id)

    @whole
    def _awake(self, id: ID) -> None:
        self._change(self._job(id), super()._awake, id)

    @whole
    def wait_lapse(self, waiter: Waiter) -> None:
        super().wait_lapse(waiter)

    @whole
    def _lapse_run(self, id: ID) -> None:
        self._change(self._job(id), super()._lapse_run, id)

    @whole
    def _shut(self) -> bool:
        return super()._shut()

    # ------------------------------------------------------------ looking

    @whole
    def _look(self, name: str, offset: int, limit: int | None, *, scheduled: bool) -> list[Job]:
        name = check_name(name)
        super().jobs(name, offset, limit)  # the same checks; natively there is nothing
        if self._astray:
            self._tidy()
        jobs = [
            record.job
            for record in self.registry
            if record.job is not None
            and record.job.name == name
            and record.state in (State.NEW, State.PENDING)
            and self._stands(record.job, scheduled=scheduled)
        ]
        jobs.sort(key=self._scheduled_order if scheduled else _ready_order)
        return jobs[offset:] if limit is None else jobs[offset : offset + limit]

    def _scheduled_order(self, job: Job) -> tuple[int, int, int, bytes]:
        record = self.registry.record(job)
        timer = None if record is None else record.timers[2]
        return 0 if timer is None else timer.deadline_ns, *_ready_order(job)

    def jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return self._look(name, offset, limit, scheduled=False)

    def scheduled_jobs(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return self._look(name, offset, limit, scheduled=True)

    def peek(self, name: str) -> Job | None:
        return next(iter(self.jobs(name, 0, 1)), None)

    # What looks does what is due, too: with the lock, as every verb.

    @whole
    def dead(self, name: str, offset: int = 0, limit: int | None = None) -> list[Job]:
        return super().dead(name, offset, limit)

    @whole
    def names(self) -> list[str]:
        return super().names()

    @whole
    def result_begin(
        self, id: IDLike, timeout: Duration, wake: Callable[[Waiter], object] | None
    ) -> Any:
        return super().result_begin(id, timeout, wake)

    def result(self, id: IDLike, timeout: Any = ...) -> RunResult:
        begun = self.result_begin(id, timeout, None)
        if not isinstance(begun, RunResult):
            timeout_ms = timeout if isinstance(timeout, int) else timeout // MILLISECOND
            begun = self.wait_sleep(begun, None, timeout_ms)
        found: RunResult = begun
        return found

    @whole
    def pause(self, name: str) -> None:
        super().pause(name)

    @whole
    def _explain(self, id: IDLike) -> tuple[Any, ...]:
        job, state, ahead, *rest = super()._explain(id)
        if state in (State.NEW, State.PENDING):
            due = self._waits_for_time(job)
            line = self._look(job.name, 0, None, scheduled=due)
            ahead = line.index(job) if job in line else None  # made by hand
        return job, state, ahead, *rest

    @whole
    def _queue_stats(self, name: str) -> tuple[Any, ...]:
        _, _, *rest = super()._queue_stats(name)
        return len(self.jobs(name)), len(self.scheduled_jobs(name)), *rest

    @whole
    def resume(self, name: str) -> None:
        name = check_name(name)
        super().resume(name)
        self._offer(name)

    @whole
    def _stats(self) -> tuple[int, ...]:
        if self._astray:
            self._tidy()
        counts = list(super()._stats())
        jobs = [
            record.job
            for record in self.registry
            if record.job is not None and record.state in (State.NEW, State.PENDING)
        ]
        counts[6] = sum(self._stands(job, scheduled=False) for job in jobs)
        counts[7] = sum(self._stands(job, scheduled=True) for job in jobs)
        return tuple(counts)


def foreign_open(controller: Controller, rng: random.Random | None) -> None:
    """Fill the fields that only controllers over foreign queues have, before all others."""
    controller._lock = WholeLock(controller)
    controller._observers = None
    controller._random = random.Random() if rng is None else rng
    controller._retry_ns = 0


_classes: Final[dict[type[Controller], type[Controller]]] = {}


def foreign_class(kind: type[Controller], facade: type[Controller]) -> type[Controller]:
    """The class of a controller over foreign queues: ``kind``, with ForeignVerbs before ``facade``.

    What a subclass of the facade overrides stands before both, as it does over native queues.
    """
    if issubclass(kind, ForeignVerbs):
        return kind
    if kind not in _classes:
        bases = (ForeignVerbs, facade) if kind is facade else (kind, foreign_class(facade, facade))
        _classes[kind] = type(kind.__name__, bases, {"__slots__": (), "__doc__": kind.__doc__})
    return _classes[kind]


def _ready_order(job: Job) -> tuple[int, int, bytes]:
    return -job.priority, job.created_ns, bytes(job.id)
