"""RunRecord, Registry, Waiter: the Python faces of record_t, engine_t and wait_t.

Locking: each method takes the engine's lock round its native part, and runs no foreign code in it.
"""

cimport cython
from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from jobqueue._structures.platform cimport (
    HAS_GIL, HAS_SLABS, breathe, clock_mono_ns, clock_wall_ns, count_by, lock_acquire, lock_release,
    lock_renew, lock_t, object_begin, object_end, pool_give, pool_take_raw, ref_drop, ref_take,
    slab_t, struct_clear, type_set,
)
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, ns_add
from jobqueue._structures.wheel cimport TIMER_ARMED, TIMER_CANCELLED, TIMER_IDLE, timer_t
from jobqueue._structures.id_table cimport ids_at, ids_slots, ids_t, ids_walk_t
from jobqueue._structures.system cimport random_fill
from jobqueue._machine.types cimport (
    EVENT_FAILED, HARD_ATTEMPTS_MAX, JOB_OWNS, JOB_UNIQUE, KIND_SCHEDULED, KIND_TTL, KIND_TTR,
    KIND_WAIT, OBJECT_HEAD, OUTCOME_ADDED, OUTCOME_LEASED, OUTCOME_NONE, PLACE_SCHEDULED,
    SLICE_BUCKETS, SLICE_STEPS, STATE_COMPLETED, STATE_FAILED, STATE_LEASED, TRANSITION_STEPS,
    WAIT_RESULT, WAIT_RUN, WATCH_EVENTS, engine_t, job_t, kind_t, record_t, views_t, wait_t,
)
from jobqueue._machine.layout cimport job_space, object_of, record_processed
from jobqueue._machine.woken cimport deferred_post, woken_put, woken_take
from jobqueue._machine.events cimport event_note, events_clear, history_free
from jobqueue._machine.state cimport (
    engine_init, job_locks_renew, queue_remove, queue_reschedule, record_init, registry_add_by_hand,
    registry_find, scheduled_end, timer_end, wait_forget,
)
from jobqueue._machine.life cimport adders_admit, job_delete, job_finish, lease_undo
from jobqueue._machine.slices cimport engine_clear, engine_clear_begin, engine_clear_end
from jobqueue._machine.check cimport engine_check
from jobqueue._objects.whole cimport (
    WakeSignal, main_forget, signal_give, signal_sleep, signal_take, signal_wake,
)
from jobqueue._objects.rules cimport clock_read, result_read
from jobqueue._objects.job cimport Job, id_read, job_object
from jobqueue._objects.timer cimport Timer

import sys
from enum import IntEnum

from .. import errors as _errors

cdef enum:
    OFFSET_BELIEVED_MS = 500      # a step of the wall clock is noticed within this time
    STRIKES_MAX = 3               # times that one wake is tried at once


MAX_HARD_ATTEMPTS = HARD_ATTEMPTS_MAX
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
    if job != NULL and job.flags & JOB_OWNS and <void *> self == job_space(job):
        object_end(self)
        job.flags &= ~JOB_OWNS
    else:
        pool_give(&record_pool, self, 0)
    if job != NULL:
        ref_drop(object_of(job))


cdef record_t *record_make(void *job) except NULL:
    """A fresh record of a Job, in its slot if there is room; the reference to it is the caller's."""
    cdef job_t *c = <job_t *> (<char *> job + OBJECT_HEAD)
    cdef void *made
    cdef record_t *record
    if HAS_SLABS and not c.flags & (JOB_UNIQUE | JOB_OWNS):
        made = object_begin(job_space(c), <PyObject *> RunRecord)
        c.flags |= JOB_OWNS
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
        cdef kind_t kind = <kind_t> timer.c.node.kind
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
            event_note(engine, record, EVENT_FAILED, STATE_FAILED, result, now_ns)
        job_finish(engine, record, success, result, now_ns)
    else:
        if record.result != NULL:  # of a former life
            ref_drop(record.result)
            record.extras = 0
        ref_take(result)
        record.result = result
        queue_remove(record)
        record.state = STATE_COMPLETED if success else STATE_FAILED


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
        deadline_ns = ns_add(deadline_ns, engine.wall_offset_ns if engine != NULL else 0)
    elif state != TIMER_IDLE and (record.place != PLACE_SCHEDULED or deadline_ns == NEVER_NS):
        deadline_ns = record.job.time_ns if record.job.time_ns != NEVER_NS else record.job.tie.created_ns
    home_leave(engine)
    if state == TIMER_IDLE:
        return None
    view = Timer.__new__(Timer)
    view.c.node.kind = <uint8_t> kind
    view.c.state = state
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
        view.c.state = state
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
            lock_acquire(&self.registry.e.lock)
            wait_forget(&self.registry.e, &self.c)
            lock_release(&self.registry.e.lock)
        if not self.settled and self.c.outcome != OUTCOME_NONE:
            waiter_drop(self)
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


cdef void waiter_drop(Waiter self) noexcept:
    """Its caller was struck before it had what the wait came to: a job it was handed goes back, and a
    run job is gone."""
    cdef engine_t *engine = &self.registry.e
    cdef record_t *record = self.c.record
    cdef bint wakes
    if record == NULL or self.c.kind == WAIT_RESULT:
        return
    lock_acquire(&engine.lock)
    if self.c.outcome == OUTCOME_LEASED:
        lease_undo(engine, &self.c, engine.wheel.now_ns)
    elif self.c.kind == WAIT_RUN and record.home == engine:
        job_delete(engine, record)
    wakes = engine.woken_first != NULL
    lock_release(&engine.lock)
    if self.registry.astray is not None:
        self.registry.astray.add(job_object(record.job))
        wakes = True
    if not wakes:
        return
    owner = self.registry.owner
    if owner is None or owner() is None:
        woken_forget(engine)  # no verb will ever wake them, and they keep the registry alive
    else:
        thread_ring(self.registry)


cdef void woken_forget(engine_t *engine) noexcept:
    """Nobody is left who could wake those whose waits have ended."""
    cdef wait_t *wait
    cdef Waiter waiter = None
    while engine.woken_first != NULL:
        lock_acquire(&engine.lock)
        wait = woken_take(engine)
        lock_release(&engine.lock)
        if wait != NULL and wait != &engine.deferred:
            waiter = <Waiter> <PyObject *> object_of(wait)
            ref_drop(<PyObject *> waiter)  # the list's; the variable has its own


cdef int thread_ring(Registry registry) except -1:
    """Let the timer thread, if there is one, do what is left over."""
    cdef object signal
    lock_acquire(&registry.e.lock)
    signal = registry.thread_signal
    lock_release(&registry.e.lock)
    if type(signal) is WakeSignal:
        (<WakeSignal> signal).ring_now()
    elif signal is not None:
        signal.ring()
    return 0


cdef Waiter waiter_new(Registry registry, object wake, bint detailed):
    """A Waiter that calls ``wake`` when its wait ends; None: for a thread, which waiter_sleep blocks."""
    cdef Waiter made = Waiter.__new__(Waiter)
    made.registry = registry
    made.wake = wake
    made.detailed = detailed
    if wake is None:
        made.signal = signal_take()
    return made


cdef dict loaded = sys.modules


def _forked():
    """In a forked child: the thread that forked handles its signals, and no other holds a lock.

    Before the fork the locks of all engines were taken. Whoever held one of these waited for such a
    one, or was about to begin: nothing that they guard was half changed.
    """
    main_forget()
    lock_renew(&homes_lock)
    job_locks_renew()


cdef int waiter_sleep(Waiter waiter, int64_t timeout_ms) except -1:
    """Block the calling thread until the waiter is woken: 1. 0: the time is over; -1 ms: it never is.

    Of a greenlet only the greenlet sleeps. What a handler of a signal raises ends the sleep.
    """
    if "greenlet" in loaded:
        from .green import wake_up as green_wake_up
        wake_up = green_wake_up()
        if wake_up is not None:
            try:
                if waiter_listens(waiter, wake_up.ring):
                    return waiter_sleep_green(waiter, wake_up, timeout_ms)
            finally:
                wake_up.close()
    return signal_sleep(waiter.signal, timeout_ms)


cdef bint waiter_listens(Waiter waiter, object ring) except -1:
    """Let a wake-up ring, instead of a lock be released, when a wait ends; False if it has ended."""
    cdef void *signal = NULL
    cdef bint pending
    cdef engine_t *engine = &waiter.registry.e
    wake_all(engine)  # what another greenlet of this thread was about to wake
    lock_acquire(&engine.lock)
    pending = waiter.c.outcome == OUTCOME_NONE
    if pending:
        _before = waiter.wake  # dropped without the lock
        waiter.wake = ring
        signal = waiter.signal
        waiter.signal = NULL
    lock_release(&engine.lock)
    if signal != NULL:
        signal_give(signal)
    return pending or waiter.signal == NULL


cdef int waiter_sleep_green(Waiter waiter, object wake_up, int64_t timeout_ms) except -1:
    """waiter_sleep, of a greenlet: the others of its thread run meanwhile."""
    cdef int64_t until_ns = clock_mono_ns() + timeout_ms * NS_PER_MS
    cdef int64_t left_ns = 0
    while waiter.c.outcome == OUTCOME_NONE:
        if timeout_ms >= 0:
            left_ns = until_ns - clock_mono_ns()
            if left_ns <= 0:
                return 0
        wake_up.wait(left_ns / 1e9 if timeout_ms >= 0 else None)
    return 1


cdef int wake_all(engine_t *engine) except -1:
    """Wake the callers whose waits have ended. Call it without the lock.

    Whatever strikes a wake, or an observer, the others are woken. What was struck is tried again, twice;
    then it is left to the timer thread, or to the next verb. At the end an exception that is no
    Exception is raised: the last.
    """
    cdef wait_t *wait
    cdef wait_t *left = NULL      # waits whose wakes were struck too often
    cdef Waiter waiter
    cdef Registry registry = registry_of(engine)
    cdef object struck = None
    cdef int strikes = 0          # at the deferred work
    cdef bint again = False       # the deferred work is left over
    while engine.woken_first != NULL:
        lock_acquire(&engine.lock)
        wait = woken_take(engine)
        lock_release(&engine.lock)
        if wait == NULL:
            break
        if wait == &engine.deferred and strikes == STRIKES_MAX:
            continue  # who was struck may have posted it, too
        if wait == &engine.deferred:
            try:
                deferred_run(engine)
            except BaseException as error:
                struck = worse(struck, error, registry)
                strikes += 1
                again = strikes == STRIKES_MAX
                if not again:
                    lock_acquire(&engine.lock)
                    deferred_post(engine)
                    lock_release(&engine.lock)
            continue
        waiter = <Waiter> <PyObject *> object_of(wait)
        if waiter.signal != NULL:
            ref_drop(<PyObject *> waiter)  # the list's; the variable has its own
            signal_wake(waiter.signal)
            continue
        try:
            waiter.wake(waiter)
        except BaseException as error:
            struck = worse(struck, error, waiter.wake)
            if isinstance(error, (RecursionError, MemoryError)) or not isinstance(error, Exception):
                waiter.strikes += 1
                if waiter.strikes < STRIKES_MAX:
                    lock_acquire(&engine.lock)
                    woken_put(engine, wait)
                    lock_release(&engine.lock)
                else:
                    waiter.strikes = 0
                    wait.next = left
                    left = wait
                continue
        ref_drop(<PyObject *> waiter)
    if registry.deserted is not None:
        deserted_drain(registry)
    if left != NULL or again:
        wakes_leave(registry, left, again)
    if struck is not None and not isinstance(struck, Exception):
        raise struck
    return 0


cdef object worse(object struck, object error, object where):
    """Which of two exceptions is to be raised at the end; one that is not is shown."""
    if isinstance(error, Exception):
        report_unraisable(error, where)
        return struck
    return error


cdef int wakes_leave(Registry registry, wait_t *left, bint deferred) except -1:
    """Leave wakes that were struck to the timer thread, or to the next verb."""
    cdef wait_t *wait
    lock_acquire(&registry.e.lock)
    while left != NULL:
        wait = left
        left = wait.next
        wait.next = NULL
        woken_put(&registry.e, wait)
    if deferred:
        deferred_post(&registry.e)
    lock_release(&registry.e.lock)
    return 0 if registry.ticking else thread_ring(registry)


cdef int deserted_drain(Registry registry) except -1:
    """Abandon the waits for which nobody comes any more, one after the other: a job that goes from one
    to the next must not deepen the stack with each."""
    cdef list deserted = registry.deserted
    while deserted and not registry.draining:
        registry.draining = True
        try:
            while deserted:
                pair = deserted.pop()
                try:
                    pair[0].wait_abandon(pair[1])
                except BaseException:
                    deserted.append(pair)
                    raise
        finally:
            registry.draining = False
    return 0


cdef int deferred_run(engine_t *engine) except -1:
    """Let in those who wait for room, and tell observers what happened."""
    cdef Registry registry = registry_of(engine)
    cdef int64_t now_ns
    cdef bint done
    if engine.adder_first != NULL:
        now_ns = registry_now(registry)
        lock_acquire(&engine.lock)
        done = adders_admit(engine, now_ns, SLICE_STEPS // TRANSITION_STEPS)
        if not done:
            deferred_post(engine)
        lock_release(&engine.lock)
        if not done:
            engine.slice_count += 1
            with nogil:
                breathe()
    if engine.watched & WATCH_EVENTS:
        lock_acquire(&engine.lock)
        notifier = registry.notifier  # another thread may put None in its place
        lock_release(&engine.lock)
        if notifier is not None:
            notifier()
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
        if engine == NULL or engine.dying:
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
    """Mono time now; keeps the offset to the wall clock. One clock read as a rule.

    Both are from -TIME_MAX_NS to TIME_MAX_NS, whatever a clock says.
    """
    cdef int64_t now_ns, before_ns, wall_ns
    clock = self.clock
    if clock is not None:
        now_ns = clock_read(clock.monotonic_ns(), "monotonic_ns")
        wall_ns = clock_read(clock.now_ns(), "now_ns")
        offset_set(self, ns_add(wall_ns, -now_ns))
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

    def __init__(self):
        pass  # it takes no arguments

    def __dealloc__(self):
        cdef ids_t ids
        cdef ids_walk_t walk
        cdef bint done = False
        events_clear(&self.e)
        homes_acquire()
        engine_clear_begin(&self.e, &ids)
        homes_release()
        struct_clear(&walk, sizeof(ids_walk_t))
        while not done:
            homes_acquire()
            done = engine_clear(&self.e, &ids, &walk, SLICE_BUCKETS)
            homes_release()
            if not done:
                with nogil:
                    breathe()
        engine_clear_end(&self.e, &ids)

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

    def _tables(self):
        """For tests of growing: buckets of the table of ids, of the one before, how many of these have
        moved over; the same of the slots of the table of keys."""
        return ((self.e.ids.bucket_count, self.e.ids.old_bucket_count, self.e.ids.old_next),
                (self.e.uniques.keys.mask + 1, self.e.uniques.old.mask + 1, self.e.uniques.old_next))

    def _slices(self):
        """For tests: how many times something paused so that others could go on."""
        return self.e.slice_count

    def _check(self):
        """Raise AssertionError if an invariant is broken. O(n log n)."""
        cdef const char *broken
        lock_acquire(&self.e.lock)
        broken = engine_check(&self.e)
        lock_release(&self.e.lock)
        if broken != NULL:
            raise AssertionError((<bytes> broken).decode())
