"""The keys of unique jobs: see key_table.pyx."""

from jobqueue._machine.types cimport job_t, uniques_t

cdef void uniques_init(uniques_t *uniques) noexcept nogil
cdef void uniques_clear(uniques_t *uniques) noexcept nogil
cdef const job_t *uniques_find(const uniques_t *uniques, const job_t *job) noexcept nogil
cdef bint uniques_reserve(uniques_t *uniques) noexcept nogil
cdef void uniques_add(uniques_t *uniques, const job_t *job) noexcept nogil
cdef void uniques_remove(uniques_t *uniques, const job_t *job) noexcept nogil
cdef const char *uniques_check(const uniques_t *uniques) noexcept nogil
