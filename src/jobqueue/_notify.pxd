"""Telling observers: see _notify.pyx."""

from jobqueue._job cimport Job
from jobqueue._state cimport note_t

cdef list notes_objects(note_t *notes, Py_ssize_t count, Job job)
