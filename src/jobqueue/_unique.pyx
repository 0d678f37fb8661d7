"""The keys of unique jobs: who holds which key of which name.

A hash table beside the records, so that a job without a key pays nothing: linear probing without
tombstones, as the registry's. A job's hash is made with the job; strangers cannot foresee it.
Invariant: every function runs with the engine's lock held.
Complexity: O(1), amortised.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from jobqueue._types cimport bytes_equal, job_t, job_unique, name_equal

cdef enum:
    SLOTS_MIN = 8                 # smallest table


cdef void uniques_init(uniques_t *uniques) noexcept nogil:
    uniques.slots = NULL
    uniques.mask = -1
    uniques.count = 0


cdef void uniques_clear(uniques_t *uniques) noexcept nogil:
    PyMem_RawFree(uniques.slots)
    uniques_init(uniques)


cdef Py_ssize_t ideal_slot(const uniques_t *uniques, const job_t *job) noexcept nogil:
    return <Py_ssize_t> (job_unique(job).hash >> 8) & uniques.mask


cdef bint same_key(const job_t *a, const job_t *b) noexcept nogil:
    return (job_unique(a).hash == job_unique(b).hash
            and bytes_equal(job_unique(a).key, job_unique(b).key) and name_equal(a.name, b.name))


cdef Py_ssize_t slot_find(const uniques_t *uniques, const job_t *job) noexcept nogil:
    """Index of the job that holds this one's key, or of the free slot where it would go."""
    cdef Py_ssize_t i = ideal_slot(uniques, job)
    while uniques.slots[i] != NULL and not same_key(uniques.slots[i], job):
        i = (i + 1) & uniques.mask
    return i


cdef const job_t *uniques_find(const uniques_t *uniques, const job_t *job) noexcept nogil:
    """The job that holds this one's key, or NULL."""
    if uniques.count == 0:
        return NULL
    return uniques.slots[slot_find(uniques, job)]


cdef bint uniques_reserve(uniques_t *uniques) noexcept nogil:
    """Make room for one more. False: no memory."""
    cdef uniques_t larger
    cdef Py_ssize_t i
    if (uniques.count + 1) * 2 <= uniques.mask + 1:
        return True
    larger.mask = max(SLOTS_MIN, 2 * (uniques.mask + 1)) - 1
    larger.count = uniques.count
    larger.slots = <const job_t **> PyMem_RawCalloc(<size_t> (larger.mask + 1), sizeof(job_t *))
    if larger.slots == NULL:
        return False
    for i in range(uniques.mask + 1):
        if uniques.slots[i] != NULL:
            larger.slots[slot_find(&larger, uniques.slots[i])] = uniques.slots[i]
    PyMem_RawFree(uniques.slots)
    uniques[0] = larger
    return True


cdef void uniques_add(uniques_t *uniques, const job_t *job) noexcept nogil:
    """Let a job hold its key, which nobody holds; there is room for it."""
    uniques.slots[slot_find(uniques, job)] = job
    uniques.count += 1


cdef void uniques_remove(uniques_t *uniques, const job_t *job) noexcept nogil:
    """Let go of the key that a job holds."""
    cdef Py_ssize_t gap = slot_find(uniques, job)
    cdef Py_ssize_t i = gap
    cdef Py_ssize_t ideal
    while True:  # close the gap: move back whoever may stand nearer to its ideal slot
        i = (i + 1) & uniques.mask
        if uniques.slots[i] == NULL:
            break
        ideal = ideal_slot(uniques, uniques.slots[i])
        if ((i - ideal) & uniques.mask) >= ((i - gap) & uniques.mask):
            uniques.slots[gap] = uniques.slots[i]
            gap = i
    uniques.slots[gap] = NULL
    uniques.count -= 1
    if uniques.count == 0:
        uniques_clear(uniques)
