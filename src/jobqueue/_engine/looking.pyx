"""What looking is made of: jobs in line, dead jobs, names, gauges, one job explained.

Nothing here changes a job. Locking: each function takes the lock of the engine itself; objects are made
under it only where nothing of them is foreign.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport lock_acquire, lock_release, name_equal
from jobqueue._structures.times cimport NEVER_NS, ns_add
from jobqueue._structures.skiplist cimport skiplist_at, skiplist_len, skiplist_t
from jobqueue._structures.wheel cimport TIMER_ARMED
from jobqueue._machine.types cimport (
    ANY_ATTEMPT, NOT_FOUND, OK, PLACE_NONE, STATE_LEASED, WATCH_EVENTS, engine_t, load_t, note_t,
    queue_t, record_t,
)
from jobqueue._machine.events cimport events_cut, history_copy
from jobqueue._machine.state cimport dead_next, queue_rank, record_init, registry_find
from jobqueue._objects.rules cimport name_read
from jobqueue._objects.job cimport Job, id_read, job_object
from jobqueue._objects.queues cimport WorkQueue
from jobqueue._engine.base cimport (
    EngineBase, count_read, look_leave, record_find, verb_enter, verb_fired_now, verb_leave,
)
from jobqueue._engine.notifier cimport notes_objects


cdef list look(EngineBase self, object name, object offset, object limit, bint scheduled):
    """Jobs of a queue in line, or scheduled. O(log n) to reach the offset, and for each job."""
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


cdef list look_dead(EngineBase self, object name, object offset, object limit):
    """Jobs of a queue that ended FAILED, in the order of failing. O(dead jobs of all queues)."""
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


cdef tuple look_queue(EngineBase self, object name):
    """The fields of QueueStats. O(1)."""
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


cdef list look_names(EngineBase self):
    """The names of all queues, sorted. O(queues log queues)."""
    verb_enter(self)
    verb_fired_now(self)
    look_leave(self)
    return sorted([name for name, queue in list(self.by_name.items()) if named(queue)])


cdef tuple look_stats(EngineBase self):
    """The fields of Stats. O(queues)."""
    cdef engine_t *e = self.e
    cdef uint64_t[10] counts
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
              e.failed_count, e.timed_out_count, e.ids.count, e.kicked_count, e.dead_count,
              e.cancelled_count]
    running = e.running_count
    waiting = e.waiting_count
    adders = e.adder_count
    load = e.load
    lock_release(&self.e.lock)
    return (counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], ready, scheduled,
            running, waiting, counts[6], counts[7], counts[8], load.bytes, adders,
            bound_object(load.jobs_max), bound_object(load.bytes_max), counts[9])


cdef int notifier_set(EngineBase self, object notifier) except -1:
    """Let a function be called, without arguments, when there are events; None: no more."""
    verb_enter(self)
    lock_acquire(&self.e.lock)
    _before = self.registry.notifier  # dropped without the lock
    self.registry.notifier = notifier
    self.e.watched &= ~WATCH_EVENTS
    if notifier is not None:
        self.e.watched |= WATCH_EVENTS
    else:
        events_cut(self.e, 0, 0)
    lock_release(&self.e.lock)
    return 0


cdef tuple look_at(EngineBase self, object id):
    """What explain() makes sentences of. O(log n)."""
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


cdef list look_waited_for(EngineBase self, Py_ssize_t most):
    """Names, ``most`` of them at most, for which leasers are in line now. O(queues)."""
    cdef WorkQueue queue
    cdef list found = []
    for name, queue in list(self.by_name.items()):
        if queue.c.first_link != NULL and len(found) < most:
            found.append(name)
    return sorted(found)


cdef object look_deadline_ns(EngineBase self, Job job, uint64_t number):
    """Monotonic ns at which the lease of a job ends, or None if it is not leased."""
    cdef record_t *record
    cdef int64_t deadline_ns = NEVER_NS
    lock_acquire(&self.e.lock)
    record = registry_find(self.e, job.c.tie.id)
    if record != NULL and record.state == STATE_LEASED and (
            number == ANY_ATTEMPT or record.attempts == number):
        deadline_ns = record.ttr.deadline_ns
    lock_release(&self.e.lock)
    return None if deadline_ns == NEVER_NS else deadline_ns


cdef object look_fails(EngineBase self, Job job):
    """How often a job has failed since it was added or kicked, or None if it is gone."""
    cdef record_t *record
    cdef int64_t fails = -1
    lock_acquire(&self.e.lock)
    record = registry_find(self.e, job.c.tie.id)
    if record != NULL:
        fails = record.fails
    lock_release(&self.e.lock)
    return None if fails < 0 else fails


cdef object wall_or_none(bint there, int64_t ns):
    return ns if there else None


cdef object bound_object(int64_t bound):
    return None if bound == NO_BOUND else bound


cdef bint bounded(WorkQueue queue) noexcept:
    return queue.c.load.jobs_max != NO_BOUND or queue.c.load.bytes_max != NO_BOUND


cdef bint named(WorkQueue queue) noexcept:
    return queue.c.named
