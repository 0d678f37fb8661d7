"""Hash table of items by id: knows ids, not jobs.

A bucket is a line of the cache: five items, 32 bits of the hash of each of their ids, and how many
items found no free place in it and went on to the next. So a search reads one line, mostly, and ends where
none went on; what was removed leaves no mark, and no item moves. After F14 (Bronson & Shi, "Open-sourcing
F14 for faster, more memory-efficient hash tables", 2019), with a bucket for a chunk.
A table that is full, or nearly empty, is replaced by another, to which each add and each remove moves a
few buckets: no call pays for the whole of it. Meanwhile an item is in one of two tables.
Invariant: an item lies in its home or behind it, and each bucket that it passed counts it.
Invariant: at least two fifths of the slots are free.
Invariant: the old table is empty before the new one can be full or nearly empty, so there are two at most.
Complexity: O(1), not amortised, but for a new table's zeros, which the system gives page by page.
Locking: none; the caller holds its lock. No Python object is touched.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint32_t, uint64_t, uint8_t, uintptr_t
from libc.string cimport memcmp, memset

from jobqueue._structures.platform cimport JQ_ASSERT, huge_pages
from jobqueue._structures.keys cimport ID_SIZE, tie_of_t

cdef extern from "_structures/platform.h":
    int lowest_bit "jq_lowest_bit" (uint64_t bits) nogil


cdef extern from "_structures/id_table.h":
    uint64_t tags_match "jq_tags_match" (const uint32_t *tags, uint32_t tag) nogil  # bits of the equal ones


cdef enum:
    BUCKET_LOAD = 3               # items to a bucket, at most: then one in twelve is full
    BUCKETS_MIN = 2               # smallest table
    BUCKETS_KEPT = 4096           # one this small does not shrink: jobs come and go
    BUCKETS_AT_ONCE = 1024        # a table up to this size moves in one go
    GROWING_STEP = 1              # buckets of the old table that an add or a remove moves over, while
    SHRINKING_STEP = 16           # the new one is larger, or smaller: then it has few items to a bucket


cdef void ids_init(ids_t *ids, tie_of_t tie_of) noexcept nogil:
    """Make it an empty table; nothing is allocated."""
    memset(ids, 0, sizeof(ids_t))
    ids.tie_of = tie_of


cdef void ids_clear(ids_t *ids) noexcept nogil:
    """Free the table, not the items; it is empty then and can be used again."""
    PyMem_RawFree(ids.memory)
    PyMem_RawFree(ids.old_memory)
    ids.memory = ids.old_memory = NULL
    ids.buckets = ids.old_buckets = NULL
    ids.bucket_count = ids.old_bucket_count = ids.old_next = ids.count = 0
    ids.made += 1


cdef inline bucket_t *bucket_home(bucket_t *buckets, Py_ssize_t count, uint32_t tag) noexcept nogil:
    return &buckets[<Py_ssize_t> (tag >> 1) & (count - 1)]


cdef inline bucket_t *bucket_next(bucket_t *buckets, Py_ssize_t count, bucket_t *bucket) noexcept nogil:
    bucket += 1
    return buckets if bucket == buckets + count else bucket


cdef void slot_take(const ids_t *ids, uint32_t tag, void *item) noexcept nogil:
    """Put an item into the first free slot from its home on; there is one."""
    cdef bucket_t *bucket = ids_home(ids, tag)
    cdef uint64_t free = tags_match(bucket.tags, 0)
    cdef int slot
    JQ_ASSERT(ids.bucket_count > 0)
    while free == 0:
        JQ_ASSERT(bucket_next(ids.buckets, ids.bucket_count, bucket) != ids_home(ids, tag))
        bucket.passed += 1
        bucket = bucket_next(ids.buckets, ids.bucket_count, bucket)
        free = tags_match(bucket.tags, 0)
    slot = lowest_bit(free)
    bucket.items[slot] = item
    bucket.tags[slot] = tag


cdef bint slot_leave(
        bucket_t *buckets, Py_ssize_t count, uint32_t tag, const void *item) noexcept nogil:
    """Take an item out of a table. False: it is not there."""
    cdef bucket_t *bucket = bucket_home(buckets, count, tag)
    cdef bucket_t *way
    cdef uint64_t match
    for _ in range(count):
        match = tags_match(bucket.tags, tag)
        while match != 0:
            if bucket.items[lowest_bit(match)] == item:
                bucket.items[lowest_bit(match)] = NULL
                bucket.tags[lowest_bit(match)] = 0
                way = bucket_home(buckets, count, tag)
                while way != bucket:
                    way.passed -= 1
                    way = bucket_next(buckets, count, way)
                return True
            match &= match - 1
        if bucket.passed == 0:
            break
        bucket = bucket_next(buckets, count, bucket)
    return False


cdef void ids_move(ids_t *ids, Py_ssize_t most) noexcept nogil:
    """Move the items of some buckets of the old table over; free it when it is empty."""
    cdef bucket_t *bucket
    cdef uint32_t tag
    cdef void *item
    cdef int slot
    while most > 0 and ids.old_next < ids.old_bucket_count:
        bucket = &ids.old_buckets[ids.old_next]
        for slot in range(BUCKET_SLOTS):
            tag = bucket.tags[slot]
            if tag != 0:
                item = bucket.items[slot]
                slot_leave(ids.old_buckets, ids.old_bucket_count, tag, item)
                slot_take(ids, tag, item)
        ids.old_next += 1
        most -= 1
    if ids.old_next == ids.old_bucket_count:
        PyMem_RawFree(ids.old_memory)
        ids.old_memory = NULL
        ids.old_buckets = NULL
        ids.old_bucket_count = ids.old_next = 0


cdef bint ids_resize(ids_t *ids, Py_ssize_t bucket_count) noexcept nogil:
    """Begin a new table, to which the items move in steps; False: no memory, and nothing changed."""
    cdef size_t size = <size_t> (bucket_count + 1) * sizeof(bucket_t)
    cdef void *memory
    if ids.old_buckets != NULL:  # never, by the steps: the new table cannot be full yet
        ids_move(ids, ids.old_bucket_count)
    memory = PyMem_RawCalloc(1, size)
    if memory == NULL:
        return False
    huge_pages(memory, size)
    ids.old_buckets = ids.buckets
    ids.old_memory = ids.memory
    ids.old_bucket_count = ids.bucket_count
    ids.old_next = 0
    ids.old_step = GROWING_STEP if bucket_count > ids.bucket_count else SHRINKING_STEP
    ids.made += 1
    ids.memory = memory
    ids.buckets = <bucket_t *> (
        (<uintptr_t> memory + sizeof(bucket_t) - 1) & ~<uintptr_t> (sizeof(bucket_t) - 1))
    ids.bucket_count = bucket_count
    if ids.old_bucket_count <= BUCKETS_AT_ONCE:
        ids_move(ids, ids.old_bucket_count)
    return True


cdef void *table_find(const ids_t *ids, bucket_t *buckets, Py_ssize_t count, uint32_t tag,
                      const uint8_t *id) noexcept nogil:
    cdef bucket_t *bucket = bucket_home(buckets, count, tag)
    cdef void *item
    cdef uint64_t match
    for _ in range(count):                           # in a small table all may have been passed
        match = tags_match(bucket.tags, tag)
        while match != 0:
            item = bucket.items[lowest_bit(match)]
            if memcmp(ids.tie_of(item).id, id, ID_SIZE) == 0:
                return item
            match &= match - 1
        if bucket.passed == 0:
            break
        bucket = bucket_next(buckets, count, bucket)
    return NULL


cdef void *tag_search(const ids_t *ids, uint32_t tag, const uint8_t *id) noexcept nogil:
    """Look for an id wherever it may be."""
    cdef void *item = table_find(ids, ids.buckets, ids.bucket_count, tag, id)
    if item == NULL and ids.old_buckets != NULL:
        item = table_find(ids, ids.old_buckets, ids.old_bucket_count, tag, id)
    return item


cdef inline void *tag_find(const ids_t *ids, uint32_t tag, const uint8_t *id) noexcept nogil:
    """The item of an id, or NULL. Mostly its home tells."""
    cdef const bucket_t *bucket
    cdef void *item
    cdef uint64_t match
    if ids.count == 0:
        return NULL
    bucket = ids_home(ids, tag)
    match = tags_match(bucket.tags, tag)
    if match != 0:
        item = bucket.items[lowest_bit(match)]
        if memcmp(ids.tie_of(item).id, id, ID_SIZE) == 0:
            return item
    elif bucket.passed == 0 and ids.old_buckets == NULL:
        return NULL
    return tag_search(ids, tag, id)


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
    if ids.old_buckets != NULL:
        ids_move(ids, ids.old_step)
    return 1


cdef bucket_t *ids_walk(const ids_t *ids, ids_walk_t *walk) noexcept nogil:
    """The next bucket of a walk over all items, or NULL at the end. The table may change between two calls.

    Who was in it throughout is met, perhaps more than once: the walk begins anew when a new table was
    made, and an item that moved over may be met again.
    """
    if walk.made != ids.made:
        walk.old_bucket = walk.bucket = 0
        walk.made = ids.made
    if walk.old_bucket < ids.old_bucket_count:
        walk.old_bucket += 1
        return &ids.old_buckets[walk.old_bucket - 1]
    if walk.bucket < ids.bucket_count:
        walk.bucket += 1
        return &ids.buckets[walk.bucket - 1]
    return NULL


cdef void ids_remove(ids_t *ids, const uint8_t *id, const void *item) noexcept nogil:
    """Take an item out, which is there under this id."""
    cdef uint32_t tag = ids_tag(ids, id)
    cdef bucket_t *bucket = ids_home(ids, tag)
    cdef uint64_t match = tags_match(bucket.tags, tag)
    if match == 0:
        ids_remove_far(ids, tag, item)
        return
    if bucket.items[lowest_bit(match)] != item:
        ids_remove_far(ids, tag, item)
        return
    bucket.items[lowest_bit(match)] = NULL
    bucket.tags[lowest_bit(match)] = 0
    ids_shrink(ids)


cdef void ids_remove_far(ids_t *ids, uint32_t tag, const void *item) noexcept nogil:
    """Take an item out that is not the first of its tag in its home, or is in the table before."""
    if not slot_leave(ids.buckets, ids.bucket_count, tag, item) and ids.old_buckets != NULL:
        slot_leave(ids.old_buckets, ids.old_bucket_count, tag, item)
    ids_shrink(ids)


cdef inline void ids_shrink(ids_t *ids) noexcept nogil:
    """Count one item less."""
    ids.count -= 1
    if ids.old_buckets != NULL:
        ids_move(ids, ids.old_step)
    elif ids.bucket_count > BUCKETS_KEPT and ids.count * 8 < ids_slots(ids):
        ids_resize(ids, max(ids.bucket_count // 4, <Py_ssize_t> BUCKETS_KEPT))


cdef void *ids_homed(const ids_t *ids, Py_ssize_t home, Py_ssize_t *place) noexcept nogil:
    """The next item whose home is this bucket, or NULL. ``place`` is 0 at first, and the caller's to keep."""
    cdef const bucket_t *bucket
    cdef Py_ssize_t slot
    cdef Py_ssize_t size = ids.bucket_count * BUCKET_SLOTS
    cdef Py_ssize_t old_size = ids.old_bucket_count * BUCKET_SLOTS
    cdef Py_ssize_t homes = max(<Py_ssize_t> 1, ids.old_bucket_count // ids.bucket_count)
    cdef Py_ssize_t first
    cdef uint32_t tag
    cdef void *item
    while place[0] < size:
        bucket = &ids.buckets[(home + place[0] // BUCKET_SLOTS) & (ids.bucket_count - 1)]
        slot = place[0] % BUCKET_SLOTS
        place[0] += 1
        if slot == BUCKET_SLOTS - 1 and bucket.passed == 0:
            place[0] = size                          # nobody went on from here
        if bucket.tags[slot] != 0 and ids_home(ids, bucket.tags[slot]) == &ids.buckets[home]:
            return bucket.items[slot]
    # And those that have not moved over yet: a bigger old table has several homes for this one.
    while place[0] < size + homes * old_size:
        first = home + (place[0] - size) // old_size * ids.bucket_count
        bucket = &ids.old_buckets[
            (first + (place[0] - size) % old_size // BUCKET_SLOTS) & (ids.old_bucket_count - 1)]
        slot = (place[0] - size) % BUCKET_SLOTS
        tag = bucket.tags[slot]
        item = bucket.items[slot]
        place[0] += 1
        if slot == BUCKET_SLOTS - 1 and bucket.passed == 0:
            place[0] += old_size - 1 - (place[0] - 1 - size) % old_size
        if tag != 0 and ids_home(ids, tag) == &ids.buckets[home] and (
                bucket_home(ids.old_buckets, ids.old_bucket_count, tag)
                == &ids.old_buckets[first & (ids.old_bucket_count - 1)]):
            return item
    return NULL


cdef const char *ids_check(const ids_t *ids) noexcept nogil:
    """NULL when every invariant holds, else the name of one that does not. O(n)."""
    cdef Py_ssize_t count = 0
    cdef const char *broken = table_check(ids, ids.buckets, ids.bucket_count, &count)
    if broken == NULL and ids.old_buckets != NULL:
        broken = table_check(ids, ids.old_buckets, ids.old_bucket_count, &count)
    if broken == NULL and (count != ids.count or count > ids.bucket_count * BUCKET_LOAD):
        return b"the count of items"
    return broken


cdef const char *table_check(const ids_t *ids, bucket_t *buckets, Py_ssize_t bucket_count,
                             Py_ssize_t *count) noexcept nogil:
    cdef Py_ssize_t passed = 0
    cdef Py_ssize_t i
    cdef int slot
    cdef bucket_t *bucket
    cdef uint32_t tag
    for i in range(bucket_count):
        passed -= buckets[i].passed
        for slot in range(BUCKET_SLOTS):
            tag = buckets[i].tags[slot]
            if (tag == 0) != (buckets[i].items[slot] == NULL):
                return b"a tag without an item"
            if tag == 0:
                continue
            count[0] += 1
            if tag != ids_tag(ids, ids.tie_of(buckets[i].items[slot]).id):
                return b"the tag of another id"
            bucket = bucket_home(buckets, bucket_count, tag)
            while bucket != &buckets[i]:
                if bucket.passed == 0:
                    return b"an item that no search finds"
                passed += 1
                bucket = bucket_next(buckets, bucket_count, bucket)
    if passed != 0:
        return b"the count of those who passed"
    return NULL
