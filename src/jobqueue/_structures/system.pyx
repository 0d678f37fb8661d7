"""What the operating system gives: time, random bytes in blocks, times of foreign clocks, and forks.

Locking: ``shared_lock`` round the state of this module, on free-threaded builds; a mutex of the
platform round the list of engines that a fork marks.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memcpy

from jobqueue._structures.platform cimport (
    clock_mono_ns, clock_wall_ns, lock_acquire, lock_release, lock_renew, lock_t,
)

import os

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
