"""The transitions of a job's life: the state machine, hand-off, and what time does.

In plain C structs, as state.pyx, on which it stands: no Python object, no IO, no clock.

Invariant: every function runs with the engine's lock held, and is whole, so that callers see a
transition done or not begun.
Invariant: what can fail for want of memory comes first in a function; after it nothing can fail.
Invariant: a record of the engine is leased (TTR armed), or stands in its queue, or is processed, or
was put there by hand.
Complexity: O(log n) in the jobs of one queue, O(1) in everything else, if not said otherwise.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport (
    HAS_GIL, JQ_ASSERT, lock_held, object_books, prefetch, ref_drop, ref_take, slot_books,
)
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS, TIME_MAX_NS, ns_sum
from jobqueue._structures.keys cimport sortkey_t
from jobqueue._structures.skiplist cimport skiplist_ahead, skiplist_first, skiplist_prefetch
from jobqueue._structures.wheel cimport (
    TIMER_ARMED, TIMER_CANCELLED, TIMER_FIRED, TIMER_IDLE, timer_t, wheel_arm, wheel_cancel,
    wheel_due_ns, wheel_pop_due,
)
from jobqueue._structures.id_table cimport ids_far, ids_fetch
from jobqueue._machine.types cimport (
    ALREADY_LEASED, ALREADY_PROCESSED, ANY_ATTEMPT, DUPLICATE_JOB, DUPLICATE_RESULT, EVENT_ADDED,
    EVENT_AWAKE, EVENT_CANCELLED, EVENT_COMPLETED, EVENT_DELETED, EVENT_EXHAUSTED, EVENT_EXPIRED,
    EVENT_FAILED, EVENT_KICKED, EVENT_LEASED, EVENT_RELEASED, EVENT_SCHEDULED, EVENT_TIMED_OUT,
    EVENT_TOUCHED, EVENT_UNDONE, EXPIRED, EXTRA_KICKED, EXTRA_QUEUED, EXTRA_STORED,
    JOB_CREATED_GIVEN, JOB_UNIQUE, KIND_SCHEDULED, KIND_TTL, KIND_TTR, KIND_WAIT, LEASE_EXPIRED,
    MAX_ATTEMPTS_REACHED, NOTE_ADDED, NOTE_BATCH, NOTE_BATCH_END, NOTE_CHANGED, NOTE_GONE, NOT_DEAD,
    NOT_FOUND, NO_MEMORY, NO_TIME, OBJECT_HEAD, OK, OUTCOME_ADDED, OUTCOME_GONE, OUTCOME_LEASED,
    OUTCOME_NONE, OUTCOME_PROCESSED, OUTCOME_REFUSED, OUTCOME_TIMEOUT, PLACE_NONE, PLACE_SCHEDULED,
    QUEUE_OUT_OF_SYNC, SLICE_STEPS, STATE_COMPLETED, STATE_FAILED, STATE_LEASED, STATE_NEW,
    STATE_PENDING, TRANSITION_STEPS, WAIT_RUN, bytes_size, engine_t, event_kind_t, job_t, kind_t,
    outcome_t, queue_t, record_t, status_t, wait_t,
)
from jobqueue._machine.layout cimport job_bytes, object_of, record_processed
from jobqueue._machine.events cimport event_note, events_batch, events_cut
from jobqueue._machine.bounds cimport load_passed, result_uncount, capacity_check, capacity_take
from jobqueue._machine.state cimport (
    attempts_remain, dead_enter, dead_leave, engine_due_ns, extras_end, job_acquire,
    job_release_lock, key_check, key_ready, key_take, note, queue_add, queue_awake, queue_pop,
    queue_postpone, queue_remove, queue_schedule, registry_add, registry_find, registry_remove,
    scheduled_end, state_set, timer_end, ttl_arm, ttl_start_ns, view_end, wait_end, waits_end,
    wall_now_ns,
)

cdef enum:
    ATTEMPTS_OWN_MAX = 0x7FFFFFFF  # numbers of attempts that a timer can keep
    RETRY_MS = 10                 # pause before a timer that met a want of memory tries again


cdef record_t probe_record
cdef wait_t probe_wait
cdef Py_ssize_t TTL_OFFSET = <char *> &probe_record.ttl - <char *> &probe_record
cdef Py_ssize_t TTR_OFFSET = <char *> &probe_record.ttr - <char *> &probe_record
cdef Py_ssize_t WAIT_OFFSET = <char *> &probe_wait.timer - <char *> &probe_wait

# ---------------------------------------------------------------- small pieces

cdef inline int64_t end_ns(int64_t now_ns, int64_t span_ns) noexcept nogil:
    """When a span from now is over, 30 days at most: with time itself, if that ends before."""
    return min(now_ns + span_ns, TIME_MAX_NS)


cdef inline void ttl_begin(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """Let TTL run from now; it is not armed."""
    wheel_arm(&engine.wheel, &record.ttl, end_ns(now_ns, <int64_t> record.job.ttl_ms * NS_PER_MS))

# ---------------------------------------------------------------- runs

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
    JQ_ASSERT(lock_held(&engine.lock))
    if wait.outcome != OUTCOME_NONE:
        return
    if wait.kind != WAIT_RUN:
        wait_end(engine, wait, OUTCOME_TIMEOUT)
    elif wait.record.state == STATE_LEASED:
        wait.lapsed = True
    else:
        job_drop(engine, wait.record, OUTCOME_TIMEOUT)

# ---------------------------------------------------------------- hand-off

cdef void queue_offer(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil:
    """Hand ready jobs to the leasers that wait, longest first."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef record_t *record
    cdef wait_t *wait
    cdef uint8_t prior_state
    while queue.first_link != NULL and not queue.paused:
        wait = queue.first_link.wait
        if engine.lagging:
            lapsed_pass_all(engine, queue, now_ns)
        record = job_lease(engine, queue, now_ns, &prior_state)
        if record == NULL:
            break
        ref_take(object_of(record))
        wait.record = record
        wait.attempt = record.attempts
        wait.prior_state = prior_state
        wait_end(engine, wait, OUTCOME_LEASED)


cdef inline void offer(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil:
    """queue_offer, if somebody waits."""
    if queue.first_link != NULL:
        queue_offer(engine, queue, now_ns)


cdef inline void look_ahead(const engine_t *engine, const queue_t *queue) noexcept nogil:
    """Ask for the memory of the next jobs in line, each step a lease before it is read.

    With millions of jobs each would else be waited for: the record, then its job and the timers
    beside its own.
    """
    cdef const record_t *far = <const record_t *> skiplist_ahead(&queue.ready, 6)
    cdef const record_t *near = <const record_t *> skiplist_ahead(&queue.ready, 3)
    cdef const record_t *next = <const record_t *> skiplist_ahead(&queue.ready, 1)
    if far != NULL:
        prefetch(<const char *> far - sizeof(job_t) - 2 * OBJECT_HEAD)  # its job
        prefetch(<const char *> far - sizeof(job_t) - 2 * OBJECT_HEAD + 64)
        prefetch(far)
        prefetch(<const char *> far + 64)
        prefetch(<const char *> far + 128)
    if near != NULL:
        prefetch(near.job)
        prefetch(near.ttl.prev)
        prefetch(near.ttl.next)
    if next != NULL:  # for its delete
        if next.job.payload != NULL:
            prefetch(next.job.payload)
            prefetch(object_books(next.job.payload))
        prefetch(slot_books(next.job))
        ids_fetch(&engine.ids, next.job.tie.id)


cdef bint lapsed_pass(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil:
    """Expire jobs at the head of ready whose TTL is over. True: after a slice of them there may be more."""
    for _ in range(SLICE_STEPS // TRANSITION_STEPS):
        if not record_lapse(engine, <record_t *> skiplist_first(&queue.ready), now_ns):
            return False
    return True


cdef void lapsed_pass_all(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil:
    while lapsed_pass(engine, queue, now_ns):
        pass


cdef record_t *job_lease(
        engine_t *engine, queue_t *queue, int64_t now_ns, uint8_t *prior_state) noexcept nogil:
    """Lease the head of ready, or NULL. Skips jobs that cannot be leased (exhausted, expired, no record).

    While the engine lags behind, the caller has passed over the expired jobs at the head.
    """
    cdef record_t *record
    cdef status_t status
    while True:
        record = queue_pop(queue)
        if record == NULL:
            return NULL
        look_ahead(engine, queue)
        prior_state[0] = record.state
        status = NOT_FOUND
        if record.home == engine:
            status = job_start(engine, record, now_ns)
        ref_drop(object_of(record))
        if status == OK:
            return record
        if engine.lagging:
            lapsed_pass_all(engine, queue, now_ns)


cdef bint lease_undo(engine_t *engine, wait_t *wait, int64_t now_ns) noexcept nogil:
    """Undo a hand-off that its caller never saw: everything is as it was before."""
    JQ_ASSERT(lock_held(&engine.lock))
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
    note(engine, record, NOTE_CHANGED)
    if engine.watched:
        event_note(engine, record, EVENT_UNDONE, record.state, NULL, now_ns)
    offer(engine, record.queue, now_ns)
    return True

# ---------------------------------------------------------------- the life of a job

cdef inline status_t job_enter(
        engine_t *engine, record_t *record, int64_t due_ns, int64_t wall_ns) noexcept nogil:
    """Register a record and place it: in scheduled if it has a due time, else in ready."""
    cdef status_t status
    if HAS_GIL:
        return job_enter_alone(engine, record, due_ns, wall_ns)
    job_acquire(record.job)
    status = job_enter_alone(engine, record, due_ns, wall_ns)
    job_release_lock(record.job)
    return status


cdef inline void place_prefetch(const record_t *record, int64_t created_ns) noexcept nogil:
    """Ask for the memory where a job will stand in ready, while its id is looked for."""
    cdef sortkey_t key = key_ready(record.job)
    key.b = created_ns
    skiplist_prefetch(&record.queue.ready, &key)


cdef status_t job_enter_alone(
        engine_t *engine, record_t *record, int64_t due_ns, int64_t wall_ns) noexcept nogil:
    cdef job_t *job = record.job
    cdef int64_t created_old_ns = job.tie.created_ns
    cdef bint stamped = not job.flags & JOB_CREATED_GIVEN and job.held == 0
    cdef status_t status
    cdef int done
    if job.flags & JOB_UNIQUE:
        status = key_check(engine, job)
        if status != OK:  # its own id, if that is there too, is the nearer reason
            return status if registry_find(engine, job.tie.id) == NULL else DUPLICATE_JOB
    if engine.bounded:
        status = bounds_check(engine, record.queue, job)
        if status != OK:
            return status
    if ids_far(&engine.ids) and due_ns == NEVER_NS:
        place_prefetch(record, wall_ns if stamped else created_old_ns)
    done = registry_add(engine, record)
    if done != 1:
        return NO_MEMORY if done < 0 else DUPLICATE_JOB
    if stamped:
        job.tie.created_ns = max(wall_ns, engine.created_last_ns + 1)
    if due_ns != NEVER_NS:
        done = queue_schedule(record.queue, record, due_ns)
    elif engine.shadow == NULL:
        done = queue_add(record.queue, record)
    if done != 1:
        job.tie.created_ns = created_old_ns
        registry_remove(engine, record)
        return NO_MEMORY if done < 0 else QUEUE_OUT_OF_SYNC
    if not job.flags & JOB_CREATED_GIVEN:
        engine.created_last_ns = max(job.tie.created_ns, engine.created_last_ns)
    if job.flags & JOB_UNIQUE:
        key_take(engine, record)
    if engine.bounded:
        capacity_take(engine, record)
    engine.added_count += 1
    return OK


cdef status_t bounds_check(engine_t *engine, queue_t *queue, const job_t *job) noexcept nogil:
    """Whether there is capacity for a job that is not here already."""
    if registry_find(engine, job.tie.id) != NULL:
        return DUPLICATE_JOB
    return capacity_check(engine, queue, job_bytes(job))


cdef status_t time_check(
        const job_t *job, bint scheduled, bint is_run, int64_t wall_ns) noexcept nogil:
    """Whether a job has the time it needs, and its TTL is not over before it begins."""
    cdef int64_t start_ns = job.time_ns
    if start_ns == NEVER_NS:
        if scheduled:
            return NO_TIME
        start_ns = job.tie.created_ns if job.flags & JOB_CREATED_GIVEN or job.held else wall_ns
    if not is_run and ns_sum(start_ns, <int64_t> job.ttl_ms * NS_PER_MS) < wall_ns:
        return EXPIRED
    return OK


cdef status_t job_check_new(
        engine_t *engine, const job_t *job, bint scheduled, bint is_run,
        int64_t now_ns) noexcept nogil:
    """What an add or schedule would come to, were its queue there."""
    cdef status_t status = time_check(job, scheduled, is_run, wall_now_ns(engine, now_ns))
    if status == OK and registry_find(engine, job.tie.id) != NULL:
        return DUPLICATE_JOB
    if status == OK and job.flags & JOB_UNIQUE:
        status = key_check(engine, job)
    if status == OK and engine.bounded:
        status = bounds_check(engine, NULL, job)
    return status


cdef status_t job_add(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """NEW, in ready; TTL runs, unless it is a run job. The caller offers the queue."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef job_t *job = record.job
    cdef bint stamped = not job.flags & JOB_CREATED_GIVEN and job.held == 0
    cdef int64_t wall_ns = wall_now_ns(engine, now_ns)
    cdef status_t status = time_check(job, False, record.is_run, wall_ns)
    if status == OK:
        status = job_enter(engine, record, NEVER_NS, wall_ns)
    if status == OK:
        # A stamp may be ahead of the clock, to keep the order of adding; TTL runs from now.
        if not stamped:
            ttl_arm(engine, record, job.tie.created_ns)
        elif not record.is_run:
            ttl_begin(engine, record, now_ns)
        note(engine, record, NOTE_ADDED)
        if engine.watched:
            event_note(engine, record, EVENT_ADDED, STATE_NEW, NULL, now_ns)
    return status


cdef status_t job_schedule(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """NEW, in scheduled until its time; in ready if that is past. The caller offers the queue."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef int64_t time_ns = record.job.time_ns
    cdef int64_t wall_ns = wall_now_ns(engine, now_ns)
    cdef status_t status = time_check(record.job, True, False, wall_ns)
    if status == OK:
        status = job_enter(engine, record, NEVER_NS if time_ns <= wall_ns else time_ns, wall_ns)
    if status != OK:
        return status
    if time_ns <= wall_ns:
        record.scheduled = TIMER_FIRED
        ttl_arm(engine, record, time_ns)
    else:
        record.scheduled = TIMER_ARMED
    note(engine, record, NOTE_ADDED)
    if engine.watched:
        event_note(engine, record, EVENT_ADDED if time_ns <= wall_ns else EVENT_SCHEDULED, STATE_NEW,
                   NULL, now_ns)
    return OK


cdef void job_unadd(engine_t *engine, record_t *record, int64_t created_ns) noexcept nogil:
    """Take back an add or schedule that cannot stand; created_ns is the stamp from before."""
    JQ_ASSERT(lock_held(&engine.lock))
    engine.added_count -= 1
    ref_take(object_of(record))
    job_drop(engine, record, OUTCOME_GONE)
    if not HAS_GIL:
        job_acquire(record.job)
    if record.job.held == 0:  # else another queue or engine goes by the stamp
        record.job.tie.created_ns = created_ns
    if not HAS_GIL:
        job_release_lock(record.job)
    ref_drop(object_of(record))


cdef void job_drop(engine_t *engine, record_t *record, outcome_t run_outcome) noexcept nogil:
    """Out of everything, by a call. The record may be freed."""
    if engine.watched:
        event_note(engine, record, EVENT_DELETED, record.state, NULL, 0)
    job_leave(engine, record, run_outcome)


cdef void job_leave(engine_t *engine, record_t *record, outcome_t run_outcome) noexcept nogil:
    """Out of everything. The record may be freed."""
    JQ_ASSERT(lock_held(&engine.lock))
    note(engine, record, NOTE_GONE)
    scheduled_end(record, TIMER_CANCELLED)
    queue_remove(record)
    if record.waits != NULL:
        waits_end(engine, record, run_outcome, OUTCOME_GONE)
    registry_remove(engine, record)


cdef void job_delete(engine_t *engine, record_t *record) noexcept nogil:
    job_drop(engine, record, OUTCOME_GONE)


cdef void job_expire(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """Its time is over: out of everything; but unprocessed it may be kept for a while."""
    if not record_processed(record):
        engine.evicted_count += 1
        if engine.keep_expired_ns and not record.is_run:
            job_keep(engine, record, now_ns)
            return
    if engine.watched:
        event_note(engine, record, EVENT_EXPIRED, record.state, NULL, 0)
    job_leave(engine, record, OUTCOME_GONE)


cdef void job_keep(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """Expired unprocessed, and kept: FAILED, among the dead. It counts as evicted, not as failed."""
    JQ_ASSERT(lock_held(&engine.lock))
    job_close(engine, record, False, engine.expired)
    if engine.watched:
        event_note(engine, record, EVENT_FAILED, STATE_FAILED, engine.expired, now_ns)
    if record.waits != NULL:
        waits_end(engine, record, OUTCOME_PROCESSED, OUTCOME_PROCESSED)
    dead_enter(engine, record)
    timer_end(engine, record, KIND_TTL)
    wheel_arm(&engine.wheel, &record.ttl, end_ns(now_ns, engine.keep_expired_ns))
    note(engine, record, NOTE_CHANGED)


cdef inline void job_close(
        engine_t *engine, record_t *record, bint success, void *result) noexcept nogil:
    """Give a record its result (bytes, borrowed) and its last state: out of its queue, its TTR ends."""
    if record.extras:
        extras_end(engine, record)
        if record.extras & EXTRA_KICKED:  # the result of its last life
            result_uncount(engine, record)
            ref_drop(record.result)
        record.extras &= EXTRA_STORED | EXTRA_QUEUED
    ref_take(result)
    record.result = result
    engine.load.bytes += bytes_size(result)
    if record.extras & EXTRA_QUEUED:  # bytes are all that is still counted
        record.queue.load.bytes += bytes_size(result)
    scheduled_end(record, TIMER_CANCELLED)
    queue_remove(record)
    timer_end(engine, record, KIND_TTR)
    state_set(record, STATE_COMPLETED if success else STATE_FAILED)


cdef void job_finish(
        engine_t *engine, record_t *record, bint success, void *result, int64_t now_ns) noexcept nogil:
    """COMPLETED or FAILED with a result (bytes, borrowed), unless it is that already.

    Who fails a job notes how; a success is noted here.
    """
    cdef int64_t latest_ns
    job_close(engine, record, success, result)
    if success:
        if engine.watched:
            event_note(engine, record, EVENT_COMPLETED, STATE_COMPLETED, NULL, now_ns)
        engine.completed_count += 1
    else:
        engine.failed_count += 1
    if record.waits != NULL:
        waits_end(engine, record, OUTCOME_PROCESSED, OUTCOME_PROCESSED)
    if record.home == NULL or record.is_run:
        return
    if not success:
        dead_enter(engine, record)
    ttl_arm(engine, record, ttl_start_ns(record))  # if it ends before its time
    if engine.result_ttl_ns == 0:
        note(engine, record, NOTE_GONE)
        if engine.watched:
            event_note(engine, record, EVENT_EXPIRED, record.state, NULL, now_ns)
        registry_remove(engine, record)
        return
    if engine.result_ttl_ns != NEVER_NS:
        latest_ns = end_ns(now_ns, engine.result_ttl_ns)
        if record.ttl.state != TIMER_ARMED or latest_ns < record.ttl.deadline_ns:
            timer_end(engine, record, KIND_TTL)
            wheel_arm(&engine.wheel, &record.ttl, latest_ns)
    note(engine, record, NOTE_CHANGED)


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
        engine_t *engine, record_t *record, void *result, int64_t delay_ms, uint64_t attempt,
        int final, int64_t now_ns) noexcept nogil:
    """One failure more: back in line, after a delay, while both budgets last; else FAILED.

    final: 1 FAILED whatever is left; 0 back in line whatever the failures; below 0 as they say.
    """
    cdef status_t status = answer_check(record, attempt)
    cdef bint counts = record.fails < 65535
    if status != OK:
        return status
    if (final == 0 or (final < 0 and record.fails + 1 < record.job.max_fails)) and attempts_remain(record):
        record.fails += counts
        status = job_back(engine, record, delay_ms, EVENT_FAILED, result, now_ns)
        if status != OK:
            record.fails -= counts
        return status
    record.fails += record.fails < 65535
    if engine.watched:
        event_note(engine, record, EVENT_FAILED, STATE_FAILED, result, now_ns)
    job_finish(engine, record, False, result, now_ns)
    return OK


cdef status_t job_cancel(
        engine_t *engine, record_t *record, void *reason, int64_t now_ns) noexcept nogil:
    """FAILED with a reason, whatever budgets are left. If it is leased, the attempt ends by that."""
    JQ_ASSERT(lock_held(&engine.lock))
    if record_processed(record):
        return ALREADY_PROCESSED
    if engine.watched:
        event_note(engine, record, EVENT_CANCELLED, STATE_FAILED, reason, now_ns)
    engine.cancelled_count += 1
    job_finish(engine, record, False, reason, now_ns)
    return OK


cdef status_t job_kick(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """From FAILED to NEW, in ready at its old place, with fresh budgets; TTL runs from now.

    The numbers of its attempts go on, so that no answer of a former life passes for one of this.
    """
    JQ_ASSERT(lock_held(&engine.lock))
    cdef job_t *job = record.job
    cdef status_t status = OK
    cdef int done = 1
    if record.state != STATE_FAILED or record.is_run:
        return NOT_DEAD
    if job.flags & JOB_UNIQUE:
        status = key_check(engine, job)
    if status == OK and engine.bounded:
        status = capacity_check(engine, record.queue, 0)
    if status == OK and engine.shadow == NULL:
        done = queue_add(record.queue, record)
    if status != OK or done != 1:
        return status if status != OK else NO_MEMORY if done < 0 else QUEUE_OUT_OF_SYNC
    dead_leave(engine, record)
    if job.flags & JOB_UNIQUE:
        key_take(engine, record)
    if record.result != NULL:
        record.extras |= EXTRA_KICKED
    if record.attempts > ATTEMPTS_OWN_MAX:  # made by hand
        record.attempts = 0
    record.ttr.own = <uint32_t> record.attempts
    record.fails = 0
    state_set(record, STATE_NEW)
    if engine.bounded:
        capacity_take(engine, record)
    timer_end(engine, record, KIND_TTL)
    record.ttl.state = record.ttr.state = record.scheduled = TIMER_IDLE
    ttl_begin(engine, record, now_ns)
    engine.kicked_count += 1
    note(engine, record, NOTE_CHANGED)
    if engine.watched:
        event_note(engine, record, EVENT_KICKED, record.state, NULL, now_ns)
    offer(engine, record.queue, now_ns)
    return OK


cdef status_t job_back(
        engine_t *engine, record_t *record, int64_t delay_ms, event_kind_t kind, void *reason,
        int64_t now_ns) noexcept nogil:
    """PENDING: in ready at its old place, and offered, or scheduled if there is a delay.

    kind, reason: how observers are told. Ends a run that only its lease kept going.
    """
    cdef int done = 1
    cdef status_t status
    if run_lapsed(record):
        job_drop(engine, record, OUTCOME_TIMEOUT)
        return OK
    if delay_ms > 0:
        status = job_back_later(
            engine, record,
            min(ns_sum(wall_now_ns(engine, now_ns), delay_ms * NS_PER_MS), TIME_MAX_NS))
        if status == OK and engine.watched:
            event_note(engine, record, kind, STATE_PENDING, reason, now_ns)
        return status
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
    note(engine, record, NOTE_CHANGED)
    if engine.watched:
        event_note(engine, record, kind, STATE_PENDING, reason, now_ns)
    offer(engine, record.queue, now_ns)
    return OK


cdef status_t job_back_later(engine_t *engine, record_t *record, int64_t due_ns) noexcept nogil:
    """PENDING, in scheduled until a wall time."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef int64_t ttr_deadline_ns = record.ttr.deadline_ns
    cdef bint leased = record.ttr.state == TIMER_ARMED
    cdef int done
    if leased:
        wheel_cancel(&engine.wheel, &record.ttr)
    if record.place == PLACE_NONE:
        done = queue_schedule(record.queue, record, due_ns)
    else:
        done = queue_postpone(record.queue, record, due_ns)
    if done < 0:
        if leased:
            wheel_arm(&engine.wheel, &record.ttr, ttr_deadline_ns)
        return NO_MEMORY
    if leased:
        view_end(record, KIND_TTR, TIMER_CANCELLED)
    scheduled_end(record, TIMER_CANCELLED)
    record.scheduled = TIMER_ARMED
    state_set(record, STATE_PENDING)
    ttl_arm(engine, record, ttl_start_ns(record))
    note(engine, record, NOTE_CHANGED)
    return OK


cdef status_t job_start(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """LEASED, one attempt more, TTR runs; or FAILED if its attempts are used up."""
    JQ_ASSERT(lock_held(&engine.lock))
    if record.state == STATE_LEASED:
        return ALREADY_LEASED
    if record_processed(record):
        return ALREADY_PROCESSED
    if not attempts_remain(record):
        if engine.watched:
            event_note(engine, record, EVENT_EXHAUSTED, STATE_FAILED, NULL, now_ns)
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
    wheel_arm(&engine.wheel, &record.ttr, end_ns(now_ns, <int64_t> record.job.ttr_ms * NS_PER_MS))
    note(engine, record, NOTE_CHANGED)
    if engine.watched:
        event_note(engine, record, EVENT_LEASED, record.state, NULL, now_ns)
    return OK


cdef status_t job_timeout(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """The attempt is over: back to ready while attempts remain, else FAILED. Ends a run."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef status_t status = OK
    if record.state != STATE_LEASED:
        return OK
    if record.is_run:
        job_drop(engine, record, OUTCOME_TIMEOUT)
    elif attempts_remain(record):
        status = job_back(engine, record, 0, EVENT_TIMED_OUT, NULL, now_ns)
    else:
        if engine.watched:
            event_note(engine, record, EVENT_TIMED_OUT, STATE_FAILED, NULL, now_ns)
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
        wheel_arm(&engine.wheel, &record.ttr, end_ns(
            now_ns, (ttr_ms if ttr_ms >= 0 else <int64_t> record.job.ttr_ms) * NS_PER_MS))
        note(engine, record, NOTE_CHANGED)
        if engine.watched:
            event_note(engine, record, EVENT_TOUCHED, record.state, NULL, now_ns)
    return status


cdef status_t job_release(
        engine_t *engine, record_t *record, int64_t delay_ms, uint64_t attempt,
        int64_t now_ns) noexcept nogil:
    """A leased job goes back: PENDING in ready, or scheduled after a delay."""
    cdef status_t status = lease_check(record, attempt)
    if status != OK:
        return status
    return job_back(engine, record, delay_ms, EVENT_RELEASED, NULL, now_ns)


cdef status_t job_awake(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """From scheduled to ready, by its time."""
    JQ_ASSERT(lock_held(&engine.lock))
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
        note(engine, record, NOTE_CHANGED)
        if engine.watched:
            event_note(engine, record, EVENT_AWAKE, record.state, NULL, now_ns)
    offer(engine, queue, now_ns)
    return OK

# ---------------------------------------------------------------- batches

cdef status_t entrants_add(
        engine_t *engine, entrant_t *entrants, Py_ssize_t count, int64_t now_ns,
        Py_ssize_t *at) noexcept nogil:
    """Add jobs, all or none; ``at`` is the first that cannot be added."""
    cdef int64_t created_last_ns = engine.created_last_ns
    cdef status_t status
    cdef bint waited_for = False
    cdef Py_ssize_t events = engine.event_count
    cdef uint64_t events_lost = engine.event_lost
    cdef record_t *record
    cdef queue_t *queue
    cdef Py_ssize_t i
    note(engine, NULL, NOTE_BATCH)
    events_batch(engine, count)
    for i in range(count):
        record = entrants[i].record
        entrants[i].created_ns = record.job.tie.created_ns
        entrants[i].named = record.queue.named
        status = job_add(engine, record, now_ns)
        if status != OK:
            at[0] = i
            while i > 0:
                i -= 1
                record = entrants[i].record
                queue = record.queue
                job_unadd(engine, record, entrants[i].created_ns)
                queue.named = entrants[i].named
            engine.created_last_ns = created_last_ns
            note(engine, NULL, NOTE_BATCH_END)
            events_cut(engine, events, events_lost)
            events_batch(engine, 0)
            return status
        waited_for |= record.queue.first_link != NULL
    note(engine, NULL, NOTE_BATCH_END)
    if waited_for:
        for i in range(count):
            offer(engine, entrants[i].record.queue, now_ns)
    events_batch(engine, 0)
    return OK

# ---------------------------------------------------------------- capacity

cdef bint adders_admit(engine_t *engine, int64_t now_ns, Py_ssize_t count) noexcept nogil:
    """Take in the jobs of adders that wait, longest first. False: there may be more than so many.

    No adder overtakes another that waits for the same capacity: behind one for which the engine has none
    no adder is looked at, behind one for which its queue has none no adder of that queue. O(adders).
    """
    JQ_ASSERT(lock_held(&engine.lock))
    cdef wait_t *wait = engine.adder_first
    cdef wait_t *next
    cdef queue_t *queue
    cdef int64_t size
    cdef status_t status
    engine.looks += 1
    engine.admitting = True
    while wait != NULL and count > 0:
        next = wait.next
        queue = wait.record.queue
        size = job_bytes(wait.record.job)
        if queue.limited and (queue.passed == engine.looks
                              or load_passed(engine, &queue.load, True, size)):
            queue.passed = engine.looks
        elif load_passed(engine, &engine.load, False, size):
            break
        else:
            count -= 1
            status = (job_schedule if wait.scheduled else job_add)(engine, wait.record, now_ns)
            wait.status = <uint8_t> status
            wait.refusal = engine.refusal
            wait_end(engine, wait, OUTCOME_ADDED if status == OK else OUTCOME_REFUSED)
            if status == OK:
                offer(engine, queue, now_ns)
        wait = next
    engine.admitting = False
    return count > 0

# ---------------------------------------------------------------- time

cdef bint record_lapse(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil:
    """Expire a record whose TTL is over. False: it is not, or there is none, or users are to be asked."""
    JQ_ASSERT(lock_held(&engine.lock))
    if record == NULL or record.home != engine or engine.expire_hooked:
        return False
    if record.ttl.state != TIMER_ARMED or record.ttl.deadline_ns > now_ns:
        return False
    wheel_cancel(&engine.wheel, &record.ttl)
    record.ttl.state = TIMER_FIRED
    view_end(record, KIND_TTL, TIMER_FIRED)
    job_expire(engine, record, now_ns)
    return True


cdef record_t *engine_fire(
        engine_t *engine, int64_t now_ns, kind_t *kind, Py_ssize_t *steps) noexcept nogil:
    """Do what is due, in order of deadlines, in so many steps.

    Returns NULL when nothing is left, or (no steps are left then) when it must go on, or a record (with
    a new reference) and the kind of timer for which the caller must call the user's function; then it
    calls again.
    """
    cdef record_t *record
    cdef wait_t *wait
    cdef timer_t *timer
    cdef int64_t due_ns
    while steps[0] > 0:
        due_ns = engine_due_ns(engine)
        timer = NULL
        # A step of the wall clock may bring a due time from before what the wheel has seen.
        if due_ns >= engine.wheel.now_ns or wheel_due_ns(&engine.wheel, steps) <= due_ns:
            timer = wheel_pop_due(&engine.wheel, min(now_ns, due_ns), steps)
        if timer == NULL and (steps[0] <= 0 or due_ns > now_ns):
            return NULL
        steps[0] -= TRANSITION_STEPS
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
            job_expire(engine, record, now_ns)
        elif timer != NULL:
            record = <record_t *> (<char *> timer - TTR_OFFSET)
            view_end(record, KIND_TTR, TIMER_FIRED)
            if engine.timeout_hooked:
                kind[0] = KIND_TTR
                ref_take(object_of(record))
                return record
            if job_timeout(engine, record, now_ns) == NO_MEMORY:
                wheel_arm(&engine.wheel, &record.ttr, end_ns(now_ns, RETRY_MS * NS_PER_MS))
        else:
            record = <record_t *> skiplist_first(&engine.due[0].scheduled)
            if engine.shadow != NULL:
                kind[0] = KIND_SCHEDULED
                ref_take(object_of(record))
                return record
            if job_awake(engine, record, now_ns) == NO_MEMORY:
                steps[0] = max(steps[0], 1)  # later: this is no reason to call again at once
                return NULL
    return NULL
