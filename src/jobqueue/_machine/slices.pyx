"""What goes through all jobs of a batch, a queue or an engine: in slices, where there may be millions.

A function here does one slice, and returns whether it is done. Between two calls its caller releases the
lock and the GIL: others work meanwhile, and what they change is recognised.
Invariant: every function runs with the engine's lock held, and each of its prefixes is whole.
Complexity: O(slice).
"""

from cpython.mem cimport PyMem_RawFree
from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport ref_drop, ref_take
from jobqueue._structures.skiplist cimport skiplist_clear, skiplist_first
from jobqueue._structures.wheel cimport TIMER_CANCELLED, wheel_clear
from jobqueue._structures.id_table cimport (
    BUCKET_SLOTS, bucket_t, ids_clear, ids_init, ids_t, ids_walk, ids_walk_t,
)
from jobqueue._machine.types cimport (
    EXTRA_KICKED, KIND_TTL, KIND_TTR, engine_t, outcome_t, queue_t, record_t,
)
from jobqueue._machine.layout cimport job_bytes, object_of
from jobqueue._machine.key_table cimport uniques_clear
from jobqueue._machine.bounds cimport load_passed, capacity_take
from jobqueue._machine.state cimport (
    queue_remove, record_leave, record_tie, record_unassign, scheduled_end, timer_end, waits_end,
)
from jobqueue._machine.life cimport entrant_t

# ---------------------------------------------------------------- freeing

cdef void queue_leave(record_t *record) noexcept nogil:
    """Take a record out of a queue that is about to be freed."""
    ref_take(object_of(record))
    queue_remove(record)
    record_unassign(record)
    ref_drop(object_of(record))


cdef bint queue_clear(queue_t *queue, Py_ssize_t count) noexcept nogil:
    """Let go of so many jobs. False: there are more. The queue must not be linked from a waiting leaser."""
    cdef record_t *record
    while True:
        record = <record_t *> skiplist_first(&queue.ready)
        if record == NULL:
            record = <record_t *> skiplist_first(&queue.scheduled)
        if record == NULL:
            break
        if count == 0:
            return False
        count -= 1
        scheduled_end(record, TIMER_CANCELLED)
        queue_leave(record)
    skiplist_clear(&queue.ready)
    skiplist_clear(&queue.scheduled)
    return True


cdef void engine_clear_begin(engine_t *engine, ids_t *ids) noexcept nogil:
    """Begin to let go of every record: nobody finds them any more. They are in ``ids`` then."""
    engine.dying = True
    ids[0] = engine.ids
    ids_init(&engine.ids, record_tie)
    engine.load.jobs = engine.load.bytes = 0
    engine.dead_first = engine.dead_last = NULL
    engine.dead_count = 0
    uniques_clear(&engine.uniques)


cdef bint engine_clear(
        engine_t *engine, const ids_t *ids, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil:
    """Let go of the records in so many buckets; their timers are cancelled, places in queues stay.

    False: there are more.
    """
    cdef bucket_t *bucket
    cdef record_t *record
    cdef Py_ssize_t slot
    while buckets > 0:
        bucket = ids_walk(ids, walk)
        if bucket == NULL:
            return True
        for slot in range(BUCKET_SLOTS):
            record = <record_t *> bucket.items[slot]
            if record != NULL:
                timer_end(engine, record, KIND_TTL)
                timer_end(engine, record, KIND_TTR)
                scheduled_end(record, TIMER_CANCELLED)
                record_leave(record)
                record.extras &= EXTRA_KICKED
                ref_drop(object_of(record))
        buckets -= 1
    return False


cdef void engine_clear_end(engine_t *engine, ids_t *ids) noexcept nogil:
    wheel_clear(&engine.wheel)
    ids_clear(ids)
    PyMem_RawFree(engine.due)
    engine.due = NULL
    engine.due_count = engine.due_capacity = 0

# ---------------------------------------------------------------- waits

cdef bint engine_end_waits(
        engine_t *engine, outcome_t outcome, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil:
    """End the waits for records in so many buckets. False: there are more, and others may wait there.

    Leasers are ended queue by queue by the caller.
    """
    cdef bucket_t *bucket
    cdef record_t *record
    cdef Py_ssize_t slot
    while engine.record_waits > 0:
        if buckets == 0:
            return False
        buckets -= 1
        bucket = ids_walk(&engine.ids, walk)
        if bucket == NULL:
            break
        for slot in range(BUCKET_SLOTS):
            record = <record_t *> bucket.items[slot]
            if record != NULL and record.waits != NULL:
                waits_end(engine, record, outcome, outcome)
    return True

# ---------------------------------------------------------------- bounds

cdef Py_ssize_t entrants_fit(engine_t *engine, entrant_t *entrants, Py_ssize_t count) noexcept nogil:
    """How many jobs of a batch have capacity, each beside those before it. O(count).

    Queues that are not there yet have no bounds. If it is not all, the refusal is that of the first.
    """
    cdef queue_t *queue
    cdef Py_ssize_t fits = 0
    cdef Py_ssize_t i
    while fits < count:
        queue = entrants[fits].record.queue
        if queue != NULL and queue.limited and load_passed(
                engine, &queue.load, True, job_bytes(entrants[fits].record.job)):
            break
        if load_passed(engine, &engine.load, False, job_bytes(entrants[fits].record.job)):
            break
        load_add(engine, entrants[fits].record, 1)
        fits += 1
    for i in range(fits):
        load_add(engine, entrants[i].record, -1)
    return fits


cdef void load_add(engine_t *engine, const record_t *record, int sign) noexcept nogil:
    """Count a job that is not there yet, or take that back."""
    cdef int64_t size = sign * job_bytes(record.job)
    engine.load.jobs += sign
    engine.load.bytes += size
    if record.queue != NULL:
        record.queue.load.jobs += sign
        record.queue.load.bytes += size


cdef bint capacity_count(engine_t *engine, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil:
    """Count the records in so many buckets that a new bound is about. False: there are more.

    Meanwhile what comes counts itself, and what goes is taken off if it was counted.
    """
    cdef bucket_t *bucket
    cdef Py_ssize_t slot
    while buckets > 0:
        bucket = ids_walk(&engine.ids, walk)
        if bucket == NULL:
            return True
        for slot in range(BUCKET_SLOTS):
            if bucket.items[slot] != NULL:
                capacity_take(engine, <record_t *> bucket.items[slot])
        buckets -= 1
    return False
