"""Notes of transitions: see _watch.pyx."""

from libc.stdint cimport int64_t, uint8_t

from jobqueue._state cimport engine_t, history_t, note_t, record_t

cdef enum event_kind_t:            # as the members of EventKind, in order
    EVENT_ADDED = 0
    EVENT_SCHEDULED = 1
    EVENT_AWAKE = 2
    EVENT_LEASED = 3
    EVENT_TOUCHED = 4
    EVENT_RELEASED = 5
    EVENT_COMPLETED = 6
    EVENT_FAILED = 7
    EVENT_TIMED_OUT = 8
    EVENT_EXHAUSTED = 9
    EVENT_KICKED = 10
    EVENT_UNDONE = 11
    EVENT_EXPIRED = 12
    EVENT_DELETED = 13

cdef void event_note(
    engine_t *engine, record_t *record, event_kind_t kind, uint8_t state, void *reason,
    int64_t now_ns) noexcept nogil
cdef void notes_cut(engine_t *engine, Py_ssize_t count) noexcept nogil
cdef void notes_clear(engine_t *engine) noexcept nogil
cdef void history_free(history_t *history) noexcept nogil

cdef inline note_t *history_at(history_t *history, Py_ssize_t i) noexcept nogil:
    """A note by its age: 0 is the oldest."""
    return <note_t *> (history + 1) + (history.begin + i) % history.capacity
