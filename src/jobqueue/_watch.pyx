"""Notes of transitions: a log for observers, and a ring for each record that keeps its history.

A transition writes a note only if somebody watches (engine_t.watched). The log is handed over once
the lock is gone: a note posts the errand that every verb looks at anyway.
Invariant: every function runs with the engine's lock held, and cannot fail: for want of memory a
note is lost, never a transition.
Complexity: O(1), amortised.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.string cimport memcpy

from jobqueue._types cimport ref_drop, ref_take
from jobqueue._state cimport (
    WATCH_EVENTS, WATCH_HISTORY, engine_t, errand_post, history_t, note_t, object_of, record_t, views_t,
)

cdef enum:
    NOTES_MIN = 64                # smallest log
    HISTORY_MIN = 4               # smallest ring


cdef void note_fill(
        note_t *note, record_t *record, event_kind_t kind, uint8_t state, void *reason,
        int64_t time_ns) noexcept nogil:
    note.record = NULL
    note.reason = reason
    note.time_ns = time_ns
    note.attempt = record.attempts
    note.kind = <uint8_t> kind
    note.state = state
    if reason != NULL:
        ref_take(reason)


cdef void event_note(
        engine_t *engine, record_t *record, event_kind_t kind, uint8_t state, void *reason,
        int64_t now_ns) noexcept nogil:
    """Write down what happened to a record, and the state it leads to. now_ns 0: not known."""
    cdef int64_t time_ns = now_ns + engine.wall_offset_ns if now_ns != 0 else 0
    cdef note_t *note
    if engine.watched & WATCH_HISTORY and kind < EVENT_EXPIRED:  # who is gone has no history
        note = history_next(engine, record)
        if note != NULL:
            note_fill(note, record, kind, state, reason, time_ns)
    if engine.watched & WATCH_EVENTS and notes_reserve(engine):
        note = &engine.notes[engine.note_count]
        engine.note_count += 1
        note_fill(note, record, kind, state, reason, time_ns)
        note.record = record
        ref_take(object_of(record))
        errand_post(engine)


cdef bint notes_reserve(engine_t *engine) noexcept nogil:
    cdef Py_ssize_t capacity = max(NOTES_MIN, 2 * engine.note_capacity)
    cdef note_t *notes
    if engine.note_count < engine.note_capacity:
        return True
    notes = <note_t *> PyMem_RawRealloc(engine.notes, <size_t> capacity * sizeof(note_t))
    if notes == NULL:
        return False
    engine.notes = notes
    engine.note_capacity = capacity
    return True


cdef void notes_cut(engine_t *engine, Py_ssize_t count) noexcept nogil:
    """Forget all notes but the first ones."""
    cdef note_t *note
    while engine.note_count > count:
        engine.note_count -= 1
        note = &engine.notes[engine.note_count]
        if note.reason != NULL:
            ref_drop(note.reason)
        ref_drop(object_of(note.record))


cdef void notes_clear(engine_t *engine) noexcept nogil:
    notes_cut(engine, 0)
    PyMem_RawFree(engine.notes)
    engine.notes = NULL
    engine.note_capacity = 0


cdef note_t *history_next(engine_t *engine, record_t *record) noexcept nogil:
    """Where the next note of a record goes; the oldest makes room. NULL: no memory."""
    cdef history_t *history
    cdef note_t *note
    if record.views == NULL:
        record.views = <views_t *> PyMem_RawCalloc(1, sizeof(views_t))
        if record.views == NULL:
            return NULL
    history = record.views.history
    if history == NULL or (history.count == history.capacity
                           and history.capacity < engine.history_max):
        history = history_grow(engine, history)
        if history == NULL:
            return NULL
        record.views.history = history
    if history.count < history.capacity:
        history.count += 1
        return history_at(history, history.count - 1)
    note = history_at(history, 0)
    if note.reason != NULL:
        ref_drop(note.reason)
    history.begin = (history.begin + 1) % history.capacity
    return note


cdef history_t *history_grow(engine_t *engine, history_t *history) noexcept nogil:
    """A ring twice as big, with the same notes; it has not turned yet, so they stand in order."""
    cdef Py_ssize_t capacity = HISTORY_MIN if history == NULL else 2 * history.capacity
    cdef history_t *grown
    capacity = min(capacity, <Py_ssize_t> engine.history_max)
    grown = <history_t *> PyMem_RawCalloc(1, sizeof(history_t) + <size_t> capacity * sizeof(note_t))
    if grown == NULL:
        return NULL
    if history != NULL:
        memcpy(grown + 1, history + 1, history.count * sizeof(note_t))
        grown.count = history.count
        PyMem_RawFree(history)
    grown.capacity = <uint16_t> capacity
    return grown


cdef void history_free(history_t *history) noexcept nogil:
    cdef Py_ssize_t i
    cdef note_t *note
    if history == NULL:
        return
    for i in range(history.count):
        note = history_at(history, i)
        if note.reason != NULL:
            ref_drop(note.reason)
    PyMem_RawFree(history)
