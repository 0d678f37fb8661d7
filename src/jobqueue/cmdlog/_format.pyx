"""The records of the command log: how they are written, and told from what is none.

A record is a frame (checksum, size, sequence, lag, kind, flags) and a body; docs/cmdlog_format.md
has every byte. What is written of a job is its whole state, so that a record means the same wherever
it is read, and reading it twice does no harm.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from jobqueue._types cimport (
    ID_SIZE, JOB_CREATED_GIVEN, JOB_UNIQUE, TIMER_ARMED, job_t, job_unique, lock_acquire,
    lock_release,
)
from jobqueue._ids cimport ids_at, ids_slots
from jobqueue._state cimport (
    PLACE_SCHEDULED, STATE_LEASED, dead_next, engine_t, payload_data, record_processed, record_t,
)
from jobqueue._records cimport Registry

crc_start()

cdef bytes MAGIC = b"JQCMDLOG"

KINDS = {1: "job", 2: "state", 3: "gone", 4: "clock", 5: "pause", 6: "dead", 7: "batch end", 8: "end"}
SIZES = {"frame": FRAME, "header": HEADER, "margin": MARGIN}


def crc32c(data, bint portable=False):
    """CRC-32C (Castagnoli) of bytes."""
    cdef const uint8_t[::1] view = data
    if len(view) == 0:
        return 0
    return crc_portable(&view[0], len(view)) if portable else crc(&view[0], len(view))

# ---------------------------------------------------------------- bodies

cdef Py_ssize_t job_size(const job_t *job) noexcept nogil:
    cdef Py_ssize_t size = JOB_FIXED + text_size(job.name) + <Py_ssize_t> job.payload_size
    if job.flags & JOB_UNIQUE:
        size += data_size(job_unique(job).key)
    return size


cdef bint shows_result(const record_t *record) noexcept nogil:
    return record.result != NULL and record_processed(record)


cdef Py_ssize_t state_size(const record_t *record) noexcept nogil:
    return STATE_FIXED + (data_size(record.result) if shows_result(record) else 0)


cdef Py_ssize_t job_write(const job_t *job, uint8_t *p) noexcept nogil:
    cdef Py_ssize_t name_size = text_size(job.name)
    cdef Py_ssize_t key_size = 0
    if job.flags & JOB_UNIQUE:
        key_size = data_size(job_unique(job).key)
    memcpy(p, job.tie.id, ID_SIZE)
    put64(p + 16, <uint64_t> job.tie.created_ns)
    put64(p + 24, <uint64_t> job.time_ns)
    put32(p + 32, job.ttr_ms)
    put32(p + 36, job.ttl_ms)
    put32(p + 40, <uint32_t> job.priority)
    p[44] = job.max_attempts
    p[45] = job.max_fails
    p[46] = job.flags & JOB_CREATED_GIVEN
    p[47] = <uint8_t> name_size
    p[48] = <uint8_t> key_size
    put32(p + 49, job.payload_size)
    p += JOB_FIXED
    memcpy(p, text_of(job.name), name_size)
    p += name_size
    if key_size:
        memcpy(p, data_of(job_unique(job).key), key_size)
        p += key_size
    memcpy(p, payload_data(job), job.payload_size)
    return JOB_FIXED + name_size + key_size + job.payload_size


cdef void state_write(const record_t *record, uint8_t *p) noexcept nogil:
    cdef int64_t when_ns = 0
    cdef int64_t ttl_ns = 0
    cdef uint8_t flags = 0
    cdef Py_ssize_t size = 0
    if record.state == STATE_LEASED:
        when_ns = record.ttr.deadline_ns
    elif record.place == PLACE_SCHEDULED:
        when_ns = record.ttr.deadline_ns
        flags |= STATE_SCHEDULED
    if record.ttl.state == TIMER_ARMED:
        ttl_ns = record.ttl.deadline_ns
        flags |= STATE_TTL
    if shows_result(record):
        size = data_size(record.result)
        flags |= STATE_RESULT
        memcpy(p + STATE_FIXED, data_of(record.result), size)
    p[0] = record.state
    p[1] = flags
    put16(p + 2, record.fails)
    put64(p + 4, record.attempts)
    put32(p + 12, record.ttr.own)
    put64(p + 16, <uint64_t> when_ns)
    put64(p + 24, <uint64_t> ttl_ns)
    put32(p + 32, <uint32_t> size)


cdef void frame_write(
        uint8_t *p, Py_ssize_t size, uint64_t sequence, uint64_t synced, uint8_t kind,
        uint8_t flags) noexcept nogil:
    """The frame before a body of so many bytes, which is in place."""
    cdef uint64_t lag = sequence - synced
    put32(p + 4, <uint32_t> size)
    put64(p + 8, sequence)
    put32(p + 16, <uint32_t> min(lag, <uint64_t> 0xFFFFFFFF))
    p[20] = kind
    p[21] = flags
    put32(p, crc(p + 4, <size_t> (FRAME - 4 + size)))


cdef bytes frame_bytes(bytes body, uint64_t sequence, uint64_t synced, uint8_t kind):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, FRAME + size)
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    memcpy(p + FRAME, PyBytes_AS_STRING(body), size)
    frame_write(p, size, sequence, synced, kind, 0)
    return made

# ---------------------------------------------------------------- headers

cdef bytes header_bytes(
        uint64_t number, uint64_t sequence, uint64_t synced, int64_t offset_ns, int64_t wall_ns,
        bint epoch):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, HEADER)
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    memset(p, 0, HEADER)
    memcpy(p, PyBytes_AS_STRING(MAGIC), 8)
    put32(p + 8, VERSION)
    p[12] = epoch
    put64(p + 16, number)
    put64(p + 24, sequence)
    put64(p + 32, synced)
    put64(p + 40, <uint64_t> offset_ns)
    put64(p + 48, <uint64_t> wall_ns)
    put32(p + 60, crc(p, 60))
    return made


def read_header(data):
    """(number, first sequence, synced, wall offset ns, wall ns, new epoch) of 64 bytes; None: no header.

    A str instead tells what is wrong with what looks like one.
    """
    cdef const uint8_t[::1] view = data
    cdef const uint8_t *p
    if len(view) < HEADER:
        return None
    p = &view[0]
    if memcmp(p, PyBytes_AS_STRING(MAGIC), 8) != 0:
        return None
    if get32(p + 60) != crc(p, 60):
        return None
    if get32(p + 8) != VERSION:
        return f"version {get32(p + 8)} of the format; this release reads version {VERSION}"
    return (get64(p + 16), get64(p + 24), get64(p + 32), <int64_t> get64(p + 40),
            <int64_t> get64(p + 48), bool(p[12] & 1))

# ---------------------------------------------------------------- reading

cdef bint frame_whole(const uint8_t *p, Py_ssize_t left) noexcept nogil:
    """Whether a whole and sound record begins here."""
    cdef uint32_t size
    if left < FRAME:
        return False
    size = get32(p + 4)
    if size > BODY_MAX or FRAME + <Py_ssize_t> size > left or not 0 < p[20] <= KIND_MAX:
        return False
    return get32(p) == crc(p + 4, FRAME - 4 + size)


def find_record(data, Py_ssize_t start, uint64_t after):
    """(offset, sequence) of the first sound record from ``start`` that comes after a sequence; None.

    For what lies behind damage. O(bytes), and a checksum only where the sequence is plausible.
    """
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t size = len(view)
    cdef Py_ssize_t i
    cdef uint64_t sequence
    for i in range(start, size - FRAME + 1):
        sequence = get64(&view[0] + i + 8)
        if after < sequence <= after + 0xFFFFFFFF and frame_whole(&view[0] + i, size - i):
            return i, sequence
    return None


def records(data, Py_ssize_t start):
    """Yield (offset, sequence, lag, kind, flags, body) of the sound records from an offset on."""
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t at = start
    cdef const uint8_t *p
    while at < len(view):
        p = &view[0] + at
        if not frame_whole(p, len(view) - at):
            return
        size = get32(p + 4)
        yield (at, get64(p + 8), get32(p + 16), p[20], p[21],
               PyBytes_FromStringAndSize(<char *> p + FRAME, size))
        at += FRAME + size


def state_bytes(Registry registry not None):
    """The state of each job, sorted, its deadlines in wall time: equal for equal engines."""
    cdef engine_t *engine = &registry.e
    cdef record_t *record
    cdef Py_ssize_t i, size
    cdef uint8_t *p
    cdef list found = []
    cdef bytes made
    lock_acquire(&engine.lock)
    try:
        for i in range(ids_slots(&engine.ids)):
            record = <record_t *> ids_at(&engine.ids, i)
            if record == NULL or record.is_run:
                continue
            size = job_size(record.job)
            made = PyBytes_FromStringAndSize(NULL, size + state_size(record))
            p = <uint8_t *> PyBytes_AS_STRING(made)
            size = job_write(record.job, p)
            p += size
            state_write(record, p)
            if p[0] == STATE_LEASED:
                put64(p + 16, get64(p + 16) + <uint64_t> engine.wall_offset_ns)
            if p[1] & STATE_TTL:
                put64(p + 24, get64(p + 24) + <uint64_t> engine.wall_offset_ns)
            found.append(made)
        found.sort()
        record = engine.dead_first
        while record != NULL:
            found.append(PyBytes_FromStringAndSize(<char *> record.job.tie.id, ID_SIZE))
            record = dead_next(record)
    finally:
        lock_release(&engine.lock)
    return found
