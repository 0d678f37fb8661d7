"""Records, queues, waits and timers of one engine, in plain C structs: what keeps them whole.

No Python object, no IO, no clock. life.pyx builds the transitions of a job's life on this.

Invariant: every function runs with the engine's lock held (with the GIL: without letting go of it).
References: the registry and each queue own one to every record they hold; a record that waits are
linked to has one of each.
Complexity: O(log n) in the jobs of one queue, O(1) in everything else, if not said otherwise.
"""

from cpython.mem cimport PyMem_RawRealloc
from libc.stdint cimport INT64_MAX, int64_t, uint8_t
from libc.string cimport memcpy, memset

from jobqueue._structures.platform cimport (
    HAS_GIL, JQ_ASSERT, hold, lock_acquire, lock_held, lock_release, lock_renew, lock_t, ref_drop,
    ref_take, unhold,
)
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, ns_add, ns_sum
from jobqueue._structures.keys cimport ID_SIZE, sortkey_t, tie_t
from jobqueue._structures.skiplist cimport (
    skiplist_find, skiplist_first, skiplist_init, skiplist_insert, skiplist_pop, skiplist_rank,
    skiplist_remove, tie_compare,
)
from jobqueue._structures.wheel cimport (
    TIMER_IDLE, timer_t, timer_view_t, wheel_arm, wheel_cancel, wheel_init,
)
from jobqueue._structures.id_table cimport ids_add, ids_find, ids_init, ids_remove
from jobqueue._machine.types cimport (
    DUPLICATE_KEY, EXTRA_COUNTED, EXTRA_DEAD, EXTRA_KEY, EXTRA_KICKED, EXTRA_QUEUED, EXTRA_READ,
    EXTRA_STORED, JOB_UNIQUE, KIND_TTL, KIND_TTR, NO_MEMORY, OBJECT_HEAD, OK, OUTCOME_NONE,
    OUTCOME_TIMEOUT, PLACE_NONE, PLACE_READY, PLACE_SCHEDULED, FREE_ENDLESS, STATE_FAILED,
    STATE_LEASED, WAIT_ADD, WAIT_LEASE, WAIT_RUN, bytes_size, engine_t, job_t, kind_t, outcome_t,
    queue_t, record_t, status_t, wait_link_t, wait_t,
)
from jobqueue._machine.layout cimport job_bytes, object_of, record_bytes, record_processed
from jobqueue._machine.key_table cimport (
    uniques_add, uniques_find, uniques_init, uniques_remove, uniques_reserve,
)
from jobqueue._machine.woken cimport deferred_post, woken_put
from jobqueue._machine.bounds cimport capacity_leave, capacity_take, capacity_uncount

# ---------------------------------------------------------------- small pieces

cdef const tie_t *record_tie(const void *item) noexcept nogil:
    return &(<const record_t *> item).job.tie


cdef sortkey_t key_ready(const job_t *job) noexcept nogil:
    cdef sortkey_t key
    key.a = -<int64_t> job.priority
    key.b = job.tie.created_ns
    key.tie = &job.tie
    return key


cdef sortkey_t key_scheduled(const job_t *job, int64_t due_ns) noexcept nogil:
    cdef sortkey_t key
    key.a = due_ns
    key.b = -<int64_t> job.priority
    key.tie = &job.tie
    return key


cdef void deadlines_shift(record_t *record, int64_t by_ns) noexcept nogil:
    """Ended timers are mono time within an engine, wall time outside, where no clock tells mono."""
    record.ttl.deadline_ns = ns_add(record.ttl.deadline_ns, by_ns)
    if record.place != PLACE_SCHEDULED:
        record.ttr.deadline_ns = ns_add(record.ttr.deadline_ns, by_ns)

# ---------------------------------------------------------------- jobs that engines share

cdef enum:
    JOB_LOCKS = 64                # a power of two


cdef lock_t job_locks[JOB_LOCKS]  # by address


cdef void job_acquire(const job_t *job) noexcept nogil:
    lock_acquire(&job_locks[(<size_t> job >> 6) & (JOB_LOCKS - 1)])


cdef void job_release_lock(const job_t *job) noexcept nogil:
    lock_release(&job_locks[(<size_t> job >> 6) & (JOB_LOCKS - 1)])


cdef void job_locks_renew() noexcept nogil:
    """In a forked child."""
    cdef int i
    for i in range(JOB_LOCKS):
        lock_renew(&job_locks[i])

# ---------------------------------------------------------------- life of the structs

cdef void queue_init(queue_t *queue) noexcept nogil:
    memset(queue, 0, sizeof(queue_t))
    skiplist_init(&queue.ready, record_tie)
    skiplist_init(&queue.scheduled, record_tie)
    queue.due_index = -1
    queue.load.jobs_max = queue.load.bytes_max = INT64_MAX


cdef void engine_init(engine_t *engine, int64_t now_ns) noexcept nogil:
    memset(engine, 0, sizeof(engine_t))
    wheel_init(&engine.wheel, now_ns)
    ids_init(&engine.ids, record_tie)
    uniques_init(&engine.uniques)
    engine.result_ttl_ns = NEVER_NS
    engine.free_bytes = FREE_ENDLESS
    engine.load.jobs_max = engine.load.bytes_max = INT64_MAX


cdef bint engine_reserve_queues(engine_t *engine, Py_ssize_t queues) noexcept nogil:
    """Make space in the heap of due times for so many queues."""
    cdef Py_ssize_t capacity = engine.due_capacity
    cdef queue_t **due
    if queues <= capacity:
        return True
    capacity = max(queues, 2 * capacity, 4)
    due = <queue_t **> PyMem_RawRealloc(engine.due, <size_t> capacity * sizeof(queue_t *))
    if due == NULL:
        return False
    engine.due = due
    engine.due_capacity = capacity
    return True

# ---------------------------------------------------------------- registry

cdef record_t *registry_find(const engine_t *engine, const uint8_t *id) noexcept nogil:
    """The record of an id, or NULL. O(1)."""
    return <record_t *> ids_find(&engine.ids, id)


cdef int registry_add(engine_t *engine, record_t *record) noexcept nogil:
    """Take in a record that has a job: 1 done, 0 its id is there, -1 no memory. O(1) amortised."""
    cdef int done
    JQ_ASSERT(lock_held(&engine.lock))
    JQ_ASSERT(record.job != NULL)
    JQ_ASSERT(record.home == NULL)
    done = ids_add(&engine.ids, record.job.tie.id, record)
    if done != 1:
        return done
    record.home = engine
    if engine.shadow != NULL:
        record.queue = engine.shadow
    if record.queue != NULL:
        record.queue.record_count += record.queue.engine == engine
    engine.running_count += record.state == STATE_LEASED
    engine.load.bytes += job_bytes(record.job)
    hold(&record.job.held)
    if HAS_GIL:  # else another engine might read it, under another lock
        record.job.record = record
    ref_take(object_of(record))
    return 1


cdef int registry_add_by_hand(engine_t *engine, record_t *record) noexcept nogil:
    """As registry_add, for a record that somebody made: with its job's key, if it holds one."""
    cdef bint keyed = record.job.flags & JOB_UNIQUE and not record_processed(record)
    cdef status_t status = key_check(engine, record.job) if keyed else OK
    cdef int done
    if status != OK:
        return -1 if status == NO_MEMORY else 0
    done = registry_add(engine, record)
    if done == 1:
        deadlines_shift(record, -engine.wall_offset_ns)
    if done == 1 and keyed:
        key_take(engine, record)
    if done == 1 and record.state == STATE_FAILED:
        dead_enter(engine, record)
    if done == 1 and record.result != NULL:
        engine.load.bytes += bytes_size(record.result)
    if done == 1 and engine.bounded:
        capacity_take(engine, record)
    return done


cdef void registry_remove(engine_t *engine, record_t *record) noexcept nogil:
    """Let go of a record and cancel its timers. O(1) amortised."""
    JQ_ASSERT(lock_held(&engine.lock))
    JQ_ASSERT(record.home == engine)
    ids_remove(&engine.ids, record.job.tie.id, record)
    timer_end(engine, record, KIND_TTL)
    timer_end(engine, record, KIND_TTR)
    engine.running_count -= record.state == STATE_LEASED
    if record.extras:
        extras_end(engine, record)
        if record.extras & EXTRA_STORED:
            capacity_leave(engine, record)
    engine.load.bytes -= record_bytes(record)
    if record.queue != NULL:
        record.queue.record_count -= record.queue.engine == engine
        record.queue = NULL
    record_leave(record)
    unhold(&record.job.held)
    ref_drop(object_of(record))

# ---------------------------------------------------------------- extras of a record

cdef status_t key_check(engine_t *engine, const job_t *job) noexcept nogil:
    """Whether a job may take its key, for which there is then space."""
    cdef const job_t *first = uniques_find(&engine.uniques, job)
    if first != NULL:
        memcpy(engine.refusal.first, first.tie.id, ID_SIZE)
        return DUPLICATE_KEY
    return OK if uniques_reserve(&engine.uniques) else NO_MEMORY


cdef void key_take(engine_t *engine, record_t *record) noexcept nogil:
    """Let a record's job hold its key; after key_check."""
    JQ_ASSERT(not record.extras & EXTRA_KEY)
    JQ_ASSERT(uniques_find(&engine.uniques, record.job) == NULL)
    uniques_add(&engine.uniques, record.job)
    record.extras |= EXTRA_KEY


cdef void extras_end(engine_t *engine, record_t *record) noexcept nogil:
    """Let go of what a record had in the state that it leaves; its bytes stay counted."""
    if record.extras & EXTRA_KEY:
        uniques_remove(&engine.uniques, record.job)
    if record.extras & EXTRA_DEAD:
        dead_leave(engine, record)
    if record.extras & EXTRA_COUNTED:
        capacity_uncount(engine, record)
    # a result of a former life stays: the caller that it answered may not have taken it yet
    record.extras &= EXTRA_KICKED | EXTRA_STORED | EXTRA_QUEUED


cdef void dead_enter(engine_t *engine, record_t *record) noexcept nogil:
    """Add a FAILED record to the list of the dead. Its TTR timer is idle, and lends its links."""
    JQ_ASSERT(record.state == STATE_FAILED)
    JQ_ASSERT(record.ttr.state != TIMER_ARMED)
    JQ_ASSERT(record.place == PLACE_NONE)
    JQ_ASSERT(not record.extras & EXTRA_DEAD)
    record.ttr.next = NULL
    record.ttr.prev = <timer_t *> <void *> engine.dead_last
    if engine.dead_last != NULL:
        engine.dead_last.ttr.next = <timer_t *> <void *> record
    else:
        engine.dead_first = record
    engine.dead_last = record
    engine.dead_count += 1
    record.extras |= EXTRA_DEAD


cdef void dead_leave(engine_t *engine, record_t *record) noexcept nogil:
    """Take a record out of the list of the dead."""
    cdef record_t *before = <record_t *> <void *> record.ttr.prev
    cdef record_t *after = dead_next(record)
    JQ_ASSERT((record.extras & EXTRA_DEAD) != 0)
    if before != NULL:
        before.ttr.next = record.ttr.next
    else:
        engine.dead_first = after
    if after != NULL:
        after.ttr.prev = record.ttr.prev
    else:
        engine.dead_last = before
    engine.dead_count -= 1
    record.extras &= ~(EXTRA_DEAD | EXTRA_READ)
    record.ttr.prev = record.ttr.next = NULL

# ---------------------------------------------------------------- queues and the heap of due times

cdef void due_put(engine_t *engine, Py_ssize_t i, queue_t *queue) noexcept nogil:
    JQ_ASSERT(0 <= i < engine.due_capacity)
    engine.due[i] = queue
    queue.due_index = i


cdef bint due_before(const queue_t *queue, const queue_t *other) noexcept nogil:
    """Whether the first scheduled job of a queue comes before that of another: as in one queue."""
    cdef int64_t due_ns = queue_due_ns(queue)
    cdef const job_t *job
    cdef const job_t *job_other
    if due_ns != queue_due_ns(other):
        return due_ns < queue_due_ns(other)
    job = (<const record_t *> skiplist_first(&queue.scheduled)).job
    job_other = (<const record_t *> skiplist_first(&other.scheduled)).job
    if job.priority != job_other.priority:
        return job.priority > job_other.priority
    return tie_compare(&job.tie, &job_other.tie) < 0


cdef void due_sift(engine_t *engine, Py_ssize_t i, queue_t *queue) noexcept nogil:
    """Find the place of a queue in the heap, beginning at the gap i."""
    cdef Py_ssize_t other
    while i > 0:
        other = (i - 1) // 2
        if not due_before(queue, engine.due[other]):
            break
        due_put(engine, i, engine.due[other])
        i = other
    while True:
        other = 2 * i + 1
        if other >= engine.due_count:
            break
        if (other + 1 < engine.due_count
                and due_before(engine.due[other + 1], engine.due[other])):
            other += 1
        if not due_before(engine.due[other], queue):
            break
        due_put(engine, i, engine.due[other])
        i = other
    due_put(engine, i, queue)


cdef void due_update(queue_t *queue) noexcept nogil:
    """Tell the heap that the head of a queue's scheduled jobs may have changed. O(log queues)."""
    cdef engine_t *engine = queue.engine
    cdef Py_ssize_t i = queue.due_index
    cdef queue_t *last
    if engine == NULL:
        return
    if queue_due_ns(queue) != NEVER_NS:
        if i < 0:
            i = engine.due_count
            engine.due_count += 1
        due_sift(engine, i, queue)
    elif i >= 0:
        queue.due_index = -1
        engine.due_count -= 1
        last = engine.due[engine.due_count]
        if last != queue:
            due_sift(engine, i, last)


cdef void record_assign(record_t *record, queue_t *queue) noexcept nogil:
    """Let a record know another queue as its own."""
    if record.queue == queue:
        return
    if record.extras & EXTRA_QUEUED:
        record.queue.load.jobs -= (record.extras & EXTRA_COUNTED) != 0
        record.queue.load.bytes -= record_bytes(record)
        record.extras &= ~EXTRA_QUEUED
    record_unassign(record)
    record.queue = queue
    queue.record_count += record.home != NULL and record.home == queue.engine
    if record.extras & EXTRA_STORED:
        capacity_take(record.home, record)


cdef void record_unassign(record_t *record) noexcept nogil:
    """Let a record forget its queue, which may be freed before it; it stands nowhere, or is moved."""
    if record.queue != NULL:
        record.queue.record_count -= record.home != NULL and record.home == record.queue.engine
        record.queue = NULL


cdef void placed(queue_t *queue, record_t *record, uint8_t place) noexcept nogil:
    JQ_ASSERT(queue.engine == NULL or lock_held(&queue.engine.lock))
    if record.queue != queue:
        record_assign(record, queue)
    record.place = place
    queue.named = True
    hold(&record.job.held)
    ref_take(object_of(record))


cdef void unplaced(record_t *record) noexcept nogil:
    """Bookkeeping of a record that left its queue; the queue's reference is dropped last."""
    record.place = PLACE_NONE
    unhold(&record.job.held)
    ref_drop(object_of(record))


cdef int queue_add(queue_t *queue, record_t *record) noexcept nogil:
    """Put a record that stands nowhere into ready: 1 done, 0 an equal one is there, -1 no memory."""
    cdef sortkey_t key = key_ready(record.job)
    cdef int done
    JQ_ASSERT(record.place == PLACE_NONE)
    done = skiplist_insert(&queue.ready, &key, record)
    if done == 1:
        placed(queue, record, PLACE_READY)
    return done


cdef void scheduled_begin(queue_t *queue, record_t *record, int64_t due_ns, bint again) noexcept nogil:
    """Bookkeeping of a record that came into scheduled; what TTR it had is forgotten."""
    queue.postponed_count += again
    record.ttr.prev = <timer_t *> <void *> (queue.postponed_count if again else 0)
    record.ttr.deadline_ns = due_ns
    record.ttr.state = TIMER_IDLE
    placed(queue, record, PLACE_SCHEDULED)
    due_update(queue)


cdef int queue_schedule(queue_t *queue, record_t *record, int64_t due_ns) noexcept nogil:
    """Put a record that stands nowhere, its TTR idle, into scheduled. Returns as queue_add."""
    cdef sortkey_t key = key_scheduled(record.job, due_ns)
    cdef int done
    JQ_ASSERT(record.place == PLACE_NONE)
    JQ_ASSERT(record.ttr.state != TIMER_ARMED)
    done = skiplist_insert(&queue.scheduled, &key, record)
    if done == 1:
        scheduled_begin(queue, record, due_ns, record.attempts > 0)
    return done


cdef int queue_postpone(queue_t *queue, record_t *record, int64_t due_ns) noexcept nogil:
    """Put a record, wherever it stands, its TTR idle, into scheduled: 1 done, -1 no memory."""
    cdef sortkey_t key
    JQ_ASSERT(record.ttr.state != TIMER_ARMED)
    if record.place == PLACE_NONE:
        return queue_schedule(queue, record, due_ns)
    if record.place == PLACE_SCHEDULED and record.ttr.deadline_ns == due_ns:
        return 1
    key = key_scheduled(record.job, due_ns)
    if skiplist_insert(&queue.scheduled, &key, record) < 0:
        return -1
    ref_take(object_of(record))
    queue_remove(record)
    scheduled_begin(queue, record, due_ns, True)
    ref_drop(object_of(record))
    return 1


cdef bint queue_reschedule(record_t *record, int64_t due_ns) noexcept nogil:
    """Let a record that stands in scheduled be due at another time. False: no memory."""
    cdef sortkey_t before = key_scheduled(record.job, record.ttr.deadline_ns)
    cdef sortkey_t key = key_scheduled(record.job, due_ns)
    JQ_ASSERT(record.place == PLACE_SCHEDULED)
    if skiplist_insert(&record.queue.scheduled, &key, record) < 0:
        return False
    if due_ns != record.ttr.deadline_ns:
        skiplist_remove(&record.queue.scheduled, &before)
    record.ttr.deadline_ns = due_ns
    due_update(record.queue)
    return True


cdef int queue_awake(queue_t *queue, record_t *record) noexcept nogil:
    """Move a record from scheduled to ready. Returns as queue_add."""
    cdef sortkey_t key = key_ready(record.job)
    cdef int done
    JQ_ASSERT(record.place == PLACE_SCHEDULED)
    JQ_ASSERT(record.queue == queue)
    done = skiplist_insert(&queue.ready, &key, record)
    if done == 1:
        key = key_scheduled(record.job, record.ttr.deadline_ns)
        skiplist_remove(&queue.scheduled, &key)
        record.place = PLACE_READY
        due_update(queue)
    return done


cdef void queue_remove(record_t *record) noexcept nogil:
    """Take a record out of its queue, if it stands in one. Never allocates."""
    cdef sortkey_t key
    if record.place == PLACE_READY:
        key = key_ready(record.job)
        skiplist_remove(&record.queue.ready, &key)
        unplaced(record)
    elif record.place == PLACE_SCHEDULED:
        key = key_scheduled(record.job, record.ttr.deadline_ns)
        skiplist_remove(&record.queue.scheduled, &key)
        due_update(record.queue)
        unplaced(record)


cdef record_t *queue_pop(queue_t *queue) noexcept nogil:
    """Take the head of ready, or NULL. The queue's reference to it goes to the caller."""
    cdef record_t *record = <record_t *> skiplist_pop(&queue.ready)
    if record != NULL:
        record.place = PLACE_NONE
        unhold(&record.job.held)
    return record


cdef Py_ssize_t queue_rank(record_t *record) noexcept nogil:
    """How many stand before a record in its line. O(log n)."""
    cdef sortkey_t key
    JQ_ASSERT(record.place != PLACE_NONE)
    if record.place == PLACE_READY:
        key = key_ready(record.job)
        return skiplist_rank(&record.queue.ready, &key)
    key = key_scheduled(record.job, record.ttr.deadline_ns)
    return skiplist_rank(&record.queue.scheduled, &key)


cdef record_t *queue_find(queue_t *queue, const job_t *job) noexcept nogil:
    """The record under which a queue holds a job, or NULL."""
    cdef record_t *record
    cdef sortkey_t key
    if queue.engine != NULL:  # its record knows, even if it is due at another time than job.time
        record = registry_find(queue.engine, job.tie.id)
        if record != NULL and record.queue == queue and record.place != PLACE_NONE:
            return record
    key = key_ready(job)
    record = <record_t *> skiplist_find(&queue.ready, &key)
    if record == NULL and job.time_ns != NEVER_NS:
        key = key_scheduled(job, job.time_ns)
        record = <record_t *> skiplist_find(&queue.scheduled, &key)
    return record

# ---------------------------------------------------------------- timers of a record

cdef void view_end(record_t *record, kind_t kind, uint8_t state) noexcept nogil:
    """Tell the Timer object that shows this timer, if there is one, how it ended."""
    cdef void *view
    if record.views != NULL and record.views.timer[<int> kind] != NULL:
        view = record.views.timer[<int> kind]
        record.views.timer[<int> kind] = NULL
        (<timer_view_t *> (<char *> view + OBJECT_HEAD)).state = state
        ref_drop(view)


cdef void ttl_arm(engine_t *engine, record_t *record, int64_t start_ns) noexcept nogil:
    """Let TTL run from a wall time, unless it is a run job's or was armed before."""
    JQ_ASSERT(lock_held(&engine.lock))
    if record.ttl.state == TIMER_IDLE and not record.is_run:
        wheel_arm(&engine.wheel, &record.ttl, ns_add(
            ns_sum(start_ns, <int64_t> record.job.ttl_ms * NS_PER_MS), -engine.wall_offset_ns))

# ---------------------------------------------------------------- waiting

cdef void links_remove(wait_t *wait) noexcept nogil:
    """Leave the line of every name."""
    cdef wait_link_t *link
    cdef int i
    for i in range(wait.link_count):
        link = &wait.links[i]
        if link.prev != NULL:
            link.prev.next = link.next
        else:
            link.queue.first_link = link.next
        if link.next != NULL:
            link.next.prev = link.prev
        else:
            link.queue.last_link = link.prev


cdef void adder_remove(engine_t *engine, wait_t *wait) noexcept nogil:
    """Leave the line of adders that wait for capacity; one behind may find it now."""
    if wait.prev != NULL:
        wait.prev.next = wait.next
    else:
        engine.adder_first = wait.next
    if wait.next != NULL:
        wait.next.prev = wait.prev
    else:
        engine.adder_last = wait.prev
    engine.adder_count -= 1
    if engine.adder_first != NULL and not engine.admitting:
        deferred_post(engine)


cdef void wait_unlink(engine_t *engine, wait_t *wait) noexcept nogil:
    JQ_ASSERT(lock_held(&engine.lock))
    if wait.kind == WAIT_LEASE:
        links_remove(wait)
        engine.waiting_count -= 1
    elif wait.kind == WAIT_ADD:
        adder_remove(engine, wait)
    else:
        engine.record_waits -= 1
        if wait.prev != NULL:
            wait.prev.next = wait.next
        else:
            wait.record.waits = wait.next
        if wait.next != NULL:
            wait.next.prev = wait.prev
    wait.prev = wait.next = NULL
    wheel_cancel(&engine.wheel, &wait.timer)


cdef void wait_for_lease(engine_t *engine, wait_t *wait) noexcept nogil:
    """Stand in line at every link's queue. O(names)."""
    cdef wait_link_t *link
    cdef int i
    JQ_ASSERT(wait.kind == WAIT_LEASE)
    JQ_ASSERT(wait.outcome == OUTCOME_NONE)
    for i in range(wait.link_count):
        link = &wait.links[i]
        link.wait = wait
        link.next = NULL
        link.prev = link.queue.last_link
        if link.prev != NULL:
            link.prev.next = link
        else:
            link.queue.first_link = link
        link.queue.last_link = link
    engine.waiting_count += 1
    if not HAS_GIL:
        ref_take(object_of(wait))


cdef void wait_for_capacity(engine_t *engine, wait_t *wait) noexcept nogil:
    """Stand in the line of adders; wait.record is set."""
    JQ_ASSERT(wait.kind == WAIT_ADD)
    JQ_ASSERT(wait.record != NULL)
    wait.next = NULL
    wait.prev = engine.adder_last
    if wait.prev != NULL:
        wait.prev.next = wait
    else:
        engine.adder_first = wait
    engine.adder_last = wait
    engine.adder_count += 1
    if not HAS_GIL:
        ref_take(object_of(wait))


cdef void wait_for_record(engine_t *engine, wait_t *wait, record_t *record) noexcept nogil:
    """Wait until a record is processed or gone."""
    JQ_ASSERT(lock_held(&engine.lock))
    JQ_ASSERT(record.home == engine)
    JQ_ASSERT(wait.outcome == OUTCOME_NONE)
    ref_take(object_of(record))
    wait.record = record
    wait.prev = NULL
    wait.next = record.waits
    if wait.next != NULL:
        wait.next.prev = wait
    record.waits = wait
    engine.record_waits += 1
    engine.ran |= record.is_run
    if not HAS_GIL:
        ref_take(object_of(wait))


cdef void wait_end(engine_t *engine, wait_t *wait, outcome_t outcome) noexcept nogil:
    """End a wait and line its caller up to be woken."""
    JQ_ASSERT(wait.outcome == OUTCOME_NONE)
    wait_unlink(engine, wait)
    wait.outcome = <uint8_t> outcome
    if HAS_GIL:  # else the line's reference goes over
        ref_take(object_of(wait))
    woken_put(engine, wait)


cdef void wait_forget(engine_t *engine, wait_t *wait) noexcept nogil:
    """The caller leaves of its own accord."""
    if wait.outcome == OUTCOME_NONE:
        wait_unlink(engine, wait)
        wait.outcome = OUTCOME_TIMEOUT
        if not HAS_GIL:
            ref_drop(object_of(wait))


cdef void waits_end(engine_t *engine, record_t *record, outcome_t run, outcome_t result) noexcept nogil:
    cdef wait_t *wait
    while record.waits != NULL:
        wait = record.waits
        wait_end(engine, wait, run if wait.kind == WAIT_RUN else result)
