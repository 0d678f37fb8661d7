"""SkipList: the ordered set of _structures/skiplist.pyx as a Python object, to be tested and played with.

The engine uses the C functions. Locking: a critical section round each call, on free-threaded builds.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from jobqueue._structures.keys cimport ID_SIZE, sortkey_t, tie_t
from jobqueue._structures.skiplist cimport (
    skiplist_after, skiplist_at, skiplist_check, skiplist_clear, skiplist_find, skiplist_init,
    skiplist_insert, skiplist_len, skiplist_memory, skiplist_pop, skiplist_rank, skiplist_remove,
    skiplist_t,
)

cdef struct member_t:             # item of a SkipList: the whole key
    int64_t a
    int64_t b
    tie_t tie


cdef const tie_t *member_tie(const void *member) noexcept nogil:
    return &(<const member_t *> member).tie


cdef inline sortkey_t member_key(const member_t *member) noexcept nogil:
    return sortkey_t(member.a, member.b, &member.tie)


cdef member_t member_make(int64_t a, int64_t b, int64_t created_ns, bytes id_bytes) except *:
    cdef member_t member
    if len(id_bytes) != ID_SIZE:
        raise ValueError(f"an id has {ID_SIZE} bytes, not {len(id_bytes)}")
    member.a = a
    member.b = b
    member.tie.created_ns = created_ns
    memcpy(member.tie.id, PyBytes_AS_STRING(id_bytes), ID_SIZE)
    return member


cdef member_t member_of(tuple key) except *:
    a, b, created_ns, id_bytes = key
    return member_make(a, b, created_ns, id_bytes)


cdef tuple member_tuple(const member_t *member):
    cdef bytes id_bytes = PyBytes_FromStringAndSize(<const char *> member.tie.id, ID_SIZE)
    return (member.a, member.b, member.tie.created_ns, id_bytes)


@cython.final
cdef class SkipList:
    """Ordered set of keys ``(a, b, created_ns, id_bytes)``, compared in that order.

    ``a``, ``b`` and ``created_ns`` are integers of 64 bits, ``id_bytes`` is 16 bytes. This is the
    structure queues keep their jobs in, to be tested and played with; the engine itself uses the C
    functions. It is a skiplist of blocks (Munro, Papadakis & Sedgewick, "Deterministic skip
    lists", SODA 1992), blocks being freed when they are empty (Johnson & Shasha, JCSS 1993).

    >>> keys = SkipList()
    >>> keys.insert(2, 0, 0, bytes(16)), keys.insert(1, 0, 0, bytes(16))
    (True, True)
    >>> keys.insert(1, 0, 0, bytes(16))
    False
    >>> [key[0] for key in keys]
    [1, 2]
    >>> keys.pop()[0], len(keys)
    (1, 1)
    """

    cdef skiplist_t list

    def __cinit__(self):
        skiplist_init(&self.list, member_tie)

    def __dealloc__(self):
        cdef void *member = skiplist_pop(&self.list)
        while member is not NULL:
            PyMem_RawFree(member)
            member = skiplist_pop(&self.list)
        skiplist_clear(&self.list)

    def insert(self, int64_t a, int64_t b, int64_t created_ns, bytes id_bytes not None):
        """Insert a key; False if it is there already. O(log n), O(1) at either end.

        Raises:
            ValueError: the id is not 16 bytes.
            MemoryError: nothing has changed then.
        """
        cdef member_t key = member_make(a, b, created_ns, id_bytes)
        cdef sortkey_t sortkey = member_key(&key)
        cdef int inserted
        cdef member_t *member = <member_t *> PyMem_RawMalloc(sizeof(member_t))
        if member is NULL:
            raise MemoryError
        member[0] = key
        with cython.critical_section(self):
            inserted = skiplist_insert(&self.list, &sortkey, member)
        if inserted <= 0:
            PyMem_RawFree(member)
        if inserted < 0:
            raise MemoryError
        return inserted == 1

    def remove(self, int64_t a, int64_t b, int64_t created_ns, bytes id_bytes not None):
        """Remove a key; False if it is not there. O(log n).

        Raises:
            ValueError: the id is not 16 bytes.
        """
        cdef member_t key = member_make(a, b, created_ns, id_bytes)
        cdef sortkey_t sortkey = member_key(&key)
        cdef void *member
        with cython.critical_section(self):
            member = skiplist_remove(&self.list, &sortkey)
            PyMem_RawFree(member)
        return member is not NULL

    def pop(self):
        """Remove the least key and return it; None if there is none. O(1) amortised."""
        cdef member_t *member
        with cython.critical_section(self):
            member = <member_t *> skiplist_pop(&self.list)
        if member is NULL:
            return None
        try:
            return member_tuple(member)
        finally:
            PyMem_RawFree(member)

    def at(self, Py_ssize_t index):
        """The key with ``index`` smaller ones. O(log n).

        Raises:
            IndexError: index is outside of 0..len-1.
        """
        cdef member_t key
        cdef const member_t *member
        with cython.critical_section(self):
            member = <const member_t *> skiplist_at(&self.list, index)
            if member is not NULL:
                key = member[0]
        if member is NULL:
            raise IndexError(f"index {index} is outside of 0..{len(self) - 1}")
        return member_tuple(&key)

    def rank(self, tuple key not None):
        """Number of keys smaller than this one, which need not be in the set. O(log n).

        Raises:
            ValueError: the id is not 16 bytes.
        """
        cdef member_t member = member_of(key)
        cdef sortkey_t sortkey = member_key(&member)
        cdef Py_ssize_t rank
        with cython.critical_section(self):
            rank = skiplist_rank(&self.list, &sortkey)
        return rank

    def after(self, tuple key not None):
        """The least key greater than this one, which need not be in the set, or None. O(log n).

        Raises:
            ValueError: the id is not 16 bytes.
        """
        cdef member_t found = member_of(key)
        cdef sortkey_t sortkey = member_key(&found)
        cdef const member_t *member
        with cython.critical_section(self):
            member = <const member_t *> skiplist_after(&self.list, &sortkey)
            if member is not NULL:
                found = member[0]
        return None if member is NULL else member_tuple(&found)

    def __contains__(self, tuple key not None):
        cdef member_t member = member_of(key)
        cdef sortkey_t sortkey = member_key(&member)
        cdef bint found
        with cython.critical_section(self):
            found = skiplist_find(&self.list, &sortkey) is not NULL
        return found

    def __len__(self):
        return skiplist_len(&self.list)

    def __iter__(self):
        """The keys in order; each step finds its place anew, so the set may change meanwhile."""
        if len(self) == 0:
            return
        try:
            key = self.at(0)
        except IndexError:        # taken by another thread
            return
        while key is not None:
            yield key
            key = self.after(key)

    def _memory(self):
        """Bytes allocated for blocks. O(n)."""
        return skiplist_memory(&self.list)

    def _check(self):
        """Raise AssertionError with the name of an invariant that does not hold. O(n)."""
        cdef const char *broken
        with cython.critical_section(self):
            broken = skiplist_check(&self.list)
        if broken is not NULL:
            raise AssertionError((<bytes> broken).decode())
