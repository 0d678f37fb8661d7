"""The verbs: see _core.pyx."""

from libc.stdint cimport int64_t

from jobqueue._engine.base cimport EngineBase

cdef class Engine(EngineBase):
    cdef int enqueue(self, object job, bint scheduled) except -1
    cdef int add_later(self, object job, bint scheduled, object wait) except -1
    cdef object lease_any(self, object names, object timeout, bint detailed, bint may_wait)
    cdef object lease_later(self, object names, int64_t timeout_ms, bint detailed)
