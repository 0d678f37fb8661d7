"""Reading the command log back into an engine.

Until `finish`, records of the registry only have their fields: nothing stands in a queue, no timer is
armed. So a job that was added and deleted costs two look-ups, and those that stay are placed in order.
Complexity: O(1) an entry, O(n log n) to finish with n jobs.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy

from jobqueue._structures.platform cimport lock_acquire, lock_release, ref_drop, ref_take
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, TTL_MAX_MS
from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._structures.wheel cimport TIMER_ARMED, TIMER_CANCELLED, timer_t, wheel_arm
from jobqueue._structures.id_table cimport ids_at, ids_slots
from jobqueue._machine.types cimport (
    EXTRA_DEAD, JOB_CREATED_GIVEN, JOB_UNIQUE, NO_MEMORY, OK, PAYLOAD_MAX_SIZE, RESULT_MAX_SIZE,
    STATE_COMPLETED, STATE_FAILED, STATE_LEASED, TTR_MAX_MS, bytes_size, engine_t, record_t,
)
from jobqueue._machine.layout cimport job_unique, record_processed
from jobqueue._machine.state cimport (
    dead_enter, dead_leave, extras_end, key_check, key_take, queue_add, queue_schedule,
    record_assign, registry_add, registry_find, registry_remove, state_set,
)
from jobqueue._objects.rules cimport name_read
from jobqueue._objects.job cimport Job, ids_expect, job_take, key_hash
from jobqueue._objects.registry cimport Registry, RunRecord, record_new, registry_now
from jobqueue._objects.queues cimport WorkQueue, queue_get
from jobqueue._engine.base cimport EngineBase
from jobqueue.cmdlog._format cimport (
    BODY_MAX, FRAME, FRAME_BATCH, JOB_FIXED, KIND_BATCH_END, KIND_CLOCK, KIND_DEAD, KIND_END,
    KIND_GONE, KIND_JOB, KIND_PAUSE, KIND_STATE, STATE_FIXED, STATE_RESULT, STATE_SCHEDULED,
    STATE_TTL, Seal, frame_whole, get16, get32, get64, job_size, record_bytes_of, state_size,
)

cdef bytes EMPTY = b""
cdef int64_t TIME_MAX_NS = NEVER_NS // 2  # so that sums of two times fit

cdef inline int64_t sane(int64_t time_ns) noexcept nogil:
    return max(-TIME_MAX_NS, min(TIME_MAX_NS, time_ns))


cdef inline int64_t time_sum(int64_t time_ns, int64_t by_ns) noexcept nogil:
    """A sum that never overflows, whatever a file says."""
    return sane(time_ns) + sane(by_ns)


cdef inline size_t taken_at(const record_t *record) noexcept nogil:
    """When a job took its key: the later, the higher; 0: before the snapshot."""
    return <size_t> <void *> record.ttl.prev


cdef struct place_t:              # of a record that is to be put into its queue
    int64_t a
    int64_t b
    record_t *record


cdef int place_order(const void *x, const void *y) noexcept nogil:
    cdef const place_t *a = <const place_t *> x
    cdef const place_t *b = <const place_t *> y
    if a.a != b.a:
        return -1 if a.a < b.a else 1
    if a.b != b.b:
        return -1 if a.b < b.b else 1
    return 0


cdef class Replay:
    """Reads records into the registry of an engine that does not work yet.

    Until `finish`, records only have their fields: nothing stands in a queue, no timer is armed.
    ``record.marked`` keeps the state_flag_t meanwhile, ``record.ttl.prev`` when it took its key.
    """

    cdef EngineBase controller
    cdef Registry registry
    cdef engine_t *e
    cdef dict names               # bytes -> str
    cdef readonly set paused
    cdef readonly uint64_t sequence  # of the last record
    cdef readonly uint64_t synced    # the highest that was on disk for sure, by what was read
    cdef readonly int64_t time_ns    # wall time of what was read last, as far as it tells
    cdef readonly int64_t offset_ns  # wall minus mono of the log
    cdef readonly uint64_t count     # records applied
    cdef readonly uint64_t whole_at  # snapshot: the log must reach this
    cdef readonly int64_t whole_ns   # wall time of that; 0: it is not told
    cdef public bint in_snapshot  # what is read is of one
    cdef public object salt       # of the log, once a file has told it
    cdef readonly list rejected   # bodies of the batch whose end says nothing sound
    cdef readonly Py_ssize_t behind  # offset behind the record that says nothing sound
    cdef bint keyed               # there are unique jobs
    cdef readonly Py_ssize_t clamped  # deadlines that `finish` brought nearer; the log does not tell
    cdef readonly bint ended         # snapshot: its end was read
    cdef readonly int64_t live_bytes
    cdef list batch               # (kind, body) of a batch that is not whole yet
    cdef readonly Py_ssize_t batch_start  # offset where it began in the data that was given first
    cdef uint64_t batch_before    # the sequence before it
    cdef readonly str wrong       # why `feed` stopped before the end
    cdef readonly bint nonsense   # it is a record with a right checksum that says nothing sound
    cdef readonly bint reached    # it stopped because the time was reached

    def __cinit__(self, EngineBase controller not None):
        self.controller = controller
        self.registry = controller.registry
        self.e = &self.registry.e
        self.names = {}
        self.paused = set()
        self.batch = []
        self.rejected = []
        registry_now(self.registry)
        self.offset_ns = self.e.wall_offset_ns

    def begin(self, uint64_t sequence, int64_t offset_ns, int64_t wall_ns, bint epoch):
        """A header was read: the next record has this sequence."""
        cdef Py_ssize_t i
        cdef record_t *record
        cdef int64_t by_ns = self.offset_ns - sane(offset_ns)
        if epoch and by_ns:  # another process, whose monotonic time began elsewhere
            for i in range(ids_slots(&self.e.ids)):
                record = <record_t *> ids_at(&self.e.ids, i)
                if record != NULL and record.state == STATE_LEASED:
                    record.ttr.deadline_ns = time_sum(record.ttr.deadline_ns, by_ns)
                if record != NULL and record.marked & STATE_TTL:
                    record.ttl.deadline_ns = time_sum(record.ttl.deadline_ns, by_ns)
        self.offset_ns = sane(offset_ns)
        self.time_ns = max(self.time_ns, sane(wall_ns))
        self.sequence = sequence - 1

    def skip_to(self, uint64_t sequence):
        """Go on behind damage: the next record has this sequence.

        A batch that the damage cut in two did happen, since more was noted: what is there of it counts.
        """
        self.sequence = sequence - 1
        self.take_batch()

    def feed(self, data, Py_ssize_t start, Seal seal not None, until_ns=None, stop=None):
        """Apply records from an offset on; returns the offset behind the last sound one.

        ``wrong`` tells why it is not the end, or not ``stop``; "" if only zeros follow.
        """
        cdef const uint8_t[::1] view = data
        cdef Py_ssize_t size = len(view) if stop is None else stop
        cdef Py_ssize_t frame = seal.c.frame
        cdef Py_ssize_t at = start
        cdef const uint8_t *p
        cdef uint32_t body
        cdef int64_t limit_ns = NEVER_NS if until_ns is None else until_ns
        self.wrong = None
        self.nonsense = False
        while at < size:
            p = &view[0] + at
            if not frame_whole(&seal.c, p, at, size - at):
                self.wrong = self.what_is_wrong(p, size - at, frame)
                break
            if get64(p + 8) != self.sequence + 1:
                self.wrong = f"record {get64(p + 8)} where {self.sequence + 1} belongs"
                break
            body = get32(p + 4)
            if limit_ns != NEVER_NS and self.time_of(p[20], p + frame, body) > limit_ns:
                self.reached = True
                break
            try:
                self.take(p, at, frame)
            except ValueError as error:  # whole, and yet none that was ever written
                self.wrong = str(error)
                self.nonsense = True
                self.behind = at + frame + body
                break
            at += frame + body
        return at

    cdef str what_is_wrong(self, const uint8_t *p, Py_ssize_t left, Py_ssize_t frame):
        cdef Py_ssize_t i
        for i in range(left):
            if p[i]:
                break
        else:
            return ""
        if left < frame or (get32(p + 4) <= BODY_MAX and frame + <Py_ssize_t> get32(p + 4) > left):
            return "a record that is cut short"
        return "a record with a wrong checksum"

    cdef int64_t time_of(self, uint8_t kind, const uint8_t *p, uint32_t size) noexcept:
        """When a record was written, as far as it tells; else when the one before it was."""
        cdef int64_t at_ns = 0
        if kind == KIND_CLOCK and size == 16:
            at_ns = <int64_t> get64(p + 8)
        elif kind == KIND_JOB and size >= JOB_FIXED and not p[46] & JOB_CREATED_GIVEN:
            at_ns = <int64_t> get64(p + 16)
        return max(self.time_ns, at_ns) if at_ns < TIME_MAX_NS else self.time_ns

    cdef int take(self, const uint8_t *p, Py_ssize_t at, Py_ssize_t frame) except -1:
        cdef uint32_t size = get32(p + 4)
        cdef uint8_t kind = p[20]
        self.sequence = get64(p + 8)
        self.synced = max(self.synced, self.sequence - min(self.sequence, <uint64_t> get32(p + 16)))
        self.time_ns = self.time_of(kind, p + frame, size)
        if p[21] & FRAME_BATCH and kind != KIND_BATCH_END:
            if not self.batch:
                self.batch_start = at
                self.batch_before = self.sequence - 1
            self.batch.append((kind, PyBytes_FromStringAndSize(<char *> p + frame, size)))
            return 0
        if kind == KIND_BATCH_END:
            self.take_batch()
        else:
            self.apply(kind, p + frame, size)
        return 0

    cdef int take_batch(self) except -1:
        """Apply a whole batch. What says nothing sound is left out of it, and is in ``rejected``."""
        cdef list batch = self.batch
        cdef str why = None
        self.batch = []
        self.rejected = []
        for kind, body in batch:
            try:
                self.apply(kind, <const uint8_t *> PyBytes_AS_STRING(body), <uint32_t> len(body))
            except ValueError as error:
                self.rejected.append(body)
                why = str(error) if why is None else why
        if why is not None:
            raise ValueError(f"in a batch: {why}")
        return 0

    def drop_batch(self):
        """Forget a batch whose end is missing: it never happened."""
        self.batch.clear()
        self.sequence = self.batch_before

    @property
    def jobs(self):
        """How many jobs there are."""
        return self.e.ids.count

    @property
    def batch_open(self):
        """Whether the end of a batch is missing."""
        return bool(self.batch)

    cdef int apply(self, uint8_t kind, const uint8_t *p, uint32_t size) except -1:
        cdef record_t *record = NULL
        self.count += 1
        if kind == KIND_JOB:
            self.apply_job(p, size)
            return 0
        if kind in (KIND_STATE, KIND_GONE, KIND_DEAD) and size >= ID_SIZE:
            record = registry_find(self.e, p)
        if kind == KIND_STATE and size >= ID_SIZE + STATE_FIXED:
            if record != NULL:
                self.apply_state(record, p + ID_SIZE, size - ID_SIZE)
        elif kind == KIND_GONE and size == ID_SIZE:
            if record != NULL:
                self.forget(record)
        elif kind == KIND_DEAD and size == ID_SIZE:
            if record != NULL and record.extras & EXTRA_DEAD:
                dead_leave(self.e, record)
                dead_enter(self.e, record)
        elif kind == KIND_CLOCK and size == 16:
            if not -TIME_MAX_NS < <int64_t> get64(p) < TIME_MAX_NS:
                raise ValueError("a clock that is wrong by centuries")
            self.offset_ns = <int64_t> get64(p)
        elif kind == KIND_PAUSE and size > 1:
            text = PyBytes_FromStringAndSize(<char *> p + 1, size - 1)
            name = name_read(text.decode("ascii", "replace"))
            if p[0]:
                self.paused.add(name)
            else:
                self.paused.discard(name)
        elif kind == KIND_END and size in (8, 16):  # version 1 does not tell when
            self.whole_at = get64(p)
            self.whole_ns = <int64_t> get64(p + 8) if size == 16 else 0
            self.ended = True
        else:
            raise ValueError(f"a record of kind {kind} with {size} bytes")
        return 0

    cdef int forget(self, record_t *record) except -1:
        self.live_bytes -= FRAME + job_size(record.job) + state_size(record)
        lock_acquire(&self.e.lock)
        registry_remove(self.e, record)
        lock_release(&self.e.lock)
        return 0

    cdef int apply_job(self, const uint8_t *p, uint32_t size) except -1:
        cdef record_t *old
        cdef Job job
        cdef RunRecord record
        cdef int done
        cdef Py_ssize_t name_size, key_size, payload_size
        cdef const uint8_t *data = p + JOB_FIXED
        if size < JOB_FIXED + STATE_FIXED:
            raise ValueError(f"a job in {size} bytes")
        name_size = p[47]
        key_size = p[48]
        payload_size = get32(p + 49)
        if (payload_size > PAYLOAD_MAX_SIZE
                or JOB_FIXED + name_size + key_size + payload_size + STATE_FIXED > size):
            raise ValueError(f"a job of {payload_size} bytes in {size}")
        text = PyBytes_FromStringAndSize(<char *> data, name_size)
        name = self.names.get(text)
        if name is None:
            name = self.names[text] = name_read(text.decode("ascii", "replace"))
        key = PyBytes_FromStringAndSize(<char *> data + name_size, key_size) if key_size else None
        data += name_size + key_size
        payload = PyBytes_FromStringAndSize(<char *> data, payload_size) if payload_size else EMPTY
        ids_expect(&self.e.ids)
        job = job_take(key, payload)
        if key is not None:
            job_unique(&job.c).hash = key_hash(name, key)
        ref_take(<PyObject *> name)
        job.c.name = <PyObject *> name
        memcpy(job.c.tie.id, p, ID_SIZE)
        job.c.tie.created_ns = <int64_t> get64(p + 16)
        job.c.time_ns = <int64_t> get64(p + 24)
        job.c.ttr_ms = get32(p + 32)
        job.c.ttl_ms = get32(p + 36)
        job.c.priority = <int32_t> get32(p + 40)
        job.c.max_attempts = p[44]
        job.c.max_fails = p[45]
        job.c.flags |= p[46] & JOB_CREATED_GIVEN
        self.check_state(data + payload_size, <uint32_t> (size - (data + payload_size - p)))
        if not 0 < job.c.ttr_ms <= TTR_MAX_MS or not 0 < job.c.ttl_ms <= TTL_MAX_MS:
            raise ValueError("a job with a wrong ttr or ttl")
        old = registry_find(self.e, p)
        if old != NULL:
            self.forget(old)
        record = record_new(job)
        lock_acquire(&self.e.lock)
        done = registry_add(self.e, &record.c)
        lock_release(&self.e.lock)
        if done != 1:
            raise MemoryError
        if not job.c.flags & JOB_CREATED_GIVEN:
            self.e.created_last_ns = max(self.e.created_last_ns, job.c.tie.created_ns)
        self.live_bytes += FRAME + job_size(&job.c) + STATE_FIXED
        data += payload_size
        self.apply_state(&record.c, data, <uint32_t> (size - (data - p)))
        return 0

    cdef int check_state(self, const uint8_t *p, uint32_t size) except -1:
        cdef uint32_t result_size = get32(p + 32)
        if result_size > RESULT_MAX_SIZE or STATE_FIXED + result_size != size or p[0] > STATE_LEASED:
            raise ValueError(f"a state of {size} bytes")
        return 0

    cdef int apply_state(self, record_t *record, const uint8_t *p, uint32_t size) except -1:
        cdef uint32_t result_size = get32(p + 32)
        cdef uint8_t flags = p[1]
        cdef object result = None
        self.check_state(p, size)
        self.live_bytes -= state_size(record)
        if record.extras & EXTRA_DEAD:
            dead_leave(self.e, record)
        if record.result != NULL:
            self.e.load.bytes -= bytes_size(record.result)
            ref_drop(record.result)
            record.result = NULL
        if p[0] in (STATE_COMPLETED, STATE_FAILED):
            result = EMPTY
            if flags & STATE_RESULT and result_size:
                result = PyBytes_FromStringAndSize(<char *> p + STATE_FIXED, result_size)
            ref_take(<PyObject *> result)
            record.result = <PyObject *> result
            self.e.load.bytes += bytes_size(record.result)
        if record.job.flags & JOB_UNIQUE and p[0] not in (STATE_COMPLETED, STATE_FAILED):
            if taken_at(record) == 0 or record_processed(record):  # it is added, or was kicked
                record.ttl.prev = <timer_t *> <void *> (0 if self.in_snapshot else <size_t> self.count)
                self.keyed = True
        state_set(record, p[0])
        record.marked = flags & (STATE_TTL | STATE_SCHEDULED)
        record.fails = get16(p + 2)
        record.attempts = get64(p + 4)
        record.ttr.own = get32(p + 12)
        record.ttr.deadline_ns = <int64_t> get64(p + 16)
        record.ttl.deadline_ns = <int64_t> get64(p + 24)
        if record.state == STATE_FAILED:
            dead_enter(self.e, record)
        self.live_bytes += state_size(record)
        return 0

    def finish(self, bint start=False, bint keep_leases=True, bint repair=False):
        """Put every job into its place and arm its timers; from then on the engine may work.

        start: the engine goes on from here, and the clock may be wrong: no deadline is farther from now
        than a TTR or TTL. keep_leases: else they are over at once. repair: of two unprocessed jobs with
        one key the later stays. Returns what was left out: (why, the bytes of a job and its state).
        """
        cdef engine_t *engine = self.e
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t i
        cdef record_t *record
        cdef place_t *places
        cdef int64_t now_ns = registry_now(self.registry)
        cdef int64_t by_ns = self.offset_ns - sane(engine.wall_offset_ns)
        cdef list left_out = self.settle_keys(repair) if self.keyed else []
        places = <place_t *> malloc(<size_t> (engine.ids.count + 1) * sizeof(place_t))
        if places == NULL:
            raise MemoryError
        try:
            for i in range(ids_slots(&engine.ids)):
                record = <record_t *> ids_at(&engine.ids, i)
                if record == NULL:
                    continue
                places[count].a = -<int64_t> record.job.priority
                places[count].b = record.job.tie.created_ns
                places[count].record = record
                count += 1
            qsort(places, <size_t> count, sizeof(place_t), place_order)
            for i in range(count):
                record = places[i].record
                self.move(record, by_ns)
                if start:
                    self.clamp(record, now_ns, keep_leases)
                self.place(record)
        finally:
            free(places)
        for name in self.paused:
            (<WorkQueue> queue_get(self.controller.own_queues, name)).c.paused = True
            (<WorkQueue> queue_get(self.controller.own_queues, name)).c.named = True
        if engine.bounded:
            self.controller.recount()
        return left_out

    cdef list settle_keys(self, bint repair):
        """Let unprocessed jobs take their keys. Of two with one key, the first must have ended."""
        cdef engine_t *engine = self.e
        cdef record_t *record
        cdef record_t *rival
        cdef Py_ssize_t i
        cdef list left_out = []
        cdef list ids = []
        cdef int status
        for i in range(ids_slots(&engine.ids)):
            record = <record_t *> ids_at(&engine.ids, i)
            if record == NULL or record_processed(record) or not record.job.flags & JOB_UNIQUE:
                continue
            status = key_check(engine, record.job)
            if status == NO_MEMORY:
                raise MemoryError
            if status != OK:
                rival = registry_find(engine, engine.refusal.first)
                if (taken_at(rival), rival.job.tie.created_ns) < (
                        taken_at(record), record.job.tie.created_ns):
                    extras_end(engine, rival)  # lets go of the key
                    record, rival = rival, record
                    if key_check(engine, rival.job) != OK:
                        raise MemoryError
                    key_take(engine, rival)
                ids.append(PyBytes_FromStringAndSize(<char *> record.job.tie.id, ID_SIZE))
                left_out.append((
                    f"unprocessed job {ids[len(ids) - 1].hex()} of queue "
                    f"{<str> <PyObject *> record.job.name!r} has the key of a later one",
                    record_bytes_of(record)))
                continue
            key_take(engine, record)
        if left_out and not repair:
            raise ValueError(left_out[0][0])
        for id in ids:
            self.forget(registry_find(engine, <const uint8_t *> PyBytes_AS_STRING(id)))
        return left_out

    cdef void move(self, record_t *record, int64_t by_ns) noexcept:
        """Deadlines in the time of this process; due times are wall times, and stay."""
        if record.state == STATE_LEASED:
            record.ttr.deadline_ns = time_sum(record.ttr.deadline_ns, by_ns)
        if record.marked & STATE_TTL:
            record.ttl.deadline_ns = time_sum(record.ttl.deadline_ns, by_ns)

    cdef void clamp(self, record_t *record, int64_t now_ns, bint keep_leases) noexcept:
        """No deadline is farther away than the job allows, however wrong the clock may be."""
        cdef int64_t ttr_ns = <int64_t> record.job.ttr_ms * NS_PER_MS if keep_leases else 0
        cdef int64_t ttl_ns = <int64_t> record.job.ttl_ms * NS_PER_MS
        if record.state == STATE_LEASED and record.ttr.deadline_ns > now_ns + ttr_ns:
            record.ttr.deadline_ns = now_ns + ttr_ns
            self.clamped += keep_leases  # else its time-out is noted
        if record.marked & STATE_TTL:
            if record.state == STATE_FAILED:  # it may have expired, and be kept
                ttl_ns = max(ttl_ns, self.e.keep_expired_ns)
            if record.ttl.deadline_ns > now_ns + ttl_ns:
                record.ttl.deadline_ns = now_ns + ttl_ns
                self.clamped += 1

    def freeze(self):
        """Let every later change ask for space, which the owner of the engine refuses."""
        self.e.free_bytes = -1

    cdef int place(self, record_t *record) except -1:
        cdef engine_t *engine = self.e
        cdef uint8_t flags = record.marked
        cdef int64_t when_ns = record.ttr.deadline_ns
        cdef int done = 1
        cdef WorkQueue queue = queue_get(self.controller.own_queues, <str> <PyObject *> record.job.name)
        record.marked = 0
        lock_acquire(&engine.lock)
        record_assign(record, &queue.c)
        if not record_processed(record):
            record.ttr.prev = NULL
            if record.state == STATE_LEASED:
                wheel_arm(&engine.wheel, &record.ttr, when_ns)
            elif flags & STATE_SCHEDULED:
                done = queue_schedule(record.queue, record, when_ns)
                record.scheduled = TIMER_CANCELLED if when_ns == NEVER_NS else TIMER_ARMED
            else:
                done = queue_add(record.queue, record)
        if done == 1 and flags & STATE_TTL:
            wheel_arm(&engine.wheel, &record.ttl, record.ttl.deadline_ns)
        lock_release(&engine.lock)
        if done != 1:
            raise MemoryError
        return 0
