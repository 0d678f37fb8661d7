"""The list of waits that have ended and whose callers are still to be woken, and deferred work.

A transition puts a wait there under the lock; the thread that made it takes it out once the lock is
released, and wakes its caller. Deferred work (events to deliver, capacity to give away) is a mark in
the same list, which every verb looks at anyway.
Invariant: every function runs with the engine's lock held. Complexity: O(1).
"""

from jobqueue._structures.platform cimport JQ_ASSERT, lock_held
from jobqueue._machine.types cimport OUTCOME_NONE, OUTCOME_PROCESSED, engine_t, wait_t

# ---------------------------------------------------------------- waiting

cdef void woken_put(engine_t *engine, wait_t *wait) noexcept nogil:
    JQ_ASSERT(lock_held(&engine.lock))
    if engine.woken_last != NULL:
        engine.woken_last.next = wait
    else:
        engine.woken_first = wait
    engine.woken_last = wait


cdef void deferred_post(engine_t *engine) noexcept nogil:
    """See that the thread that wakes callers, without the lock, serves adders and observers too."""
    JQ_ASSERT(lock_held(&engine.lock))
    if engine.deferred.outcome == OUTCOME_NONE:
        engine.deferred.outcome = OUTCOME_PROCESSED
        woken_put(engine, &engine.deferred)


cdef wait_t *woken_take(engine_t *engine) noexcept nogil:
    """The next caller to wake, or NULL. The reference to its object goes to the taker.

    If it is the mark of deferred work, that may be posted again from now on.
    """
    JQ_ASSERT(lock_held(&engine.lock))
    cdef wait_t *wait = engine.woken_first
    if wait != NULL:
        engine.woken_first = wait.next
        if wait.next == NULL:
            engine.woken_last = NULL
        wait.next = NULL
        if wait == &engine.deferred:
            wait.outcome = OUTCOME_NONE
    return wait
