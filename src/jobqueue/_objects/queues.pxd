"""WorkQueue, QueueController, Inspector and Iterator: see queues.pyx."""

from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport lock_t
from jobqueue._structures.keys cimport sortkey_t, tie_t
from jobqueue._structures.skiplist cimport skiplist_t
from jobqueue._machine.types cimport queue_t, record_t
from jobqueue._objects.registry cimport Registry

cdef class WorkQueue:
    cdef queue_t c                # first field: a queue_t finds its WorkQueue (object_of)
    cdef lock_t own_lock          # while it stands alone
    cdef lock_t *lock             # its own, or that of the engine it belongs to
    cdef Registry registry        # of that engine, or None; keeps c.engine alive
    cdef str name                 # under which its QueueController has it, or None

cdef class QueueController:
    cdef readonly dict _by_name   # str -> WorkQueue
    cdef Registry registry        # of the engine it is attached to, or None
    cdef lock_t making            # held while a queue is made, before the engine's lock
    cdef queue_t *ring            # all of them in a ring: the one before that which is looked at next

cdef class Inspector:
    cdef WorkQueue queue

cdef class Iterator:
    cdef WorkQueue queue
    cdef bint scheduled           # which of the queue's two orders
    cdef object job               # the Job it stands on, or None
    cdef bint started             # it has stood somewhere: the key below is set
    cdef bint yielded             # iteration has given out the job it stands on
    cdef size_t postponed_count   # of the queue, when the walk began
    cdef int64_t a                # key of the job it stands, or stood last, on
    cdef int64_t b
    cdef tie_t tie
    cdef skiplist_t *skiplist(self) noexcept
    cdef sortkey_t key(self) noexcept
    cdef record_t *shown(self, record_t *record) noexcept
    cdef object stand(self, record_t *record)
    cdef object step(self)

cdef void queue_attach(WorkQueue queue, Registry registry) noexcept
cdef WorkQueue queue_get(QueueController self, str name)
cdef queue_t *ring_remove(QueueController self) noexcept
cdef int queues_attach(QueueController self, Registry registry) except -1
cdef int queues_check(QueueController self, Registry registry) except -1
cdef int queues_detach(QueueController self) except -1
cdef WorkQueue queue_make(QueueController self, str name, WorkQueue made)
