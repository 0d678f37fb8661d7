"""Hash table of items by id: see id_table.pyx."""

from libc.stdint cimport uint32_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport prefetch
from jobqueue._structures.keys cimport id_hash, tie_of_t

cdef enum:
    BUCKET_SLOTS = 5              # so many fill a line of the cache
    BUCKETS_FAR = 8192            # a table this big is not in the cache any more

cdef struct bucket_t:             # one line of the cache
    void *items[BUCKET_SLOTS]     # NULL: free
    uint32_t tags[BUCKET_SLOTS]   # of their ids; 0: free
    uint32_t passed               # items whose way from their home led past here, as there was no space

cdef struct ids_t:
    bucket_t *buckets             # NULL: no table yet
    void *memory                  # in which they are
    Py_ssize_t bucket_count       # a power of two, or 0
    bucket_t *old_buckets         # the table before, while its items move over; NULL: none
    void *old_memory
    Py_ssize_t old_bucket_count   # 0: none
    Py_ssize_t old_next           # its first bucket that may have an item
    Py_ssize_t old_step           # buckets of it that an add or a remove moves over
    uint64_t made                 # tables made so far
    Py_ssize_t count              # items
    uint64_t seed[2]              # of the hash
    tie_of_t tie_of               # finds the id of an item

cdef struct ids_walk_t:           # a walk over all items that may pause; all zeros to begin with
    Py_ssize_t old_bucket         # the next of the table before, if its items still move over
    Py_ssize_t bucket             # the next of the table
    uint64_t made                 # tables made when it began

cdef inline Py_ssize_t ids_slots(const ids_t *ids) noexcept nogil:
    return (ids.bucket_count + ids.old_bucket_count) * BUCKET_SLOTS

cdef inline void *ids_at(const ids_t *ids, Py_ssize_t slot) noexcept nogil:
    """The item in a slot, or NULL: those of the table before come first."""
    cdef Py_ssize_t i = slot // BUCKET_SLOTS
    if i < ids.old_bucket_count:
        return ids.old_buckets[i].items[slot % BUCKET_SLOTS]
    return ids.buckets[i - ids.old_bucket_count].items[slot % BUCKET_SLOTS]

cdef inline bint ids_far(const ids_t *ids) noexcept nogil:
    return ids.bucket_count >= BUCKETS_FAR

cdef inline uint32_t ids_tag(const ids_t *ids, const uint8_t *id) noexcept nogil:
    """What a bucket knows of an id: half of its hash, and never 0."""
    return <uint32_t> id_hash(id, ids.seed) | 1

cdef inline bucket_t *ids_home(const ids_t *ids, uint32_t tag) noexcept nogil:
    """The bucket where the search for a tag begins."""
    return &ids.buckets[<Py_ssize_t> (tag >> 1) & (ids.bucket_count - 1)]

cdef inline void ids_fetch(const ids_t *ids, const uint8_t *id) noexcept nogil:
    """Ask for the memory where an id will be looked for, if the table is too big for a cache."""
    if ids_far(ids):
        prefetch(ids_home(ids, ids_tag(ids, id)))

cdef void ids_init(ids_t *ids, tie_of_t tie_of) noexcept nogil
cdef void ids_clear(ids_t *ids) noexcept nogil
cdef void *ids_find(const ids_t *ids, const uint8_t *id) noexcept nogil
cdef int ids_add(ids_t *ids, const uint8_t *id, void *item) noexcept nogil
cdef bucket_t *ids_walk(const ids_t *ids, ids_walk_t *walk) noexcept nogil
cdef void ids_remove(ids_t *ids, const uint8_t *id, const void *item) noexcept nogil
cdef void *ids_homed(const ids_t *ids, Py_ssize_t home, Py_ssize_t *place) noexcept nogil
cdef const char *ids_check(const ids_t *ids) noexcept nogil
