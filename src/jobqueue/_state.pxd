"""The structs of a job's life, and what keeps them whole: see _state.pyx; _life has the transitions."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t

from jobqueue._types cimport (
    HARD_ATTEMPTS_MAX, HAS_SLABS, ID_SIZE, NEVER_NS, TIMER_ARMED, TIMER_CANCELLED, job_t, lock_t, ns_add,
    sortkey_t, struct_clear, tie_t, timer_t,
)
from jobqueue._ids cimport ids_t
from jobqueue._skiplist cimport skiplist_first_a, skiplist_len, skiplist_t
from jobqueue._wheel cimport wheel_cancel, wheel_next_wake, wheel_t
from jobqueue._unique cimport uniques_t

cdef extern from *:
    """
    #define JQ_OBJECT_HEAD ((Py_ssize_t)sizeof(PyObject))
    #define JQ_BYTES_SIZE(o) ((Py_ssize_t)Py_SIZE((PyObject *)(o)))
    #define JQ_BYTES_DATA(o) ((const char *)((PyBytesObject *)(o))->ob_sval)
    """
    Py_ssize_t bytes_size "JQ_BYTES_SIZE" (const void *data) nogil  # of exact bytes
    const char *bytes_data "JQ_BYTES_DATA" (const void *data) nogil
    Py_ssize_t OBJECT_HEAD "JQ_OBJECT_HEAD"   # from an object to its first field
    const Py_ssize_t ROOM_ENDLESS "PY_SSIZE_T_MAX"

cdef enum state_t:                # as the IntEnum State
    STATE_NEW = 0
    STATE_COMPLETED = 1
    STATE_FAILED = 2
    STATE_PENDING = 3
    STATE_LEASED = 4

cdef enum place_t:                # where a record stands in its queue
    PLACE_NONE = 0
    PLACE_READY = 1
    PLACE_SCHEDULED = 2

cdef enum kind_t:                 # timers; the first three as the IntEnum TimerKind
    KIND_TTR = 0
    KIND_TTL = 1
    KIND_SCHEDULED = 2
    KIND_WAIT = 3

cdef enum wait_kind_t:            # what a blocked caller waits for
    WAIT_LEASE = 0
    WAIT_RESULT = 1
    WAIT_RUN = 2
    WAIT_ADD = 3                  # for room: wait.record is not registered yet

cdef enum outcome_t:              # how a wait ended
    OUTCOME_NONE = 0              # it still waits
    OUTCOME_LEASED = 1            # wait.record is leased to it
    OUTCOME_PROCESSED = 2         # wait.record has its result
    OUTCOME_GONE = 3              # the job was deleted or expired
    OUTCOME_TIMEOUT = 4
    OUTCOME_CLOSED = 5
    OUTCOME_ADDED = 6             # there was room for wait.record
    OUTCOME_REFUSED = 7           # there was, but it was not taken: wait.status says why

cdef enum status_t:               # what a call came to; _core has the table to exceptions
    OK = 0
    NO_MEMORY = 1
    NOT_FOUND = 2
    DUPLICATE_JOB = 3
    DUPLICATE_RESULT = 4
    LEASE_EXPIRED = 5
    MAX_ATTEMPTS_REACHED = 6
    ALREADY_LEASED = 7
    ALREADY_PROCESSED = 8
    QUEUE_OUT_OF_SYNC = 9
    EXPIRED = 10                  # its TTL is over before it begins
    NO_TIME = 11                  # schedule of a job without a time
    CLOSED = 12
    DUPLICATE_KEY = 13            # another unprocessed job of its name has its key
    NOT_DEAD = 14                 # kick of a job that is not FAILED
    QUEUE_FULL = 15               # it would pass a bound

cdef enum:
    KINDS = 3                     # timers a record may show
    ANY_ATTEMPT = 0               # no fencing asked for (attempts count from 1)
    JOB_COST = 320                # bytes that a job takes beside its payload and its result
    SLICE_STEPS = 4096            # steps that are done without letting go of the lock: some 0.1 ms to 1 ms
    SLICE_BUCKETS = 1024          # buckets of the id table, as much
    TRANSITION_STEPS = 8          # steps that a transition counts as

cdef enum extra_t:                # what else the engine keeps of a record
    EXTRA_KEY = 1                 # its job holds its key, until it is processed or gone
    EXTRA_DEAD = 2                # FAILED and in the list of the dead: ttr.prev and .next are its links
    EXTRA_KICKED = 4              # put back from there: result is still that of its last life
    EXTRA_COUNTED = 8             # it is one of the unprocessed jobs that bounds count
    EXTRA_STORED = 16             # it is counted, until it is gone
    EXTRA_READ = 32               # whoever reads the dead bit by bit pauses here; only with EXTRA_DEAD
    EXTRA_QUEUED = 64             # its queue counts it too, its bytes until it is gone; with EXTRA_STORED

cdef enum bound_t:                # what a refused job would have passed
    BOUND_NONE = 0
    BOUND_LINE = 1                # those who wait for the same room came first
    BOUND_JOBS = 2
    BOUND_BYTES = 3

cdef struct refusal_t:            # why the last job was refused, beyond its status
    uint8_t first[16]             # id of the job that holds the key
    uint8_t bound                 # bound_t
    uint8_t of_queue              # it is its queue's bound, not the engine's
    uint8_t never                 # by itself it is too big
    int64_t value                 # what it would have come to
    int64_t most                  # the bound

cdef struct load_t:               # what is there, and its bounds (INT64_MAX: none)
    int64_t jobs                  # unprocessed
    int64_t bytes                 # of all records, processed ones too
    int64_t jobs_max
    int64_t bytes_max

cdef enum note_kind_t:            # what note tells of a record
    NOTE_ADDED = 0                # it was registered, with all it has
    NOTE_CHANGED = 1              # state, place, counts, deadlines or result are others
    NOTE_GONE = 2                 # it is about to be let go
    NOTE_BATCH = 3                # no record: what follows belongs together,
    NOTE_BATCH_END = 4            # up to here

cdef struct engine_t
cdef struct queue_t
cdef struct wait_t
cdef struct wait_link_t

cdef enum watch_t:                # who wants to know of transitions
    WATCH_EVENTS = 1              # observers
    WATCH_HISTORY = 2             # each record keeps its last ones

cdef struct note_t:               # one transition
    void *reason                  # exact bytes, owned; NULL: none
    int64_t time_ns               # wall; 0: not known yet
    uint64_t attempt
    uint8_t kind                  # event_kind_t of _watch
    uint8_t state                 # state_t it led to

cdef struct event_t:              # one transition, as observers are told of it
    note_t note
    void *name                    # of the job's queue: exact str, owned; NULL: EVENT_DROPPED
    uint8_t id[ID_SIZE]           # of the job

cdef struct history_t:            # the last transitions of a record: a ring; its notes follow
    uint16_t capacity
    uint16_t count
    uint16_t begin                # the oldest
    uint16_t unused               # so that the notes behind it are aligned

cdef struct views_t:              # what few records have
    void *timer[3]                # Timer objects that show its armed timers, by kind_t; owned,
                                  # NULL: nobody has asked
    history_t *history            # owned, or NULL

cdef struct record_t:             # the mutable half of a job; lives inside a RunRecord object
    job_t *job                    # owned; NULL: none
    void *result                  # exact bytes, owned; NULL until processed for the first time
    wait_t *waits                 # callers blocked in result or run
    views_t *views                # NULL: no Timer object exists
    engine_t *home                # the engine it is registered with; NULL: none
    queue_t *queue                # the queue of its job's name there, or the one that holds it
    uint64_t attempts             # times it was leased
    timer_t ttl
    timer_t ttr                   # armed while leased; while scheduled its deadline is the due time (wall),
                                  # and .prev, a number, the postponement that brought it there; .own:
                                  # attempts of the lives before the last kick
    uint16_t fails
    uint8_t marked                # scratch of a batch call, 0 between calls
    uint8_t state                 # state_t
    uint8_t place                 # place_t
    uint8_t is_run                # added by run: no TTL, gone when the runner leaves
    uint8_t scheduled             # timer_state_t of its scheduled time
    uint8_t extras                # of extra_t; 0 for nearly every record

cdef struct wait_link_t:          # a blocked leaser's place in the line of one queue
    wait_link_t *prev
    wait_link_t *next
    wait_t *wait
    queue_t *queue

cdef struct wait_t:               # a blocked caller; lives inside a Waiter object
    wait_t *prev                  # line of a record's waits (result, run), or list of woken ones
    wait_t *next
    record_t *record              # owned: what it waits for, or the job that it was handed
    wait_link_t *links            # owned (lease): one a name
    int32_t link_count
    uint8_t kind                  # wait_kind_t
    uint8_t outcome               # outcome_t
    uint8_t prior_state           # of the job it was handed, should the hand-off be undone
    uint8_t lapsed                # run: its time-out is over, only the lease keeps it going
    uint8_t scheduled             # add: it is to be scheduled
    uint8_t status                # add: status_t, if it was refused in the end
    uint64_t attempt              # number of the attempt it was handed
    timer_t timer                 # its time-out, unless a thread sleeps that long
    refusal_t refusal             # add: what it waits for; then why it was refused

cdef struct queue_t:              # one named queue; lives inside a WorkQueue object
    skiplist_t ready              # (-priority, created)
    skiplist_t scheduled          # (due, -priority)
    wait_link_t *first_link       # blocked leasers, longest first
    wait_link_t *last_link
    engine_t *engine              # NULL: it stands alone
    Py_ssize_t due_index          # its place in the engine's heap of due times; -1: not in it
    size_t postponed_count        # jobs that came into scheduled again, or later than first
    load_t load                   # counted once it was limited
    uint64_t passed               # the last look at the line of adders that found it full
    Py_ssize_t record_count       # records of its engine that know it as their queue
    queue_t *ring_next            # the queue that is looked at after it, for being of no use
    uint8_t limited               # it has had bounds: from then on it counts
    uint8_t paused
    uint8_t named                 # it has held a job, or was asked for: names() shows it

cdef struct engine_t:             # all that a state machine works on; lives inside a Registry object
    lock_t lock                   # held round every function of _state, on free-threaded builds
    ids_t ids                     # the records
    queue_t **due                 # binary heap of queues by the due time of their scheduled head
    Py_ssize_t due_count
    Py_ssize_t due_capacity       # at least the number of queues, so that the heap never allocates
    queue_t *shadow               # where scheduled jobs wait while the queues are foreign objects,
                                  # and nothing else is placed; NULL: the queues are native
    record_t *dead_first          # FAILED records, in the order of failing
    record_t *dead_last
    Py_ssize_t dead_count
    uniques_t uniques             # who holds which key
    refusal_t refusal             # meaningful after DUPLICATE_KEY, QUEUE_FULL, while the lock is held
    load_t load                   # .jobs is counted while it is bounded, .bytes always
    wait_t *adder_first           # callers that wait for room, longest first
    wait_t *adder_last
    Py_ssize_t adder_count
    uint64_t looks                # at their line
    uint8_t bounded               # it, or a queue of it, has bounds
    uint8_t admitting             # who is taken in comes from the line
    uint8_t watched               # of watch_t
    uint16_t history_max          # transitions that a record keeps
    event_t *events               # transitions that observers were not told of yet: a ring
    Py_ssize_t event_begin        # the oldest
    Py_ssize_t event_count
    Py_ssize_t event_capacity
    Py_ssize_t event_undated      # of them, those whose time is not known yet
    Py_ssize_t event_spare        # more that a batch may line up: its own, if there was room before
    int64_t event_bytes           # of their reasons
    uint64_t event_lost           # transitions after the last of them for which there was no room
    uint64_t event_taken          # how many left it: the number of the oldest
    wheel_t wheel                 # TTR, TTL and wait timers, mono
    int64_t wall_offset_ns        # wall - mono
    int64_t created_last_ns       # last stamp given
    int64_t result_ttl_ns         # what a processed job may stay at most; NEVER_NS: until its TTL
    int64_t keep_expired_ns       # how long a job that expired unprocessed is kept FAILED; 0: not at all
    wait_t *woken_first           # waits that have ended and whose callers must be woken; owned
    wait_t *woken_last
    wait_t errand                 # stands among them while something is to be done without the lock
    void *empty                   # b"", owned by the module
    void *expired                 # b"expired", as well
    uint64_t added_count
    uint64_t leased_count
    uint64_t completed_count
    uint64_t failed_count
    uint64_t timed_out_count
    uint64_t evicted_count
    uint64_t kicked_count
    Py_ssize_t running_count      # records LEASED
    Py_ssize_t waiting_count      # leasers blocked
    Py_ssize_t record_waits       # callers blocked for a record
    uint64_t slice_count          # times that something paused after a slice
    uint8_t ran                   # there were runs
    uint8_t lagging               # what is due is not all done: a lease looks at TTLs itself
    uint8_t counting              # the records are being counted for a new bound
    uint8_t dying                 # its registry is about to be freed
    uint8_t expire_hooked         # timers call a function of the user's instead
    uint8_t timeout_hooked
    uint8_t unsettled             # what was noted must be settled before a verb returns
    Py_ssize_t room               # bytes that can be noted; the most there are while nobody notes
    void (*note)(engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil
    void *journal                 # of whoever notes

# objects round the structs
cdef inline void *object_of(void *c) noexcept nogil:
    """The object whose first field is the struct."""
    return <char *> c - OBJECT_HEAD

cdef inline size_t whole_steps(size_t size) noexcept nogil:
    """Rounded up to the steps of 16 bytes in which the parts of a slot follow each other."""
    return (size + 15) & ~<size_t> 15

cdef inline size_t record_room() noexcept nogil:
    """Bytes behind a job_t for its record: a job and its record are used together, so that they
    should be found together. 0: there is none. A unique job has its key there instead."""
    return whole_steps(OBJECT_HEAD + sizeof(record_t)) if HAS_SLABS else 0

cdef inline void *job_room(const job_t *job) noexcept nogil:
    """Where the room for the record of a job begins."""
    return <char *> job - OBJECT_HEAD + whole_steps(OBJECT_HEAD + sizeof(job_t))

cdef inline size_t payload_room(const job_t *job) noexcept nogil:
    """Bytes behind that for its payload; 0: that is an object of its own, or empty."""
    return whole_steps(job.payload_size) if job.payload == NULL else 0

cdef inline const char *payload_data(const job_t *job) noexcept nogil:
    """Its payload: ``job.payload_size`` bytes."""
    if job.payload != NULL:
        return bytes_data(job.payload)
    return <const char *> job_room(job) + record_room()

cdef inline void record_init(record_t *record) noexcept nogil:
    struct_clear(record, sizeof(record_t))
    record.ttl.kind = KIND_TTL
    record.ttr.kind = KIND_TTR

cdef inline bint record_processed(const record_t *record) noexcept nogil:
    return record.state == STATE_COMPLETED or record.state == STATE_FAILED

cdef inline bint attempts_remain(const record_t *record) noexcept nogil:
    cdef uint64_t most = HARD_ATTEMPTS_MAX
    if record.job.max_attempts:
        most = record.job.max_attempts
    return record.attempts - record.ttr.own < most

cdef inline void note(engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil:
    """Tell whoever keeps a journal, once a transition is done. Runs add nothing to it."""
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
cdef void record_leave(record_t *record) noexcept nogil
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

# bounds
cdef status_t room_check(engine_t *engine, queue_t *queue, int64_t size) noexcept nogil
cdef bint load_passed(engine_t *engine, const load_t *load, bint of_queue, int64_t size) noexcept nogil
cdef void result_uncount(engine_t *engine, record_t *record) noexcept nogil
cdef void room_take(engine_t *engine, record_t *record) noexcept nogil
cdef void errand_post(engine_t *engine) noexcept nogil

cdef inline int64_t job_bytes(const job_t *job) noexcept nogil:
    """What a job without a result counts."""
    return JOB_COST + <int64_t> job.payload_size

cdef inline int64_t record_bytes(const record_t *record) noexcept nogil:
    return job_bytes(record.job) + (bytes_size(record.result) if record.result != NULL else 0)

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
cdef void wait_for_room(engine_t *engine, wait_t *wait) noexcept nogil
cdef void wait_for_record(engine_t *engine, wait_t *wait, record_t *record) noexcept nogil
cdef void wait_end(engine_t *engine, wait_t *wait, outcome_t outcome) noexcept nogil
cdef void wait_forget(engine_t *engine, wait_t *wait) noexcept nogil
cdef void waits_end(engine_t *engine, record_t *record, outcome_t run, outcome_t result) noexcept nogil
cdef void woken_put(engine_t *engine, wait_t *wait) noexcept nogil
cdef wait_t *woken_take(engine_t *engine) noexcept nogil

# timers
cdef void ttl_arm(engine_t *engine, record_t *record, int64_t start_ns) noexcept nogil
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
    return ns_add(queue_due_ns(engine.due[0]), -engine.wall_offset_ns)

cdef inline int64_t engine_wake_ns(const engine_t *engine) noexcept nogil:
    """Nothing is due before this time, mono. O(1)."""
    if engine.due_count == 0:
        return wheel_next_wake(&engine.wheel)
    return min(wheel_next_wake(&engine.wheel), engine_due_ns(engine))
