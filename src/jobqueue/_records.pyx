"""RunRecord, Registry, Waiter: the Python faces of record_t, engine_t and wait_t.

Locking: each method takes the engine's lock round its native part, and runs no foreign code in it.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetObject, PyErr_WriteUnraisable
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from jobqueue._types cimport (
    HAS_GIL, HAS_SLABS, JOB_HOUSES, JOB_UNIQUE, NEVER_NS, NS_PER_MS, TIMER_ARMED, TIMER_CANCELLED,
    TIMER_IDLE, clock_mono_ns, clock_wall_ns, count_by, job_t, lock_acquire, lock_release,
    lock_renew, lock_t, object_begin, object_end, pool_give, pool_take_raw, ref_drop, ref_take,
    slab_t, timer_t, type_set,
)
from jobqueue._ids cimport ids_at, ids_slots
from jobqueue._wheel cimport Timer
from jobqueue._system cimport random_fill
from jobqueue._job cimport Job, id_read, job_object, result_read
from jobqueue._state cimport (
    KIND_SCHEDULED, KIND_TTL, KIND_TTR, KIND_WAIT, OBJECT_HEAD, OUTCOME_ADDED, OUTCOME_NONE,
    PLACE_SCHEDULED, STATE_COMPLETED, STATE_LEASED, engine_clear, engine_init, engine_t, job_locks_renew,
    job_room, kind_t, object_of, queue_remove, queue_reschedule, record_init, record_processed, record_t,
    registry_add_by_hand, registry_find, scheduled_end, timer_end, views_t, wait_forget, wait_t,
    woken_take,
)
from jobqueue._watch cimport EVENT_FAILED, history_free, event_note, notes_clear
from jobqueue._life cimport adders_admit, job_delete, job_finish
from jobqueue._invariants cimport engine_check

import sys
from enum import IntEnum

from . import errors as _errors

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    enum:
        NOWAIT_LOCK
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock) noexcept
    int PyThread_acquire_lock(PyThread_type_lock lock, int flag) noexcept
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T us, int intr) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock lock) noexcept
    unsigned long PyThread_get_thread_ident() noexcept

cdef enum:
    OFFSET_BELIEVED_MS = 500      # a step of the wall clock is noticed within this time
    MAIN_TURN_US = 50000          # longest sleep of the main thread without a look at its signals

MAX_HARD_ATTEMPTS = 255
MAX_RUN_RECORD_ATTEMPTS = 2**64 - 1


class State(IntEnum):
    """Where a job is in its life."""

    NEW = 0
    COMPLETED = 1
    FAILED = 2
    PENDING = 3
    LEASED = 4


class TimerKind(IntEnum):
    """Which of a record's timers, and its place in RunRecord.timers."""

    TTR = 0
    TTL = 1
    SCHEDULED = 2


cdef tuple STATES = tuple(State)
cdef bytes EMPTY = b""
cdef bytes EXPIRED_REASON = b"expired"
cdef Py_ssize_t live_records = 0
cdef Py_ssize_t live_waiters = 0


def _live_counts():
    """Objects of the core that exist now: (records, waiters); zeros unless built with DEBUG=1."""
    return live_records, live_waiters

# ---------------------------------------------------------------- RunRecord

cdef RunRecord record_object(record_t *record):
    return <RunRecord> <PyObject *> object_of(record)


cdef slab_t record_pool


cdef void *record_alloc(void *cls, Py_ssize_t items) noexcept:
    cdef void *made = pool_take_raw(&record_pool, cls, 0)
    if made != NULL:
        memset(<char *> made + OBJECT_HEAD, 0, sizeof(record_t))
    return made


cdef void record_dealloc(PyObject *self) noexcept:
    cdef record_t *record = <record_t *> (<char *> self + OBJECT_HEAD)
    cdef job_t *job = record.job
    count_by(live_records, -1)
    if record.result != NULL:
        ref_drop(record.result)
    if record.views != NULL:
        history_free(record.views.history)
        PyMem_RawFree(record.views)
    if job != NULL and job.flags & JOB_HOUSES and <void *> self == job_room(job):
        object_end(self)
        job.flags &= ~JOB_HOUSES
    else:
        pool_give(&record_pool, self, 0)
    if job != NULL:
        ref_drop(object_of(job))


cdef record_t *record_make(void *job) except NULL:
    """A fresh record of a Job, in its slot if there is room; the reference to it is the caller's."""
    cdef job_t *c = <job_t *> (<char *> job + OBJECT_HEAD)
    cdef void *made
    cdef record_t *record
    if HAS_SLABS and not c.flags & (JOB_UNIQUE | JOB_HOUSES):
        made = object_begin(job_room(c), <PyObject *> RunRecord)
        c.flags |= JOB_HOUSES
    else:
        made = pool_take_raw(&record_pool, <PyObject *> RunRecord, 0)
        if made == NULL:
            raise MemoryError
    record = <record_t *> (<char *> made + OBJECT_HEAD)
    count_by(live_records, 1)
    record_init(record)
    ref_take(job)
    record.job = c
    return record


cdef RunRecord record_new(object job):
    """A fresh record of a job."""
    cdef record_t *record = record_make(<PyObject *> job)
    cdef RunRecord made = record_object(record)
    ref_drop(<PyObject *> made)
    return made


cdef object count_read(object value, str what, object most):
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, not {_errors.shown(value)}")
    if not 0 <= value <= most:
        raise ValueError(f"{what} must be 0 to {most}, not {value}")
    return value


@cython.final
@cython.no_gc
cdef class RunRecord:
    """RunRecord(job=None, *, attempts=0, state=State.NEW, fails=0)
--

    The mutable half of a job: its state, counts, result and timers.

    Controllers make their own; one made by hand and added to a registry works with every call.

    >>> record = RunRecord(Job("a"))
    >>> record.write_result(b"done", True), record.state, record.result
    (True, <State.COMPLETED: 1>, b'done')
    >>> record.write_result(b"again", True)
    False
    """

    def __cinit__(self):
        count_by(live_records, 1)
        record_init(&self.c)

    def __init__(self, job=None, *, attempts=0, state=0, fails=0):
        if self.c.job != NULL or self.c.home != NULL:
            raise TypeError("a RunRecord is built once")
        if job is not None and type(job) is not Job:
            raise TypeError(f"job must be a Job or None, not {_errors.shown(job)}")
        self.c.attempts = count_read(attempts, "attempts", MAX_RUN_RECORD_ATTEMPTS)
        self.c.fails = count_read(fails, "fails", 65535)
        self.c.state = State(state)
        if job is not None:
            ref_take(<PyObject *> job)
            self.c.job = &(<Job> job).c

    @property
    def job(self):
        """Its Job, or None."""
        return None if self.c.job == NULL else job_object(self.c.job)

    @property
    def attempts(self):
        """Times it was leased: the number of its current attempt while it is LEASED."""
        return self.c.attempts

    @property
    def fails(self):
        """Times it failed."""
        return self.c.fails

    @property
    def state(self):
        """Its State."""
        return STATES[self.c.state]

    @property
    def result(self):
        """The bytes it ended with, or None before its end."""
        cdef object found = None
        cdef engine_t *engine = home_enter(&self.c)
        if self.c.result != NULL and record_processed(&self.c):
            found = <object> <PyObject *> self.c.result
        home_leave(engine)
        return found

    @property
    def timers(self):
        """A tuple by TimerKind: each a Timer, or None if that one never ran.

        A job that goes back to scheduled has no TTR until its next lease.
        """
        return (record_timer(self, KIND_TTR), record_timer(self, KIND_TTL),
                record_timer(self, KIND_SCHEDULED))

    def running(self):
        """Whether it is leased."""
        return self.c.state == STATE_LEASED

    def success(self):
        """Whether it is COMPLETED."""
        return self.c.state == STATE_COMPLETED

    def processed(self):
        """Whether it has come to its end, COMPLETED or FAILED."""
        return record_processed(&self.c)

    def write_result(self, result, success):
        """Write its result and set its state; wakes every waiter.

        Returns False, and changes nothing, if it has one. Raises InvalidResultError.
        """
        cdef bytes data = result_read(result)
        cdef bint succeeded = bool(success)
        cdef record_t *record = &self.c
        cdef Registry registry = home_of(record)  # kept alive while a user's clock runs
        cdef int64_t now_ns = 0 if registry is None else registry_now(registry)
        cdef engine_t *engine = home_enter(record)
        cdef bint processed = record_processed(record)
        if not processed:
            finish_by_hand(engine, record, succeeded, <PyObject *> data, now_ns)
        home_leave(engine)
        if registry is not None:
            wake_all(&registry.e)
        return not processed

    def _cancel_timer(self, Timer timer):
        """What Timer.cancel calls for a timer of this record."""
        cdef record_t *record = &self.c
        cdef engine_t *engine = home_enter(record)
        cdef kind_t kind = <kind_t> timer.node.kind
        cdef bint armed = False
        cdef bint done = True
        if engine != NULL and record.views != NULL and record.views.timer[<int> kind] == <PyObject *> timer:
            armed = True
            if kind == KIND_SCHEDULED:  # the job stays, but is never due
                done = queue_reschedule(record, NEVER_NS)
                if done:
                    scheduled_end(record, TIMER_CANCELLED)
            else:
                timer_end(engine, record, kind)
        home_leave(engine)
        if not done:
            raise MemoryError
        return armed

    def __repr__(self):
        return (f"<RunRecord {self.state.name} attempts={self.c.attempts} fails={self.c.fails}"
                f" job={self.job!r}>")


cdef void finish_by_hand(
        engine_t *engine, record_t *record, bint success, void *result, int64_t now_ns) noexcept:
    if engine != NULL:
        # Counts are of what controllers did.
        engine.completed_count -= success
        engine.failed_count -= not success
        if engine.watched and not success:
            event_note(engine, record, EVENT_FAILED, <uint8_t> State.FAILED, result, now_ns)
        job_finish(engine, record, success, result, now_ns)
    else:
        if record.result != NULL:  # of a former life
            ref_drop(record.result)
            record.extras = 0
        ref_take(result)
        record.result = result
        queue_remove(record)
        record.state = STATE_COMPLETED if success else <uint8_t> State.FAILED


type_set(RunRecord, NULL, NULL, <void *> record_alloc, <void *> record_dealloc)


cdef object record_timer(RunRecord self, kind_t kind):
    """The Timer that shows one of a record's timers; the same object while that is armed."""
    cdef record_t *record = &self.c
    cdef timer_t *timer = &record.ttl if kind == KIND_TTL else &record.ttr
    cdef uint8_t state
    cdef int64_t deadline_ns
    cdef engine_t *engine
    cdef Timer view = timer_view(record, kind)
    if view is not None:
        return view
    engine = home_enter(record)
    state = record.scheduled if kind == KIND_SCHEDULED else timer.state
    deadline_ns = timer.deadline_ns
    if kind != KIND_SCHEDULED:
        deadline_ns += engine.wall_offset_ns if engine != NULL else 0
    elif state != TIMER_IDLE and (record.place != PLACE_SCHEDULED or deadline_ns == NEVER_NS):
        deadline_ns = record.job.time_ns if record.job.time_ns != NEVER_NS else record.job.tie.created_ns
    home_leave(engine)
    if state == TIMER_IDLE:
        return None
    view = Timer.__new__(Timer)
    view.node.kind = <uint8_t> kind
    view.state = state
    view.deadline_ns = deadline_ns
    view.home = self
    return timer_show(record, kind, view) if state == TIMER_ARMED else view


cdef object timer_view(record_t *record, kind_t kind):
    """The Timer that shows an armed timer already, or None."""
    cdef object view = None
    cdef engine_t *engine = home_enter(record)
    if record.views != NULL and record.views.timer[<int> kind] != NULL:
        view = <object> <PyObject *> record.views.timer[<int> kind]
    home_leave(engine)
    return view


cdef object timer_show(record_t *record, kind_t kind, Timer view):
    """Let a Timer show an armed timer, unless another came first: that, then."""
    cdef views_t *fresh = NULL
    cdef engine_t *engine
    cdef const timer_t *timer = &record.ttl if kind == KIND_TTL else &record.ttr
    cdef uint8_t state
    if record.views == NULL:
        fresh = <views_t *> PyMem_RawCalloc(1, sizeof(views_t))
        if fresh == NULL:
            raise MemoryError
    engine = home_enter(record)
    if record.views == NULL:
        record.views = fresh
        fresh = NULL
    state = record.scheduled if kind == KIND_SCHEDULED else timer.state
    if record.views.timer[<int> kind] != NULL:
        view = <Timer> <PyObject *> record.views.timer[<int> kind]
    elif state == TIMER_ARMED:
        ref_take(<PyObject *> view)
        record.views.timer[<int> kind] = <PyObject *> view
    else:
        view.state = state
    home_leave(engine)
    PyMem_RawFree(fresh)
    return view

# ---------------------------------------------------------------- Waiter

@cython.final
@cython.no_gc_clear  # its registry is needed to the last
cdef class Waiter:
    """A blocked caller: what it waits for, and how to wake it. Internal.

    The collector sees it: a task that nobody will ever run again waits for itself in a cycle.
    """

    def __cinit__(self):
        count_by(live_waiters, 1)
        self.c.timer.kind = KIND_WAIT

    def __dealloc__(self):
        count_by(live_waiters, -1)
        if self.c.outcome == OUTCOME_NONE and (self.c.link_count or self.c.record != NULL):
            # Its caller was struck by an exception before it could say so.
            wait_forget(&self.registry.e, &self.c)
        if self.c.record != NULL:
            ref_drop(object_of(self.c.record))
        if self.c.links != &self.link:
            PyMem_RawFree(self.c.links)
        if self.signal != NULL:
            signal_give(self.signal)

    @property
    def adds(self):
        """The Job that was added once there was room, or None."""
        return job_object(self.c.record.job) if self.c.outcome == OUTCOME_ADDED else None

    @property
    def pending(self):
        """Whether it still waits."""
        return self.c.outcome == OUTCOME_NONE


# Locks of sleeping threads. They are kept, held, for the next sleeper; the GIL guards the list.

cdef enum:
    SIGNALS_KEPT = 64

cdef PyThread_type_lock signals[SIGNALS_KEPT]
cdef int signal_count = 0


cdef void *signal_take() except NULL:
    """A lock that is held: sleep by acquiring it, wake by releasing it."""
    global signal_count
    cdef PyThread_type_lock signal
    if HAS_GIL and signal_count > 0:
        signal_count -= 1
        return signals[signal_count]
    signal = PyThread_allocate_lock()
    if signal == NULL:
        raise MemoryError
    PyThread_acquire_lock(signal, NOWAIT_LOCK)
    return signal


cdef void signal_give(void *signal) noexcept:
    """Take back a lock that nobody waits for, released or not."""
    global signal_count
    PyThread_acquire_lock(signal, NOWAIT_LOCK)
    if HAS_GIL and signal_count < SIGNALS_KEPT:
        signals[signal_count] = signal
        signal_count += 1
        return
    PyThread_release_lock(signal)
    PyThread_free_lock(signal)


cdef Waiter waiter_new(Registry registry, object wake, bint detailed):
    """A Waiter that calls ``wake`` when its wait ends; None: for a thread, which waiter_sleep blocks."""
    cdef Waiter made = Waiter.__new__(Waiter)
    made.registry = registry
    made.wake = wake
    made.detailed = detailed
    if wake is None:
        made.signal = signal_take()
    return made


cdef unsigned long main_ident = 0    # of the thread that handles signals; 0: not known


cdef bint in_main_thread() except -1:
    """Whether signals are handled in this thread; where nobody knows of threads, it is the only one."""
    global main_ident
    if main_ident == 0:
        threading = sys.modules.get("threading")
        if threading is None:
            return True
        main_ident = threading.main_thread().ident
    return main_ident == PyThread_get_thread_ident()


def _forked():
    """In a forked child: the thread that forked handles its signals, and no other holds a lock.

    Before the fork the locks of all engines were taken. Whoever held one of these waited for such a
    one, or was about to begin: nothing that they guard was half changed.
    """
    global main_ident
    main_ident = 0
    lock_renew(&homes_lock)
    job_locks_renew()


cdef int waiter_sleep(Waiter waiter, int64_t timeout_ms) except -1:
    """Block the calling thread until the waiter is woken: 1. 0: the time is over; -1 ms: it never is.

    Handlers of signals run meanwhile, in the main thread; what they raise ends the sleep. That thread
    sleeps in short turns: a signal may strike just before a sleep begins, or (Windows,
    _thread.interrupt_main) without waking who sleeps on a lock.
    """
    cdef PY_TIMEOUT_T turn_us = MAIN_TURN_US if in_main_thread() else -1
    cdef PY_TIMEOUT_T left_us = timeout_ms * 1000 if timeout_ms >= 0 else -1
    cdef PY_TIMEOUT_T sleep_us
    cdef int64_t until_ns = 0
    cdef PyLockStatus status
    if timeout_ms >= 0:
        until_ns = clock_mono_ns() + timeout_ms * NS_PER_MS
    while True:
        sleep_us = left_us
        if turn_us >= 0 and (left_us < 0 or left_us > turn_us):
            sleep_us = turn_us
        with nogil:
            status = PyThread_acquire_lock_timed(waiter.signal, sleep_us, 1)
        if status == PY_LOCK_ACQUIRED or (status == PY_LOCK_FAILURE and sleep_us == left_us):
            return status == PY_LOCK_ACQUIRED
        PyErr_CheckSignals()
        if timeout_ms >= 0:
            left_us = (until_ns - clock_mono_ns()) // 1000
            if left_us <= 0:
                return 0


cdef int wake_all(engine_t *engine) except -1:
    """Wake the callers whose waits have ended. Call it without the lock."""
    cdef wait_t *wait
    cdef Waiter waiter
    while engine.woken_first != NULL:
        lock_acquire(&engine.lock)
        wait = woken_take(engine)
        lock_release(&engine.lock)
        if wait == NULL:
            break
        if wait == &engine.errand:
            errand_run(engine)
            continue
        waiter = <Waiter> <PyObject *> object_of(wait)
        ref_drop(<PyObject *> waiter)  # the list's; the variable has its own
        if waiter.signal != NULL:
            PyThread_release_lock(waiter.signal)
            continue
        try:
            waiter.wake(waiter)
        except Exception as error:
            report_unraisable(error, waiter.wake)
    return 0


cdef int errand_run(engine_t *engine) except -1:
    """Let in those who wait for room, and tell observers what happened."""
    cdef Registry registry = registry_of(engine)
    cdef int64_t now_ns
    if engine.adder_first != NULL:
        now_ns = registry_now(registry)
        lock_acquire(&engine.lock)
        adders_admit(engine, now_ns)
        lock_release(&engine.lock)
    if engine.note_count > 0:
        lock_acquire(&engine.lock)
        teller = registry.teller  # another thread may put None in its place
        lock_release(&engine.lock)
        if teller is not None:
            teller()
    return 0


def report_error(error, where):
    """Give an exception that nobody can catch to sys.unraisablehook."""
    report_unraisable(error, where)


cdef int report_unraisable(object error, object where) except -1:
    """Give an exception of the user's function to sys.unraisablehook."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)
    return 0

# ---------------------------------------------------------------- Registry

cdef Registry registry_of(engine_t *engine):
    return <Registry> <PyObject *> object_of(engine)


cdef lock_t homes_lock             # free-threaded builds: what keeps the home of a record alive while
                                   # its engine's lock is taken; taken before that

cdef void homes_acquire() noexcept nogil:
    lock_acquire(&homes_lock)


cdef void homes_release() noexcept nogil:
    lock_release(&homes_lock)


cdef engine_t *home_enter(record_t *record) noexcept:
    """Take the lock of the engine that a record is registered with; NULL: there is none."""
    cdef engine_t *engine
    homes_acquire()
    while True:
        engine = record.home
        if engine == NULL:
            return NULL
        lock_acquire(&engine.lock)
        if HAS_GIL or record.home == engine:
            return engine
        lock_release(&engine.lock)


cdef void home_leave(engine_t *engine) noexcept:
    if engine != NULL:
        lock_release(&engine.lock)
    homes_release()


cdef Registry home_of(record_t *record):
    """The Registry that a record is in, or None."""
    cdef Registry registry = None
    cdef engine_t *engine = home_enter(record)
    if engine != NULL:
        registry = <Registry> <PyObject *> object_of(engine)
    home_leave(engine)
    return registry


cdef inline void offset_set(Registry self, int64_t offset_ns) noexcept:
    lock_acquire(&self.e.lock)
    self.e.wall_offset_ns = offset_ns
    lock_release(&self.e.lock)


cdef int64_t registry_now(Registry self) except? -1:
    """Mono time now; keeps the offset to the wall clock. One clock read as a rule."""
    cdef int64_t now_ns, before_ns, wall_ns
    if self.clock is not None:
        now_ns = self.clock.monotonic_ns()
        wall_ns = self.clock.now_ns()
        offset_set(self, wall_ns - now_ns)
        return now_ns
    now_ns = clock_mono_ns()
    if now_ns >= self.offset_until_ns:
        for _ in range(5):
            before_ns = now_ns
            wall_ns = clock_wall_ns()
            now_ns = clock_mono_ns()
            if now_ns - before_ns < 2000:  # nothing came between the reads
                break
        offset_set(self, wall_ns - now_ns)
        self.offset_until_ns = now_ns + OFFSET_BELIEVED_MS * NS_PER_MS
    return now_ns


@cython.final
cdef class Registry:
    """Registry()
--

    All records by id: a hash table over 16-byte ids, and the wheel of their timers.

    ``len()``, ``in`` and iteration (over RunRecords, as they were when it began) work as expected.

    >>> registry = Registry()
    >>> job = Job("a")
    >>> registry.add(RunRecord(job)), registry.add(RunRecord(job)), len(registry)
    (True, False, 1)
    >>> registry.record(job).job is job, registry.delete(job), job in registry
    (True, True, False)
    """

    def __cinit__(self):
        engine_init(&self.e, clock_mono_ns())
        random_fill(<uint8_t *> self.e.ids.seed, 16)
        self.e.empty = <PyObject *> EMPTY
        self.e.expired = <PyObject *> EXPIRED_REASON

    def __dealloc__(self):
        notes_clear(&self.e)
        homes_acquire()
        engine_clear(&self.e)
        homes_release()

    def add(self, RunRecord record not None):
        """Take in a record. False: its id or its key is here, it has no job, or it is in
        a registry. O(1)."""
        cdef int done = 0
        if record.c.job == NULL:
            return False
        if self.queues is not None:  # there, each record must know its queue
            return self.queues._register(record)
        homes_acquire()
        lock_acquire(&self.e.lock)
        if record.c.home == NULL:
            done = registry_add_by_hand(&self.e, &record.c)
        lock_release(&self.e.lock)
        homes_release()
        if done < 0:
            raise MemoryError
        return done == 1

    def delete(self, id):
        """Let go of a record and cancel its timers; its waiters get NotFoundError. O(log n).

        Returns whether it was here. Raises InvalidIDError.
        """
        cdef engine_t *engine = &self.e
        cdef record_t *record
        cdef uint8_t data[16]
        id_read(id, data)
        lock_acquire(&engine.lock)
        record = registry_find(engine, data)
        if record != NULL:
            job_delete(engine, record)
        lock_release(&engine.lock)
        wake_all(engine)
        return record != NULL

    def record(self, id):
        """The RunRecord of an id, or None. O(1). Raises InvalidIDError."""
        cdef record_t *record
        cdef uint8_t data[16]
        cdef object found = None
        id_read(id, data)
        lock_acquire(&self.e.lock)
        record = registry_find(&self.e, data)
        if record != NULL:
            found = record_object(record)
        lock_release(&self.e.lock)
        return found

    def __len__(self):
        return self.e.ids.count

    def __contains__(self, id):
        try:
            return self.record(id) is not None
        except _errors.InvalidIDError:
            return False

    def __iter__(self):
        cdef Py_ssize_t i
        cdef list found = []
        lock_acquire(&self.e.lock)
        try:
            for i in range(ids_slots(&self.e.ids)):
                if ids_at(&self.e.ids, i) != NULL:
                    found.append(record_object(<record_t *> ids_at(&self.e.ids, i)))
        finally:
            lock_release(&self.e.lock)
        return iter(found)

    def __repr__(self):
        return f"<Registry of {self.e.ids.count} records>"

    def _check(self):
        """Raise AssertionError if an invariant is broken. O(n log n)."""
        cdef const char *broken
        lock_acquire(&self.e.lock)
        broken = engine_check(&self.e)
        lock_release(&self.e.lock)
        if broken != NULL:
            raise AssertionError((<bytes> broken).decode())
