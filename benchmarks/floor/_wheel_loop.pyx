"""Arm and cancel of the engine's own timers in a C loop: the timer's part of a job's life.

Calls the native functions of jobqueue._wheel the way the engine calls them (across modules, timers
inside their owner, `pending` far timers in the wheel), and nothing else. It is built against the
.pxd files of the tree that is measured.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from jobqueue._structures.wheel cimport timer_t, wheel_arm, wheel_cancel, wheel_init, wheel_t

cdef int64_t MS = 1_000_000


cdef class Loop:
    """A wheel with `pending` timers spread over a day."""

    cdef wheel_t wheel
    cdef timer_t *timers
    cdef timer_t ttl
    cdef timer_t ttr
    cdef int64_t now

    def __cinit__(self, Py_ssize_t pending):
        self.now = 1_000_000_000_000
        memset(&self.wheel, 0, sizeof(wheel_t))
        memset(&self.ttl, 0, sizeof(timer_t))
        memset(&self.ttr, 0, sizeof(timer_t))
        wheel_init(&self.wheel, self.now)
        self.timers = <timer_t *> calloc(pending + 1, sizeof(timer_t))
        if self.timers == NULL:
            raise MemoryError
        cdef Py_ssize_t i
        for i in range(pending):
            wheel_arm(&self.wheel, &self.timers[i], self.now + 86_400_000 * MS + i * 1000)

    def __dealloc__(self):
        free(self.timers)

    def lives(self, Py_ssize_t count):
        """Arms and cancels what one job's life does: the TTL at add, the TTR at lease."""
        cdef Py_ssize_t i
        for i in range(count):
            self.now += 300
            wheel_arm(&self.wheel, &self.ttl, self.now + 86_400_000 * MS)
            wheel_arm(&self.wheel, &self.ttr, self.now + 30_000 * MS)
            wheel_cancel(&self.wheel, &self.ttr)
            wheel_cancel(&self.wheel, &self.ttl)

    def nothing(self, Py_ssize_t count):
        """The same loop without the calls, to be subtracted."""
        cdef Py_ssize_t i
        for i in range(count):
            self.now += 300
