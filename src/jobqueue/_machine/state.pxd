"""What keeps the structs of a job's life whole: see state.pyx; life has the transitions."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport ref_shared, struct_clear
from jobqueue._structures.times cimport NEVER_NS, ns_sum
from jobqueue._structures.keys cimport sortkey_t, tie_t
from jobqueue._structures.skiplist cimport skiplist_first_a, skiplist_len
from jobqueue._structures.wheel cimport (
    TIMER_ARMED, TIMER_CANCELLED, timer_t, wheel_cancel, wheel_next_wake,
)
from jobqueue._machine.types cimport (
    HARD_ATTEMPTS_MAX, KIND_SCHEDULED, KIND_TTL, KIND_TTR, STATE_LEASED, engine_t, job_t, kind_t,
    note_kind_t, outcome_t, queue_t, record_t, status_t, wait_t,
)
from jobqueue._machine.layout cimport object_of

cdef inline void record_init(record_t *record) noexcept nogil:
    struct_clear(record, sizeof(record_t))
    record.ttl.kind = KIND_TTL
    record.ttr.kind = KIND_TTR

cdef inline bint attempts_remain(const record_t *record) noexcept nogil:
    cdef uint64_t most = HARD_ATTEMPTS_MAX
    if record.job.max_attempts:
        most = record.job.max_attempts
    return record.attempts - record.ttr.own < most

cdef inline void note(engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil:
    """Notify the journal, if there is one, once a transition is done. Runs add nothing to it."""
    if engine.note != NULL and not (record != NULL and record.is_run):
        engine.note(engine, record, kind)

cdef inline void state_set(record_t *record, uint8_t state) noexcept nogil:
    if record.home != NULL:
        record.home.running_count += (state == STATE_LEASED) - (record.state == STATE_LEASED)
    record.state = state

# life of the structs
cdef void queue_init(queue_t *queue) noexcept nogil

cdef void engine_init(engine_t *engine, int64_t now_ns) noexcept nogil
cdef bint engine_reserve_queues(engine_t *engine, Py_ssize_t queues) noexcept nogil

# A job may be given to several engines at once: who stamps it, or reads the stamp to place it for the
# first time, holds the lock of the job, taken last. Free-threaded builds only.
cdef void job_acquire(const job_t *job) noexcept nogil

cdef void job_release_lock(const job_t *job) noexcept nogil
cdef void job_locks_renew() noexcept nogil

# registry
cdef const tie_t *record_tie(const void *item) noexcept nogil

cdef void deadlines_shift(record_t *record, int64_t by_ns) noexcept nogil

cdef inline void record_leave(record_t *record) noexcept nogil:
    """Let a record know that it is registered no more; the caller still has the registry's reference."""
    if ref_shared(object_of(record)):  # else nobody will ask when its timers ended
        deadlines_shift(record, record.home.wall_offset_ns)
    record.home = NULL
    if record.job.record == record:
        record.job.record = NULL

cdef record_t *registry_find(const engine_t *engine, const uint8_t *id) noexcept nogil
cdef int registry_add(engine_t *engine, record_t *record) noexcept nogil
cdef int registry_add_by_hand(engine_t *engine, record_t *record) noexcept nogil
cdef void registry_remove(engine_t *engine, record_t *record) noexcept nogil

# extras
cdef status_t key_check(engine_t *engine, const job_t *job) noexcept nogil

cdef void key_take(engine_t *engine, record_t *record) noexcept nogil
cdef void extras_end(engine_t *engine, record_t *record) noexcept nogil
cdef void dead_enter(engine_t *engine, record_t *record) noexcept nogil
cdef void dead_leave(engine_t *engine, record_t *record) noexcept nogil

cdef inline record_t *dead_next(const record_t *record) noexcept nogil:
    return <record_t *> <void *> record.ttr.next

cdef inline size_t postponement(const record_t *scheduled) noexcept nogil:
    """Which postponement brought a scheduled record to its place; 0: it stands where it came in."""
    return <size_t> <void *> scheduled.ttr.prev

# queues
cdef void record_assign(record_t *record, queue_t *queue) noexcept nogil

cdef void record_unassign(record_t *record) noexcept nogil
cdef sortkey_t key_ready(const job_t *job) noexcept nogil
cdef int queue_add(queue_t *queue, record_t *record) noexcept nogil
cdef int queue_schedule(queue_t *queue, record_t *record, int64_t due_ns) noexcept nogil
cdef int queue_postpone(queue_t *queue, record_t *record, int64_t due_ns) noexcept nogil
cdef bint queue_reschedule(record_t *record, int64_t due_ns) noexcept nogil
cdef int queue_awake(queue_t *queue, record_t *record) noexcept nogil
cdef void queue_remove(record_t *record) noexcept nogil
cdef record_t *queue_pop(queue_t *queue) noexcept nogil
cdef Py_ssize_t queue_rank(record_t *record) noexcept nogil
cdef record_t *queue_find(queue_t *queue, const job_t *job) noexcept nogil
cdef void due_update(queue_t *queue) noexcept nogil

# waiting
cdef void wait_for_lease(engine_t *engine, wait_t *wait) noexcept nogil

cdef void wait_for_capacity(engine_t *engine, wait_t *wait) noexcept nogil
cdef void wait_for_record(engine_t *engine, wait_t *wait, record_t *record) noexcept nogil
cdef void wait_end(engine_t *engine, wait_t *wait, outcome_t outcome) noexcept nogil
cdef void wait_forget(engine_t *engine, wait_t *wait) noexcept nogil
cdef void waits_end(engine_t *engine, record_t *record, outcome_t run, outcome_t result) noexcept nogil

# timers
cdef void ttl_arm(engine_t *engine, record_t *record, int64_t start_ns) noexcept nogil

cdef inline int64_t wall_now_ns(const engine_t *engine, int64_t now_ns) noexcept nogil:
    """What the wall clock says now: the offset was read with it."""
    return ns_sum(now_ns, engine.wall_offset_ns)

cdef void view_end(record_t *record, kind_t kind, uint8_t state) noexcept nogil

cdef inline void timer_end(engine_t *engine, record_t *record, kind_t kind) noexcept nogil:
    """Cancel the TTL or TTR timer, if it is armed."""
    cdef timer_t *timer = &record.ttl if kind == KIND_TTL else &record.ttr
    if timer.state == TIMER_ARMED:
        wheel_cancel(&engine.wheel, timer)
        view_end(record, kind, TIMER_CANCELLED)

cdef inline void scheduled_end(record_t *record, uint8_t state) noexcept nogil:
    if record.scheduled == TIMER_ARMED:
        record.scheduled = state
        view_end(record, KIND_SCHEDULED, state)

cdef inline int64_t ttl_start_ns(const record_t *record) noexcept nogil:
    """From when the TTL of a job that was not added to ready runs: its time, or its creation."""
    return record.job.tie.created_ns if record.job.time_ns == NEVER_NS else record.job.time_ns

cdef inline int64_t queue_due_ns(const queue_t *queue) noexcept nogil:
    return skiplist_first_a(&queue.scheduled) if skiplist_len(&queue.scheduled) else NEVER_NS

cdef inline int64_t engine_due_ns(const engine_t *engine) noexcept nogil:
    """Mono time at which the earliest scheduled job is due, as the wall clock stands now."""
    if engine.due_count == 0:
        return NEVER_NS
    return ns_sum(queue_due_ns(engine.due[0]), -engine.wall_offset_ns)

cdef inline int64_t engine_wake_ns(const engine_t *engine) noexcept nogil:
    """Nothing is due before this time, mono. O(1)."""
    if engine.due_count == 0:
        return wheel_next_wake(&engine.wheel)
    return min(wheel_next_wake(&engine.wheel), engine_due_ns(engine))
