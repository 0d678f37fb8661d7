/* What differs between platforms and builds: clocks, the engine's lock, prefetch. */
#ifndef JQ_PLATFORM_H
#define JQ_PLATFORM_H

#include "Python.h"
#include <stdint.h>
#include <string.h>

/* ---- clocks: int64 nanoseconds ---- */
#ifdef _WIN32
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
static inline int64_t jq_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}
static inline int64_t jq_wall_ns(void) { return jq_clock_ns(CLOCK_REALTIME); }
static inline int64_t jq_mono_ns(void) { return jq_clock_ns(CLOCK_MONOTONIC); }
#endif

/* ---- the engine's lock: with the GIL a core operation is atomic and pays for none ---- */
#ifdef Py_GIL_DISABLED
typedef PyMutex jq_lock_t;
static inline void jq_lock(jq_lock_t *lock) { PyMutex_Lock(lock); }
static inline void jq_unlock(jq_lock_t *lock) { PyMutex_Unlock(lock); }
#else
typedef char jq_lock_t;
static inline void jq_lock(jq_lock_t *lock) { (void)lock; }
static inline void jq_unlock(jq_lock_t *lock) { (void)lock; }
#endif

#ifdef Py_GIL_DISABLED
#define JQ_HAS_GIL 0
#else
#define JQ_HAS_GIL 1
#endif

/* ---- hint that memory will be read soon ---- */
#if defined(__GNUC__) || defined(__clang__)
#define jq_prefetch(p) __builtin_prefetch(p)
#else
#define jq_prefetch(p) ((void)(p))
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

/* ---- memory of small objects without cycle collection, kept for the next one ---- */
#if defined(Py_GIL_DISABLED) || defined(JQ_DEBUG) || defined(JQ_SANITIZE)
#define JQ_POOL_MAX 0 /* no lock guards it there; a checker must see every free */
#else
#define JQ_POOL_MAX 256
#endif
typedef struct {
    int count;
    PyObject *items[JQ_POOL_MAX + 1];
} jq_pool_t;

static inline PyObject *jq_pool_take(jq_pool_t *pool, PyObject *type)
{
    PyObject *o;
    if (pool->count > 0)
        o = pool->items[--pool->count];
    else {
        o = (PyObject *)PyObject_Malloc((size_t)((PyTypeObject *)type)->tp_basicsize);
        if (o == NULL)
            return PyErr_NoMemory();
    }
    return PyObject_Init(o, (PyTypeObject *)type);
}

static inline void jq_pool_give(jq_pool_t *pool, PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    if (pool->count < JQ_POOL_MAX)
        pool->items[pool->count++] = o;
    else
        PyObject_Free(o);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_DECREF(type);
}

/* ---- slots of our own types that Cython has no syntax for; NULL leaves one as it is ---- */
static inline void jq_type_set(PyObject *type, void *call, void *make, void *dealloc)
{
    PyTypeObject *t = (PyTypeObject *)type;
    if (make != NULL) {
        t->tp_new = (newfunc)make;
        t->tp_vectorcall = (vectorcallfunc)call; /* NULL: calls go through tp_new */
    }
    if (dealloc != NULL)
        t->tp_dealloc = (destructor)dealloc;
    PyType_Modified(t);
}

/* ---- counts of live objects, in debug builds ---- */
#ifdef JQ_DEBUG
#define JQ_COUNT(counter, by) ((counter) += (by))
#else
#define JQ_COUNT(counter, by) ((void)0)
#endif

/* ---- references held by plain C structs ---- */
static inline void jq_incref(void *o) { Py_INCREF((PyObject *)o); }
static inline void jq_decref(void *o) { Py_DECREF((PyObject *)o); }

#endif
