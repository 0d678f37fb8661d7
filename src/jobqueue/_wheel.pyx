"""Timer wheel: timers by deadline, armed and cancelled in O(1), fired in exact order.

Hierarchical (Varghese & Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7): ticks
of 1 ns, 11 levels of 64 slots. A timer is filed at the level of the highest 6 bits in which its tick
differs from the wheel's, in the slot these bits name. Hence all slots of a level lie ahead, the
lowest occupied slot of the lowest occupied level is the earliest, and bitmaps find it in a jump.
Invariant: a slot is what would be computed anew from the present tick, so equal ticks share a slot.
Invariant: a slot is cascaded when all levels below it are empty; appending keeps the arming order.
Invariant: a cascade may pause. Until it is over, what is armed for its slot, or is past, is put there.
Invariant: the tick moves only while the due list, of timers not beyond the tick, is empty.
Timers fire by deadline to the ns, equal deadlines in arming order. Only timers that are armed for a
time that is past may have to be sorted: the slots of a wheel of 1 ns leave nothing to sort.
Complexity: arm, cancel O(1); firing a timer O(1) amortised, at most 10 cascades. A caller says how many
steps it may take at most.
Locking: none; the caller holds its lock. No Python object is touched below the class TimerWheel.
"""

cimport cython
from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint16_t, uint64_t, uintptr_t

from jobqueue._types cimport NEVER_NS, TIMER_ARMED, TIMER_CANCELLED, TIMER_FIRED, ns_add, timer_t

from datetime import datetime, timedelta, timezone

from jobqueue.errors import InvalidTimeError, raise_wrong_type, shown

cdef extern from "_platform.h":
    int jq_lowest_bit(uint64_t bits) nogil        # number of the lowest bit set; bits != 0
    int jq_highest_bit(uint64_t bits) nogil

cdef enum:
    LEVEL_BITS = 6                # of the tick, in a level
    RUNS_MAX = 48                 # runs the sort keeps; the last has 2^47 natural runs
    FEW_TIMERS = 8                # so many are looked at for the exact time of a slot


# ---------------------------------------------------------------- ticks

cdef inline uint64_t tick_of(int64_t time_ns) noexcept nogil:
    """Nanoseconds since INT64_MIN, so that ticks are never negative."""
    return <uint64_t> time_ns ^ (<uint64_t> 1 << 63)


cdef inline int64_t tick_start_ns(uint64_t tick) noexcept nogil:
    return <int64_t> (tick ^ (<uint64_t> 1 << 63))


cdef inline int slot_of(uint64_t tick, uint64_t wheel_tick) noexcept nogil:
    """Number of the slot or list where a timer of that tick is filed."""
    cdef int level
    if tick <= wheel_tick:
        return WHEEL_DUE
    level = jq_highest_bit(tick ^ wheel_tick) // LEVEL_BITS
    return level * WHEEL_SLOTS + <int> ((tick >> (level * LEVEL_BITS)) & (WHEEL_SLOTS - 1))


# ---------------------------------------------------------------- lists

cdef inline void list_append(timer_list_t *list, timer_t *timer) noexcept nogil:
    timer.prev = list.tail
    timer.next = NULL
    if list.tail is NULL:
        list.head = timer
    else:
        list.tail.next = timer
    list.tail = timer


cdef inline void list_prepend(timer_list_t *list, timer_t *timer) noexcept nogil:
    timer.prev = NULL
    timer.next = list.head
    if list.head is NULL:
        list.tail = timer
    else:
        list.head.prev = timer
    list.head = timer


cdef inline void list_remove(timer_list_t *list, timer_t *timer) noexcept nogil:
    if timer.prev is NULL:
        list.head = timer.next
    else:
        timer.prev.next = timer.next
    if timer.next is NULL:
        list.tail = timer.prev
    else:
        timer.next.prev = timer.prev
    timer.prev = timer.next = NULL


cdef timer_t *run_cut(timer_t *timer) noexcept nogil:
    """Cut a list after its first ascending run; return the rest."""
    cdef timer_t *rest = timer.next
    while rest is not NULL and rest.deadline_ns >= timer.deadline_ns:
        timer = rest
        rest = rest.next
    timer.next = NULL
    return rest


cdef timer_t *run_merge(timer_t *early, timer_t *late) noexcept nogil:
    """Merge two sorted runs; of equal deadlines those armed early come first. Sets only ``next``."""
    cdef timer_t *head = NULL
    cdef timer_t **end = &head
    while early is not NULL and late is not NULL:
        if early.deadline_ns <= late.deadline_ns:
            end[0] = early
            end = &early.next
            early = early.next
        else:
            end[0] = late
            end = &late.next
            late = late.next
    end[0] = late if early is NULL else early
    return head


cdef void list_sort(timer_list_t *list) noexcept nogil:
    """Sort by deadline, stably: merge sort of natural runs, O(n log runs), no allocation.

    ``runs[i]`` holds 2^i runs merged, or none, like the digits of a binary counter.
    """
    cdef timer_t *runs[RUNS_MAX]
    cdef timer_t *rest = list.head
    cdef timer_t *run
    cdef int used = 0
    cdef int i
    while rest is not NULL:
        run = rest
        rest = run_cut(run)
        i = 0
        while i < used and runs[i] is not NULL:
            run = run_merge(runs[i], run)
            runs[i] = NULL
            i += 1
        if i == used:
            used += 1
        runs[i] = run
    run = NULL
    for i in range(used):
        run = run_merge(runs[i], run)
    list.head = run
    list.tail = NULL
    while run is not NULL:
        run.prev = list.tail
        list.tail = run
        run = run.next


# ---------------------------------------------------------------- the wheel

cdef inline void due_add(wheel_t *wheel, timer_t *timer) noexcept nogil:
    """File a timer in the due list, in order where that takes no search."""
    cdef timer_list_t *due = &wheel.slots[WHEEL_DUE]
    if due.tail is NULL or timer.deadline_ns >= due.tail.deadline_ns:
        list_append(due, timer)
    elif not wheel.due_unsorted and timer.deadline_ns < due.head.deadline_ns:
        list_prepend(due, timer)
    else:
        list_append(due, timer)
        wheel.due_unsorted = True


cdef inline void wheel_file(wheel_t *wheel, timer_t *timer) noexcept nogil:
    cdef uint64_t tick = tick_of(timer.deadline_ns)
    cdef int slot = wheel.moving_slot if tick < wheel.moving_end else slot_of(tick, wheel.tick)
    cdef int level = slot >> LEVEL_BITS
    timer.slot = <uint16_t> slot
    if slot == WHEEL_DUE:
        due_add(wheel, timer)
    else:
        list_append(&wheel.slots[slot], timer)
        wheel.occupied[level] |= <uint64_t> 1 << (slot & (WHEEL_SLOTS - 1))
        wheel.levels |= <uint64_t> 1 << level


cdef inline void slot_vacate(wheel_t *wheel, int slot) noexcept nogil:
    """Note in the bitmaps that a slot is empty; nothing to note for the due list."""
    cdef int level = slot >> LEVEL_BITS
    if slot != WHEEL_DUE:
        wheel.occupied[level] &= ~(<uint64_t> 1 << (slot & (WHEEL_SLOTS - 1)))
        if wheel.occupied[level] == 0:
            wheel.levels &= ~(<uint64_t> 1 << level)


cdef inline int slot_earliest(const wheel_t *wheel) noexcept nogil:
    """Number of the occupied slot that comes first; some level is occupied."""
    cdef int level = jq_lowest_bit(wheel.levels)
    return level * WHEEL_SLOTS + jq_lowest_bit(wheel.occupied[level])


cdef inline uint64_t slot_start(const wheel_t *wheel, int slot) noexcept nogil:
    """First tick of a slot ahead."""
    cdef int shift = (slot >> LEVEL_BITS) * LEVEL_BITS
    cdef uint64_t above = wheel.tick >> shift >> LEVEL_BITS << LEVEL_BITS
    return (above | <uint64_t> (slot & (WHEEL_SLOTS - 1))) << shift


cdef void slot_move(wheel_t *wheel, Py_ssize_t *steps) noexcept nogil:
    """Go on with a cascade: move timers of its slot to lower levels, or to the due list."""
    cdef timer_list_t *slot = &wheel.slots[wheel.moving_slot]
    cdef uint64_t end = wheel.moving_end
    cdef timer_t *timer = slot.head
    cdef timer_t *next
    wheel.moving_end = 0                     # what is filed now is filed where it belongs
    while timer is not NULL and steps[0] > 0:
        next = timer.next
        wheel_file(wheel, timer)
        timer = next
        steps[0] -= 1
    slot.head = timer
    if timer is not NULL:
        timer.prev = NULL
        wheel.moving_end = end
    else:
        slot.tail = NULL
        slot_vacate(wheel, wheel.moving_slot)


cdef bint wheel_advance(wheel_t *wheel, uint64_t target, Py_ssize_t *steps) noexcept nogil:
    """Go on, at most to a tick, until timers become due. False: it takes more steps than these.

    The due list is empty, or a cascade has paused.
    """
    cdef timer_list_t *due = &wheel.slots[WHEEL_DUE]
    cdef uint64_t start
    cdef int slot
    if wheel.moving_end == 0:
        wheel.due_unsorted = False
    while True:
        if wheel.moving_end != 0:
            slot_move(wheel, steps)
            if wheel.moving_end != 0:
                return False
        if due.head is not NULL or wheel.levels == 0:
            break
        slot = slot_earliest(wheel)
        start = slot_start(wheel, slot)
        if start > target:
            break
        wheel.tick = start
        wheel.moving_slot = slot
        wheel.moving_end = start + (<uint64_t> 1 << ((slot >> LEVEL_BITS) * LEVEL_BITS))
        if wheel.moving_end == 0:            # the last slot of all: one tick less does no harm
            wheel.moving_end -= 1
    if due.head is NULL and wheel.tick < target:
        wheel.tick = target
    return True


cdef inline void due_sort(wheel_t *wheel) noexcept nogil:
    if wheel.due_unsorted:
        list_sort(&wheel.slots[WHEEL_DUE])
        wheel.due_unsorted = False


cdef void wheel_init(wheel_t *wheel, int64_t now_ns) noexcept nogil:
    """Make it an empty wheel that stands at a time."""
    cdef int i
    wheel.wake_ns = NEVER_NS
    wheel.now_ns = now_ns
    wheel.tick = tick_of(now_ns)
    wheel.moving_end = 0
    wheel.moving_slot = 0
    wheel.earliest = NULL
    wheel.count = 0
    wheel.levels = 0
    wheel.due_unsorted = False
    for i in range(WHEEL_LEVELS):
        wheel.occupied[i] = 0
    for i in range(WHEEL_DUE + 1):
        wheel.slots[i].head = wheel.slots[i].tail = NULL


cdef void wheel_clear(wheel_t *wheel) noexcept nogil:
    """Cancel every timer. O(n)."""
    cdef timer_t *timer
    cdef int i
    for i in range(WHEEL_DUE + 1):
        timer = wheel.slots[i].head
        while timer is not NULL:
            wheel_cancel(wheel, timer)
            timer = wheel.slots[i].head
    wheel.wake_ns = NEVER_NS


cdef void wheel_shift(wheel_t *wheel, int64_t past_ns, int64_t now_ns) noexcept nogil:
    """Let the time be another than that of before, as if nothing had passed: what its timers have
    left, they keep. O(n)."""
    cdef timer_list_t all
    cdef timer_t *timer
    cdef int i
    cdef Py_ssize_t steps = WHEEL_AT_ONCE
    all.head = all.tail = NULL
    if wheel.moving_end != 0:
        slot_move(wheel, &steps)
    due_sort(wheel)
    for i in range(WHEEL_DUE, -1, -1):
        timer = wheel.slots[i].head
        if timer is not NULL:
            timer.prev = all.tail
            if all.tail is NULL:
                all.head = timer
            else:
                all.tail.next = timer
            all.tail = wheel.slots[i].tail
    wheel_init(wheel, now_ns)
    timer = all.head
    while timer is not NULL:
        all.head = timer.next
        wheel_arm(wheel, timer, ns_add(now_ns, ns_add(timer.deadline_ns, -past_ns)))
        timer = all.head


cdef void wheel_arm(wheel_t *wheel, timer_t *timer, int64_t deadline_ns) noexcept nogil:
    """Arm a timer that is not armed, for any time, past ones included. O(1)."""
    timer.deadline_ns = deadline_ns
    timer.state = TIMER_ARMED
    wheel_file(wheel, timer)
    wheel.count += 1
    if deadline_ns < wheel.wake_ns:
        wheel.wake_ns = deadline_ns
        wheel.earliest = timer


cdef void wheel_cancel(wheel_t *wheel, timer_t *timer) noexcept nogil:
    """Cancel a timer of this wheel; no effect unless it is armed. O(1)."""
    cdef timer_list_t *slot
    if timer.state != TIMER_ARMED:
        return
    slot = &wheel.slots[timer.slot]
    list_remove(slot, timer)
    if slot.head is NULL:
        slot_vacate(wheel, timer.slot)
    timer.state = TIMER_CANCELLED
    wheel.count -= 1
    if timer == wheel.earliest:
        wheel.earliest = NULL


cdef int64_t few_earliest(const wheel_t *wheel) noexcept nogil:
    """The earliest deadline, or a time before it: exact where few timers must be looked at."""
    cdef int slot = slot_earliest(wheel)
    cdef const timer_t *timer = wheel.slots[slot].head
    cdef int64_t earliest = NEVER_NS
    cdef int i
    for i in range(FEW_TIMERS):
        if timer is NULL:
            return earliest
        earliest = min(earliest, timer.deadline_ns)
        timer = timer.next
    return tick_start_ns(slot_start(wheel, slot))


cdef timer_t *due_first(wheel_t *wheel, int64_t now_ns, Py_ssize_t *steps) noexcept nogil:
    """The earliest timer whose deadline is not after a time that the wheel has seen, or NULL.

    NULL with steps left: there is none, and ``wake_ns`` is later than that time.
    """
    cdef timer_list_t *due = &wheel.slots[WHEEL_DUE]
    cdef timer_t *timer
    if now_ns < wheel.wake_ns:
        return NULL
    if wheel.moving_end != 0 or due.head is NULL:
        if not wheel_advance(wheel, tick_of(now_ns), steps):
            return NULL
    due_sort(wheel)
    timer = due.head
    if timer is NULL or timer.deadline_ns > now_ns:
        wheel.earliest = timer
        wheel.wake_ns = NEVER_NS
        if timer is not NULL:
            wheel.wake_ns = timer.deadline_ns
        elif wheel.levels:
            wheel.wake_ns = few_earliest(wheel)
        return NULL
    return timer


cdef int64_t wheel_due_ns(wheel_t *wheel, Py_ssize_t *steps) noexcept nogil:
    """The earliest deadline that is not after the time that the wheel has seen; NEVER_NS: there is none.

    O(1) amortised, in steps as wheel_pop_due.
    """
    cdef const timer_t *timer = due_first(wheel, wheel.now_ns, steps)
    return NEVER_NS if timer is NULL else timer.deadline_ns


cdef timer_t *wheel_pop_due(wheel_t *wheel, int64_t now_ns, Py_ssize_t *steps) noexcept nogil:
    """Fire the earliest timer whose deadline is not after now; NULL when there is none.

    Call it until it returns NULL: then ``wake_ns`` is later than now, or ``steps``, of which each timer
    that is moved within the wheel takes one, are used up: call again. A ``now`` that goes back counts as
    the latest one.
    """
    cdef timer_t *timer
    now_ns = wheel.now_ns = max(now_ns, wheel.now_ns)
    timer = due_first(wheel, now_ns, steps)
    if timer is NULL:
        return NULL
    list_remove(&wheel.slots[WHEEL_DUE], timer)
    timer.state = TIMER_FIRED
    wheel.count -= 1
    wheel.earliest = NULL
    return timer


cdef int64_t wheel_next_deadline(wheel_t *wheel) noexcept nogil:
    """The earliest deadline, NEVER_NS when there is none. O(1); O(timers of a slot) once a slot."""
    cdef Py_ssize_t steps = WHEEL_AT_ONCE
    cdef const timer_t *timer
    if wheel.moving_end != 0:
        slot_move(wheel, &steps)
    due_sort(wheel)
    timer = wheel.slots[WHEEL_DUE].head
    if timer is not NULL:
        return timer.deadline_ns
    if wheel.earliest is not NULL:
        return wheel.wake_ns
    wheel.wake_ns = NEVER_NS
    if wheel.levels:
        timer = wheel.slots[slot_earliest(wheel)].head
    while timer is not NULL:
        if timer.deadline_ns < wheel.wake_ns:
            wheel.wake_ns = timer.deadline_ns
            wheel.earliest = timer
        timer = timer.next
    return wheel.wake_ns


# ---------------------------------------------------------------- checks

cdef const char *timer_check(
    const wheel_t *wheel, const timer_t *timer, const timer_t *prev, int slot
) noexcept nogil:
    if timer.prev != prev:
        return b"prev of a timer"
    if timer.slot != slot:
        return b"slot of a timer"
    if timer.state != TIMER_ARMED:
        return b"state of a timer"
    if tick_of(timer.deadline_ns) < wheel.moving_end and slot == wheel.moving_slot:
        pass                                 # it waits for a cascade to go on
    elif slot_of(tick_of(timer.deadline_ns), wheel.tick) != slot:
        return b"timer in the wrong slot"
    if timer.deadline_ns < wheel.wake_ns:
        return b"wake later than a deadline"
    if slot == WHEEL_DUE and not wheel.due_unsorted and prev is not NULL:
        if prev.deadline_ns > timer.deadline_ns:
            return b"order of the due list"
    return NULL


cdef const char *wheel_check(wheel_t *wheel) noexcept nogil:
    """NULL when every invariant holds, else the name of one that does not. O(n)."""
    cdef const timer_t *timer
    cdef const timer_t *prev
    cdef const char *broken
    cdef Py_ssize_t count = 0
    cdef bint occupied
    cdef int slot
    for slot in range(WHEEL_DUE + 1):
        prev = NULL
        timer = wheel.slots[slot].head
        while timer is not NULL:
            broken = timer_check(wheel, timer, prev, slot)
            if broken is not NULL:
                return broken
            count += 1
            prev = timer
            timer = timer.next
        if wheel.slots[slot].tail != prev:
            return b"tail of a slot"
        if slot < WHEEL_DUE:
            occupied = wheel.occupied[slot >> LEVEL_BITS] >> (slot & (WHEEL_SLOTS - 1)) & 1
            if occupied != (prev is not NULL):
                return b"bit of a slot"
    for slot in range(WHEEL_LEVELS):
        if (wheel.levels >> slot & 1) != (wheel.occupied[slot] != 0):
            return b"bit of a level"
    if wheel.levels >> WHEEL_LEVELS:
        return b"bit beyond the levels"
    if wheel.tick > tick_of(wheel.now_ns):
        return b"tick ahead of now"
    if wheel.earliest is not NULL and (wheel.earliest.state != TIMER_ARMED
                                       or wheel.earliest.deadline_ns != wheel.wake_ns):
        return b"the earliest timer"
    if wheel.count != count:
        return b"count"
    return NULL


# ---------------------------------------------------------------- for Python

cdef object EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


cdef object time_of_ns(object time_ns):
    """The datetime, in UTC; what is below a microsecond is cut off."""
    return EPOCH + timedelta(microseconds=time_ns // 1000)


cdef int64_t ns_of_time(object time) except? -1:
    cdef object ns = time
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            raise InvalidTimeError(f"a time must have a timezone, {shown(time)} has none")
        since = time - EPOCH
        ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    elif not isinstance(time, int) or isinstance(time, bool):
        raise_wrong_type(InvalidTimeError, "a time", "an aware datetime or an int of ns", time)
    if not INT64_MIN <= ns <= INT64_MAX:
        raise InvalidTimeError(f"{shown(time)} is beyond what 64 bits of nanoseconds hold")
    return ns


@cython.final
cdef class Timer:
    """One timer, as ``TimerWheel.arm`` returns it, or as a view of a timer of a job.

    ``deadline_ns`` is when it is due, in nanoseconds since 1970 or since whatever the wheel's
    integers count from.

    >>> timer = TimerWheel().arm(1_000_000_000)
    >>> timer
    <Timer 1970-01-01T00:00:01+00:00 armed>
    >>> timer.cancel(), timer.cancelled, timer.fired
    (True, True, False)
    """

    @property
    def deadline(self):
        """When it is due: a datetime in UTC, cut to microseconds."""
        return time_of_ns(self.deadline_ns)

    @property
    def cancelled(self):
        """Whether it was cancelled before it fired."""
        return self.state == TIMER_CANCELLED

    @property
    def fired(self):
        """Whether it has fired."""
        return self.state == TIMER_FIRED

    def cancel(self):
        """Cancel it; False if it is not armed (any more), which is no error. O(1)."""
        if self.state != TIMER_ARMED or self.home is None:
            return False
        return self.home._cancel_timer(self)

    def __repr__(self):
        state = ("idle", "armed", "fired", "cancelled")[self.state]
        return f"<Timer {self.deadline.isoformat()} {state}>"


@cython.final
cdef class TimerWheel:
    """Any number of timers, fired in order of their deadlines: arm and cancel take O(1).

    A hierarchical timing wheel (Varghese & Lauck, SOSP 1987, scheme 7) of 11 levels of 64 slots,
    with ticks of 1 ns; timers fire in exact order, equal deadlines in the order of arming, and
    never early. It has no clock and no thread: time passes when ``advance`` is called. Times are
    aware datetimes, or integers of nanoseconds since 1970; use integers alone to count from
    another origin.

    Args:
        start: the time it stands at; None: before all times.

    >>> wheel = TimerWheel(start=0)
    >>> late = wheel.arm(5_000_000, lambda: print("late"))
    >>> early = wheel.arm(2_000_000, lambda: print("early"))
    >>> wheel.advance(4_999_999) == [early]
    early
    True
    >>> wheel.next_deadline()
    datetime.datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=datetime.timezone.utc)
    >>> late.cancel(), wheel.advance(60_000_000_000), len(wheel)
    (True, [], 0)
    """

    cdef wheel_t wheel
    cdef dict armed               # address of a node -> its Timer, which it keeps alive

    def __cinit__(self, start=None):
        self.armed = {}
        wheel_init(&self.wheel, INT64_MIN if start is None else ns_of_time(start))

    def arm(self, deadline, callback=None):
        """Arm a new timer. O(1).

        Args:
            deadline: when to fire; what is past fires at the next ``advance``.
            callback: called without arguments by the ``advance`` that fires it.

        Returns:
            The timer, which the wheel keeps alive until it fires or is cancelled.

        Raises:
            InvalidTimeError: a naive datetime, or beyond 64 bits of nanoseconds.
            TypeError: the callback cannot be called.
        """
        cdef Timer timer
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None, not {shown(callback)}")
        timer = Timer.__new__(Timer)
        timer.deadline_ns = ns_of_time(deadline)
        timer.state = TIMER_ARMED
        timer.home = self
        timer.callback = callback
        self.armed[<uintptr_t> &timer.node] = timer
        with cython.critical_section(self):
            wheel_arm(&self.wheel, &timer.node, timer.deadline_ns)
        return timer

    def cancel(self, Timer timer not None):
        """Cancel a timer; False if it is not armed (any more). O(1).

        Raises:
            ValueError: it is a timer of something else.
        """
        cdef bint cancelled
        if timer.home is not self:
            raise ValueError(f"{timer!r} was not armed on this wheel")
        with cython.critical_section(self):
            cancelled = timer.node.state == TIMER_ARMED
            wheel_cancel(&self.wheel, &timer.node)
        if cancelled:
            timer.state = TIMER_CANCELLED
            self.armed.pop(<uintptr_t> &timer.node, None)
            timer.callback = None
        return cancelled

    def _cancel_timer(self, Timer timer not None):
        return self.cancel(timer)

    def advance(self, now):
        """Let time pass, and fire what is due: O(1) a timer, and idle time costs nothing.

        Callbacks may arm and cancel timers, and even advance. What they arm for a time up to
        ``now`` fires in this call, so a callback that always does so keeps it from returning. An
        exception in a callback goes to ``sys.unraisablehook`` and the rest still fire; only
        KeyboardInterrupt and SystemExit propagate, and leave the rest armed.

        Args:
            now: the time; one earlier than before counts as that.

        Returns:
            The timers fired by this call, in order of their deadlines.

        Raises:
            InvalidTimeError: a naive datetime, or beyond 64 bits of nanoseconds.
        """
        cdef int64_t now_ns = ns_of_time(now)
        cdef list fired = []
        cdef Timer timer = self.pop_due(now_ns)
        while timer is not None:
            fired.append(timer)
            callback = timer.callback
            timer.callback = None
            if callback is not None:
                try:
                    callback()
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    PyErr_SetObject(type(error), error)
                    PyErr_WriteUnraisable(callback)
            timer = self.pop_due(now_ns)
        return fired

    cdef Timer pop_due(self, int64_t now_ns):
        cdef timer_t *node
        cdef Timer timer
        cdef Py_ssize_t steps = WHEEL_AT_ONCE
        with cython.critical_section(self):
            node = wheel_pop_due(&self.wheel, now_ns, &steps)
        if node is NULL:
            return None
        timer = self.armed.pop(<uintptr_t> node)
        timer.state = TIMER_FIRED
        return timer

    def _advance_some(self, int64_t now_ns, Py_ssize_t steps):
        """For tests: what advance does, in so many steps; the timers fired, and whether that was all."""
        cdef list fired = []
        cdef timer_t *node
        cdef Timer timer
        while steps > 0:
            with cython.critical_section(self):
                node = wheel_pop_due(&self.wheel, now_ns, &steps)
            if node is NULL:
                break
            steps -= 1
            timer = self.armed.pop(<uintptr_t> node)
            timer.state = TIMER_FIRED
            fired.append(timer)
        return fired, steps > 0

    def next_deadline(self):
        """The earliest deadline, a datetime in UTC; None if no timer is armed.

        Exact. O(1) when it is near, else it looks at all timers of a slot of the wheel.
        """
        cdef int64_t deadline_ns
        cdef Py_ssize_t count
        with cython.critical_section(self):
            deadline_ns = wheel_next_deadline(&self.wheel)
            count = self.wheel.count
        return time_of_ns(deadline_ns) if count else None

    def __len__(self):
        return wheel_len(&self.wheel)

    def _wake_ns(self):
        """Lower bound of the earliest deadline, in ns; for tests of the sleeping timer thread."""
        return wheel_next_wake(&self.wheel)

    def _check(self):
        """Raise AssertionError with the name of an invariant that does not hold. O(n)."""
        cdef const char *broken
        with cython.critical_section(self):
            broken = wheel_check(&self.wheel)
        if broken is not NULL:
            raise AssertionError((<bytes> broken).decode())
        if len(self.armed) != len(self):
            raise AssertionError("timers kept alive")
