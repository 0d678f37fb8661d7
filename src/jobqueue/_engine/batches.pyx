"""What batches are made of, and what a new job meets before it is taken."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport HAS_GIL, lock_acquire, lock_release
from jobqueue._machine.types cimport (
    DUPLICATE_RESULT, NOTE_BATCH, NOTE_BATCH_END, NOT_FOUND, OK, QUEUE_FULL, engine_t, queue_t,
    record_t, refusal_t, status_t,
)
from jobqueue._machine.layout cimport record_processed
from jobqueue._machine.events cimport events_batch
from jobqueue._machine.state cimport note, registry_find
from jobqueue._machine.life cimport job_check_new, job_finish
from jobqueue._objects.rules cimport result_read
from jobqueue._objects.job cimport Job, id_read
from jobqueue._objects.registry cimport record_make
from jobqueue._engine.status cimport at_index, raise_refused
from jobqueue._engine.base cimport EngineBase

from .. import errors as _errors

# ---------------------------------------------------------------- new jobs

cdef int job_refuse(object value) except -1:
    raise TypeError(_errors.no_job_text(value))


cdef Job job_read(object value):
    job_check(value)
    return <Job> value


cdef queue_t *queue_for_new(
        EngineBase self, Job job, bint scheduled, bint is_run, int64_t now_ns) except NULL:
    """The queue of a new name, made only if the job will be taken: an error changes nothing."""
    cdef status_t status
    cdef refusal_t why
    lock_acquire(&self.e.lock)
    status = job_check_new(self.e, &job.c, scheduled, is_run, now_ns)
    why = self.e.refusal
    lock_release(&self.e.lock)
    if status != OK:
        raise_refused(status, job, &why)
    return &self.queue_named(<str> <PyObject *> job.c.name).c


cdef int queue_check_new(
        EngineBase self, Job job, bint scheduled, int64_t wait_ms, int64_t now_ns) except -1:
    """Raise if a queue must not be made for a job: it would neither be taken nor wait."""
    cdef status_t status
    cdef refusal_t why
    lock_acquire(&self.e.lock)
    status = job_check_new(self.e, &job.c, scheduled, False, now_ns)
    why = self.e.refusal
    lock_release(&self.e.lock)
    if status != OK and (status != QUEUE_FULL or wait_ms == 0 or why.never):
        raise_refused(status, job, &why)
    return 0


cdef record_t *entrant_new(object job, Py_ssize_t index) except NULL:
    """The record, with a reference to it, of a job in a batch."""
    cdef record_t *record
    if type(job) is not Job:
        raise at_index(TypeError(_errors.no_job_text(job)), index)
    record = record_make(<PyObject *> job)
    return record

# ---------------------------------------------------------------- batches

cdef bytes pair_read_other(object pair, answer_t *answer, Py_ssize_t index):
    """Read any pair; the caller keeps the bytes that are returned."""
    cdef bytes result
    try:
        try:
            first, second = pair
        except (TypeError, ValueError) as error:  # it has no items, or not two
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"a pair (id, result) is wanted, not {_errors.shown(pair)}") from None
        id_read(first, answer.id)
        result = result_read(second)
    except (_errors.ValidationError, TypeError, ValueError) as error:
        raise at_index(error, index) from None
    answer.job = NULL
    answer.result = <PyObject *> result
    return result


cdef status_t answers_check(
        engine_t *engine, answer_t *answers, Py_ssize_t count, Py_ssize_t *at) noexcept nogil:
    """Find and mark the records of a batch; ``at`` is the first that cannot be completed."""
    cdef record_t *record
    cdef Py_ssize_t i
    for i in range(count):
        at[0] = i
        record = NULL
        if HAS_GIL and answers[i].job != NULL:
            record = <record_t *> answers[i].job.record
        if record == NULL or record.home != engine:
            record = registry_find(engine, answer_id(&answers[i]))
        if record == NULL:
            return NOT_FOUND
        if record.marked or record_processed(record):
            return DUPLICATE_RESULT
        record.marked = True
        answers[i].record = record
    return OK


cdef status_t answers_apply(
        engine_t *engine, answer_t *answers, Py_ssize_t count, int64_t now_ns,
        Py_ssize_t *at) noexcept nogil:
    """Complete jobs, all or none; ``at`` is the first that cannot be completed."""
    cdef status_t status = answers_check(engine, answers, count, at)
    cdef Py_ssize_t i
    note(engine, NULL, NOTE_BATCH)
    events_batch(engine, count)
    for i in range(count if status == OK else at[0]):
        answers[i].record.marked = False
        if status == OK:
            job_finish(engine, answers[i].record, True, answers[i].result, now_ns)
    events_batch(engine, 0)
    note(engine, NULL, NOTE_BATCH_END)
    return status
