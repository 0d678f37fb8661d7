"""RunRecord, Registry and Waiter: see registry.pyx."""

from libc.stdint cimport int64_t, uint8_t

from jobqueue._machine.types cimport engine_t, record_t, wait_link_t, wait_t

cdef class RunRecord:
    cdef record_t c               # first field: a record_t finds its RunRecord (object_of)

cdef class Registry

cdef class Waiter:
    cdef wait_t c                 # first field: a wait_t finds its Waiter (object_of)
    cdef wait_link_t link         # c.links, if it waits for one name
    cdef object wake              # called once, with this Waiter, when the wait has ended; or None,
    cdef void *signal             # and a lock that is held, and released then; else NULL
    cdef object queues            # the queues in whose lines it stands; keeps them alive
    cdef Registry registry        # whose engine it waits in; keeps that alive
    cdef bint detailed            # a lease that wants (job, number, deadline ns)
    cdef bint settled             # its caller has what it came to, or has left
    cdef uint8_t strikes          # exceptions that struck its wake

cdef class Registry:
    cdef engine_t e
    cdef object clock             # None: the system's clocks, read natively
    cdef int64_t offset_until_ns  # mono time until which e.wall_offset_ns is believed
    cdef unsigned long timer_ident  # the thread that serves its timers; 0: there was none yet
    cdef object owner             # weak reference to the engine that it is attached to, or None
    cdef object queues            # that engine's QueueController, or None
    cdef object notifier          # called when there are events for observers; None: there are none
    cdef object shadow            # its WorkQueue for scheduled jobs, while its queues are foreign
    cdef set astray               # and the jobs whose place there is to be seen to; else None
    cdef object thread_signal     # what wakes the engine's timer thread; None: there is none
    cdef object thread_begun      # a WakeSignal that rings when its start is over, or None
    cdef list deserted            # (engine, waiter) for whom nobody comes any more; None: none ever
    cdef bint draining            # somebody abandons these
    cdef bint ticking             # the timer thread looks just now
    cdef object __weakref__

cdef Waiter waiter_new(Registry registry, object wake, bint detailed)
cdef int waiter_sleep(Waiter waiter, int64_t timeout_ms) except -1
cdef RunRecord record_object(record_t *record)
cdef record_t *record_make(void *job) except NULL
cdef RunRecord record_new(object job)
cdef void homes_acquire() noexcept nogil
cdef void homes_release() noexcept nogil
cdef int64_t registry_now(Registry registry) except? -1
cdef int wake_all(engine_t *engine) except -1
cdef int thread_ring(Registry registry) except -1
cdef int report_unraisable(object error, object where) except -1
