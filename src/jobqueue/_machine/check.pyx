"""What holds between two verbs, to be checked by tests and whenever a fault is suspected.

Locking: called with the engine's lock. Complexity: O(n log n) in the jobs.
"""

from libc.stdint cimport int64_t

from jobqueue._structures.times cimport NEVER_NS
from jobqueue._structures.wheel cimport TIMER_ARMED, wheel_check
from jobqueue._structures.id_table cimport ids_at, ids_check, ids_slots
from jobqueue._machine.types cimport (
    EXTRA_COUNTED, EXTRA_DEAD, EXTRA_KEY, EXTRA_KICKED, EXTRA_STORED, PLACE_NONE, PLACE_SCHEDULED,
    STATE_FAILED, STATE_LEASED, engine_t, record_t,
)
from jobqueue._machine.layout cimport record_bytes, record_processed
from jobqueue._machine.key_table cimport uniques_check, uniques_find
from jobqueue._machine.state cimport dead_next, queue_due_ns, queue_find, registry_find

cdef const char *record_check(const engine_t *engine, record_t *record) noexcept nogil:
    if record.home != engine:
        return "a record of the registry knows another home"
    if registry_find(engine, record.job.tie.id) != record:
        return "a record is not found by its id"
    if record.place != PLACE_NONE and queue_find(record.queue, record.job) != record:
        return "a record's queue does not hold it"
    if record.place != PLACE_NONE and (record.state == STATE_LEASED or record_processed(record)):
        return "a leased or processed job stands in a queue"
    if record.ttr.state == TIMER_ARMED and record.state != STATE_LEASED:
        return "the TTR of a job that is not leased is armed"
    if (record.scheduled == TIMER_ARMED) != (record.place == PLACE_SCHEDULED and
                                             record.ttr.deadline_ns != NEVER_NS):
        return "a record's scheduled timer and place disagree"
    if record.extras & EXTRA_KEY and uniques_find(&engine.uniques, record.job) != record.job:
        return "a job does not hold its key"
    if record_processed(record) and record.extras & (EXTRA_KEY | EXTRA_COUNTED):
        return "a processed job holds a key or counts as unprocessed"
    if engine.bounded and not record.extras & EXTRA_STORED:
        return "a job of a bounded engine is not counted"
    if record.extras & EXTRA_DEAD and record.state != STATE_FAILED:
        return "a job that is not FAILED is in the list of the dead"
    if record.extras & EXTRA_KICKED and record_processed(record):
        return "a processed job has the result of a former life"
    if record_processed(record) and record.waits != NULL:
        return "somebody still waits for a processed job"
    return NULL


cdef const char *engine_check(engine_t *engine) noexcept nogil:
    """NULL if every invariant of the registry, the wheel and the heap holds. O(n log n)."""
    cdef Py_ssize_t i
    cdef Py_ssize_t running = 0
    cdef Py_ssize_t keys = 0
    cdef Py_ssize_t dead = 0
    cdef int64_t jobs = 0
    cdef int64_t bytes = 0
    cdef record_t *record
    cdef const char *broken
    for i in range(ids_slots(&engine.ids)):
        record = <record_t *> ids_at(&engine.ids, i)
        if record != NULL:
            running += record.state == STATE_LEASED
            keys += (record.extras & EXTRA_KEY) != 0
            dead += (record.extras & EXTRA_DEAD) != 0
            jobs += (record.extras & EXTRA_COUNTED) != 0
            bytes += record_bytes(record)
            broken = record_check(engine, record)
            if broken != NULL:
                return broken
    record = engine.dead_first
    while record != NULL:
        dead -= 1
        record = dead_next(record)
    if dead != 0:
        return "the list of the dead is broken"
    if keys != engine.uniques.count:
        return "the count of keys is wrong"
    if bytes != engine.load.bytes or jobs != engine.load.jobs:
        return "the count of bytes or of unprocessed jobs is wrong"
    broken = ids_check(&engine.ids)
    if broken == NULL:
        broken = uniques_check(&engine.uniques)
    if broken != NULL:
        return broken
    if running != engine.running_count:
        return "the count of leased records is wrong"
    for i in range(engine.due_count):
        if engine.due[i].due_index != i or engine.due[i].engine != engine:
            return "a queue does not know its place among the due times"
        if queue_due_ns(engine.due[i]) < queue_due_ns(engine.due[(i - 1) // 2 if i else 0]):
            return "the heap of due times is out of order"
    return wheel_check(&engine.wheel)
