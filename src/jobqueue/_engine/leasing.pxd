"""What leases are made of: see leasing.pyx."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport HAS_GIL, lock_acquire, lock_release, ref_take
from jobqueue._structures.skiplist cimport skiplist_len
from jobqueue._machine.types cimport queue_t, record_t
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.life cimport job_lease, lapsed_pass
from jobqueue._objects.job cimport Job
from jobqueue._objects.registry cimport RunRecord
from jobqueue._objects.queues cimport WorkQueue
from jobqueue._engine.base cimport EngineBase

cdef struct taken_t:              # a lease that has just been made
    uint64_t attempt              # its number
    int64_t deadline_ns           # when its TTR is over
    uint8_t prior_state           # of the job, before it

cdef inline void taken_read(const record_t *record, taken_t *taken) noexcept:
    """What whoever leases a job is told. With the lock: later it may be the lease of another."""
    taken.attempt = record.attempts
    taken.deadline_ns = record.ttr.deadline_ns

cdef inline record_t *queue_take(
        EngineBase self, queue_t *queue, int64_t now_ns, taken_t *taken) noexcept:
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

cdef inline bint has_work(WorkQueue queue) noexcept:
    return not queue.c.paused and skiplist_len(&queue.c.ready) > 0


cdef record_t *take_any(EngineBase self, list queues, int64_t now_ns, taken_t *taken) except? NULL
cdef record_t *take_late(EngineBase self, list names, taken_t *taken) except? NULL
cdef object lease_leave(EngineBase self, RunRecord record, const taken_t *taken, bint detailed)
cdef Py_ssize_t leases_size(EngineBase self, list names, Py_ssize_t most) except -1
cdef Py_ssize_t take_some(
    EngineBase self, list names, Py_ssize_t most, list leased, Py_ssize_t count) except -1
cdef int undo_fresh(EngineBase self, Job job) except -1
cdef object lease_object(record_t *record, uint64_t attempt, int64_t deadline_ns, bint detailed)
cdef object lease_timeout(object names, object timeout)
