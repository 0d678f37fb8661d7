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

/* ---- hint that memory will be read soon ---- */
#if defined(__GNUC__) || defined(__clang__)
#define jq_prefetch(p) __builtin_prefetch(p)
#else
#define jq_prefetch(p) ((void)(p))
#endif

/* ---- references held by plain C structs ---- */
static inline void jq_incref(void *o) { Py_INCREF((PyObject *)o); }
static inline void jq_decref(void *o) { Py_DECREF((PyObject *)o); }

#endif
