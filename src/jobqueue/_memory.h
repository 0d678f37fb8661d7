/* Memory of many small things of one size: slabs, and object pools on top of them.
 *
 * A slab carves slots out of aligned chunks of 2 MiB, each of which knows its free slots and is given
 * back to the system when it is empty. From the third on, chunks ask for huge pages: with millions of
 * jobs, finding the page costs more than reading it, and fetching ahead across pages hardly helps.
 * Idea: SunOS's slab allocator (Bonwick, USENIX 1994). All O(1).
 *
 * Locking: the GIL. Without it, and where a checker must see every block, this is plain malloc.
 */
#ifndef JQ_MEMORY_H
#define JQ_MEMORY_H

#include "Python.h"
#include "_references.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <sys/mman.h>
#endif

#define JQ_CHUNK_SIZE ((size_t)1 << 21)
#define JQ_CHUNKS_SMALL 2 /* chunks of a slab that a small queue may need: no huge pages for them */

/* A hint that a big block of memory will be read all over; it does nothing where it cannot. */
static inline void jq_huge_pages(void *start, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uintptr_t from = ((uintptr_t)start + JQ_CHUNK_SIZE - 1) & ~(uintptr_t)(JQ_CHUNK_SIZE - 1);
    uintptr_t to = ((uintptr_t)start + size) & ~(uintptr_t)(JQ_CHUNK_SIZE - 1);
    if (from < to)
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
    (void)start;
    (void)size;
#endif
}

#if defined(Py_GIL_DISABLED) || defined(JQ_DEBUG) || defined(JQ_SANITIZE)
#define JQ_SLABS 0
#else
#define JQ_SLABS 1
#endif

typedef struct jq_chunk {
    struct jq_chunk *prev, *next; /* chunks with room */
    void *free;                   /* slots that were given back; each holds the next */
    size_t fresh;                 /* offset of the first slot never used */
    size_t used;                  /* slots in use */
} jq_chunk_t;

typedef struct {
    jq_chunk_t *open;  /* chunks with room */
    jq_chunk_t *spare; /* an empty one, kept so that a queue may go up and down at its edge */
    size_t count;      /* chunks, but for the spare */
} jq_slab_t;

static inline void *jq_chunk_map(void)
{
#if defined(_WIN32)
    /* Twice the addresses, which cost nothing; memory for the aligned half of them. */
    char *p = (char *)VirtualAlloc(NULL, 2 * JQ_CHUNK_SIZE, MEM_RESERVE, PAGE_NOACCESS);
    char *aligned = (char *)(((uintptr_t)p + JQ_CHUNK_SIZE - 1) & ~(uintptr_t)(JQ_CHUNK_SIZE - 1));
    if (p != NULL && VirtualAlloc(aligned, JQ_CHUNK_SIZE, MEM_COMMIT, PAGE_READWRITE) == NULL) {
        VirtualFree(p, 0, MEM_RELEASE);
        return NULL;
    }
    return p == NULL ? NULL : aligned;
#else
    const int mode = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    char *p = (char *)mmap(NULL, JQ_CHUNK_SIZE, mode, kind, -1, 0);
    uintptr_t past; /* bytes past a boundary; mostly it falls on one, beside the chunk before */
    if (p == MAP_FAILED)
        return NULL;
    if (((uintptr_t)p & (JQ_CHUNK_SIZE - 1)) == 0)
        return p;
    munmap(p, JQ_CHUNK_SIZE);
    p = (char *)mmap(NULL, 2 * JQ_CHUNK_SIZE, mode, kind, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    past = (uintptr_t)p & (JQ_CHUNK_SIZE - 1);
    if (past != 0) {
        munmap(p, JQ_CHUNK_SIZE - past);
        p += JQ_CHUNK_SIZE - past;
        munmap(p + JQ_CHUNK_SIZE, past);
    }
    else
        munmap(p + JQ_CHUNK_SIZE, JQ_CHUNK_SIZE);
    return p;
#endif
}

static inline void jq_chunk_unmap(jq_chunk_t *chunk)
{
#if defined(_WIN32)
    MEMORY_BASIC_INFORMATION info; /* what was reserved begins before the chunk */
    if (VirtualQuery(chunk, &info, sizeof(info)) != 0)
        VirtualFree(info.AllocationBase, 0, MEM_RELEASE);
#else
    munmap(chunk, JQ_CHUNK_SIZE);
#endif
}

static inline void jq_chunk_open(jq_slab_t *slab, jq_chunk_t *chunk)
{
    chunk->prev = NULL;
    chunk->next = slab->open;
    if (chunk->next != NULL)
        chunk->next->prev = chunk;
    slab->open = chunk;
}

static inline void jq_chunk_shut(jq_slab_t *slab, jq_chunk_t *chunk)
{
    if (chunk->next != NULL)
        chunk->next->prev = chunk->prev;
    if (chunk->prev != NULL)
        chunk->prev->next = chunk->next;
    else
        slab->open = chunk->next;
}

static inline int jq_chunk_full(const jq_chunk_t *chunk, size_t size)
{
    return chunk->free == NULL && chunk->fresh + size > JQ_CHUNK_SIZE;
}

static jq_chunk_t *jq_chunk_take(jq_slab_t *slab)
{
    jq_chunk_t *chunk = slab->spare;
    slab->spare = NULL;
    if (chunk == NULL) {
        chunk = (jq_chunk_t *)jq_chunk_map();
        if (chunk == NULL)
            return NULL;
        if (slab->count >= JQ_CHUNKS_SMALL)
            jq_huge_pages(chunk, JQ_CHUNK_SIZE);
    }
    chunk->free = NULL;
    chunk->fresh = 64; /* behind the fields above, at the start of a cache line */
    chunk->used = 0;
    slab->count++;
    jq_chunk_open(slab, chunk);
    return chunk;
}

static void jq_chunk_give(jq_slab_t *slab, jq_chunk_t *chunk)
{
    jq_chunk_shut(slab, chunk);
    slab->count--;
    if (slab->spare == NULL)
        slab->spare = chunk;
    else
        jq_chunk_unmap(chunk);
}

/* A slot of `size` bytes (a multiple of 8, the same at each call), or NULL. */
static inline void *jq_slab_take(jq_slab_t *slab, size_t size)
{
    jq_chunk_t *chunk = slab->open;
    void *slot;
    if (!JQ_SLABS)
        return PyMem_RawMalloc(size);
    if (chunk == NULL && (chunk = jq_chunk_take(slab)) == NULL)
        return NULL;
    slot = chunk->free;
    if (slot != NULL)
        memcpy(&chunk->free, slot, sizeof(void *));
    else {
        slot = (char *)chunk + chunk->fresh;
        chunk->fresh += size;
    }
    chunk->used++;
    if (jq_chunk_full(chunk, size))
        jq_chunk_shut(slab, chunk);
    return slot;
}

static inline void jq_slab_give(jq_slab_t *slab, void *slot, size_t size)
{
    jq_chunk_t *chunk = (jq_chunk_t *)((uintptr_t)slot & ~(uintptr_t)(JQ_CHUNK_SIZE - 1));
    if (!JQ_SLABS) {
        PyMem_RawFree(slot);
        return;
    }
    if (jq_chunk_full(chunk, size))
        jq_chunk_open(slab, chunk);
    memcpy(slot, &chunk->free, sizeof(void *));
    chunk->free = slot;
    if (--chunk->used == 0)
        jq_chunk_give(slab, chunk);
}

/* Where the books are kept that the end of a slot changes, and that of a small object of Python's: CPython
 * has them at the start of pools of 16 KiB. Only to fetch them ahead: nothing is read there. */
static inline const void *jq_slot_books(const void *slot)
{
    return (const void *)((uintptr_t)slot & ~(uintptr_t)(JQ_CHUNK_SIZE - 1));
}

static inline const void *jq_object_books(const void *object)
{
    return (const void *)((uintptr_t)object & ~(uintptr_t)((1 << 14) - 1));
}

/* ---- objects without cycle collection ---- */
#define JQ_OBJECT_SIZE(type) (((size_t)((PyTypeObject *)(type))->tp_basicsize + 15) & ~(size_t)15)

/* A new object of a type in memory of its size. */
static inline PyObject *jq_object_begin(void *memory, PyObject *type)
{
    PyObject *o = (PyObject *)memory;
#if JQ_SLABS && !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS)
    /* What PyObject_Init does, without the call. Old contents might look like an immortal count. */
    memset(o, 0, sizeof(PyObject));
    Py_SET_TYPE(o, (PyTypeObject *)type);
    if (((PyTypeObject *)type)->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_INCREF(type);
    Py_SET_REFCNT(o, 1);
    return o;
#else
    return PyObject_Init(o, (PyTypeObject *)type);
#endif
}

/* The end of an object, whose memory is then the caller's again. */
static inline void jq_object_end(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
        Py_DECREF(type);
}

/* The same in a pool of objects of one type, with room for more behind each of them. */
static inline PyObject *jq_pool_take(jq_slab_t *pool, PyObject *type, size_t more)
{
    size_t size = JQ_OBJECT_SIZE(type) + more;
    void *memory = JQ_SLABS ? jq_slab_take(pool, size) : PyObject_Malloc(size);
    return memory == NULL ? PyErr_NoMemory() : jq_object_begin(memory, type);
}

static inline void jq_pool_give(jq_slab_t *pool, PyObject *o, size_t more)
{
    size_t size = JQ_OBJECT_SIZE(Py_TYPE(o)) + more;
    jq_object_end(o);
    if (JQ_SLABS)
        jq_slab_give(pool, o, size);
    else
        PyObject_Free(o);
}

#endif
