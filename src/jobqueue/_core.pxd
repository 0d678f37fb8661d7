"""The non-blocking verbs: see _core.pyx."""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint8_t, uint64_t

from jobqueue._types cimport ID_SIZE, JOB_UNIQUE, job_t, job_unique
from jobqueue._job cimport Job
from jobqueue._state cimport queue_t, record_t
from jobqueue._life cimport entrant_t
from jobqueue._records cimport RunRecord
from jobqueue._base cimport EngineBase, verb_enter

cdef struct taken_t:              # a lease that has just been made
    uint64_t attempt              # its number
    int64_t deadline_ns           # when its TTR is over
    uint8_t prior_state           # of the job, before it

cdef struct answer_t:             # one pair of complete_many
    const job_t *job              # NULL: the id is not that of a Job at hand
    void *result                  # exact bytes, borrowed
    record_t *record
    uint8_t id[ID_SIZE]

cdef enum:
    ADD_NOTED = 256               # bytes to be noted of a job, beside payload, long name and key
    CHANGE_NOTED = 96             # bytes to be noted of a change, beside a result
    LEASES_NOTED = 4096           # leases of one call for whose notes room is made beforehand
    RESULTS_FEW = 256             # answers whose results take less than this make the log hardly larger

cdef inline Py_ssize_t entrants_size(entrant_t *entrants, Py_ssize_t count) noexcept:
    """Bytes to be noted of jobs in a batch."""
    cdef Py_ssize_t size = count * ADD_NOTED
    cdef const job_t *job
    cdef Py_ssize_t i
    for i in range(count):
        job = entrants[i].record.job
        size += job.payload_size + PyUnicode_GET_LENGTH(<str> job.name)
        if job.flags & JOB_UNIQUE:
            size += PyBytes_GET_SIZE(<bytes> job_unique(job).key)
    return size

cdef inline Py_ssize_t answers_size(answer_t *answers, Py_ssize_t count) noexcept:
    """Bytes of the results in a batch."""
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t i
    for i in range(count):
        size += PyBytes_GET_SIZE(<bytes> answers[i].result)
    return size

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
