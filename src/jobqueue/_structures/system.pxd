"""What comes from the operating system: see system.pyx."""

from libc.stdint cimport int64_t, uint8_t

cdef struct fork_link_t:          # of an object that must know of forks; it lives inside the object
    fork_link_t *next
    fork_link_t *prior            # NULL: the first, or in no list
    uint8_t *mark                 # the byte that a forked child finds changed ...
    uint8_t whole                 # ... if it held this ...
    uint8_t forked                # ... to this

cdef void fork_watch(fork_link_t *link) noexcept
cdef void fork_unwatch(fork_link_t *link) noexcept
cdef int64_t stamp_next() noexcept
cdef int random_fill(uint8_t *out, Py_ssize_t size) except -1
cdef bint random_foresee(uint8_t *out, Py_ssize_t size) noexcept
