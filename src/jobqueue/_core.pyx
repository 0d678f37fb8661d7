"""Engine: the non-blocking verbs, each one crossing into native code once."""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport HAS_GIL, lock_acquire, lock_release, ref_drop, ref_take
from jobqueue._structures.times cimport NEVER_NS
from jobqueue._structures.skiplist cimport skiplist_len
from jobqueue._machine.types cimport (
    ANY_ATTEMPT, NOTE_BATCH, NOTE_BATCH_END, NOT_FOUND, OK, STATE_NEW, STATE_PENDING, queue_t,
    record_t, refusal_t, status_t, wait_t,
)
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.events cimport events_batch
from jobqueue._machine.state cimport note, registry_find
from jobqueue._machine.life cimport (
    entrant_t, entrants_add, job_add, job_check_new, job_complete, job_delete, job_expire, job_fail,
    job_lease, job_release, job_schedule, job_start, job_timeout, job_touch, lapsed_pass,
    lease_undo, queue_offer,
)
from jobqueue._objects.rules cimport result_plain, result_read, timeout_read, ttr_read
from jobqueue._objects.job cimport ID, Job, id_object, id_read, ids_expect, job_object
from jobqueue._objects.registry cimport (
    RunRecord, record_make, record_new, record_object, report_unraisable, wake_all,
)
from jobqueue._objects.queues cimport WorkQueue
from jobqueue._engine.status cimport at_index, raise_refused, raise_refused_at, raise_status_at
from jobqueue._engine.base cimport (
    SHUT_OPEN, EngineBase, count_read, job_taken, queue_for, record_find, record_taken, verb_change,
    verb_enter, verb_fired_near, verb_fired_now, verb_is_watched, verb_leave, verb_leave_fenced,
    verb_now,
)
from jobqueue._engine.batches cimport (
    ADD_NOTED, CHANGE_NOTED, LEASES_NOTED, RESULTS_FEW, answer_id, answer_t, answers_apply,
    answers_size, entrants_size, pair_read, pair_read_other,
)

from . import errors as _errors

cdef object ZERO = 0              # there is one small int of a value


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


cdef inline int job_check(object value) except -1:
    if type(value) is not Job:
        raise TypeError(_errors.no_job_text(value))
    return 0


cdef Job job_read(object value):
    job_check(value)
    return <Job> value

# ---------------------------------------------------------------- verbs

cdef inline record_t *queue_take(
        Engine self, queue_t *queue, int64_t now_ns, taken_t *taken) noexcept:
    """Lease from one queue, or NULL: nothing is there, or, while the engine lags behind, there may be."""
    cdef record_t *record = NULL
    if not queue.paused:
        lock_acquire(&self.e.lock)
        if not self.e.lagging or not lapsed_pass(self.e, queue, now_ns):
            record = job_lease(self.e, queue, now_ns, &taken.prior_state)
        if not HAS_GIL and record != NULL:  # else another thread might end it now
            ref_take(object_of(record))
            taken_read(record, taken)
        lock_release(&self.e.lock)
    return record


cdef inline void taken_read(const record_t *record, taken_t *taken) noexcept:
    """What whoever leases a job is told. With the lock: later it may be the lease of another."""
    taken.attempt = record.attempts
    taken.deadline_ns = record.ttr.deadline_ns


cdef class Engine(EngineBase):
    """The verbs that take, give and end jobs."""

    # ------------------------------------------------------------ adding

    cdef queue_t *queue_make(
            self, Job job, bint scheduled, bint is_run, int64_t now_ns) except NULL:
        """The queue of a new name, made only if the job will be taken: an error changes nothing."""
        cdef status_t status
        cdef refusal_t why
        lock_acquire(&self.e.lock)
        status = job_check_new(self.e, &job.c, scheduled, is_run, now_ns)
        why = self.e.refusal
        lock_release(&self.e.lock)
        if status != OK:
            raise_refused(status, job, &why)
        return &self.queue_named(<str> <PyObject *> job.c.name).c

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
            c.queue = self.queue_make(<Job> job, scheduled, False, now_ns)
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

    cdef int add_wait(self, object job, bint scheduled, object wait) except -1:
        """Add, once there is room; the subclass in _waits has it."""
        raise NotImplementedError

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
            self.add_wait(job, False, wait)

    def schedule(self, job, wait=0):
        """Take a job that becomes ready at ``job.time``; at once, if that is past. O(log n).

        Its TTL runs from ``job.time``. Raises as add, and InvalidTimeError if it has no time.
        """
        if wait is ZERO:
            self.enqueue(job, True)
        else:
            self.add_wait(job, True, wait)

    def add_many(self, jobs):
        """Add jobs in one pass, all or none.

        Raises as add, the error naming the index (``error.index``); then nothing is applied.
        O(k log n), and others wait that long: a batch is one step, its size is the caller's choice.
        """
        # With the GIL nobody can change the list of somebody else while it is read.
        cdef list taken = <list> jobs if HAS_GIL and type(jobs) is list else _errors.batch(
            jobs, "jobs", "Jobs")
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
                entrants[made].record = self.entrant_new(taken[made], made)
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

    cdef record_t *entrant_new(self, object job, Py_ssize_t index) except NULL:
        """The record, with a reference to it, of a job in a batch."""
        cdef record_t *record
        if type(job) is not Job:
            raise at_index(TypeError(_errors.no_job_text(job)), index)
        record = record_make(<PyObject *> job)
        return record

    # ------------------------------------------------------------ leasing

    cdef record_t *take_any(self, list queues, int64_t now_ns, taken_t *taken) except? NULL:
        """Lease from one of the queues that have work, chosen uniformly at random."""
        cdef WorkQueue queue
        cdef record_t *record
        cdef Py_ssize_t stocked, chosen
        while True:
            stocked = 0
            for queue in queues:
                stocked += has_work(queue)
            if stocked == 0:
                return NULL
            chosen = self.choose(stocked)
            for queue in queues:
                if has_work(queue):
                    if chosen == 0:
                        break
                    chosen -= 1
            record = queue_take(self, &queue.c, now_ns, taken)
            if record != NULL or self.e.lagging:
                return record

    cdef record_t *take_late(self, list names, taken_t *taken) except? NULL:
        """Lease while the engine lags behind: slice by slice, until something is found or all is done."""
        cdef record_t *record
        cdef bint more = True
        while more:
            more = self.e.lagging
            if more:
                self.fire(verb_now(self), False)
                verb_enter(self)
            record = self.take_any(self.queues_known(names), verb_now(self), taken)
            if record != NULL:
                return record
        return NULL

    cdef Py_ssize_t choose(self, Py_ssize_t n) except -1:
        if n == 1:
            return 0
        if self.rng is not None:
            chosen = self.rng.randrange(n)
            if type(chosen) is not int or not 0 <= chosen < n:
                raise ValueError(f"rng.randrange({n}) must be an int from 0 to {n - 1}, not {chosen!r}")
            return chosen
        # xorshift64* (Vigna 2016); the high 32 bits times n, without division (Lemire 2019).
        self.random_state ^= self.random_state >> 12
        self.random_state ^= self.random_state << 25
        self.random_state ^= self.random_state >> 27
        return <Py_ssize_t> (
            ((self.random_state * <uint64_t> 0x2545F4914F6CDD1D) >> 32) * <uint64_t> n >> 32)

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

    def _lease_now(self, names, timeout, bint detailed=False):
        """As lease, but None where that would wait; _lease_begin is how to."""
        return self.lease_any(names, timeout, detailed, False)

    def _lease_attempt(self, names, timeout, list into not None):
        """As lease, but job, number of the attempt, monotonic ns of its deadline, into a list of 3."""
        into[0], into[1], into[2] = self.lease_any(names, timeout, True, True)

    def _unlease(self, Job job not None):
        """Undo the lease of a job that nobody has seen."""
        self.undo_fresh(job)

    cdef object lease_any(self, object names, object timeout, bint detailed, bint may_wait):
        cdef int64_t timeout_ms
        cdef int64_t now_ns
        cdef record_t *record = NULL
        cdef taken_t taken
        cdef queue_t *queue
        cdef uint64_t swept
        if type(names) is str:
            queue = self.queue_known(names)
            swept = self.swept
            timeout_ms = timeout_read(timeout, "timeout")
            verb_change(self, 0)
            now_ns = verb_fired_near(self)
            if self.swept != swept:
                queue = self.queue_known(names)
            if queue != NULL:
                record = queue_take(self, queue, now_ns, &taken)
        else:
            names = self.names_read(names)
            timeout_ms = timeout_read(timeout, "timeout")
            verb_change(self, 0)
            now_ns = verb_fired_near(self)
            record = self.take_any(self.queues_known(names), now_ns, &taken)
        if record == NULL and self.e.lagging:
            record = self.take_late([names] if type(names) is str else names, &taken)
        if record != NULL:
            if detailed or verb_is_watched(self):
                if HAS_GIL:
                    taken_read(record, &taken)
                return self.lease_leave(record_taken(record), &taken, detailed)
            return job_taken(record)
        verb_leave(self, OK, NULL)
        if timeout_ms > 0 and not may_wait:
            return None
        return self.lease_wait(names, timeout_ms, detailed)

    cdef object lease_leave(self, RunRecord record, const taken_t *taken, bint detailed):
        """What a lease does last, where that may fail."""
        try:
            leased = lease_object(&record.c, taken.attempt, taken.deadline_ns, detailed)
            verb_leave(self, OK, NULL)
        except BaseException:  # no memory, or Ctrl-C while the timer thread was told
            self.undo(record, taken)
            raise
        return leased

    cdef int undo(self, RunRecord record, const taken_t *taken) except -1:
        """Undo a lease that its caller will never see."""
        cdef wait_t wait
        wait.record = &record.c
        wait.attempt = taken.attempt
        wait.prior_state = taken.prior_state
        lock_acquire(&self.e.lock)
        lease_undo(self.e, &wait, self.e.wheel.now_ns)
        lock_release(&self.e.lock)
        wake_all(self.e)
        return 0

    cdef object lease_wait(self, object names, int64_t timeout_ms, bint detailed):
        """Lease once nothing is there at once; the subclass in _waits has it."""
        raise NotImplementedError

    def lease_many(self, names, n=..., timeout=...):
        """Lease up to ``n`` jobs in one pass; waits, up to ``timeout``, only for the first.

        Returns a list of 1 to n Jobs. Raises as lease. O(n log m), while which others wait.
        """
        cdef list read = self.names_read(names)
        cdef Py_ssize_t most = count_read(n, "n", 1)
        cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
        verb_drain(self, self.leases_size(read, min(most, <Py_ssize_t> LEASES_NOTED)))
        cdef list leased = [None]
        if self.take_many(read, most, leased, 0) == 0:
            leased[0] = self.lease_wait(read, timeout_ms, False)
            if most > 1 and self.shut == SHUT_OPEN:
                try:
                    self.take_many(read, most, leased, 1)
                except Exception as error:  # the first is leased all the same
                    report_unraisable(error, self.lease_many)
        return leased

    def _take_many(self, list names, Py_ssize_t most):
        """Lease up to so many jobs that are ready now."""
        cdef list leased = [None]
        return leased if self.take_many(names, most, leased, 0) else []

    cdef Py_ssize_t leases_size(self, list names, Py_ssize_t most) except -1:
        """Bytes to be noted of the leases of what is ready, and of one that is waited for."""
        cdef Py_ssize_t count = 1
        cdef WorkQueue queue
        if self.e.room >= most * CHANGE_NOTED:  # whatever is ready
            return 0
        for queue in self.queues_known(names):
            count += skiplist_len(&queue.c.ready)
        return min(count, most) * CHANGE_NOTED

    cdef Py_ssize_t take_many(
            self, list names, Py_ssize_t most, list leased, Py_ssize_t count) except -1:
        """Lease jobs that are ready now until ``most`` are in a list that has ``count``. How many are.

        There is room for them before the first is leased: none is lost for want of memory.
        """
        cdef int64_t now_ns = verb_fired_now(self)
        cdef list queues = self.queues_known(names)
        cdef Py_ssize_t first = count
        cdef Py_ssize_t room = count
        cdef WorkQueue queue
        cdef record_t *record
        cdef taken_t taken
        for queue in queues:
            if has_work(queue):
                room += skiplist_len(&queue.c.ready)
        room = min(room, most)
        leased.extend([None] * (room - len(leased)))
        try:
            while count < room:
                if len(queues) == 1:
                    record = queue_take(self, &(<WorkQueue> queues[0]).c, now_ns, &taken)
                else:
                    record = self.take_any(queues, now_ns, &taken)
                if record == NULL:
                    if not self.e.lagging:
                        break
                    self.fire(verb_now(self), True)
                    verb_enter(self)
                    now_ns = verb_now(self)
                    continue
                leased[count] = job_taken(record)
                count += 1
            del leased[max(count, 1):]
            verb_leave(self, OK, NULL)
        except BaseException:  # a broken rng, no memory, or Ctrl-C
            while count > first:
                count -= 1
                self.undo_fresh(<Job> leased[count])
            del leased[max(first, 1):]
            raise
        return count

    cdef int undo_fresh(self, Job job) except -1:
        """Undo the lease of a job that nobody has seen since."""
        cdef record_t *record
        cdef RunRecord held = None
        cdef taken_t taken
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, job.c.tie.id)
        if record != NULL:
            held = record_object(record)
            taken_read(record, &taken)
            first = record.attempts == 1 and record.fails == 0
            taken.prior_state = STATE_NEW if first else STATE_PENDING
        lock_release(&self.e.lock)
        if held is not None:
            self.undo(held, &taken)
        return 0

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_start(self.e, record, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, status, data)

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_complete(self.e, record, answer, fence, now_ns)
        lock_release(&self.e.lock)
        verb_leave_fenced(self, status, data, fence)

    def fail(self, id, result=b"", *, attempt=None, delay=0):
        """One failure more. PENDING and back in line if fails < max_fails and attempts remain:
        in ready, or scheduled after ``delay`` (ms or timedelta, up to 24 h). Else FAILED, as
        complete, whatever the delay. O(log n). Raises as complete, and InvalidTimeoutError.

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
        verb_change(self, PyBytes_GET_SIZE(<bytes> <PyObject *> answer))
        cdef int64_t now_ns = verb_now(self)
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_fail(self.e, record, answer, delay_ms, fence, now_ns)
        lock_release(&self.e.lock)
        verb_leave_fenced(self, status, data, fence)

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_touch(self.e, record, ttr_ms, fence, now_ns)
        lock_release(&self.e.lock)
        verb_leave_fenced(self, status, data, fence)

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_release(self.e, record, delay_ms, fence, now_ns)
        lock_release(&self.e.lock)
        verb_leave_fenced(self, status, data, fence)

    # ------------------------------------------------------------ ending

    def delete(self, id):
        """Forget a job, whatever its state; its waiters get NotFoundError. O(log n).

        Raises NotFoundError.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        verb_change(self, 0)
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            job_delete(self.e, record)
        lock_release(&self.e.lock)
        verb_leave(self, NOT_FOUND if record == NULL else OK, data)

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            job_expire(self.e, record, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, OK, data)

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
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            status = job_timeout(self.e, record, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, status, data)


cdef inline bint has_work(WorkQueue queue) noexcept:
    return not queue.c.paused and skiplist_len(&queue.c.ready) > 0


cdef object lease_object(record_t *record, uint64_t attempt, int64_t deadline_ns, bint detailed):
    cdef object job = job_object(record.job)
    return (job, attempt, deadline_ns) if detailed else job


cdef object lease_timeout(object names, object timeout):
    if isinstance(names, str):
        names = [names]
    return _errors.WaitTimeoutError(
        f"no job of {str(list(names)).strip('[]')} within {timeout} ms")
