"""Hash table of items by id: knows ids, not jobs.

A bucket is a line of the cache: five items, 32 bits of the hash of each of their ids, and how many
items found no room in it and went on to the next. So a search reads one line, mostly, and ends where
nobody went on; what was removed leaves no mark, and nobody moves. After F14 (Bronson & Shi, "Open-sourcing
F14 for faster, more memory-efficient hash tables", 2019), with a bucket for a chunk.
Invariant: an item lies in its home or behind it, and each bucket that it passed counts it.
Invariant: at least two fifths of the slots are free.
Complexity: O(1), growth amortised.
Locking: none; the caller holds its lock. No Python object is touched.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memset

from jobqueue._types cimport ID_SIZE, huge_pages, tie_of_t

cdef extern from "_platform.h":
    int lowest_bit "jq_lowest_bit" (uint64_t bits) nogil

cdef extern from "_ids.h":
    uint64_t tags_match "jq_tags_match" (const uint32_t *tags, uint32_t tag) nogil  # bits of the equal ones

cdef enum:
    BUCKET_LOAD = 3               # items to a bucket, at most: then one in twelve is full
    BUCKETS_MIN = 2               # smallest table
    BUCKETS_KEPT = 4096           # one this small does not shrink: jobs come and go


cdef void ids_init(ids_t *ids, tie_of_t tie_of) noexcept nogil:
    """Make it an empty table; nothing is allocated."""
    memset(ids, 0, sizeof(ids_t))
    ids.tie_of = tie_of


cdef void ids_clear(ids_t *ids) noexcept nogil:
    """Free the table, not the items; it is empty then and can be used again."""
    PyMem_RawFree(ids.memory)
    ids.memory = NULL
    ids.buckets = NULL
    ids.bucket_count = ids.count = 0


cdef inline bucket_t *bucket_next(const ids_t *ids, bucket_t *bucket) noexcept nogil:
    bucket += 1
    return ids.buckets if bucket == ids.buckets + ids.bucket_count else bucket


cdef void slot_take(const ids_t *ids, uint32_t tag, void *item) noexcept nogil:
    """Put an item into the first free slot from its home on; there is one."""
    cdef bucket_t *bucket = ids_home(ids, tag)
    cdef uint64_t free = tags_match(bucket.tags, 0)
    cdef int slot
    while free == 0:
        bucket.passed += 1
        bucket = bucket_next(ids, bucket)
        free = tags_match(bucket.tags, 0)
    slot = lowest_bit(free)
    bucket.items[slot] = item
    bucket.tags[slot] = tag


cdef bint ids_resize(ids_t *ids, Py_ssize_t bucket_count) noexcept nogil:
    """Make the table anew; False: no memory, and nothing changed."""
    cdef ids_t old = ids[0]
    cdef size_t size = <size_t> (bucket_count + 1) * sizeof(bucket_t)
    cdef Py_ssize_t i
    cdef int slot
    ids.memory = PyMem_RawCalloc(1, size)
    if ids.memory == NULL:
        ids.memory = old.memory
        return False
    huge_pages(ids.memory, size)
    ids.buckets = <bucket_t *> (
        (<uintptr_t> ids.memory + sizeof(bucket_t) - 1) & ~<uintptr_t> (sizeof(bucket_t) - 1))
    ids.bucket_count = bucket_count
    for i in range(old.bucket_count):
        for slot in range(BUCKET_SLOTS):
            if old.buckets[i].tags[slot] != 0:
                slot_take(ids, old.buckets[i].tags[slot], old.buckets[i].items[slot])
    PyMem_RawFree(old.memory)
    return True


cdef void *tag_find(const ids_t *ids, uint32_t tag, const uint8_t *id) noexcept nogil:
    cdef bucket_t *bucket
    cdef void *item
    cdef uint64_t match
    if ids.count == 0:
        return NULL
    bucket = ids_home(ids, tag)
    for _ in range(ids.bucket_count):                # in a small table all may have been passed
        match = tags_match(bucket.tags, tag)
        while match != 0:
            item = bucket.items[lowest_bit(match)]
            if memcmp(ids.tie_of(item).id, id, ID_SIZE) == 0:
                return item
            match &= match - 1
        if bucket.passed == 0:
            break
        bucket = bucket_next(ids, bucket)
    return NULL


cdef void *ids_find(const ids_t *ids, const uint8_t *id) noexcept nogil:
    """The item of an id, or NULL."""
    return tag_find(ids, ids_tag(ids, id), id)


cdef int ids_add(ids_t *ids, const uint8_t *id, void *item) noexcept nogil:
    """1: added; 0: its id is there; -1: no memory, and nothing changed."""
    cdef uint32_t tag = ids_tag(ids, id)
    if tag_find(ids, tag, id) != NULL:
        return 0
    if ids.count + 1 > ids.bucket_count * BUCKET_LOAD:
        if not ids_resize(ids, max(<Py_ssize_t> BUCKETS_MIN, 2 * ids.bucket_count)):
            return -1
    slot_take(ids, tag, item)
    ids.count += 1
    return 1


cdef void ids_remove(ids_t *ids, const uint8_t *id, const void *item) noexcept nogil:
    """Take an item out, which is there under this id."""
    cdef uint32_t tag = ids_tag(ids, id)
    cdef bucket_t *bucket = ids_home(ids, tag)
    cdef uint64_t match = tags_match(bucket.tags, tag)
    while match == 0 or bucket.items[lowest_bit(match)] != item:
        match &= match - 1
        if match == 0:
            bucket.passed -= 1
            bucket = bucket_next(ids, bucket)
            match = tags_match(bucket.tags, tag)
    bucket.items[lowest_bit(match)] = NULL
    bucket.tags[lowest_bit(match)] = 0
    ids.count -= 1
    if ids.bucket_count > BUCKETS_KEPT and ids.count * 8 < ids_slots(ids):
        ids_resize(ids, max(ids.bucket_count // 4, <Py_ssize_t> BUCKETS_KEPT))


cdef void *ids_homed(const ids_t *ids, Py_ssize_t home, Py_ssize_t *place) noexcept nogil:
    """The next item whose home is this bucket, or NULL. ``place`` is 0 at first, and the caller's to keep."""
    cdef const bucket_t *bucket
    cdef Py_ssize_t slot
    while place[0] < ids_slots(ids):
        bucket = &ids.buckets[(home + place[0] // BUCKET_SLOTS) & (ids.bucket_count - 1)]
        slot = place[0] % BUCKET_SLOTS
        place[0] += 1
        if slot == BUCKET_SLOTS - 1 and bucket.passed == 0:
            place[0] = ids_slots(ids)                # nobody went on from here
        if bucket.tags[slot] != 0 and ids_home(ids, bucket.tags[slot]) == &ids.buckets[home]:
            return bucket.items[slot]
    return NULL


cdef const char *ids_check(const ids_t *ids) noexcept nogil:
    """NULL when every invariant holds, else the name of one that does not. O(n)."""
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t passed = 0
    cdef Py_ssize_t i
    cdef int slot
    cdef bucket_t *bucket
    cdef uint32_t tag
    for i in range(ids.bucket_count):
        passed -= ids.buckets[i].passed
        for slot in range(BUCKET_SLOTS):
            tag = ids.buckets[i].tags[slot]
            if (tag == 0) != (ids.buckets[i].items[slot] == NULL):
                return b"a tag without an item"
            if tag == 0:
                continue
            count += 1
            if tag != ids_tag(ids, ids.tie_of(ids.buckets[i].items[slot]).id):
                return b"the tag of another id"
            bucket = ids_home(ids, tag)
            while bucket != &ids.buckets[i]:
                if bucket.passed == 0:
                    return b"an item that no search finds"
                passed += 1
                bucket = bucket_next(ids, bucket)
    if passed != 0:
        return b"the count of those who passed"
    if count != ids.count or count > ids.bucket_count * BUCKET_LOAD:
        return b"the count of items"
    return NULL
