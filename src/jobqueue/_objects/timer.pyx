"""Timer, TimerWheel: the timer wheel as Python objects, for programs with time-outs of their own.

A Timer is also what a record's ``timers`` show. Locking: a critical section round each call, on
free-threaded builds. Callbacks run outside it.
"""

cimport cython
from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uintptr_t

from jobqueue._objects.rules cimport EPOCH, time_object
from jobqueue._structures.wheel cimport (
    TIMER_ARMED, TIMER_CANCELLED, TIMER_FIRED, WHEEL_AT_ONCE, timer_t, wheel_arm, wheel_cancel,
    wheel_check, wheel_init, wheel_len, wheel_next_deadline, wheel_next_wake, wheel_pop_due, wheel_t,
)

from datetime import datetime

from jobqueue.errors import InvalidTimeError, raise_wrong_type, shown

# ---------------------------------------------------------------- for Python

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
        return time_object(self.deadline_ns)

    @property
    def cancelled(self):
        """Whether it was cancelled before it fired."""
        return self.c.state == TIMER_CANCELLED

    @property
    def fired(self):
        """Whether it has fired."""
        return self.c.state == TIMER_FIRED

    def cancel(self):
        """Cancel it; False if it is not armed (any more), which is no error. O(1)."""
        if self.c.state != TIMER_ARMED or self.home is None:
            return False
        return self.home._cancel_timer(self)

    def __repr__(self):
        state = ("idle", "armed", "fired", "cancelled")[self.c.state]
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
        timer.c.state = TIMER_ARMED
        timer.home = self
        timer.callback = callback
        self.armed[<uintptr_t> &timer.c.node] = timer
        with cython.critical_section(self):
            wheel_arm(&self.wheel, &timer.c.node, timer.deadline_ns)
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
            cancelled = timer.c.node.state == TIMER_ARMED
            wheel_cancel(&self.wheel, &timer.c.node)
        if cancelled:
            timer.c.state = TIMER_CANCELLED
            self.armed.pop(<uintptr_t> &timer.c.node, None)
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
        timer.c.state = TIMER_FIRED
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
            timer.c.state = TIMER_FIRED
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
        return time_object(deadline_ns) if count else None

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
