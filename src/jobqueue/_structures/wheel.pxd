"""Hierarchical timer wheel with intrusive timers: see wheel.pyx."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

# ---------------------------------------------------------------- timers (wheel)

cdef enum timer_state_t:
    TIMER_IDLE = 0                # never armed since it was last cleared
    TIMER_ARMED = 1
    TIMER_FIRED = 2
    TIMER_CANCELLED = 3

cdef struct timer_t:              # one timer; lives inside its owner, so arming never allocates
    timer_t *prev                 # neighbours in the wheel slot's list
    timer_t *next
    int64_t deadline_ns           # when it is due, mono
    uint16_t slot                 # where the wheel filed it; meaningful while armed
    uint8_t kind                  # the owner's: which of its timers this is
    uint8_t state                 # timer_state_t
    uint32_t own                  # the owner's: a number that the wheel leaves alone

cdef enum:
    WHEEL_LEVELS = 11             # 6 bits of the tick each: they hold any int64 of ns
    WHEEL_SLOTS = 64              # slots in a level
    WHEEL_DUE = 704               # number of the due list, after the slots of all levels
    WHEEL_AT_ONCE = 0x7FFFFFFF    # steps for who cannot come back: more than there are timers

cdef struct timer_list_t:         # doubly linked, NULL at both ends
    timer_t *head
    timer_t *tail

cdef struct wheel_t:
    int64_t wake_ns               # no deadline is earlier; NEVER_NS when it is empty for sure
    int64_t now_ns                # latest time seen
    uint64_t tick                 # where the wheel stands; behind now_ns while nothing can be due
    uint64_t moving_end           # while a slot is cascaded: one past its last tick; else 0
    int moving_slot               # which one that is
    bint due_unsorted             # the due list must be sorted before it is read
    const timer_t *earliest       # an armed timer whose deadline is wake_ns; NULL: not known
    Py_ssize_t count              # timers armed
    uint64_t levels               # bit per level that has an occupied slot
    uint64_t occupied[11]         # per level: bit per slot that has a timer
    timer_list_t slots[705]       # of all levels, then the due list

cdef struct timer_view_t:         # what the machine may write of a Timer object; its first field
    timer_t node                  # armed in the object's home, if that is a TimerWheel
    uint8_t state                 # timer_state_t

cdef inline Py_ssize_t wheel_len(const wheel_t *wheel) noexcept nogil:
    return wheel.count

cdef inline int64_t wheel_next_wake(const wheel_t *wheel) noexcept nogil:
    """Lower bound of the earliest deadline, NEVER_NS when there is none. A field read.

    It may be too early after pops and cancels, until a wheel_pop_due that finds nothing.
    """
    return wheel.wake_ns

cdef void wheel_init(wheel_t *wheel, int64_t now_ns) noexcept nogil
cdef void wheel_clear(wheel_t *wheel) noexcept nogil
cdef void wheel_arm(wheel_t *wheel, timer_t *timer, int64_t deadline_ns) noexcept nogil
cdef void wheel_cancel(wheel_t *wheel, timer_t *timer) noexcept nogil
cdef timer_t *wheel_pop_due(wheel_t *wheel, int64_t now_ns, Py_ssize_t *steps) noexcept nogil
cdef int64_t wheel_due_ns(wheel_t *wheel, Py_ssize_t *steps) noexcept nogil
cdef int64_t wheel_next_deadline(wheel_t *wheel) noexcept nogil
cdef void wheel_shift(wheel_t *wheel, int64_t past_ns, int64_t now_ns) noexcept nogil
cdef const char *wheel_check(wheel_t *wheel) noexcept nogil
