/* Memory of many small things of one size: slabs, and object pools on top of them.
 *
 * A slab carves slots out of aligned chunks of 2 MiB, each of which knows its free slots and is given
 * back to the system when it is empty. From the third on, chunks ask for huge pages: with millions of
 * jobs, finding the page costs more than reading it, and fetching ahead across pages hardly helps.
 * Idea: SunOS's slab allocator (Bonwick, USENIX 1994).
 *
 * A chunk that is nearly empty gives back its pages in which no slot is used (Linux). It does so once
 * eight others have become nearly empty after it: a FIFO has emptied it wholly before that. Slots in such
 * pages are parked: bits in the chunk's head, since nothing may be written there, and the last to be used
 * again. All O(1), but for a giving back: O(slots of a chunk), some 0.1 ms, once for each halving of what
 * is used of it.
 *
 * Locking: the GIL. Without it, and where a checker must see every block, this is plain malloc.
 */
#ifndef JQ_MEMORY_H
#define JQ_MEMORY_H

#include "Python.h"
#include "references.h"
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

#if JQ_SLABS && defined(__linux__) && defined(MADV_DONTNEED)
#define JQ_PARKS 1
#include <unistd.h>
#else
#define JQ_PARKS 0
#endif

/* What happens once in many calls: it must not make the code larger that happens in each. */
#if defined(__GNUC__) || defined(__clang__)
#define JQ_SELDOM static __attribute__((noinline, cold, unused))
#else
#define JQ_SELDOM static
#endif
#define JQ_PARK_WORDS 192    /* bits for the slots of a chunk; chunks of smaller slots park none */
#define JQ_SPARSE_PART 16    /* a chunk of which less than this part is used is nearly empty */
#define JQ_SPARSE_CHUNKS 8   /* nearly empty ones that may yet become empty */

typedef struct jq_chunk {
    struct jq_chunk *prev, *next; /* chunks with space */
    void *free;                   /* slots that were given back; each holds the next */
    size_t fresh;                 /* offset of the first slot never used */
    size_t used;                  /* slots in use */
    size_t parked;                /* slots that lie, in part, in pages which were given back */
    size_t sparse_at;             /* slots in use at which it becomes nearly empty; 0: it never does */
    size_t unused;                /* so that the slots begin a cache line */
    uint64_t parks[JQ_PARK_WORDS]; /* bit per slot: it is parked */
} jq_chunk_t;

typedef struct {
    jq_chunk_t *open;  /* chunks with space */
    jq_chunk_t *spare; /* an empty one, kept so that a queue may go up and down at its edge */
    size_t count;      /* chunks, but for the spare */
    jq_chunk_t *sparse[JQ_SPARSE_CHUNKS]; /* those that became nearly empty last; NULL: none */
    size_t sparse_turn;                   /* how many did */
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
    return chunk->free == NULL && chunk->fresh + size > JQ_CHUNK_SIZE && chunk->parked == 0;
}

/* ---- parked slots ---- */
static inline char *jq_slot_at(jq_chunk_t *chunk, size_t index, size_t size)
{
    return (char *)chunk + sizeof(jq_chunk_t) + index * size;
}

static inline size_t jq_slots(size_t size)
{
    return (JQ_CHUNK_SIZE - sizeof(jq_chunk_t)) / size;
}

static inline size_t jq_sparse_first(size_t size)
{
    return JQ_PARKS && jq_slots(size) <= 64 * JQ_PARK_WORDS ? jq_slots(size) / JQ_SPARSE_PART : 0;
}

static inline void jq_slot_free(jq_chunk_t *chunk, void *slot)
{
    memcpy(slot, &chunk->free, sizeof(void *));
    chunk->free = slot;
}

#if JQ_PARKS
/* Whether the pages from `from` to `to` (offsets) hold no slot in use; the bits say which are free. */
static int jq_pages_free(const jq_chunk_t *chunk, size_t from, size_t to, size_t size)
{
    size_t fresh = (chunk->fresh - sizeof(jq_chunk_t)) / size; /* from there on none was ever used */
    size_t last = (to - 1 - sizeof(jq_chunk_t)) / size;
    for (size_t i = (from - sizeof(jq_chunk_t)) / size; i <= last && i < fresh; i++)
        if (!(chunk->parks[i / 64] >> (i % 64) & 1))
            return 0;
    return 1;
}

/* Give back the pages in which nothing is used; the other free slots are a list again. */
JQ_SELDOM void jq_chunk_park(jq_chunk_t *chunk, size_t size)
{
    static size_t page = 0;
    uint64_t given[JQ_CHUNK_SIZE / 4096 / 64] = {0}; /* bit per page: it was given back */
    size_t first, run = 0, fresh = (chunk->fresh - sizeof(jq_chunk_t)) / size;
    if (page == 0)
        page = (size_t)sysconf(_SC_PAGESIZE);
    if (page < 4096 || page >= JQ_CHUNK_SIZE)
        return;
    for (char *slot = (char *)chunk->free, *next; slot != NULL; slot = next) {
        size_t i = (size_t)(slot - jq_slot_at(chunk, 0, size)) / size;
        chunk->parks[i / 64] |= (uint64_t)1 << (i % 64);
        memcpy(&next, slot, sizeof(next));
    }
    (void)madvise(chunk, JQ_CHUNK_SIZE, MADV_NOHUGEPAGE); /* or the kernel would make it whole again */
    first = (sizeof(jq_chunk_t) + page - 1) / page;
    for (size_t p = first; p <= JQ_CHUNK_SIZE / page; p++) {
        int ends = p == JQ_CHUNK_SIZE / page || !jq_pages_free(chunk, p * page, (p + 1) * page, size);
        if (!ends) {
            given[p / 64] |= (uint64_t)1 << (p % 64);
            run++;
        }
        else if (run > 0) {
            (void)madvise((char *)chunk + (p - run) * page, run * page, MADV_DONTNEED);
            run = 0;
        }
    }
    chunk->free = NULL;
    chunk->parked = 0;
    for (size_t i = fresh; i-- > 0;) {
        size_t from = sizeof(jq_chunk_t) + i * size;
        int lies = 0;
        if (!(chunk->parks[i / 64] >> (i % 64) & 1))
            continue;
        for (size_t p = from / page; p <= (from + size - 1) / page; p++)
            lies |= (int)(given[p / 64] >> (p % 64) & 1);
        if (lies)
            chunk->parked++;
        else {
            chunk->parks[i / 64] &= ~((uint64_t)1 << (i % 64));
            jq_slot_free(chunk, jq_slot_at(chunk, i, size));
        }
    }
}
#endif

/* A chunk became nearly empty: the one that did so eight times ago gives back what it does not use. */
JQ_SELDOM void jq_chunk_sparse(jq_slab_t *slab, jq_chunk_t *chunk, size_t size)
{
#if JQ_PARKS
    jq_chunk_t **place = &slab->sparse[slab->sparse_turn++ % JQ_SPARSE_CHUNKS];
    jq_chunk_t *before = *place;
    for (size_t i = 0; i < JQ_SPARSE_CHUNKS; i++)
        if (slab->sparse[i] == chunk)
            slab->sparse[i] = NULL;
    *place = chunk;
    if (before != NULL && before != chunk && before->used <= before->sparse_at) {
        jq_chunk_park(before, size);
        before->sparse_at = before->used / 2;
    }
#else
    (void)slab;
    (void)chunk;
    (void)size;
#endif
}

/* Let some parked slots be free again; there are some, and no others. */
JQ_SELDOM void jq_chunk_unpark(jq_slab_t *slab, jq_chunk_t *chunk, size_t size)
{
    for (size_t word = 0; word < JQ_PARK_WORDS; word++) {
        if (chunk->parks[word] == 0)
            continue;
        for (size_t bit = 64; bit-- > 0;)
            if (chunk->parks[word] >> bit & 1) {
                jq_slot_free(chunk, jq_slot_at(chunk, word * 64 + bit, size));
                chunk->parked--;
            }
        chunk->parks[word] = 0;
        break;
    }
    chunk->sparse_at = jq_sparse_first(size);
#if JQ_PARKS
    if (chunk->parked == 0 && slab->count > JQ_CHUNKS_SMALL)
        jq_huge_pages(chunk, JQ_CHUNK_SIZE);
#else
    (void)slab;
#endif
}

JQ_SELDOM jq_chunk_t *jq_chunk_take(jq_slab_t *slab, size_t size)
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
    chunk->fresh = sizeof(jq_chunk_t); /* at the start of a cache line */
    chunk->used = 0;
    if (chunk->parked != 0) {
        memset(chunk->parks, 0, sizeof(chunk->parks));
        if (slab->count >= JQ_CHUNKS_SMALL)
            jq_huge_pages(chunk, JQ_CHUNK_SIZE);
    }
    chunk->parked = 0;
    chunk->sparse_at = jq_sparse_first(size);
    slab->count++;
    jq_chunk_open(slab, chunk);
    return chunk;
}

static void jq_chunk_give(jq_slab_t *slab, jq_chunk_t *chunk)
{
    jq_chunk_shut(slab, chunk);
    slab->count--;
    for (size_t i = 0; i < JQ_SPARSE_CHUNKS; i++)
        if (slab->sparse[i] == chunk)
            slab->sparse[i] = NULL;
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
    if (chunk == NULL && (chunk = jq_chunk_take(slab, size)) == NULL)
        return NULL;
    slot = chunk->free;
    if (slot == NULL && chunk->fresh + size > JQ_CHUNK_SIZE) {
        jq_chunk_unpark(slab, chunk, size);
        slot = chunk->free;
    }
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
    jq_slot_free(chunk, slot);
    if (--chunk->used == 0)
        jq_chunk_give(slab, chunk);
    else if (chunk->used == chunk->sparse_at)
        jq_chunk_sparse(slab, chunk, size);
}

/* Where the metadata is that the end of a slot changes, and that of a small object of Python's: CPython
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

/* The same in a pool of objects of one type, with space for more behind each of them. */
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
