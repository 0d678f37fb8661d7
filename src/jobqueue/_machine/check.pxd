"""What holds between two verbs."""

from jobqueue._machine.types cimport engine_t

cdef const char *engine_check(engine_t *engine) noexcept nogil
