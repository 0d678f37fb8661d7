"""What looking is made of: see looking.pyx."""

from libc.stdint cimport int64_t, uint64_t

from jobqueue._objects.job cimport Job
from jobqueue._engine.base cimport EngineBase

cdef enum:
    NO_BOUND = 0x7FFFFFFFFFFFFFFF  # of a load

cdef list look(EngineBase self, object name, object offset, object limit, bint scheduled)
cdef list look_dead(EngineBase self, object name, object offset, object limit)
cdef list look_names(EngineBase self)
cdef tuple look_queue(EngineBase self, object name)
cdef tuple look_stats(EngineBase self)
cdef tuple look_at(EngineBase self, object id)
cdef list look_waited_for(EngineBase self, Py_ssize_t most)
cdef object look_deadline_ns(EngineBase self, Job job, uint64_t number)
cdef object look_fails(EngineBase self, Job job)
cdef int notifier_set(EngineBase self, object notifier) except -1
