/* What differs between platforms and builds: clocks, the engine's lock, prefetch. Memory: memory.h. */
#ifndef JQ_PLATFORM_H
#define JQ_PLATFORM_H

#include "Python.h"
#include "references.h"
#include <stdint.h>
#include <string.h>

/* ---- preconditions: DEBUG builds check them, in others they are no code at all ---- */
#ifdef JQ_DEBUG
#include <stdio.h>
#include <stdlib.h>
#define JQ_ASSERT(condition) \
    ((condition) ? (void)0 : (void)(fprintf(stderr, "%s:%d: jobqueue: %s: not so: %s\n", \
                                            __FILE__, __LINE__, __func__, #condition), abort()))
#else
#define JQ_ASSERT(condition) ((void)0)
#endif

/* ---- clocks: int64 nanoseconds ---- */
#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
static inline int64_t jq_wall_ns(void)
{
    FILETIME ft;
    ULARGE_INTEGER t;
    GetSystemTimePreciseAsFileTime(&ft); /* 100 ns since 1601 */
    t.LowPart = ft.dwLowDateTime;
    t.HighPart = ft.dwHighDateTime;
    return (int64_t)(t.QuadPart - 116444736000000000ULL) * 100;
}
static inline int64_t jq_mono_ns(void)
{
    LARGE_INTEGER f, c;
    QueryPerformanceFrequency(&f);
    QueryPerformanceCounter(&c);
    return (c.QuadPart / f.QuadPart) * 1000000000LL
         + (c.QuadPart % f.QuadPart) * 1000000000LL / f.QuadPart;
}
#else
#include <time.h>
#ifdef __APPLE__
#define JQ_MONOTONIC CLOCK_UPTIME_RAW /* CLOCK_MONOTONIC is the wall clock less that of booting */
#else
#define JQ_MONOTONIC CLOCK_MONOTONIC
#endif
static inline int64_t jq_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

/*
 * A read of the system's clock costs about 30 ns. Where the processor has a time-stamp counter that
 * runs at one rate (CPUID says "invariant"), a read carries on for JQ_CARRY_NS after a real one by
 * counting, for about 10 ns. The rate is measured between real reads and taken 0.1 % low, so that
 * counting never runs ahead of the clock: it is behind by at most 0.1 % of JQ_CARRY_NS, 20 ns, and
 * what a real read takes.
 * Whatever looks odd (a counter that jumps, a rate that cannot be) leads to a real read.
 */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__)) && !defined(Py_GIL_DISABLED)
#include <cpuid.h>
#include <x86intrin.h>
#define JQ_CARRY_NS 20000
#define JQ_MEASURE_NS 10000000 /* measure the rate over at least this long */
#define JQ_READ_TICKS 1000     /* a read that took longer was interrupted */

typedef struct {
    uint64_t tsc;       /* counter at the last real read */
    int64_t ns;         /* what that read */
    uint64_t limit;     /* ticks for which counting may carry on; 0: none yet */
    uint64_t rate;      /* ns per tick, times 2**32 */
    uint64_t first_tsc; /* where the measurement of the rate began */
    int64_t first_ns;
} jq_clock_t;

static inline int jq_counter_is_steady(void)
{
    unsigned int a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}

static inline int64_t jq_clock_real(jq_clock_t *clock, clockid_t id)
{
    uint64_t before = __rdtsc();
    int64_t ns = jq_clock_ns(id);
    uint64_t tsc = __rdtsc();
    int64_t span_ns = ns - clock->first_ns;
    if (tsc - before > JQ_READ_TICKS) { /* something came between: not one moment */
        clock->tsc = 0;
        return ns;
    }
    if (clock->first_tsc == 0 || span_ns < 0 || tsc < clock->first_tsc) {
        clock->first_tsc = jq_counter_is_steady() ? tsc : 0;
        clock->first_ns = ns;
        clock->limit = 0;
    }
    else if (span_ns >= JQ_MEASURE_NS) {
        double rate = (double)span_ns / (double)(tsc - clock->first_tsc) * 4294967296.0 * 0.999;
        int possible = rate > 4294967296.0 * 0.1 && rate < 4294967296.0 * 10.0;
        clock->rate = possible ? (uint64_t)rate : 0;
        clock->limit = possible ? (uint64_t)(JQ_CARRY_NS * 4294967296.0 / rate) : 0;
        clock->first_tsc = tsc;
        clock->first_ns = ns;
    }
    clock->tsc = tsc;
    clock->ns = ns;
    return ns;
}

static inline int64_t jq_clock_carry(jq_clock_t *clock, clockid_t id)
{
    uint64_t ticks = __rdtsc() - clock->tsc;
    if (ticks < clock->limit)
        return clock->ns + (int64_t)((ticks * clock->rate) >> 32);
    return jq_clock_real(clock, id);
}

static jq_clock_t jq_wall_clock, jq_mono_clock; /* of this module; the GIL guards them */
static inline int64_t jq_wall_ns(void) { return jq_clock_carry(&jq_wall_clock, CLOCK_REALTIME); }
static inline int64_t jq_mono_ns(void) { return jq_clock_carry(&jq_mono_clock, JQ_MONOTONIC); }
#else
static inline int64_t jq_wall_ns(void) { return jq_clock_ns(CLOCK_REALTIME); }
static inline int64_t jq_mono_ns(void) { return jq_clock_ns(JQ_MONOTONIC); }
#endif
#endif

/* ---- the engine's lock: with the GIL a core operation is atomic and pays for none ---- */
#ifdef Py_GIL_DISABLED
typedef PyMutex jq_lock_t;
static inline void jq_lock(jq_lock_t *lock) { PyMutex_Lock(lock); }
static inline void jq_unlock(jq_lock_t *lock) { PyMutex_Unlock(lock); }
#define jq_locked(lock) (_Py_atomic_load_uint8_relaxed(&(lock)->_bits) & 1)
#elif defined(JQ_DEBUG)
typedef char jq_lock_t; /* whether it is held: two that meet here have let go of the GIL */
static inline void jq_lock(jq_lock_t *lock)
{
    JQ_ASSERT(!*lock);
    *lock = 1;
}
static inline void jq_unlock(jq_lock_t *lock)
{
    JQ_ASSERT(*lock);
    *lock = 0;
}
#define jq_locked(lock) (*(lock))
#else
typedef char jq_lock_t;
static inline void jq_lock(jq_lock_t *lock) { (void)lock; }
static inline void jq_unlock(jq_lock_t *lock) { (void)lock; }
#define jq_locked(lock) 1
#endif

/* In a forked child: neither its holder nor those who wait for it need be here. */
static inline void jq_lock_renew(jq_lock_t *lock) { memset(lock, 0, sizeof(*lock)); }

#ifdef Py_GIL_DISABLED
#define JQ_HAS_GIL 0
#else
#define JQ_HAS_GIL 1
#endif

/* ---- a count up to 255, which then stays, of what engines with locks of their own share ---- */
static inline void jq_hold(uint8_t *held)
{
#ifdef Py_GIL_DISABLED
    uint8_t n = _Py_atomic_load_uint8_relaxed(held);
    while (n < 255 && !_Py_atomic_compare_exchange_uint8(held, &n, (uint8_t)(n + 1))) {
    }
#else
    *held = (uint8_t)(*held + (*held < 255));
#endif
}

static inline void jq_unhold(uint8_t *held)
{
#ifdef Py_GIL_DISABLED
    uint8_t n = _Py_atomic_load_uint8_relaxed(held);
    while (0 < n && n < 255 && !_Py_atomic_compare_exchange_uint8(held, &n, (uint8_t)(n - 1))) {
    }
#else
    *held = (uint8_t)(*held - (0 < *held && *held < 255));
#endif
}

/* ---- hint that memory will be read soon ---- */
#if defined(__GNUC__) || defined(__clang__)
static inline void jq_prefetch(const void *p)
{
    __builtin_prefetch(p);
    __asm__ volatile(""); /* else GCC takes a function that only fetches ahead for one without effect */
}
#else
#define jq_prefetch(p) ((void)(p))
#endif

/* ---- number of a bit that is set; there is one ---- */
#ifdef _MSC_VER
#include <intrin.h>
static inline int jq_lowest_bit(uint64_t x)
{
    unsigned long i;
    _BitScanForward64(&i, x);
    return (int)i;
}
static inline int jq_highest_bit(uint64_t x)
{
    unsigned long i;
    _BitScanReverse64(&i, x);
    return (int)i;
}
#else
#define jq_lowest_bit(x) __builtin_ctzll(x)
#define jq_highest_bit(x) (63 ^ __builtin_clzll(x))
#endif

/* ---- ints that fit one digit, read without a call; 0: take the long way ---- */
static inline int jq_small_int(PyObject *o, int64_t *out)
{
    if (!PyLong_CheckExact(o))
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)o))
        return 0;
    *out = (int64_t)PyUnstable_Long_CompactValue((PyLongObject *)o);
#else
    if (Py_SIZE(o) < -1 || Py_SIZE(o) > 1)
        return 0;
    *out = (int64_t)Py_SIZE(o) * (int64_t)((PyLongObject *)o)->ob_digit[0];
#endif
    return 1;
}

/* ---- small objects with space for a struct behind them: rare, and never kept for the next one ---- */
static inline PyObject *jq_long_take(PyObject *type, size_t more)
{
    PyObject *o = (PyObject *)PyObject_Malloc((size_t)((PyTypeObject *)type)->tp_basicsize + more);
    return o == NULL ? PyErr_NoMemory() : PyObject_Init(o, (PyTypeObject *)type);
}

static inline void jq_long_give(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_Free(o);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_DECREF(type);
}

/* ---- exact bytes, and valid names (exact str, ASCII), compared without a Python call ---- */
static inline int jq_bytes_equal(const void *a, const void *b)
{
    Py_ssize_t size = Py_SIZE((PyObject *)a);
    return a == b || (size == Py_SIZE((PyObject *)b)
        && memcmp(PyBytes_AS_STRING((PyObject *)a), PyBytes_AS_STRING((PyObject *)b), (size_t)size) == 0);
}

static inline int jq_name_equal(const void *a, const void *b)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH((PyObject *)a);
    return a == b || (size == PyUnicode_GET_LENGTH((PyObject *)b)
        && memcmp(PyUnicode_DATA((PyObject *)a), PyUnicode_DATA((PyObject *)b), (size_t)size) == 0);
}

/* ---- slots of our own types that Cython has no syntax for; NULL leaves one as it is ---- */
static inline void jq_type_set(PyObject *type, void *call, void *make, void *alloc, void *dealloc)
{
    PyTypeObject *t = (PyTypeObject *)type;
    if (make != NULL) {
        t->tp_new = (newfunc)make;
        t->tp_vectorcall = (vectorcallfunc)call; /* NULL: calls go through tp_new */
    }
    if (alloc != NULL)
        t->tp_alloc = (allocfunc)alloc;
    if (dealloc != NULL)
        t->tp_dealloc = (destructor)dealloc;
    PyType_Modified(t);
}

/* ---- counts of live objects, in debug builds ---- */
#if defined(JQ_DEBUG) && defined(Py_GIL_DISABLED)
#define JQ_COUNT(counter, by) ((void)_Py_atomic_add_ssize(&(counter), (by)))
#elif defined(JQ_DEBUG)
#define JQ_COUNT(counter, by) ((counter) += (by))
#else
#define JQ_COUNT(counter, by) ((void)0)
#endif

/* ---- zeros for a struct, in stores: compilers make one long memset a slow loop instead ---- */
static inline void jq_clear(void *start, size_t size)
{
    char *p = (char *)start;
    for (; size > 64; size -= 64, p += 64)
        memset(p, 0, 64);
    memset(p, 0, size);
}

/* Sleep as briefly as can be, without the GIL, so that a thread that waits for it or for a lock gets it:
 * to release and take it again at once would leave a waiter asleep for a whole switch interval. */
static inline void jq_breathe(void)
{
#if defined(_WIN32)
    Sleep(0);
#else
    struct timespec least = {0, 1};
    (void)nanosleep(&least, NULL);
#endif
}

/* ---- references held by plain C structs ---- */
static inline void jq_incref(void *o) { Py_INCREF((PyObject *)o); }
static inline void jq_decref(void *o) { Py_DECREF((PyObject *)o); }

/* Whether somebody else than the caller may have a reference to an object. */
static inline int jq_is_shared(void *o)
{
#ifdef Py_GIL_DISABLED
    (void)o;
    return 1;
#else
    return Py_REFCNT((PyObject *)o) > 1;
#endif
}

#endif
