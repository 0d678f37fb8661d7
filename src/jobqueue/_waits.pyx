"""WaitingEngine: looking into an engine, and waiting for it: begin, finish, give up.

A thread sleeps here, in _wait; others may begin and finish waits and sleep in their own way.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport lock_acquire, lock_release, name_equal, ref_take
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, ns_add
from jobqueue._structures.skiplist cimport skiplist_at, skiplist_len, skiplist_t
from jobqueue._structures.wheel cimport TIMER_ARMED, wheel_arm
from jobqueue._machine.types cimport (
    DUPLICATE_KEY, NOT_FOUND, OK, OUTCOME_ADDED, OUTCOME_CLOSED, OUTCOME_GONE, OUTCOME_LEASED,
    OUTCOME_NONE, OUTCOME_PROCESSED, OUTCOME_REFUSED, OUTCOME_TIMEOUT, PLACE_NONE, QUEUE_FULL,
    STATE_COMPLETED, STATE_LEASED, STATE_NEW, WAIT_ADD, WAIT_LEASE, WAIT_RESULT, WAIT_RUN,
    WATCH_EVENTS, engine_t, load_t, note_t, outcome_t, queue_t, record_t, refusal_t, status_t,
    wait_t,
)
from jobqueue._machine.layout cimport object_of, record_processed
from jobqueue._machine.woken cimport errand_post
from jobqueue._machine.events cimport events_cut, history_copy
from jobqueue._machine.state cimport (
    dead_next, queue_rank, record_init, registry_find, wait_end, wait_for_lease, wait_for_record,
    wait_for_room, wait_forget,
)
from jobqueue._machine.life cimport (
    job_add, job_awake, job_check_new, job_delete, job_kick, job_schedule, job_start, job_unadd,
    lease_undo, queue_offer, record_lapse, wait_lapse,
)
from jobqueue._objects.rules cimport name_read, time_object, timeout_read
from jobqueue._objects.job cimport Job, id_object, id_read, ids_expect, job_object
from jobqueue._objects.registry cimport (
    RunRecord, Waiter, record_new, waiter_new, waiter_sleep, wake_all,
)
from jobqueue._objects.queues cimport WorkQueue, queue_get, queues_check
from jobqueue._engine.status cimport raise_refused
from jobqueue._engine.base cimport (
    EngineBase, bound_read, count_read, look_leave, queue_for, record_find, verb_change, verb_enter,
    verb_fired_near, verb_fired_now, verb_leave, verb_now,
)
from jobqueue._engine.batches cimport ADD_NOTED
from jobqueue._engine.notifier cimport notes_objects
from jobqueue._core cimport Engine, job_read, lease_object, lease_timeout

from . import errors as _errors

cdef int64_t NO_BOUND = 0x7FFFFFFFFFFFFFFF


cdef class WaitingEngine(Engine):
    """An engine whose callers may wait; see controller.py for the rest."""

    # ------------------------------------------------------------ looking

    def peek(self, name):
        """The job that would be leased next from a queue, or None. O(1)."""
        found = self.jobs(name, 0, 1)
        return found[0] if found else None

    def jobs(self, name, offset=0, limit=None):
        """Ready jobs of a queue in order: ``limit`` of them (None: all) from ``offset``.

        O(log n) to reach the offset, and for each job; others wait that long: what it returns was so at
        one moment. Ask for a part of a long queue, or walk through it with an Inspector.
        """
        return self.look(name, offset, limit, False)

    def scheduled_jobs(self, name, offset=0, limit=None):
        """Scheduled jobs of a queue in order of their times. As jobs."""
        return self.look(name, offset, limit, True)

    cdef list look(self, object name, object offset, object limit, bint scheduled):
        cdef queue_t *queue = self.queue_known(name)
        cdef uint64_t swept = self.swept
        cdef Py_ssize_t i = count_read(offset, "offset", 0)
        cdef Py_ssize_t most = -1 if limit is None else count_read(limit, "limit", 0)
        cdef list found = []
        cdef skiplist_t *skiplist
        cdef record_t *record
        verb_enter(self)
        verb_fired_now(self)
        if queue == NULL or self.swept != swept:  # by now another may have its name
            queue = self.queue_known(name)
        if queue == NULL:
            return found
        skiplist = &queue.scheduled if scheduled else &queue.ready
        lock_acquire(&self.e.lock)
        try:
            if most < 0 or most > skiplist_len(skiplist) - i:
                most = skiplist_len(skiplist) - i
            while len(found) < most:
                record = <record_t *> skiplist_at(skiplist, i)
                found.append(job_object(record.job))
                i += 1
        finally:
            lock_release(&self.e.lock)
        look_leave(self)
        return found

    def dead(self, name, offset=0, limit=None):
        """Jobs of a queue that ended FAILED and are still kept, in the order of failing.

        ``limit`` of them (None: all) from ``offset``. Their reasons: ``result(job, 0).result``.
        O(dead jobs of all queues).
        """
        cdef str valid = name_read(name)
        cdef Py_ssize_t i = count_read(offset, "offset", 0)
        cdef Py_ssize_t most = -1 if limit is None else count_read(limit, "limit", 0)
        cdef list found = []
        cdef record_t *record
        verb_enter(self)
        verb_fired_now(self)
        lock_acquire(&self.e.lock)
        try:
            record = self.e.dead_first
            while record != NULL and len(found) != most:
                if name_equal(record.job.name, <PyObject *> valid):
                    if i > 0:
                        i -= 1
                    else:
                        found.append(job_object(record.job))
                record = dead_next(record)
        finally:
            lock_release(&self.e.lock)
        look_leave(self)
        return found

    def kick(self, id):
        """Put a job that ended FAILED back: NEW, in ready at its old place. O(log n).

        Its attempts and fails are counted afresh, and its TTL runs from now; the numbers of its
        attempts go on, so that no late answer passes for a new one.

        Raises NotFoundError, NotDeadError (it is not FAILED), DuplicateJobError (its key was taken
        meanwhile).

        >>> with Controller() as c:
        ...     c.add(Job("mail"))
        ...     c.fail(job := c.lease("mail", 0), b"no such host")
        ...     c.dead("mail") == [job], c.result(job, 0).result
        ...     c.kick(job)
        ...     c.lease("mail", 0) == job
        (True, b'no such host')
        True
        """
        cdef uint8_t data[16]
        cdef record_t *record
        cdef refusal_t why
        cdef Job job = None
        cdef status_t status = NOT_FOUND
        id_read(id, data)
        verb_change(self, 0)
        cdef int64_t now_ns = verb_fired_now(self)
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            job = job_object(record.job)
            status = job_kick(self.e, record, now_ns)
            why = self.e.refusal
        lock_release(&self.e.lock)
        if status == DUPLICATE_KEY or status == QUEUE_FULL:
            raise_refused(status, job, &why)
        verb_leave(self, status, data)

    def limit(self, name, *, max_jobs=None, max_bytes=None):
        """Bound a queue, beside the bounds of the controller; None: no bound.

        O(1), but O(records) the first time: others go on meanwhile, and the bound holds when it returns.

        max_jobs: jobs that are not processed. max_bytes: payloads and results of all its jobs,
        finished ones until they are forgotten, and 320 bytes for each. What is there stays, what
        comes back (release, fail, time-outs) and results are always taken; adding beyond raises.
        Queues that are foreign objects have no bounds of their own.

        >>> with Controller() as c:
        ...     c.limit("mail", max_jobs=1)
        ...     c.add(Job("mail"))
        ...     try:
        ...         c.add(Job("mail"), wait=10)
        ...     except QueueFullError:
        ...         c.queue_stats("mail").jobs
        1
        """
        cdef str valid = name_read(name)
        cdef int64_t jobs_max = bound_read(max_jobs, "max_jobs")
        cdef int64_t bytes_max = bound_read(max_bytes, "max_bytes")
        verb_enter(self)
        if self.e.shadow != NULL:
            raise TypeError("a queue that is a foreign object cannot be bounded by itself")
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        cdef bint first
        lock_acquire(&self.e.lock)
        queue.c.load.jobs_max = jobs_max
        queue.c.load.bytes_max = bytes_max
        first = not queue.c.limited and (jobs_max != NO_BOUND or bytes_max != NO_BOUND)
        if first:
            queue.c.limited = self.e.bounded = self.e.counting = True
        queue.c.named = True
        if self.e.adder_first != NULL:
            errand_post(self.e)
        lock_release(&self.e.lock)
        if first or self.e.counting:
            self.count_on()
        verb_leave(self, OK, NULL)

    def _queue_stats(self, name):
        cdef str valid = name_read(name)
        cdef WorkQueue queue
        verb_enter(self)
        verb_fired_now(self)
        verb_leave(self, OK, NULL)
        queue = self.by_name.get(valid)
        if queue is None:
            return 0, 0, False, None, None, None, None
        return (skiplist_len(&queue.c.ready), skiplist_len(&queue.c.scheduled), bool(queue.c.paused),
                queue.c.load.jobs if bounded(queue) else None,
                queue.c.load.bytes if bounded(queue) else None,
                bound_object(queue.c.load.jobs_max), bound_object(queue.c.load.bytes_max))

    def names(self):
        """The names of all queues, sorted. O(queues log queues).

        A queue that holds nothing, is not paused and has no bounds may be missing if there are more than
        a thousand of them: its name is shown again once it is used again.
        """
        verb_enter(self)
        verb_fired_now(self)
        look_leave(self)
        return sorted([name for name, queue in list(self.by_name.items()) if named(queue)])

    def pause(self, name):
        """Let a queue accept jobs and give none. O(1)."""
        cdef str valid = name_read(name)
        verb_enter(self)
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        lock_acquire(&self.e.lock)
        queue.c.paused = queue.c.named = True
        lock_release(&self.e.lock)

    def resume(self, name):
        """Let a paused queue give jobs again: first to those who wait, longest first."""
        cdef str valid = name_read(name)
        verb_enter(self)
        cdef int64_t now_ns = verb_fired_now(self)
        cdef WorkQueue queue = queue_get(self.own_queues, valid)
        lock_acquire(&self.e.lock)
        queue.c.paused = False
        queue.c.named = True
        queue_offer(self.e, &queue.c, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, OK, NULL)

    def _stats(self):
        cdef engine_t *e = self.e
        cdef uint64_t[9] counts
        cdef Py_ssize_t running, waiting, adders
        cdef load_t load
        cdef list queues
        cdef Py_ssize_t ready = 0
        cdef Py_ssize_t scheduled = 0
        cdef WorkQueue queue
        verb_enter(self)
        verb_fired_now(self)
        look_leave(self)
        queues = list(self.own_queues._by_name.values())
        lock_acquire(&self.e.lock)
        for queue in queues:
            ready += skiplist_len(&queue.c.ready)
            scheduled += skiplist_len(&queue.c.scheduled)
        counts = [e.evicted_count, e.added_count, e.leased_count, e.completed_count,
                  e.failed_count, e.timed_out_count, e.ids.count, e.kicked_count, e.dead_count]
        running = e.running_count
        waiting = e.waiting_count
        adders = e.adder_count
        load = e.load
        lock_release(&self.e.lock)
        return (counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], ready, scheduled,
                running, waiting, counts[6], counts[7], counts[8], load.bytes, adders,
                bound_object(load.jobs_max), bound_object(load.bytes_max))

    # ------------------------------------------------------------ watching

    def _tell(self, teller):
        """Let a function be called, without arguments, when there are events; None: no more."""
        verb_enter(self)
        lock_acquire(&self.e.lock)
        _before = self.registry.teller  # dropped without the lock
        self.registry.teller = teller
        self.e.watched &= ~WATCH_EVENTS
        if teller is not None:
            self.e.watched |= WATCH_EVENTS
        else:
            events_cut(self.e, 0, 0)
        lock_release(&self.e.lock)

    def _explain(self, id):
        """What explain() makes sentences of."""
        cdef uint8_t data[16]
        cdef record_t *record
        cdef record_t seen            # as it was; only its numbers are used
        cdef Py_ssize_t ahead = -1
        cdef Py_ssize_t count = 0
        cdef note_t *notes = NULL
        cdef bint short = False
        cdef int64_t offset_ns = 0
        cdef Job job = None
        id_read(id, data)
        verb_enter(self)
        verb_fired_now(self)
        record_init(&seen)
        lock_acquire(&self.e.lock)
        record = record_find(self, id, data)
        if record != NULL:
            job = job_object(record.job)
            seen = record[0]
            offset_ns = self.e.wall_offset_ns
            if record.place != PLACE_NONE:
                ahead = queue_rank(record)
            if record.views != NULL and record.views.history != NULL:
                count = record.views.history.count
                notes = history_copy(record.views.history)
                short = notes == NULL
        lock_release(&self.e.lock)
        if short:
            raise MemoryError
        history = notes_objects(notes, count, job)
        verb_leave(self, OK if job is not None else NOT_FOUND, data)
        return (
            job, seen.state, ahead if ahead >= 0 else None, seen.attempts,
            seen.attempts - seen.ttr.own, seen.fails,
            wall_or_none(seen.ttr.state == TIMER_ARMED, ns_add(seen.ttr.deadline_ns, offset_ns)),
            wall_or_none(seen.scheduled == TIMER_ARMED, seen.ttr.deadline_ns),
            wall_or_none(seen.ttl.state == TIMER_ARMED, ns_add(seen.ttl.deadline_ns, offset_ns)),
            history)

    def _names_waited_for(self, Py_ssize_t most):
        """Names, ``most`` of them at most, for which leasers are in line now. O(queues)."""
        cdef WorkQueue queue
        cdef list found = []
        for name, queue in list(self.by_name.items()):
            if queue.c.first_link != NULL and len(found) < most:
                found.append(name)
        return sorted(found)

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
        return time_object(ns_add(deadline_ns, self.e.wall_offset_ns))

    def _check(self):
        """Raise AssertionError if an invariant of any structure is broken. O(n log n)."""
        self.registry._check()
        queues_check(self.own_queues, self.registry)

    # ------------------------------------------------------------ hooks

    def handle_expire(self, f):
        """Replace the function that TTL timers call: ``f(id)``. None puts expire back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        verb_enter(self)
        with cython.critical_section(self):
            self.expire_hook = f
            self.e.expire_hooked = f is not None or self.e.shadow != NULL

    def expire_func(self):
        """The function that TTL timers call; ``expire`` unless it was replaced."""
        verb_enter(self)
        with cython.critical_section(self):
            hook = self.expire_hook
        return self.expire if hook is None else hook

    def handle_timeout_attempt(self, f):
        """Replace the function that TTR timers call: ``f(id)``. None puts timeout_attempt back."""
        if f is not None and not callable(f):
            raise TypeError(f"f must be callable or None, not {_errors.shown(f)}")
        verb_enter(self)
        with cython.critical_section(self):
            self.timeout_hook = f
            self.e.timeout_hooked = f is not None or self.e.shadow != NULL

    def timeout_attempt_func(self):
        """The function that TTR timers call; ``timeout_attempt`` unless it was replaced."""
        verb_enter(self)
        with cython.critical_section(self):
            hook = self.timeout_hook
        return self.timeout_attempt if hook is None else hook

    # ------------------------------------------------------------ waiting: begin, end, give up

    cdef object lease_wait(self, object names, int64_t timeout_ms, bint detailed):
        """Lease once nothing is there at once."""
        if timeout_ms == 0:
            raise lease_timeout(names, 0)
        return self.wait(self.lease_begin(names, timeout_ms, None, detailed), names, timeout_ms)

    cdef object wait(self, Waiter waiter, object what, int64_t timeout_ms):
        """Block the calling thread until a wait ends, and return what it came to.

        No bytecode of ours runs between the end of the sleep and the return, so an exception of a
        signal handler strikes where it is caught, and nothing is lost.
        """
        try:
            if not waiter_sleep(waiter, -1 if self.by_hand else timeout_ms):
                self._lapse(waiter)
                if waiter.c.outcome == OUTCOME_NONE:  # a run whose job is leased
                    waiter_sleep(waiter, -1)
            if self.e.unsettled:
                self._note_settle()
            PyErr_CheckSignals()
            return self.finish(waiter, what, timeout_ms)
        except BaseException:
            self._abandon(waiter)
            raise

    cdef bint times_out(self, object wake):
        """Whether the engine itself ends a wait in time: unless a thread sleeps that long."""
        return self.by_hand or wake is not None

    def _wait(self, Waiter waiter not None, what, int64_t timeout_ms):
        """Block the calling thread until a wait that was begun with ``wake=None`` ends."""
        waiter_check(self, waiter)
        return self.wait(waiter, what, timeout_ms)

    def _lease_begin(self, names, int64_t timeout_ms, wake, bint detailed=False):
        """Stand in line for a job. Returns a Waiter, whose ``wake`` is called when its wait ends.

        Its time-out is a timer of the wheel. Who waits calls _finish when woken, and _abandon if it
        leaves by an exception. A thread gives None for ``wake``, and calls _wait, which does all
        that and sees to the time-out itself.
        """
        return self.lease_begin(names, timeout_ms, wake, detailed)

    cdef Waiter lease_begin(self, object names, int64_t timeout_ms, object wake, bint detailed):
        cdef Waiter waiter = waiter_new(self.registry, wake, detailed)
        cdef int count = self.links_make(waiter, names)
        cdef int i
        cdef int64_t now_ns = verb_fired_now(self)
        self.lock_open()
        waiter.c.link_count = count
        wait_for_lease(self.e, &waiter.c)
        if self.times_out(wake):
            wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
        for i in range(count):  # a job may have come since the look before
            if waiter.c.outcome == OUTCOME_NONE:
                queue_offer(self.e, waiter.c.links[i].queue, now_ns)
        lock_release(&self.e.lock)
        verb_leave(self, OK, NULL)
        return waiter

    cdef int add_wait(self, object job, bint scheduled, object wait) except -1:
        waiter = self._add_begin(job, wait, None, scheduled)
        if waiter is not None:
            self.wait(waiter, None, timeout_read(wait, "wait"))
        return 0

    def _add_begin(self, job, wait, wake, bint scheduled=False):
        """Add a job, or stand in line for room: None if it was added, else a Waiter, as _lease_begin.

        Its end is None, or the error of add. A job that was taken in for a caller who leaves is
        taken back, unless a worker has it already. While a journal is kept nobody waits for room:
        what is noted of a job must have its room before the verb begins.
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
            self.queue_wanted(taken, scheduled, wait_ms, now_ns)
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
            wait_for_room(self.e, &waiter.c)
            if self.times_out(wake):
                wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, wait_ms * NS_PER_MS))
        lock_release(&self.e.lock)
        verb_leave(self, OK, NULL)
        if waiter.c.kind == WAIT_ADD:
            return waiter
        if status != OK:
            raise_refused(status, taken, &why)
        return None

    cdef int queue_wanted(self, Job job, bint scheduled, int64_t wait_ms, int64_t now_ns) except -1:
        """Raise if a queue must not be made for a job: it would neither be taken nor wait."""
        cdef status_t status
        cdef refusal_t why
        lock_acquire(&self.e.lock)
        status = job_check_new(self.e, &job.c, scheduled, False, now_ns)
        why = self.e.refusal
        lock_release(&self.e.lock)
        if status != OK and (status != QUEUE_FULL or wait_ms == 0 or why.never):
            raise_refused(status, job, &why)
        return 0

    def _result(self, id, timeout):
        """(success, result) of a job, waiting for it."""
        begun = self._result_begin(id, timeout, None)
        if type(begun) is tuple:
            return begun
        return self.wait(begun, None, timeout_read(timeout, "timeout"))

    def _run(self, job, timeout):
        """(success, result) of a run job."""
        return self.wait(self._run_begin(job, timeout, None), None, timeout_read(timeout, "timeout"))

    def _result_begin(self, id, timeout, wake):
        """(success, result) if the job is processed, else a Waiter for that."""
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
                if self.times_out(wake):
                    wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
        lock_release(&self.e.lock)
        verb_leave(self, NOT_FOUND if record == NULL else OK, data)
        if result is not None:
            return success, result
        if timeout_ms == 0:
            raise _errors.WaitTimeoutError(f"job {id_object(data)} has no result within 0 ms")
        return waiter

    def _run_begin(self, job, timeout, wake, bint lapse=True):
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
            c.queue = self.queue_make(taken, False, True, now_ns)
        self.lock_open()
        status = job_add(self.e, c, now_ns)
        why = self.e.refusal
        if status == OK:
            wait_for_record(self.e, &waiter.c, c)
            if timeout_ms > 0 and self.times_out(wake):
                wheel_arm(&self.e.wheel, &waiter.c.timer, ns_add(now_ns, timeout_ms * NS_PER_MS))
            queue_offer(self.e, c.queue, now_ns)
            if timeout_ms == 0 and lapse:
                wait_lapse(self.e, &waiter.c)
        lock_release(&self.e.lock)
        try:
            verb_leave(self, OK, NULL)
        except BaseException:
            if status == OK:
                self._abandon(waiter)
            raise
        if status != OK:
            raise_refused(status, taken, &why)
        return waiter

    def _lapse(self, Waiter waiter not None):
        """The time of a wait is over. A run whose job is leased stays pending until its TTR."""
        waiter_check(self, waiter)
        lock_acquire(&self.e.lock)
        wait_lapse(self.e, &waiter.c)
        lock_release(&self.e.lock)
        wake_all(self.e)

    def _abandon(self, Waiter waiter not None):
        """Its caller leaves by an exception: a job it was handed goes back (returned), a run job is gone."""
        cdef int64_t now_ns = self.e.wheel.now_ns
        try:
            now_ns = verb_now(self)
        finally:  # whatever a clock raises
            back = self.abandon(waiter, now_ns)
        return back

    cdef object abandon(self, Waiter waiter, int64_t now_ns):
        cdef wait_t *wait = &waiter.c
        waiter_check(self, waiter)
        cdef object back = None
        lock_acquire(&self.e.lock)
        wait_forget(self.e, wait)
        if wait.outcome == OUTCOME_LEASED:
            if lease_undo(self.e, wait, now_ns):
                back = job_object(wait.record.job)
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

    def _finish(self, Waiter waiter not None, what, timeout):
        """What a wait came to: the Job (lease), (success, result) (result, run), or its error."""
        waiter_check(self, waiter)
        if self.e.unsettled:
            self._note_settle()
        return self.finish(waiter, what, timeout)

    cdef object finish(self, Waiter waiter, object what, object timeout):
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
                self._abandon(waiter)
            return success, result
        if wait.kind == WAIT_RUN:
            self._abandon(waiter)
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

    # ------------------------------------------------------------ for foreign queues (_general.py)

    def _lease_arguments(self, names, timeout):
        """(distinct names, ms) of a lease. Raises as lease."""
        cdef list read = self.names_read(names)
        timeout_ms = timeout_read(timeout, "timeout")
        verb_enter(self)
        return read, timeout_ms

    def _check_count(self, n):
        count_read(n, "n", 1)

    def _awake(self, id):
        """A scheduled job is due."""
        cdef uint8_t data[16]
        cdef record_t *record
        id_read(id, data)
        cdef int64_t now_ns = verb_now(self)
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
        queue_get(self.own_queues, name).c.named = True

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


cdef object wall_or_none(bint there, int64_t ns):
    return ns if there else None


cdef bint untouched(const engine_t *engine, const record_t *record) noexcept:
    """Whether a job that was added has met nobody yet."""
    return record.home == engine and record.state == STATE_NEW and record.fails == 0


cdef object bound_object(int64_t bound):
    return None if bound == NO_BOUND else bound


cdef bint bounded(WorkQueue queue) noexcept:
    return queue.c.load.jobs_max != NO_BOUND or queue.c.load.bytes_max != NO_BOUND


cdef bint named(WorkQueue queue) noexcept:
    return queue.c.named


cdef object record_result(record_t *record):
    """The result of a processed record. With the lock."""
    return b"" if record.result == NULL else <object> <PyObject *> record.result
