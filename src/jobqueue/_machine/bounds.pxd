"""Bounds on jobs and bytes: see bounds.pyx."""

from libc.stdint cimport int64_t

from jobqueue._machine.types cimport engine_t, load_t, queue_t, record_t, status_t

# bounds
cdef status_t capacity_check(engine_t *engine, queue_t *queue, int64_t size) noexcept nogil

cdef bint load_passed(engine_t *engine, const load_t *load, bint of_queue, int64_t size) noexcept nogil
cdef void result_uncount(engine_t *engine, record_t *record) noexcept nogil
cdef void capacity_take(engine_t *engine, record_t *record) noexcept nogil

cdef void capacity_recount(engine_t *engine) noexcept nogil

cdef void capacity_uncount(engine_t *engine, record_t *record) noexcept nogil
cdef void capacity_leave(engine_t *engine, record_t *record) noexcept nogil
