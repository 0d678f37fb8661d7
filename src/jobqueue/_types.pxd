"""The limits, and the structs that stand alone: read this first, then _state.pxd (records, queues, waits).

Times are int64 nanoseconds: ``wall`` since 1970 (UTC), ``mono`` on the monotonic clock.
All structs are plain C: no Python object is touched to compare a key or to move a timer.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    NAME_MAX_LEN = 255            # characters in a job name
    PAYLOAD_MAX_SIZE = 1048576    # bytes in a payload
    RESULT_MAX_SIZE = 1048576     # bytes in a result
    UNIQUE_MAX_SIZE = 255         # bytes in the key of a unique job
    PAYLOAD_SMALL = 128           # bytes of a payload that a Job may copy, so that it is all in one place
    ATTEMPTS_MAX = 255            # a job's own limit of attempts
    FAILS_MAX = 255               # a job's own limit of failures
    HARD_ATTEMPTS_MAX = 255       # attempts after which any job fails
    TTR_MAX_MS = 86400000         # 24 h
    TIMEOUT_MAX_MS = 86400000     # 24 h
    ID_SIZE = 16                  # bytes in an id

cdef extern from *:
    """
    #define JQ_NEVER_NS INT64_MAX
    #define JQ_NS_PER_MS 1000000LL
    #define JQ_TTL_MAX_MS 2592000000LL
    #define JQ_TIME_MAX_NS (INT64_MAX - 2 * JQ_TTL_MAX_MS * JQ_NS_PER_MS)

    /* The sum of two times or spans, kept within what an engine reckons with. */
    static inline int64_t jq_ns_add(int64_t a, int64_t b)
    {
        int64_t sum;
    #if defined(__GNUC__) || defined(__clang__)
        if (__builtin_add_overflow(a, b, &sum))
            return a < 0 ? -JQ_TIME_MAX_NS : JQ_TIME_MAX_NS;
    #else
        if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
            return a < 0 ? -JQ_TIME_MAX_NS : JQ_TIME_MAX_NS;
        sum = a + b;
    #endif
        if (sum > JQ_TIME_MAX_NS)
            return JQ_TIME_MAX_NS;
        return sum < -JQ_TIME_MAX_NS ? -JQ_TIME_MAX_NS : sum;
    }
    """
    const int64_t NEVER_NS "JQ_NEVER_NS"          # later than any deadline
    const int64_t NS_PER_MS "JQ_NS_PER_MS"
    const int64_t TTL_MAX_MS "JQ_TTL_MAX_MS"      # 30 days
    # The last time an engine reckons with, and less 0 the first. Whatever a clock says is brought
    # into this range, and no sum leaves it: no time equals a sentinel, and no sum overflows.
    const int64_t TIME_MAX_NS "JQ_TIME_MAX_NS"
    int64_t ns_add "jq_ns_add" (int64_t a, int64_t b) noexcept nogil

# ---------------------------------------------------------------- ordered set (_skiplist)

cdef struct tie_t:                # what decides between equal keys
    int64_t created_ns            # wall time of creation: early first
    uint8_t id[16]                # then the id, bytewise

cdef struct sortkey_t:            # order of an entry: a, then b, then tie
    int64_t a                     # ready: -priority     scheduled: due time (wall ns)
    int64_t b                     # ready: created_ns    scheduled: -priority
    const tie_t *tie              # followed only when a and b are equal

ctypedef const tie_t *(*tie_of_t)(const void *item) noexcept nogil

# ---------------------------------------------------------------- timers (_wheel)

cdef enum timer_state_t:
    TIMER_IDLE = 0                # never armed since it was last cleared
    TIMER_ARMED = 1
    TIMER_FIRED = 2
    TIMER_CANCELLED = 3

cdef struct timer_t:              # one timer; lives inside its owner, so arming never allocates
    timer_t *prev                 # neighbours in the wheel slot's list
    timer_t *next
    int64_t deadline_ns           # when it is due, mono
    uint16_t slot                 # where the wheel filed it; meaningful while armed
    uint8_t kind                  # the owner's: which of its timers this is
    uint8_t state                 # timer_state_t
    uint32_t own                  # the owner's: a number that the wheel leaves alone

# ---------------------------------------------------------------- jobs (_job)

cdef enum job_flag_t:
    JOB_CREATED_GIVEN = 1         # the caller chose created: never stamped again
    JOB_UNIQUE = 2                # a unique_t stands behind the job_t
    JOB_HOUSES = 4                # a record of it stands behind the job_t, and needs no memory of its own

cdef struct job_t:                # the immutable half of a job; lives inside a Job object
    tie_t tie                     # created_ns and id
    int64_t time_ns               # scheduled time, wall; NEVER_NS: none
    void *name                    # exact str, owned
    void *payload                 # exact bytes, owned; NULL: its bytes stand behind the job (_state.pxd)
    void *record                  # a record_t of it that is registered somewhere, borrowed; with the
                                  # GIL only, NULL: look it up
    uint32_t ttr_ms
    uint32_t ttl_ms
    int32_t priority              # high first
    uint8_t max_attempts          # 0: no limit of its own
    uint8_t max_fails             # 0: no limit of its own
    uint8_t flags                 # of job_flag_t
    uint8_t held                  # queues and registries that hold it (hold, unhold); while > 0 its
                                  # stamp stays
    uint32_t payload_size

cdef struct unique_t:             # what only a job with a key has; stands behind its job_t
    void *key                     # exact bytes, owned
    uint64_t hash                 # of name and key

cdef inline unique_t *job_unique(const job_t *job) noexcept nogil:
    """The key of a job that has JOB_UNIQUE."""
    return <unique_t *> (job + 1)

# ---------------------------------------------------------------- lock, clocks, references, objects

cdef extern from "_memory.h":
    ctypedef struct slab_t "jq_slab_t":     # slots of one size; all zeros to begin with
        pass
    void *slab_take "jq_slab_take" (slab_t *slab, size_t size) noexcept nogil
    void slab_give "jq_slab_give" (slab_t *slab, void *slot, size_t size) noexcept nogil
    const void *slot_books "jq_slot_books" (const void *slot) noexcept nogil
    const void *object_books "jq_object_books" (const void *obj) noexcept nogil
    const bint HAS_SLABS "JQ_SLABS"         # else each object has memory of its own
    void *object_begin "jq_object_begin" (void *memory, void *type) noexcept
    void object_end "jq_object_end" (void *obj) noexcept
    object pool_take "jq_pool_take" (slab_t *pool, object type, size_t more)    # objects of one type
    void *pool_take_raw "jq_pool_take" (                                        # NULL: exception set
        slab_t *pool, void *type, size_t more) noexcept
    void pool_give "jq_pool_give" (slab_t *pool, void *obj, size_t more) noexcept
    void huge_pages "jq_huge_pages" (void *start, size_t size) noexcept nogil

cdef extern from "_platform.h":
    object long_take "jq_long_take" (object type, size_t more)
    void long_give "jq_long_give" (void *obj) noexcept
    bint bytes_equal "jq_bytes_equal" (const void *a, const void *b) noexcept nogil
    bint name_equal "jq_name_equal" (const void *a, const void *b) noexcept nogil
    void type_set "jq_type_set" (
        object type, void *call, void *make, void *alloc, void *dealloc) noexcept
    bint small_int "jq_small_int" (object value, int64_t *out) noexcept
    void count_by "JQ_COUNT" (Py_ssize_t counter, int by) noexcept
    const bint HAS_GIL "JQ_HAS_GIL"
    ctypedef struct lock_t "jq_lock_t":
        pass
    void lock_acquire "jq_lock" (lock_t *lock) noexcept nogil
    void lock_release "jq_unlock" (lock_t *lock) noexcept nogil
    void lock_renew "jq_lock_renew" (lock_t *lock) noexcept nogil
    void hold "jq_hold" (uint8_t *held) noexcept nogil
    void unhold "jq_unhold" (uint8_t *held) noexcept nogil
    int64_t clock_wall_ns "jq_wall_ns" () noexcept nogil
    int64_t clock_mono_ns "jq_mono_ns" () noexcept nogil
    void breathe "jq_breathe" () noexcept nogil    # without the GIL: others go on
    void prefetch "jq_prefetch" (const void *address) noexcept nogil
    void struct_clear "jq_clear" (void *start, size_t size) noexcept nogil
    void ref_take "jq_incref" (void *obj) noexcept nogil    # of a PyObject
    void ref_drop "jq_decref" (void *obj) noexcept nogil    # its dealloc must run no foreign code

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
