"""Ordered set of entries (a, b, item), several to a block: see skiplist.pyx."""

from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.string cimport memcmp

from jobqueue._structures.keys cimport ID_SIZE, sortkey_t, tie_of_t, tie_t

cdef struct entry_t:              # one member of the set
    int64_t a                     # its key, as in sortkey_t; the tie is read from the item
    int64_t b
    void *item                    # the owner's; never NULL, alive while it is in the list

cdef struct leaf_t:               # a block of level 0; its entries follow it in memory
    leaf_t *prev                  # neighbours in the level
    leaf_t *next
    uint16_t begin                # index of the first entry
    uint16_t end                  # one past the index of the last entry
    uint16_t capacity             # entries there is space for
    uint16_t next_index           # a hint: where the next entry goes if keys ascend

cdef struct skiplist_t:
    leaf_t *first                 # ends of level 0; NULL: no block allocated
    leaf_t *last
    void *root                    # the only block of the top level: leaf_t at height 0, else branch_t
    tie_of_t tie_of               # finds the tie of an item
    Py_ssize_t length             # entries
    int32_t head_lag              # what the counts along the first path lack: see skiplist.pyx
    int32_t tail_lag              # the same along the last path
    int32_t height                # levels above level 0

cdef inline entry_t *leaf_entries(const leaf_t *leaf) noexcept nogil:
    return <entry_t *> (leaf + 1)

cdef inline Py_ssize_t skiplist_len(const skiplist_t *list) noexcept nogil:
    return list.length

cdef inline void *skiplist_first(const skiplist_t *list) noexcept nogil:
    """Item of the first entry, or NULL. O(1)."""
    return leaf_entries(list.first)[list.first.begin].item if list.length else NULL

cdef inline int64_t skiplist_first_a(const skiplist_t *list) noexcept nogil:
    """Key ``a`` of the first entry of a list that is not empty. O(1)."""
    return leaf_entries(list.first)[list.first.begin].a

cdef inline void *skiplist_ahead(const skiplist_t *list, Py_ssize_t n) noexcept nogil:
    """Item of the entry n after the first, if it stands in the first two blocks, else NULL. O(1)."""
    cdef const leaf_t *leaf = list.first
    if list.length == 0:
        return NULL
    n += leaf.begin
    if n >= leaf.end:
        n -= leaf.end
        leaf = leaf.next
        if leaf == NULL:
            return NULL
        n += leaf.begin
    return leaf_entries(leaf)[n].item if n < leaf.end else NULL

# comparing keys touches no Python object

cdef inline bint pair_precedes(int64_t a, int64_t b, int64_t a2, int64_t b2) noexcept nogil:
    return (a < a2) | ((a == a2) & (b < b2))        # without branches: they would be mispredicted

cdef inline int tie_compare(const tie_t *tie, const tie_t *other) noexcept nogil:
    if tie.created_ns != other.created_ns:
        return -1 if tie.created_ns < other.created_ns else 1
    return memcmp(tie.id, other.id, ID_SIZE)

cdef inline bint entry_precedes(
    const skiplist_t *list, const entry_t *entry, const sortkey_t *key
) noexcept nogil:
    if (entry.a == key.a) & (entry.b == key.b):
        return tie_compare(list.tie_of(entry.item), key.tie) < 0
    return pair_precedes(entry.a, entry.b, key.a, key.b)

cdef inline bint entry_equals(
    const skiplist_t *list, const entry_t *entry, const sortkey_t *key
) noexcept nogil:
    return (entry.a == key.a and entry.b == key.b and tie_compare(list.tie_of(entry.item), key.tie) == 0)

cdef inline sortkey_t entry_key(const skiplist_t *list, const entry_t *entry) noexcept nogil:
    return sortkey_t(entry.a, entry.b, list.tie_of(entry.item))

cdef void skiplist_init(skiplist_t *list, tie_of_t tie_of) noexcept nogil
cdef void skiplist_clear(skiplist_t *list) noexcept nogil
cdef void skiplist_prefetch(const skiplist_t *list, const sortkey_t *key) noexcept nogil
cdef int skiplist_insert(skiplist_t *list, const sortkey_t *key, void *item) noexcept nogil
cdef void *skiplist_remove(skiplist_t *list, const sortkey_t *key) noexcept nogil
cdef void *skiplist_pop(skiplist_t *list) noexcept nogil
cdef void *skiplist_find(skiplist_t *list, const sortkey_t *key) noexcept nogil
cdef void *skiplist_after(skiplist_t *list, const sortkey_t *key) noexcept nogil
cdef void *skiplist_at(skiplist_t *list, Py_ssize_t index) noexcept nogil
cdef Py_ssize_t skiplist_rank(skiplist_t *list, const sortkey_t *key) noexcept nogil
cdef const char *skiplist_check(skiplist_t *list) noexcept nogil
cdef size_t skiplist_memory(skiplist_t *list) noexcept nogil
