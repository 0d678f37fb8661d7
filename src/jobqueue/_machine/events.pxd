"""Events of transitions: see events.pyx."""

from libc.stdint cimport int64_t, uint64_t, uint8_t

from jobqueue._machine.types cimport engine_t, event_kind_t, event_t, history_t, note_t, record_t

cdef enum:
    EVENTS_MAX = 65536            # transitions that wait for observers; what is beyond is dropped
    EVENTS_BYTES_MAX = 67108864   # of their reasons

cdef void event_note(
    engine_t *engine, record_t *record, event_kind_t kind, uint8_t state, void *reason,
    int64_t now_ns) noexcept nogil

cdef void events_batch(engine_t *engine, Py_ssize_t jobs) noexcept nogil
cdef void events_cut(engine_t *engine, Py_ssize_t count, uint64_t lost) noexcept nogil
cdef void events_clear(engine_t *engine) noexcept nogil
cdef void events_date(engine_t *engine, int64_t wall_ns) noexcept nogil
cdef uint64_t events_next(engine_t *engine) noexcept nogil
cdef bint event_take(engine_t *engine, event_t *event) noexcept nogil
cdef void event_drop(event_t *event) noexcept nogil
cdef void history_free(history_t *history) noexcept nogil
cdef note_t *history_copy(history_t *history) noexcept nogil

cdef inline note_t *history_at(history_t *history, Py_ssize_t i) noexcept nogil:
    """A note by its age: 0 is the oldest."""
    return <note_t *> (history + 1) + (history.begin + i) % history.capacity
