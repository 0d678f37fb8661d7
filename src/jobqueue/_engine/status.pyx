"""_engine/status."""

from libc.stdint cimport uint64_t, uint8_t

from jobqueue._machine.types cimport (
    ANY_ATTEMPT, BOUND_JOBS, BOUND_LINE, DUPLICATE_JOB, DUPLICATE_KEY, EXPIRED, QUEUE_FULL,
    STATE_LEASED, refusal_t, status_t,
)
from jobqueue._objects.job cimport ID, Job, id_object

from .. import errors as _errors
from .._objects.registry import State

cdef tuple STATUS_ERRORS = (
    None, MemoryError, _errors.NotFoundError, _errors.DuplicateJobError, _errors.DuplicateResultError,
    _errors.LeaseExpiredError, _errors.MaxAttemptsReachedError, _errors.AlreadyLeasedError,
    _errors.AlreadyProcessedError, _errors.QueueOutOfSyncError, _errors.InvalidTimeError,
    _errors.InvalidTimeError, _errors.ClosedError, _errors.DuplicateJobError,
    _errors.NotDeadError, _errors.QueueFullError,
)


cdef tuple STATUS_TEXTS = (
    "", "no memory left for job {}", "no job {}", "job {} was added before",
    "job {} has its result already", "job {} is not leased under this attempt",
    "job {} has used up its attempts", "job {} is leased already", "job {} is processed already",
    "the queue refused job {}", "job {} would be expired before it begins: its ttl is over",
    "job {} cannot be scheduled: it has no time", "the controller is closed",
    "another job has the key of job {}", "job {} is not FAILED",
    "there is no room for job {}",
)


cdef object status_error(status_t status, object id):
    """The one table of status -> exception."""
    error = STATUS_ERRORS[<int> status](STATUS_TEXTS[<int> status].format(id))
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
