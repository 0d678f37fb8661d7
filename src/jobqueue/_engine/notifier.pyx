"""Notifier: delivers the events of one engine to its observers, each once and in order; and WholeLock.

One thread notifies at a time. The thread that made a transition notifies for a slice of time; what is
left then goes to a thread of its own, and until that has caught up, no other thread notifies. The thread of
the timers never does: an observer that hangs holds up no deadline. While that thread notifies, a verb waits
for it, as long as the observers are quick: they have had its events when it returns, and no event is
dropped, however fast the verbs are. Observers that get little done meanwhile are not waited for.
Invariant: an event that was taken out of the engine stays in ``current`` until the last observer was
called, and an observer is counted as called before it is. So an exception, wherever it strikes, costs no
event, and no event is delivered twice: the next thread that notifies goes on at the next observer.
Locking: ``telling`` is held while observers are called, and never waited for by a verb. The engine's lock
is taken for each event that is taken out, and is not held while Python code runs.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from jobqueue._structures.platform cimport clock_mono_ns, lock_acquire, lock_release, ref_drop
from jobqueue._structures.times cimport ns_add
from jobqueue._machine.types cimport event_t, note_t
from jobqueue._machine.woken cimport deferred_post
from jobqueue._machine.events cimport EVENTS_MAX, event_drop, event_take, events_date, events_next
from jobqueue._objects.job cimport Job, id_object
from jobqueue._objects.registry cimport Registry, registry_now, report_unraisable

from _weakref import ref as weak_ref
from _thread import RLock, allocate_lock

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept


cdef enum:
    SLICE_NS = 10000000           # a verb notifies no longer than this,
    SLICE_EVENTS = 8              # unless fewer events than this were told
    MOMENT_MS = 5                 # a verb waits for observers that are behind,
    MOMENT_EVENTS = 32            # who are quick if they are told of this many meanwhile; else
    MOMENT_BUSY = 256             # in which case a verb waits on while the backlog is over its bound
    MOMENTS_MAX = 100
    MOMENTS_SLOW = 20             # of them, those in which they were told of fewer than that
    MOMENT_NEXT = 4096            # nobody waits again before so many more have happened, at most


BACKLOG_MAX = EVENTS_MAX


cdef tuple event_fields(const event_t *event):
    """(kind, id, name, attempt, wall ns, state, reason). ``event`` is the caller's own."""
    cdef event_t known = event[0]
    name = None if known.name == NULL else <object> <PyObject *> known.name
    reason = None if known.note.reason == NULL else <object> <PyObject *> known.note.reason
    return (known.note.kind, id_object(known.id), name, known.note.attempt, known.note.time_ns,
            known.note.state, reason)


cdef list notes_objects(note_t *notes, Py_ssize_t count, Job job):
    """What history_copy made, for Python, and given back."""
    cdef list found = []
    cdef Py_ssize_t i
    try:
        for i in range(count):
            found.append((
                notes[i].kind, job.id, job.name, notes[i].attempt, notes[i].time_ns, notes[i].state,
                None if notes[i].reason == NULL else <object> <PyObject *> notes[i].reason))
        return found
    finally:
        for i in range(count):
            if notes[i].reason != NULL:
                ref_drop(notes[i].reason)
        PyMem_RawFree(notes)


@cython.final
cdef class Notifier:
    """Notifier(registry, make, help, busy)
--

    What an engine calls when there are events. Internal.

    make: makes the Event of its fields. help: lets a thread of its own call ``catch_up``; None: the
    caller notifies of all. busy: whether the calling thread is within a verb that is not whole yet.
    """

    cdef object registry          # weak reference; it holds this
    cdef object make
    cdef object help
    cdef object busy              # or None
    cdef tuple audience           # (observation, callback, number of its first event) of each observer
    cdef object telling           # lock: held by who notifies
    cdef unsigned long notifying  # the thread that does, while it is held
    cdef bint aside               # a thread of its own catches up: nobody else notifies
    cdef bint held                # current is an event that not all were told of yet
    cdef event_t current
    cdef uint64_t number          # of current
    cdef object event             # its Event; None: not made yet
    cdef uint64_t patient_from    # verbs wait, if they must, from this number of events on
    cdef tuple listeners          # the audience when it was taken
    cdef Py_ssize_t next          # of listeners

    def __cinit__(self, Registry registry not None, make, help, busy):
        self.registry = weak_ref(registry)
        self.make = make
        self.help = help
        self.busy = busy
        self.audience = self.listeners = ()
        self.telling = allocate_lock()

    def __dealloc__(self):
        if self.held:
            event_drop(&self.current)

    def add(self, observation, callback):
        """Tell one more, of what happens from now on."""
        cdef Registry registry = self.registry()
        cdef uint64_t number = 0
        if registry is not None:
            lock_acquire(&registry.e.lock)
            number = events_next(&registry.e)
            lock_release(&registry.e.lock)
        with cython.critical_section(self):
            self.audience = (*self.audience, (observation, callback, number))

    def remove(self, observation):
        """Tell one no more. Returns how many are left."""
        with cython.critical_section(self):
            self.audience = tuple([one for one in self.audience if one[0] is not observation])
            return len(self.audience)

    def forked(self):
        """In a forked child: who notified may not be here, and the parent tells what had happened."""
        self.telling = allocate_lock()
        self.aside = False
        self.let_go()

    cdef int let_go(self) except -1:
        """The current event was told."""
        if self.held:
            self.held = False
            event_drop(&self.current)
        self.event = None
        self.listeners = ()
        return 0

    def __call__(self):
        """There are events."""
        cdef Registry registry = self.registry()
        cdef bint aside
        if registry is None:
            return
        self.date(registry)
        if self.busy is not None and self.busy():
            return  # it calls again
        with cython.critical_section(self):
            aside = self.aside
        if not aside:
            if self.help is not None and registry.timer_ident == PyThread_get_thread_ident():
                self.hand_over(registry)
            elif not self.tell(registry, SLICE_NS if self.help is not None else INT64_MAX):
                self.hand_over(registry)
        self.keep_pace(registry)

    cdef int keep_pace(self, Registry registry) except -1:
        """Wait for observers that are behind, if they are quick: until they were told what this verb did.
        A batch may just have passed the bound: then until they are within it again, else the next verb's
        events would be dropped."""
        cdef uint64_t noted
        cdef int slow = 0
        cdef int i
        lock_acquire(&registry.e.lock)
        noted = registry.e.event_taken + <uint64_t> registry.e.event_count + registry.e.event_lost
        lock_release(&registry.e.lock)
        for i in range(MOMENTS_MAX):
            slow += self.wait_a_moment(registry, i > 0) < MOMENT_BUSY
            if registry.e.event_lost > 0 or slow > MOMENTS_SLOW:
                break
            if registry.e.event_count < EVENTS_MAX:
                if slow or not self.aside or registry.e.event_taken >= noted:
                    break
        return 0

    cdef int64_t wait_a_moment(self, Registry registry, bint again) except -1:
        """Let the observers catch up, if they are far behind and quick. How many events they were told."""
        cdef uint64_t taken, noted, told
        cdef Py_ssize_t spare
        cdef unsigned long ident = PyThread_get_thread_ident()
        lock_acquire(&registry.e.lock)
        taken = registry.e.event_taken
        noted = taken + <uint64_t> registry.e.event_count + registry.e.event_lost
        lock_release(&registry.e.lock)
        if noted == taken or (not self.aside and noted - taken < EVENTS_MAX // 2):
            return 0
        if noted < self.patient_from and not again:
            return 0
        if self.notifying == ident or registry.timer_ident == ident:
            return 0
        telling = self.telling
        if telling.acquire(True, MOMENT_MS / 1000.0):
            telling.release()
        lock_acquire(&registry.e.lock)
        told = registry.e.event_taken - taken
        noted = registry.e.event_taken + <uint64_t> registry.e.event_count + registry.e.event_lost
        if told < MOMENT_EVENTS:
            spare = EVENTS_MAX - registry.e.event_count
            if registry.e.event_lost == 0:  # the fuller it is, the sooner the next wait
                self.patient_from = noted + <uint64_t> min(max(spare // 8, 64), MOMENT_NEXT)
            else:
                self.patient_from = noted + MOMENT_NEXT
        lock_release(&registry.e.lock)
        return <int64_t> told

    cdef int date(self, Registry registry) except -1:
        """Events of verbs that read no clock get the time at which they are seen here first."""
        cdef int64_t now_ns
        if registry.e.event_undated > 0:
            now_ns = registry_now(registry)
            lock_acquire(&registry.e.lock)
            events_date(&registry.e, ns_add(now_ns, registry.e.wall_offset_ns))
            lock_release(&registry.e.lock)
        return 0

    cdef int hand_over(self, Registry registry) except -1:
        """Let a thread of its own tell the rest; if there can be none, the next verb does."""
        with cython.critical_section(self):
            self.aside = True
        try:
            self.help()
        except BaseException as error:
            with cython.critical_section(self):
                self.aside = False
            lock_acquire(&registry.e.lock)
            deferred_post(&registry.e)
            lock_release(&registry.e.lock)
            if not isinstance(error, Exception):
                raise
            self.tell(registry, INT64_MAX)
        return 0

    def catch_up(self):
        """Tell all there is, and let the verbs notify again. What the thread of its own calls.

        Raises what an observer raises beyond Exception; then it is to be called again.
        """
        cdef Registry registry = self.registry()
        cdef bint done = False
        while registry is not None and not done:
            telling = self.telling
            telling.acquire()
            try:
                self.tell_some(registry, telling, INT64_MAX)
                lock_acquire(&registry.e.lock)
                done = registry.e.event_count == 0 and registry.e.event_lost == 0
                if done:  # with the lock: an event comes before, or its verb sees this
                    self.aside = False
                lock_release(&registry.e.lock)
            finally:
                telling.release()

    def flush(self, double seconds):
        """Tell of all that has happened, here or, if another thread notifies, by waiting for it.

        False: that takes longer, or the calling thread is the one that notifies.
        """
        cdef Registry registry = self.registry()
        if registry is None:
            return True
        telling = self.telling
        if self.notifying == PyThread_get_thread_ident() or not telling.acquire(True, seconds):
            return False
        try:
            self.date(registry)
            self.tell_some(registry, telling, INT64_MAX)
        finally:
            telling.release()
        return True

    cdef bint tell(self, Registry registry, int64_t most_ns) except -1:
        """Tell, unless another thread does: then it is left to it. False: the time was over first."""
        cdef bint done = True
        telling = self.telling
        while done and self.is_behind(registry) and telling.acquire(False):
            try:
                done = self.tell_some(registry, telling, most_ns)
            except BaseException:  # see that somebody goes on
                lock_acquire(&registry.e.lock)
                deferred_post(&registry.e)
                lock_release(&registry.e.lock)
                raise
            finally:
                telling.release()
        return done

    cdef bint is_behind(self, Registry registry) noexcept:
        """Whether there is something to tell."""
        cdef bint behind
        lock_acquire(&registry.e.lock)
        behind = self.held or registry.e.event_count > 0 or registry.e.event_lost > 0
        lock_release(&registry.e.lock)
        return behind

    cdef bint tell_some(self, Registry registry, object telling, int64_t most_ns) except -1:
        """Tell until there is nothing left, or for so long: False. With the lock ``telling``.

        A fork within an observer makes another lock, and its holder notifies in the child.
        """
        cdef int64_t until_ns = most_ns if most_ns == INT64_MAX else ns_add(clock_mono_ns(), most_ns)
        cdef Py_ssize_t told = 0
        cdef Py_ssize_t at
        self.notifying = PyThread_get_thread_ident()
        try:
            while self.telling is telling and (self.held or self.take(registry)):
                if self.event is None:
                    self.event = self.make(*event_fields(&self.current))
                while self.next < len(self.listeners):
                    at = self.next
                    self.next += 1
                    self.tell_one(<tuple> self.listeners[at])
                if self.telling is telling:
                    self.let_go()
                told += 1
                if told >= SLICE_EVENTS and until_ns != INT64_MAX and clock_mono_ns() >= until_ns:
                    return not self.is_behind(registry)
            return True
        finally:
            self.notifying = 0

    cdef int tell_one(self, tuple one) except -1:
        """Call an observer, unless it began later, or another has just stopped it."""
        cdef tuple audience
        if <uint64_t> one[2] > self.number:
            return 0
        with cython.critical_section(self):
            audience = self.audience
        for other in audience:
            if other is one:
                break
        else:
            return 0
        callback = one[1]
        try:
            callback(self.event)
        except Exception as error:
            report_unraisable(error, callback)
        return 0

    cdef bint take(self, Registry registry) noexcept:
        """Take the next event out of the engine. False: there is none."""
        cdef bint taken
        lock_acquire(&registry.e.lock)
        self.number = registry.e.event_taken
        taken = event_take(&registry.e, &self.current)
        lock_release(&registry.e.lock)
        self.held = taken
        if taken:
            self.next = 0
            with cython.critical_section(self):
                self.listeners = self.audience
        return taken


@cython.final
cdef class WholeLock:
    """WholeLock(controller)
--

    The reentrant lock that makes a verb whole across an engine and foreign queues. Internal.

    A verb that the same thread calls within another one (the collector does, or the queues do) may change
    a job under the hands of the outer one: it is settled anew when the outer one is done. Then observers
    are notified. It is native: no exception of a signal handler strikes between its steps. See whole.pyx.
    """

    cdef object controller        # weak reference
    cdef object lock
    cdef unsigned long owner      # the thread that holds it, while depth > 0
    cdef Py_ssize_t depth
    cdef list touched             # jobs that inner verbs changed; None: no job

    def __cinit__(self, controller):
        self.controller = weak_ref(controller)
        self.lock = RLock()

    def acquire(self):
        """Take it; nobody else then changes a job or its place."""
        self.lock.acquire()
        self.owner = PyThread_get_thread_ident()
        self.depth += 1

    def release(self):
        """Release; the last that does so settles what inner verbs changed, and notifies the observers."""
        controller = None
        try:
            if self.depth == 1:
                controller = self.controller()
                while self.touched and controller is not None:
                    self.settle(controller, self.touched.pop())
        finally:
            self.depth -= 1
            self.lock.release()
        if controller is not None:
            observers = controller._observers
            if observers is not None:
                observers.tell()

    cdef int settle(self, object controller, object job) except -1:
        try:
            controller._settle(job)
        except Exception as error:  # of the foreign queue: the verb itself was done
            report_unraisable(error, controller._settle)
        return 0

    def touch(self, job):
        """A job was changed; with the lock."""
        if self.depth > 1:
            if self.touched is None:
                self.touched = []
            self.touched.append(job)

    def is_mine(self):
        """Whether the calling thread holds it."""
        return self.depth > 0 and self.owner == PyThread_get_thread_ident()
