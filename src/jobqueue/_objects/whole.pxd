"""What stays whole though an exception may strike at any bytecode: see whole.pyx."""

from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport lock_t

cdef void *signal_take() except NULL
cdef void signal_give(void *signal) noexcept
cdef void signal_wake(void *signal) noexcept
cdef int signal_sleep(void *signal, int64_t timeout_ms) except -1
cdef void main_forget() noexcept

cdef class WakeSignal:
    cdef void *lock               # held while nobody has rung; sleep by acquiring it
    cdef lock_t ringing           # free-threaded builds: one rings at a time
    cdef void ring_now(self) noexcept
