"""What comes from outside: the time, random bytes in blocks, times that others tell, and forks.

Locking: ``shared_lock`` round the state of this module, on free-threaded builds; a mutex of the
platform round the list of those who must know of a fork.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.datetime cimport (
    PyDateTime_Check, datetime_day, datetime_hour, datetime_microsecond, datetime_minute, datetime_month,
    datetime_second, datetime_year, import_datetime, timedelta_days, timedelta_microseconds,
    timedelta_seconds,
)
from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from jobqueue._types cimport (
    TIME_MAX_NS, clock_mono_ns, clock_wall_ns, lock_acquire, lock_release, lock_renew, lock_t,
)

import os
from datetime import datetime

from . import errors as _errors

cdef object EPOCH_NAIVE = datetime(1970, 1, 1)
cdef object utcoffset_of = datetime.utcoffset
import_datetime()

kept = {}
"""The modules of the package, by name, as the first import made them."""

cdef extern from *:
    """
    #ifdef _WIN32 /* it has no fork; the GIL guards the list */
    typedef void (*jq_fork_hook)(void);
    static inline int jq_at_fork(jq_fork_hook a, jq_fork_hook b, jq_fork_hook c)
    {
        (void)a; (void)b; (void)c;
        return 0;
    }
    static inline void jq_forks_hold(void) {}
    static inline void jq_forks_leave(void) {}
    #else
    #include <pthread.h>
    #define jq_at_fork pthread_atfork
    static pthread_mutex_t jq_forks_lock = PTHREAD_MUTEX_INITIALIZER;
    static inline void jq_forks_hold(void) { pthread_mutex_lock(&jq_forks_lock); }
    static inline void jq_forks_leave(void) { pthread_mutex_unlock(&jq_forks_lock); }
    #endif
    """
    int at_fork "jq_at_fork" (
        void (*before)() noexcept nogil, void (*parent)() noexcept nogil,
        void (*child)() noexcept nogil) noexcept
    void forks_hold "jq_forks_hold" () noexcept nogil
    void forks_leave "jq_forks_leave" () noexcept nogil

# ---------------------------------------------------------------- clocks

def wall_ns():
    """Wall time, UTC: nanoseconds since 1970."""
    return clock_wall_ns()


def monotonic_ns():
    """Monotonic time in nanoseconds."""
    return clock_mono_ns()


cdef lock_t shared_lock             # of the state of this module
cdef int64_t last_stamp_ns = 0

cdef int64_t stamp_next() noexcept:
    """Wall time for a new Job, strictly increasing in the process, so that equal jobs stay FIFO."""
    global last_stamp_ns
    cdef int64_t now = clock_wall_ns()
    lock_acquire(&shared_lock)
    if now <= last_stamp_ns:
        # A clock stepped back by more than a moment is followed; ties within it are not.
        now = last_stamp_ns + 1 if last_stamp_ns - now < 1000000000 else now
    last_stamp_ns = now
    lock_release(&shared_lock)
    return now

# ---------------------------------------------------------------- times of others

cdef int64_t time_read(object value, str what) except? -1:
    """The rule of times: an aware datetime between 1678 and 2262; returns wall ns.

    Its fields are read, not what a subclass says of them, and its timezone is asked once.
    """
    cdef int64_t us, seconds
    if not PyDateTime_Check(value):
        _errors.raise_wrong_type(
            _errors.InvalidTimeError, what, "an aware datetime", value)
    offset = utcoffset_of(value)
    if offset is None:
        raise _errors.InvalidTimeError(
            f"{what} must have a timezone, but {_errors.shown(value)} is naive; datetime.now(UTC) has one")
    us = delta_us(datetime(
        datetime_year(value), datetime_month(value), datetime_day(value), datetime_hour(value),
        datetime_minute(value), datetime_second(value), datetime_microsecond(value)) - EPOCH_NAIVE)
    us -= delta_us(offset)
    seconds = us // 1000000 - (us % 1000000 < 0)
    if not -9214000000 < seconds < TIME_MAX_NS // 1000000000:
        raise _errors.InvalidTimeError(f"{what} must be from 1678 to 2262, not {_errors.shown(value)}")
    return us * 1000


cdef int64_t delta_us(object delta) noexcept:
    """A timedelta, whatever a subclass says of itself, in microseconds."""
    return ((<int64_t> timedelta_days(delta) * 86400 + timedelta_seconds(delta)) * 1000000
            + timedelta_microseconds(delta))


cdef int64_t clock_read(object value, str what) except? -1:
    """What a clock says, brought into the range of times. What 64 bits do not hold is no time: such
    a clock is broken, and must not end all that is."""
    cdef int overflow = 0
    cdef int64_t ns
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what}() of a clock must return an int of ns, not {_errors.shown(value)}")
    ns = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise _errors.InvalidTimeError(
            f"{what}() of a clock must return what 64 bits of ns hold, not {_errors.shown(value)}")
    return min(max(ns, -TIME_MAX_NS), TIME_MAX_NS)

# ---------------------------------------------------------------- random bytes, in blocks

cdef enum:
    # Bytes asked of the system at once: the ids of 2048 jobs. os.urandom lets go of the GIL, and so
    # of a thread's turn: more often, threads that add would take turns for nothing; less often,
    # the queue would grow out of the cache before those who lease have theirs.
    RANDOM_BLOCK = 32768

cdef uint8_t random_block[RANDOM_BLOCK]
cdef Py_ssize_t random_used = RANDOM_BLOCK

cdef int random_refill() except -1:
    global random_used
    cdef bytes fresh = os.urandom(RANDOM_BLOCK)  # may let go of the GIL: install it afterwards
    lock_acquire(&shared_lock)
    memcpy(random_block, PyBytes_AS_STRING(fresh), RANDOM_BLOCK)
    random_used = 0
    lock_release(&shared_lock)
    return 0


cdef int random_fill(uint8_t *out, Py_ssize_t size) except -1:
    """Copy fresh random bytes (size <= 16) from the operating system's CSPRNG."""
    global random_used
    cdef bint filled = False
    while not filled:
        lock_acquire(&shared_lock)
        if random_used + size <= RANDOM_BLOCK:
            memcpy(out, random_block + random_used, size)
            random_used += size
            filled = True
        lock_release(&shared_lock)
        if not filled:
            random_refill()
    return 0


cdef bint random_foresee(uint8_t *out, Py_ssize_t size) noexcept:
    """Copy the bytes that the next random_fill will give, if the block has them: 16 at most."""
    if random_used + size > RANDOM_BLOCK:
        return False
    memcpy(out, random_block + random_used, size)
    return True


# ---------------------------------------------------------------- forks

# os.fork() runs the hooks of os.register_at_fork; a host in C that forks by itself (uWSGI, by
# default) does not. The hooks of the platform run in both cases, before fork() returns, and may only
# store: so a child never repeats its parent's ids, and finds its engines marked.

cdef fork_link_t *fork_links = NULL
cdef uint64_t fork_count = 0


cdef void fork_watch(fork_link_t *link) noexcept:
    """From now on, change the link's mark in each child. O(1)."""
    global fork_links
    forks_hold()
    link.prior = NULL
    link.next = fork_links
    if fork_links != NULL:
        fork_links.prior = link
    fork_links = link
    forks_leave()


cdef void fork_unwatch(fork_link_t *link) noexcept:
    """Before the owner of a link that is watched goes. O(1)."""
    global fork_links
    forks_hold()
    if link.prior != NULL:
        link.prior.next = link.next
    else:
        fork_links = link.next
    if link.next != NULL:
        link.next.prior = link.prior
    forks_leave()


cdef void fork_noticed() noexcept nogil:
    """In the child, before anything else of it runs."""
    global fork_count, random_used
    cdef fork_link_t *link = fork_links
    fork_count += 1
    random_used = RANDOM_BLOCK  # a child must not repeat its parent's ids
    lock_renew(&shared_lock)
    while link != NULL:
        if link.mark[0] == link.whole:
            link.mark[0] = link.forked
        link = link.next
    forks_leave()


def _forget_random():
    """Drop the block of random bytes; for tests."""
    global random_used
    random_used = RANDOM_BLOCK


def forks():
    """How many forks lie between this process and the one that imported the module first."""
    return fork_count


def _fork_begin():
    lock_acquire(&shared_lock)


def _fork_end():
    lock_release(&shared_lock)


if at_fork(forks_hold, forks_leave, fork_noticed):
    raise MemoryError
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_fork_begin, after_in_parent=_fork_end)
