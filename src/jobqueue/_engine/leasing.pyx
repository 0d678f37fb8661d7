"""What leases are made of: the choice among queues, many at once, and how a lease is undone.

Locking: each function takes the lock of the engine itself; the caller has entered.
"""

from libc.stdint cimport int64_t, uint64_t

from jobqueue._structures.platform cimport lock_acquire, lock_release
from jobqueue._structures.skiplist cimport skiplist_len
from jobqueue._machine.types cimport OK, STATE_NEW, STATE_PENDING, record_t, wait_t
from jobqueue._machine.state cimport registry_find
from jobqueue._machine.life cimport lease_undo
from jobqueue._objects.job cimport Job, job_object
from jobqueue._objects.registry cimport RunRecord, record_object, wake_all
from jobqueue._objects.queues cimport WorkQueue
from jobqueue._engine.base cimport (
    EngineBase, job_taken, verb_enter, verb_fired_now, verb_leave, verb_now,
)
from jobqueue._engine.batches cimport CHANGE_NOTED

from .. import errors as _errors


cdef record_t *take_any(EngineBase self, list queues, int64_t now_ns, taken_t *taken) except? NULL:
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
        chosen = choose(self, stocked)
        for queue in queues:
            if has_work(queue):
                if chosen == 0:
                    break
                chosen -= 1
        record = queue_take(self, &queue.c, now_ns, taken)
        if record != NULL or self.e.lagging:
            return record


cdef record_t *take_late(EngineBase self, list names, taken_t *taken) except? NULL:
    """Lease while the engine lags behind: slice by slice, until something is found or all is done."""
    cdef record_t *record
    cdef bint more = True
    while more:
        more = self.e.lagging
        if more:
            self.fire(verb_now(self), False)
            verb_enter(self)
        record = take_any(self, self.queues_known(names), verb_now(self), taken)
        if record != NULL:
            return record
    return NULL


cdef Py_ssize_t choose(EngineBase self, Py_ssize_t n) except -1:
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


cdef object lease_leave(EngineBase self, RunRecord record, const taken_t *taken, bint detailed):
    """What a lease does last, where that may fail."""
    try:
        leased = lease_object(&record.c, taken.attempt, taken.deadline_ns, detailed)
        verb_leave(self, OK, NULL)
    except BaseException:  # no memory, or Ctrl-C while the timer thread was told
        undo(self, record, taken)
        raise
    return leased


cdef int undo(EngineBase self, RunRecord record, const taken_t *taken) except -1:
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


cdef Py_ssize_t leases_size(EngineBase self, list names, Py_ssize_t most) except -1:
    """Bytes to be noted of the leases of what is ready, and of one that is waited for."""
    cdef Py_ssize_t count = 1
    cdef WorkQueue queue
    if self.e.free_bytes >= most * CHANGE_NOTED:  # whatever is ready
        return 0
    for queue in self.queues_known(names):
        count += skiplist_len(&queue.c.ready)
    return min(count, most) * CHANGE_NOTED


cdef Py_ssize_t take_some(
        EngineBase self, list names, Py_ssize_t most, list leased, Py_ssize_t count) except -1:
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
                record = take_any(self, queues, now_ns, &taken)
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
            undo_fresh(self, <Job> leased[count])
        del leased[max(first, 1):]
        raise
    return count


cdef int undo_fresh(EngineBase self, Job job) except -1:
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
        undo(self, held, &taken)
    return 0


cdef object lease_object(record_t *record, uint64_t attempt, int64_t deadline_ns, bint detailed):
    """A lease: the Job, or (job, attempt, deadline_ns), which leaves the engine as a Leased."""
    cdef object job = job_object(record.job)
    return (job, attempt, deadline_ns) if detailed else job


cdef object lease_timeout(object names, object timeout):
    if isinstance(names, str):
        names = [names]
    return _errors.WaitTimeoutError(
        f"no job of {str(list(names)).strip('[]')} within {timeout} ms")
