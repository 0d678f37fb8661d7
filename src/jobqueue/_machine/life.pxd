"""The transitions of a job's life: see life.pyx."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._machine.types cimport engine_t, job_t, kind_t, queue_t, record_t, status_t, wait_t

# the life of a job
cdef status_t job_check_new(
    engine_t *engine, const job_t *job, bint scheduled, bint is_run, int64_t now_ns) noexcept nogil

cdef status_t job_add(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef status_t job_schedule(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef void job_unadd(engine_t *engine, record_t *record, int64_t created_ns) noexcept nogil
cdef status_t job_start(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef status_t answer_check(const record_t *record, uint64_t attempt) noexcept nogil

cdef status_t job_complete(
    engine_t *engine, record_t *record, void *result, uint64_t attempt, int64_t now_ns) noexcept nogil

cdef status_t job_fail(
    engine_t *engine, record_t *record, void *result, int64_t delay_ms, uint64_t attempt,
    int final, int64_t now_ns) noexcept nogil

cdef status_t job_cancel(
    engine_t *engine, record_t *record, void *reason, int64_t now_ns) noexcept nogil

cdef status_t job_kick(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil

cdef void job_finish(
    engine_t *engine, record_t *record, bint success, void *result, int64_t now_ns) noexcept nogil

cdef status_t job_touch(
    engine_t *engine, record_t *record, int64_t ttr_ms, uint64_t attempt, int64_t now_ns) noexcept nogil

cdef status_t job_release(
    engine_t *engine, record_t *record, int64_t delay_ms, uint64_t attempt, int64_t now_ns) noexcept nogil

cdef void job_expire(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef status_t job_timeout(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef status_t job_awake(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef void job_delete(engine_t *engine, record_t *record) noexcept nogil

cdef record_t *job_lease(
    engine_t *engine, queue_t *queue, int64_t now_ns, uint8_t *prior_state) noexcept nogil

# batches
cdef struct entrant_t:            # one job of add_many
    record_t *record              # owned
    int64_t created_ns            # its stamp from before
    uint8_t named                 # whether its queue was shown before

cdef status_t entrants_add(
    engine_t *engine, entrant_t *entrants, Py_ssize_t count, int64_t now_ns,
    Py_ssize_t *at) noexcept nogil

# hand-off and time
cdef void queue_offer(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil

cdef bint adders_admit(engine_t *engine, int64_t now_ns, Py_ssize_t count) noexcept nogil
cdef void wait_lapse(engine_t *engine, wait_t *wait) noexcept nogil
cdef bint lease_undo(engine_t *engine, wait_t *wait, int64_t now_ns) noexcept nogil

cdef record_t *engine_fire(
    engine_t *engine, int64_t now_ns, kind_t *kind, Py_ssize_t *steps) noexcept nogil

cdef bint record_lapse(engine_t *engine, record_t *record, int64_t now_ns) noexcept nogil
cdef bint lapsed_pass(engine_t *engine, queue_t *queue, int64_t now_ns) noexcept nogil
