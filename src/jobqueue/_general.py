"""Controllers over foreign queues: any object with QueueControllerInterface.

The native engine keeps the records, the timers and the lines of blocked leasers; the foreign object
keeps the order of jobs. One lock makes each verb whole across the two, so this path is slower.

Locking: ``_lock`` is reentrant, for timers that fire within a verb; nobody sleeps with it held, and
observers are notified once it is let go: they may call every verb. See Whole in _notify.pyx.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ._base import _at_index
from ._job import ID, Job, check_name
from ._notify import Whole
from ._records import State, Waiter, report_error
from .controller import Controller
from .errors import JobQueueError, NotFoundError, QueueOutOfSyncError, ValidationError
from .interfaces import Duration, IDLike, QueueControllerInterface

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["GeneralController"]


class GeneralController(Controller):
    """What ``Controller(queues=...)`` makes for queues that are not the built-in ones."""

    __slots__ = ()  # its fields are slots of Controller, which turns into it

    @property
    def _queues(self) -> QueueControllerInterface:
        return self.queues

    def _forked(self) -> None:
        self._lock = Whole(self)  # its holder may not be here
        super()._forked()

    # ------------------------------------------------------------ adding

    def _place(self, job: Job, created_ns: int, how: str) -> None:
        """Put a job that the engine has just taken into the foreign queue, or take it back."""
        try:
            placed = getattr(self._queues, how)(job)
        except BaseException:
            self._unadd(job, created_ns)
            raise
        if not placed:
            self._unadd(job, created_ns)
            raise QueueOutOfSyncError(f"the queue refused job {job.id}")

    def add(self, job: Job, wait: Duration = 0) -> None:
        self._add_or_wait(job, wait, False)

    def schedule(self, job: Job, wait: Duration = 0) -> None:
        self._add_or_wait(job, wait, True)

    def _add_or_wait(self, job: Job, wait: Duration, scheduled: bool) -> None:
        waiter = self._add_begin(job, wait, None, scheduled)
        if waiter is not None:
            self._wait(waiter, None, 0)

    def _add_begin(
        self,
        job: Job,
        wait: Duration,
        wake: Callable[[Waiter], object] | None,
        scheduled: bool = False,
    ) -> Waiter | None:
        with self._lock:
            created_ns = getattr(job, "created_ns", 0)
            known = job in self.registry
            try:
                waiter = super()._add_begin(job, wait, wake, scheduled)
                if waiter is None:
                    self._enter_queue(job, created_ns)
            except BaseException:  # Ctrl-C between the two, too
                if not known and job in self.registry and not self._queues.exists(job):
                    self._unadd(job, created_ns)
                raise
            return waiter

    def _enter_queue(self, job: Job, created_ns: int) -> None:
        self._place(job, created_ns, "schedule" if self._waits_for_time(job) else "add")
        self._offer(job.name)

    def _wait(self, waiter: Waiter, what: object, timeout_ms: int) -> Any:
        return self._finished(waiter, super()._wait(waiter, what, timeout_ms))

    def _finish(self, waiter: Waiter, what: object, timeout: object) -> Any:
        return self._finished(waiter, super()._finish(waiter, what, timeout))

    def _finished(self, waiter: Waiter, answer: Any) -> Any:
        """A job that waited for room and was taken in goes to its queue."""
        job = waiter.adds
        if job is not None:
            with self._lock:
                if self.registry.record(job) is not None and not self._queues.exists(job):
                    self._enter_queue(job, job.created_ns)
                    self._settle(job)  # it may have met somebody meanwhile
        return answer

    def add_many(self, jobs: Iterable[Job]) -> None:
        with self._lock:
            taken = list(jobs)
            stamps = [getattr(job, "created_ns", 0) for job in taken]
            super().add_many(taken)
            for i, job in enumerate(taken):
                try:
                    self._place(job, stamps[i], "add")
                except BaseException as error:
                    for other, stamp in zip(taken[:i], stamps[:i], strict=True):
                        self._queues.delete(other)
                        self._unadd(other, stamp)
                    for other, stamp in zip(taken[i + 1 :], stamps[i + 1 :], strict=True):
                        self._unadd(other, stamp)
                    if isinstance(error, JobQueueError):
                        raise _at_index(error, i) from None
                    raise
            for name in dict.fromkeys(job.name for job in taken):
                self._offer(name)

    def _run_begin(
        self,
        job: Job,
        timeout: Duration,
        wake: Callable[[Waiter], object] | None,
        lapse: bool = True,
    ) -> Waiter:
        with self._lock:
            created_ns = getattr(job, "created_ns", 0)
            waiter = super()._run_begin(job, timeout, wake, False)
            self._place(job, created_ns, "run")
            self._offer(job.name)
            if lapse and not timeout:
                self._lapse(waiter)
                self._settle(job)
            return waiter

    def _run(self, job: Job, timeout: Duration) -> tuple[bool, bytes]:
        try:
            return super()._run(job, timeout)
        finally:
            self._run_over(job)

    def _run_over(self, job: Job) -> None:
        if type(job) is Job:
            with self._lock:
                self._settle(self._job(job) or job)

    # ------------------------------------------------------------ leasing

    def _ready(self, names: Sequence[str]) -> Iterator[Job]:
        """Jobs taken out of the foreign queues, from the names in random order."""
        order = [name for name in names if not self._paused(name)]
        self._random.shuffle(order)
        for name in order:
            while (job := self._queues.lease(name)) is not None:
                yield job

    def _take(self, names: Sequence[str]) -> Job | None:
        self.fire_due()
        for job in self._ready(names):
            try:
                super().start_attempt(job)
            except JobQueueError:
                continue  # it cannot be leased any more; its record says why
            self._lock.touch(job)
            return job
        return None

    def _offer(self, name: str) -> None:
        """Note a name that has jobs, and hand the ready ones to those who wait, longest first."""
        self._note_name(name)
        self._hand_on(name)

    def _hand_on(self, name: str) -> None:
        while self._waited_for(name):
            job = self._queues.lease(name)
            if job is None:
                return
            self._lock.touch(job)
            if not self._hand(name, job) and not self._waited_for(name):
                self._settle(job)  # who waited has left meanwhile

    def _lease_now(
        self, names: str | Sequence[str], timeout: Duration, detailed: bool = False
    ) -> Any:
        distinct, timeout_ms = self._lease_arguments(names, timeout)
        with self._lock:
            self._lease_arguments(distinct, timeout)  # nobody closes it from here on
            job = self._take(distinct)
            if job is not None:
                return self._leased(job) if detailed else job
        if not timeout_ms:
            return super().lease(distinct, 0)  # nothing is there natively: its error is ours
        return None

    def _lease_begin(
        self,
        names: str | Sequence[str],
        timeout_ms: int,
        wake: Callable[[Waiter], object] | None,
        detailed: bool = False,
    ) -> Waiter:
        distinct, _ = self._lease_arguments(names, timeout_ms)
        with self._lock:
            waiter = super()._lease_begin(distinct, timeout_ms, wake, detailed)
            try:
                for name in distinct:  # a job may have come since the look before
                    self._hand_on(name)
            except BaseException:
                self._abandon(waiter)
                raise
            return waiter

    def _lease_general(self, names: str | Sequence[str], timeout: Duration, detailed: bool) -> Any:
        distinct, timeout_ms = self._lease_arguments(names, timeout)  # each is read once
        leased = self._lease_now(distinct, timeout_ms, detailed)
        if leased is not None:
            return leased
        return self._wait(
            self._lease_begin(distinct, timeout_ms, None, detailed), distinct, timeout_ms
        )

    def _leased(self, job: Job) -> tuple[Job, int, int]:
        record = self.registry.record(job)
        deadline_ns = self._lease_deadline_ns(job)
        if record is None or deadline_ns is None:
            raise NotFoundError(f"job {job.id} is gone")
        return job, record.attempts, deadline_ns

    def lease(self, names: str | Sequence[str], timeout: Duration) -> Job:
        job: Job = self._lease_general(names, timeout, False)
        return job

    def _lease_attempt(
        self, names: str | Sequence[str], timeout: Duration, into: list[object]
    ) -> None:
        into[:] = self._lease_general(names, timeout, True)

    def _unlease(self, job: Job) -> None:
        with self._lock:
            super()._unlease(job)
            self._settle(job)

    def lease_many(self, names: str | Sequence[str], n: int, timeout: Duration) -> list[Job]:
        distinct, _ = super()._lease_arguments(names, 0)  # each is read once
        super()._check_count(n)
        _, timeout_ms = self._lease_arguments(distinct, timeout)
        jobs = self._take_many(distinct, n)
        if jobs:
            return jobs
        return [self.lease(distinct, timeout_ms), *self._take_many(distinct, n - 1)]

    def _take_many(self, names: list[str], most: int) -> list[Job]:
        """Lease up to so many jobs that are ready now, as one."""
        jobs: list[Job] = []
        with self._lock:
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

    def start_attempt(self, id: IDLike) -> None:
        with self._lock:
            job = self._job(id)
            try:
                super().start_attempt(id)
            finally:
                self._settle(job)

    def _abandon(self, waiter: Waiter) -> Job | None:
        with self._lock:
            back = super()._abandon(waiter)
            if back is not None:
                self._settle(back)
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

    def complete(self, id: IDLike, result: "Buffer" = b"", *, attempt: int | None = None) -> None:
        with self._lock:
            job = self._job(id)
            super().complete(id, result, attempt=attempt)
            self._settle(job)

    def fail(
        self,
        id: IDLike,
        result: "Buffer" = b"",
        *,
        attempt: int | None = None,
        delay: Duration = 0,
    ) -> None:
        with self._lock:
            job = self._job(id)
            super().fail(id, result, attempt=attempt, delay=delay)
            if job is not None and self._waits_for_time(job):
                self._queues.delete(job)  # it may have been ready, or due at another time
            self._settle(job)

    def complete_many(self, pairs: "Iterable[tuple[IDLike, Buffer]]") -> None:
        with self._lock:
            taken = list(pairs)
            jobs = [self._job_of_pair(pair) for pair in taken]
            super().complete_many(taken)
            for job in jobs:
                self._settle(job)

    def release(self, id: IDLike, delay: Duration = 0, *, attempt: int | None = None) -> None:
        with self._lock:
            job = self._job(id)
            super().release(id, delay, attempt=attempt)
            self._settle(job)

    def kick(self, id: IDLike) -> None:
        with self._lock:
            job = self._job(id)
            record = self.registry.record(id)
            dead = record is not None and record.state == State.FAILED
            if dead and job is not None and self._queues.exists(job):
                raise QueueOutOfSyncError(f"the queue holds job {job.id} already")
            super().kick(id)
            self._settle(job)

    def delete(self, id: IDLike) -> None:
        with self._lock:
            job = self._job(id)
            super().delete(id)
            self._settle(job)

    def delete_many(self, ids: Iterable[IDLike]) -> int:
        with self._lock:
            taken = list(ids)
            jobs = [self._job_or_none(id) for id in taken]
            deleted = super().delete_many(taken)
            for job in jobs:
                self._settle(job)
            return deleted

    def expire(self, id: IDLike) -> None:
        with self._lock:
            job = self._job(id)
            super().expire(id)
            self._settle(job)

    def timeout_attempt(self, id: IDLike) -> None:
        with self._lock:
            record = self.registry.record(id)
            leased = record is not None and record.running()
            super().timeout_attempt(id)
            if record is not None and leased:
                self._settle(record.job)

    def _awake(self, id: ID) -> None:
        with self._lock:
            job = self._job(id)
            super()._awake(id)
            self._settle(job)

    def _lapse(self, waiter: Waiter) -> None:
        with self._lock:
            super()._lapse(waiter)

    def _lapse_run(self, id: ID) -> None:
        with self._lock:
            job = self._job(id)
            super()._lapse_run(id)
            self._settle(job)

    def _shut(self) -> bool:
        with self._lock:
            return super()._shut()

    # ------------------------------------------------------------ looking

    def _look(self, name: str, offset: int, limit: int | None, *, scheduled: bool) -> list[Job]:
        name = check_name(name)
        super().jobs(name, offset, limit)  # the same checks; natively there is nothing
        with self._lock:
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

    def pause(self, name: str) -> None:
        with self._lock:
            super().pause(name)

    def _explain(self, id: IDLike) -> tuple[Any, ...]:
        with self._lock:
            job, state, ahead, *rest = super()._explain(id)
            if state in (State.NEW, State.PENDING):
                due = self._waits_for_time(job)
                line = self._look(job.name, 0, None, scheduled=due)
                ahead = line.index(job) if job in line else None  # made by hand
            return job, state, ahead, *rest

    def _queue_stats(self, name: str) -> tuple[Any, ...]:
        _, _, *rest = super()._queue_stats(name)
        return len(self.jobs(name)), len(self.scheduled_jobs(name)), *rest

    def resume(self, name: str) -> None:
        name = check_name(name)
        with self._lock:
            super().resume(name)
            self._offer(name)

    def _stats(self) -> tuple[int, ...]:
        with self._lock:
            counts = list(super()._stats())
            jobs = [
                record.job
                for record in self.registry
                if record.job is not None and record.state in (State.NEW, State.PENDING)
            ]
            counts[6] = sum(self._stands(job, scheduled=False) for job in jobs)
            counts[7] = sum(self._stands(job, scheduled=True) for job in jobs)
        return tuple(counts)


def become_general(controller: Controller, rng: random.Random | None) -> None:
    """Turn a Controller that is being built, of any subclass, into one over foreign queues."""
    controller.__class__ = _general_class(type(controller))
    controller._lock = Whole(controller)
    controller._observers = None
    controller._random = random.Random() if rng is None else rng


_general_classes: Final[dict[type[Controller], type[Controller]]] = {}


def _general_class(kind: type[Controller]) -> type[Controller]:
    if issubclass(kind, GeneralController):
        return kind
    if kind is Controller:
        return GeneralController
    if kind not in _general_classes:
        _general_classes[kind] = type(kind.__name__, (kind, GeneralController), {"__slots__": ()})
    return _general_classes[kind]


def _ready_order(job: Job) -> tuple[int, int, bytes]:
    return -job.priority, job.created_ns, bytes(job.id)
