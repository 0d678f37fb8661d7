"""The records of the command log: see _format.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from jobqueue._machine.types cimport job_t, record_t

cdef extern from "cmdlog/_journal.h":
    void put16 "jq_put16" (uint8_t *p, uint16_t v) noexcept nogil
    void put32 "jq_put32" (uint8_t *p, uint32_t v) noexcept nogil
    void put64 "jq_put64" (uint8_t *p, uint64_t v) noexcept nogil
    uint16_t get16 "jq_get16" (const uint8_t *p) noexcept nogil
    uint32_t get32 "jq_get32" (const uint8_t *p) noexcept nogil
    uint64_t get64 "jq_get64" (const uint8_t *p) noexcept nogil
    void crc_start "jq_crc_start" () noexcept nogil
    uint32_t crc_run "jq_crc" (uint32_t first, const uint8_t *p, size_t size) noexcept nogil
    uint32_t crc_run_portable "jq_crc_portable" (
        uint32_t first, const uint8_t *p, size_t size) noexcept nogil
    uint32_t crc_shift "jq_crc_shift" (uint32_t crc, size_t size) noexcept nogil  # past so many zeros
    const char *text_of "jq_text" (void *o) noexcept nogil           # of a str that is a name
    Py_ssize_t text_size "jq_text_size" (void *o) noexcept nogil
    const char *data_of "jq_data" (void *o) noexcept nogil           # of bytes
    Py_ssize_t data_size "jq_data_size" (void *o) noexcept nogil

cdef enum:
    FRAME_1 = 22                  # of version 1: crc 4, size 4, sequence 8, lag 4, kind 1, flags 1
    FRAME = 26                    # the same, and a mark 4
    HEADER = 64                   # of a segment or snapshot
    JOB_FIXED = 53                # of a job, before name, key and payload
    STATE_FIXED = 36              # of a state, before the result
    BODY_MAX = 4194304            # bytes of a body; the largest real one has half of that
    MARGIN = 8192                 # bytes kept free for what a verb notes beside payload and result
    OFFSET_NOTED_NS = 1000000     # the wall clock's distance is noted again when it changed by this
    REACH = 48                    # of the mark that tells how far the log was
    VERSION = 2
    CRC_FIRST = 0xFFFFFFFF        # of checksums without a salt

cdef enum kind_t:                 # of a record
    KIND_JOB = 1                  # a job and its state
    KIND_STATE = 2                # the state of a known job
    KIND_GONE = 3                 # a job is forgotten
    KIND_CLOCK = 4                # wall minus mono, and the wall time of writing
    KIND_PAUSE = 5                # a queue is paused, or gives again
    KIND_DEAD = 6                 # a job is the last of the dead (snapshots only)
    KIND_BATCH_END = 7            # the batch before it is whole
    KIND_END = 8                  # end of a snapshot: its number of jobs, the sequence it is whole at
    KIND_MAX = 8

cdef enum frame_flag_t:
    FRAME_BATCH = 1               # of a batch: counts only once its end is there

cdef enum state_flag_t:
    STATE_TTL = 1                 # its TTL runs: until the deadline
    STATE_SCHEDULED = 2           # it stands in scheduled: until the due time
    STATE_RESULT = 4              # it has a result

cdef enum header_flag_t:
    HEADER_EPOCH = 1              # a new process, whose monotonic time began elsewhere
    HEADER_SNAPSHOT = 2           # of a snapshot

cdef struct seal_t:               # what makes the frames of one file its own
    uint32_t first                # what their checksums begin with
    uint32_t mark                 # the mark of a frame is this and its offset, by exclusive or
    Py_ssize_t frame              # bytes of a frame
    uint8_t version

cdef class Seal:
    cdef seal_t c

cdef seal_t seal_make(uint64_t salt, uint64_t number, bint snapshot) noexcept nogil
cdef Py_ssize_t job_size(const job_t *job) noexcept nogil
cdef Py_ssize_t state_size(const record_t *record) noexcept nogil
cdef Py_ssize_t job_write(const job_t *job, uint8_t *p) noexcept nogil
cdef void state_write(const record_t *record, uint8_t *p) noexcept nogil
cdef void frame_write(
    uint8_t *p, Py_ssize_t size, uint64_t sequence, uint64_t synced, uint8_t kind,
    uint8_t flags) noexcept nogil
cdef void frame_seal(const seal_t *seal, uint8_t *p, Py_ssize_t offset) noexcept nogil
cdef bytes frame_bytes(
    const seal_t *seal, Py_ssize_t offset, bytes body, uint64_t sequence, uint8_t kind)
cdef bint frame_whole(
    const seal_t *seal, const uint8_t *p, Py_ssize_t offset, Py_ssize_t left) noexcept nogil
cdef bytes header_bytes(
    uint64_t number, uint64_t salt, uint64_t sequence, uint64_t synced, int64_t offset_ns,
    int64_t wall_ns, uint8_t flags)
cdef bytes record_bytes_of(const record_t *record)
