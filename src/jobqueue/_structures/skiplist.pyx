"""Ordered set with several keys per block: a deterministic, counted skiplist.

Level 0 is a list of leaves of entries in order; each level above is a list of branches, whose slots
hold a child, the entries under it and a separator: entries before the child < separator <= entries
in it. Blocks keep 10^7 random keys within a few cache misses. Full blocks are split, where keys
ascend by opening a fresh block, so that a FIFO fills blocks whole; a block is freed when it is
empty (free-at-empty: Johnson & Shasha, "B-trees with inserts and deletes", JCSS 47, 1993).
Invariant: a separator is a copy of a key, tie included, so it may outlive the entry it came from.
Invariant: the root has two slots at least, so the first and the last path part at the root.
Invariant: counts are exact, but those along the first path lack ``head_lag`` entries and those along
the last path ``tail_lag``: append and pop touch one leaf, and settle when they open or free one.
Complexity: first, append, prepend, pop O(1) amortised; all else O(log n). Removal never allocates.
Locking: none; the caller holds its lock. No Python object is touched; tests/native has one for Python.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memmove

from jobqueue._structures.platform cimport slab_give, slab_t, slab_take
from jobqueue._structures.keys cimport sortkey_t, tie_of_t, tie_t

cdef extern from "_structures/skiplist.h":
    enum:
        JQ_BLOCK                  # entries in a full leaf, slots in a branch
        JQ_IS_DEBUG
    Py_ssize_t jq_allocations_left
    Py_ssize_t jq_blocks_live
    bint JQ_ALLOCATION_FAILS() nogil
    void JQ_COUNT_BLOCKS(int n) nogil


cdef extern from "_structures/platform.h":
    void jq_prefetch(const void *address) nogil


cdef enum:
    LEAF_MIN = 4                  # entries in the first leaf; it doubles until it is full size
    HEIGHT_MAX = 32               # a level more needs JQ_BLOCK / 2 times as many inserts
    LINE_SIZE = 64                # bytes fetched at once; only a hint


cdef struct branch_t:             # a block of the upper levels, by columns: first what a search reads
    Py_ssize_t size               # slots in use, 1 at least
    int64_t a[JQ_BLOCK]           # of the separators; those of slot 0 are never read
    void *child[JQ_BLOCK]         # leaf_t below level 1, else branch_t
    int64_t b[JQ_BLOCK]           # read where a is equal
    tie_t tie[JQ_BLOCK]           # read where b is equal, too
    Py_ssize_t count[JQ_BLOCK]    # entries under the child, but for the lags


cdef struct slot_t:               # one of a branch
    int64_t a
    int64_t b
    tie_t tie
    void *child
    Py_ssize_t count


cdef struct step_t:
    branch_t *branch
    Py_ssize_t index              # the slot taken


cdef struct path_t:               # from the root to a leaf
    step_t steps[HEIGHT_MAX + 1]  # by level, from 1 up


cdef enum side_t:                 # where a key falls, seen from the whole list
    BEFORE_ALL = -1
    WITHIN = 0
    AFTER_ALL = 1

# ---------------------------------------------------------------- blocks

cdef slab_t leaf_slab              # of full-size leaves; smaller ones are allocated each on its own
cdef slab_t branch_slab


cdef void *block_alloc(slab_t *slab, size_t size) noexcept nogil:
    cdef void *block
    if JQ_ALLOCATION_FAILS():
        return NULL
    block = slab_take(slab, size) if slab is not NULL else PyMem_RawMalloc(size)
    if block is not NULL:
        JQ_COUNT_BLOCKS(1)
    return block


cdef void block_free(slab_t *slab, void *block, size_t size) noexcept nogil:
    JQ_COUNT_BLOCKS(-1)
    if slab is not NULL:
        slab_give(slab, block, size)
    else:
        PyMem_RawFree(block)


cdef branch_t *branch_new() noexcept nogil:
    return <branch_t *> block_alloc(&branch_slab, sizeof(branch_t))


cdef void branch_free(void *branch) noexcept nogil:
    block_free(&branch_slab, branch, sizeof(branch_t))


cdef inline size_t leaf_size(Py_ssize_t capacity) noexcept nogil:
    return sizeof(leaf_t) + capacity * sizeof(entry_t)


cdef leaf_t *leaf_new(Py_ssize_t capacity) noexcept nogil:
    cdef slab_t *slab = &leaf_slab if capacity == JQ_BLOCK else NULL
    cdef leaf_t *leaf = <leaf_t *> block_alloc(slab, leaf_size(capacity))
    if leaf is not NULL:
        leaf.prev = leaf.next = NULL
        leaf.begin = leaf.end = leaf.next_index = 0
        leaf.capacity = <uint16_t> capacity
    return leaf


cdef void leaf_free(leaf_t *leaf) noexcept nogil:
    cdef slab_t *slab = &leaf_slab if leaf.capacity == JQ_BLOCK else NULL
    block_free(slab, leaf, leaf_size(leaf.capacity))


cdef inline Py_ssize_t leaf_len(const leaf_t *leaf) noexcept nogil:
    return leaf.end - leaf.begin


cdef void leaf_slide(leaf_t *leaf, Py_ssize_t begin) noexcept nogil:
    """Move the entries so that they begin there."""
    cdef entry_t *entries = leaf_entries(leaf)
    memmove(&entries[begin], &entries[leaf.begin], leaf_len(leaf) * sizeof(entry_t))
    leaf.end = <uint16_t> (begin + leaf_len(leaf))
    leaf.begin = <uint16_t> begin


cdef Py_ssize_t leaf_find(const skiplist_t *list, const leaf_t *leaf, const sortkey_t *key) noexcept nogil:
    """Index of the first entry that does not precede the key, or ``end``."""
    cdef const entry_t *entries = leaf_entries(leaf)
    cdef Py_ssize_t half, index = leaf.begin, n = leaf_len(leaf)
    while n > 1:
        half = n >> 1
        index += half & -<Py_ssize_t> entry_precedes(list, &entries[index + half - 1], key)
        n -= half
    if n:
        index += entry_precedes(list, &entries[index], key)
    return index


cdef void leaf_insert(leaf_t *leaf, Py_ssize_t index, const sortkey_t *key, void *item) noexcept nogil:
    """Insert before the index, moving the shorter side that has space; there is space."""
    cdef entry_t *entries = leaf_entries(leaf)
    cdef Py_ssize_t before = index - leaf.begin
    cdef Py_ssize_t after = leaf.end - index
    if leaf.end < leaf.capacity and (after <= before or leaf.begin == 0):
        memmove(&entries[index + 1], &entries[index], after * sizeof(entry_t))
        leaf.end += 1
    else:
        memmove(&entries[leaf.begin - 1], &entries[leaf.begin], before * sizeof(entry_t))
        leaf.begin -= 1
        index -= 1
    entries[index] = entry_t(key.a, key.b, item)
    leaf.next_index = <uint16_t> (index + 1)


cdef void leaf_remove(leaf_t *leaf, Py_ssize_t index) noexcept nogil:
    cdef entry_t *entries = leaf_entries(leaf)
    cdef Py_ssize_t before = index - leaf.begin
    cdef Py_ssize_t after = leaf.end - index - 1
    if before < after:
        memmove(&entries[leaf.begin + 1], &entries[leaf.begin], before * sizeof(entry_t))
        leaf.begin += 1
    else:
        memmove(&entries[index], &entries[index + 1], after * sizeof(entry_t))
        leaf.end -= 1


cdef inline bint separator_follows(
    const branch_t *branch, Py_ssize_t index, const sortkey_t *key
) noexcept nogil:
    """True when the key belongs before the slot."""
    if branch.a[index] != key.a:
        return key.a < branch.a[index]
    if branch.b[index] != key.b:
        return key.b < branch.b[index]
    return tie_compare(key.tie, &branch.tie[index]) < 0


cdef Py_ssize_t branch_find(const branch_t *branch, const sortkey_t *key) noexcept nogil:
    """Index of the slot the key belongs under."""
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t half, n = branch.size
    while n > 1:
        half = n >> 1
        index += half & (<Py_ssize_t> separator_follows(branch, index + half, key) - 1)
        n -= half
    return index


cdef Py_ssize_t branch_count(const branch_t *branch) noexcept nogil:
    """Entries under the branch, but for the lags."""
    cdef Py_ssize_t index, count = 0
    for index in range(branch.size):
        count += branch.count[index]
    return count


cdef void branch_move(
    branch_t *branch, Py_ssize_t to, const branch_t *source, Py_ssize_t begin, Py_ssize_t n
) noexcept nogil:
    """Copy n slots of the source, which may be the branch itself."""
    memmove(&branch.a[to], &source.a[begin], n * sizeof(int64_t))
    memmove(&branch.child[to], &source.child[begin], n * sizeof(void *))
    memmove(&branch.b[to], &source.b[begin], n * sizeof(int64_t))
    memmove(&branch.tie[to], &source.tie[begin], n * sizeof(tie_t))
    memmove(&branch.count[to], &source.count[begin], n * sizeof(Py_ssize_t))


cdef void branch_insert(branch_t *branch, Py_ssize_t index, const slot_t *slot) noexcept nogil:
    branch_move(branch, index + 1, branch, index, branch.size - index)
    branch.a[index] = slot.a
    branch.child[index] = slot.child
    branch.b[index] = slot.b
    branch.tie[index] = slot.tie
    branch.count[index] = slot.count
    branch.size += 1


cdef void branch_remove(branch_t *branch, Py_ssize_t index) noexcept nogil:
    branch.size -= 1
    branch_move(branch, index, branch, index + 1, branch.size - index)


cdef void branch_split(
    branch_t *branch, branch_t *right, side_t side, Py_ssize_t index, slot_t *slot
) noexcept nogil:
    """Insert at index >= 1 into a full branch, which gets a right neighbour: its slot is in ``slot`` then."""
    cdef Py_ssize_t left_size = JQ_BLOCK // 2
    if side == AFTER_ALL:
        left_size = JQ_BLOCK
    elif side == BEFORE_ALL:
        left_size = 1
    right.size = JQ_BLOCK - left_size
    branch_move(right, 0, branch, left_size, right.size)
    branch.size = left_size
    if index < left_size:
        branch_insert(branch, index, slot)
    else:
        branch_insert(right, index - left_size, slot)
    slot.a, slot.b = right.a[0], right.b[0]
    slot.tie = right.tie[0]
    slot.child, slot.count = right, branch_count(right)

# ---------------------------------------------------------------- paths

cdef inline void block_prefetch(const void *block, int level, bint a_is_equal) noexcept nogil:
    """Ask for all that a search in the block will read, rather than wait for line after line."""
    cdef const char *line = <const char *> block
    cdef const char *end = line + leaf_size(JQ_BLOCK)
    if level > 0:
        end = <const char *> ((<const branch_t *> block).b + (JQ_BLOCK if a_is_equal else 0))
    while line < end:
        jq_prefetch(line)
        line += LINE_SIZE


cdef leaf_t *path_to_key(const skiplist_t *list, const sortkey_t *key, path_t *path) noexcept nogil:
    """The leaf where the key is or would go, and the way there."""
    cdef void *block = list.root
    cdef step_t *step
    cdef int level
    for level in range(list.height, 0, -1):
        step = &path.steps[level]
        step.branch = <branch_t *> block
        step.index = branch_find(step.branch, key)
        block = step.branch.child[step.index]
        if list.height > 1:                          # else all is in the cache, most likely
            jq_prefetch(&step.branch.count[step.index])
            block_prefetch(block, level - 1, step.index > 0 and step.branch.a[step.index] == key.a)
    return <leaf_t *> block


cdef void path_to_end(const skiplist_t *list, side_t side, path_t *path) noexcept nogil:
    """The way to the first or to the last leaf."""
    cdef void *block = list.root
    cdef step_t *step
    cdef int level
    for level in range(list.height, 0, -1):
        step = &path.steps[level]
        step.branch = <branch_t *> block
        step.index = 0 if side == BEFORE_ALL else step.branch.size - 1
        block = step.branch.child[step.index]


cdef inline void path_add(const path_t *path, int height, Py_ssize_t n) noexcept nogil:
    cdef int level
    for level in range(1, height + 1):
        path.steps[level].branch.count[path.steps[level].index] += n


cdef void skiplist_settle(skiplist_t *list) noexcept nogil:
    """Make every count exact."""
    cdef path_t path
    if list.head_lag:
        path_to_end(list, BEFORE_ALL, &path)
        path_add(&path, list.height, list.head_lag)
        list.head_lag = 0
    if list.tail_lag:
        path_to_end(list, AFTER_ALL, &path)
        path_add(&path, list.height, list.tail_lag)
        list.tail_lag = 0

# ---------------------------------------------------------------- growing

cdef bint blocks_reserve(
    const skiplist_t *list, const path_t *path, leaf_t **leaf, branch_t **branches
) noexcept nogil:
    """Allocate what a split at the end of the path takes, all or nothing; by level from 1 up."""
    cdef int level = 1
    leaf[0] = leaf_new(JQ_BLOCK)
    if leaf[0] is NULL:
        return False
    while level <= list.height and path.steps[level].branch.size == JQ_BLOCK:
        branches[level] = branch_new()
        if branches[level] is NULL:
            break
        level += 1
    else:
        if level <= list.height:
            return True
        branches[level] = branch_new()    # a new root
        if branches[level] is not NULL:
            return True
    while level > 1:
        level -= 1
        branch_free(branches[level])
    leaf_free(leaf[0])
    return False


cdef Py_ssize_t leaf_cut(const leaf_t *leaf, side_t side, Py_ssize_t index) noexcept nogil:
    """How many entries a full leaf keeps when it is split for an insertion at the index.

    Half of them, but all where keys ascend, as they do within each priority of a queue: so leaves
    become full there too.
    """
    if side == AFTER_ALL:
        return leaf_len(leaf)
    if index == leaf.next_index and index > leaf.begin:
        return index - leaf.begin
    return leaf_len(leaf) >> 1


cdef void leaf_split(
    skiplist_t *list, leaf_t *leaf, leaf_t *fresh, side_t side, Py_ssize_t cut
) noexcept nogil:
    """Link the fresh leaf in after the leaf, with all but the first ``cut`` entries.

    BEFORE_ALL: in front of it, empty. The key that is to come goes into an empty leaf.
    """
    cdef leaf_t *left = fresh if side == BEFORE_ALL else leaf
    cdef leaf_t *right = leaf if side == BEFORE_ALL else fresh
    if side == BEFORE_ALL:
        fresh.begin = fresh.end = fresh.capacity
    else:
        fresh.end = <uint16_t> (leaf_len(leaf) - cut)
        leaf.end = <uint16_t> (leaf.begin + cut)
        memcpy(leaf_entries(fresh), &leaf_entries(leaf)[leaf.end], fresh.end * sizeof(entry_t))
    fresh.prev = leaf.prev if side == BEFORE_ALL else leaf
    fresh.next = leaf if side == BEFORE_ALL else leaf.next
    if left.prev is NULL:
        list.first = left
    if right.next is NULL:
        list.last = right
    if fresh.prev is not NULL:
        fresh.prev.next = fresh
    if fresh.next is not NULL:
        fresh.next.prev = fresh


cdef bint skiplist_split(
    skiplist_t *list, const path_t *path, leaf_t *leaf, side_t side, Py_ssize_t index,
    const sortkey_t *key
) noexcept nogil:
    """Split a leaf in two for the key that is to be inserted at the index; False: no memory."""
    cdef leaf_t *fresh
    cdef branch_t *reserve[HEIGHT_MAX + 1]
    if not blocks_reserve(list, path, &fresh, reserve):
        return False
    skiplist_settle(list)
    leaf_split(list, leaf, fresh, side, leaf_cut(leaf, side, index))

    cdef leaf_t *right_leaf = leaf if side == BEFORE_ALL else fresh
    cdef sortkey_t first = key[0]
    if leaf_len(right_leaf):
        first = entry_key(list, &leaf_entries(right_leaf)[right_leaf.begin])

    cdef slot_t right
    right.a, right.b = first.a, first.b
    right.tie = first.tie[0]
    right.child, right.count = right_leaf, leaf_len(right_leaf)
    cdef void *left = fresh if side == BEFORE_ALL else leaf
    cdef Py_ssize_t left_count = leaf_len(<leaf_t *> left)
    cdef const step_t *step
    cdef int level = 1
    while level <= list.height:
        step = &path.steps[level]
        step.branch.child[step.index] = left
        step.branch.count[step.index] = left_count
        if step.branch.size < JQ_BLOCK:
            branch_insert(step.branch, step.index + 1, &right)
            return True
        branch_split(step.branch, reserve[level], side, step.index + 1, &right)
        left = step.branch
        left_count = branch_count(step.branch)
        level += 1

    cdef branch_t *root = reserve[level]
    root.size = 1
    root.child[0] = left
    root.count[0] = left_count
    branch_insert(root, 1, &right)
    list.root = root
    list.height = level
    return True


cdef bint skiplist_enlarge(skiplist_t *list) noexcept nogil:
    """Give the only leaf, which is not of full size, twice the space; False: no memory."""
    cdef leaf_t *leaf = list.first
    cdef leaf_t *larger = leaf_new(min(2 * leaf.capacity, JQ_BLOCK))
    if larger is NULL:
        return False
    larger.end = <uint16_t> leaf_len(leaf)
    memcpy(leaf_entries(larger), &leaf_entries(leaf)[leaf.begin], larger.end * sizeof(entry_t))
    list.first = list.last = larger
    list.root = larger
    leaf_free(leaf)
    return True


cdef bint leaf_has_space(leaf_t *leaf, side_t side) noexcept nogil:
    """Whether it takes one more; at an end of the list, without moving many entries each time."""
    if side == WITHIN:
        return leaf_len(leaf) < leaf.capacity
    if leaf.end < leaf.capacity if side == AFTER_ALL else leaf.begin > 0:
        return True
    if 2 * leaf_len(leaf) > leaf.capacity:
        return False
    leaf_slide(leaf, 0 if side == AFTER_ALL else leaf.capacity - leaf_len(leaf))
    return True


cdef bint skiplist_make_space(
    skiplist_t *list, path_t *path, leaf_t *leaf, side_t side, Py_ssize_t index,
    const sortkey_t *key
) noexcept nogil:
    """See that the leaf where the key belongs has space; it may be another leaf than before."""
    if list.height == 0 and leaf.capacity < JQ_BLOCK:
        if not skiplist_enlarge(list):
            return False
        return leaf_has_space(list.first, side)       # slides the entries towards the other end
    if side != WITHIN:
        path_to_end(list, side, path)
    return skiplist_split(list, path, leaf, side, index, key)

# ---------------------------------------------------------------- shrinking

cdef void skiplist_drop(skiplist_t *list, const path_t *path, leaf_t *leaf) noexcept nogil:
    """Free an empty leaf, the branches it leaves empty, and the levels that are of no use then."""
    cdef branch_t *branch
    cdef int level = 1
    if list.height == 0:
        if leaf.capacity == LEAF_MIN:
            leaf.begin = leaf.end = 0                # a queue of a job or two should not allocate
        else:
            skiplist_clear(list)
        return
    skiplist_settle(list)
    if leaf.prev is NULL:
        list.first = leaf.next
    else:
        leaf.prev.next = leaf.next
    if leaf.next is NULL:
        list.last = leaf.prev
    else:
        leaf.next.prev = leaf.prev
    leaf_free(leaf)
    while path.steps[level].branch.size == 1:        # never the root: it has two
        branch_free(path.steps[level].branch)
        level += 1
    branch_remove(path.steps[level].branch, path.steps[level].index)
    while list.height > 0 and (<branch_t *> list.root).size == 1:
        branch = <branch_t *> list.root
        list.root = branch.child[0]
        list.height -= 1
        branch_free(branch)


cdef void block_clear(void *block, int level) noexcept nogil:
    """Free a block and all under it."""
    cdef branch_t *branch = <branch_t *> block
    cdef Py_ssize_t index
    if level == 0:
        leaf_free(<leaf_t *> block)
        return
    for index in range(branch.size):
        block_clear(branch.child[index], level - 1)
    branch_free(branch)

# ---------------------------------------------------------------- the set

cdef void skiplist_init(skiplist_t *list, tie_of_t tie_of) noexcept nogil:
    """Make it an empty list; nothing is allocated."""
    list.first = list.last = NULL
    list.root = NULL
    list.tie_of = tie_of
    list.length = 0
    list.head_lag = list.tail_lag = 0
    list.height = 0


cdef void skiplist_clear(skiplist_t *list) noexcept nogil:
    """Free all blocks, not the items; the list is empty then and can be used again. O(n)."""
    if list.root is not NULL:
        block_clear(list.root, list.height)
    skiplist_init(list, list.tie_of)


cdef void skiplist_prefetch(const skiplist_t *list, const sortkey_t *key) noexcept nogil:
    """Ask for the leaf where a key will go, unless that is the last or all is near. O(log n)."""
    cdef path_t path
    if list.height > 1 and not entry_precedes(list, &leaf_entries(list.last)[list.last.end - 1], key):
        path_to_key(list, key, &path)


cdef int skiplist_insert(skiplist_t *list, const sortkey_t *key, void *item) noexcept nogil:
    """1: inserted; 0: an equal key is there; -1: no memory, and nothing changed. O(log n).

    O(1) amortised when the key follows or precedes all others.
    """
    cdef path_t path
    cdef side_t side = AFTER_ALL
    cdef leaf_t *leaf = list.last
    cdef Py_ssize_t index = 0
    if leaf is NULL:
        leaf = leaf_new(LEAF_MIN)
        if leaf is NULL:
            return -1
        list.first = list.last = leaf
        list.root = leaf
    elif list.length and not entry_precedes(list, &leaf_entries(leaf)[leaf.end - 1], key):
        leaf = list.first
        if entry_precedes(list, &leaf_entries(leaf)[leaf.begin], key):
            side = WITHIN
            leaf = path_to_key(list, key, &path)
            index = leaf_find(list, leaf, key)
        else:
            side = BEFORE_ALL
            index = leaf.begin
        if index < leaf.end and entry_equals(list, &leaf_entries(leaf)[index], key):
            return 0

    if not leaf_has_space(leaf, side):
        if not skiplist_make_space(list, &path, leaf, side, index, key):
            return -1
        if side == WITHIN:
            leaf = path_to_key(list, key, &path)
            index = leaf_find(list, leaf, key)
        else:
            leaf = list.last if side == AFTER_ALL else list.first
    if side == AFTER_ALL:
        index = leaf.end
    elif side == BEFORE_ALL:
        index = leaf.begin
    leaf_insert(leaf, index, key, item)
    list.length += 1
    if side == WITHIN:
        path_add(&path, list.height, 1)
    elif list.height > 0:
        list.tail_lag += side == AFTER_ALL
        list.head_lag += side == BEFORE_ALL
    return 1


cdef entry_t *entry_find(
    const skiplist_t *list, const sortkey_t *key, path_t *path, leaf_t **leaf
) noexcept nogil:
    """The entry of that key and the way there, or NULL."""
    if list.length == 0:
        return NULL
    leaf[0] = path_to_key(list, key, path)
    cdef Py_ssize_t index = leaf_find(list, leaf[0], key)
    cdef entry_t *entry = &leaf_entries(leaf[0])[index]
    return entry if index < leaf[0].end and entry_equals(list, entry, key) else NULL


cdef void *skiplist_remove(skiplist_t *list, const sortkey_t *key) noexcept nogil:
    """Take the entry of that key out: its item, or NULL. O(log n); never allocates."""
    cdef path_t path
    cdef leaf_t *leaf
    cdef void *item
    cdef const entry_t *entry = entry_find(list, key, &path, &leaf)
    if entry is NULL:
        return NULL
    item = entry.item
    leaf_remove(leaf, entry - leaf_entries(leaf))
    list.length -= 1
    path_add(&path, list.height, -1)
    if leaf.begin == leaf.end:
        skiplist_drop(list, &path, leaf)
    return item


cdef void *skiplist_pop(skiplist_t *list) noexcept nogil:
    """Take the first entry out: its item, or NULL. O(1) amortised; never allocates."""
    cdef path_t path
    cdef leaf_t *leaf = list.first
    cdef void *item
    if list.length == 0:
        return NULL
    item = leaf_entries(leaf)[leaf.begin].item
    leaf.begin += 1
    list.length -= 1
    if list.height > 0:
        list.head_lag -= 1
    if leaf.begin == leaf.end:
        path_to_end(list, BEFORE_ALL, &path)
        skiplist_drop(list, &path, leaf)
    return item


cdef void *skiplist_find(skiplist_t *list, const sortkey_t *key) noexcept nogil:
    """Item of that key, or NULL. O(log n)."""
    cdef path_t path
    cdef leaf_t *leaf
    cdef const entry_t *entry = entry_find(list, key, &path, &leaf)
    return NULL if entry is NULL else entry.item


cdef void *skiplist_after(skiplist_t *list, const sortkey_t *key) noexcept nogil:
    """First item whose key is strictly greater, or NULL. O(log n)."""
    cdef path_t path
    if list.length == 0:
        return NULL
    cdef const leaf_t *leaf = path_to_key(list, key, &path)
    cdef Py_ssize_t index = leaf_find(list, leaf, key)
    index += index < leaf.end and entry_equals(list, &leaf_entries(leaf)[index], key)
    if index < leaf.end:
        return leaf_entries(leaf)[index].item
    leaf = leaf.next
    return NULL if leaf is NULL else leaf_entries(leaf)[leaf.begin].item


cdef void *skiplist_at(skiplist_t *list, Py_ssize_t index) noexcept nogil:
    """Item with ``index`` entries before it, or NULL outside of 0..len-1. O(log n)."""
    cdef const void *block = list.root
    cdef const branch_t *branch
    cdef Py_ssize_t slot
    if not 0 <= index < list.length:
        return NULL
    skiplist_settle(list)
    for _ in range(list.height):
        branch = <const branch_t *> block
        slot = 0
        while index >= branch.count[slot]:
            index -= branch.count[slot]
            slot += 1
        block = branch.child[slot]
    cdef const leaf_t *leaf = <const leaf_t *> block
    return leaf_entries(leaf)[leaf.begin + index].item


cdef Py_ssize_t skiplist_rank(skiplist_t *list, const sortkey_t *key) noexcept nogil:
    """Number of entries with smaller keys; the key need not be there. O(log n)."""
    cdef path_t path
    cdef Py_ssize_t slot, rank = 0
    cdef int level
    if list.length == 0:
        return 0
    skiplist_settle(list)
    cdef const leaf_t *leaf = path_to_key(list, key, &path)
    for level in range(1, list.height + 1):
        for slot in range(path.steps[level].index):
            rank += path.steps[level].branch.count[slot]
    return rank + leaf_find(list, leaf, key) - leaf.begin

# ---------------------------------------------------------------- checks

cdef struct audit_t:              # what is known half-way through a walk over the blocks
    const skiplist_t *list
    const leaf_t *leaf            # last one seen
    const entry_t *entry          # last one seen
    const char *broken            # the first invariant found broken, or NULL


cdef inline void audit_expect(audit_t *audit, bint holds, const char *invariant) noexcept nogil:
    if not holds and audit.broken is NULL:
        audit.broken = invariant


cdef Py_ssize_t audit_leaf(audit_t *audit, const leaf_t *leaf) noexcept nogil:
    """Check a leaf, the next one of its level; return the number of its entries."""
    cdef const skiplist_t *list = audit.list
    cdef const entry_t *entry
    cdef sortkey_t key
    cdef Py_ssize_t index
    audit_expect(audit, leaf.begin <= leaf.end <= leaf.capacity, b"entries outside of the leaf")
    audit_expect(audit, leaf.begin < leaf.end or list.length == 0, b"empty leaf")
    audit_expect(audit, leaf.capacity == JQ_BLOCK or list.height == 0, b"small leaf")
    audit_expect(audit, leaf.prev == audit.leaf, b"prev of a leaf")
    audit_expect(audit, audit.leaf is NULL or audit.leaf.next == leaf, b"next of a leaf")
    audit.leaf = leaf
    for index in range(leaf.begin, leaf.end):
        entry = &leaf_entries(leaf)[index]
        key = entry_key(list, entry)
        audit_expect(audit, entry.item is not NULL, b"entry without item")
        if audit.entry is not NULL:
            audit_expect(audit, entry_precedes(list, audit.entry, &key), b"order of entries")
        audit.entry = entry
    return leaf_len(leaf)


cdef Py_ssize_t audit_block(
    audit_t *audit, const void *block, int level, bint is_first, bint is_last
) noexcept nogil:
    """Check a block and all under it; return the number of entries there."""
    cdef const skiplist_t *list = audit.list
    cdef const branch_t *branch = <const branch_t *> block
    cdef sortkey_t separator
    cdef const leaf_t *leaf
    cdef Py_ssize_t index, count, recorded, total = 0
    cdef bint leads, ends
    if level == 0:
        return audit_leaf(audit, <const leaf_t *> block)
    audit_expect(audit, 1 <= branch.size <= JQ_BLOCK, b"slots outside of the branch")
    audit_expect(audit, branch.size > 1 or block != list.root, b"root of one slot")
    for index in range(branch.size):
        separator = sortkey_t(branch.a[index], branch.b[index], &branch.tie[index])
        leads = is_first and index == 0
        ends = is_last and index == branch.size - 1
        if index:
            audit_expect(audit, entry_precedes(list, audit.entry, &separator), b"entry not before separator")
        leaf = audit.leaf
        count = audit_block(audit, branch.child[index], level - 1, leads, ends)
        leaf = list.first if leaf is NULL else leaf.next
        if index:
            audit_expect(audit, not entry_precedes(list, &leaf_entries(leaf)[leaf.begin], &separator),
                         b"entry not after separator")
        recorded = branch.count[index]
        recorded += (list.head_lag if leads else 0) + (list.tail_lag if ends else 0)
        audit_expect(audit, recorded == count, b"count of a slot")
        total += count
    return total


cdef const char *skiplist_check(skiplist_t *list) noexcept nogil:
    """NULL when every invariant holds, else the name of one that does not. O(n)."""
    cdef audit_t audit = audit_t(list, NULL, NULL, NULL)
    cdef Py_ssize_t count = 0
    if list.root is not NULL:
        count = audit_block(&audit, list.root, list.height, True, True)
        audit_expect(&audit, audit.leaf.next is NULL, b"next of the last leaf")
        audit_expect(&audit, list.first.prev is NULL, b"prev of the first leaf")
    audit_expect(&audit, list.last == audit.leaf, b"last leaf")
    audit_expect(&audit, list.length == count, b"length")
    audit_expect(&audit, list.height > 0 or (list.head_lag == 0 and list.tail_lag == 0), b"lag without path")
    return audit.broken


cdef size_t block_memory(const void *block, int level) noexcept nogil:
    cdef const branch_t *branch = <const branch_t *> block
    cdef size_t size = sizeof(branch_t)
    cdef Py_ssize_t index
    if level == 0:
        return leaf_size((<const leaf_t *> block).capacity)
    if level == 1:
        return size + branch.size * leaf_size(JQ_BLOCK)
    for index in range(branch.size):
        size += block_memory(branch.child[index], level - 1)
    return size


cdef size_t skiplist_memory(skiplist_t *list) noexcept nogil:
    """Bytes allocated for blocks. O(n / JQ_BLOCK)."""
    return 0 if list.root is NULL else block_memory(list.root, list.height)

# ---------------------------------------------------------------- for tests

def _fail_allocation_after(Py_ssize_t n):
    """Let n more blocks be allocated and the next one fail, once; -1: none fails.

    False when this is not a DEBUG build, which cannot do that.
    """
    global jq_allocations_left
    jq_allocations_left = n
    return bool(JQ_IS_DEBUG)


def _blocks_live():
    """Number of blocks allocated and not freed, of all lists; 0 unless this is a DEBUG build."""
    return jq_blocks_live
