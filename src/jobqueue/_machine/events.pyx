"""Events of transitions: a bounded ring for observers, and a ring for each record that keeps its history.

A transition writes an event only behind engine_t.watched. The ring is handed over once
the lock is released: an event posts the deferred work that every verb looks at anyway.
Invariant: every function runs with the engine's lock held, and cannot fail: for want of memory an
event is lost, never a transition.
Complexity: O(1), amortised.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint16_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from jobqueue._structures.platform cimport ref_drop, ref_take
from jobqueue._structures.times cimport ns_add
from jobqueue._structures.keys cimport ID_SIZE
from jobqueue._machine.types cimport (
    EVENT_DROPPED, EVENT_EXPIRED, WATCH_EVENTS, WATCH_HISTORY, bytes_size, engine_t, event_kind_t,
    event_t, history_t, note_t, record_t, views_t,
)
from jobqueue._machine.woken cimport deferred_post

cdef enum:
    EVENTS_MIN = 64               # smallest ring of events
    EVENTS_KEPT = 1024            # a bigger one is given back once it is empty
    HISTORY_MIN = 4               # smallest ring of a history


cdef void note_fill(
        note_t *note, const record_t *record, event_kind_t kind, uint8_t state, void *reason,
        int64_t time_ns) noexcept nogil:
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
    cdef int64_t time_ns = ns_add(now_ns, engine.wall_offset_ns) if now_ns != 0 else 0
    cdef note_t *note
    if engine.watched & WATCH_HISTORY and kind < EVENT_EXPIRED:  # who is gone has no history
        note = history_next(engine, record)
        if note != NULL:
            note_fill(note, record, kind, state, reason, time_ns)
    if engine.watched & WATCH_EVENTS:
        event_put(engine, record, kind, state, reason, time_ns)
        deferred_post(engine)

# ---------------------------------------------------------------- events

cdef inline event_t *event_at(engine_t *engine, Py_ssize_t i) noexcept nogil:
    """An event by its age: 0 is the oldest."""
    return &engine.events[(engine.event_begin + i) & (engine.event_capacity - 1)]


cdef void event_put(
        engine_t *engine, const record_t *record, event_kind_t kind, uint8_t state, void *reason,
        int64_t time_ns) noexcept nogil:
    """Line an event up, or count it as lost. Once one is lost, so are all, until half of the
    backlog is gone: gaps are few and long."""
    cdef event_t *event
    cdef Py_ssize_t most = EVENTS_MAX // 2 if engine.event_lost else EVENTS_MAX + engine.event_spare
    cdef int64_t bytes_max = EVENTS_BYTES_MAX // 2 if engine.event_lost else EVENTS_BYTES_MAX
    if (engine.event_count >= most or engine.event_bytes >= bytes_max
            or not events_reserve(engine, 2)):
        engine.event_lost += 1
        return
    gap_put(engine, time_ns)
    event = event_at(engine, engine.event_count)
    engine.event_count += 1
    engine.event_undated += time_ns == 0
    note_fill(&event.note, record, kind, state, reason, time_ns)
    if reason != NULL:
        engine.event_bytes += bytes_size(reason)
    memcpy(event.id, record.job.tie.id, ID_SIZE)
    event.name = record.job.name
    ref_take(event.name)


cdef void events_batch(engine_t *engine, Py_ssize_t jobs) noexcept nogil:
    """A batch begins, or ends: 0. Its caller holds as many jobs, so that what it makes is bounded."""
    engine.event_spare = 0
    if engine.watched & WATCH_EVENTS and engine.event_count < EVENTS_MAX:
        engine.event_spare = 2 * jobs  # one may be added and leased at once


cdef void gap_put(engine_t *engine, int64_t time_ns) noexcept nogil:
    """Line up the event that says how many were lost, if some were. There is space for it."""
    cdef event_t *event
    if engine.event_lost == 0:
        return
    event = event_at(engine, engine.event_count)
    engine.event_count += 1
    engine.event_undated += time_ns == 0
    gap_fill(event, engine.event_lost)
    event.note.time_ns = time_ns
    engine.event_lost = 0


cdef void gap_fill(event_t *event, uint64_t lost) noexcept nogil:
    memset(event, 0, sizeof(event_t))
    event.note.kind = EVENT_DROPPED
    event.note.attempt = lost


cdef bint events_reserve(engine_t *engine, Py_ssize_t more) noexcept nogil:
    """Make space for so many events. A ring twice as big begins with its oldest."""
    cdef Py_ssize_t capacity = max(<Py_ssize_t> EVENTS_MIN, 2 * engine.event_capacity)
    cdef Py_ssize_t first
    cdef event_t *events
    if engine.event_count + more <= engine.event_capacity:
        return True
    events = <event_t *> PyMem_RawMalloc(<size_t> capacity * sizeof(event_t))
    if events == NULL:
        return False
    first = min(engine.event_count, engine.event_capacity - engine.event_begin)
    if first > 0:
        memcpy(events, engine.events + engine.event_begin, <size_t> first * sizeof(event_t))
        memcpy(events + first, engine.events, <size_t> (engine.event_count - first) * sizeof(event_t))
    PyMem_RawFree(engine.events)
    engine.events = events
    engine.event_begin = 0
    engine.event_capacity = capacity
    return True


cdef bint event_take(engine_t *engine, event_t *event) noexcept nogil:
    """Move the oldest event out; the references go with it. False: there is none."""
    if engine.event_count == 0:
        if engine.event_lost == 0:
            return False
        gap_fill(event, engine.event_lost)
        engine.event_lost = 0
        return True
    memcpy(event, event_at(engine, 0), sizeof(event_t))
    engine.event_begin = (engine.event_begin + 1) & (engine.event_capacity - 1)
    engine.event_count -= 1
    engine.event_taken += 1
    engine.event_undated -= event.note.time_ns == 0
    if event.note.reason != NULL:
        engine.event_bytes -= bytes_size(event.note.reason)
    if engine.event_count == 0 and engine.event_capacity > EVENTS_KEPT:
        ring_free(engine)
    return True


cdef void event_drop(event_t *event) noexcept nogil:
    """Let go of what an event that was taken holds."""
    if event.note.reason != NULL:
        ref_drop(event.note.reason)
    if event.name != NULL:
        ref_drop(event.name)


cdef void events_date(engine_t *engine, int64_t wall_ns) noexcept nogil:
    """Give the events whose time is not known this one. They are among the last."""
    cdef Py_ssize_t i = engine.event_count
    cdef event_t *event
    while engine.event_undated > 0 and i > 0:
        i -= 1
        event = event_at(engine, i)
        if event.note.time_ns == 0:
            event.note.time_ns = wall_ns if wall_ns != 0 else 1
            engine.event_undated -= 1


cdef uint64_t events_next(engine_t *engine) noexcept nogil:
    """The number of the next event: who begins to observe hears of those from there on."""
    if engine.event_lost and events_reserve(engine, 1):
        gap_put(engine, 0)
    return engine.event_taken + <uint64_t> engine.event_count


cdef void events_cut(engine_t *engine, Py_ssize_t count, uint64_t lost) noexcept nogil:
    """Forget all events but the first ones, after which so many were lost."""
    cdef event_t *event
    while engine.event_count > count:
        engine.event_count -= 1
        event = event_at(engine, engine.event_count)
        engine.event_undated -= event.note.time_ns == 0
        if event.note.reason != NULL:
            engine.event_bytes -= bytes_size(event.note.reason)
        event_drop(event)
    engine.event_lost = lost


cdef void ring_free(engine_t *engine) noexcept nogil:
    PyMem_RawFree(engine.events)
    engine.events = NULL
    engine.event_begin = engine.event_capacity = 0


cdef void events_clear(engine_t *engine) noexcept nogil:
    events_cut(engine, 0, 0)
    ring_free(engine)

# ---------------------------------------------------------------- histories

cdef note_t *history_next(engine_t *engine, record_t *record) noexcept nogil:
    """Where the next event of a record goes; the oldest makes space. NULL: no memory."""
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


cdef note_t *history_copy(history_t *history) noexcept nogil:
    """The notes of a history, oldest first, with references of their own. NULL: no memory."""
    cdef note_t *notes = <note_t *> PyMem_RawMalloc(<size_t> (history.count + 1) * sizeof(note_t))
    cdef Py_ssize_t i
    if notes != NULL:
        for i in range(history.count):
            memcpy(&notes[i], history_at(history, i), sizeof(note_t))
            if notes[i].reason != NULL:
                ref_take(notes[i].reason)
    return notes
