"""The state that all verbs share, and their prologue and epilogue: see base.pyx."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport (
    HAS_GIL, JQ_ASSERT, clock_mono_ns, lock_acquire, lock_held, lock_release, ref_drop,
)
from jobqueue._structures.system cimport fork_link_t
from jobqueue._machine.types cimport OK, engine_t, job_t, kind_t, queue_t, record_t, status_t
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.state cimport engine_wake_ns, registry_find
from jobqueue._machine.life cimport entrant_t
from jobqueue._objects.job cimport Job, job_object
from jobqueue._objects.registry cimport Registry, RunRecord, Waiter, record_object, registry_now
from jobqueue._objects.queues cimport QueueController, WorkQueue
from jobqueue._engine.status cimport raise_status

cdef enum:
    NAMES_CACHED = 64             # a power of two
    NAMES_FEW = 16                # names of a lease that are compared with each other, not hashed
    HISTORY_MAX = 65535           # transitions that a record keeps at most: they are counted in 16 bits
    QUEUES_KEPT = 1024            # so many are never swept
    QUEUES_SWEPT = 4              # that are looked at for each new one, if there are more
    LEFT_AGAIN_MS = 100           # pause before a wake that was struck again and again is tried again
    STEP_NOTICED_MS = 1000        # a step of the wall clock reaches scheduled jobs within this time

cdef enum shut_t:
    SHUT_UNBUILT = 0              # __init__ was not called
    SHUT_OPEN = 1
    SHUT_CLOSED = 2
    SHUT_FORKED = 3               # in a child, before its first call
    SHUT_CHILD = 4                # in a child that nobody has told of the fork yet

cdef enum thread_t:               # the timer thread
    THREAD_NONE = 0
    THREAD_STARTING = 1           # another thread starts it
    THREAD_AT_WORK = 2

cdef struct name_slot_t:          # a name, by the address of its str, whose queue is known
    void *name                    # owned
    queue_t *queue

cdef class EngineBase:
    cdef readonly Registry registry
    cdef QueueController own_queues  # None while the queues are a foreign object
    cdef object foreign_queues
    cdef dict by_name             # own_queues._by_name
    cdef engine_t *e              # registry.e
    cdef name_slot_t cache[NAMES_CACHED]  # with the GIL only
    cdef WorkQueue shadow         # foreign queues: where scheduled jobs wait natively
    cdef int64_t thread_wake_ns   # when the timer thread will look next; INT64_MIN: there is none
    cdef uint64_t random_state    # of the choice among names
    cdef object rng
    cdef object expire_hook       # None: the engine's own
    cdef object timeout_hook
    cdef uint64_t swept           # queues that were freed: whoever kept one may have to look it up again
    cdef uint8_t shut             # shut_t
    cdef fork_link_t fork_link    # turns SHUT_OPEN into SHUT_CHILD in a child
    cdef uint8_t thread_state     # thread_t
    cdef object __weakref__
    cdef readonly bint by_hand    # time moves only when somebody advances the clock
    cdef int shadow_attach(self) except -1
    cdef int enter_slow(self) except -1
    cdef int lock_open(self) except -1
    cdef int leave_slow(self) except -1
    cdef int raise_fenced(self, status_t status, const uint8_t *id, uint64_t fence) except -1
    cdef int leave_waking(self) except -1
    cdef int recount(self) except -1
    cdef int count_on(self) except -1
    cdef int poke(self) except -1
    cdef int poke_or_report(self) except -1
    cdef int thread_lost(self, object signal) except -1
    cdef int fire(self, int64_t now_ns, bint whole, bint alone=*) except -1
    cdef int call_hook(self, RunRecord record, kind_t kind, uint64_t attempts, bint alone) except -1
    cdef int fall_due(self, RunRecord record, kind_t kind, uint64_t attempts) except -1
    cdef int forget_woken(self) except -1
    cdef WorkQueue queue_named(self, str name)
    cdef int queues_sweep(self) except -1
    cdef int queue_forget(self, WorkQueue queue) except -1
    cdef int queues_make(self, entrant_t *entrants, Py_ssize_t count, int64_t now_ns) except -1
    cdef int links_make(self, Waiter waiter, object names) except -1
    cdef queue_t *queue_look_up(self, object name, name_slot_t *slot) noexcept
    cdef queue_t *queue_known(self, object name) except? NULL
    cdef list names_read(self, object names)
    cdef list queues_known(self, list names)

cdef int64_t bound_read(object value, str what) except -1
cdef Py_ssize_t count_read(object value, str what, Py_ssize_t low) except -1

# Prologue and epilogue of the verbs, without leaving their module.

cdef inline int64_t verb_now(EngineBase self) except? -1:
    cdef int64_t now_ns
    if self.registry.clock is None:
        now_ns = clock_mono_ns()
        if now_ns < self.registry.offset_until_ns:
            return now_ns
    return registry_now(self.registry)

cdef inline int verb_enter(EngineBase self) except -1:
    """What each verb does first, once its arguments are read."""
    if self.shut != SHUT_OPEN:
        self.enter_slow()
    return 0

cdef inline int verb_change(EngineBase self, Py_ssize_t size) except -1:
    """verb_enter, of a verb that changes something: so many bytes more than usual can be noted."""
    verb_enter(self)
    if self.e.free_bytes < size:
        self._note_reserve(size)
    return 0

cdef inline int64_t verb_fired_now(EngineBase self) except? -1:
    """The time, with all that is due at it done."""
    return verb_fired(self, True)

cdef inline int64_t verb_fired_near(EngineBase self) except? -1:
    """The time, with all that is due at it done, or a slice of it: then ``e.lagging`` is set."""
    return verb_fired(self, False)

cdef inline bint engine_is_due(engine_t *engine, int64_t now_ns) noexcept:
    """Whether a timer may be due. Without the lock."""
    cdef int64_t wake_ns
    lock_acquire(&engine.lock)
    wake_ns = engine_wake_ns(engine)
    lock_release(&engine.lock)
    return wake_ns <= now_ns

cdef inline int64_t verb_fired(EngineBase self, bint whole) except? -1:
    cdef int64_t now_ns = verb_now(self)
    if engine_is_due(self.e, now_ns):
        if self.fire(now_ns, whole):
            now_ns = verb_now(self)
        verb_enter(self)  # a hook may have closed it
    return now_ns

cdef inline bint verb_is_watched(EngineBase self) noexcept:
    """Whether somebody must be told of what a verb did."""
    cdef bint watched
    lock_acquire(&self.e.lock)
    watched = (self.e.woken_first != NULL or engine_wake_ns(self.e) < self.thread_wake_ns
               or self.e.unsettled)
    lock_release(&self.e.lock)
    return watched

cdef inline int verb_leave(EngineBase self, status_t status, const uint8_t *id) except -1:
    """What each verb does last, without the lock."""
    if verb_is_watched(self):
        self.leave_slow()
    if status != OK:
        raise_status(status, id)
    return 0

cdef inline int look_leave(EngineBase self) except -1:
    """verb_leave, of a verb that only looks: what it saw may still be on its way to a journal."""
    if self.e.woken_first != NULL or engine_wake_ns(self.e) < self.thread_wake_ns:
        self.leave_waking()
    return 0

cdef inline record_t *record_find(EngineBase self, object id, const uint8_t *data) noexcept:
    """The record of an id, which has been read into ``data``, or NULL. With the lock. O(1)."""
    cdef record_t *record
    JQ_ASSERT(lock_held(&self.e.lock))
    if HAS_GIL and type(id) is Job:
        record = <record_t *> (<Job> id).c.record
        if record != NULL and record.home == self.e:
            return record
    return registry_find(self.e, data)

# A verb on one job: what it is given is read, verb_change, verb_now; verb_find, its transition unless
# that is NULL, verb_end. Between the last two nothing can raise.

cdef inline record_t *verb_find(EngineBase self, object id, const uint8_t *data) noexcept:
    """Take the lock, and find a record, as record_find."""
    lock_acquire(&self.e.lock)
    return record_find(self, id, data)

cdef inline int verb_end(EngineBase self, status_t status, const uint8_t *id) except -1:
    """Let go of the lock, then verb_leave."""
    lock_release(&self.e.lock)
    return verb_leave(self, status, id)

cdef inline int verb_end_fenced(
        EngineBase self, status_t status, const uint8_t *id, uint64_t fence) except -1:
    """verb_end, of a verb that was to act under one attempt only."""
    verb_end(self, OK, NULL)
    if status != OK:
        self.raise_fenced(status, id, fence)
    return 0

cdef inline queue_t *queue_of(EngineBase self, void *name) noexcept:
    """The queue of a name (a str), or NULL if there is none yet. O(1)."""
    cdef name_slot_t *slot = &self.cache[(<size_t> name >> 4) & (NAMES_CACHED - 1)]
    if slot.name == name:
        return slot.queue
    return self.queue_look_up(<object> <PyObject *> name, slot)

cdef inline RunRecord record_taken(record_t *record):
    """The record that queue_take returned."""
    cdef RunRecord taken = record_object(record)
    if not HAS_GIL:
        ref_drop(object_of(record))
    return taken

cdef inline object job_taken(record_t *record):
    """The job of the record that queue_take returned."""
    return job_object(record.job) if HAS_GIL else job_object(record_taken(record).c.job)

cdef inline queue_t *queue_for(EngineBase self, Job job) noexcept:
    """The queue that is to hold a job, or NULL if there is none of its name yet."""
    return queue_of_job(self, &job.c)

cdef inline queue_t *queue_of_job(EngineBase self, const job_t *job) noexcept:
    if self.e.shadow != NULL:
        return self.e.shadow
    return queue_of(self, job.name)
