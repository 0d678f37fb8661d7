"""What waits are made of: see waiting.pyx."""

from libc.stdint cimport int64_t

from jobqueue._objects.job cimport Job
from jobqueue._objects.registry cimport Waiter
from jobqueue._engine.base cimport EngineBase

cdef object wait_sleep(EngineBase self, Waiter waiter, object what, int64_t timeout_ms)
cdef Waiter lease_begin(
    EngineBase self, object names, int64_t timeout_ms, object wake, bint detailed)
cdef Waiter add_begin(EngineBase self, object job, object wait, object wake, bint scheduled)
cdef object result_begin(EngineBase self, object id, object timeout, object wake)
cdef Waiter run_begin(EngineBase self, object job, object timeout, object wake, bint lapse)
cdef int wait_time_out(EngineBase self, Waiter waiter) except -1
cdef object abandon(EngineBase self, Waiter waiter, int64_t now_ns)
cdef object finish(EngineBase self, Waiter waiter, object what, object timeout)
cdef int waiter_check(EngineBase self, Waiter waiter) except -1

# ---------------------------------------------------------------- over foreign queues

cdef int lapse_run(EngineBase self, object id) except -1
cdef bint hand(EngineBase self, str name, Job job) except -1
