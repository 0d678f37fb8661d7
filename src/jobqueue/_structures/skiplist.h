/* How big the blocks of skiplist.pyx are, and how DEBUG builds count them and let allocations fail. */
#ifndef JQ_SKIPLIST_H
#define JQ_SKIPLIST_H

#ifndef JQ_BLOCK       /* LEAF_MIN times a power of two */
#ifdef JQ_DEBUG
#define JQ_BLOCK 8     /* few entries reach all levels */
#else
#define JQ_BLOCK 64    /* fastest of 16, 32, 64, 128 from 10^3 to 10^7 entries */
#endif
#endif

#ifdef JQ_DEBUG
static Py_ssize_t jq_allocations_left = -1;   /* until they fail; -1: they do not */
static Py_ssize_t jq_blocks_live = 0;
#define JQ_ALLOCATION_FAILS() (jq_allocations_left >= 0 && jq_allocations_left-- == 0)
#define JQ_COUNT_BLOCKS(n) (jq_blocks_live += (n))
#define JQ_IS_DEBUG 1
#else
static Py_ssize_t jq_allocations_left, jq_blocks_live;
#define JQ_ALLOCATION_FAILS() 0
#define JQ_COUNT_BLOCKS(n) ((void) 0)
#define JQ_IS_DEBUG 0
#endif

#endif
