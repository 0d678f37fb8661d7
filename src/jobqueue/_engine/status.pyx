"""From a status to its error: one table, and the texts that say more than it."""

from libc.stdint cimport uint64_t, uint8_t

from jobqueue._machine.types cimport (
    ALREADY_LEASED, ALREADY_PROCESSED, ANY_ATTEMPT, BOUND_JOBS, BOUND_LINE, CLOSED, DUPLICATE_JOB,
    DUPLICATE_KEY, DUPLICATE_RESULT, EXPIRED, LEASE_EXPIRED, MAX_ATTEMPTS_REACHED, NO_MEMORY, NO_TIME,
    NOT_DEAD, NOT_FOUND, OK, QUEUE_FULL, QUEUE_OUT_OF_SYNC, STATE_LEASED, refusal_t, status_t,
)
from jobqueue._objects.job cimport ID, Job, id_object

from .. import errors as _errors
from .._objects.registry import State

cdef tuple STATUSES = (           # a row each: status, error, text with the id of the job
    (OK, None, ""),
    (NO_MEMORY, MemoryError, "no memory left for job {}"),
    (NOT_FOUND, _errors.NotFoundError, "no job {}"),
    (DUPLICATE_JOB, _errors.DuplicateJobError, "job {} was added before"),
    (DUPLICATE_RESULT, _errors.DuplicateResultError, "job {} has its result already"),
    (LEASE_EXPIRED, _errors.LeaseExpiredError, "job {} is not leased under this attempt"),
    (MAX_ATTEMPTS_REACHED, _errors.MaxAttemptsReachedError, "job {} has used up its attempts"),
    (ALREADY_LEASED, _errors.AlreadyLeasedError, "job {} is leased already"),
    (ALREADY_PROCESSED, _errors.AlreadyProcessedError, "job {} is processed already"),
    (QUEUE_OUT_OF_SYNC, _errors.QueueOutOfSyncError, "the queue refused job {}"),
    (EXPIRED, _errors.InvalidTimeError, "job {} would be expired before it begins: its ttl is over"),
    (NO_TIME, _errors.InvalidTimeError, "job {} cannot be scheduled: it has no time"),
    (CLOSED, _errors.ClosedError, "the controller is closed"),
    (DUPLICATE_KEY, _errors.DuplicateJobError, "another job has the key of job {}"),
    (NOT_DEAD, _errors.NotDeadError, "job {} is not FAILED"),
    (QUEUE_FULL, _errors.QueueFullError, "there is no room for job {}"),
)
for _place, _row in enumerate(STATUSES):
    if _row[0] != _place:
        raise ImportError(f"status {_place} has no row of its own")


def _statuses():
    """The table, for tests."""
    return STATUSES


cdef object status_error(status_t status, object id):
    """The one table of status -> exception."""
    _, kind, text = <tuple> STATUSES[<int> status]
    error = kind(text.format(id))
    if status == DUPLICATE_JOB:
        error.first = id
    return error


cdef object refusal_error(status_t status, Job job, const refusal_t *why):
    """Why a job was not taken."""
    if status == DUPLICATE_KEY:
        first = id_object(why.first)
        error = _errors.DuplicateJobError(
            f"job {job.id} has the key {_errors.shown(job.unique)}, as job {first} of {job.name!r},"
            " which is not processed")
        error.first = first
        return error
    if status == EXPIRED:
        return _errors.InvalidTimeError(
            f"job {job.id} must not have expired, but did so at {job.expiration.isoformat()}")
    if status == QUEUE_FULL:
        return _errors.QueueFullError(full_text(job, why))
    return status_error(status, job.id)


cdef str full_text(Job job, const refusal_t *why):
    """What a job would have passed, and by how much."""
    where = f"queue {job.name!r}" if why.of_queue else "the controller"
    if why.bound == BOUND_LINE:
        return f"{where} has no room for job {job.id}: others wait for it"
    what = "max_jobs" if why.bound == BOUND_JOBS else "max_bytes"
    return f"{where} has no room for job {job.id}: {what} is {why.most}, it would be {why.value}"


cdef str lease_text(ID id, uint64_t fence, int state, uint64_t attempts):
    """Why an answer comes too late: the attempt that was named, and what the job is by now."""
    text = f"job {id} is not leased"
    if fence != ANY_ATTEMPT:
        text += f" under attempt {fence}"
    if state < 0:
        return f"{text}: it is gone"
    under = "under" if state == STATE_LEASED else "after"
    return f"{text}: it is {State(state).name}, {under} attempt {attempts}"


cdef int raise_refused(status_t status, Job job, const refusal_t *why) except -1:
    raise refusal_error(status, job, why)


cdef int raise_refused_at(
        status_t status, Job job, const refusal_t *why, Py_ssize_t index) except -1:
    error = refusal_error(status, job, why)
    raise at_index(error, index)


cdef int raise_status(status_t status, const uint8_t *id) except -1:
    raise status_error(status, id_object(id))


cdef int raise_status_at(status_t status, const uint8_t *id, Py_ssize_t index) except -1:
    error = status_error(status, id_object(id))
    raise at_index(error, index)


def _at_index(error, Py_ssize_t index):
    return at_index(error, index)


cdef object at_index(object error, Py_ssize_t index):
    """The same error, naming the item of a batch that is at fault."""
    made = type(error)(f"item {index}: {error}")
    made.__dict__.update(error.__dict__)
    made.index = index
    return made
