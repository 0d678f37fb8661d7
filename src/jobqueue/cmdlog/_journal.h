/* What the command log says in C itself: bytes of str and bytes, little-endian numbers, the checksum,
   and how long a sync may wait. */

#ifndef JQ_JOURNAL_H
#define JQ_JOURNAL_H

#include "Python.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---------------------------------------------------------------- str that are names, and bytes */

static inline const char *jq_text(void *o) { return (const char *)PyUnicode_DATA((PyObject *)o); }
static inline Py_ssize_t jq_text_size(void *o) { return PyUnicode_GET_LENGTH((PyObject *)o); }
static inline const char *jq_data(void *o) { return PyBytes_AS_STRING((PyObject *)o); }
static inline Py_ssize_t jq_data_size(void *o) { return PyBytes_GET_SIZE((PyObject *)o); }

/* ---------------------------------------------------------------- numbers, least byte first */

static inline void jq_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void jq_put32(uint8_t *p, uint32_t v)
{
    jq_put16(p, (uint16_t)v);
    jq_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void jq_put64(uint8_t *p, uint64_t v)
{
    jq_put32(p, (uint32_t)v);
    jq_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t jq_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t jq_get32(const uint8_t *p)
{
    return (uint32_t)jq_get16(p) | (uint32_t)jq_get16(p + 2) << 16;
}

static inline uint64_t jq_get64(const uint8_t *p)
{
    return (uint64_t)jq_get32(p) | (uint64_t)jq_get32(p + 4) << 32;
}

/* ---------------------------------------------------------------- CRC-32C (RFC 3720, appendix B.4)
   Eight bytes a step from eight tables (Kounavis and Berry 2005), or by the processor's own
   instruction where there is one. */

static uint32_t jq_crc_table[8][256];

static inline void jq_crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        jq_crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            jq_crc_table[t][i] =
                jq_crc_table[t - 1][i] >> 8 ^ jq_crc_table[0][jq_crc_table[t - 1][i] & 255];
}

static inline uint32_t jq_crc_portable(uint32_t crc, const uint8_t *p, size_t size)
{
    for (; size >= 8; p += 8, size -= 8) {
        uint32_t low = crc ^ jq_get32(p), high = jq_get32(p + 4);
        crc = jq_crc_table[7][low & 255] ^ jq_crc_table[6][low >> 8 & 255]
            ^ jq_crc_table[5][low >> 16 & 255] ^ jq_crc_table[4][low >> 24]
            ^ jq_crc_table[3][high & 255] ^ jq_crc_table[2][high >> 8 & 255]
            ^ jq_crc_table[1][high >> 16 & 255] ^ jq_crc_table[0][high >> 24];
    }
    while (size--)
        crc = crc >> 8 ^ jq_crc_table[0][(crc ^ *p++) & 255];
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define JQ_CRC_NATIVE 1
#if defined(__clang__) && __clang_major__ >= 14
#define JQ_CRC_TARGET "crc32,sse4.2" /* there, the one does not include the other */
#else
#define JQ_CRC_TARGET "sse4.2"
#endif
__attribute__((target(JQ_CRC_TARGET))) static uint32_t
jq_crc_native(uint32_t first, const uint8_t *p, size_t size)
{
    uint64_t crc = first, word;
    for (; size >= 8; p += 8, size -= 8) {
        memcpy(&word, p, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (size--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p++);
    return (uint32_t)crc;
}
static int jq_crc_has_native(void) { return __builtin_cpu_supports("sse4.2"); }
#else
#define JQ_CRC_NATIVE 0
#define jq_crc_native jq_crc_portable
static int jq_crc_has_native(void) { return 0; }
#endif

static int jq_crc_use_native;

/* The register after so many zero bytes is a linear map of what it was before: one matrix for each
   power of two, squared from the one before (as crc32_combine of zlib). */

#define JQ_CRC_POWERS 40

static uint32_t jq_crc_zeros[JQ_CRC_POWERS][32];

static inline uint32_t jq_crc_times(const uint32_t *matrix, uint32_t crc)
{
    uint32_t sum = 0;
    for (; crc; crc >>= 1, matrix++)
        if (crc & 1)
            sum ^= *matrix;
    return sum;
}

static inline void jq_crc_init_zeros(void)
{
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = (uint32_t)1 << bit;
        jq_crc_zeros[0][bit] = crc >> 8 ^ jq_crc_table[0][crc & 255];
    }
    for (int k = 1; k < JQ_CRC_POWERS; k++)
        for (int bit = 0; bit < 32; bit++)
            jq_crc_zeros[k][bit] = jq_crc_times(jq_crc_zeros[k - 1], jq_crc_zeros[k - 1][bit]);
}

static inline uint32_t jq_crc_shift(uint32_t crc, size_t size)
{
    for (int k = 0; size && k < JQ_CRC_POWERS; k++, size >>= 1)
        if (size & 1)
            crc = jq_crc_times(jq_crc_zeros[k], crc);
    return crc;
}

static inline void jq_crc_start(void)
{
    jq_crc_init();
    jq_crc_init_zeros();
    jq_crc_use_native = jq_crc_has_native();
}

/* The register after some bytes; RFC 3720 begins with all ones and gives the complement of the last. */
static inline uint32_t jq_crc(uint32_t first, const uint8_t *p, size_t size)
{
    return JQ_CRC_NATIVE && jq_crc_use_native ? jq_crc_native(first, p, size)
                                              : jq_crc_portable(first, p, size);
}

/* ---------------------------------------------------------------- a sync that waits for callers */

#ifdef _WIN32
#define JQ_PATIENCE_MOST_NS 0 /* a sleep that is not ended takes up to 16 ms: too long for this */
#else
#define JQ_PATIENCE_MOST_NS 10000000
#endif

/* ---------------------------------------------------------------- forks that Python does not know of */

#ifdef _WIN32
static inline int jq_at_fork(void (*child)(void)) { (void)child; return 0; }
#else
#include <pthread.h>
static inline int jq_at_fork(void (*child)(void)) { return pthread_atfork(NULL, NULL, child); }
#endif

#endif
