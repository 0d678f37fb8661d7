"""The keys of unique jobs: see _unique.pyx."""

from jobqueue._types cimport job_t

cdef struct keys_t:               # one table of jobs, at most half full
    const job_t **slots           # not owned: who holds a key is in the registry
    Py_ssize_t mask               # slots - 1; -1: no table

cdef struct uniques_t:            # hash table of the jobs that hold their keys
    keys_t keys
    keys_t old                    # the table before, while its jobs move over
    Py_ssize_t old_next           # its first slot that may have a job
    Py_ssize_t count              # jobs in both

cdef void uniques_init(uniques_t *uniques) noexcept nogil
cdef void uniques_clear(uniques_t *uniques) noexcept nogil
cdef const job_t *uniques_find(const uniques_t *uniques, const job_t *job) noexcept nogil
cdef bint uniques_reserve(uniques_t *uniques) noexcept nogil
cdef void uniques_add(uniques_t *uniques, const job_t *job) noexcept nogil
cdef void uniques_remove(uniques_t *uniques, const job_t *job) noexcept nogil
cdef const char *uniques_check(const uniques_t *uniques) noexcept nogil
