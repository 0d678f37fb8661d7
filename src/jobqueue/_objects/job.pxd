"""ID, Job and the context-free rules: see job.pyx."""

from libc.stdint cimport uint64_t, uint8_t
from libc.string cimport memcpy

from jobqueue._structures.platform cimport HAS_GIL
from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._structures.id_table cimport ids_far, ids_fetch, ids_t
from jobqueue._structures.system cimport random_foresee
from jobqueue._machine.types cimport job_t

cdef class ID:
    cdef uint8_t data[16]

cdef class Job:
    cdef job_t c                  # first and only field: a job_t finds its Job (job_object)

cdef ids_t ids_ahead              # of the engine that took the last jobs; a hint, with the GIL only

cdef inline void id_stamp(uint8_t *out) noexcept:
    """Make 16 random bytes a UUID of version 4."""
    out[6] = (out[6] & 0x0F) | 0x40
    out[8] = (out[8] & 0x3F) | 0x80

cdef inline void ids_expect(const ids_t *ids) noexcept:
    """The Jobs that are built next will go to that engine, most likely: ask for the memory where the
    id of the first will be looked for, a job's life from now."""
    cdef uint8_t id[ID_SIZE]
    if HAS_GIL and (ids_far(ids) or ids_far(&ids_ahead)):
        (&ids_ahead)[0] = ids[0]
        if random_foresee(id, ID_SIZE):
            id_stamp(id)
            ids_fetch(ids, id)

cdef object job_object(const job_t *job)
cdef Job job_take(object unique, bytes payload)
cdef uint64_t key_hash(object name, object key) except? 0
cdef object id_object(const uint8_t *data)
cdef int id_read_other(object value, uint8_t *out) except -1

# The usual forms of arguments, read without leaving the caller's module.

cdef inline int id_read(object value, uint8_t *out) except -1:
    """Read an id in any of its forms."""
    if type(value) is Job:
        memcpy(out, (<Job> value).c.tie.id, ID_SIZE)
        return 0
    return id_read_other(value, out)
