"""Engine: the verbs of a controller, each one crossing into native code.

A verb reads its arguments, takes the lock, runs a function of _state, lets the lock go, and then
wakes whoever must be woken and raises what must be raised. A status becomes an exception in one
place (raise_status). The Python subclass in controller.py adds what sleeps.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc

from jobqueue._job cimport (
    ID, Job, id_object, id_read, job_object, name_read, random_fill, result_read, time_object,
    timeout_read, ttl_read, ttr_read,
)
from jobqueue._queues cimport QueueController, WorkQueue, queue_attach, queue_get, queues_attach, queues_detach
from jobqueue._records cimport (
    Registry, RunRecord, Waiter, record_new, record_object, registry_now, report_unraisable, wake_all,
)
from jobqueue._skiplist cimport skiplist_at, skiplist_first, skiplist_len, skiplist_t
from jobqueue._state cimport (
    ALREADY_LEASED, ALREADY_PROCESSED, ANY_ATTEMPT, CLOSED, DUPLICATE_JOB, DUPLICATE_RESULT, EXPIRED,
    KIND_SCHEDULED, KIND_TTL, KIND_TTR, LEASE_EXPIRED, MAX_ATTEMPTS_REACHED, NO_MEMORY, NO_TIME, NOT_FOUND, OK,
    OUTCOME_CLOSED, OUTCOME_GONE, OUTCOME_LEASED, OUTCOME_NONE, OUTCOME_PROCESSED, OUTCOME_TIMEOUT,
    QUEUE_OUT_OF_SYNC, STATE_COMPLETED, STATE_LEASED, WAIT_LEASE, WAIT_RESULT, WAIT_RUN,
    answer_check, engine_due_ns, engine_end_waits, engine_fire, engine_reserve_queues, engine_t, engine_wake_ns, job_add, job_check_new,
    job_awake, job_complete, job_delete, job_expire, job_fail, job_lease, job_release, job_schedule,
    job_start, job_timeout, job_touch, job_unadd, kind_t, lease_undo, object_of, outcome_t,
    queue_offer, queue_t, record_processed, record_t, registry_find, status_t, 
    wait_end, wait_for_lease, wait_for_record, wait_forget, wait_lapse, wait_link_t, wait_t,
)
from jobqueue._types cimport (
    HAS_GIL, NEVER_NS, NS_PER_MS, clock_mono_ns, lock_acquire, lock_release, ref_drop, ref_take,
)
from jobqueue._wheel cimport wheel_arm, wheel_next_deadline

import weakref
from _thread import allocate_lock

from . import errors as _errors

cdef enum:
    NAMES_CACHED = 64             # a power of two
    STEP_NOTICED_MS = 1000        # a step of the wall clock reaches scheduled jobs within this time

cdef enum shut_t:
    SHUT_OPEN = 0
    SHUT_CLOSED = 1
    SHUT_FORKED = 2               # in a child, before its first call

cdef tuple STATUS_ERRORS = (
    None, MemoryError, _errors.NotFoundError, _errors.DuplicateJobError, _errors.DuplicateResultError,
    _errors.LeaseExpiredError, _errors.MaxAttemptsReachedError, _errors.AlreadyLeasedError,
    _errors.AlreadyProcessedError, _errors.QueueOutOfSyncError, _errors.InvalidTimeError,
    _errors.InvalidTimeError, _errors.ClosedError,
)
cdef tuple STATUS_TEXTS = (
    "", "no memory left for job {}", "no job {}", "job {} was added before",
    "job {} has its result already", "job {} is not leased under this attempt",
    "job {} has used up its attempts", "job {} is leased already", "job {} is processed already",
    "the queue refused job {}", "job {} would be expired before it begins: its ttl is over",
    "job {} cannot be scheduled: it has no time", "the controller is closed",
)


cdef object status_error(status_t status, object id):
    """The one table of status -> exception."""
    return STATUS_ERRORS[<int> status](STATUS_TEXTS[<int> status].format(id))


cdef int raise_status(status_t status, const uint8_t *id) except -1:
    raise status_error(status, id_object(id))


cdef int raise_status_at(status_t status, const uint8_t *id, Py_ssize_t index) except -1:
    error = status_error(status, id_object(id))
    raise at_index(error, index)


def _at_index(error, Py_ssize_t index):
    return at_index(error, index)


cdef object at_index(object error, Py_ssize_t index):
    """The same error, naming the item of a batch that is at fault."""
    made = type(error)(f"item {index}: {error}")
    made.index = index
    return made


cdef inline uint64_t attempt_read(object value) except? 12345:
    return ANY_ATTEMPT if value is None else attempt_read_other(value)


cdef uint64_t attempt_read_other(object value) except? 12345:
    """The number of an attempt to fence by. No attempt has a number below 1."""
    if type(value) is not int:
        raise TypeError(f"attempt must be an int or None, not {_errors.shown(value)}")
    if not 0 < value < 0xFFFFFFFFFFFFFFFF:
        return <uint64_t> 0xFFFFFFFFFFFFFFFF
    return value


cdef inline Job job_read(object value):
    if type(value) is not Job:
        raise TypeError(f"a Job is wanted, not {_errors.shown(value)}")
    return <Job> value


cdef Py_ssize_t count_read(object value, str what, Py_ssize_t low) except -1:
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, not {_errors.shown(value)}")
    if value < low:
        raise ValueError(f"{what} must be at least {low}, not {value}")
    return min(value, <Py_ssize_t> 0x7FFFFFFFFFFFFFFF)


cdef struct name_slot_t:          # a name, by the address of its str, whose queue is known
    void *name                    # owned
    queue_t *queue


cdef class Engine:
    """The non-blocking half of a Controller; see controller.py for the rest."""

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
    cdef uint8_t shut             # shut_t
    cdef object __weakref__
    cdef readonly bint by_hand    # time moves only when somebody advances the clock

    def __init__(self, registry=None, queues=None, *, clock=None, rng=None, result_ttl=None,
                 bint by_hand=False):
        if self.e != NULL:
            raise TypeError("a controller is built once")
        if registry is None:
            registry = Registry()
        elif type(registry) is not Registry:
            raise TypeError(f"registry must be a Registry, not {_errors.shown(registry)}")
        owner = (<Registry> registry).owner
        if owner is not None and owner() is not None:
            raise ValueError("the registry belongs to another controller that is still open")
        if type(queues) is QueueController and (<QueueController> queues).registry is not None:
            owner = (<QueueController> queues).registry.owner
            if owner is not None and owner() is not None:
                raise ValueError("the queues belong to another controller that is still open")
            queues_detach(<QueueController> queues)
        cdef int64_t result_ttl_ns = NEVER_NS
        if result_ttl is not None:
            result_ttl_ns = ttl_read(result_ttl, 0) * NS_PER_MS
        self.registry = registry
        self.registry.clock = clock
        self.registry.owner = weakref.ref(self)
        self.registry.offset_until_ns = INT64_MIN
        self.e = &self.registry.e
        self.e.result_ttl_ns = result_ttl_ns
        self.e.expire_hooked = self.e.timeout_hooked = False
        self.e.shadow = NULL
        self.rng = rng
        random_fill(<uint8_t *> &self.random_state, 8)
        self.random_state |= 1
        self.by_hand = by_hand
        self.thread_wake_ns = INT64_MIN if by_hand else NEVER_NS
        registry_now(self.registry)
        if queues is None or type(queues) is QueueController:
            self.own_queues = QueueController() if queues is None else queues
            self.by_name = self.own_queues._by_name
            queues_attach(self.own_queues, self.registry)
        else:
            self.foreign_queues = queues
            self.shadow_attach()

    def __dealloc__(self):
        cdef int i
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
        self.shadow = WorkQueue()
        if not engine_reserve_queues(self.e, 1):
            raise MemoryError
        queue_attach(self.shadow, self.registry)
        self.e.shadow = &self.shadow.c
        self.e.expire_hooked = self.e.timeout_hooked = True
        for record in self.registry:
            record.c.queue = &self.shadow.c
            queue_get(self.own_queues, record.job.name)
        return 0

    # ------------------------------------------------------------ time, timers, closing

    cdef inline int64_t now(self) except? -1:
        cdef int64_t now_ns
        if self.registry.clock is None:
            now_ns = clock_mono_ns()
            if now_ns < self.registry.offset_until_ns:
                return now_ns
        return registry_now(self.registry)

    cdef inline int enter(self) except -1:
        """What each verb does first, once its arguments are read."""
        if self.shut != SHUT_OPEN:
            self.enter_slow()
        return 0

    cdef int enter_slow(self) except -1:
        if self.shut == SHUT_CLOSED:
            raise _errors.ClosedError("the controller is closed")
        self.shut = SHUT_OPEN
        if self.e.wheel.count or self.e.due_count:
            self._poke()
        return 0

    cdef int lock_open(self) except -1:
        """Take the lock of an engine that is not closed: who waits must not come after the close."""
        lock_acquire(&self.e.lock)
        if self.shut == SHUT_CLOSED:
            lock_release(&self.e.lock)
            self.enter_slow()
        return 0

    cdef inline int leave(self, status_t status, const uint8_t *id) except -1:
        """What each verb does last, without the lock."""
        if self.e.woken_first != NULL or engine_wake_ns(self.e) < self.thread_wake_ns:
            self.leave_slow()
        if status != OK:
            raise_status(status, id)
        return 0

    cdef int leave_slow(self) except -1:
        wake_all(self.e)
        if engine_wake_ns(self.e) < self.thread_wake_ns:
            self._poke()
        return 0

    cdef int fire(self, int64_t now_ns) except -1:
        """Do all that is due."""
        cdef record_t *record
        cdef kind_t kind = KIND_TTR
        while True:
            lock_acquire(&self.e.lock)
            record = engine_fire(self.e, now_ns, &kind)
            lock_release(&self.e.lock)
            if self.e.woken_first != NULL:
                wake_all(self.e)
            if record == NULL:
                return 0
            held = record_object(record)
            ref_drop(<PyObject *> held)
            self.call_hook(held, kind)

    cdef int call_hook(self, RunRecord record, kind_t kind) except -1:
        hook = (self.expire_func() if kind == KIND_TTL else
                self.timeout_attempt_func() if kind == KIND_TTR else
                self._awake if kind == KIND_SCHEDULED else self._lapse_run)
        try:
            hook(id_object(record.c.job.tie.id))
        except Exception as error:
            report_unraisable(error, hook)
        return 0

    cdef inline int64_t fired_now(self) except? -1:
        """The time, with all that is due at it done."""
        cdef int64_t now_ns = self.now()
        if engine_wake_ns(self.e) <= now_ns:
            self.fire(now_ns)
            self.enter()  # a hook may have closed it
        return now_ns

    def _tick(self):
        """Do all that is due; ns until the next look, -1 if nothing is armed, None if it is closed."""
        cdef int64_t now_ns, wake_ns
        if self.shut == SHUT_CLOSED:
            return None
        now_ns = self.now()
        self.fire(now_ns)
        wake_ns = engine_wake_ns(self.e)
        if engine_due_ns(self.e) != NEVER_NS:
            wake_ns = min(wake_ns, now_ns + STEP_NOTICED_MS * NS_PER_MS)
        if not self.by_hand:
            self.thread_wake_ns = wake_ns
        return -1 if wake_ns == NEVER_NS else max(wake_ns - now_ns, 0)

    def next_deadline_ns(self):
        """Exact monotonic ns of the earliest deadline, or None. What a manual clock asks."""
        cdef int64_t earliest_ns
        self.now()  # the wall clock may have been stepped
        lock_acquire(&self.e.lock)
        earliest_ns = min(wheel_next_deadline(&self.e.wheel), engine_due_ns(self.e))
        lock_release(&self.e.lock)
        return None if self.shut == SHUT_CLOSED or earliest_ns == NEVER_NS else earliest_ns

    def fire_due(self):
        """Do all that is due now. What a manual clock calls."""
        if self.shut != SHUT_CLOSED:
            self.fire(self.now())

    def _poked(self, int64_t wake_ns):
        """Note that the timer thread has been told to look by then."""
        self.thread_wake_ns = wake_ns

    def _poke(self):
        """Make the timer thread look; the subclass has it."""

    def _shut(self):
        """Close: every blocked call ends with ClosedError. Returns False if it was closed before."""
        cdef WorkQueue queue
        if self.shut == SHUT_CLOSED:
            return False
        self.shut = SHUT_CLOSED
        lock_acquire(&self.e.lock)
        for queue in list(self.own_queues._by_name.values()):
            while queue.c.first_link != NULL:
                wait_end(self.e, queue.c.first_link.wait, OUTCOME_CLOSED)
        engine_end_waits(self.e, OUTCOME_CLOSED)
        lock_release(&self.e.lock)
        wake_all(self.e)
        self.registry.owner = None
        return True

    def _forked(self):
        """In a forked child: forget the waits of threads that are not here."""
        cdef WorkQueue queue
        cdef RunRecord record
        if self.shut == SHUT_CLOSED:
            return
        self.shut = SHUT_FORKED
        self.thread_wake_ns = INT64_MIN if self.by_hand else NEVER_NS
        for queue in list(self.own_queues._by_name.values()):
            while queue.c.first_link != NULL:
                wait_forget(self.e, queue.c.first_link.wait)
        for record in self.registry:
            while record.c.waits != NULL:
                wait_forget(self.e, record.c.waits)
            if record.c.is_run:
                job_delete(self.e, &record.c)
        while self.e.woken_first != NULL:
            self.forget_woken()

    cdef int forget_woken(self) except -1:
        """A hand-off to a thread that is not here is undone."""
        cdef wait_t *wait = self.e.woken_first
        self.e.woken_first = wait.next
        if wait.next == NULL:
            self.e.woken_last = NULL
        if wait.outcome == OUTCOME_LEASED:
            lease_undo(self.e, wait, self.now())
        ref_drop(object_of(wait))
        return 0

    @property
    def queues(self):
        """The QueueController, or the object that was given in its place."""
        return self.own_queues if self.foreign_queues is None else self.foreign_queues

    @property
    def closed(self):
        """Whether close() was called."""
        return self.shut == SHUT_CLOSED

    # ------------------------------------------------------------ adding

    cdef inline queue_t *queue_of(self, void *name) noexcept:
        """The queue of a name (a str), or NULL if there is none yet. O(1)."""
        cdef name_slot_t *slot = &self.cache[(<size_t> name >> 4) & (NAMES_CACHED - 1)]
        if slot.name == name:
            return slot.queue
        return self.queue_look_up(<object> <PyObject *> name, slot)

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

    cdef inline queue_t *queue_for(self, Job job) noexcept:
        """The queue that is to hold a job, or NULL if there is none of its name yet."""
        if self.e.shadow != NULL:
            return self.e.shadow
        return self.queue_of(job.c.name)

    cdef queue_t *queue_make(
            self, Job job, bint scheduled, bint is_run, int64_t now_ns) except NULL:
        """The queue of a new name, made only if the job will be taken: an error changes nothing."""
        cdef status_t status
        lock_acquire(&self.e.lock)
        status = job_check_new(self.e, &job.c, scheduled, is_run, now_ns)
        lock_release(&self.e.lock)
        if status != OK:
            raise_status(status, job.c.tie.id)
        return &queue_get(self.own_queues, <str> <PyObject *> job.c.name).c

    cdef int enqueue(self, object job, bint scheduled) except -1:
        cdef Job taken = job_read(job)
        cdef RunRecord record = record_new(taken)
        cdef record_t *c = &record.c
        cdef status_t status
        cdef int64_t now_ns
        self.enter()
        now_ns = self.now()
        c.queue = self.queue_for(taken)
        if c.queue == NULL:
            c.queue = self.queue_make(taken, scheduled, False, now_ns)
        lock_acquire(&self.e.lock)
        status = job_schedule(self.e, c, now_ns) if scheduled else job_add(self.e, c, now_ns)
        if status == OK and c.queue.first_link != NULL:
            queue_offer(self.e, c.queue, now_ns)
        lock_release(&self.e.lock)
        return self.leave(status, taken.c.tie.id)

    def add(self, job):
        """Take a job: NEW, in ready of its queue; handed on at once if somebody waits for it.

        Its TTL runs from ``created``, which is stamped now unless it was given. O(log n).

        Raises DuplicateJobError, InvalidTimeError (it would be expired already), ClosedError.

        >>> with Controller() as c:
        ...     c.add(Job("mail", b"hello"))
        ...     c.lease("mail", 0).payload
        b'hello'
        """
        self.enqueue(job, False)

    def schedule(self, job):
        """Take a job that becomes ready at ``job.time``; at once, if that is past. O(log n).

        Its TTL runs from ``job.time``. Raises as add, and InvalidTimeError if it has no time.
        """
        self.enqueue(job, True)

    def add_many(self, jobs):
        """Add jobs in one pass, all or none.

        Raises as add, the error naming the index (``error.index``); then nothing is applied.
        O(k log n).
        """
        cdef list taken = list(jobs)
        cdef list records = []
        cdef list stamps = []
        cdef Job job
        cdef RunRecord record
        cdef status_t status = OK
        cdef Py_ssize_t i
        cdef Py_ssize_t done = 0
        cdef int64_t now_ns
        for i in range(len(taken)):
            if type(taken[i]) is not Job:
                raise at_index(TypeError(f"a Job is wanted, not {_errors.shown(taken[i])}"), i)
        self.enter()
        now_ns = self.now()
        self.queues_make(taken, now_ns)
        for job in taken:
            record = record_new(job)
            record.c.queue = self.queue_for(job)
            records.append(record)
            stamps.append(job.c.tie.created_ns)
        lock_acquire(&self.e.lock)
        for record in records:
            status = job_add(self.e, &record.c, now_ns)
            if status != OK:
                break
            done += 1
        if status == OK:
            for record in records:
                if record.c.queue.first_link != NULL:
                    queue_offer(self.e, record.c.queue, now_ns)
        else:
            for i in range(done):
                job_unadd(self.e, &(<RunRecord> records[i]).c, stamps[i])
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        if status != OK:
            raise_status_at(status, (<Job> taken[done]).c.tie.id, done)

    cdef int queues_make(self, list jobs, int64_t now_ns) except -1:
        """Make the queues that a batch needs, but only if all of it will be taken."""
        cdef Job job
        cdef Py_ssize_t i
        cdef status_t status
        cdef set ids = set()
        for job in jobs:
            if self.queue_for(job) == NULL:
                break
        else:
            return 0
        for i, job in enumerate(jobs):
            status = job_check_new(self.e, &job.c, False, False, now_ns)
            if status == OK and job in ids:
                status = DUPLICATE_JOB
            if status != OK:
                raise_status_at(status, job.c.tie.id, i)
            ids.add(job)
        for job in jobs:
            if self.queue_for(job) == NULL:
                queue_get(self.own_queues, <str> <PyObject *> job.c.name)
        return 0

    # ------------------------------------------------------------ leasing

    cdef queue_t *queue_known(self, object name) except? NULL:
        """The queue of a name, or NULL if there is none yet. Raises InvalidNameError."""
        cdef queue_t *queue = NULL
        cdef str valid
        if type(name) is str:
            queue = self.queue_of(<void *> name)
        if queue == NULL:
            valid = name_read(name)
            queue = self.queue_of(<void *> valid)
        return queue

    cdef list names_read(self, object names):
        """The distinct valid names of a lease."""
        cdef list read = []
        if isinstance(names, str):
            return [name_read(names)]
        if isinstance(names, (bytes, bytearray)):
            _errors.raise_wrong_type(
                _errors.InvalidNameError, "names", "a str or a sequence of them", names)
        try:
            names = list(names)
        except Exception:  # whatever a hostile object raises, it is no sequence
            _errors.raise_wrong_type(
                _errors.InvalidNameError, "names", "a str or a sequence of them", names)
        for name in names:
            name = name_read(name)
            if name not in read:
                read.append(name)
        if not read:
            raise _errors.InvalidNameError("names must hold at least one name, not none")
        return read

    cdef inline record_t *take(
            self, queue_t *queue, int64_t now_ns, uint8_t *prior_state) noexcept:
        """Lease from one queue, or NULL."""
        cdef record_t *record = NULL
        if not queue.paused:
            lock_acquire(&self.e.lock)
            record = job_lease(self.e, queue, now_ns, prior_state)
            lock_release(&self.e.lock)
        return record

    cdef record_t *take_any(self, list queues, int64_t now_ns, uint8_t *prior_state) except? NULL:
        """Lease from one of the queues that have work, chosen uniformly at random."""
        cdef list stocked
        cdef WorkQueue queue
        cdef record_t *record
        while True:
            stocked = [queue for queue in queues if has_work(queue)]
            if not stocked:
                return NULL
            queue = stocked[self.choose(len(stocked))]
            record = self.take(&queue.c, now_ns, prior_state)
            if record != NULL:
                return record

    cdef Py_ssize_t choose(self, Py_ssize_t n) except -1:
        if n == 1:
            return 0
        if self.rng is not None:
            return self.rng.randrange(n)
        # xorshift64* (Vigna 2016); the high 32 bits times n, without division (Lemire 2019).
        self.random_state ^= self.random_state >> 12
        self.random_state ^= self.random_state << 25
        self.random_state ^= self.random_state >> 27
        return <Py_ssize_t> (
            ((self.random_state * <uint64_t> 0x2545F4914F6CDD1D) >> 32) * <uint64_t> n >> 32)

    def lease(self, names, timeout):
        """Take a job of one of ``names`` (a str, or a sequence): LEASED, one attempt more, TTR runs.

        timeout: ms or timedelta to wait for one, up to 24 h; 0 only looks. Names that have work are
        chosen uniformly at random. O(log n).

        Raises WaitTimeoutError, InvalidNameError, InvalidTimeoutError, ClosedError.

        >>> with Controller() as c:
        ...     c.lease(["mail", "sms"], 0)
        Traceback (most recent call last):
        jobqueue.errors.WaitTimeoutError: no job of 'mail', 'sms' within 0 ms
        """
        return self.lease_any(names, timeout, False)

    def _lease_attempt(self, names, timeout):
        """As lease, but (job, number of the attempt, monotonic ns of its deadline). For Attempt."""
        return self.lease_any(names, timeout, True)

    cdef object lease_any(self, object names, object timeout, bint detailed):
        cdef int64_t timeout_ms
        cdef int64_t now_ns
        cdef record_t *record = NULL
        cdef uint8_t prior_state = 0
        cdef queue_t *queue
        cdef object leased
        if type(names) is str:
            queue = self.queue_known(names)
            timeout_ms = timeout_read(timeout, "timeout")
            self.enter()
            now_ns = self.fired_now()
            if queue != NULL:
                record = self.take(queue, now_ns, &prior_state)
        else:
            names = self.names_read(names)
            timeout_ms = timeout_read(timeout, "timeout")
            self.enter()
            now_ns = self.fired_now()
            record = self.take_any(self.queues_known(names), now_ns, &prior_state)
        if record != NULL:
            leased = lease_object(record, record.attempts, detailed)
            self.leave(OK, NULL)
            return leased
        self.leave(OK, NULL)
        return self.lease_wait(names, timeout_ms, detailed)

    cdef object lease_wait(self, object names, int64_t timeout_ms, bint detailed):
        if timeout_ms == 0:
            raise lease_timeout(names, 0)
        signal = allocate_lock()
        signal.acquire()
        return self._wait(self._lease_begin(names, timeout_ms, signal.release, detailed),
                          signal, names, timeout_ms)

    cdef list queues_known(self, list names):
        return [queue for queue in [self.by_name.get(name) for name in names] if queue is not None]

    def lease_many(self, names, n, timeout):
        """Lease up to ``n`` jobs in one pass; waits, up to ``timeout``, only for the first.

        Returns a list of 1 to n Jobs. Raises as lease. O(n log m).
        """
        cdef list read = self.names_read(names)
        cdef Py_ssize_t most = count_read(n, "n", 1)
        cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
        self.enter()
        cdef list leased = self._take_many(read, most)
        if leased:
            return leased
        first = self.lease_wait(read, timeout_ms, False)
        if most > 1 and self.shut == SHUT_OPEN:
            return [first, *self._take_many(read, most - 1)]
        return [first]

    def _take_many(self, list names, Py_ssize_t most):
        """Lease up to so many jobs that are ready now."""
        cdef int64_t now_ns = self.fired_now()
        cdef list queues = self.queues_known(names)
        cdef list leased = []
        cdef record_t *record
        cdef uint8_t prior_state = 0
        while len(leased) < most:
            record = self.take_any(queues, now_ns, &prior_state)
            if record == NULL:
                break
            leased.append(job_object(record.job))
        self.leave(OK, NULL)
        return leased

    def start_attempt(self, id):
        """The second half of lease: out of its queue, LEASED, one attempt more, TTR runs. O(log n).

        Raises NotFoundError, AlreadyLeasedError, AlreadyProcessedError, and MaxAttemptsReachedError
        (the job is then FAILED, and its waiters wake).
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        self.enter()
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_start(self.e, record, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    # ------------------------------------------------------------ answering

    def complete(self, id, result=b"", *, attempt=None):
        """End a job that is not processed: COMPLETED, out of its queue, its waiters wake. O(log n).

        result: at most 1 048 576 bytes, kept until the TTL is over. attempt: only if the job is
        leased under this number (fencing).

        Raises NotFoundError, DuplicateResultError, LeaseExpiredError, InvalidResultError.

        >>> with Controller() as c:
        ...     job = Job("mail")
        ...     c.add(job)
        ...     c.complete(job, b"sent")
        ...     c.result(job, 0)
        RunResult(success=True, result=b'sent')
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        cdef int64_t now_ns = 0
        id_read(id, data)
        cdef bytes answer = result_read(result)
        cdef uint64_t fence = attempt_read(attempt)
        self.enter()
        if self.e.result_ttl_ns != NEVER_NS:
            now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_complete(self.e, record, <PyObject *> answer, fence, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    def fail(self, id, result=b"", *, attempt=None):
        """One failure more. PENDING and back in ready if fails < max_fails and attempts remain;
        else FAILED, as complete. O(log n). Raises as complete.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef bytes answer = result_read(result)
        cdef uint64_t fence = attempt_read(attempt)
        self.enter()
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_fail(self.e, record, <PyObject *> answer, fence, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    def complete_many(self, pairs):
        """Complete ``(id, result)`` pairs in one pass, all or none.

        Raises as complete, the error naming the index (``error.index``). O(k log n).
        """
        cdef list read = []
        cdef RunRecord record
        cdef record_t *found
        cdef uint8_t data[16]
        cdef status_t status = OK
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t k
        cdef int64_t now_ns
        for i, pair in enumerate(pairs):
            try:
                id, result = pair
                id_read(id, data)
                read.append((id_object(data), result_read(result)))
            except (_errors.ValidationError, TypeError, ValueError) as error:
                raise at_index(error, i) from None
        self.enter()
        now_ns = self.now()
        records = []
        lock_acquire(&self.e.lock)
        for i in range(len(read)):
            found = registry_find(self.e, (<ID> read[i][0]).data)
            status = NOT_FOUND if found == NULL else answer_check(found, ANY_ATTEMPT)
            if status == OK and found.marked:
                status = DUPLICATE_RESULT
            if status != OK:
                break
            found.marked = True
            records.append(record_object(found))
        for k in range(len(records)):
            record = records[k]
            record.c.marked = False
            if status == OK:
                job_complete(self.e, &record.c, <PyObject *> read[k][1], ANY_ATTEMPT, now_ns)
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        if status != OK:
            raise_status_at(status, (<ID> read[i][0]).data, i)

    def touch(self, id, ttr=None, *, attempt=None):
        """Start the TTR of a leased job again: its own, or ``ttr`` (ms or timedelta). O(1).

        Raises NotFoundError, LeaseExpiredError (not leased, or not under this attempt).
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef int64_t ttr_ms = -1 if ttr is None else ttr_read(ttr)
        cdef uint64_t fence = attempt_read(attempt)
        self.enter()
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_touch(self.e, record, ttr_ms, fence, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    def release(self, id, delay=0, *, attempt=None):
        """Give a leased job back: PENDING in ready, or scheduled after ``delay`` ms. O(log n).

        Raises NotFoundError, LeaseExpiredError, InvalidTimeoutError.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        cdef int64_t delay_ms = timeout_read(delay, "delay")
        cdef uint64_t fence = attempt_read(attempt)
        self.enter()
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_release(self.e, record, delay_ms, fence, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    # ------------------------------------------------------------ ending

    def delete(self, id):
        """Forget a job, whatever its state; its waiters get NotFoundError. O(log n).

        Raises NotFoundError.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        self.enter()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            job_delete(self.e, record)
        lock_release(&self.e.lock)
        self.leave(NOT_FOUND if record == NULL else OK, data)

    def delete_many(self, ids):
        """Forget jobs in one pass; returns how many there were. Unknown ids are passed over."""
        cdef uint8_t data[16]
        cdef record_t *record
        cdef Py_ssize_t i, deleted = 0
        read = []
        for i, id in enumerate(ids):
            try:
                id_read(id, data)
            except _errors.ValidationError as error:
                raise at_index(error, i) from None
            read.append(id_object(data))
        self.enter()
        lock_acquire(&self.e.lock)
        for i in range(len(read)):
            record = registry_find(self.e, (<ID> read[i]).data)
            if record != NULL:
                job_delete(self.e, record)
                deleted += 1
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        return deleted

    def expire(self, id):
        """What the TTL timer does: the job is gone; unprocessed, it counts as evicted. O(log n).

        Nothing happens if the id is unknown.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        self.enter()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            job_expire(self.e, record)
        lock_release(&self.e.lock)
        self.leave(OK, data)

    def timeout_attempt(self, id):
        """What the TTR timer does: PENDING and back in ready at its old place while attempts
        remain, else FAILED with b"". O(log n). Nothing happens unless the job is leased.
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef status_t status = OK
        id_read(id, data)
        self.enter()
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            status = job_timeout(self.e, record, now_ns)
        lock_release(&self.e.lock)
        self.leave(status, data)

    def handle_expire(self, f):
        """Replace the function that TTL timers call: ``f(id)``. None puts expire back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        self.expire_hook = f
        self.e.expire_hooked = f is not None or self.e.shadow != NULL

    def expire_func(self):
        """The function that TTL timers call; ``expire`` unless it was replaced."""
        return self.expire if self.expire_hook is None else self.expire_hook

    def handle_timeout_attempt(self, f):
        """Replace the function that TTR timers call: ``f(id)``. None puts timeout_attempt back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        self.timeout_hook = f
        self.e.timeout_hooked = f is not None or self.e.shadow != NULL

    def timeout_attempt_func(self):
        """The function that TTR timers call; ``timeout_attempt`` unless it was replaced."""
        return self.timeout_attempt if self.timeout_hook is None else self.timeout_hook

    # ------------------------------------------------------------ for foreign queues (_general.py)

    def _lease_arguments(self, names, timeout):
        """(distinct names, ms) of a lease. Raises as lease."""
        cdef list read = self.names_read(names)
        timeout_ms = timeout_read(timeout, "timeout")
        self.enter()
        return read, timeout_ms

    def _check_count(self, n):
        count_read(n, "n", 1)

    def _awake(self, id):
        """A scheduled job is due."""
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        cdef int64_t now_ns = self.now()
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        if record != NULL:
            job_awake(self.e, record, now_ns)
        lock_release(&self.e.lock)

    def _lapse_run(self, id):
        """The time-out of a run is over."""
        cdef uint8_t data[16]
        cdef record_t *record
        cdef wait_t *wait
        id_read(id, data)
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, data)
        wait = NULL if record == NULL else record.waits
        while wait != NULL and wait.kind != WAIT_RUN:
            wait = wait.next
        if wait != NULL:
            wait_lapse(self.e, wait)
        lock_release(&self.e.lock)
        wake_all(self.e)

    def _unadd(self, Job job not None, int64_t created_ns):
        """Take back an add that the foreign queue refused."""
        cdef record_t *record
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, job.c.tie.id)
        if record != NULL:
            job_unadd(self.e, record, created_ns)
        lock_release(&self.e.lock)

    def _note_name(self, str name):
        """Keep a name for names()."""
        queue_get(self.own_queues, name)

    def _waited_for(self, str name):
        """Whether a leaser is in line for a queue that gives."""
        cdef WorkQueue queue = self.by_name.get(name)
        return queue is not None and queue.c.first_link != NULL and not queue.c.paused

    def _paused(self, str name):
        cdef WorkQueue queue = self.by_name.get(name)
        return queue is not None and queue.c.paused

    def _hand(self, str name, Job job not None):
        """Lease a job to the first in line. False if it cannot be leased."""
        cdef WorkQueue queue = self.by_name[name]
        cdef int64_t now_ns = self.now()
        cdef record_t *record
        cdef wait_t *wait
        cdef bint handed = False
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, job.c.tie.id)
        if record != NULL and queue.c.first_link != NULL:
            wait = queue.c.first_link.wait
            wait.prior_state = record.state
            if job_start(self.e, record, now_ns) == OK:
                handed = True
                ref_take(object_of(record))
                wait.record = record
                wait.attempt = record.attempts
                wait_end(self.e, wait, OUTCOME_LEASED)
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        return handed

    # ------------------------------------------------------------ looking

    def peek(self, name):
        """The job that would be leased next from a queue, or None. O(1)."""
        found = self.jobs(name, 0, 1)
        return found[0] if found else None

    def jobs(self, name, offset=0, limit=None):
        """Ready jobs of a queue in order: ``limit`` of them (None: all) from ``offset``.

        O(log n) to reach the offset, and for each job.
        """
        return self.look(name, offset, limit, False)

    def scheduled_jobs(self, name, offset=0, limit=None):
        """Scheduled jobs of a queue in order of their times. As jobs."""
        return self.look(name, offset, limit, True)

    cdef list look(self, object name, object offset, object limit, bint scheduled):
        cdef queue_t *queue = self.queue_known(name)
        cdef Py_ssize_t i = count_read(offset, "offset", 0)
        cdef Py_ssize_t most = -1 if limit is None else count_read(limit, "limit", 0)
        cdef list found = []
        cdef skiplist_t *skiplist
        cdef record_t *record
        self.enter()
        self.fired_now()
        if queue == NULL:
            return found
        skiplist = &queue.scheduled if scheduled else &queue.ready
        lock_acquire(&self.e.lock)
        if most < 0 or most > skiplist_len(skiplist) - i:
            most = skiplist_len(skiplist) - i
        while len(found) < most:
            record = <record_t *> skiplist_at(skiplist, i)
            found.append(job_object(record.job))
            i += 1
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        return found

    def names(self):
        """The names of all queues, sorted. O(queues log queues)."""
        self.enter()
        self.fired_now()
        self.leave(OK, NULL)
        return sorted(self.by_name)

    def pause(self, name):
        """Let a queue accept jobs and give none. O(1)."""
        cdef str valid = name_read(name)
        self.enter()
        queue_get(self.own_queues, valid).c.paused = True

    def resume(self, name):
        """Let a paused queue give jobs again: first to those who wait, longest first."""
        cdef str valid = name_read(name)
        self.enter()
        cdef int64_t now_ns = self.fired_now()
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        lock_acquire(&self.e.lock)
        queue.c.paused = False
        queue_offer(self.e, &queue.c, now_ns)
        lock_release(&self.e.lock)
        self.leave(OK, NULL)

    def _stats(self):
        cdef Py_ssize_t ready = 0
        cdef Py_ssize_t scheduled = 0
        cdef WorkQueue queue
        self.enter()
        self.fired_now()
        self.leave(OK, NULL)
        for queue in list(self.own_queues._by_name.values()):
            ready += skiplist_len(&queue.c.ready)
            scheduled += skiplist_len(&queue.c.scheduled)
        return (self.e.evicted_count, self.e.added_count, self.e.leased_count,
                self.e.completed_count, self.e.failed_count, self.e.timed_out_count, ready, scheduled,
                self.e.running_count, self.e.waiting_count, self.e.count)

    def _lease_deadline_ns(self, Job job not None):
        """Monotonic ns at which the lease of a job ends, or None if it is not leased."""
        cdef record_t *record
        cdef int64_t deadline_ns = NEVER_NS
        lock_acquire(&self.e.lock)
        record = registry_find(self.e, job.c.tie.id)
        if record != NULL and record.state == STATE_LEASED:
            deadline_ns = record.ttr.deadline_ns
        lock_release(&self.e.lock)
        return None if deadline_ns == NEVER_NS else deadline_ns

    def _deadline(self, int64_t deadline_ns):
        """The wall time of a monotonic deadline."""
        return time_object(deadline_ns + self.e.wall_offset_ns)

    def _check(self):
        """Raise AssertionError if an invariant of any structure is broken. O(n log n)."""
        self.registry._check()
        for queue in self.own_queues._by_name.values():
            queue._check()

    # ------------------------------------------------------------ waiting: begin, end, give up

    def _wait(self, Waiter waiter not None, signal, what, int64_t timeout_ms):
        """Block the calling thread until a wait ends; ``signal`` is the lock that its wake releases.

        No bytecode of ours runs between the end of the sleep and the return, so an exception of a
        signal handler strikes where it is caught, and nothing is lost.
        """
        try:
            self._sleep(waiter, signal, timeout_ms)
            PyErr_CheckSignals()
            return self._finish(waiter, what, timeout_ms)
        except BaseException:
            self._abandon(waiter)
            raise

    def _sleep(self, waiter, signal, timeout_ms):
        """Sleep until the wait ends; the subclass has it."""
        raise NotImplementedError

    def _lease_begin(self, names, int64_t timeout_ms, wake, bint detailed=False):
        """Stand in line for a job. Returns a Waiter, whose ``wake`` is called when its wait ends.

        Who waits calls _finish when woken, or _lapse when the time is over (then it may still be
        pending, if it is a run), and _abandon if it leaves by an exception.
        """
        cdef list queues = [queue_get(self.own_queues, name) for name in self.names_read(names)]
        cdef Waiter waiter = Waiter(self.registry, wake, detailed)
        cdef WorkQueue queue
        cdef int i
        cdef int64_t now_ns
        waiter.c.kind = WAIT_LEASE
        waiter.c.links = <wait_link_t *> calloc(len(queues), sizeof(wait_link_t))
        if waiter.c.links == NULL:
            raise MemoryError
        for i, queue in enumerate(queues):
            waiter.c.links[i].queue = &queue.c
        waiter.c.link_count = <int> len(queues)
        now_ns = self.fired_now()
        self.lock_open()
        wait_for_lease(self.e, &waiter.c)
        if self.by_hand:
            wheel_arm(&self.e.wheel, &waiter.c.timer, now_ns + timeout_ms * NS_PER_MS)
        for i in range(waiter.c.link_count):  # a job may have come since the look before
            if waiter.c.outcome == OUTCOME_NONE:
                queue_offer(self.e, waiter.c.links[i].queue, now_ns)
        lock_release(&self.e.lock)
        self.leave(OK, NULL)
        return waiter

    def _result(self, id, timeout):
        """(success, result) of a job, waiting for it."""
        signal = allocate_lock()
        signal.acquire()
        begun = self._result_begin(id, timeout, signal.release)
        if type(begun) is tuple:
            return begun
        return self._wait(begun, signal, None, timeout_read(timeout, "timeout"))

    def _run(self, job, timeout):
        """(success, result) of a run job."""
        signal = allocate_lock()
        signal.acquire()
        return self._wait(self._run_begin(job, timeout, signal.release), signal, None,
                          timeout_read(timeout, "timeout"))

    def _result_begin(self, id, timeout, wake):
        """(success, result) if the job is processed, else a Waiter for that."""
        cdef uint8_t data[16]
        cdef record_t *record
        cdef Waiter waiter
        cdef int64_t now_ns
        id_read(id, data)
        cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
        self.enter()
        now_ns = self.fired_now()
        waiter = Waiter(self.registry, wake)
        waiter.c.kind = WAIT_RESULT
        self.lock_open()
        record = registry_find(self.e, data)
        answer = None
        if record != NULL:
            if record_processed(record):
                answer = record_answer(record)
            elif timeout_ms > 0:
                wait_for_record(self.e, &waiter.c, record)
                if self.by_hand:
                    wheel_arm(&self.e.wheel, &waiter.c.timer, now_ns + timeout_ms * NS_PER_MS)
        lock_release(&self.e.lock)
        self.leave(NOT_FOUND if record == NULL else OK, data)
        if answer is None and timeout_ms == 0:
            raise _errors.WaitTimeoutError(f"job {id_object(data)} has no result within 0 ms")
        return waiter if answer is None else answer

    def _run_begin(self, job, timeout, wake, bint lapse=True):
        """Add a run job; returns the Waiter for its end. lapse: end it at once if timeout is 0."""
        cdef Job taken = job_read(job)
        cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
        cdef RunRecord record = record_new(taken)
        cdef Waiter waiter = Waiter(self.registry, wake)
        cdef record_t *c = &record.c
        cdef status_t status
        cdef int64_t now_ns
        waiter.c.kind = WAIT_RUN
        c.is_run = True
        self.enter()
        now_ns = self.fired_now()
        c.queue = self.queue_for(taken)
        if c.queue == NULL:
            c.queue = self.queue_make(taken, False, True, now_ns)
        self.lock_open()
        status = job_add(self.e, c, now_ns)
        if status == OK:
            wait_for_record(self.e, &waiter.c, c)
            if self.by_hand and timeout_ms > 0:
                wheel_arm(&self.e.wheel, &waiter.c.timer, now_ns + timeout_ms * NS_PER_MS)
            queue_offer(self.e, c.queue, now_ns)
            if timeout_ms == 0 and lapse:
                wait_lapse(self.e, &waiter.c)
        lock_release(&self.e.lock)
        try:
            self.leave(status, taken.c.tie.id)
        except BaseException:
            if status == OK:
                self._abandon(waiter)
            raise
        return waiter

    def _lapse(self, Waiter waiter not None):
        """The time of a wait is over. A run whose job is leased stays pending until its TTR."""
        lock_acquire(&self.e.lock)
        wait_lapse(self.e, &waiter.c)
        lock_release(&self.e.lock)
        wake_all(self.e)

    def _abandon(self, Waiter waiter not None):
        """Its caller leaves by an exception: a job it was handed goes back, a run job is gone.

        Returns the Job that went back, or None.
        """
        cdef wait_t *wait = &waiter.c
        cdef int64_t now_ns = self.now()
        cdef object back = None
        lock_acquire(&self.e.lock)
        wait_forget(self.e, wait)
        if wait.outcome == OUTCOME_LEASED:
            if lease_undo(self.e, wait, now_ns):
                back = job_object(wait.record.job)
        if wait.kind == WAIT_RUN and wait.record.home == self.e:
            job_delete(self.e, wait.record)
        lock_release(&self.e.lock)
        wake_all(self.e)
        return back

    def _finish(self, Waiter waiter not None, what, timeout):
        """What a wait came to: the Job (lease), (success, result) (result, run), or its error."""
        cdef wait_t *wait = &waiter.c
        cdef outcome_t outcome = <outcome_t> wait.outcome
        if outcome == OUTCOME_LEASED:
            return lease_object(wait.record, wait.attempt, waiter.detailed)
        if outcome == OUTCOME_PROCESSED:
            answer = record_answer(wait.record)
            if wait.kind == WAIT_RUN:
                self._abandon(waiter)
            return answer
        if wait.kind == WAIT_RUN:
            self._abandon(waiter)
        if outcome == OUTCOME_CLOSED:
            raise _errors.ClosedError("the controller was closed during the call")
        if outcome == OUTCOME_GONE:
            raise _errors.NotFoundError(f"job {id_object(wait.record.job.tie.id)} is gone")
        if wait.kind == WAIT_LEASE:
            raise lease_timeout(what, timeout)
        raise _errors.WaitTimeoutError(
            f"job {id_object(wait.record.job.tie.id)} has no result within {timeout} ms"
            + (" nor within the TTR of its lease" if wait.lapsed else ""))


cdef bint has_work(WorkQueue queue) noexcept:
    return not queue.c.paused and skiplist_len(&queue.c.ready) > 0


cdef tuple record_answer(record_t *record):
    result = b"" if record.result == NULL else <object> <PyObject *> record.result
    return record.state == STATE_COMPLETED, result


cdef object lease_object(record_t *record, uint64_t attempt, bint detailed):
    cdef object job = job_object(record.job)
    return (job, attempt, record.ttr.deadline_ns) if detailed else job


cdef object lease_timeout(object names, object timeout):
    if isinstance(names, str):
        names = [names]
    return _errors.WaitTimeoutError(
        f"no job of {', '.join([repr(name) for name in names])} within {timeout} ms")
