"""The floor: the signatures of the engine with empty bodies.

What it costs to call native code and to build a Job at all. Written as any author would write it in
Cython: no validation, no clock, no id, nothing tuned. The real hot verbs are inherited by a Python
subclass as native methods; so are these (see __init__.py).
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t


@cython.final
cdef class Job:
    cdef readonly str name
    cdef readonly bytes payload
    cdef readonly object id
    cdef readonly int32_t priority
    cdef readonly int64_t ttr
    cdef readonly int64_t ttl
    cdef readonly uint8_t max_attempts
    cdef readonly uint8_t max_fails
    cdef readonly object time
    cdef readonly object created

    def __init__(
        self, str name, bytes payload=b"", *, id=None, int32_t priority=0, int64_t ttr=60_000,
        int64_t ttl=86_400_000, uint8_t max_attempts=0, uint8_t max_fails=0, time=None,
        created=None,
    ):
        self.name = name
        self.payload = payload
        self.id = id
        self.priority = priority
        self.ttr = ttr
        self.ttl = ttl
        self.max_attempts = max_attempts
        self.max_fails = max_fails
        self.time = time
        self.created = created


cdef class Engine:
    def add(self, Job job not None):
        pass

    def lease(self, names, timeout):
        pass

    def complete(self, id, result=b"", *, attempt=None):
        pass

    def delete(self, id):
        pass
