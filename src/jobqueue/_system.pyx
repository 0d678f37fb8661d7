"""What comes from the operating system: the time, and random bytes in blocks.

Locking: ``shared_lock`` round the state of this module, on free-threaded builds.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from jobqueue._types cimport clock_mono_ns, clock_wall_ns, lock_acquire, lock_release, lock_t

import os

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


def _fork_begin():
    lock_acquire(&shared_lock)


def _fork_end():
    lock_release(&shared_lock)


def _forget_random():
    """Drop the block of random bytes: a forked child must not repeat its parent's ids."""
    global random_used
    random_used = RANDOM_BLOCK


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_fork_begin, after_in_parent=_fork_end, after_in_child=_fork_end)
    os.register_at_fork(after_in_child=_forget_random)
