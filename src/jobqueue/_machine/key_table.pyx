"""The keys of unique jobs: which job holds which key of which name.

A hash table beside the records, so that a job without a key pays nothing: linear probing without
tombstones. A job's hash is made with the job; strangers cannot foresee it. A full table is replaced by
one twice as large, to which each call moves a few slots: to move a job its hash is read, which is far
away, and a million of them would be a stall. Meanwhile a job is in one of two tables.
Invariant: every function runs with the engine's lock held.
Invariant: in the old table nothing stands before ``old_next``, nor is displaced past it from before.
Invariant: the old table is empty before the new one is full.
Complexity: O(1).
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from jobqueue._structures.platform cimport bytes_equal, name_equal
from jobqueue._machine.types cimport job_t, keys_t, uniques_t
from jobqueue._machine.layout cimport job_unique

cdef enum:
    SLOTS_MIN = 8                 # smallest table
    SLOTS_AT_ONCE = 1024          # a table up to this size moves in one go
    SLOTS_STEP = 4                # slots of the old table that one call moves


cdef void uniques_init(uniques_t *uniques) noexcept nogil:
    uniques.keys.slots = uniques.old.slots = NULL
    uniques.keys.mask = uniques.old.mask = -1
    uniques.old_next = 0
    uniques.count = 0


cdef void uniques_clear(uniques_t *uniques) noexcept nogil:
    PyMem_RawFree(uniques.keys.slots)
    PyMem_RawFree(uniques.old.slots)
    uniques_init(uniques)

# ---------------------------------------------------------------- one table

cdef Py_ssize_t ideal_slot(const keys_t *keys, const job_t *job) noexcept nogil:
    return <Py_ssize_t> (job_unique(job).hash >> 8) & keys.mask


cdef bint same_key(const job_t *a, const job_t *b) noexcept nogil:
    return (job_unique(a).hash == job_unique(b).hash
            and bytes_equal(job_unique(a).key, job_unique(b).key) and name_equal(a.name, b.name))


cdef Py_ssize_t slot_find(const keys_t *keys, const job_t *job) noexcept nogil:
    """Index of the job that holds this one's key, or of the free slot where it would go."""
    cdef Py_ssize_t i = ideal_slot(keys, job)
    while keys.slots[i] != NULL and not same_key(keys.slots[i], job):
        i = (i + 1) & keys.mask
    return i


cdef void slot_clear(keys_t *keys, Py_ssize_t gap) noexcept nogil:
    """Take out the job in a slot, and close the gap: who may stand nearer to its ideal slot moves back."""
    cdef Py_ssize_t i = gap
    cdef Py_ssize_t ideal
    while True:
        i = (i + 1) & keys.mask
        if keys.slots[i] == NULL:
            break
        ideal = ideal_slot(keys, keys.slots[i])
        if ((i - ideal) & keys.mask) >= ((i - gap) & keys.mask):
            keys.slots[gap] = keys.slots[i]
            gap = i
    keys.slots[gap] = NULL

# ---------------------------------------------------------------- growing

cdef void uniques_move(uniques_t *uniques, Py_ssize_t most) noexcept nogil:
    """Move the jobs in some slots of the old table over; free it when it is empty."""
    cdef keys_t *old = &uniques.old
    cdef const job_t *job
    if old.slots == NULL:
        return
    while most > 0 and uniques.old_next <= old.mask:
        job = old.slots[uniques.old_next]
        if job == NULL:
            uniques.old_next += 1
        else:
            slot_clear(old, uniques.old_next)  # another may come into its place
            uniques.keys.slots[slot_find(&uniques.keys, job)] = job
        most -= 1
    if uniques.old_next > old.mask:
        PyMem_RawFree(old.slots)
        old.slots = NULL
        old.mask = -1
        uniques.old_next = 0


cdef bint uniques_reserve(uniques_t *uniques) noexcept nogil:
    """Make space for one more. False: no memory."""
    cdef keys_t larger
    if (uniques.count + 1) * 2 <= uniques.keys.mask + 1:
        uniques_move(uniques, SLOTS_STEP)
        return True
    larger.mask = max(SLOTS_MIN, 2 * (uniques.keys.mask + 1)) - 1
    larger.slots = <const job_t **> PyMem_RawCalloc(<size_t> (larger.mask + 1), sizeof(job_t *))
    if larger.slots == NULL:
        return False
    uniques_move(uniques, 2 * (uniques.old.mask + 1))  # nothing is left there, by the steps
    uniques.old = uniques.keys
    uniques.keys = larger
    if uniques.old.mask < SLOTS_AT_ONCE:
        uniques_move(uniques, 2 * (uniques.old.mask + 1))
    return True

# ---------------------------------------------------------------- keys

cdef const job_t *uniques_find(const uniques_t *uniques, const job_t *job) noexcept nogil:
    """The job that holds this one's key, or NULL."""
    cdef const job_t *found = NULL
    if uniques.keys.slots != NULL:
        found = uniques.keys.slots[slot_find(&uniques.keys, job)]
    if found == NULL and uniques.old.slots != NULL:
        found = uniques.old.slots[slot_find(&uniques.old, job)]
    return found


cdef void uniques_add(uniques_t *uniques, const job_t *job) noexcept nogil:
    """Let a job hold its key, which no other holds; there is space for it."""
    uniques.keys.slots[slot_find(&uniques.keys, job)] = job
    uniques.count += 1


cdef void uniques_remove(uniques_t *uniques, const job_t *job) noexcept nogil:
    """Let go of the key that a job holds."""
    cdef Py_ssize_t i = slot_find(&uniques.keys, job)
    if uniques.keys.slots[i] != NULL:
        slot_clear(&uniques.keys, i)
    else:
        slot_clear(&uniques.old, slot_find(&uniques.old, job))
    uniques.count -= 1
    if uniques.count == 0:
        uniques_clear(uniques)
    else:
        uniques_move(uniques, SLOTS_STEP)


cdef const char *uniques_check(const uniques_t *uniques) noexcept nogil:
    """NULL when every invariant holds, else the name of one that does not. O(n)."""
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t i
    for i in range(uniques.keys.mask + 1):
        if uniques.keys.slots[i] != NULL:
            count += 1
            if slot_find(&uniques.keys, uniques.keys.slots[i]) != i:
                return b"a key that no search finds"
    for i in range(uniques.old.mask + 1):
        if uniques.old.slots[i] != NULL:
            count += 1
            if i < uniques.old_next or slot_find(&uniques.old, uniques.old.slots[i]) != i:
                return b"a key of the old table that no search finds"
    if count != uniques.count or count * 2 > uniques.keys.mask + 1:
        return b"the count of keys"
    return NULL
