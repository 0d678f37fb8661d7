"""EngineBase: what the verbs of an engine share: its state, time, timers, closing, fork, queues by name.

A verb reads its arguments, enters (is it open?), takes the lock, runs a function of _life, lets the
lock go, and leaves: it wakes whoever must be woken and raises what must be raised. A status becomes
an exception in one place (raise_status).
"""

from cpython.mem cimport PyMem_RawCalloc
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint16_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport (
    HAS_GIL, breathe, lock_acquire, lock_release, lock_renew, ref_drop, ref_take, struct_clear,
)
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, ns_add
from jobqueue._structures.wheel cimport (
    TIMER_CANCELLED, TIMER_FIRED, wheel_arm, wheel_next_deadline, wheel_shift,
)
from jobqueue._structures.id_table cimport BUCKET_SLOTS, bucket_t, ids_walk, ids_walk_t
from jobqueue._structures.system cimport fork_unwatch, fork_watch, random_fill
from jobqueue._machine.types cimport (
    DUPLICATE_JOB, DUPLICATE_KEY, JOB_UNIQUE, KIND_SCHEDULED, KIND_TTL, KIND_TTR, LEASE_EXPIRED,
    NO_MEMORY, OK, OUTCOME_CLOSED, OUTCOME_LEASED, OUTCOME_NONE, QUEUE_FULL, SLICE_BUCKETS,
    SLICE_STEPS, STATE_LEASED, WAIT_LEASE, WAIT_RUN, WATCH_HISTORY, engine_t, kind_t, queue_t,
    record_t, refusal_t, status_t, wait_link_t, wait_t,
)
from jobqueue._machine.layout cimport object_of
from jobqueue._machine.woken cimport deferred_post
from jobqueue._machine.events cimport events_clear, events_cut
from jobqueue._machine.bounds cimport capacity_recount
from jobqueue._machine.state cimport (
    engine_due_ns, engine_reserve_queues, engine_wake_ns, queue_remove, record_assign,
    record_unassign, registry_find, scheduled_end, wait_end, wait_forget,
)
from jobqueue._machine.life cimport (
    engine_fire, entrant_t, job_awake, job_check_new, job_delete, job_expire, job_timeout,
    lease_undo, wait_lapse,
)
from jobqueue._machine.slices cimport engine_end_waits, entrants_fit, capacity_count
from jobqueue._objects.whole cimport WakeSignal
from jobqueue._objects.rules cimport name_read, ttl_read
from jobqueue._objects.job cimport Job, id_object, id_read, job_object
from jobqueue._objects.registry cimport (
    Registry, RunRecord, Waiter, record_object, registry_now, report_unraisable, thread_ring,
    wake_all,
)
from jobqueue._objects.queues cimport (
    QueueController, WorkQueue, queue_attach, queue_get, queues_attach, queues_detach, ring_remove,
)
from jobqueue._engine.status cimport lease_text, raise_refused_at, raise_status

from _weakref import ref as weak_ref

from .. import errors as _errors
from .._objects.green import real

cdef object start_new_thread = real("start_new_thread")  # a real one under gevent and eventlet, too


cdef extern from "Python.h":
    ctypedef object (*PyCFunction)(PyObject *self, PyObject *arguments)
    enum:
        METH_VARARGS
    bint PyCFunction_Check(object function) noexcept
    int PyCFunction_GetFlags(object function) except -1
    PyCFunction PyCFunction_GetFunction(object function) except NULL
    PyObject *PyCFunction_GetSelf(object function) noexcept


cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept


cdef Py_ssize_t count_read(object value, str what, Py_ssize_t low) except -1:
    if value is ...:
        raise TypeError(f"{what} is missing: an int")
    if type(value) is not int:
        raise TypeError(
            f"{what} must be an int, not {_errors.shown(value)} of type {type(value).__name__}")
    if value < low:
        raise ValueError(f"{what} must be at least {low}, not {value}")
    return min(value, <Py_ssize_t> 0x7FFFFFFFFFFFFFFF)


cdef int64_t bound_read(object value, str what) except -1:
    """A bound: at least 1; INT64_MAX if there is none."""
    return INT64_MAX if value is None else count_read(value, what, 1)


cdef int clock_change(Registry registry, object clock) except -1:
    """Let a registry follow a clock. What its timers have left, they keep. O(timers)."""
    cdef int64_t past_ns = registry_now(registry)  # by the clock of before
    cdef int64_t now_ns
    before = registry.clock
    if before is None and clock is None:
        return 0
    registry.clock = clock
    registry.offset_until_ns = INT64_MIN
    try:
        now_ns = registry_now(registry)
    except BaseException:
        registry.clock = before
        raise
    lock_acquire(&registry.e.lock)
    wheel_shift(&registry.e.wheel, past_ns, now_ns)
    lock_release(&registry.e.lock)
    return 0


cdef int shadow_detach(Registry registry) except -1:
    """Take leave of the queue in which scheduled jobs waited under foreign queues."""
    cdef WorkQueue shadow = registry.shadow
    cdef RunRecord record
    registry.e.shadow = NULL
    registry.shadow = None
    for record in registry:
        if record.c.queue == &shadow.c:
            scheduled_end(&record.c, TIMER_CANCELLED)
            queue_remove(&record.c)
            record_unassign(&record.c)
    return 0


cdef void wait_leave(engine_t *engine, wait_t *wait) noexcept:
    """Forget a wait, in a forked child."""
    ref_take(object_of(wait))  # so that its object does not end under the lock
    lock_acquire(&engine.lock)
    wait_forget(engine, wait)
    lock_release(&engine.lock)
    ref_drop(object_of(wait))


cdef int records_forget(engine_t *engine) except -1:
    """Forget the waits for records and the runs of other threads, in a forked child."""
    cdef list found = []
    cdef RunRecord record
    cdef record_t *c
    cdef bucket_t *bucket
    cdef ids_walk_t walk
    cdef Py_ssize_t slot
    struct_clear(&walk, sizeof(ids_walk_t))
    while True:
        bucket = ids_walk(&engine.ids, &walk)
        if bucket == NULL:
            break
        for slot in range(BUCKET_SLOTS):
            c = <record_t *> bucket.items[slot]
            if c != NULL and (c.waits != NULL or c.is_run):
                found.append(record_object(c))
    for record in found:
        while record.c.waits != NULL:
            wait_leave(engine, record.c.waits)
        if record.c.is_run and record.c.home == engine:
            lock_acquire(&engine.lock)
            job_delete(engine, &record.c)
            lock_release(&engine.lock)
    return 0


def _begin_thread(ref):
    """In a thread of its own, which no signal strikes: start the timer thread of a controller."""
    cdef EngineBase engine = ref()
    if engine is None:
        return
    begun = engine.registry.thread_begun
    try:
        if engine.shut != SHUT_CLOSED:
            engine._thread_start()
            thread_settle(engine)
    except BaseException as error:
        engine.thread_lost(None)
        if "shutdown" not in str(error):  # the interpreter ends, and takes its threads along
            report_unraisable(error, engine._thread_start)
    finally:
        begun.ring()


cdef object thread_begin = _begin_thread


cdef int thread_settle(EngineBase engine) except -1:
    """Wait until the timer thread is at work. One that was killed before that is replaced."""
    while engine.thread_state == THREAD_STARTING and engine._thread_lives():
        with nogil:
            breathe()
    if engine.thread_state == THREAD_STARTING and engine.shut == SHUT_OPEN:
        engine.thread_lost(None)
        engine.poke()
    return 0


cdef int thread_launch(object function, tuple arguments) except -1:
    """Let a thread of its own call a function. Called directly, near the recursion limit it works, too."""
    cdef tuple call = (function, arguments)
    if PyCFunction_Check(start_new_thread) and PyCFunction_GetFlags(start_new_thread) == METH_VARARGS:
        PyCFunction_GetFunction(start_new_thread)(PyCFunction_GetSelf(start_new_thread), <PyObject *> call)
    else:
        start_new_thread(function, arguments)
    return 0


cdef class EngineBase:
    """The state of an engine; see _core.pyx for its verbs."""

    def __cinit__(self):
        """Every field is what it says from the first: a subclass may forget to call __init__."""
        self.registry = Registry()
        self.e = &self.registry.e
        self.own_queues = QueueController()
        self.by_name = self.own_queues._by_name

    def __init__(self, Registry registry=None, queues=None, *, clock=None, rng=None, result_ttl=None,
                 max_jobs=None, max_bytes=None, history=0, keep_expired=0,
                 bint by_hand=False):
        if self.shut != SHUT_UNBUILT:
            raise TypeError("a controller is built once")
        if registry is None:
            registry = self.registry
        owner = registry.owner
        if owner is not None and owner() is not None and owner() is not self:
            raise ValueError("the registry belongs to another controller that is still open")
        if type(queues) is QueueController and (<QueueController> queues).registry is not None:
            owner = (<QueueController> queues).registry.owner
            if owner is not None and owner() is not None:
                raise ValueError("the queues belong to another controller that is still open")
            queues_detach(<QueueController> queues)
        if registry.queues is not None:
            queues_detach(registry.queues)
        if registry.shadow is not None:
            shadow_detach(registry)
        cdef int64_t result_ttl_ns = NEVER_NS
        if result_ttl is not None:
            result_ttl_ns = ttl_read(result_ttl, 0, "result_ttl") * NS_PER_MS
        cdef int64_t keep_expired_ns = ttl_read(keep_expired, 0, "keep_expired") * NS_PER_MS
        cdef int64_t jobs_max = bound_read(max_jobs, "max_jobs")
        cdef int64_t bytes_max = bound_read(max_bytes, "max_bytes")
        cdef Py_ssize_t kept = count_read(history, "history", 0)
        if kept > HISTORY_MAX:
            raise ValueError(f"history must be 0 to {HISTORY_MAX} transitions of each job, not {kept}")
        self.registry = registry
        self.e = &registry.e
        clock_change(registry, clock)
        self.registry.owner = weak_ref(self)
        self.e.result_ttl_ns = result_ttl_ns
        self.e.keep_expired_ns = keep_expired_ns
        self.e.expire_hooked = self.e.timeout_hooked = False
        self.e.shadow = NULL
        self.rng = rng
        random_fill(<uint8_t *> &self.random_state, 8)
        self.random_state |= 1
        self.by_hand = by_hand
        self.thread_wake_ns = INT64_MIN if by_hand else NEVER_NS
        self.thread_state = THREAD_NONE
        registry.thread_signal = registry.thread_begun = None
        registry.astray = None
        if queues is None or type(queues) is QueueController:
            self.own_queues = QueueController() if queues is None else queues
            self.by_name = self.own_queues._by_name
            queues_attach(self.own_queues, self.registry)
        else:
            self.foreign_queues = queues
            self.shadow_attach()
        events_clear(self.e)
        registry.notifier = None
        self.e.history_max = <uint16_t> kept
        self.e.watched = WATCH_HISTORY if kept else 0
        self.e.load.jobs_max = jobs_max
        self.e.load.bytes_max = bytes_max
        self.recount()
        self.fork_link.mark = &self.shut
        self.fork_link.whole = SHUT_OPEN
        self.fork_link.forked = SHUT_CHILD
        self.shut = SHUT_OPEN
        fork_watch(&self.fork_link)

    cdef int recount(self) except -1:
        """Apply the bounds of the engine and its queues."""
        cdef WorkQueue queue
        cdef list queues = list(self.by_name.values())
        lock_acquire(&self.e.lock)
        self.e.bounded = self.e.load.jobs_max != INT64_MAX or self.e.load.bytes_max != INT64_MAX
        for queue in queues:
            queue.c.load.jobs = queue.c.load.bytes = 0
            self.e.bounded |= queue.c.limited
        capacity_recount(self.e)
        self.e.counting = False
        if self.e.adder_first != NULL:
            deferred_post(self.e)
        lock_release(&self.e.lock)
        return 0

    cdef int count_on(self) except -1:
        """Count what a new bound is about, in slices; then the bound holds."""
        cdef ids_walk_t walk
        cdef bint done = False
        struct_clear(&walk, sizeof(ids_walk_t))
        while not done:
            lock_acquire(&self.e.lock)
            done = capacity_count(self.e, &walk, SLICE_BUCKETS)
            if done:
                self.e.counting = False
                if self.e.adder_first != NULL:
                    deferred_post(self.e)
            lock_release(&self.e.lock)
            if not done:
                self.e.slice_count += 1
                with nogil:
                    breathe()
        return 0

    def __dealloc__(self):
        cdef int i
        if self.fork_link.mark != NULL:
            fork_unwatch(&self.fork_link)
        for i in range(NAMES_CACHED):
            if self.cache[i].name != NULL:
                ref_drop(self.cache[i].name)

    cdef int shadow_attach(self) except -1:
        """Foreign queues hold the jobs; natively there are the lines of leasers, and a queue that
        tells when scheduled jobs are due."""
        cdef RunRecord record
        self.own_queues = QueueController()
        self.by_name = self.own_queues._by_name
        queues_attach(self.own_queues, self.registry)
        self.registry.queues = None
        self.registry.astray = set()
        self.shadow = WorkQueue()
        if not engine_reserve_queues(self.e, 1):
            raise MemoryError
        queue_attach(self.shadow, self.registry)
        self.registry.shadow = self.shadow
        self.e.shadow = &self.shadow.c
        self.e.expire_hooked = self.e.timeout_hooked = True
        for record in self.registry:
            if record.c.home != self.e:
                continue  # the collector, which may run wherever objects are made, has had it deleted
            scheduled_end(&record.c, TIMER_CANCELLED)
            queue_remove(&record.c)  # the foreign queues know where it stands
            record_assign(&record.c, &self.shadow.c)
            queue_get(self.own_queues, record.job.name).c.named = True
        return 0

    # ------------------------------------------------------------ time, timers, closing

    cdef int enter_slow(self) except -1:
        if self.shut == SHUT_CLOSED:
            raise _errors.ClosedError("the controller is closed")
        if self.shut == SHUT_UNBUILT:
            raise TypeError("Controller.__init__ was not called")
        if self.shut == SHUT_CHILD:
            self._fork_missed()
        self.shut = SHUT_OPEN
        if self.e.wheel.count or self.e.due_count:
            self.poke()
        return 0

    cdef int lock_open(self) except -1:
        """Take the lock of an engine that is not closed: who waits must not come after the close."""
        lock_acquire(&self.e.lock)
        if self.shut == SHUT_CLOSED:
            lock_release(&self.e.lock)
            self.enter_slow()
        return 0

    cdef int leave_slow(self) except -1:
        try:
            if self.e.unsettled:
                self._note_settle()
        finally:
            self.leave_waking()
        return 0

    cdef int leave_waking(self) except -1:
        cdef bint late
        try:
            wake_all(self.e)
        finally:
            lock_acquire(&self.e.lock)
            late = engine_wake_ns(self.e) < self.thread_wake_ns
            lock_release(&self.e.lock)
            if late:
                self.poke_or_report()
        return 0

    cdef int poke_or_report(self) except -1:
        try:
            self.poke()
        except Exception as error:  # what the verb did stands, and leases still look at the time
            report_unraisable(error, self._poke)
        return 0

    cdef int raise_fenced(self, status_t status, const uint8_t *id, uint64_t fence) except -1:
        """Raise; a lease that is over is told with what the job is by now."""
        cdef record_t *record
        cdef uint64_t attempts = 0
        cdef int state = -1
        if status != LEASE_EXPIRED:
            raise_status(status, id)
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, id)
        if record != NULL:
            attempts = record.attempts
            state = record.state
        lock_release(&self.e.lock)
        raise _errors.LeaseExpiredError(lease_text(id_object(id), fence, state, attempts))

    cdef int fire(self, int64_t now_ns, bint whole, bint alone=False) except -1:
        """Do all that is due, in slices, between which others go on. Not whole: one slice, unless that
        could call users' functions or time moves by hand; then the engine may lag behind.

        Returns whether others were called, or went on, which takes time, or it is closed.
        """
        cdef bint hooked = False
        cdef bint told
        cdef record_t *record
        cdef RunRecord held = None
        cdef uint64_t attempts = 0
        cdef kind_t kind = KIND_TTR
        cdef Py_ssize_t steps
        whole = whole or self.by_hand or self.e.expire_hooked or self.e.timeout_hooked
        while self.shut != SHUT_CLOSED:
            steps = SLICE_STEPS
            lock_acquire(&self.e.lock)
            record = engine_fire(self.e, now_ns, &kind, &steps)
            self.e.lagging = record == NULL and steps <= 0
            if record != NULL:
                attempts = record.attempts
            lock_release(&self.e.lock)
            if record != NULL:
                held = record_object(record)
                ref_drop(<PyObject *> held)
            told = self.e.woken_first != NULL
            try:
                if told:
                    hooked = True  # observers are told
                    wake_all(self.e)
            finally:
                if record != NULL:
                    hooked = True
                    self.call_hook(held, kind, attempts, alone)
            if record == NULL:
                if steps > 0:
                    if told and engine_is_due(self.e, now_ns):
                        continue  # a job that found space meanwhile is due already
                    break
                hooked = True
                self.e.slice_count += 1
                if not whole:
                    break
                with nogil:
                    breathe()
                continue
            now_ns = max(now_ns, verb_now(self))
        return hooked or self.shut == SHUT_CLOSED

    cdef int call_hook(self, RunRecord record, kind_t kind, uint64_t attempts, bint alone) except -1:
        """Call what a timer calls. If it raises, the engine does what fell due, unless that is done.

        alone: nobody can catch what it raises.
        """
        hook = self
        try:
            hook = (self.expire_func() if kind == KIND_TTL else
                    self.timeout_attempt_func() if kind == KIND_TTR else
                    self._awake if kind == KIND_SCHEDULED else self._lapse_run)
            hook(id_object(record.c.job.tie.id))
        except BaseException as error:
            if self.shut == SHUT_CLOSED and isinstance(error, _errors.ClosedError):
                return 0  # it was closed meanwhile: no fault of the hook's
            if self.shut != SHUT_CLOSED:
                self.fall_due(record, kind, attempts)
            if not alone and not isinstance(error, Exception):
                raise
            report_unraisable(error, hook)
        return 0

    cdef int fall_due(self, RunRecord record, kind_t kind, uint64_t attempts) except -1:
        """What a timer's function should have done, had it not raised, is done: natively, so that no
        job stays leased, or alive, for ever."""
        cdef record_t *c = &record.c
        cdef int64_t now_ns = self.e.wheel.now_ns
        cdef wait_t *wait
        cdef object late = None
        try:
            now_ns = verb_now(self)
        except BaseException as error:  # of the clock
            late = error
        lock_acquire(&self.e.lock)
        if c.home == self.e:
            if kind == KIND_TTL:
                if c.ttl.state == TIMER_FIRED:
                    job_expire(self.e, c, now_ns)
            elif kind == KIND_TTR:
                if c.state == STATE_LEASED and c.attempts == attempts and c.ttr.state == TIMER_FIRED:
                    if job_timeout(self.e, c, now_ns) == NO_MEMORY:
                        wheel_arm(&self.e.wheel, &c.ttr, ns_add(now_ns, NS_PER_MS))
            elif kind == KIND_SCHEDULED:
                job_awake(self.e, c, now_ns)
            else:
                wait = c.waits
                while wait != NULL and wait.kind != WAIT_RUN:
                    wait = wait.next
                if wait != NULL:
                    wait_lapse(self.e, wait)
        lock_release(&self.e.lock)
        if self.registry.astray is not None:
            self.registry.astray.add(record.job)
        wake_all(self.e)
        if self.registry.astray is not None:
            try:
                self._tidy()  # the foreign queue follows at once, or is asked again later
            except BaseException as error:
                late = error
        if late is not None:
            raise late
        return 0

    def _tick(self):
        """Do all that is due; ns until the next look, -1 if nothing is armed, None if it is closed."""
        cdef int64_t now_ns, wake_ns
        if self.shut == SHUT_CLOSED:
            return None
        self.registry.timer_ident = PyThread_get_thread_ident()
        self.registry.ticking = True  # what is left over now is seen to by the end of this
        try:
            if self.e.woken_first != NULL:  # their wakes were struck
                wake_all(self.e)
            now_ns = verb_now(self)
            self.fire(now_ns, True, True)
        finally:
            self.registry.ticking = False
        if self.shut == SHUT_CLOSED:  # by a hook
            return None
        lock_acquire(&self.e.lock)
        wake_ns = engine_wake_ns(self.e)
        if engine_due_ns(self.e) != NEVER_NS:
            wake_ns = min(wake_ns, ns_add(now_ns, STEP_NOTICED_MS * NS_PER_MS))
        if self.e.woken_first != NULL:
            wake_ns = min(wake_ns, ns_add(now_ns, LEFT_AGAIN_MS * NS_PER_MS))
        if not self.by_hand:
            self.thread_wake_ns = wake_ns
        lock_release(&self.e.lock)
        return -1 if wake_ns == NEVER_NS else max(ns_add(wake_ns, -now_ns), 0)

    def next_deadline_ns(self):
        """Exact monotonic ns of the earliest deadline, or None. What a manual clock asks."""
        cdef int64_t earliest_ns
        if self.shut == SHUT_CLOSED or self.shut == SHUT_UNBUILT:
            return None
        verb_now(self)  # the wall clock may have been stepped
        lock_acquire(&self.e.lock)
        earliest_ns = min(wheel_next_deadline(&self.e.wheel), engine_due_ns(self.e))
        lock_release(&self.e.lock)
        return None if earliest_ns == NEVER_NS else earliest_ns

    def fire_due(self):
        """Do all that is due now. What a manual clock calls."""
        if self.shut != SHUT_CLOSED and self.shut != SHUT_UNBUILT:
            verb_enter(self)  # a forked child looks round first
            self.fire(verb_now(self), True)

    def _enter(self):
        """Raise unless it is open."""
        verb_enter(self)

    cdef int poke(self) except -1:
        """See that the timer thread looks now. In this thread no bytecode runs, which could be struck."""
        cdef bint starts
        cdef object begun = self.registry.owner  # a weak reference to this
        if self.shut == SHUT_CLOSED or self.by_hand or begun is None:
            return 0
        lock_acquire(&self.e.lock)
        starts = self.thread_state == THREAD_NONE
        if starts:
            self.thread_state = THREAD_STARTING
        self.thread_wake_ns = INT64_MIN  # it looks before it sleeps
        lock_release(&self.e.lock)
        try:
            if starts:
                self.registry.thread_begun = WakeSignal.__new__(WakeSignal)  # no call: near the limit
                thread_launch(thread_begin, (begun,))
            else:
                thread_ring(self.registry)
        except BaseException:
            self.thread_lost(None if starts else self.registry.thread_signal)
            raise
        return 0

    cdef int thread_lost(self, object signal) except -1:
        """The timer thread could not be started, or told: the next verb that is late does it anew."""
        cdef object _before = None  # dropped without the lock
        lock_acquire(&self.e.lock)
        if self.registry.thread_signal is signal:
            _before = self.registry.thread_signal
            self.registry.thread_signal = None
            self.thread_state = THREAD_NONE
            self.thread_wake_ns = NEVER_NS
        lock_release(&self.e.lock)
        return 0

    def _thread_awaited(self):
        """Wait until the timer thread is started, if that is under way: whoever closes, joins it.

        A second at most, should it be closed by what the start runs.
        """
        begun = self.registry.thread_begun
        if self.thread_state == THREAD_STARTING and begun is not None and PyCFunction_Check(start_new_thread):
            begun.sleep(1_000_000_000)
            begun.ring()  # for the next who waits

    def _thread_serves(self, signal):
        """The calling thread is the timer thread from here on. False: another is."""
        cdef bint first
        cdef object _before = self.registry.thread_signal  # dropped without the lock
        lock_acquire(&self.e.lock)
        first = self.thread_state == THREAD_STARTING
        if first:
            self.thread_state = THREAD_AT_WORK
            self.registry.thread_signal = signal
        lock_release(&self.e.lock)
        return first

    def _thread_ended(self, signal):
        """It serves no more: if something is armed still, another is started."""
        self.thread_lost(signal)
        if self.shut == SHUT_OPEN and engine_wake_ns(self.e) < self.thread_wake_ns:
            self.poke_or_report()

    def _note_reserve(self, Py_ssize_t size):
        """Make room for what is to be noted, or raise; whoever keeps a journal has it.

        Below 0: so much, of a verb that takes or ends jobs.
        """

    def _note_settle(self):
        """See that what was noted lasts, or raise; whoever keeps a journal has it."""

    def _poke(self):
        """Make the timer thread look, and start it if there is none."""
        self.poke()

    def _thread_start(self):
        """Start the timer thread; the subclass has it."""

    def _thread_lives(self):
        """Whether that has begun, and not ended."""
        return False

    def _shut(self):
        """Close: every blocked call ends with ClosedError. Returns False if it was closed before."""
        cdef WorkQueue queue
        cdef list queues = []
        cdef ids_walk_t walk
        cdef bint done = False
        if self.shut == SHUT_CLOSED:
            return False
        verb_enter(self)
        lock_acquire(&self.e.lock)
        self.shut = SHUT_CLOSED  # from here on nobody begins to wait
        lock_release(&self.e.lock)
        if self.e.waiting_count:
            queues = list(self.own_queues._by_name.values())
        lock_acquire(&self.e.lock)
        for queue in queues:
            while queue.c.first_link != NULL:
                wait_end(self.e, queue.c.first_link.wait, OUTCOME_CLOSED)
        while self.e.adder_first != NULL:
            wait_end(self.e, self.e.adder_first, OUTCOME_CLOSED)
        lock_release(&self.e.lock)
        struct_clear(&walk, sizeof(ids_walk_t))
        while not done:
            lock_acquire(&self.e.lock)
            done = engine_end_waits(self.e, OUTCOME_CLOSED, &walk, SLICE_BUCKETS)
            lock_release(&self.e.lock)
            if not done:
                self.e.slice_count += 1
                with nogil:
                    breathe()
        self.registry.owner = None
        try:
            thread_ring(self.registry)  # it ends
        finally:
            wake_all(self.e)
        return True

    def _fork_begin(self):
        """Before a fork without the GIL: nobody else is in the middle of a transition. False: closed."""
        if self.shut == SHUT_CLOSED or self.shut == SHUT_UNBUILT:
            return False
        if not HAS_GIL:  # else who forks has the GIL, and so nobody is
            lock_acquire(&self.e.lock)
        return True

    def _fork_end(self):
        """After a fork, on both sides."""
        if not HAS_GIL:
            lock_release(&self.e.lock)

    def _fork_missed(self):
        """In a child of a host that forks without Python's hooks, before the first verb."""
        self._forked()

    def _forked(self):
        """In a forked child: forget the waits of threads that are not here.

        A record that nobody waits for is only read: the child shares its memory with the parent.
        """
        cdef WorkQueue queue
        cdef list queues = []
        if self.shut == SHUT_UNBUILT:
            return
        lock_renew(&self.e.lock)
        if self.shut == SHUT_CLOSED:
            return
        self.registry.timer_ident = 0
        lock_renew(&self.own_queues.making)
        events_cut(self.e, 0, 0)  # the parent tells them
        self.thread_wake_ns = INT64_MIN if self.by_hand else NEVER_NS
        self.thread_state = THREAD_NONE
        self.registry.thread_signal = self.registry.thread_begun = None
        if self.e.waiting_count:
            queues = list(self.own_queues._by_name.values())
        for queue in queues:
            while queue.c.first_link != NULL:
                wait_leave(self.e, queue.c.first_link.wait)
        while self.e.adder_first != NULL:
            wait_leave(self.e, self.e.adder_first)
        if self.e.record_waits or self.e.ran:
            records_forget(self.e)
        while self.e.woken_first != NULL:
            self.forget_woken()
        if self.e.counting:
            self.recount()
        self.shut = SHUT_FORKED  # last: until then its other threads wait in _fork_missed

    cdef int forget_woken(self) except -1:
        """A hand-off to a thread that is not here is undone."""
        cdef wait_t *wait = self.e.woken_first
        cdef int64_t now_ns
        self.e.woken_first = wait.next
        if wait.next == NULL:
            self.e.woken_last = NULL
        if wait == &self.e.deferred:
            wait.next = NULL
            wait.outcome = OUTCOME_NONE
            return 0
        if wait.outcome == OUTCOME_LEASED:
            now_ns = verb_now(self)
            lock_acquire(&self.e.lock)
            lease_undo(self.e, wait, now_ns)
            lock_release(&self.e.lock)
        ref_drop(object_of(wait))
        return 0

    @property
    def _astray(self):
        """Foreign queues: jobs whose place there is to be seen to. None: the queues are native."""
        return self.registry.astray

    @property
    def queues(self):
        """The QueueController, or the object that was given in its place."""
        return self.own_queues if self.foreign_queues is None else self.foreign_queues

    @property
    def closed(self):
        """Whether close() was called."""
        return self.shut == SHUT_CLOSED

    # ------------------------------------------------------------ left over

    def wait_desert(self, waiter):
        """Nobody will ever come for what a wait comes to: whoever wakes callers abandons it."""
        if self.registry.deserted is None:
            self.registry.deserted = []
        self.registry.deserted.append((self, waiter))

    def _pull(self, name):
        """The next job of a foreign queue, or None. It is astray until its record, too, says leased."""
        job = self.foreign_queues.lease(name)
        if type(job) is Job:
            self.registry.astray.add(job)
        return job

    # ------------------------------------------------------------ queues by name

    cdef WorkQueue queue_named(self, str name):
        """The queue of a valid name, made on first use; some that are of no use make room."""
        if name not in self.by_name:
            self.queues_sweep()
        return queue_get(self.own_queues, name)

    cdef int queues_sweep(self) except -1:
        """Look at a few queues before one more is made, and free those that hold nothing. O(1).

        So there are never many more than twice as many as are of use. With the GIL only: without it
        another thread may be about to use what it has just found.
        """
        cdef queue_t *queue
        if not HAS_GIL or self.e.shadow != NULL or len(self.by_name) < QUEUES_KEPT:
            return 0
        for _ in range(QUEUES_SWEPT):
            queue = ring_remove(self.own_queues)
            if queue != NULL:
                self.queue_forget(<WorkQueue> <PyObject *> object_of(queue))
        return 0

    cdef int queue_forget(self, WorkQueue queue) except -1:
        """Let a queue go that stands in the ring no more: from the cache of names, then by its name."""
        cdef int i
        for i in range(NAMES_CACHED):
            if self.cache[i].name != NULL and self.cache[i].queue == &queue.c:
                ref_drop(self.cache[i].name)
                self.cache[i].name = NULL
        self.swept += 1
        del self.by_name[queue.name]
        return 0

    cdef int queues_make(
            self, entrant_t *entrants, Py_ssize_t count, int64_t now_ns) except -1:
        """Find or make the queues that a batch needs, but make them only if all of it will be taken."""
        cdef Job job
        cdef bint known = True
        cdef Py_ssize_t fits = count
        cdef Py_ssize_t i
        cdef status_t status
        cdef refusal_t why, why_full
        cdef bint alone
        cdef dict keys
        cdef set ids
        cdef list queues
        for i in range(count):
            entrants[i].record.queue = queue_of_job(self, entrants[i].record.job)
            if entrants[i].record.queue == NULL or not entrants[i].record.queue.named:
                known = False
        if known:
            return 0
        if self.e.bounded:
            lock_acquire(&self.e.lock)
            fits = entrants_fit(self.e, entrants, count)
            why_full = self.e.refusal
            lock_release(&self.e.lock)
        keys = {}
        ids = set()
        for i in range(count):
            job = job_object(entrants[i].record.job)
            lock_acquire(&self.e.lock)
            status = job_check_new(self.e, &job.c, False, False, now_ns)
            why = self.e.refusal
            lock_release(&self.e.lock)
            if status == OK and i == fits:
                status = QUEUE_FULL
                why = why_full
            alone = status == OK or status == QUEUE_FULL  # the others come before the room
            if alone and job in ids:
                status = DUPLICATE_JOB
            elif alone and job.c.flags & JOB_UNIQUE:
                key = (job.name, job.unique)
                first = keys.get(key)
                if first is None:
                    keys[key] = job
                else:
                    status = DUPLICATE_KEY
                    id_read(first, why.first)
            if status != OK:
                raise_refused_at(status, job, &why, i)
            ids.add(job)
        queues = []  # so that none is swept while the others are made
        for i in range(count):
            queue = self.queue_named(<str> <PyObject *> entrants[i].record.job.name)
            queues.append(queue)
            entrants[i].record.queue = &queue.c
        return 0

    cdef int links_make(self, Waiter waiter, object names) except -1:
        """A link for each queue that a leaser waits at; the queues are made if need be."""
        cdef list read
        cdef list queues = []
        cdef WorkQueue queue
        cdef Py_ssize_t i
        waiter.c.kind = WAIT_LEASE
        waiter.queues = queues
        if type(names) is str:
            queue = self.queue_named(name_read(names))
            queues.append(queue)
            waiter.c.links = &waiter.link
            waiter.link.queue = &queue.c
            return 1
        read = self.names_read(names)
        waiter.c.links = <wait_link_t *> PyMem_RawCalloc(<size_t> len(read), sizeof(wait_link_t))
        if waiter.c.links == NULL:
            raise MemoryError
        for i in range(len(read)):
            queue = self.queue_named(read[i])
            queues.append(queue)
            waiter.c.links[i].queue = &queue.c
        return <int> len(read)

    cdef queue_t *queue_look_up(self, object name, name_slot_t *slot) noexcept:
        cdef object queue = self.by_name.get(name)
        if queue is None:
            return NULL
        if HAS_GIL:
            if slot.name != NULL:
                ref_drop(slot.name)
            ref_take(<void *> name)
            slot.name = <void *> name
            slot.queue = &(<WorkQueue> queue).c
        return &(<WorkQueue> queue).c

    cdef queue_t *queue_known(self, object name) except? NULL:
        """The queue of a name, or NULL if there is none yet. Raises InvalidNameError."""
        cdef queue_t *queue = NULL
        cdef str valid
        if type(name) is str:
            queue = queue_of(self, <void *> name)
        if queue == NULL:
            valid = name_read(name)
            queue = queue_of(self, <void *> valid)
        return queue

    cdef list names_read(self, object names):
        """The distinct valid names of a lease, in their order. O(names)."""
        cdef list read
        if isinstance(names, str):
            return [name_read(names)]
        if isinstance(names, (bytes, bytearray)):
            _errors.raise_wrong_type(
                _errors.InvalidNameError, "names", "a str or a sequence of them", names)
        try:
            names = list(names)
        except MemoryError:
            raise
        except Exception:  # whatever a hostile object raises, it is no sequence
            _errors.raise_wrong_type(
                _errors.InvalidNameError, "names", "a str or a sequence of them", names)
        if len(<list> names) > NAMES_FEW:
            once = {}
            for name in <list> names:
                once[name_read(name)] = None
            return list(once)
        read = []
        for name in <list> names:
            name = name_read(name)
            if name not in read:
                read.append(name)
        if not read:
            raise _errors.InvalidNameError("names must hold at least one name, not none")
        return read

    cdef list queues_known(self, list names):
        cdef list found = []
        for name in names:
            queue = self.by_name.get(name)
            if queue is not None:
                found.append(queue)
        return found
