"""WorkQueue, QueueController, Inspector, Iterator: the Python faces of queue_t.

A queue stands alone, or belongs to the engine of the QueueController that made it. Jobs put in by
hand stand under their registered record if they have one, else under a private record, which a
lease of the engine skips.
Locking: as in registry.pyx.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t

from jobqueue._structures.platform cimport (
    HAS_GIL, breathe, lock_acquire, lock_release, ref_drop, ref_take, struct_clear,
)
from jobqueue._structures.times cimport NEVER_NS
from jobqueue._structures.keys cimport sortkey_t
from jobqueue._structures.skiplist cimport (
    skiplist_after, skiplist_at, skiplist_check, skiplist_find, skiplist_first, skiplist_len,
    skiplist_rank, skiplist_t,
)
from jobqueue._structures.wheel cimport TIMER_ARMED, TIMER_CANCELLED
from jobqueue._structures.id_table cimport BUCKET_SLOTS, bucket_t, ids_walk, ids_walk_t
from jobqueue._machine.types cimport (
    PLACE_NONE, PLACE_SCHEDULED, SLICE_STEPS, STATE_LEASED, TRANSITION_STEPS, engine_t, queue_t,
    record_t,
)
from jobqueue._machine.layout cimport object_of, record_processed
from jobqueue._machine.state cimport (
    due_update, engine_reserve_queues, job_acquire, job_release_lock, postponement, queue_add,
    queue_awake, queue_find, queue_init, queue_pop, queue_remove, queue_schedule, record_unassign,
    registry_add_by_hand, registry_find, scheduled_end, ttl_arm, ttl_start_ns,
)
from jobqueue._machine.life cimport queue_offer
from jobqueue._machine.slices cimport queue_clear
from jobqueue._objects.rules cimport name_read
from jobqueue._objects.job cimport Job, job_object
from jobqueue._objects.registry cimport (
    Registry, RunRecord, homes_acquire, homes_release, record_new, record_object, registry_now,
    wake_all,
)

from types import MappingProxyType

from .. import errors as _errors

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)

# ---------------------------------------------------------------- WorkQueue

cdef record_t *record_for(WorkQueue self, Job job, RunRecord private) noexcept:
    """The record to place a job under, or NULL if it may not be placed by hand now."""
    cdef record_t *record = NULL
    if self.c.engine != NULL:
        record = registry_find(self.c.engine, job.c.tie.id)
    if record == NULL:
        return &private.c
    if record.place != PLACE_NONE or record.state == STATE_LEASED or record_processed(record):
        return NULL
    return record


cdef int64_t queue_now(WorkQueue self) except? -1:
    return 0 if self.registry is None else registry_now(self.registry)


cdef int place_by_hand(WorkQueue self, Job job, bint scheduled) except -1:
    cdef RunRecord private = record_new(job)
    cdef int64_t now_ns = queue_now(self)
    cdef record_t *record
    cdef int done = 0
    lock_acquire(self.lock)
    if not HAS_GIL:
        job_acquire(&job.c)
    record = NULL if queue_find(&self.c, &job.c) != NULL else record_for(self, job, private)
    if record != NULL and scheduled:
        done = queue_schedule(&self.c, record, job.c.time_ns)
        if done == 1:
            record.scheduled = TIMER_ARMED
    elif record != NULL:
        done = queue_add(&self.c, record)
    if not HAS_GIL:
        job_release_lock(&job.c)
    if done == 1 and not scheduled and record.home != NULL:
        queue_offer(record.home, &self.c, now_ns)
    lock_release(self.lock)
    if self.c.engine != NULL:
        wake_all(self.c.engine)
    if done < 0:
        raise MemoryError
    return done


cdef object iterator_new(WorkQueue queue, bint scheduled):
    cdef Iterator made = Iterator.__new__(Iterator, queue)
    made.scheduled = scheduled
    made.current()
    return made


@cython.final
@cython.no_gc_clear
cdef class WorkQueue:
    """WorkQueue()
--

    One queue of Jobs, in two orders.

    **ready**: priority high to low, then created early to late, then id. **scheduled**: time early
    to late, then priority, created, id. ``len()`` counts both; ``job in queue`` looks in both.

    >>> queue = WorkQueue()
    >>> first, second = Job("a"), Job("a", priority=1)
    >>> queue.add(first), queue.add(second), queue.add(first), len(queue)
    (True, True, False, 2)
    >>> queue.lease() is second
    True
    """

    def __cinit__(self):
        queue_init(&self.c)
        self.lock = &self.own_lock

    def __init__(self):
        pass  # it takes no arguments

    def __dealloc__(self):
        cdef bint done = False
        while not done:
            lock_acquire(self.lock)
            done = queue_clear(&self.c, SLICE_STEPS // TRANSITION_STEPS)
            lock_release(self.lock)  # its engine is alive: self.registry is cleared after this
            if not done:
                with nogil:
                    breathe()

    def add(self, Job job not None):
        """Put a job into ready. False: it is here already. O(log n)."""
        return place_by_hand(self, job, False) == 1

    def schedule(self, Job job not None):
        """Put a job into scheduled, by its time. False: it is here already. O(log n).

        Raises InvalidTimeError if it has no time.
        """
        if job.c.time_ns == NEVER_NS:
            raise _errors.InvalidTimeError(f"a scheduled job must have a time: {job!r}")
        return place_by_hand(self, job, True) == 1

    def delete(self, Job job not None):
        """Take a job out. False: it is not here. O(log n)."""
        cdef record_t *record
        lock_acquire(self.lock)
        record = queue_find(&self.c, &job.c)
        if record != NULL:
            scheduled_end(record, TIMER_CANCELLED)
            queue_remove(record)
        lock_release(self.lock)
        return record != NULL

    def exists(self, Job job not None):
        """Whether a job is here. O(log n)."""
        cdef record_t *record
        lock_acquire(self.lock)
        record = queue_find(&self.c, &job.c)
        lock_release(self.lock)
        return record != NULL

    def awake(self, Job job not None):
        """Move a job from scheduled to ready. False: it is not in scheduled. O(log n)."""
        cdef int64_t now_ns = queue_now(self)
        cdef record_t *record
        cdef int done = 0
        lock_acquire(self.lock)
        record = queue_find(&self.c, &job.c)
        if record != NULL and record.place == PLACE_SCHEDULED:
            done = queue_awake(&self.c, record)
            if done == 1:
                scheduled_end(record, TIMER_CANCELLED)
                if record.home != NULL:
                    ttl_arm(record.home, record, ttl_start_ns(record))
                    queue_offer(record.home, &self.c, now_ns)
        lock_release(self.lock)
        if self.c.engine != NULL:
            wake_all(self.c.engine)
        if done < 0:
            raise MemoryError
        return done == 1

    def lease(self):
        """Take the head of ready, or None (also while the queue is paused). O(1).

        The job's record, if it has one, is not touched: Controller.lease does that.
        """
        cdef record_t *record = NULL
        cdef object job = None
        lock_acquire(self.lock)
        if not self.c.paused:
            record = queue_pop(&self.c)
        if record != NULL:
            job = job_object(record.job)
            ref_drop(object_of(record))
        lock_release(self.lock)
        return job

    def __len__(self):
        return skiplist_len(&self.c.ready) + skiplist_len(&self.c.scheduled)

    def __contains__(self, job):
        return type(job) is Job and self.exists(job)

    def __repr__(self):
        return (f"<WorkQueue ready={skiplist_len(&self.c.ready)}"
                f" scheduled={skiplist_len(&self.c.scheduled)}>")

    def _check(self):
        """Raise AssertionError if an invariant is broken. O(n)."""
        cdef const char *broken
        cdef bint stuck
        lock_acquire(self.lock)
        broken = skiplist_check(&self.c.ready)
        if broken == NULL:
            broken = skiplist_check(&self.c.scheduled)
        stuck = self.c.first_link != NULL and not self.c.paused and skiplist_len(&self.c.ready) > 0
        lock_release(self.lock)
        if broken != NULL:
            raise AssertionError((<bytes> broken).decode())
        if stuck:
            raise AssertionError("a leaser waits though a job is ready")

# ---------------------------------------------------------------- QueueController

cdef WorkQueue queue_get(QueueController self, str name):
    """The queue of a valid name, made on first use."""
    cdef WorkQueue queue = self._by_name.get(name)
    if queue is not None:
        return queue
    queue = WorkQueue.__new__(WorkQueue)
    lock_acquire(&self.making)
    try:
        return queue_make(self, name, queue)
    finally:
        lock_release(&self.making)


cdef WorkQueue queue_make(QueueController self, str name, WorkQueue made):
    """Let a queue have a name, unless another came first: that, then."""
    cdef bint room = True
    cdef WorkQueue first = self._by_name.get(name)
    if first is not None:
        return first
    if self.registry is not None:
        lock_acquire(&self.registry.e.lock)
        room = engine_reserve_queues(&self.registry.e, len(self._by_name) + 1)
        lock_release(&self.registry.e.lock)
        if not room:
            raise MemoryError
        queue_attach(made, self.registry)
    made.name = name
    ring_insert(self, &made.c)
    self._by_name[name] = made  # setdefault of CPython 3.13 hands out freed memory for want of it
    return made


cdef void ring_insert(QueueController self, queue_t *queue) noexcept:
    """Let a queue be the last to be looked at."""
    if self.ring == NULL:
        queue.ring_next = queue
    else:
        queue.ring_next = self.ring.ring_next
        self.ring.ring_next = queue
    self.ring = queue


cdef bint idle(const queue_t *queue) noexcept:
    """Whether a queue holds nothing, and nobody knows it but its QueueController."""
    return (queue.record_count == 0 and skiplist_len(&queue.ready) == 0
            and skiplist_len(&queue.scheduled) == 0 and queue.first_link == NULL
            and not queue.paused and queue.load.jobs_max == queue.load.bytes_max == INT64_MAX
            and Py_REFCNT(<PyObject *> object_of(<void *> queue)) == 1)


cdef queue_t *ring_remove(QueueController self) noexcept:
    """Look at the next queue: if it is of no use it leaves the ring and is returned, else NULL."""
    cdef queue_t *before = self.ring
    cdef queue_t *queue
    if before == NULL:
        return NULL
    queue = before.ring_next
    if not idle(queue):
        self.ring = queue
        return NULL
    before.ring_next = queue.ring_next
    if before == queue:
        self.ring = NULL
    return queue


cdef void queue_attach(WorkQueue queue, Registry registry) noexcept:
    queue.registry = registry
    queue.c.engine = &registry.e
    queue.lock = &registry.e.lock


cdef list queue_records(WorkQueue queue):
    """Every record that a queue holds."""
    cdef list found = []
    cdef skiplist_t *lists[2]
    cdef Py_ssize_t which, i
    lists[0] = &queue.c.ready
    lists[1] = &queue.c.scheduled
    for which in range(2):
        for i in range(skiplist_len(lists[which])):
            found.append(record_object(<record_t *> skiplist_at(lists[which], i)))
    return found


cdef void move(record_t *record, queue_t *queue) noexcept:
    """Put a record that stands in a queue into another, at the same place."""
    cdef bint scheduled = record.place == PLACE_SCHEDULED
    cdef int64_t due_ns = record.ttr.deadline_ns
    ref_take(object_of(record))
    queue_remove(record)
    if scheduled:
        queue_schedule(queue, record, due_ns)
    else:
        queue_add(queue, record)
    record.queue = queue
    ref_drop(object_of(record))


cdef void adopt(RunRecord own, RunRecord stray) noexcept:
    """Let a registered record take the place of the private one that its job stood under."""
    cdef queue_t *queue = stray.c.queue
    cdef bint scheduled = stray.c.place == PLACE_SCHEDULED
    cdef int64_t due_ns = stray.c.ttr.deadline_ns
    queue_remove(&stray.c)
    if own.c.place != PLACE_NONE or own.c.state == STATE_LEASED or record_processed(&own.c):
        return
    if not scheduled:
        queue_add(queue, &own.c)
    elif queue_schedule(queue, &own.c, due_ns) == 1:
        own.c.scheduled = TIMER_ARMED


cdef int queues_attach(QueueController self, Registry registry) except -1:
    """Make the queues those of an engine, and tie its records to them. O(records + jobs)."""
    cdef WorkQueue queue
    cdef RunRecord record, own
    cdef record_t *found
    if not engine_reserve_queues(&registry.e, len(self._by_name)):
        raise MemoryError
    self.registry = registry
    registry.queues = self
    for queue in self._by_name.values():
        queue_attach(queue, registry)
    for record in registry:
        queue = queue_get(self, record.job.name)
        if record.c.home != &registry.e:
            continue  # the collector, which may run wherever objects are made, has had it deleted
        if record.c.place == PLACE_NONE:
            record.c.queue = &queue.c
        elif record.c.queue.engine != &registry.e:  # it comes along from the queues of before
            lock_acquire(&registry.e.lock)
            move(&record.c, &queue.c)
            lock_release(&registry.e.lock)
    for queue in list(self._by_name.values()):
        for record in queue_records(queue):
            found = registry_find(&registry.e, record.c.job.tie.id)
            if found != NULL and found != &record.c and record.c.place != PLACE_NONE:
                own = record_object(found)
                lock_acquire(&registry.e.lock)
                adopt(own, record)
                lock_release(&registry.e.lock)
        due_update(&queue.c)
    records_count(self, registry)
    return 0


cdef int records_count(QueueController self, Registry registry) except -1:
    """Count the records of each queue anew. Past the first line no object is made, so that nothing
    else comes between."""
    cdef object queues = iter(self._by_name.values())
    cdef WorkQueue queue
    cdef record_t *record
    cdef bucket_t *bucket
    cdef ids_walk_t walk
    cdef Py_ssize_t slot
    for queue in queues:
        queue.c.record_count = 0
    struct_clear(&walk, sizeof(ids_walk_t))
    while True:
        bucket = ids_walk(&registry.e.ids, &walk)
        if bucket == NULL:
            return 0
        for slot in range(BUCKET_SLOTS):
            record = <record_t *> bucket.items[slot]
            if record != NULL and record.queue != NULL and record.queue.engine == &registry.e:
                record.queue.record_count += 1


cdef int queues_check(QueueController self, Registry registry) except -1:
    """Raise AssertionError if a queue breaks an invariant, or their counts of records are wrong."""
    cdef WorkQueue queue
    cdef RunRecord record
    cdef Py_ssize_t known = 0
    for queue in list(self._by_name.values()):
        queue._check()
        known -= queue.c.record_count
    if registry.e.shadow != NULL:
        known -= registry.e.shadow.record_count
    for record in registry:
        known += record.c.queue != NULL and record.c.queue.engine == &registry.e
    if known != 0:
        raise AssertionError("the queues' counts of their records are wrong")
    return 0


cdef int queues_detach(QueueController self) except -1:
    """Let the queues stand alone; what stands in them stays. O(records)."""
    cdef WorkQueue queue
    cdef RunRecord record
    cdef Registry registry = self.registry
    if registry is None:
        return 0
    for record in registry:
        if record.c.place == PLACE_NONE:
            record_unassign(&record.c)
    for queue in self._by_name.values():
        queue.c.engine = NULL
        queue.c.due_index = -1
        queue.c.record_count = 0
    registry.e.due_count = 0
    registry.queues = None
    self.registry = None
    return 0


@cython.final
cdef class QueueController:
    """QueueController()
--

    All queues by name; each is made on first use. It stays while it is of use: a controller that has more
    than a thousand frees those that hold nothing, and that nobody knows, when new ones are made.

    >>> queues = QueueController()
    >>> job = Job("mail")
    >>> queues.add(job), queues.exists(job), list(queues.queues())
    (True, True, ['mail'])
    >>> queues.lease("mail") is job, queues.lease("mail") is None
    (True, True)
    """

    def __cinit__(self):
        self._by_name = {}

    def __init__(self):
        pass  # it takes no arguments

    def queue(self, name):
        """The WorkQueue of a name, made on first use. O(1). Raises InvalidNameError."""
        cdef WorkQueue queue = queue_get(self, name_read(name))
        queue.c.named = True
        return queue

    def queues(self):
        """A read-only, live mapping of names to WorkQueues."""
        return MappingProxyType(self._by_name)

    def add(self, Job job not None):
        """Put a job into ready of its queue. False: it is there. O(log n)."""
        return queue_get(self, job.name).add(job)

    def run(self, Job job not None):
        """As add."""
        return queue_get(self, job.name).add(job)

    def schedule(self, Job job not None):
        """Put a job into scheduled of its queue. False: it is there. O(log n).

        Raises InvalidTimeError if it has no time.
        """
        return queue_get(self, job.name).schedule(job)

    def delete(self, Job job not None):
        """Take a job out of its queue. False: it is not there. O(log n)."""
        queue = self._by_name.get(job.name)
        return queue is not None and queue.delete(job)

    def awake(self, Job job not None):
        """Move a job from scheduled to ready. False: it is not scheduled. O(log n)."""
        queue = self._by_name.get(job.name)
        return queue is not None and queue.awake(job)

    def exists(self, Job job not None):
        """Whether a job is in its queue. O(log n)."""
        queue = self._by_name.get(job.name)
        return queue is not None and queue.exists(job)

    def lease(self, name):
        """Take the head of ready of a queue, or None. O(1). Raises InvalidNameError."""
        queue = self._by_name.get(name_read(name))
        return None if queue is None else queue.lease()

    def _register(self, RunRecord record not None):
        """Registry.add, where records must know their queues."""
        cdef Registry registry = self.registry
        if registry is None or record.c.job == NULL:
            return False
        cdef engine_t *engine = &registry.e
        cdef WorkQueue queue = queue_get(self, record.job.name)
        cdef int64_t now_ns = registry_now(registry)
        cdef record_t *stray = NULL
        cdef queue_t *own
        cdef int done = 0
        homes_acquire()
        lock_acquire(&engine.lock)
        if record.c.home == NULL:
            stray = queue_find(&queue.c, record.c.job)  # before registering: this looks there first
            own = record.c.queue
            if record.c.place == PLACE_NONE:
                record.c.queue = &queue.c  # whose load it counts to
            done = registry_add_by_hand(engine, &record.c)
            if done != 1:
                record.c.queue = own
        if done == 1:
            if stray != NULL and stray != &record.c:
                adopt(record, record_object(stray))
            queue_offer(engine, &queue.c, now_ns)
        lock_release(&engine.lock)
        homes_release()
        wake_all(engine)
        if done < 0:
            raise MemoryError
        return done == 1

    def __repr__(self):
        return f"<QueueController of {len(self._by_name)} queues>"

# ---------------------------------------------------------------- Inspector, Iterator

@cython.final
cdef class Inspector:
    """Inspector(work_queue)
--

    Looks into a queue without taking anything.

    >>> queue = WorkQueue()
    >>> queue.add(Job("a"))
    True
    >>> Inspector(queue).lens()
    (1, 0)
    """

    def __cinit__(self, WorkQueue work_queue not None):
        self.queue = work_queue

    def lens(self):
        """(ready, scheduled). O(1)."""
        return skiplist_len(&self.queue.c.ready), skiplist_len(&self.queue.c.scheduled)

    def iterators(self):
        """An Iterator over ready and one over scheduled."""
        return iterator_new(self.queue, False), iterator_new(self.queue, True)


@cython.final
cdef class Iterator:
    """A walk over one order of a queue; made by Inspector.iterators().

    It keeps its place by key, so the queue may change under it: it never crashes, never shows a job
    twice, and skips no job that was there throughout. Hence a walk over scheduled passes over a job
    that was postponed while it goes on: it may have shown it where it stood before. (A job that is
    deleted and added anew is another one.)
    """

    def __cinit__(self, WorkQueue queue=None):
        if queue is None:
            raise TypeError("Iterators are made by Inspector.iterators()")
        self.queue = queue

    def __init__(self, *_):
        raise TypeError("Iterators are made by Inspector.iterators()")

    cdef skiplist_t *skiplist(self) noexcept:
        return &self.queue.c.scheduled if self.scheduled else &self.queue.c.ready

    cdef sortkey_t key(self) noexcept:
        cdef sortkey_t key
        key.a = self.a
        key.b = self.b
        key.tie = &self.tie
        return key

    cdef record_t *shown(self, record_t *record) noexcept:
        """The first record from this one on that the walk may show, or NULL. With the lock held."""
        cdef sortkey_t key
        while self.scheduled and record != NULL and postponement(record) > self.postponed_count:
            key.a = record.ttr.deadline_ns
            key.b = -<int64_t> record.job.priority
            key.tie = &record.job.tie
            record = <record_t *> skiplist_after(self.skiplist(), &key)
        return record

    cdef object stand(self, record_t *record):
        """Step onto a record, or past the end if it is NULL. Called with the lock held."""
        self.yielded = False
        if record == NULL:
            self.job = None
            return None
        self.started = True
        self.b = -<int64_t> record.job.priority
        self.a = self.b
        if self.scheduled:
            self.a = record.ttr.deadline_ns
        else:
            self.b = record.job.tie.created_ns
        self.tie = record.job.tie
        self.job = job_object(record.job)
        return self.job

    cdef object step(self):
        cdef sortkey_t key = self.key()
        if not self.started:
            self.postponed_count = self.queue.c.postponed_count
            return self.stand(<record_t *> skiplist_first(self.skiplist()))
        return self.stand(self.shown(<record_t *> skiplist_after(self.skiplist(), &key)))

    def current(self):
        """The job it stands on: the first to begin with; None if there is none. O(1)."""
        lock_acquire(self.queue.lock)
        if self.job is None and not self.started:
            self.step()
        job = self.job
        lock_release(self.queue.lock)
        return job

    def next(self):
        """Step on and return the new current job, or None at the end. O(log n)."""
        lock_acquire(self.queue.lock)
        job = self.step()
        lock_release(self.queue.lock)
        return job

    def seek(self, n):
        """Step ``n`` jobs on. False, and nothing changes, if there are fewer. O(log n).

        Jobs that the walk passes over count; it ends on none of them.
        """
        cdef Py_ssize_t steps = n
        cdef Py_ssize_t index
        cdef sortkey_t key
        cdef record_t *record
        if steps < 0:
            raise ValueError(f"n must not be negative, but is {n}")
        if self.current() is None:
            return False
        if steps == 0:
            return True
        key = self.key()
        lock_acquire(self.queue.lock)
        index = skiplist_rank(self.skiplist(), &key)
        if skiplist_find(self.skiplist(), &key) == NULL:
            index -= 1  # the job it stands on has left: the next one took its index
        record = NULL
        if steps < skiplist_len(self.skiplist()) - index:
            record = self.shown(<record_t *> skiplist_at(self.skiplist(), index + steps))
        if record != NULL:
            self.stand(record)
        lock_release(self.queue.lock)
        return record != NULL

    def __iter__(self):
        return self

    def __next__(self):
        cdef sortkey_t key
        lock_acquire(self.queue.lock)
        key = self.key()
        if self.job is None or self.yielded or skiplist_find(self.skiplist(), &key) == NULL:
            self.step()
        job = self.job
        self.yielded = True
        lock_release(self.queue.lock)
        if job is None:
            raise StopIteration
        return job
