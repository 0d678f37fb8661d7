"""Status to exception: see status.pyx."""

from libc.stdint cimport uint64_t, uint8_t

from jobqueue._machine.types cimport refusal_t, status_t
from jobqueue._objects.job cimport ID, Job

cdef int raise_status(status_t status, const uint8_t *id) except -1
cdef int raise_status_at(status_t status, const uint8_t *id, Py_ssize_t index) except -1
cdef int raise_refused(status_t status, Job job, const refusal_t *why) except -1

cdef int raise_refused_at(
    status_t status, Job job, const refusal_t *why, Py_ssize_t index) except -1

cdef object at_index(object error, Py_ssize_t index)
cdef str lease_text(ID id, uint64_t fence, int state, uint64_t attempts)
