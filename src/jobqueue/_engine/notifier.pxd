"""Notifying observers: see notifier.pyx."""

from jobqueue._machine.types cimport note_t
from jobqueue._objects.job cimport Job

cdef list notes_objects(note_t *notes, Py_ssize_t count, Job job)
