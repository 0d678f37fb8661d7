"""What platform.h, memory.h and references.h offer: slots, the engine's lock, clocks, references."""

from libc.stdint cimport int64_t, uint8_t

# ---------------------------------------------------------------- lock, clocks, references, objects

cdef extern from "_structures/memory.h":
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

cdef extern from "_structures/platform.h":
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
    bint lock_held "jq_locked" (const lock_t *lock) noexcept nogil      # in JQ_ASSERT alone
    void JQ_ASSERT(bint condition) noexcept nogil  # a precondition, in DEBUG builds
    void hold "jq_hold" (uint8_t *held) noexcept nogil
    void unhold "jq_unhold" (uint8_t *held) noexcept nogil
    int64_t clock_wall_ns "jq_wall_ns" () noexcept nogil
    int64_t clock_mono_ns "jq_mono_ns" () noexcept nogil
    void breathe "jq_breathe" () noexcept nogil    # without the GIL: others go on
    void prefetch "jq_prefetch" (const void *address) noexcept nogil
    void struct_clear "jq_clear" (void *start, size_t size) noexcept nogil
    void ref_take "jq_incref" (void *obj) noexcept nogil    # of a PyObject
    void ref_drop "jq_decref" (void *obj) noexcept nogil    # its dealloc must run no foreign code
    bint ref_shared "jq_is_shared" (void *obj) noexcept nogil   # False: the caller has the only one
