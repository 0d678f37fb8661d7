/* Comparing the tags of a bucket of id_table.pyx, all at once: a branch for each would be mispredicted. */
#ifndef JQ_IDS_H
#define JQ_IDS_H

#include <stdint.h>
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define JQ_SSE2 1
#endif

/* Bits of the five tags that equal this one. */
static inline uint64_t jq_tags_match(const uint32_t *tags, uint32_t tag)
{
#ifdef JQ_SSE2
    const __m128i four = _mm_loadu_si128((const __m128i *)(const void *)tags);
    const __m128i equal = _mm_cmpeq_epi32(four, _mm_set1_epi32((int)tag));
    return (uint64_t)_mm_movemask_ps(_mm_castsi128_ps(equal)) | (uint64_t)(tags[4] == tag) << 4;
#else
    uint64_t match = 0;
    for (int i = 0; i < 5; i++)
        match |= (uint64_t)(tags[i] == tag) << i;
    return match;
#endif
}

#endif
