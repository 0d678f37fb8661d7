"""Waits whose callers are to be woken: see woken.pyx."""

from jobqueue._machine.types cimport engine_t, wait_t

cdef void deferred_post(engine_t *engine) noexcept nogil
cdef void woken_put(engine_t *engine, wait_t *wait) noexcept nogil
cdef wait_t *woken_take(engine_t *engine) noexcept nogil
