"""Engine: every verb of the contract. Each crosses into native code once.

What verbs are made of stands below, in _engine: batches, leasing, waiting, looking. A verb reads its
arguments, enters, takes the lock, finds the record, lets the machine change it, and leaves.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport HAS_GIL, lock_acquire, lock_release, ref_drop
from jobqueue._structures.times cimport NEVER_NS, ns_add
from jobqueue._machine.types cimport (
    ANY_ATTEMPT, DUPLICATE_KEY, NOTE_BATCH, NOTE_BATCH_END, NOT_FOUND, OK, QUEUE_FULL, queue_t, record_t,
    refusal_t, status_t,
)
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.woken cimport deferred_post
from jobqueue._machine.events cimport events_batch
from jobqueue._machine.state cimport note, registry_find
from jobqueue._machine.life cimport (
    entrant_t, entrants_add, job_add, job_awake, job_cancel, job_complete, job_delete, job_expire,
    job_fail, job_kick, job_release, job_schedule, job_start, job_timeout, job_touch, job_unadd,
    queue_offer,
)
from jobqueue._objects.rules cimport (
    name_read, reason_read, result_plain, result_read, time_object, timeout_read, ttr_read,
)
from jobqueue._objects.job cimport ID, Job, id_object, id_read, ids_expect, job_object
from jobqueue._objects.registry cimport RunRecord, Waiter, record_new, report_unraisable
from jobqueue._objects.queues cimport WorkQueue, queue_get, queues_check
from jobqueue._engine.status cimport at_index, raise_refused, raise_refused_at, raise_status_at
from jobqueue._engine.base cimport (
    SHUT_OPEN, EngineBase, bound_read, count_read, job_taken, queue_for, queue_of, record_taken,
    verb_change, verb_end, verb_end_fenced, verb_enter, verb_find, verb_fired_near, verb_fired_now,
    verb_is_watched, verb_leave, verb_now,
)
from jobqueue._engine.batches cimport (
    ADD_NOTED, CHANGE_NOTED, LEASES_NOTED, RESULTS_FEW, answer_id, answer_t, answers_apply,
    answers_size, entrant_new, entrants_size, job_check, pair_read, pair_read_other, queue_for_new,
    verb_drain,
)
from jobqueue._engine.leasing cimport (
    lease_leave, lease_timeout, leases_size, queue_take, take_any, take_late, take_some, taken_read,
    taken_t, undo_fresh,
)
from jobqueue._engine.waiting cimport (
    abandon, add_begin, finish, hand, lapse_run, lease_begin, result_begin, run_begin, wait_sleep,
    wait_time_out, waiter_check,
)
from jobqueue._engine.looking cimport (
    NO_BOUND, look, look_at, look_dead, look_deadline_ns, look_fails, look_names, look_queue, look_stats,
    look_waited_for, notifier_set,
)

from . import errors as _errors
from ._values import LeaseArguments, Leased

cdef object ZERO = 0              # there is one small int of a value
cdef object TUPLE_NEW = tuple.__new__


cdef inline uint64_t attempt_read(object value) except? 12345:
    return ANY_ATTEMPT if value is None else attempt_read_other(value)


cdef uint64_t attempt_read_other(object value) except? 12345:
    """The number of an attempt to fence by. No attempt has a number below 1."""
    if type(value) is not int:
        raise TypeError(
            f"attempt must be an int or None, not {_errors.shown(value)} of type {type(value).__name__}"
            "; Attempt.number is one")
    if not 0 < value < 0xFFFFFFFFFFFFFFFF:
        return <uint64_t> 0xFFFFFFFFFFFFFFFF
    return value


cdef int flag_read(object value, str what) except -2:
    """A bool, or TypeError."""
    if type(value) is not bool:
        raise TypeError(f"{what} must be a bool or None, not {_errors.shown(value)}")
    return value is True


cdef inline object leased_object(object came):
    """What a call came to, for wings: a lease in detail is a Leased."""
    return TUPLE_NEW(Leased, came) if type(came) is tuple else came


cdef class Engine(EngineBase):
    """The verbs: adding, leasing, answering, ending, bounding, looking; and what wings ask for."""

    # ------------------------------------------------------------ adding

    cdef int enqueue(self, object job, bint scheduled) except -1:
        job_check(job)
        cdef RunRecord record = record_new(job)
        cdef record_t *c = &record.c
        cdef status_t status
        cdef refusal_t why
        cdef int64_t now_ns
        verb_change(self, (<Job> job).c.payload_size + ADD_NOTED)
        now_ns = verb_now(self)
        c.queue = queue_for(self, <Job> job)
        if c.queue == NULL:
            c.queue = queue_for_new(self, <Job> job, scheduled, False, now_ns)
        lock_acquire(&self.e.lock)
        status = job_schedule(self.e, c, now_ns) if scheduled else job_add(self.e, c, now_ns)
        if status == OK:
            if c.queue.first_link != NULL:
                queue_offer(self.e, c.queue, now_ns)
        else:
            why = self.e.refusal
        lock_release(&self.e.lock)
        ids_expect(&self.e.ids)
        verb_leave(self, OK, NULL)
        if status != OK:
            raise_refused(status, <Job> job, &why)
        return 0

    cdef int add_later(self, object job, bint scheduled, object wait) except -1:
        """Add a job, and wait for space if there is none."""
        cdef Waiter waiter = add_begin(self, job, wait, None, scheduled)
        if waiter is not None:
            wait_sleep(self, waiter, None, timeout_read(wait, "wait"))
        return 0

    def add(self, job, wait=0):
        """Take a job: NEW, in ready of its queue; handed on at once if somebody waits for it.

        Its TTL runs from ``created``, which is stamped now unless it was given. wait: ms or
        timedelta to wait for room, up to 24 h, if a bound would be passed: see ``limit``. O(log n).

        Raises DuplicateJobError, InvalidTimeError (it would be expired already), QueueFullError
        (no room within ``wait``), ClosedError.

        >>> with Controller() as c:
        ...     c.add(Job("mail", b"hello"))
        ...     c.lease("mail", 0).payload
        b'hello'
        """
        if wait is ZERO:
            self.enqueue(job, False)
        else:
            self.add_later(job, False, wait)

    def add_now(self, job, wait=None):
        """As add, for callers who must not block: ``wait`` is refused with a TypeError."""
        if wait is not None:
            raise TypeError("add() does not wait here: add_wait(job, wait) does, and is awaited")
        self.enqueue(job, False)

    def schedule_now(self, job, wait=None):
        """As schedule, for callers who must not block."""
        if wait is not None:
            raise TypeError("schedule() does not wait here: schedule_wait(job, wait) does, and is awaited")
        self.enqueue(job, True)

    def schedule(self, job, wait=0):
        """Take a job that becomes ready at ``job.time``; at once, if that is past. O(log n).

        Its TTL runs from ``job.time``. Raises as add, and InvalidTimeError if it has no time.
        """
        if wait is ZERO:
            self.enqueue(job, True)
        else:
            self.add_later(job, True, wait)

    def add_many(self, jobs):
        """Add jobs in one pass, all or none.

        Raises as add, the error naming the index (``error.index``); then nothing is applied.
        O(k log n), and others wait that long: a batch is one step, its size is the caller's choice.
        """
        # With the GIL nobody can change the list of somebody else while it is read.
        cdef list taken = (<list> jobs if HAS_GIL and type(jobs) is list else
                           _errors.batch(jobs, "jobs", "Jobs"))
        cdef Py_ssize_t count = len(taken)
        cdef Py_ssize_t made = 0
        cdef Py_ssize_t at = 0
        cdef entrant_t *entrants = <entrant_t *> PyMem_RawMalloc(
            <size_t> (count + 1) * sizeof(entrant_t))
        cdef Job refused = None
        cdef status_t status
        cdef refusal_t why
        cdef int64_t now_ns
        if entrants == NULL:
            raise MemoryError
        try:
            while made < count:
                entrants[made].record = entrant_new(taken[made], made)
                made += 1
            verb_change(self, entrants_size(entrants, count))
            ids_expect(&self.e.ids)
            now_ns = verb_now(self)
            self.queues_make(entrants, count, now_ns)
            lock_acquire(&self.e.lock)
            status = entrants_add(self.e, entrants, count, now_ns, &at)
            why = self.e.refusal
            lock_release(&self.e.lock)
            if status != OK:
                refused = job_object(entrants[at].record.job)
        finally:
            while made > 0:
                made -= 1
                ref_drop(object_of(entrants[made].record))
            PyMem_RawFree(entrants)
        verb_leave(self, OK, NULL)
        if status != OK:
            raise_refused_at(status, refused, &why, at)

    # ------------------------------------------------------------ leasing

    def lease(self, names, timeout=...):
        """Take a job of one of ``names`` (a str, or a sequence): LEASED, one attempt more, TTR runs.

        timeout: ms or timedelta to wait for one, up to 24 h; 0 only looks. Names that have work are
        chosen uniformly at random. O(log n).

        Raises WaitTimeoutError, InvalidNameError, InvalidTimeoutError, ClosedError.

        >>> with Controller() as c:
        ...     c.lease(["mail", "sms"], 0)
        Traceback (most recent call last):
        jobqueue.errors.WaitTimeoutError: no job of 'mail', 'sms' within 0 ms
        """
        return self.lease_any(names, timeout, False, True)

    def lease_now(self, names, timeout, bint detailed=False):
        """As lease, but None where that would wait; lease_begin is how to. detailed: returns a Leased."""
        return leased_object(self.lease_any(names, timeout, detailed, False))

    def _lease_attempt(self, names, timeout, list into not None):
        """As lease, but job, number of the attempt, monotonic ns of its deadline, into a list of 3."""
        into[0], into[1], into[2] = self.lease_any(names, timeout, True, True)

    def _unlease(self, Job job not None):
        """Undo the lease of a job that nobody has seen."""
        undo_fresh(self, job)

    cdef object lease_any(self, object names, object timeout, bint detailed, bint may_wait):
        cdef int64_t timeout_ms
        cdef int64_t now_ns
        cdef record_t *record = NULL
        cdef taken_t taken
        cdef queue_t *queue
        if type(names) is str:
            if queue_of(self, <PyObject *> names) == NULL:
                name_read(names)
            timeout_ms = timeout_read(timeout, "timeout")
            verb_change(self, 0)
            now_ns = verb_fired_near(self)
            queue = queue_of(self, <PyObject *> names)  # only now: until here it may have been swept
            if queue != NULL:
                record = queue_take(self, queue, now_ns, &taken)
        else:
            names = self.names_read(names)
            timeout_ms = timeout_read(timeout, "timeout")
            verb_change(self, 0)
            now_ns = verb_fired_near(self)
            record = take_any(self, self.queues_known(names), now_ns, &taken)
        if record == NULL and self.e.lagging:
            record = take_late(self, [names] if type(names) is str else names, &taken)
        if record != NULL:
            if detailed or verb_is_watched(self):
                if HAS_GIL:
                    taken_read(record, &taken)
                return lease_leave(self, record_taken(record), &taken, detailed)
            return job_taken(record)
        verb_leave(self, OK, NULL)
        if timeout_ms > 0 and not may_wait:
            return None
        return self.lease_later(names, timeout_ms, detailed)

    cdef object lease_later(self, object names, int64_t timeout_ms, bint detailed):
        """Lease once nothing is there at once."""
        if timeout_ms == 0:
            raise lease_timeout(names, 0)
        return wait_sleep(self, lease_begin(self, names, timeout_ms, None, detailed), names, timeout_ms)

    def lease_many(self, names, n=..., timeout=...):
        """Lease up to ``n`` jobs in one pass; waits, up to ``timeout``, only for the first.

        Returns a list of 1 to n Jobs. Raises as lease. O(n log m), while which others wait.
        """
        cdef list read = self.names_read(names)
        cdef Py_ssize_t most = count_read(n, "n", 1)
        cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
        verb_drain(self, leases_size(self, read, min(most, <Py_ssize_t> LEASES_NOTED)))
        cdef list leased = [None]
        if take_some(self, read, most, leased, 0) == 0:
            leased[0] = self.lease_later(read, timeout_ms, False)
            if most > 1 and self.shut == SHUT_OPEN:
                try:
                    take_some(self, read, most, leased, 1)
                except Exception as error:  # the first is leased all the same
                    report_unraisable(error, self.lease_many)
        return leased

    def take_many(self, list names not None, Py_ssize_t most):
        """Lease up to so many jobs that are ready now: a list, which may be empty."""
        cdef list leased = [None]
        return leased if take_some(self, names, most, leased, 0) else []

    def start_attempt(self, id):
        """The second half of lease: out of its queue, LEASED, one attempt more, TTR runs. O(log n).

        Raises NotFoundError, AlreadyLeasedError, AlreadyProcessedError, and MaxAttemptsReachedError
        (the job is then FAILED, and its waiters wake).
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_start(self.e, record, now_ns)
        verb_end(self, status, data)

    # ------------------------------------------------------------ running

    def run(self, job, timeout=...):
        """Add a job without TTL and wait for its result: a RunResult.

        timeout: ms or timedelta for a worker to take it, up to 24 h; once it is leased, the wait
        lasts up to the TTR deadline. Whatever happens, the job is gone afterwards.

        Raises WaitTimeoutError, DuplicateJobError, NotFoundError (deleted meanwhile), ClosedError.
        """
        return wait_sleep(self, self.run_begin(job, timeout, None), None, timeout_read(timeout, "timeout"))

    def result(self, id, timeout=...):
        """Wait up to ``timeout`` (ms or timedelta) for a job's result: a RunResult. O(1) once it is there.

        Raises NotFoundError (also when the job is deleted or expires meanwhile), WaitTimeoutError,
        ClosedError.
        """
        begun = result_begin(self, id, timeout, None)
        if type(begun) is not Waiter:
            return begun
        return wait_sleep(self, begun, None, timeout_read(timeout, "timeout"))

    # ------------------------------------------------------------ answering

    def complete(self, id, result=b"", *, attempt=None):
        """End a job that is not processed: COMPLETED, out of its queue, its waiters wake. O(log n).

        result: at most 1 048 576 bytes, kept until the TTL is over. attempt: only if the job is
        leased under this number (fencing).

        Raises NotFoundError, DuplicateResultError, LeaseExpiredError, InvalidResultError.

        >>> with Controller() as c:
        ...     job = Job("mail")
        ...     c.add(job)
        ...     c.complete(job, b"sent")
        ...     c.result(job, 0)
        RunResult(success=True, result=b'sent')
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        cdef int64_t now_ns = 0
        id_read(id, data)
        cdef bytes read = None
        cdef void *answer = result_plain(result)
        if answer == NULL:
            read = result_read(result)
            answer = <PyObject *> read
        cdef uint64_t fence = attempt_read(attempt)
        verb_change(self, PyBytes_GET_SIZE(<bytes> <PyObject *> answer))
        if self.e.result_ttl_ns != NEVER_NS or self.e.watched:
            now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_complete(self.e, record, answer, fence, now_ns)
        verb_end_fenced(self, status, data, fence)

    def fail(self, id, result=b"", *, attempt=None, delay=0, final=None):
        """One failure more. PENDING and back in line if fails < max_fails and attempts remain:
        in ready, or scheduled after ``delay`` (ms or timedelta, up to 24 h). Else FAILED, as
        complete, whatever the delay. O(log n). Raises as complete, and InvalidTimeoutError.

        final: True ends it at once, FAILED; False puts it back whatever max_fails says, while attempts
        remain.

        >>> with Controller() as c:
        ...     c.add(Job("mail", max_fails=3))
        ...     c.fail(c.lease("mail", 0), b"mailbox locked", delay=5000)
        ...     c.stats().scheduled
        1
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef bytes read = None
        cdef void *answer = result_plain(result)
        if answer == NULL:
            read = result_read(result)
            answer = <PyObject *> read
        cdef uint64_t fence = attempt_read(attempt)
        cdef int64_t delay_ms = timeout_read(delay, "delay")
        cdef int ends = -1 if final is None else flag_read(final, "final")
        verb_change(self, PyBytes_GET_SIZE(<bytes> <PyObject *> answer))
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_fail(self.e, record, answer, delay_ms, fence, ends, now_ns)
        verb_end_fenced(self, status, data, fence)

    def cancel(self, id, reason=b""):
        """End a job that is not processed: FAILED with ``reason``, whatever budgets are left. O(log n).

        If it is leased, its attempt ends: what its worker answers under it is LeaseExpiredError. reason: as
        the result of complete. The job is among the dead, and counts as failed and as cancelled.

        Raises NotFoundError, AlreadyProcessedError, InvalidResultError.

        >>> with Controller() as c:
        ...     c.add(job := Job("mail", max_fails=3))
        ...     c.cancel(job, b"unsubscribed")
        ...     c.result(job, 0)
        RunResult(success=False, result=b'unsubscribed')
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef bytes read = reason_read(reason)
        verb_change(self, PyBytes_GET_SIZE(read))
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_cancel(self.e, record, <PyObject *> read, now_ns)
        verb_end(self, status, data)

    def complete_many(self, pairs):
        """Complete ``(id, result)`` pairs in one pass, all or none.

        Raises as complete, the error naming the index (``error.index``). O(k log n); others wait that
        long: a batch is one step, its size is the caller's choice.
        """
        cdef list taken = (list(pairs) if type(pairs) is list else
                           _errors.batch(pairs, "pairs", "(id, result) pairs"))
        cdef Py_ssize_t count = len(taken)
        cdef list kept = None     # results that the pairs do not hold as they are
        cdef answer_t *answers = <answer_t *> PyMem_RawMalloc(
            <size_t> (count + 1) * sizeof(answer_t))
        cdef status_t status
        cdef Py_ssize_t i, size
        cdef Py_ssize_t at = 0
        cdef int64_t now_ns
        if answers == NULL:
            raise MemoryError
        try:
            for i in range(count):
                if not pair_read(taken[i], &answers[i]):
                    if kept is None:
                        kept = []
                    kept.append(pair_read_other(taken[i], &answers[i], i))
            size = answers_size(answers, count)
            if size < RESULTS_FEW:
                verb_drain(self, size + count * CHANGE_NOTED)
            else:
                verb_change(self, size + count * CHANGE_NOTED)
            now_ns = verb_now(self)
            lock_acquire(&self.e.lock)
            status = answers_apply(self.e, answers, count, now_ns, &at)
            lock_release(&self.e.lock)
            verb_leave(self, OK, NULL)
            if status != OK:
                raise_status_at(status, answer_id(&answers[at]), at)
        finally:
            PyMem_RawFree(answers)

    def touch(self, id, ttr=None, *, attempt=None):
        """Start the TTR of a leased job again: its own, or ``ttr`` (ms or timedelta). O(1).

        Raises NotFoundError, LeaseExpiredError (not leased, or not under this attempt).
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef int64_t ttr_ms = -1 if ttr is None else ttr_read(ttr)
        cdef uint64_t fence = attempt_read(attempt)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_touch(self.e, record, ttr_ms, fence, now_ns)
        verb_end_fenced(self, status, data, fence)

    def release(self, id, delay=0, *, attempt=None):
        """Give a leased job back: PENDING in ready, or scheduled after ``delay`` ms. O(log n).

        Raises NotFoundError, LeaseExpiredError, InvalidTimeoutError.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef int64_t delay_ms = timeout_read(delay, "delay")
        cdef uint64_t fence = attempt_read(attempt)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_release(self.e, record, delay_ms, fence, now_ns)
        verb_end_fenced(self, status, data, fence)

    # ------------------------------------------------------------ ending

    def delete(self, id):
        """Forget a job, whatever its state; its waiters get NotFoundError. O(log n).

        Raises NotFoundError.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        verb_change(self, 0)
        record = verb_find(self, id, data)
        if record != NULL:
            job_delete(self.e, record)
        verb_end(self, NOT_FOUND if record == NULL else OK, data)

    def delete_many(self, ids):
        """Forget jobs in one pass; returns how many there were. Unknown ids are passed over.

        O(k log n); others wait that long: a batch is one step, its size is the caller's choice.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef Py_ssize_t i, deleted = 0
        read = []
        if type(ids) is not list:
            ids = _errors.batch(ids, "ids", "ids")
        for i, id in enumerate(ids):
            try:
                id_read(id, data)
            except _errors.ValidationError as error:
                raise at_index(error, i) from None
            read.append(id_object(data))
        verb_drain(self, len(read) * CHANGE_NOTED)
        lock_acquire(&self.e.lock)
        note(self.e, NULL, NOTE_BATCH)
        events_batch(self.e, len(read))
        for i in range(len(read)):
            record = registry_find(self.e, (<ID> read[i]).data)
            if record != NULL:
                job_delete(self.e, record)
                deleted += 1
        events_batch(self.e, 0)
        note(self.e, NULL, NOTE_BATCH_END)
        lock_release(&self.e.lock)
        verb_leave(self, OK, NULL)
        return deleted

    def expire(self, id):
        """What the TTL timer does: the job is gone; unprocessed, it counts as evicted, and is kept
        FAILED with b"expired" if ``keep_expired`` says so. O(log n).

        Nothing happens if the id is unknown.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef int64_t now_ns = 0
        id_read(id, data)
        verb_change(self, 0)
        if self.e.keep_expired_ns:
            now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            job_expire(self.e, record, now_ns)
        verb_end(self, OK, data)

    def timeout_attempt(self, id):
        """What the TTR timer does: PENDING and back in ready at its old place while attempts
        remain, else FAILED with b"". O(log n). Nothing happens unless the job is leased.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = OK
        id_read(id, data)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            status = job_timeout(self.e, record, now_ns)
        verb_end(self, status, data)

    # ------------------------------------------------------------ bounds, pauses, the dead

    def kick(self, id):
        """Put a job that ended FAILED back: NEW, in ready at its old place. O(log n).

        Its attempts and fails are counted afresh, and its TTL runs from now; the numbers of its
        attempts go on, so that no late answer passes for a new one.

        Raises NotFoundError, NotDeadError (it is not FAILED), DuplicateJobError (its key was taken
        meanwhile).

        >>> with Controller() as c:
        ...     c.add(Job("mail"))
        ...     c.fail(job := c.lease("mail", 0), b"no such host")
        ...     c.dead("mail") == [job], c.result(job, 0).result
        ...     c.kick(job)
        ...     c.lease("mail", 0) == job
        (True, b'no such host')
        True
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef refusal_t why
        cdef Job job = None
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_fired_now(self)
        record = verb_find(self, id, data)
        if record != NULL:
            job = job_object(record.job)
            status = job_kick(self.e, record, now_ns)
            why = self.e.refusal
        lock_release(&self.e.lock)
        if status == DUPLICATE_KEY or status == QUEUE_FULL:
            raise_refused(status, job, &why)
        verb_leave(self, status, data)

    def limit(self, name, *, max_jobs=None, max_bytes=None):
        """Bound a queue, beside the bounds of the controller; None: no bound.

        O(1), but O(records) the first time: others go on meanwhile, and the bound holds when it returns.

        max_jobs: jobs that are not processed. max_bytes: payloads and results of all its jobs,
        finished ones until they are forgotten, and 320 bytes for each. What is there stays, what
        comes back (release, fail, time-outs) and results are always taken; adding beyond raises.
        Queues that are foreign objects have no bounds of their own.

        >>> with Controller() as c:
        ...     c.limit("mail", max_jobs=1)
        ...     c.add(Job("mail"))
        ...     try:
        ...         c.add(Job("mail"), wait=10)
        ...     except QueueFullError:
        ...         c.queue_stats("mail").jobs
        1
        """
        cdef str valid = name_read(name)
        cdef int64_t jobs_max = bound_read(max_jobs, "max_jobs")
        cdef int64_t bytes_max = bound_read(max_bytes, "max_bytes")
        verb_enter(self)
        if self.e.shadow != NULL:
            raise TypeError("a queue that is a foreign object cannot be bounded by itself")
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        cdef bint first
        lock_acquire(&self.e.lock)
        queue.c.load.jobs_max = jobs_max
        queue.c.load.bytes_max = bytes_max
        first = not queue.c.limited and (jobs_max != NO_BOUND or bytes_max != NO_BOUND)
        if first:
            queue.c.limited = self.e.bounded = self.e.counting = True
        queue.c.named = True
        if self.e.adder_first != NULL:
            deferred_post(self.e)
        lock_release(&self.e.lock)
        if first or self.e.counting:
            self.count_on()
        verb_leave(self, OK, NULL)

    def pause(self, name):
        """Let a queue accept jobs and give none. O(1)."""
        cdef str valid = name_read(name)
        verb_enter(self)
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        lock_acquire(&self.e.lock)
        queue.c.paused = queue.c.named = True
        lock_release(&self.e.lock)

    def resume(self, name):
        """Let a paused queue give jobs again: first to those who wait, longest first."""
        cdef str valid = name_read(name)
        verb_enter(self)
        cdef int64_t now_ns = verb_fired_now(self)
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        lock_acquire(&self.e.lock)
        queue.c.paused = False
        queue.c.named = True
        queue_offer(self.e, &queue.c, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, OK, NULL)

    # ------------------------------------------------------------ looking

    def peek(self, name):
        """The job that would be leased next from a queue, or None. O(1)."""
        found = self.jobs(name, 0, 1)
        return found[0] if found else None

    def jobs(self, name, offset=0, limit=None):
        """Ready jobs of a queue in order: ``limit`` of them (None: all) from ``offset``.

        O(log n) to reach the offset, and for each job; others wait that long: what it returns was so at
        one moment. Ask for a part of a long queue, or walk through it with an Inspector.
        """
        return look(self, name, offset, limit, False)

    def scheduled_jobs(self, name, offset=0, limit=None):
        """Scheduled jobs of a queue in order of their times. As jobs."""
        return look(self, name, offset, limit, True)

    def dead(self, name, offset=0, limit=None):
        """Jobs of a queue that ended FAILED and are still kept, in the order of failing.

        ``limit`` of them (None: all) from ``offset``. Their reasons: ``result(job, 0).result``.
        O(dead jobs of all queues).
        """
        return look_dead(self, name, offset, limit)

    def names(self):
        """The names of all queues, sorted. O(queues log queues).

        A queue that holds nothing, is not paused and has no bounds may be missing if there are more than
        a thousand of them: its name is shown again once it is used again.
        """
        return look_names(self)

    def is_paused(self, str name not None):
        """Whether a queue gives no jobs for now. O(1)."""
        cdef WorkQueue queue = self.by_name.get(name)
        return queue is not None and bool(queue.c.paused)

    def _stats(self):
        return look_stats(self)

    def _queue_stats(self, name):
        return look_queue(self, name)

    def _explain(self, id):
        return look_at(self, id)

    def _names_waited_for(self, Py_ssize_t most):
        return look_waited_for(self, most)

    def _tell(self, notifier):
        notifier_set(self, notifier)

    def _check(self):
        """Raise AssertionError if an invariant of any structure is broken. O(n log n)."""
        self.registry._check()
        queues_check(self.own_queues, self.registry)

    # ------------------------------------------------------------ hooks

    def handle_expire(self, f):
        """Replace the function that TTL timers call: ``f(id)``. None puts expire back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        verb_enter(self)
        with cython.critical_section(self):
            self.expire_hook = f
            self.e.expire_hooked = f is not None or self.e.shadow != NULL

    def expire_func(self):
        """The function that TTL timers call; ``expire`` unless it was replaced."""
        verb_enter(self)
        with cython.critical_section(self):
            hook = self.expire_hook
        return self.expire if hook is None else hook

    def handle_timeout_attempt(self, f):
        """Replace the function that TTR timers call: ``f(id)``. None puts timeout_attempt back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        verb_enter(self)
        with cython.critical_section(self):
            self.timeout_hook = f
            self.e.timeout_hooked = f is not None or self.e.shadow != NULL

    def timeout_attempt_func(self):
        """The function that TTR timers call; ``timeout_attempt`` unless it was replaced."""
        verb_enter(self)
        with cython.critical_section(self):
            hook = self.timeout_hook
        return self.timeout_attempt if hook is None else hook

    # ------------------------------------------------------------ what wings ask for: see _ports.py

    def lease_begin(self, names, int64_t timeout_ms, wake, bint detailed=False):
        """Stand in line for a job. Returns a Waiter, whose ``wake`` is called when its wait ends.

        Its time-out is a timer of the wheel. The caller calls wait_finish when it is woken, and
        wait_abandon if it leaves by an exception. A thread gives None for ``wake``, and calls
        wait_sleep, which does all that and sees to the time-out itself.
        """
        return lease_begin(self, names, timeout_ms, wake, detailed)

    def add_begin(self, job, wait, wake, bint scheduled=False):
        """Add a job, or stand in line for space: None if it was added, else a Waiter, as lease_begin.

        Its end is None, or the error of add. A job that was taken in for a caller who leaves is
        taken back, unless a worker has it already. While a journal is kept nobody waits.
        """
        return add_begin(self, job, wait, wake, scheduled)

    def result_begin(self, id, timeout, wake):
        """A RunResult if the job is processed, else a Waiter for that."""
        return result_begin(self, id, timeout, wake)

    def run_begin(self, job, timeout, wake, bint lapse=True):
        """Add a run job; returns the Waiter for its end. lapse: end it at once if timeout is 0."""
        return run_begin(self, job, timeout, wake, lapse)

    def wait_sleep(self, Waiter waiter not None, what, int64_t timeout_ms):
        """Block the calling thread until a wait that was begun with ``wake=None`` ends."""
        waiter_check(self, waiter)
        return leased_object(wait_sleep(self, waiter, what, timeout_ms))

    def wait_finish(self, Waiter waiter not None, what, timeout):
        """What a wait came to: the Job or Leased (lease), the RunResult (result, run), or its error."""
        waiter_check(self, waiter)
        if self.e.unsettled:
            self._note_settle()
        return leased_object(finish(self, waiter, what, timeout))

    def wait_abandon(self, Waiter waiter not None):
        """Its caller leaves by an exception: a job it was handed goes back (returned), a run job is gone."""
        cdef int64_t now_ns = self.e.wheel.now_ns
        try:
            now_ns = verb_now(self)
        finally:  # whatever a clock raises
            back = abandon(self, waiter, now_ns)
        return back

    def wait_lapse(self, Waiter waiter not None):
        """The time of a wait is over. A run whose job is leased stays pending until its TTR."""
        wait_time_out(self, waiter)

    def lease_deadline_ns(self, Job job not None, attempt=None):
        """Monotonic ns at which the lease of a job ends, or None if it is not leased (under ``attempt``)."""
        return look_deadline_ns(self, job, attempt_read(attempt))

    def lease_fails(self, Job job not None):
        """How often a job has failed since it was added or kicked; None if it is gone."""
        return look_fails(self, job)

    def lease_deadline(self, int64_t deadline_ns):
        """The wall time of a monotonic deadline."""
        return time_object(ns_add(deadline_ns, self.e.wall_offset_ns))

    def lease_arguments(self, names, timeout):
        """A LeaseArguments: what a lease is asked for. Raises as lease."""
        cdef list read = self.names_read(names)
        timeout_ms = timeout_read(timeout, "timeout")
        verb_enter(self)
        return TUPLE_NEW(LeaseArguments, (read, timeout_ms))

    def count_check(self, n):
        """Raise unless ``n`` is a count of jobs, from 1."""
        count_read(n, "n", 1)

    # ------------------------------------------------------------ over foreign queues: _engine/foreign.py

    def _awake(self, id):
        """A scheduled job is due."""
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        cdef int64_t now_ns = verb_now(self)
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            job_awake(self.e, record, now_ns)
        lock_release(&self.e.lock)

    def _lapse_run(self, id):
        """The time-out of a run is over."""
        lapse_run(self, id)

    def _unadd(self, Job job not None, int64_t created_ns):
        """Take back an add that the foreign queue refused."""
        cdef record_t *record
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, job.c.tie.id)
        if record != NULL:
            job_unadd(self.e, record, created_ns)
        lock_release(&self.e.lock)

    def _note_name(self, str name):
        """Keep a name for names()."""
        queue_get(self.own_queues, name).c.named = True

    def _waited_for(self, str name):
        """Whether a leaser is in line for a queue that gives."""
        cdef WorkQueue queue = self.by_name.get(name)
        return queue is not None and queue.c.first_link != NULL and not queue.c.paused

    def _hand(self, str name, Job job not None):
        """Lease a job to the first in line. False if it cannot be leased."""
        return hand(self, name, job)
