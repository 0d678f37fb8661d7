"""Times and spans in nanoseconds: their limits, and a sum that stays within them."""

from libc.stdint cimport int64_t

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

    /* The sum of two times or spans of which only clocks that contradict each other make one that is out
     * of this range: kept from overflowing, and no more. It costs one jump that is not taken. */
    static inline int64_t jq_ns_sum(int64_t a, int64_t b)
    {
    #if defined(__GNUC__) || defined(__clang__)
        int64_t sum;
        if (__builtin_expect(__builtin_add_overflow(a, b, &sum), 0))
            return a < 0 ? -JQ_TIME_MAX_NS : JQ_TIME_MAX_NS;
        return sum;
    #else
        return jq_ns_add(a, b);
    #endif
    }
    """
    const int64_t NEVER_NS "JQ_NEVER_NS"          # later than any deadline
    const int64_t NS_PER_MS "JQ_NS_PER_MS"
    const int64_t TTL_MAX_MS "JQ_TTL_MAX_MS"      # 30 days
    # The last time an engine reckons with, and less 0 the first. Whatever a clock says is brought
    # into this range, and no sum leaves it: no time equals a sentinel, and no sum overflows. But what an
    # engine takes for now, and a span of 30 days at most, can be plainly added: 60 days are left above.
    const int64_t TIME_MAX_NS "JQ_TIME_MAX_NS"
    int64_t ns_add "jq_ns_add" (int64_t a, int64_t b) noexcept nogil
    int64_t ns_sum "jq_ns_sum" (int64_t a, int64_t b) noexcept nogil
