"""Bounds on jobs and bytes, of the engine and of each queue, and the line of adders that wait.

Jobs are counted while they are unprocessed, bytes while there is a record. Counting hides behind
``engine.bounded`` and bits of ``record.extras``, so that an engine without bounds pays nothing
(docs/decisions/0007).
Invariant: every function runs with the engine's lock held. Complexity: O(1), if not said otherwise.
"""

from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport JQ_ASSERT, lock_held, struct_clear
from jobqueue._structures.id_table cimport BUCKET_SLOTS, bucket_t, ids_walk, ids_walk_t
from jobqueue._machine.types cimport (
    BOUND_BYTES, BOUND_JOBS, BOUND_LINE, EXTRA_COUNTED, EXTRA_KICKED, EXTRA_QUEUED, EXTRA_STORED,
    OK, QUEUE_FULL, bytes_size, engine_t, load_t, queue_t, record_t, refusal_t, status_t, wait_t,
)
from jobqueue._machine.layout cimport job_bytes, record_bytes, record_processed
from jobqueue._machine.woken cimport deferred_post

# ---------------------------------------------------------------- bounds

cdef bint load_passed(engine_t *engine, const load_t *load, bint of_queue, int64_t size) noexcept nogil:
    """Whether one more job of so many bytes (0: it is counted already) would pass a bound."""
    cdef refusal_t *refusal = &engine.refusal
    refusal.of_queue = of_queue
    refusal.never = size > load.bytes_max
    if load.jobs >= load.jobs_max:
        refusal.bound = BOUND_JOBS
        refusal.value = load.jobs + 1
        refusal.most = load.jobs_max
        return True
    if size > 0 and load.bytes > load.bytes_max - size:
        refusal.bound = BOUND_BYTES
        refusal.value = load.bytes + size
        refusal.most = load.bytes_max
        return True
    return False


cdef bint line_passed(engine_t *engine, queue_t *queue) noexcept nogil:
    """Whether a job of a queue would overtake an adder that waits for the same capacity."""
    cdef const wait_t *wait = engine.adder_first
    cdef queue_t *other
    engine.looks += 1
    while wait != NULL:
        other = wait.record.queue
        if other == queue or not (other.limited and (other.passed == engine.looks or load_passed(
                engine, &other.load, True, job_bytes(wait.record.job)))):
            engine.refusal.bound = BOUND_LINE
            engine.refusal.never = False
            return True
        other.passed = engine.looks  # an adder behind waits for the capacity of its queue too
        wait = wait.next
    return False


cdef status_t capacity_check(engine_t *engine, queue_t *queue, int64_t size) noexcept nogil:
    """Whether one more job of so many bytes may come in. O(1), or O(adders) while somebody waits."""
    if queue != NULL and queue.limited and load_passed(engine, &queue.load, True, size):
        engine.refusal.never |= size > engine.load.bytes_max
        return QUEUE_FULL
    if load_passed(engine, &engine.load, False, size):
        return QUEUE_FULL
    if engine.adder_first != NULL and not engine.admitting and line_passed(engine, queue):
        return QUEUE_FULL
    return OK


cdef void capacity_take(engine_t *engine, record_t *record) noexcept nogil:
    """Count a record of a bounded engine: its job, unless that is processed, and its bytes.

    What is counted already is not counted again.
    """
    JQ_ASSERT(lock_held(&engine.lock))
    cdef queue_t *queue = record.queue
    if not record.extras & EXTRA_COUNTED and not record_processed(record):
        record.extras |= EXTRA_COUNTED
        engine.load.jobs += 1
        if record.extras & EXTRA_QUEUED:
            queue.load.jobs += 1
    if queue != NULL and queue.limited and not record.extras & EXTRA_QUEUED:
        queue.load.jobs += (record.extras & EXTRA_COUNTED) != 0
        queue.load.bytes += record_bytes(record)
        record.extras |= EXTRA_QUEUED
    record.extras |= EXTRA_STORED


cdef void capacity_uncount(engine_t *engine, record_t *record) noexcept nogil:
    """An unprocessed job is one no more."""
    JQ_ASSERT(lock_held(&engine.lock))
    engine.load.jobs -= 1
    if record.extras & EXTRA_QUEUED:
        record.queue.load.jobs -= 1
    if engine.adder_first != NULL:
        deferred_post(engine)


cdef void result_uncount(engine_t *engine, record_t *record) noexcept nogil:
    """The result of a former life goes."""
    JQ_ASSERT(lock_held(&engine.lock))
    engine.load.bytes -= bytes_size(record.result)
    if record.extras & EXTRA_QUEUED:
        record.queue.load.bytes -= bytes_size(record.result)


cdef void capacity_leave(engine_t *engine, record_t *record) noexcept nogil:
    """Its bytes, which are counted, are counted no more."""
    JQ_ASSERT(lock_held(&engine.lock))
    if record.extras & EXTRA_QUEUED:
        record.queue.load.bytes -= record_bytes(record)
    record.extras &= EXTRA_KICKED
    if engine.adder_first != NULL:
        deferred_post(engine)


cdef void capacity_recount(engine_t *engine) noexcept nogil:
    """Count anew, at the start of a controller; the queues' counts are 0. O(records)."""
    JQ_ASSERT(lock_held(&engine.lock))
    cdef ids_walk_t walk
    cdef bucket_t *bucket
    cdef record_t *record
    cdef Py_ssize_t slot
    struct_clear(&walk, sizeof(ids_walk_t))
    engine.load.jobs = 0
    while True:
        bucket = ids_walk(&engine.ids, &walk)
        if bucket == NULL:
            break
        for slot in range(BUCKET_SLOTS):
            record = <record_t *> bucket.items[slot]
            if record != NULL:
                record.extras &= ~(EXTRA_COUNTED | EXTRA_STORED | EXTRA_QUEUED)
                if engine.bounded:
                    capacity_take(engine, record)
