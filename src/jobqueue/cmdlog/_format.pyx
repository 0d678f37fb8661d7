"""The entries of the command log: how they are written, and recognised.

An entry is a frame (checksum, size, sequence, lag, kind, flags, mark) and a body;
docs/cmdlog_format.md has every byte. What is written of a job is its whole state, so that an entry
means the same wherever it is read, and reading it twice does no harm.

Invariant: nothing that a payload holds passes for an entry. The salt of the log, the number of the
file and the offset of the frame go into its checksum and mark: 64 bits that a writer of payloads does
not know, and that a copy from elsewhere does not match.
Complexity: O(bytes) to read, and to look through damage, whatever it holds.
"""

from collections import namedtuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from jobqueue._structures.platform cimport lock_acquire, lock_release
from jobqueue._structures.times cimport NEVER_NS
from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._structures.wheel cimport TIMER_ARMED
from jobqueue._structures.id_table cimport ids_at, ids_slots
from jobqueue._machine.types cimport (
    JOB_CREATED_GIVEN, JOB_UNIQUE, PLACE_SCHEDULED, STATE_FAILED, STATE_LEASED, engine_t, job_t,
    record_t,
)
from jobqueue._machine.layout cimport job_unique, payload_data, record_processed
from jobqueue._machine.state cimport dead_next
from jobqueue._objects.registry cimport Registry

crc_start()

cdef bytes MAGIC = b"JQCMDLOG"
cdef bytes REACH_MAGIC = b"JQREACH\0"

cdef enum:
    LADDER_STEP = 128             # bytes between two steps of a ladder
    SMALL = 256                   # bytes whose checksum is made anew wherever they are met

KINDS = {1: "job", 2: "state", 3: "gone", 4: "clock", 5: "pause", 6: "dead", 7: "batch end", 8: "end"}
SIZES = {"frame": FRAME, "header": HEADER, "margin": MARGIN, "version": VERSION}

Header = namedtuple("Header", "number sequence synced offset_ns wall_ns epoch version salt snapshot")
Reach = namedtuple("Reach", "number salt sequence wall_ns closed")
Run = namedtuple("Run", "start end first last claimed")


def crc32c(data, bint portable=False, uint32_t first=CRC_FIRST):
    """CRC-32C (Castagnoli) of bytes; ``first``: what its register begins with."""
    cdef const uint8_t[::1] view = data
    if len(view) == 0:
        return first ^ CRC_FIRST
    return (crc_run_portable if portable else crc_run)(first, &view[0], <size_t> len(view)) ^ CRC_FIRST


cdef inline uint32_t crc(uint32_t first, const uint8_t *p, Py_ssize_t size) noexcept nogil:
    return crc_run(first, p, <size_t> size) ^ <uint32_t> CRC_FIRST

# ---------------------------------------------------------------- seals

cdef seal_t seal_make(uint64_t salt, uint64_t number, bint snapshot) noexcept nogil:
    """The seal of a file: its number mixed into the salt (splitmix64, Steele et al. 2014)."""
    cdef seal_t seal
    cdef uint64_t x = salt + (2 * number + snapshot) * <uint64_t> 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    x ^= x >> 31
    seal.first = <uint32_t> x
    seal.mark = <uint32_t> (x >> 32)
    seal.frame = FRAME
    seal.version = VERSION
    return seal


cdef class Seal:
    """What makes the frames of one file its own."""

    def __init__(self, uint8_t version, uint64_t salt=0, uint64_t number=0, bint snapshot=False):
        if version >= 2:
            self.c = seal_make(salt, number, snapshot)
        else:
            self.c.first = CRC_FIRST
            self.c.frame = FRAME_1
            self.c.version = version

    @property
    def version(self):
        """Of the format."""
        return self.c.version

    @property
    def frame(self):
        """Bytes of a frame."""
        return self.c.frame

    @property
    def first(self):
        """What checksums begin with."""
        return self.c.first

    @property
    def mark(self):
        """The mark of the frame at offset 0."""
        return self.c.mark


def seal_of(header):
    """The Seal of a file with this Header."""
    return Seal(header.version, header.salt, header.number, header.snapshot)

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


cdef bytes record_bytes_of(const record_t *record):
    """A job and its state, as in the body of a record."""
    cdef Py_ssize_t size = job_size(record.job)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size + state_size(record))
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    job_write(record.job, p)
    state_write(record, p + size)
    return made


cdef void frame_write(
        uint8_t *p, Py_ssize_t size, uint64_t sequence, uint64_t synced, uint8_t kind,
        uint8_t flags) noexcept nogil:
    """The frame before a body of so many bytes, which is in place; it is not sealed yet."""
    cdef uint64_t lag = sequence - synced
    put32(p + 4, <uint32_t> size)
    put64(p + 8, sequence)
    put32(p + 16, <uint32_t> min(lag, <uint64_t> 0xFFFFFFFF))
    p[20] = kind
    p[21] = flags


cdef void frame_seal(const seal_t *seal, uint8_t *p, Py_ssize_t offset) noexcept nogil:
    """Bind a frame and its body to this file, and to this offset in it."""
    put32(p + 22, seal.mark ^ <uint32_t> offset)
    put32(p, crc(seal.first, p + 4, FRAME - 4 + <Py_ssize_t> get32(p + 4)))


cdef bytes frame_bytes(
        const seal_t *seal, Py_ssize_t offset, bytes body, uint64_t sequence, uint8_t kind):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, FRAME + size)
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    memcpy(p + FRAME, PyBytes_AS_STRING(body), <size_t> size)
    frame_write(p, size, sequence, 0, kind, 0)
    frame_seal(seal, p, offset)
    return made

# ---------------------------------------------------------------- headers

cdef bytes header_bytes(
        uint64_t number, uint64_t salt, uint64_t sequence, uint64_t synced, int64_t offset_ns,
        int64_t wall_ns, uint8_t flags):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, HEADER)
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    memset(p, 0, HEADER)
    memcpy(p, PyBytes_AS_STRING(MAGIC), 8)
    put32(p + 8, VERSION)
    put32(p + 12, flags)
    put32(p + 16, <uint32_t> number)
    put64(p + 20, salt)
    put64(p + 28, sequence)
    put64(p + 36, synced)
    put64(p + 44, <uint64_t> offset_ns)
    put64(p + 52, <uint64_t> wall_ns)
    put32(p + 60, crc(CRC_FIRST, p, 60))
    return made


def read_header(data):
    """The Header that some bytes begin with; None: there is none.

    A str instead tells what is wrong with what looks like one.
    """
    cdef const uint8_t[::1] view = data
    cdef const uint8_t *p
    cdef uint32_t version
    if len(view) < HEADER:
        return None
    p = &view[0]
    if memcmp(p, PyBytes_AS_STRING(MAGIC), 8) != 0:
        return None
    if get32(p + 60) != crc(CRC_FIRST, p, 60):
        return None
    version = get32(p + 8)
    if version == 1:
        return Header(get64(p + 16), get64(p + 24), get64(p + 32), <int64_t> get64(p + 40),
                      <int64_t> get64(p + 48), bool(p[12] & HEADER_EPOCH), 1, 0, False)
    if version == 2:
        return Header(get32(p + 16), get64(p + 28), get64(p + 36), <int64_t> get64(p + 44),
                      <int64_t> get64(p + 52), bool(p[12] & HEADER_EPOCH), 2, get64(p + 20),
                      bool(p[12] & HEADER_SNAPSHOT))
    return f"version {version} of the format; this release reads versions 1 to {VERSION}"


def reach_bytes(uint64_t number, uint64_t salt, uint64_t sequence, int64_t wall_ns, bint closed):
    """The mark of how far a log was: in this segment, to this sequence, all of it on disk."""
    cdef bytes made = PyBytes_FromStringAndSize(NULL, REACH)
    cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
    memcpy(p, PyBytes_AS_STRING(REACH_MAGIC), 8)
    put32(p + 8, VERSION)
    put32(p + 12, closed)
    put32(p + 16, <uint32_t> number)
    put64(p + 20, salt)
    put64(p + 28, sequence)
    put64(p + 36, <uint64_t> wall_ns)
    put32(p + 44, crc(CRC_FIRST, p, 44))
    return made


def read_reach(data):
    """The Reach that some bytes are; None: they are none that this release reads."""
    cdef const uint8_t[::1] view = data
    cdef const uint8_t *p
    if len(view) != REACH:
        return None
    p = &view[0]
    if memcmp(p, PyBytes_AS_STRING(REACH_MAGIC), 8) != 0 or get32(p + 44) != crc(CRC_FIRST, p, 44):
        return None
    if get32(p + 8) != 2:
        return None
    return Reach(get32(p + 16), get64(p + 20), get64(p + 28), <int64_t> get64(p + 36),
                 bool(p[12] & 1))

# ---------------------------------------------------------------- reading

cdef inline bint frame_plausible(
        const seal_t *seal, const uint8_t *p, Py_ssize_t offset, Py_ssize_t left) noexcept nogil:
    """Whether what stands here may be a whole record, but for its checksum."""
    if left < seal.frame:
        return False
    if seal.version > 1 and get32(p + 22) != (seal.mark ^ <uint32_t> offset):
        return False
    return (0 < p[20] <= KIND_MAX and get32(p + 4) <= BODY_MAX
            and seal.frame + <Py_ssize_t> get32(p + 4) <= left)


cdef bint frame_whole(
        const seal_t *seal, const uint8_t *p, Py_ssize_t offset, Py_ssize_t left) noexcept nogil:
    """Whether a whole and sound record begins here, at this offset of its file."""
    return (frame_plausible(seal, p, offset, left)
            and get32(p) == crc(seal.first, p + 4, seal.frame - 4 + <Py_ssize_t> get32(p + 4)))


def records(data, Py_ssize_t start, Seal seal=None):
    """Yield (offset, sequence, lag, kind, flags, body) of the sound records from an offset on.

    data: a file from its beginning, whose header tells the seal if none is given.
    """
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t at = start
    cdef const uint8_t *p
    if seal is None:
        header = read_header(data)
        if not isinstance(header, Header):
            return
        seal = seal_of(header)
    while at < len(view):
        p = &view[0] + at
        if not frame_whole(&seal.c, p, at, len(view) - at):
            return
        size = get32(p + 4)
        yield (at, get64(p + 8), get32(p + 16), p[20], p[21],
               PyBytes_FromStringAndSize(<char *> p + seal.c.frame, size))
        at += seal.c.frame + size

# ---------------------------------------------------------------- looking through damage

cdef class Ladder:
    """Checksums of any stretch of some bytes, without reading all of the stretch each time.

    It keeps the register, which began with 0, every few bytes. That of a stretch follows from those at
    its two ends: O(log n), so that overlapping stretches cost no more than others.
    """

    cdef const uint8_t *p
    cdef Py_ssize_t size
    cdef uint32_t *steps          # owned; NULL: not needed so far
    cdef readonly Py_ssize_t scanned  # bytes that went into checksums

    def __dealloc__(self):
        free(self.steps)

    cdef int climb(self) except -1:
        cdef Py_ssize_t count = self.size // LADDER_STEP + 1
        cdef Py_ssize_t i
        self.steps = <uint32_t *> malloc(<size_t> count * sizeof(uint32_t))
        if self.steps == NULL:
            raise MemoryError
        self.steps[0] = 0
        for i in range(1, count):
            self.steps[i] = crc_run(self.steps[i - 1], self.p + (i - 1) * LADDER_STEP, LADDER_STEP)
        self.scanned += self.size
        return 0

    cdef uint32_t register(self, Py_ssize_t at) noexcept:
        cdef Py_ssize_t step = at // LADDER_STEP
        self.scanned += at - step * LADDER_STEP
        return crc_run(self.steps[step], self.p + step * LADDER_STEP, <size_t> (at - step * LADDER_STEP))

    cdef uint32_t crc_of(self, uint32_t first, Py_ssize_t at, Py_ssize_t size) except? 0:
        """The checksum of a stretch."""
        if size <= SMALL:
            self.scanned += size
            return crc(first, self.p + at, size)
        if self.steps == NULL:
            self.climb()
        return (crc_shift(first ^ self.register(at), <size_t> size) ^ self.register(at + size)
                ^ <uint32_t> CRC_FIRST)


cdef bint record_here(const seal_t *seal, Ladder ladder, Py_ssize_t at) except -1:
    """As frame_whole."""
    cdef const uint8_t *p = ladder.p + at
    if not frame_plausible(seal, p, at, ladder.size - at):
        return False
    return get32(p) == ladder.crc_of(
        seal.first, at + 4, seal.frame - 4 + <Py_ssize_t> get32(p + 4))


def survey(data, Py_ssize_t start, Seal seal not None, after=None, list spent=None):
    """Runs of sound records with consecutive numbers, from an offset on, as a list of Run.

    A run: its first and last byte's offsets, its first and last sequence, and up to which its records
    say that all was on disk. after: the sequence of the last record before ``start``: what comes later
    has a higher one, and not by more than fits between. None: any will do. spent: is given the number
    of bytes that went into checksums.
    """
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t size = len(view)
    cdef Py_ssize_t at = start
    cdef Py_ssize_t begin, behind
    cdef uint64_t last = 0 if after is None else after
    cdef uint64_t first, claimed, sequence
    cdef bint bounded = after is not None
    cdef Ladder ladder = Ladder()
    cdef list runs = []
    behind = start
    if start < size:
        ladder.p = &view[0]
        ladder.size = size
    while at + seal.c.frame <= size:
        first = get64(ladder.p + at + 8)
        if (first <= last
                or (bounded and first - last - 1 > <uint64_t> ((at - behind) // FRAME_1))
                or not record_here(&seal.c, ladder, at)):
            at += 1
            continue
        begin = at
        sequence = first
        claimed = 0
        while True:
            claimed = max(claimed, sequence - min(sequence, <uint64_t> get32(ladder.p + at + 16)))
            at += seal.c.frame + <Py_ssize_t> get32(ladder.p + at + 4)
            last = sequence
            if at + seal.c.frame > size or get64(ladder.p + at + 8) != sequence + 1:
                break
            if not record_here(&seal.c, ladder, at):
                break
            sequence += 1
        runs.append(Run(begin, at, first, last, claimed))
        behind = at
        bounded = True
    if spent is not None:
        spent.append(ladder.scanned)
    return runs


cdef bint ttl_may_change(const engine_t *engine, const record_t *record) noexcept nogil:
    """Whether a start may bring a TTL nearer (it runs from a time), or keep what expired anew."""
    if record.job.time_ns != NEVER_NS:
        return True
    return (record.state == STATE_FAILED and data_size(record.result) == data_size(engine.expired)
            and memcmp(data_of(record.result), data_of(engine.expired),
                       <size_t> data_size(record.result)) == 0)


def state_bytes(Registry registry not None, bint settled=False):
    """The state of each job, sorted, its deadlines in wall time: equal for equal engines.

    settled: without those deadlines that a start may change.
    """
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
                if settled and ttl_may_change(engine, record):
                    put64(p + 24, 0)
            found.append(made)
        found.sort()
        record = engine.dead_first
        while record != NULL:
            found.append(PyBytes_FromStringAndSize(<char *> record.job.tie.id, ID_SIZE))
            record = dead_next(record)
    finally:
        lock_release(&engine.lock)
    return found
