"""The journal: notes what an engine does, while it works; and reads it, bit by bit, for a snapshot.

Invariant: noting is a copy into memory and cannot fail; space for it was reserved before the verb began.
What finds no space after all (timers, a long chain of hand-offs, threads that all saw the last bytes)
waits in a spill for the next segment; the call that caused it begins that before it returns.
Locking: `journal_note` and what it calls run under the engine's lock; `gate` guards the callers that
wait for syncs.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from jobqueue._structures.platform cimport (
    JQ_ASSERT, clock_mono_ns, lock_acquire, lock_held, lock_release, lock_t, ref_drop, ref_take,
    struct_clear,
)
from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._structures.id_table cimport ids_homed, ids_slots
from jobqueue._structures.system cimport random_fill
from jobqueue._machine.types cimport (
    EXTRA_KICKED, EXTRA_READ, NOTE_ADDED, NOTE_BATCH, NOTE_BATCH_END, NOTE_CHANGED, OK, STATE_NEW,
    engine_t, note_kind_t, record_t,
)
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.state cimport dead_next
from jobqueue._machine.life cimport queue_offer
from jobqueue._objects.whole cimport signal_give, signal_take
from jobqueue._objects.rules cimport name_read
from jobqueue._objects.registry cimport Registry, registry_now
from jobqueue._objects.queues cimport WorkQueue, queue_get
from jobqueue._engine.base cimport EngineBase, verb_change, verb_fired_now, verb_leave
from jobqueue.cmdlog._format cimport (
    FRAME, FRAME_BATCH, HEADER, HEADER_EPOCH, HEADER_SNAPSHOT, KIND_BATCH_END, KIND_CLOCK, KIND_DEAD,
    KIND_END, KIND_GONE, KIND_JOB, KIND_PAUSE, KIND_STATE, MARGIN, OFFSET_NOTED_NS, STATE_FIXED,
    data_size, frame_bytes, frame_seal, frame_write, get32, header_bytes, job_size, job_write, put64,
    seal_make, seal_t, state_size, state_write, text_of, text_size,
)

from ._errors import CommandLogError

cdef extern from "cmdlog/_journal.h":
    int at_fork "jq_at_fork" (void (*child)() noexcept nogil) nogil
    const int64_t PATIENCE_MOST_NS "JQ_PATIENCE_MOST_NS"  # that a sync has with callers to come

cdef extern from "pythread.h":
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_ACQUIRED
    PyLockStatus PyThread_acquire_lock_timed(void *lock, PY_TIMEOUT_T us, int intr) noexcept nogil
    void PyThread_release_lock(void *lock) noexcept nogil
    unsigned long PyThread_get_thread_ident() noexcept nogil

# ---------------------------------------------------------------- noting

cdef struct journal_t:
    journal_t *next               # of all that there are
    engine_t *engine
    uint8_t *base                 # the segment, mapped; NULL: none yet
    seal_t seal                   # of its frames
    Py_ssize_t position           # where the next record goes
    Py_ssize_t end                # disk space is there up to here
    uint8_t *spill                # entries that found no space, in order
    Py_ssize_t spill_size
    Py_ssize_t spill_capacity
    uint64_t spill_count          # of those records
    uint64_t sequence             # of the last record
    uint64_t synced               # of the last one that is known to be on disk
    int64_t offset_ns             # wall minus mono, as noted last
    int64_t live_bytes            # that the records of all known jobs would take
    Py_ssize_t batch_count        # records of the batch that is open; -1: none is
    uint8_t always                # every verb waits until what it noted is on disk
    uint8_t stopped               # nothing can be noted any more
    uint8_t forgetful             # a record was lost for want of memory
    uint8_t refused               # something was done after the last record
    uint8_t forked                # it is the copy of a parent's

# Every journal of the process: the child of a fork must not store into the files of its parent, also
# where Python does not know of the fork. The GIL, or ``journals_gate``, guards the list.
cdef journal_t *journals = NULL
cdef lock_t journals_gate


cdef void journals_forked() noexcept nogil:
    """In the child of a fork, before anything else runs there."""
    cdef journal_t *journal = journals
    while journal != NULL:
        journal.stopped = journal.forked = True
        if journal.engine != NULL:
            journal.engine.free_bytes = -1
        journal = journal.next


if at_fork(journals_forked) != 0:
    raise MemoryError


cdef uint8_t *journal_free(journal_t *journal, Py_ssize_t size) noexcept nogil:
    """Where a record of this size goes. NULL: nowhere."""
    cdef Py_ssize_t capacity
    cdef uint8_t *more
    if journal.stopped:
        return NULL
    if journal.spill_size == 0 and journal.position + size <= journal.end:
        journal.position += size
        return journal.base + journal.position - size
    if journal.spill_size + size > journal.spill_capacity:
        capacity = max(2 * journal.spill_capacity, journal.spill_size + size, 4096)
        more = <uint8_t *> realloc(journal.spill, <size_t> capacity)
        if more == NULL:
            journal.stopped = journal.forgetful = True
            journal.engine.free_bytes = -1
            return NULL
        journal.spill = more
        journal.spill_capacity = capacity
    journal.spill_size += size
    return journal.spill + journal.spill_size - size


cdef void journal_seal(journal_t *journal, uint8_t *p, Py_ssize_t size, uint8_t kind) noexcept nogil:
    """Give a record, whose body is in place, its frame. From then on it counts."""
    journal.sequence += 1
    frame_write(p, size, journal.sequence, journal.synced, kind,
                FRAME_BATCH if journal.batch_count >= 0 and kind != KIND_CLOCK else 0)
    if journal.spill_size == 0:
        frame_seal(&journal.seal, p, p - journal.base)
        journal.engine.free_bytes = journal.end - journal.position - MARGIN
    else:  # it is sealed where it will stand
        journal.spill_count += 1
        journal.engine.unsettled = True
        journal.engine.free_bytes = -1
    journal.engine.unsettled |= journal.always


cdef void journal_clock(journal_t *journal, int64_t wall_ns) noexcept nogil:
    cdef uint8_t *p = journal_free(journal, FRAME + 16)
    if p == NULL:
        return
    journal.offset_ns = journal.engine.wall_offset_ns
    put64(p + FRAME, <uint64_t> journal.offset_ns)
    put64(p + FRAME + 8, <uint64_t> wall_ns)
    journal_seal(journal, p, 16, KIND_CLOCK)


cdef inline void journal_offset(journal_t *journal) noexcept nogil:
    """Note that the wall clock was stepped, if it was."""
    cdef engine_t *engine = journal.engine
    if not -OFFSET_NOTED_NS < engine.wall_offset_ns - journal.offset_ns < OFFSET_NOTED_NS:
        journal_clock(journal, engine.wheel.now_ns + engine.wall_offset_ns)


cdef void journal_note(
        engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil:
    cdef journal_t *journal = <journal_t *> engine.journal
    cdef Py_ssize_t size
    cdef uint8_t *p
    if kind == NOTE_BATCH:
        journal.batch_count = 0
        return
    if kind == NOTE_BATCH_END:
        if journal.batch_count > 0:
            p = journal_free(journal, FRAME)
            if p != NULL:
                journal_seal(journal, p, 0, KIND_BATCH_END)
        journal.batch_count = -1
        return
    journal_offset(journal)
    if journal.batch_count >= 0:
        journal.batch_count += 1
    if kind == NOTE_ADDED:
        size = job_size(record.job)
        p = journal_free(journal, FRAME + size + state_size(record))
        if p == NULL:
            return
        job_write(record.job, p + FRAME)
        state_write(record, p + FRAME + size)
        size += state_size(record)
        journal.live_bytes += FRAME + size
        journal_seal(journal, p, size, KIND_JOB)
    elif kind == NOTE_CHANGED:
        size = state_size(record)
        p = journal_free(journal, FRAME + ID_SIZE + size)
        if p == NULL:
            return
        memcpy(p + FRAME, record.job.tie.id, ID_SIZE)
        state_write(record, p + FRAME + ID_SIZE)
        journal.live_bytes += size - STATE_FIXED
        if record.extras & EXTRA_KICKED and record.state == STATE_NEW:
            journal.live_bytes -= data_size(record.result)
        journal_seal(journal, p, ID_SIZE + size, KIND_STATE)
    else:
        p = journal_free(journal, FRAME + ID_SIZE)
        if p == NULL:
            return
        memcpy(p + FRAME, record.job.tie.id, ID_SIZE)
        journal.live_bytes -= FRAME + job_size(record.job) + state_size(record)
        journal_seal(journal, p, ID_SIZE, KIND_GONE)


cdef void journal_refuse(
        engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil:
    """What was too late to be noted is not acknowledged: its caller has to settle."""
    (<journal_t *> engine.journal).refused = True
    engine.unsettled = True


cdef uint64_t journal_stored(journal_t *journal) noexcept nogil:
    """The last record that is whole in a segment: its number is given before its bytes are there."""
    cdef uint64_t sequence
    lock_acquire(&journal.engine.lock)
    sequence = journal.sequence - journal.spill_count
    lock_release(&journal.engine.lock)
    return sequence


# ---------------------------------------------------------------- callers that wait for a sync

cdef struct caller_t:             # lies on its thread's stack
    caller_t *next                # of its group
    void *signal                  # a lock that is held: the caller sleeps on it
    bint asleep                   # and nobody has undertaken to release it
    bint served                   # the sync of its group is over; it is in no group any more

cdef struct group_t:              # callers that one sync serves, in the order in which they came
    caller_t *first
    caller_t *last
    Py_ssize_t size


cdef void group_join(group_t *group, caller_t *caller) noexcept nogil:
    caller.next = NULL
    caller.asleep = caller.served = False
    if group.first == NULL:
        group.first = caller
    else:
        group.last.next = caller
    group.last = caller
    group.size += 1


cdef caller_t *group_serve(group_t *group) noexcept nogil:
    """Its sync is over. Returns those of it who sleep: they stay where they are until they are woken."""
    cdef caller_t *sleepers = NULL
    cdef caller_t **end = &sleepers
    cdef caller_t *caller = group.first
    cdef caller_t *following
    while caller != NULL:
        following = caller.next
        caller.served = True
        if caller.asleep:
            caller.asleep = False
            end[0] = caller
            end = &caller.next
        caller = following
    end[0] = NULL
    return sleepers


cdef void callers_wake(caller_t *caller) noexcept nogil:
    cdef caller_t *following
    while caller != NULL:
        following = caller.next
        PyThread_release_lock(caller.signal)
        caller = following


cdef object exporter_of(object memory):
    """What a memoryview of the whole of something shows. The collector takes a memoryview apart though
    its buffer is in use, but nothing that has the bytes itself."""
    if type(memory) is memoryview and memoryview(memory.obj).nbytes == memory.nbytes:
        return memory.obj
    return memory


@cython.no_gc_clear  # __dealloc__ needs the registry
cdef class Journal:
    """What an engine notes into. One thread at a time grows it; any may note and settle."""

    cdef journal_t c
    cdef readonly Registry registry
    cdef Py_buffer view
    cdef bint mapped
    cdef readonly uint64_t first_sequence  # of the segment
    cdef public uint64_t salt     # of the log: each file's seal is made of it
    cdef public int64_t patience_ns  # of a sync with callers to come; -1: half of the last sync's time
    cdef lock_t gate              # guards what follows
    cdef bint syncing             # a caller does it for its group
    cdef unsigned long leader     # its thread
    cdef group_t waiting          # for the next sync; the first of them sees to it that there is one
    cdef Py_ssize_t expected      # so many may soon wait: then, or at until_ns, the sync begins
    cdef int64_t until_ns
    cdef Py_ssize_t released      # by the last sync
    cdef Py_ssize_t returned      # callers that came since, before until_ns
    cdef bint failed
    cdef object failure           # the error of the sync that failed

    def __cinit__(self):
        self.c.batch_count = -1
        self.patience_ns = -1
        random_fill(<uint8_t *> &self.salt, 8)
        lock_acquire(&journals_gate)
        self.c.next = journals
        self.link()
        lock_release(&journals_gate)

    cdef void link(self) noexcept:
        global journals
        journals = &self.c

    cdef void unlink(self) noexcept:
        global journals
        cdef journal_t *before = journals
        lock_acquire(&journals_gate)
        if before == &self.c:
            journals = self.c.next
        else:
            while before != NULL and before.next != &self.c:
                before = before.next
            if before != NULL:
                before.next = self.c.next
        lock_release(&journals_gate)

    def __dealloc__(self):
        self.unlink()
        if self.registry is not None:  # which may live on
            lock_acquire(&self.c.engine.lock)
            self.c.engine.note = NULL
            self.c.engine.journal = NULL
            lock_release(&self.c.engine.lock)
        if self.mapped:
            PyBuffer_Release(&self.view)
        free(self.c.spill)

    def attach(self, EngineBase controller not None, uint64_t sequence, int64_t live_bytes, bint always):
        """Note what a controller does, from the next change on; it needs a segment first."""
        self.registry = controller.registry
        self.c.engine = &self.registry.e
        self.c.sequence = self.c.synced = sequence
        self.c.live_bytes = live_bytes
        self.c.always = always
        registry_now(self.registry)
        self.c.offset_ns = self.c.engine.wall_offset_ns

    def begin(self):
        """From now on the engine notes."""
        lock_acquire(&self.c.engine.lock)
        self.c.engine.journal = &self.c
        self.c.engine.note = journal_note
        lock_release(&self.c.engine.lock)

    def disown(self):
        """In a forked child: as detach; the threads that held the locks may not be here."""
        self.c.engine.note = NULL
        self.c.engine.free_bytes = -1
        self.c.engine.unsettled = False
        self.c.stopped = True

    def cease(self):
        """The engine notes no more; every later change asks for space, and is refused."""
        lock_acquire(&self.c.engine.lock)
        self.c.engine.journal = &self.c
        self.c.engine.note = journal_refuse
        self.c.engine.free_bytes = -1
        lock_release(&self.c.engine.lock)

    def detach(self):
        """The end, after `cease`."""
        self.stop()

    def release(self):
        """Let go of the mapped segment."""
        lock_acquire(&self.c.engine.lock)
        self.c.base = NULL
        self.c.position = self.c.end = 0
        self.c.engine.free_bytes = -1
        lock_release(&self.c.engine.lock)
        if self.mapped:
            self.mapped = False
            PyBuffer_Release(&self.view)

    def switch(self, memory, Py_ssize_t allocated, uint64_t number, bint epoch):
        """Go on in a new segment: writable memory that has disk space up to ``allocated``.

        Returns how much of the one before is used; None: what found no space has grown beyond it.
        """
        cdef Py_buffer fresh
        cdef Py_ssize_t used = -1
        cdef int64_t wall_ns = registry_now(self.registry) + self.c.engine.wall_offset_ns
        cdef bytes header
        cdef uint8_t *base
        PyObject_GetBuffer(exporter_of(memory), &fresh, PyBUF_SIMPLE | PyBUF_WRITABLE)
        base = <uint8_t *> fresh.buf
        lock_acquire(&self.c.engine.lock)
        try:
            if HEADER + self.c.spill_size <= allocated:
                header = header_bytes(
                    number, self.salt, self.c.sequence + 1 - self.c.spill_count, self.c.synced,
                    self.c.engine.wall_offset_ns, wall_ns, HEADER_EPOCH if epoch else 0)
                memcpy(base, PyBytes_AS_STRING(header), HEADER)
                used = self.c.position
                self.c.seal = seal_make(self.salt, number, False)
                self.begin_in(base, allocated)
        finally:
            lock_release(&self.c.engine.lock)
            if used < 0:
                PyBuffer_Release(&fresh)
        if used < 0:
            return None
        if self.mapped:
            PyBuffer_Release(&self.view)
        self.view = fresh
        self.mapped = True
        return used

    cdef void begin_in(self, uint8_t *base, Py_ssize_t allocated) noexcept:
        """Note into this memory from now on; what found no space comes first."""
        cdef Py_ssize_t at = HEADER
        if self.c.spill_size > 0:
            memcpy(base + HEADER, self.c.spill, <size_t> self.c.spill_size)
            while at < HEADER + self.c.spill_size:
                frame_seal(&self.c.seal, base + at, at)
                at += FRAME + <Py_ssize_t> get32(base + at + 4)
        self.c.base = base
        self.c.position = HEADER + self.c.spill_size
        self.c.end = allocated
        self.first_sequence = self.c.sequence + 1 - self.c.spill_count
        self.c.spill_size = 0
        self.c.spill_count = 0
        if not self.c.always:
            self.c.engine.unsettled = self.c.refused
        if not self.c.stopped:
            self.c.engine.free_bytes = self.c.end - self.c.position - MARGIN

    def extend(self, Py_ssize_t allocated):
        """The segment has disk space up to here."""
        lock_acquire(&self.c.engine.lock)
        self.c.end = allocated
        if self.c.spill_size == 0 and not self.c.stopped:
            self.c.engine.free_bytes = self.c.end - self.c.position - MARGIN
        lock_release(&self.c.engine.lock)

    def rest(self):
        """Nothing notes at this time: the next change asks for space, whatever there is."""
        lock_acquire(&self.c.engine.lock)
        self.c.engine.free_bytes = -1
        lock_release(&self.c.engine.lock)

    def pause(self, EngineBase controller not None, name, bint paused):
        """Pause a queue, or let it give again, first to those who wait; and note it, in one step."""
        cdef str valid = name_read(name)
        cdef WorkQueue queue
        cdef int64_t now_ns
        verb_change(controller, 0)
        now_ns = verb_fired_now(controller)
        queue = queue_get(controller.own_queues, valid)
        lock_acquire(&self.c.engine.lock)
        queue.c.paused = paused
        queue.c.named = True
        self.note_pause(valid, paused)
        if not paused:
            queue_offer(self.c.engine, &queue.c, now_ns)
        lock_release(&self.c.engine.lock)
        verb_leave(controller, OK, NULL)

    cdef void note_pause(self, str name, bint paused) noexcept:
        """Note that a queue is paused, or gives again. With the lock."""
        cdef Py_ssize_t size = text_size(<PyObject *> name)
        cdef uint8_t *p
        JQ_ASSERT(lock_held(&self.c.engine.lock))
        if self.c.engine.note != journal_note:
            self.c.refused = self.c.engine.unsettled = True
            return
        journal_offset(&self.c)
        p = journal_free(&self.c, FRAME + 1 + size)
        if p != NULL:
            p[FRAME] = paused
            memcpy(p + FRAME + 1, text_of(<PyObject *> name), size)
            journal_seal(&self.c, p, 1 + size, KIND_PAUSE)

    def note_clock(self):
        """Note the time: a mark that tells a reader what is on disk, and when. Returns its number."""
        cdef int64_t now_ns = registry_now(self.registry)
        cdef uint64_t sequence
        lock_acquire(&self.c.engine.lock)
        journal_clock(&self.c, now_ns + self.c.engine.wall_offset_ns)
        sequence = self.c.sequence
        lock_release(&self.c.engine.lock)
        return sequence

    # ------------------------------------------------------------ syncs

    def settle(self, sync):
        """Wait until all that is in a segment so far is on disk; ``sync()`` brings it there.

        Callers that come while a sync runs share the next one, with those whom the one before has
        released if they come back soon. A sync that fails is the last: its callers, and every later
        one, raise its error.
        """
        cdef uint64_t wanted = journal_stored(&self.c)
        cdef caller_t caller
        if self.c.synced >= wanted and not self.failed:
            return
        caller.signal = signal_take()
        lock_acquire(&self.gate)
        try:
            while self.c.synced < wanted and not self.failed:  # again, if a sync was interrupted
                self.share(&caller, sync)
        finally:
            lock_release(&self.gate)
            signal_give(caller.signal)
        if self.failed:
            raise self.failure

    cdef int share(self, caller_t *caller, object sync) except -1:
        """Take part in the next sync: sleep until it is over, or do it."""
        cdef int64_t now_ns = clock_mono_ns()
        if self.syncing and self.leader == PyThread_get_thread_ident():
            raise CommandLogError("a change amid a sync of this thread is not on the disk with it")
        group_join(&self.waiting, caller)
        if now_ns < self.until_ns:
            self.returned += 1
        while not caller.served:
            if self.syncing:
                self.sleep(caller, -1)
            elif self.waiting.size >= self.expected or now_ns >= self.until_ns or self.patience_ns == 0:
                self.lead(sync)
            elif self.waiting.first == caller:
                self.sleep(caller, (self.until_ns - now_ns) // 1000 + 1)
            else:
                self.sleep(caller, -1)
            now_ns = clock_mono_ns()
        return 0

    cdef void sleep(self, caller_t *caller, PY_TIMEOUT_T us) noexcept:
        """Sleep until somebody wakes the caller, or so long (-1: no end), without the gate."""
        cdef bint woken
        caller.asleep = True
        lock_release(&self.gate)
        with nogil:
            woken = PyThread_acquire_lock_timed(caller.signal, us, 0) == PY_LOCK_ACQUIRED
        lock_acquire(&self.gate)
        if not woken and not caller.asleep:  # somebody is about to
            lock_release(&self.gate)
            with nogil:
                PyThread_acquire_lock_timed(caller.signal, -1, 0)
            lock_acquire(&self.gate)
        caller.asleep = False

    cdef int lead(self, object sync) except -1:
        """Do the sync for all who wait."""
        cdef group_t group = self.waiting
        cdef uint64_t sequence = journal_stored(&self.c)
        cdef int64_t began_ns = clock_mono_ns()
        cdef bint done = False
        struct_clear(&self.waiting, sizeof(group_t))
        self.syncing = True
        self.leader = PyThread_get_thread_ident()
        lock_release(&self.gate)
        try:
            sync()
            done = True
        except Exception as error:
            self.failure = error
            self.stop()
            raise
        finally:  # if it was interrupted, the others of the group come back to do it anew
            lock_acquire(&self.gate)
            self.syncing = False
            self.failed = self.failure is not None
            if done:
                self.reach(sequence)
            self.expect(group.size - (not done), began_ns)
            if self.failed:
                group.last.next = self.waiting.first
                struct_clear(&self.waiting, sizeof(group_t))
            self.wake(&group)
        return 0

    cdef void reach(self, uint64_t sequence) noexcept:
        """The records up to here are on disk."""
        lock_acquire(&self.c.engine.lock)
        self.c.synced = sequence
        if sequence == self.c.sequence and not self.c.refused:
            self.c.engine.unsettled = False
        lock_release(&self.c.engine.lock)

    cdef void expect(self, Py_ssize_t released, int64_t began_ns) noexcept:
        """A sync is over: foretell how many callers will soon wait for the next one.

        They are those who wait already, and those who are released now; less as many as did not come
        back the last time. Without it they would form two groups that take turns.
        """
        cdef int64_t now_ns = clock_mono_ns()
        cdef int64_t patience_ns = self.patience_ns
        if patience_ns < 0:
            patience_ns = min((now_ns - began_ns) // 2, PATIENCE_MOST_NS)
        self.expected = self.waiting.size + max(released - max(self.released - self.returned, 0), 0)
        self.until_ns = now_ns + patience_ns
        self.released = released
        self.returned = 0

    cdef void wake(self, group_t *served) noexcept:
        """Wake those whose sync is over, and the first of those who wait for the next one.

        Neither the gate nor the GIL is held meanwhile: a thread that wakes finds them free.
        """
        cdef caller_t *sleepers = group_serve(served)
        cdef void *first = NULL
        if self.waiting.first != NULL and self.waiting.first.asleep:
            self.waiting.first.asleep = False
            first = self.waiting.first.signal
        if first == NULL and sleepers == NULL:
            return
        lock_release(&self.gate)
        with nogil:
            if first != NULL:
                PyThread_release_lock(first)
            callers_wake(sleepers)
        lock_acquire(&self.gate)

    def stop(self):
        """Nothing is noted any more: what is in memory and what is on disk would part."""
        lock_acquire(&self.c.engine.lock)
        self.c.stopped = True
        self.c.engine.free_bytes = -1
        lock_release(&self.c.engine.lock)

    def is_behind(self):
        """Whether something that was noted may not be on disk."""
        return self.c.synced < self.c.sequence

    @property
    def sequence(self):
        """Of the last record."""
        return self.c.sequence

    @property
    def synced(self):
        """Of the last record that is on disk for sure."""
        return self.c.synced

    @property
    def waiting_count(self):
        """Callers that wait for the next sync."""
        return self.waiting.size

    @property
    def position(self):
        """Bytes of the segment in use."""
        return self.c.position

    @property
    def end(self):
        """Bytes of the segment that have disk space."""
        return self.c.end

    @property
    def spill_size(self):
        """Bytes that wait for the next segment."""
        return self.c.spill_size

    @property
    def live_bytes(self):
        """What a snapshot would take, about."""
        return self.c.live_bytes

    @property
    def refused(self):
        """Whether something was done that came too late to be noted."""
        return self.c.refused

    @property
    def forked(self):
        """Whether it is the copy of a parent's."""
        return self.c.forked

    @property
    def leads(self):
        """Whether the calling thread is amid a sync."""
        return self.syncing and self.leader == PyThread_get_thread_ident()

    @property
    def alarm(self):
        """The address of a byte that makes a caller that noted something settle it."""
        return <size_t> &self.c.engine.unsettled

    @property
    def forgetful(self):
        """Whether a record was lost for want of memory."""
        return self.c.forgetful

# ---------------------------------------------------------------- a snapshot, while the engine works

cdef class Scan:
    """Reads an engine's jobs bit by bit, then the order of its dead. The engine goes on meanwhile:
    what changes behind the reader is in the log, which is read after the snapshot.

    It reads bucket by bucket, each with all whose home it is. In a table that grew meanwhile the homes of
    those in one old bucket are the buckets at its distance; one that shrank is read from the start. Once all
    jobs were read, none is read again: that would put it last among the dead.
    """

    cdef Registry registry
    cdef seal_t seal              # of the snapshot
    cdef Py_ssize_t at            # where its next record stands
    cdef Py_ssize_t base          # buckets when it began
    cdef Py_ssize_t index         # the next of them
    cdef bint jobs_read           # all of them
    cdef bint dead_read
    cdef record_t *cursor         # owned: the last of the dead that was read
    cdef readonly uint64_t jobs   # written

    def __cinit__(self, Registry registry not None, uint64_t salt=0, uint64_t number=0):
        self.registry = registry
        self.seal = seal_make(salt, number, True)
        self.at = HEADER

    def __dealloc__(self):
        cdef engine_t *engine
        if self.cursor != NULL:
            engine = &self.registry.e
            lock_acquire(&engine.lock)
            self.cursor.extras &= ~EXTRA_READ
            lock_release(&engine.lock)
            ref_drop(object_of(self.cursor))

    def jobs_next(self, Py_ssize_t slots):
        """Records of the jobs in so many slots, or a few more; None: all have been read."""
        cdef engine_t *engine = &self.registry.e
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t last, i
        cdef bytes made
        cdef uint8_t *p
        lock_acquire(&engine.lock)
        try:
            if engine.ids.bucket_count < self.base or self.base == 0:
                self.base = engine.ids.bucket_count
                self.index = 0
            if self.jobs_read or self.index == self.base:
                self.jobs_read = True
                return None
            last = min(self.base, self.index + max(1, slots * self.base // ids_slots(&engine.ids)))
            for i in range(self.index, last):
                size += self.write(engine, i, NULL)
            made = PyBytes_FromStringAndSize(NULL, size)
            p = <uint8_t *> PyBytes_AS_STRING(made)
            for i in range(self.index, last):
                p += self.write(engine, i, p)
            self.index = last
            return made
        finally:
            lock_release(&engine.lock)

    cdef void frame(self, uint8_t *p, Py_ssize_t size, uint8_t kind) noexcept:
        """The frame of the next record, whose body is in place."""
        self.jobs += 1
        frame_write(p, size, self.jobs, 0, kind, 0)
        frame_seal(&self.seal, p, self.at)
        self.at += FRAME + size

    cdef Py_ssize_t write(self, const engine_t *engine, Py_ssize_t index, uint8_t *p) noexcept:
        """Write the jobs of a bucket, if p is not NULL; bytes that they take."""
        cdef const record_t *record
        cdef Py_ssize_t home, place, size
        cdef Py_ssize_t written = 0
        for home in range(index, engine.ids.bucket_count, self.base):
            place = 0
            while True:
                record = <const record_t *> ids_homed(&engine.ids, home, &place)
                if record == NULL:
                    break
                if record.is_run:
                    continue
                size = job_size(record.job) + state_size(record)
                if p != NULL:
                    state_write(record, p + written + FRAME + job_write(record.job, p + written + FRAME))
                    self.frame(p + written, size, KIND_JOB)
                written += FRAME + size
        return written

    def dead_next(self, Py_ssize_t most):
        """Records that tell the order of the dead, of so many; None: all have been read.

        It begins anew if the one where it paused is not at its place any more: the later wins.
        """
        cdef engine_t *engine = &self.registry.e
        cdef record_t *record
        cdef record_t *before = self.cursor
        cdef bytes made = PyBytes_FromStringAndSize(NULL, most * (FRAME + ID_SIZE))
        cdef uint8_t *p = <uint8_t *> PyBytes_AS_STRING(made)
        cdef Py_ssize_t count = 0
        lock_acquire(&engine.lock)
        record = NULL if self.dead_read else engine.dead_first
        if before != NULL and before.extras & EXTRA_READ:
            record = dead_next(before)
            before.extras &= ~EXTRA_READ
        self.cursor = NULL
        while record != NULL and count < most:
            memcpy(p + FRAME, record.job.tie.id, ID_SIZE)
            self.frame(p, ID_SIZE, KIND_DEAD)
            p += FRAME + ID_SIZE
            count += 1
            if count == most:
                self.cursor = record
                record.extras |= EXTRA_READ
                ref_take(object_of(record))
            record = dead_next(record)
        self.dead_read = self.cursor == NULL
        lock_release(&engine.lock)
        if before != NULL:
            ref_drop(object_of(before))
        return made[:count * (FRAME + ID_SIZE)] if count else None

    cdef bytes record(self, bytes body, uint8_t kind):
        cdef bytes made
        self.jobs += 1
        made = frame_bytes(&self.seal, self.at, body, self.jobs, kind)
        self.at += len(made)
        return made

    def paused(self, str name not None):
        """The record of a paused queue."""
        cdef bytes text = name.encode()
        return self.record(b"\x01" + text, KIND_PAUSE)

    def end(self, uint64_t whole_at):
        """The last record: the log must reach this sequence, else the snapshot is not whole; and when."""
        cdef uint8_t body[16]
        put64(body, whole_at)
        put64(body + 8, <uint64_t> (registry_now(self.registry) + self.registry.e.wall_offset_ns))
        return self.record(PyBytes_FromStringAndSize(<char *> body, 16), KIND_END)


def snapshot_header(uint64_t number, uint64_t sequence, Registry registry not None, uint64_t salt=0):
    """The header of the snapshot that stands before a segment with this first sequence."""
    cdef int64_t wall_ns = registry_now(registry) + registry.e.wall_offset_ns
    return header_bytes(
        number, salt, sequence, 0, registry.e.wall_offset_ns, wall_ns, HEADER_SNAPSHOT)
