"""What batches are made of, and what a new job meets: see batches.pyx."""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint8_t

from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._machine.types cimport (
    JOB_UNIQUE, RESULT_MAX_SIZE, engine_t, job_t, queue_t, record_t, status_t,
)
from jobqueue._machine.layout cimport job_unique
from jobqueue._machine.life cimport entrant_t
from jobqueue._objects.job cimport Job
from jobqueue._engine.base cimport EngineBase, verb_enter

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

cdef inline int verb_drain(EngineBase self, Py_ssize_t size) except -1:
    """verb_change, of a verb that takes or ends jobs: a log that is nearly full has room kept for it."""
    verb_enter(self)
    if self.e.free_bytes < size:
        self._note_reserve(-size)
    return 0

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

# ---------------------------------------------------------------- new jobs

cdef int job_refuse(object value) except -1

cdef inline int job_check(object value) except -1:
    if type(value) is not Job:
        job_refuse(value)
    return 0

cdef Job job_read(object value)
cdef queue_t *queue_for_new(
    EngineBase self, Job job, bint scheduled, bint is_run, int64_t now_ns) except NULL
cdef int queue_check_new(
    EngineBase self, Job job, bint scheduled, int64_t wait_ms, int64_t now_ns) except -1
cdef record_t *entrant_new(object job, Py_ssize_t index) except NULL

# ---------------------------------------------------------------- batches

cdef inline const uint8_t *answer_id(const answer_t *answer) noexcept nogil:
    if answer.job == NULL:
        return answer.id
    return answer.job.tie.id

cdef inline bint pair_read(object pair, answer_t *answer) noexcept:
    """Read a pair whose id is a Job and whose result is bytes. False: it is not such a pair."""
    cdef object id
    cdef object result
    if type(pair) is not tuple or len(<tuple> pair) != 2:
        return False
    id = (<tuple> pair)[0]
    result = (<tuple> pair)[1]
    if type(id) is not Job or not PyBytes_CheckExact(result):
        return False
    if PyBytes_GET_SIZE(result) > RESULT_MAX_SIZE:
        return False
    answer.job = &(<Job> id).c
    answer.result = <PyObject *> result
    return True

cdef bytes pair_read_other(object pair, answer_t *answer, Py_ssize_t index)

cdef status_t answers_apply(
    engine_t *engine, answer_t *answers, Py_ssize_t count, int64_t now_ns,
    Py_ssize_t *at) noexcept nogil
