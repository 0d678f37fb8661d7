"""Every limit, enum and struct of the machine: read this first.

Times are int64 nanoseconds: ``wall`` since 1970 (UTC), ``mono`` on the monotonic clock.
All structs are plain C: no Python object is touched to compare a key or to move a timer.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from jobqueue._structures.platform cimport lock_t
from jobqueue._structures.keys cimport ID_SIZE, tie_t
from jobqueue._structures.skiplist cimport skiplist_t
from jobqueue._structures.wheel cimport timer_t, wheel_t
from jobqueue._structures.id_table cimport ids_t

cdef enum:
    NAME_MAX_LEN = 255            # characters in a job name
    PAYLOAD_MAX_SIZE = 1048576    # bytes in a payload
    RESULT_MAX_SIZE = 1048576     # bytes in a result
    UNIQUE_MAX_SIZE = 255         # bytes in the key of a unique job
    PAYLOAD_SMALL = 128           # bytes of a payload that a Job may copy, so that it is all in one place
    ATTEMPTS_MAX = 255            # a job's own limit of attempts
    FAILS_MAX = 255               # a job's own limit of failures
    HARD_ATTEMPTS_MAX = 255       # attempts after which any job fails
    TTR_MAX_MS = 86400000         # 24 h
    TIMEOUT_MAX_MS = 86400000     # 24 h
    PRIORITY_MIN = -2147483648    # of a job
    PRIORITY_MAX = 2147483647

# ---------------------------------------------------------------- jobs

cdef enum job_flag_t:
    JOB_CREATED_GIVEN = 1         # the caller chose created: never stamped again
    JOB_UNIQUE = 2                # a unique_t stands behind the job_t
    JOB_OWNS = 4                # a record of it stands behind the job_t, and needs no memory of its own

cdef struct job_t:                # the immutable half of a job; lives inside a Job object
    tie_t tie                     # created_ns and id
    int64_t time_ns               # scheduled time, wall; NEVER_NS: none
    void *name                    # exact str, owned
    void *payload                 # exact bytes, owned; NULL: its bytes stand behind the job (layout.pxd)
    void *record                  # a record_t of it that is registered somewhere, borrowed; with the
                                  # GIL only, NULL: look it up
    uint32_t ttr_ms
    uint32_t ttl_ms
    int32_t priority              # high first
    uint8_t max_attempts          # 0: no limit of its own
    uint8_t max_fails             # 0: no limit of its own
    uint8_t flags                 # of job_flag_t
    uint8_t held                  # queues and registries that hold it (hold, unhold); while > 0 its
                                  # stamp stays
    uint32_t payload_size

cdef struct unique_t:             # what only a job with a key has; stands behind its job_t
    void *key                     # exact bytes, owned
    uint64_t hash                 # of name and key

cdef struct keys_t:               # one table of jobs, at most half full
    const job_t **slots           # not owned: who holds a key is in the registry
    Py_ssize_t mask               # slots - 1; -1: no table

cdef struct uniques_t:            # hash table of the jobs that hold their keys
    keys_t keys
    keys_t old                    # the table before, while its jobs move over
    Py_ssize_t old_next           # its first slot that may have a job
    Py_ssize_t count              # jobs in both

cdef extern from *:
    """
    #define JQ_OBJECT_HEAD ((Py_ssize_t)sizeof(PyObject))
    #define JQ_BYTES_SIZE(o) ((Py_ssize_t)Py_SIZE((PyObject *)(o)))
    #define JQ_BYTES_DATA(o) ((const char *)((PyBytesObject *)(o))->ob_sval)
    """
    Py_ssize_t bytes_size "JQ_BYTES_SIZE" (const void *data) nogil  # of exact bytes
    const char *bytes_data "JQ_BYTES_DATA" (const void *data) nogil
    Py_ssize_t OBJECT_HEAD "JQ_OBJECT_HEAD"   # from an object to its first field
    const Py_ssize_t FREE_ENDLESS "PY_SSIZE_T_MAX"

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
    WAIT_ADD = 3                  # for capacity: wait.record is not registered yet

cdef enum outcome_t:              # how a wait ended
    OUTCOME_NONE = 0              # it still waits
    OUTCOME_LEASED = 1            # wait.record is leased to it
    OUTCOME_PROCESSED = 2         # wait.record has its result
    OUTCOME_GONE = 3              # the job was deleted or expired
    OUTCOME_TIMEOUT = 4
    OUTCOME_CLOSED = 5
    OUTCOME_ADDED = 6             # there was capacity for wait.record
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
    EXTRA_READ = 32               # a reader of the dead, bit by bit, pauses here; only with EXTRA_DEAD
    EXTRA_QUEUED = 64             # its queue counts it too, its bytes until it is gone; with EXTRA_STORED

cdef enum bound_t:                # what a refused job would have passed
    BOUND_LINE = 1                # others that wait for the same capacity are first
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
    uint8_t kind                  # event_kind_t of events
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
    lock_t lock                   # held round every function of the machine, on free-threaded builds
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
    wait_t *adder_first           # callers that wait for capacity, longest first
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
    Py_ssize_t event_spare        # more that a batch may line up: its own, if there was space before
    int64_t event_bytes           # of their reasons
    uint64_t event_lost           # transitions after the last of them for which there was no space
    uint64_t event_taken          # how many left it: the number of the oldest
    wheel_t wheel                 # TTR, TTL and wait timers, mono
    int64_t wall_offset_ns        # wall - mono
    int64_t created_last_ns       # last stamp given
    int64_t result_ttl_ns         # what a processed job may stay at most; NEVER_NS: until its TTL
    int64_t keep_expired_ns       # how long a job that expired unprocessed is kept FAILED; 0: not at all
    wait_t *woken_first           # waits that have ended and whose callers must be woken; owned
    wait_t *woken_last
    wait_t deferred                 # stands among them while something is to be done without the lock
    void *empty                   # b"", owned by the module
    void *expired                 # b"expired", as well
    uint64_t added_count
    uint64_t leased_count
    uint64_t completed_count
    uint64_t failed_count
    uint64_t timed_out_count
    uint64_t evicted_count
    uint64_t kicked_count
    uint64_t cancelled_count
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
    Py_ssize_t free_bytes         # of the journal, for notes; the greatest number while there is no journal
    void (*note)(engine_t *engine, const record_t *record, note_kind_t kind) noexcept nogil
    void *journal                 # what notes

cdef enum event_kind_t:            # as the members of EventKind, in order
    EVENT_ADDED = 0
    EVENT_SCHEDULED = 1
    EVENT_AWAKE = 2
    EVENT_LEASED = 3
    EVENT_TOUCHED = 4
    EVENT_RELEASED = 5
    EVENT_COMPLETED = 6
    EVENT_FAILED = 7
    EVENT_TIMED_OUT = 8
    EVENT_EXHAUSTED = 9
    EVENT_KICKED = 10
    EVENT_UNDONE = 11
    EVENT_CANCELLED = 12
    EVENT_EXPIRED = 13             # from here on it is gone, and has no history
    EVENT_DELETED = 14
    EVENT_DROPPED = 15             # as many as the note has attempts were not kept
