"""What comes from the operating system: see _system.pyx."""

from libc.stdint cimport int64_t, uint8_t

cdef int64_t stamp_next() noexcept
cdef int64_t time_read(object value, str what) except? -1
cdef int64_t clock_read(object value, str what) except? -1
cdef int random_fill(uint8_t *out, Py_ssize_t size) except -1
cdef bint random_foresee(uint8_t *out, Py_ssize_t size) noexcept
