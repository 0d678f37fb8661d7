"""Sleeping, waking and locks of threads: what stays whole though an exception may strike at any bytecode.

A signal handler may raise after any bytecode of Python code, and so may other threads by the C API. Code
here is native: no bytecode runs between its steps, so that a lock that was taken is released.
"""

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetObject, PyErr_WriteUnraisable
from libc.stdint cimport int64_t

from jobqueue._structures.platform cimport HAS_GIL, clock_mono_ns, lock_acquire, lock_release
from jobqueue._structures.times cimport NS_PER_MS

import functools
import sys
import types

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    enum:
        NOWAIT_LOCK
    PY_TIMEOUT_T PY_TIMEOUT_MAX
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock lock) noexcept
    int PyThread_acquire_lock(PyThread_type_lock lock, int flag) noexcept
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T us, int intr) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock lock) noexcept
    unsigned long PyThread_get_thread_ident() noexcept


cdef enum:
    MAIN_TURN_US = 50000          # longest sleep of the main thread without a look at its signals


cdef int64_t RETRY_NS = 10**9     # pause after a look that failed, so that a broken clock does not spin


# Locks of sleeping threads. They are kept, held, for the next sleeper; the GIL guards the list.

cdef enum:
    SIGNALS_KEPT = 64


cdef PyThread_type_lock signals[SIGNALS_KEPT]
cdef int signal_count = 0


cdef void *signal_take() except NULL:
    """A lock that is held: sleep by acquiring it, wake by releasing it."""
    global signal_count
    cdef PyThread_type_lock signal
    if HAS_GIL and signal_count > 0:
        signal_count -= 1
        return signals[signal_count]
    signal = PyThread_allocate_lock()
    if signal == NULL:
        raise MemoryError
    PyThread_acquire_lock(signal, NOWAIT_LOCK)
    return signal


cdef void signal_give(void *signal) noexcept:
    """Take back a lock that nobody waits for, released or not."""
    global signal_count
    PyThread_acquire_lock(signal, NOWAIT_LOCK)
    if HAS_GIL and signal_count < SIGNALS_KEPT:
        signals[signal_count] = signal
        signal_count += 1
        return
    PyThread_release_lock(signal)
    PyThread_free_lock(signal)


cdef void signal_wake(void *signal) noexcept:
    """End the sleep of the thread that sleeps on a lock. Once."""
    PyThread_release_lock(signal)


cdef unsigned long main_ident = 0    # of the thread that handles signals; 0: not known


cdef bint in_main_thread() except -1:
    """Whether signals are handled in this thread; where nobody knows of threads, it is the only one."""
    global main_ident
    if main_ident == 0:
        threading = sys.modules.get("threading")
        if threading is None:
            return True
        main_ident = threading.main_thread().ident
    return main_ident == PyThread_get_thread_ident()


cdef void main_forget() noexcept:
    """In a forked child: the thread that forked handles its signals."""
    global main_ident
    main_ident = 0


cdef int signal_sleep(void *signal, int64_t timeout_ms) except -1:
    """Block the calling thread until a lock is released: 1. 0: the time is over; -1 ms: it never is.

    Handlers of signals run meanwhile, in the main thread; what they raise ends the sleep. That thread
    sleeps in short turns: a signal may strike just before a sleep begins, or (Windows,
    _thread.interrupt_main) without waking who sleeps on a lock.
    """
    cdef PY_TIMEOUT_T turn_us = MAIN_TURN_US if in_main_thread() else -1
    cdef PY_TIMEOUT_T left_us = timeout_ms * 1000 if timeout_ms >= 0 else -1
    cdef PY_TIMEOUT_T sleep_us
    cdef int64_t until_ns = 0
    cdef PyLockStatus status
    if timeout_ms >= 0:
        until_ns = clock_mono_ns() + timeout_ms * NS_PER_MS
    while True:
        sleep_us = left_us
        if turn_us >= 0 and (left_us < 0 or left_us > turn_us):
            sleep_us = turn_us
        with nogil:
            status = PyThread_acquire_lock_timed(signal, sleep_us, 1)
        if status == PY_LOCK_ACQUIRED or (status == PY_LOCK_FAILURE and sleep_us == left_us):
            return status == PY_LOCK_ACQUIRED
        PyErr_CheckSignals()
        if timeout_ms >= 0:
            left_us = (until_ns - clock_mono_ns()) // 1000
            if left_us <= 0:
                return 0


cdef class WakeSignal:
    """One thread sleeps, any other rings. A ring that comes before the sleep ends it at once."""

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.lock, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.lock != NULL:
            self.ring_now()
            PyThread_free_lock(self.lock)

    cdef void ring_now(self) noexcept:
        lock_acquire(&self.ringing)
        PyThread_acquire_lock(self.lock, NOWAIT_LOCK)  # it is held from here on, by this call or another
        PyThread_release_lock(self.lock)
        lock_release(&self.ringing)

    def ring(self):
        """End the sleep, or the next one."""
        self.ring_now()

    def sleep(self, int64_t wait_ns):
        """Until somebody rings, or so many ns are over; below 0: until somebody rings."""
        cdef PY_TIMEOUT_T us = -1
        if wait_ns >= 0:
            us = min(wait_ns // 1000 + 1, PY_TIMEOUT_MAX)
        with nogil:
            PyThread_acquire_lock_timed(self.lock, us, 0)


def locked(lock, function, /, *args, **kwargs):
    """Call a function with a lock held. Unlike a ``with`` block, nothing strikes as it ends."""
    lock.acquire()
    try:
        return function(*args, **kwargs)
    finally:
        lock.release()


def ring_future(future):
    """Wake the task that awaits a future, in its loop."""
    if not future.done():  # else its task is cancelled, and about to abandon the wait
        future.set_result(None)


def whole(function):
    """Decorate a method that is called with the ``_lock`` of its object held, as by ``locked``."""
    return functools.update_wrapper(Whole(function), function)


cdef class Whole:
    cdef object function
    cdef dict __dict__

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, instance, /, *args, **kwargs):
        lock = instance._lock
        lock.acquire()
        try:
            return self.function(instance, *args, **kwargs)
        except BaseException:
            if instance._astray:
                instance._poke()  # the timer thread sees to what is left over
            raise
        finally:
            lock.release()


def serve(ref, signal):
    """What a timer thread does: let what it serves look, and sleep until the next look.

    ref: a weak reference to it; the thread holds no other while it sleeps, and ends with it, or when
    its ``_tick`` returns None. An exception, of a hook or a clock, does not end the thread.
    """
    while True:
        served = ref()
        if served is None:
            return
        try:
            wait_ns = served._tick()
        except BaseException as error:
            PyErr_SetObject(type(error), error)
            PyErr_WriteUnraisable(served)
            wait_ns = RETRY_NS
        if wait_ns is None:
            return
        served = None
        signal.sleep(wait_ns)
