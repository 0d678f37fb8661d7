"""The structs of keys: what orders jobs, and what tells two with equal keys apart."""

from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memcpy

cdef enum:
    ID_SIZE = 16                  # bytes in an id

# ---------------------------------------------------------------- ordered set (skiplist)

cdef struct tie_t:                # what decides between equal keys
    int64_t created_ns            # wall time of creation: early first
    uint8_t id[16]                # then the id, bytewise

cdef struct sortkey_t:            # order of an entry: a, then b, then tie
    int64_t a                     # ready: -priority     scheduled: due time (wall ns)
    int64_t b                     # ready: created_ns    scheduled: -priority
    const tie_t *tie              # followed only when a and b are equal

ctypedef const tie_t *(*tie_of_t)(const void *item) noexcept nogil

# ---------------------------------------------------------------- lock, clocks, references, objects

cdef inline uint64_t id_hash(const uint8_t *id, const uint64_t *seed) noexcept nogil:
    """Keyed hash of an id. Ids may come from strangers, who must not choose where they land."""
    cdef uint64_t a
    cdef uint64_t b
    memcpy(&a, id, 8)
    memcpy(&b, id + 8, 8)
    a = (a ^ seed[0]) * <uint64_t> 0x9E3779B97F4A7C15
    b = ((b ^ seed[1]) ^ (a >> 32)) * <uint64_t> 0xD6E8FEB86659FD93
    a = (a ^ (b >> 29)) * <uint64_t> 0xA0761D6478BD642F
    return a ^ (a >> 32)
