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

from libc.stdint cimport int64_t, uint16_t, uint64_t

from jobqueue._structures.times cimport NEVER_NS, ns_add

cdef extern from "_structures/platform.h":
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
    for _ in range(FEW_TIMERS):
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
