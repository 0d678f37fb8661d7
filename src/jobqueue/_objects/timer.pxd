"""Timer and TimerWheel: see timer.pyx."""

from libc.stdint cimport int64_t

from jobqueue._structures.wheel cimport timer_view_t

cdef class Timer:
    cdef timer_view_t c           # first field: the machine finds it there (object_of)
    cdef readonly int64_t deadline_ns
    cdef object home              # its TimerWheel, or any object with _cancel_timer(timer)
    cdef object callback          # called without arguments when it fires, or None
