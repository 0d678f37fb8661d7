"""What waits are made of: begin, sleep, finish, abandon, time out.

A thread sleeps here, in wait_sleep; others begin and finish waits and sleep in their own way.

Invariant: a wait that was begun is finished or abandoned once, whatever strikes its caller.
Locking: each function takes the lock of the engine itself, and never sleeps with it.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from jobqueue._structures.platform cimport lock_acquire, lock_release, ref_take
from jobqueue._structures.times cimport NS_PER_MS, ns_add
from jobqueue._structures.wheel cimport wheel_arm
from jobqueue._machine.types cimport (
    NOT_FOUND, OK, OUTCOME_ADDED, OUTCOME_CLOSED, OUTCOME_GONE, OUTCOME_LEASED, OUTCOME_NONE,
    OUTCOME_PROCESSED, OUTCOME_REFUSED, OUTCOME_TIMEOUT, QUEUE_FULL, STATE_COMPLETED, STATE_NEW, WAIT_ADD,
    WAIT_LEASE, WAIT_RESULT, WAIT_RUN, engine_t, outcome_t, record_t, refusal_t, status_t, wait_t,
)
from jobqueue._machine.layout cimport object_of, record_processed
from jobqueue._machine.state cimport (
    registry_find, wait_end, wait_for_lease, wait_for_record, wait_for_capacity, wait_forget,
)
from jobqueue._machine.life cimport (
    job_add, job_delete, job_schedule, job_start, job_unadd, lease_undo, queue_offer, record_lapse,
    wait_lapse,
)
from jobqueue._objects.rules cimport timeout_read
from jobqueue._objects.job cimport Job, id_object, id_read, ids_expect, job_object
from jobqueue._objects.registry cimport (
    RunRecord, Waiter, record_new, waiter_new, waiter_sleep, wake_all,
)
from jobqueue._objects.queues cimport WorkQueue
from jobqueue._engine.status cimport raise_refused
from jobqueue._engine.base cimport (
    EngineBase, queue_for, record_find, verb_change, verb_enter, verb_fired_near, verb_fired_now,
    verb_leave, verb_now,
)
from jobqueue._engine.batches cimport ADD_NOTED, job_read, queue_check_new, queue_for_new
from jobqueue._engine.leasing cimport lease_object, lease_timeout

from .. import errors as _errors
from .._values import RunResult

cdef object TUPLE_NEW = tuple.__new__  # of a named tuple, without its own constructor

cdef object wait_sleep(EngineBase self, Waiter waiter, object what, int64_t timeout_ms):
    """Block the calling thread until a wait ends, and return what it came to.

    No bytecode of ours runs between the end of the sleep and the return, so an exception of a
    signal handler strikes where it is caught, and nothing is lost.
    """
    try:
        if not waiter_sleep(waiter, -1 if self.by_hand else timeout_ms):
            self.wait_lapse(waiter)
            if waiter.c.outcome == OUTCOME_NONE:  # a run whose job is leased
                waiter_sleep(waiter, -1)
        if self.e.unsettled:
            self._note_settle()
        PyErr_CheckSignals()
        return finish(self, waiter, what, timeout_ms)
    except BaseException:
        self.wait_abandon(waiter)
        raise


cdef bint times_out(EngineBase self, object wake):
    """Whether the engine itself ends a wait in time: unless a thread sleeps that long."""
    return self.by_hand or wake is not None


cdef Waiter lease_begin(
        EngineBase self, object names, int64_t timeout_ms, object wake, bint detailed):
    """Stand in line for a job."""
    cdef Waiter waiter = waiter_new(self.registry, wake, detailed)
    cdef int count = self.links_make(waiter, names)
    cdef int i
    cdef int64_t now_ns = verb_fired_now(self)
    self.lock_open()
    waiter.c.link_count = count
    wait_for_lease(self.e, &waiter.c)
    if times_out(self, wake):
        wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
    for i in range(count):  # a job may have come since the look before
        if waiter.c.outcome == OUTCOME_NONE:
            queue_offer(self.e, waiter.c.links[i].queue, now_ns)
    lock_release(&self.e.lock)
    verb_leave(self, OK, NULL)
    return waiter


cdef Waiter add_begin(EngineBase self, object job, object wait, object wake, bint scheduled):
    """Add a job, or stand in line: None if it was added, else a Waiter.

    While a journal is kept nobody waits: the free bytes for what is noted of a job must be there before
    the verb begins.
    """
    cdef Job taken = job_read(job)
    cdef int64_t wait_ms = timeout_read(wait, "wait")
    cdef RunRecord record = record_new(taken)
    cdef record_t *c = &record.c
    cdef Waiter waiter = waiter_new(self.registry, wake, False)
    cdef status_t status
    cdef refusal_t why
    cdef int64_t now_ns
    verb_change(self, taken.c.payload_size + ADD_NOTED)
    ids_expect(&self.e.ids)
    now_ns = verb_fired_now(self) if wait_ms > 0 else verb_now(self)
    c.queue = queue_for(self, taken)
    if c.queue == NULL:
        queue_check_new(self, taken, scheduled, wait_ms, now_ns)
        c.queue = &self.queue_named(taken.name).c
    waiter.queues = <object> <PyObject *> object_of(c.queue)
    self.lock_open()
    status = job_schedule(self.e, c, now_ns) if scheduled else job_add(self.e, c, now_ns)
    why = self.e.refusal
    if status == OK:
        queue_offer(self.e, c.queue, now_ns)
    elif status == QUEUE_FULL and wait_ms > 0 and not why.never and self.e.note == NULL:
        ref_take(<PyObject *> record)
        waiter.c.kind = WAIT_ADD
        waiter.c.record = c
        waiter.c.scheduled = scheduled
        waiter.c.refusal = why
        wait_for_capacity(self.e, &waiter.c)
        if times_out(self, wake):
            wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, wait_ms * NS_PER_MS))
    lock_release(&self.e.lock)
    verb_leave(self, OK, NULL)
    if waiter.c.kind == WAIT_ADD:
        return waiter
    if status != OK:
        raise_refused(status, taken, &why)
    return None


cdef object result_begin(EngineBase self, object id, object timeout, object wake):
    """A RunResult if the job is processed, else a Waiter for that."""
    cdef uint8_t data[16]
    cdef record_t *record
    cdef Waiter waiter
    cdef object result
    cdef bint success = False
    cdef int64_t now_ns
    id_read(id, data)
    cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
    verb_enter(self)
    now_ns = verb_fired_near(self)
    waiter = waiter_new(self.registry, wake, False)
    waiter.c.kind = WAIT_RESULT
    self.lock_open()
    record = record_find(self, id, data)
    if self.e.lagging and record_lapse(self.e, record, now_ns):
        record = NULL
    result = None
    if record != NULL:
        if record_processed(record):
            result = record_result(record)
            success = record.state == STATE_COMPLETED
        elif timeout_ms > 0:
            wait_for_record(self.e, &waiter.c, record)
            if times_out(self, wake):
                wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
    lock_release(&self.e.lock)
    verb_leave(self, NOT_FOUND if record == NULL else OK, data)
    if result is not None:
        return TUPLE_NEW(RunResult, (success, result))
    if timeout_ms == 0:
        raise _errors.WaitTimeoutError(f"job {id_object(data)} has no result within 0 ms")
    return waiter


cdef Waiter run_begin(EngineBase self, object job, object timeout, object wake, bint lapse):
    """Add a run job; returns the Waiter for its end. lapse: end it at once if timeout is 0."""
    cdef Job taken = job_read(job)
    cdef int64_t timeout_ms = timeout_read(timeout, "timeout")
    cdef RunRecord record = record_new(taken)
    cdef Waiter waiter = waiter_new(self.registry, wake, False)
    cdef record_t *c = &record.c
    cdef status_t status
    cdef refusal_t why
    cdef int64_t now_ns
    waiter.c.kind = WAIT_RUN
    c.is_run = True
    verb_change(self, 0)
    now_ns = verb_fired_now(self)
    c.queue = queue_for(self, taken)
    if c.queue == NULL:
        c.queue = queue_for_new(self, taken, False, True, now_ns)
    waiter.queues = <object> <PyObject *> object_of(c.queue)
    self.lock_open()
    status = job_add(self.e, c, now_ns)
    why = self.e.refusal
    if status == OK:
        wait_for_record(self.e, &waiter.c, c)
        if timeout_ms > 0 and times_out(self, wake):
            wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
        queue_offer(self.e, c.queue, now_ns)
        if timeout_ms == 0 and lapse:
            wait_lapse(self.e, &waiter.c)
    lock_release(&self.e.lock)
    try:
        verb_leave(self, OK, NULL)
    except BaseException:
        if status == OK:
            self.wait_abandon(waiter)
        raise
    if status != OK:
        raise_refused(status, taken, &why)
    return waiter


cdef int wait_time_out(EngineBase self, Waiter waiter) except -1:
    """The time of a wait is over. A run whose job is leased stays pending until its TTR."""
    waiter_check(self, waiter)
    lock_acquire(&self.e.lock)
    wait_lapse(self.e, &waiter.c)
    lock_release(&self.e.lock)
    wake_all(self.e)
    return 0


cdef object abandon(EngineBase self, Waiter waiter, int64_t now_ns):
    """Leave a wait; returns the job that goes back by that, or None."""
    cdef wait_t *wait = &waiter.c
    waiter_check(self, waiter)
    cdef object back = None
    lock_acquire(&self.e.lock)
    wait_forget(self.e, wait)
    if wait.outcome == OUTCOME_LEASED:
        if lease_undo(self.e, wait, now_ns):
            back = job_object(wait.record.job)
            wait.outcome = OUTCOME_TIMEOUT  # left once more, it undoes no lease of another
    if wait.outcome == OUTCOME_ADDED and untouched(self.e, wait.record):
        job_unadd(self.e, wait.record, wait.record.job.tie.created_ns)
    if wait.kind == WAIT_RUN and wait.record.home == self.e:
        job_delete(self.e, wait.record)
    waiter.settled = True
    lock_release(&self.e.lock)
    if self.registry.astray is not None and wait.record != NULL and wait.kind != WAIT_RESULT:
        self.registry.astray.add(job_object(wait.record.job))
    wake_all(self.e)
    return back


cdef object finish(EngineBase self, Waiter waiter, object what, object timeout):
    """What a wait came to, or its error."""
    cdef wait_t *wait = &waiter.c
    cdef outcome_t outcome = <outcome_t> wait.outcome
    cdef int64_t deadline_ns
    cdef object result
    cdef bint success
    if outcome == OUTCOME_LEASED:
        lock_acquire(&self.e.lock)
        deadline_ns = wait.record.ttr.deadline_ns
        lock_release(&self.e.lock)
        result = lease_object(wait.record, wait.attempt, deadline_ns, waiter.detailed)
        waiter.settled = True
        return result
    if outcome == OUTCOME_PROCESSED:
        lock_acquire(&self.e.lock)
        result = record_result(wait.record)
        success = wait.record.state == STATE_COMPLETED
        lock_release(&self.e.lock)
        if wait.kind == WAIT_RUN:
            self.wait_abandon(waiter)
        return TUPLE_NEW(RunResult, (success, result))
    if wait.kind == WAIT_RUN:
        self.wait_abandon(waiter)
    if outcome == OUTCOME_ADDED:
        return None
    if outcome == OUTCOME_REFUSED or (wait.kind == WAIT_ADD and outcome == OUTCOME_TIMEOUT):
        raise_refused(
            <status_t> wait.status if outcome == OUTCOME_REFUSED else QUEUE_FULL,
            job_object(wait.record.job), &wait.refusal)
    if outcome == OUTCOME_CLOSED:
        raise _errors.ClosedError("the controller was closed during the call")
    if outcome == OUTCOME_GONE:
        raise _errors.NotFoundError(f"job {id_object(wait.record.job.tie.id)} is gone")
    if wait.kind == WAIT_LEASE:
        raise lease_timeout(what, timeout)
    raise _errors.WaitTimeoutError(
        f"job {id_object(wait.record.job.tie.id)} has no result within {timeout} ms"
        + (" nor within the TTR of its lease" if wait.lapsed else ""))


cdef int lapse_run(EngineBase self, object id) except -1:
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
    return 0


cdef bint hand(EngineBase self, str name, Job job) except -1:
    """Lease a job to the first in line. False if it cannot be leased."""
    cdef WorkQueue queue = self.by_name[name]
    cdef int64_t now_ns = verb_now(self)
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
    verb_leave(self, OK, NULL)
    return handed


cdef int waiter_check(EngineBase self, Waiter waiter) except -1:
    """Only what this engine began can be waited for, ended or left."""
    if waiter.registry is not self.registry:
        raise TypeError("the Waiter was not made by this controller")
    return 0


cdef bint untouched(const engine_t *engine, const record_t *record) noexcept:
    """Whether a job that was added has met nobody yet."""
    return record.home == engine and record.state == STATE_NEW and record.fails == 0


cdef object record_result(record_t *record):
    """The result of a processed record. With the lock."""
    return b"" if record.result == NULL else <object> <PyObject *> record.result
