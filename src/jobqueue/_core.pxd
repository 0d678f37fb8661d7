"""The non-blocking verbs: see _core.pyx."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._machine.types cimport queue_t, record_t
from jobqueue._objects.job cimport Job
from jobqueue._objects.registry cimport RunRecord
from jobqueue._objects.queues cimport queue_make
from jobqueue._engine.base cimport EngineBase, verb_enter

cdef struct taken_t:              # a lease that has just been made
    uint64_t attempt              # its number
    int64_t deadline_ns           # when its TTR is over
    uint8_t prior_state           # of the job, before it

cdef inline int verb_drain(EngineBase self, Py_ssize_t size) except -1:
    """verb_change, of a verb that takes or ends jobs: a log that is nearly full has room kept for it."""
    verb_enter(self)
    if self.e.room < size:
        self._note_reserve(-size)
    return 0

cdef class Engine(EngineBase):
    cdef queue_t *queue_make(
            self, Job job, bint scheduled, bint is_run, int64_t now_ns) except NULL
    cdef int enqueue(self, object job, bint scheduled) except -1
    cdef int add_wait(self, object job, bint scheduled, object wait) except -1
    cdef record_t *entrant_new(self, object job, Py_ssize_t index) except NULL
    cdef record_t *take_late(self, list names, taken_t *taken) except? NULL
    cdef object lease_leave(self, RunRecord record, const taken_t *taken, bint detailed)
    cdef Py_ssize_t leases_size(self, list names, Py_ssize_t most) except -1
    cdef Py_ssize_t take_many(
            self, list names, Py_ssize_t most, list leased, Py_ssize_t count) except -1
    cdef int undo_fresh(self, Job job) except -1
    cdef record_t *take_any(self, list queues, int64_t now_ns, taken_t *taken) except? NULL
    cdef Py_ssize_t choose(self, Py_ssize_t n) except -1
    cdef object lease_any(self, object names, object timeout, bint detailed, bint may_wait)
    cdef int undo(self, RunRecord record, const taken_t *taken) except -1
    cdef object lease_wait(self, object names, int64_t timeout_ms, bint detailed)

cdef Job job_read(object value)
cdef object lease_object(record_t *record, uint64_t attempt, int64_t deadline_ns, bint detailed)
cdef object lease_timeout(object names, object timeout)
