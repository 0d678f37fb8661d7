"""ID, Job and the context-free rules: see _job.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from jobqueue._types cimport job_t

cdef class ID:
    cdef uint8_t data[16]

cdef class Job:
    cdef job_t c                  # first and only field: a job_t finds its Job (job_object)

cdef object job_object(const job_t *job)
cdef object id_object(const uint8_t *data)
cdef int id_read(object value, uint8_t *out) except -1
cdef uint64_t id_hash(const uint8_t *data) noexcept nogil

cdef str name_read(object value)
cdef bytes result_read(object value)
cdef int64_t timeout_read(object value, str what) except -1
cdef int64_t ttr_read(object value) except -1
cdef int64_t ttl_read(object value, int64_t low) except -2
cdef int64_t time_read(object value, str what) except? -1
cdef object time_object(int64_t ns)
cdef int random_fill(uint8_t *out, Py_ssize_t size) except -1
