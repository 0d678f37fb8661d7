"""The slot of a job: the job, its record behind it, then a short payload; and what a job weighs.

A record and a short payload live in their job's slot, since they are used and freed together
(docs/decisions/0011). Every offset within a slot is computed here.
"""

from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport HAS_SLABS
from jobqueue._machine.types cimport (
    JOB_COST, OBJECT_HEAD, STATE_COMPLETED, STATE_FAILED, bytes_data, bytes_size, job_t, record_t,
    unique_t,
)

# ---------------------------------------------------------------- jobs

cdef inline unique_t *job_unique(const job_t *job) noexcept nogil:
    """The key of a job that has JOB_UNIQUE."""
    return <unique_t *> (job + 1)

# objects round the structs
cdef inline void *object_of(void *c) noexcept nogil:
    """The object whose first field is the struct."""
    return <char *> c - OBJECT_HEAD

cdef inline size_t whole_steps(size_t size) noexcept nogil:
    """Rounded up to the steps of 16 bytes in which the parts of a slot follow each other."""
    return (size + 15) & ~<size_t> 15

cdef inline size_t record_space() noexcept nogil:
    """Bytes behind a job_t for its record: a job and its record are used together, so that they
    should be found together. 0: there is none. A unique job has its key there instead."""
    return whole_steps(OBJECT_HEAD + sizeof(record_t)) if HAS_SLABS else 0

cdef inline void *job_space(const job_t *job) noexcept nogil:
    """Where the space for the record of a job begins."""
    return <char *> job - OBJECT_HEAD + whole_steps(OBJECT_HEAD + sizeof(job_t))

cdef inline size_t payload_space(const job_t *job) noexcept nogil:
    """Bytes behind that for its payload; 0: that is an object of its own, or empty."""
    return whole_steps(job.payload_size) if job.payload == NULL else 0

cdef inline const char *payload_data(const job_t *job) noexcept nogil:
    """Its payload: ``job.payload_size`` bytes."""
    if job.payload != NULL:
        return bytes_data(job.payload)
    return <const char *> job_space(job) + record_space()

cdef inline bint record_processed(const record_t *record) noexcept nogil:
    return record.state == STATE_COMPLETED or record.state == STATE_FAILED

cdef inline int64_t job_bytes(const job_t *job) noexcept nogil:
    """What a job without a result counts."""
    return JOB_COST + <int64_t> job.payload_size

cdef inline int64_t record_bytes(const record_t *record) noexcept nogil:
    return job_bytes(record.job) + (bytes_size(record.result) if record.result != NULL else 0)
