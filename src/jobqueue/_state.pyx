"""The state machine of a job's life, in plain C structs: no Python object, no IO, no clock.

Invariant: every function runs with the engine's lock held (with the GIL: without letting go of it)
and is whole, so that callers see a transition done or not begun.
Invariant: what can fail for want of memory comes first in a function; after it nothing can fail.
Invariant: a record of the engine is leased (TTR armed), or stands in its queue, or is processed, or
was put there by hand.
References: the registry and each queue own one to every record they hold.
Complexity: O(log n) in the jobs of one queue, O(1) in everything else, if not said otherwise.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memset

from jobqueue._skiplist cimport (
    skiplist_clear, skiplist_find, skiplist_first, skiplist_first_a, skiplist_init,
    skiplist_insert, skiplist_len, skiplist_pop, skiplist_remove,
)
from jobqueue._types cimport (
    HARD_ATTEMPTS_MAX, ID_SIZE, NEVER_NS, NS_PER_MS, TIMER_ARMED, TIMER_CANCELLED, TIMER_FIRED,
    TIMER_IDLE, id_hash, job_t, ref_drop, ref_take, sortkey_t, tie_t, timer_t,
)
from jobqueue._wheel cimport (
    Timer, wheel_arm, wheel_cancel, wheel_check, wheel_clear, wheel_init, wheel_next_wake, wheel_pop_due,
)

cdef enum:
    SLOTS_MIN = 8                 # smallest hash table
    RETRY_MS = 10                 # pause before a timer that met a want of memory tries again

cdef record_t probe_record
cdef wait_t probe_wait
cdef Py_ssize_t TTL_OFFSET = <char *> &probe_record.ttl - <char *> &probe_record
cdef Py_ssize_t TTR_OFFSET = <char *> &probe_record.ttr - <char *> &probe_record
cdef Py_ssize_t WAIT_OFFSET = <char *> &probe_wait.timer - <char *> &probe_wait
cdef Timer probe_timer = Timer.__new__(Timer)
cdef Py_ssize_t VIEW_STATE_OFFSET = <char *> &probe_timer.state - <char *> <void *> probe_timer

# ---------------------------------------------------------------- small pieces

cdef bint attempts_remain(const record_t *record) noexcept nogil:
    cdef uint64_t most = HARD_ATTEMPTS_MAX
    if record.job.max_attempts:
        most = record.job.max_attempts
    return record.attempts < most


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


cdef void state_set(record_t *record, uint8_t state) noexcept nogil:
    if record.home != NULL:
        record.home.running_count += (state == STATE_LEASED) - (record.state == STATE_LEASED)
    record.state = state

# ---------------------------------------------------------------- life of the structs

cdef void record_init(record_t *record) noexcept nogil:
    memset(record, 0, sizeof(record_t))
    record.ttl.kind = KIND_TTL
    record.ttr.kind = KIND_TTR


cdef void queue_init(queue_t *queue) noexcept nogil:
    memset(queue, 0, sizeof(queue_t))
    skiplist_init(&queue.ready, record_tie)
    skiplist_init(&queue.scheduled, record_tie)
    queue.due_index = -1


cdef void queue_clear(queue_t *queue) noexcept nogil:
    """Let go of every job. The queue must not be linked from a waiting leaser."""
    cdef record_t *record
    while True:
        record = <record_t *> skiplist_first(&queue.ready)
        if record == NULL:
            record = <record_t *> skiplist_first(&queue.scheduled)
        if record == NULL:
            break
        queue_remove(record)
    skiplist_clear(&queue.ready)
    skiplist_clear(&queue.scheduled)


cdef void engine_init(engine_t *engine, int64_t now_ns) noexcept nogil:
    memset(engine, 0, sizeof(engine_t))
    wheel_init(&engine.wheel, now_ns)
    engine.slot_mask = -1
    engine.result_ttl_ns = NEVER_NS


cdef void engine_clear(engine_t *engine) noexcept nogil:
    """Let go of every record; their timers are cancelled, places in queues stay."""
    cdef Py_ssize_t i
    cdef record_t *record
    cdef record_t **slots = engine.slots
    cdef Py_ssize_t mask = engine.slot_mask
    engine.slots = NULL
    engine.slot_mask = -1
    engine.count = 0
    for i in range(mask + 1):
        record = slots[i]
        if record != NULL:
            timer_end(engine, record, KIND_TTL)
            timer_end(engine, record, KIND_TTR)
            record.home = NULL
            ref_drop(object_of(record))
    wheel_clear(&engine.wheel)
    free(slots)
    free(engine.due)
    engine.due = NULL
    engine.due_count = engine.due_capacity = 0


cdef bint engine_reserve_queues(engine_t *engine, Py_ssize_t queues) noexcept nogil:
    """Make room in the heap of due times for so many queues."""
    cdef Py_ssize_t capacity = engine.due_capacity
    cdef queue_t **due
    if queues <= capacity:
        return True
    capacity = max(queues, 2 * capacity, 4)
    due = <queue_t **> realloc(engine.due, <size_t> capacity * sizeof(queue_t *))
    if due == NULL:
        return False
    engine.due = due
    engine.due_capacity = capacity
    return True

# ---------------------------------------------------------------- registry: linear probing, no tombstones

cdef Py_ssize_t slot_find(const engine_t *engine, const uint8_t *id) noexcept nogil:
    """Index of the record with this id, or of the free slot where it would go."""
    cdef Py_ssize_t i = <Py_ssize_t> (id_hash(id, engine.seed) & <uint64_t> engine.slot_mask)
    while engine.slots[i] != NULL and memcmp(engine.slots[i].job.tie.id, id, ID_SIZE) != 0:
        i = (i + 1) & engine.slot_mask
    return i


cdef bint registry_resize(engine_t *engine, Py_ssize_t slots) noexcept nogil:
    cdef record_t **old = engine.slots
    cdef Py_ssize_t old_slots = engine.slot_mask + 1
    cdef record_t **fresh = <record_t **> calloc(<size_t> slots, sizeof(record_t *))
    cdef Py_ssize_t i
    if fresh == NULL:
        return False
    engine.slots = fresh
    engine.slot_mask = slots - 1
    for i in range(old_slots):
        if old[i] != NULL:
            fresh[slot_find(engine, old[i].job.tie.id)] = old[i]
    free(old)
    return True


cdef record_t *registry_find(const engine_t *engine, const uint8_t *id) noexcept nogil:
    """The record of an id, or NULL. O(1)."""
    if engine.count == 0:
        return NULL
    return engine.slots[slot_find(engine, id)]


cdef int registry_add(engine_t *engine, record_t *record) noexcept nogil:
    """Take in a record that has a job: 1 done, 0 its id is there, -1 no memory. O(1) amortised."""
    cdef Py_ssize_t i
    if (engine.count + 1) * 4 > (engine.slot_mask + 1) * 3:
        if not registry_resize(engine, max(SLOTS_MIN, 2 * (engine.slot_mask + 1))):
            return -1
    i = slot_find(engine, record.job.tie.id)
    if engine.slots[i] != NULL:
        return 0
    engine.slots[i] = record
    engine.count += 1
    record.home = engine
    if engine.shadow != NULL:
        record.queue = engine.shadow
    engine.running_count += record.state == STATE_LEASED
    ref_take(object_of(record))
    return 1


cdef void registry_remove(engine_t *engine, record_t *record) noexcept nogil:
    """Let go of a record and cancel its timers. O(1) amortised."""
    cdef Py_ssize_t mask = engine.slot_mask
    cdef Py_ssize_t gap = slot_find(engine, record.job.tie.id)
    cdef Py_ssize_t i = gap
    cdef Py_ssize_t ideal
    while True:  # close the gap: move back whoever may stand nearer to its ideal slot
        i = (i + 1) & mask
        if engine.slots[i] == NULL:
            break
        ideal = <Py_ssize_t> (id_hash(engine.slots[i].job.tie.id, engine.seed) & <uint64_t> mask)
        if ((i - ideal) & mask) >= ((i - gap) & mask):
            engine.slots[gap] = engine.slots[i]
            gap = i
    engine.slots[gap] = NULL
    engine.count -= 1
    if mask + 1 > SLOTS_MIN and engine.count * 8 < mask + 1:
        registry_resize(engine, (mask + 1) // 4 if mask + 1 > 4 * SLOTS_MIN else SLOTS_MIN)
    timer_end(engine, record, KIND_TTL)
    timer_end(engine, record, KIND_TTR)
    engine.running_count -= record.state == STATE_LEASED
    record.home = NULL
    ref_drop(object_of(record))

# ---------------------------------------------------------------- queues and the heap of due times

cdef int64_t queue_due_ns(const queue_t *queue) noexcept nogil:
    return skiplist_first_a(&queue.scheduled) if skiplist_len(&queue.scheduled) else NEVER_NS


cdef void due_put(engine_t *engine, Py_ssize_t i, queue_t *queue) noexcept nogil:
    engine.due[i] = queue
    queue.due_index = i


cdef void due_sift(engine_t *engine, Py_ssize_t i, queue_t *queue) noexcept nogil:
    """Find the place of a queue in the heap, beginning at the gap i."""
    cdef int64_t key = queue_due_ns(queue)
    cdef Py_ssize_t other
    while i > 0:
        other = (i - 1) // 2
        if queue_due_ns(engine.due[other]) <= key:
            break
        due_put(engine, i, engine.due[other])
        i = other
    while True:
        other = 2 * i + 1
        if other >= engine.due_count:
            break
        if (other + 1 < engine.due_count
                and queue_due_ns(engine.due[other + 1]) < queue_due_ns(engine.due[other])):
            other += 1
        if queue_due_ns(engine.due[other]) >= key:
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


cdef void placed(queue_t *queue, record_t *record, uint8_t place) noexcept nogil:
    record.queue = queue
    record.place = place
    record.job.held += record.job.held < 255
    ref_take(object_of(record))


cdef void unplaced(record_t *record) noexcept nogil:
    """Bookkeeping of a record that left its queue; the queue's reference is dropped last."""
    record.place = PLACE_NONE
    record.job.held -= 0 < record.job.held < 255
    ref_drop(object_of(record))


cdef int queue_add(queue_t *queue, record_t *record) noexcept nogil:
    """Put a record that stands nowhere into ready: 1 done, 0 an equal one is there, -1 no memory."""
    cdef sortkey_t key = key_ready(record.job)
    cdef int done = skiplist_insert(&queue.ready, &key, record)
    if done == 1:
        placed(queue, record, PLACE_READY)
    return done


cdef int queue_schedule(queue_t *queue, record_t *record, int64_t due_ns) noexcept nogil:
    """Put a record that stands nowhere, its TTR idle, into scheduled. Returns as queue_add."""
    cdef sortkey_t key = key_scheduled(record.job, due_ns)
    cdef int done = skiplist_insert(&queue.scheduled, &key, record)
    if done == 1:
        record.ttr.deadline_ns = due_ns
        placed(queue, record, PLACE_SCHEDULED)
        due_update(queue)
    return done


cdef int queue_awake(queue_t *queue, record_t *record) noexcept nogil:
    """Move a record from scheduled to ready. Returns as queue_add."""
    cdef sortkey_t key = key_ready(record.job)
    cdef int done = skiplist_insert(&queue.ready, &key, record)
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
        record.job.held -= 0 < record.job.held < 255
    return record


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
        (<uint8_t *> (<char *> view + VIEW_STATE_OFFSET))[0] = state
        ref_drop(view)


cdef void timer_end(engine_t *engine, record_t *record, kind_t kind) noexcept nogil:
    """Cancel the TTL or TTR timer, if it is armed."""
    cdef timer_t *timer = &record.ttl if kind == KIND_TTL else &record.ttr
    if timer.state == TIMER_ARMED:
        wheel_cancel(&engine.wheel, timer)
        view_end(record, kind, TIMER_CANCELLED)


cdef void scheduled_end(record_t *record, uint8_t state) noexcept nogil:
    if record.scheduled == TIMER_ARMED:
        record.scheduled = state
        view_end(record, KIND_SCHEDULED, state)


cdef int64_t ttl_start_ns(const record_t *record) noexcept nogil:
    """From when the TTL of a job that was not added to ready runs: its time, or its creation."""
    return record.job.tie.created_ns if record.job.time_ns == NEVER_NS else record.job.time_ns


cdef void ttl_arm(engine_t *engine, record_t *record, int64_t start_ns) noexcept nogil:
    """Let TTL run from a wall time, unless it is a run job's or was armed before."""
    if record.ttl.state == TIMER_IDLE and not record.is_run:
        wheel_arm(&engine.wheel, &record.ttl,
                  start_ns + <int64_t> record.job.ttl_ms * NS_PER_MS - engine.wall_offset_ns)


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


cdef void wait_unlink(engine_t *engine, wait_t *wait) noexcept nogil:
    if wait.kind == WAIT_LEASE:
        links_remove(wait)
        engine.waiting_count -= 1
    else:
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


cdef void wait_for_record(engine_t *engine, wait_t *wait, record_t *record) noexcept nogil:
    """Wait until a record is processed or gone."""
    ref_take(object_of(record))
    wait.record = record
    wait.prev = NULL
    wait.next = record.waits
    if wait.next != NULL:
        wait.next.prev = wait
    record.waits = wait


cdef void wait_end(engine_t *engine, wait_t *wait, outcome_t outcome) noexcept nogil:
    """End a wait and line its caller up to be woken."""
    wait_unlink(engine, wait)
    wait.outcome = <uint8_t> outcome
    ref_take(object_of(wait))
    if engine.woken_last != NULL:
        engine.woken_last.next = wait
    else:
        engine.woken_first = wait
    engine.woken_last = wait


cdef wait_t *woken_take(engine_t *engine) noexcept nogil:
    """The next caller to wake, or NULL. The reference to its object goes to the taker."""
    cdef wait_t *wait = engine.woken_first
    if wait != NULL:
        engine.woken_first = wait.next
        if wait.next == NULL:
            engine.woken_last = NULL
        wait.next = NULL
    return wait


cdef void wait_forget(engine_t *engine, wait_t *wait) noexcept nogil:
    """The caller leaves of its own accord."""
    if wait.outcome == OUTCOME_NONE:
        wait_unlink(engine, wait)
        wait.outcome = OUTCOME_TIMEOUT


cdef void waits_end(engine_t *engine, record_t *record, outcome_t run, outcome_t result) noexcept nogil:
    cdef wait_t *wait
    while record.waits != NULL:
        wait = record.waits
        wait_end(engine, wait, run if wait.kind == WAIT_RUN else result)


cdef bint run_lapsed(const record_t *record) noexcept nogil:
    """Whether only its lease keeps a run job going."""
    cdef wait_t *wait = record.waits
    while record.is_run and wait != NULL:
        if wait.kind == WAIT_RUN:
            return wait.lapsed
        wait = wait.next
    return False


cdef void wait_lapse(engine_t *engine, wait_t *wait) noexcept nogil:
    """The time-out of a wait is over. A run goes on while its job is leased."""
    if wait.outcome != OUTCOME_NONE:
        return
    if wait.kind != WAIT_RUN:
        wait_end(engine, wait, OUTCOME_TIMEOUT)
    elif wait.record.state == STATE_LEASED:
        wait.lapsed = True
    else:
        job_drop(engine, wait.record, OUTCOME_TIMEOUT)


cdef void engine_end_waits(engine_t *engine, outcome_t outcome) noexcept nogil:
    """End every wait for a record. O(records). Leasers are ended queue by queue by the caller."""
    cdef Py_ssize_t i
    for i in range(engine.slot_mask + 1):
        if engine.slots[i] != NULL:
            waits_end(engine, engine.slots[i], outcome, outcome)

# ---------------------------------------------------------------- hand-off

cdef void queue_offer(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil:
    """Hand ready jobs to the leasers that wait, longest first."""
    cdef record_t *record
    cdef wait_t *wait
    cdef uint8_t prior_state
    while queue.first_link != NULL and not queue.paused:
        wait = queue.first_link.wait
        record = job_lease(engine, queue, now_ns, &prior_state)
        if record == NULL:
            break
        ref_take(object_of(record))
        wait.record = record
        wait.attempt = record.attempts
        wait.prior_state = prior_state
        wait_end(engine, wait, OUTCOME_LEASED)


cdef record_t *job_lease(
        engine_t *engine, queue_t *queue, int64_t now_ns, uint8_t *prior_state) noexcept nogil:
    """Lease the head of ready, or NULL. Skips jobs that cannot be leased (exhausted, no record)."""
    cdef record_t *record
    cdef status_t status
    while True:
        record = queue_pop(queue)
        if record == NULL:
            return NULL
        prior_state[0] = record.state
        status = NOT_FOUND
        if record.home == engine:
            status = job_start(engine, record, now_ns)
        ref_drop(object_of(record))
        if status == OK:
            return record


cdef bint lease_undo(engine_t *engine, wait_t *wait, int64_t now_ns) noexcept nogil:
    """Undo a hand-off that its caller never saw: everything is as it was before."""
    cdef record_t *record = wait.record
    if (record.home != engine or record.state != STATE_LEASED or record.attempts != wait.attempt):
        return True
    if run_lapsed(record):
        job_drop(engine, record, OUTCOME_TIMEOUT)
        return True
    if engine.shadow == NULL and queue_add(record.queue, record) < 0:
        return False
    timer_end(engine, record, KIND_TTR)
    state_set(record, wait.prior_state)
    record.attempts -= 1
    engine.leased_count -= 1
    queue_offer(engine, record.queue, now_ns)
    return True

# ---------------------------------------------------------------- the life of a job

cdef status_t job_enter(
        engine_t *engine, record_t *record, int64_t due_ns, int64_t now_ns) noexcept nogil:
    """Register a record and place it: in scheduled if it has a due time, else in ready."""
    cdef job_t *job = record.job
    cdef int64_t created_old_ns = job.tie.created_ns
    cdef int done = registry_add(engine, record)
    if done != 1:
        return NO_MEMORY if done < 0 else DUPLICATE_JOB
    if not job.created_given and job.held == 0:
        job.tie.created_ns = max(now_ns + engine.wall_offset_ns, engine.created_last_ns + 1)
    if due_ns != NEVER_NS:
        done = queue_schedule(record.queue, record, due_ns)
    elif engine.shadow == NULL:
        done = queue_add(record.queue, record)
    if done != 1:
        job.tie.created_ns = created_old_ns
        registry_remove(engine, record)
        return NO_MEMORY if done < 0 else QUEUE_OUT_OF_SYNC
    if not job.created_given:
        engine.created_last_ns = max(job.tie.created_ns, engine.created_last_ns)
    engine.added_count += 1
    return OK


cdef status_t time_check(
        const job_t *job, bint scheduled, bint is_run, int64_t wall_ns) noexcept nogil:
    """Whether a job has the time it needs, and its TTL is not over before it begins."""
    cdef int64_t start_ns = job.time_ns
    if start_ns == NEVER_NS:
        if scheduled:
            return NO_TIME
        start_ns = job.tie.created_ns if job.created_given or job.held else wall_ns
    if not is_run and start_ns + <int64_t> job.ttl_ms * NS_PER_MS < wall_ns:
        return EXPIRED
    return OK


cdef status_t job_check_new(
        const engine_t *engine, const job_t *job, bint scheduled, bint is_run,
        int64_t now_ns) noexcept nogil:
    """What an add or schedule would come to, were its queue there."""
    if registry_find(engine, job.tie.id) != NULL:
        return DUPLICATE_JOB
    return time_check(job, scheduled, is_run, now_ns + engine.wall_offset_ns)


cdef status_t job_add(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """NEW, in ready; TTL runs, unless it is a run job. The caller offers the queue."""
    cdef job_t *job = record.job
    cdef bint stamped = not job.created_given and job.held == 0
    cdef int64_t wall_ns = now_ns + engine.wall_offset_ns
    cdef status_t status = time_check(job, False, record.is_run, wall_ns)
    if status == OK:
        status = job_enter(engine, record, NEVER_NS, now_ns)
    if status == OK:
        # A stamp may be ahead of the clock, to keep the order of adding; TTL runs from now.
        ttl_arm(engine, record, wall_ns if stamped else job.tie.created_ns)
    return status


cdef status_t job_schedule(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """NEW, in scheduled until its time; in ready if that is past. The caller offers the queue."""
    cdef int64_t time_ns = record.job.time_ns
    cdef int64_t wall_ns = now_ns + engine.wall_offset_ns
    cdef status_t status = time_check(record.job, True, False, wall_ns)
    if status == OK:
        status = job_enter(engine, record, NEVER_NS if time_ns <= wall_ns else time_ns, now_ns)
    if status != OK:
        return status
    if time_ns <= wall_ns:
        record.scheduled = TIMER_FIRED
        ttl_arm(engine, record, time_ns)
    else:
        record.scheduled = TIMER_ARMED
    return OK


cdef void job_unadd(engine_t *engine, record_t *record, int64_t created_ns) noexcept nogil:
    """Take back an add or schedule that cannot stand; created_ns is the stamp from before."""
    engine.added_count -= 1
    ref_take(object_of(record))
    job_drop(engine, record, OUTCOME_GONE)
    record.job.tie.created_ns = created_ns
    ref_drop(object_of(record))


cdef void job_drop(engine_t *engine, record_t *record, outcome_t run_outcome) noexcept nogil:
    """Out of everything. The record may be freed."""
    scheduled_end(record, TIMER_CANCELLED)
    queue_remove(record)
    waits_end(engine, record, run_outcome, OUTCOME_GONE)
    registry_remove(engine, record)


cdef void job_delete(engine_t *engine, record_t *record) noexcept nogil:
    job_drop(engine, record, OUTCOME_GONE)


cdef void job_expire(engine_t *engine, record_t *record) noexcept nogil:
    if not record_processed(record):
        engine.evicted_count += 1
    job_drop(engine, record, OUTCOME_GONE)


cdef void job_finish(
        engine_t *engine, record_t *record, bint success, void *result, int64_t now_ns) noexcept nogil:
    """COMPLETED or FAILED with a result (bytes, borrowed), unless it is that already."""
    cdef int64_t latest_ns
    ref_take(result)
    record.result = result
    scheduled_end(record, TIMER_CANCELLED)
    queue_remove(record)
    timer_end(engine, record, KIND_TTR)
    state_set(record, STATE_COMPLETED if success else STATE_FAILED)
    if success:
        engine.completed_count += 1
    else:
        engine.failed_count += 1
    waits_end(engine, record, OUTCOME_PROCESSED, OUTCOME_PROCESSED)
    if record.home == NULL or record.is_run:
        return
    ttl_arm(engine, record, ttl_start_ns(record))  # if it ends before its time
    if engine.result_ttl_ns == NEVER_NS:
        return
    if engine.result_ttl_ns == 0:
        registry_remove(engine, record)
        return
    latest_ns = now_ns + engine.result_ttl_ns
    if record.ttl.state != TIMER_ARMED or latest_ns < record.ttl.deadline_ns:
        timer_end(engine, record, KIND_TTL)
        wheel_arm(&engine.wheel, &record.ttl, latest_ns)


cdef status_t answer_check(const record_t *record, uint64_t attempt) noexcept nogil:
    """Whether complete and fail may go on."""
    if attempt != ANY_ATTEMPT and (record.state != STATE_LEASED or record.attempts != attempt):
        return LEASE_EXPIRED
    if record_processed(record):
        return DUPLICATE_RESULT
    return OK


cdef status_t job_complete(
        engine_t *engine, record_t *record, void *result, uint64_t attempt, int64_t now_ns) noexcept nogil:
    cdef status_t status = answer_check(record, attempt)
    if status == OK:
        job_finish(engine, record, True, result, now_ns)
    return status


cdef status_t job_fail(
        engine_t *engine, record_t *record, void *result, uint64_t attempt, int64_t now_ns) noexcept nogil:
    """One failure more: back to ready while both budgets last, else FAILED."""
    cdef status_t status = answer_check(record, attempt)
    if status != OK:
        return status
    record.fails += 1
    if record.fails < record.job.max_fails and attempts_remain(record):
        status = job_back(engine, record, now_ns)
        if status != OK:
            record.fails -= 1
        return status
    job_finish(engine, record, False, result, now_ns)
    return OK


cdef status_t job_back(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """PENDING, in ready at its old place, and offered. Ends a run that only its lease kept going."""
    cdef int done = 1
    if run_lapsed(record):
        job_drop(engine, record, OUTCOME_TIMEOUT)
        return OK
    if record.place == PLACE_SCHEDULED:
        if engine.shadow != NULL:
            queue_remove(record)
        else:
            done = queue_awake(record.queue, record)
        if done >= 0:
            scheduled_end(record, TIMER_CANCELLED)
    elif record.place == PLACE_NONE and engine.shadow == NULL:
        done = queue_add(record.queue, record)
    if done < 0:
        return NO_MEMORY
    timer_end(engine, record, KIND_TTR)
    state_set(record, STATE_PENDING)
    ttl_arm(engine, record, ttl_start_ns(record))
    queue_offer(engine, record.queue, now_ns)
    return OK


cdef status_t job_start(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """LEASED, one attempt more, TTR runs; or FAILED if its attempts are used up."""
    if record.state == STATE_LEASED:
        return ALREADY_LEASED
    if record_processed(record):
        return ALREADY_PROCESSED
    if not attempts_remain(record):
        job_finish(engine, record, False, engine.empty, now_ns)
        return MAX_ATTEMPTS_REACHED
    if record.place != PLACE_NONE:
        if record.place == PLACE_SCHEDULED:
            scheduled_end(record, TIMER_CANCELLED)
            ttl_arm(engine, record, ttl_start_ns(record))
        queue_remove(record)
    state_set(record, STATE_LEASED)
    record.attempts += 1
    engine.leased_count += 1
    wheel_arm(&engine.wheel, &record.ttr, now_ns + <int64_t> record.job.ttr_ms * NS_PER_MS)
    return OK


cdef status_t job_timeout(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """The attempt is over: back to ready while attempts remain, else FAILED. Ends a run."""
    cdef status_t status = OK
    if record.state != STATE_LEASED:
        return OK
    if record.is_run:
        job_drop(engine, record, OUTCOME_TIMEOUT)
    elif attempts_remain(record):
        status = job_back(engine, record, now_ns)
    else:
        job_finish(engine, record, False, engine.empty, now_ns)
    engine.timed_out_count += status == OK
    return status


cdef status_t lease_check(const record_t *record, uint64_t attempt) noexcept nogil:
    if record.state != STATE_LEASED or (attempt != ANY_ATTEMPT and record.attempts != attempt):
        return LEASE_EXPIRED
    return OK


cdef status_t job_touch(
        engine_t *engine, record_t *record, int64_t ttr_ms, uint64_t attempt, int64_t now_ns) noexcept nogil:
    """TTR starts again; ttr_ms < 0: the job's own."""
    cdef status_t status = lease_check(record, attempt)
    if status == OK:
        timer_end(engine, record, KIND_TTR)
        wheel_arm(&engine.wheel, &record.ttr,
                  now_ns + (ttr_ms if ttr_ms >= 0 else <int64_t> record.job.ttr_ms) * NS_PER_MS)
    return status


cdef status_t job_release(
        engine_t *engine, record_t *record, int64_t delay_ms, uint64_t attempt, int64_t now_ns) noexcept nogil:
    """A leased job goes back: PENDING in ready, or scheduled after a delay."""
    cdef status_t status = lease_check(record, attempt)
    cdef int64_t ttr_deadline_ns = record.ttr.deadline_ns
    if status != OK:
        return status
    if delay_ms == 0 or run_lapsed(record):
        return job_back(engine, record, now_ns)
    wheel_cancel(&engine.wheel, &record.ttr)
    if queue_schedule(record.queue, record,
                      now_ns + engine.wall_offset_ns + delay_ms * NS_PER_MS) < 0:
        wheel_arm(&engine.wheel, &record.ttr, ttr_deadline_ns)
        return NO_MEMORY
    view_end(record, KIND_TTR, TIMER_CANCELLED)
    record.scheduled = TIMER_ARMED
    state_set(record, STATE_PENDING)
    return OK


cdef status_t job_awake(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """From scheduled to ready, by its time."""
    cdef queue_t *queue = record.queue
    if record.place != PLACE_SCHEDULED:
        return OK
    if engine.shadow != NULL:
        queue_remove(record)
    elif queue_awake(queue, record) < 0:
        return NO_MEMORY
    scheduled_end(record, TIMER_FIRED)
    if record.home == engine:
        ttl_arm(engine, record, ttl_start_ns(record))
    queue_offer(engine, queue, now_ns)
    return OK

# ---------------------------------------------------------------- time

cdef int64_t engine_due_ns(const engine_t *engine) noexcept nogil:
    """Mono time at which the earliest scheduled job is due, as the wall clock stands now."""
    if engine.due_count == 0:
        return NEVER_NS
    return queue_due_ns(engine.due[0]) - engine.wall_offset_ns


cdef record_t *engine_fire(engine_t *engine, int64_t now_ns, kind_t *kind) noexcept nogil:
    """Do all that is due, in order of deadlines.

    Returns NULL when nothing is left, or a record (with a new reference) and the kind of timer for
    which the caller must call the user's function; then it calls again.
    """
    cdef record_t *record
    cdef wait_t *wait
    cdef timer_t *timer
    cdef int64_t due_ns
    while True:
        due_ns = engine_due_ns(engine)
        timer = wheel_pop_due(&engine.wheel, min(now_ns, due_ns))
        if timer != NULL and timer.kind == KIND_WAIT:
            wait = <wait_t *> (<char *> timer - WAIT_OFFSET)
            if engine.shadow != NULL and wait.kind == WAIT_RUN:
                kind[0] = KIND_WAIT
                ref_take(object_of(wait.record))
                return wait.record
            wait_lapse(engine, wait)
        elif timer != NULL and timer.kind == KIND_TTL:
            record = <record_t *> (<char *> timer - TTL_OFFSET)
            view_end(record, KIND_TTL, TIMER_FIRED)
            if engine.expire_hooked:
                kind[0] = KIND_TTL
                ref_take(object_of(record))
                return record
            job_expire(engine, record)
        elif timer != NULL:
            record = <record_t *> (<char *> timer - TTR_OFFSET)
            view_end(record, KIND_TTR, TIMER_FIRED)
            if engine.timeout_hooked:
                kind[0] = KIND_TTR
                ref_take(object_of(record))
                return record
            if job_timeout(engine, record, now_ns) == NO_MEMORY:
                wheel_arm(&engine.wheel, &record.ttr, now_ns + RETRY_MS * NS_PER_MS)
        elif due_ns <= now_ns:
            record = <record_t *> skiplist_first(&engine.due[0].scheduled)
            if engine.shadow != NULL:
                kind[0] = KIND_SCHEDULED
                ref_take(object_of(record))
                return record
            if job_awake(engine, record, now_ns) == NO_MEMORY:
                return NULL
        else:
            return NULL

# ---------------------------------------------------------------- invariants

cdef const char *record_check(const engine_t *engine, record_t *record) noexcept nogil:
    if record.home != engine:
        return "a record of the registry knows another home"
    if registry_find(engine, record.job.tie.id) != record:
        return "a record is not found by its id"
    if record.place != PLACE_NONE and queue_find(record.queue, record.job) != record:
        return "a record's queue does not hold it"
    if record.place != PLACE_NONE and (record.state == STATE_LEASED or record_processed(record)):
        return "a leased or processed job stands in a queue"
    if record.ttr.state == TIMER_ARMED and record.state != STATE_LEASED:
        return "the TTR of a job that is not leased is armed"
    if (record.scheduled == TIMER_ARMED) != (record.place == PLACE_SCHEDULED and
                                             record.ttr.deadline_ns != NEVER_NS):
        return "a record's scheduled timer and place disagree"
    if record_processed(record) and (record.result == NULL or record.waits != NULL):
        return "a processed job has no result, or somebody still waits for it"
    return NULL


cdef const char *engine_check(engine_t *engine) noexcept nogil:
    """NULL if every invariant of the registry, the wheel and the heap holds. O(n log n)."""
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t running = 0
    cdef const char *broken
    for i in range(engine.slot_mask + 1):
        if engine.slots[i] != NULL:
            count += 1
            running += engine.slots[i].state == STATE_LEASED
            broken = record_check(engine, engine.slots[i])
            if broken != NULL:
                return broken
    if count != engine.count:
        return "the count of records is wrong"
    if running != engine.running_count:
        return "the count of leased records is wrong"
    for i in range(engine.due_count):
        if engine.due[i].due_index != i or engine.due[i].engine != engine:
            return "a queue does not know its place among the due times"
        if queue_due_ns(engine.due[i]) < queue_due_ns(engine.due[(i - 1) // 2 if i else 0]):
            return "the heap of due times is out of order"
    return wheel_check(&engine.wheel)
