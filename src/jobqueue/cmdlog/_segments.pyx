"""The segments of a command log: which there are, their growth, syncs and end.

Each method is one native step: no handler of a signal runs within it, no exception of one strikes there,
and no other call of the same thread runs between, unless files are Python's (tests have such).
Locking: ``growing`` while there is grown, switched, closed; its holder waits for syncs only. A thread
that reaches it a second time is refused. What is read without it (current, full) is swapped as a whole.
"""

from jobqueue._structures.platform cimport lock_acquire, lock_release, lock_t
from jobqueue.cmdlog._format cimport HEADER, MARGIN

import errno
import os

from ..errors import ClosedError
from ._disk import MappedFile
from ._errors import CommandLogError

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_ACQUIRED
        PY_LOCK_INTR
    PyThread_type_lock PyThread_allocate_lock() noexcept nogil
    void PyThread_free_lock(PyThread_type_lock lock) noexcept nogil
    bint PyThread_acquire_lock(PyThread_type_lock lock, int wait) noexcept nogil
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T us, int intr) noexcept nogil
    void PyThread_release_lock(PyThread_type_lock lock) noexcept nogil
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef tuple NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)

cdef enum:
    GROWTH = 262144               # bytes of disk space that a segment reserves at once, at most
    DRAIN_MOST = 256              # who notes less than this makes the living jobs hardly more
    FILES_MOST = 16               # more of them than this are merged, if they are small
    OUTGROWN_TENTHS = 25          # of the living jobs' bytes, and two segments: then writers wait

cdef enum found_t:                # what a request for space led to
    FOUND = 1                     # there is some
    GREW = 2                      # there is, and more of the disk is taken for it
    WAIT = 0                      # only a compaction makes some
    FULL = 3                      # not in this segment


cdef class Segment:
    """One file that is written, or was: it may not be on disk yet."""

    cdef readonly object mapped
    cdef readonly str path
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t used  # once another has taken its place


cdef class Segments:
    """The files of one log. Its thread compacts them; any thread may make space, settle, close."""

    cdef readonly object journal
    cdef readonly object files
    cdef readonly str directory
    cdef object held              # the lock of the directory
    cdef object failed            # called with this and why, once nothing more is noted
    cdef readonly bint always     # every call waits for the disk
    cdef readonly Py_ssize_t segment_size
    cdef readonly Py_ssize_t max_bytes  # 0: there is no bound
    cdef Py_ssize_t step          # bytes of disk space that are reserved at once
    cdef PyThread_type_lock growing
    cdef PyThread_type_lock duty  # of the log's own thread
    cdef unsigned long grower     # the thread that has ``growing``; 0: none
    cdef unsigned long flusher    # the thread that has ``duty``; 0: none
    cdef bint grows               # the caller that asks for space adds to the living jobs
    cdef bint must                # and who cannot be refused: it takes or ends jobs
    cdef bint unbound
    cdef lock_t gate              # guards the swaps of what follows
    cdef readonly Segment current
    cdef readonly tuple full      # segments before it that may not be on disk
    cdef readonly dict sizes      # bytes of the files that are no longer written, by path
    cdef readonly Py_ssize_t number
    cdef readonly Py_ssize_t first  # the number of the oldest segment
    cdef readonly str why         # nothing can be noted any more
    cdef readonly bint shut       # or is to be: it is closed
    cdef Py_ssize_t base_living   # when the compaction began that runs; -1: none does
    cdef Py_ssize_t base_disk
    cdef public bint stuck        # the last compaction failed: nobody waits for another

    def __cinit__(self, directory, files, journal, held, failed, bint always, Py_ssize_t segment_size,
                  max_bytes):
        self.directory = directory
        self.files = files
        self.journal = journal
        self.held = held
        self.failed = failed
        self.always = always
        self.segment_size = segment_size
        self.max_bytes = 0 if max_bytes is None else max_bytes
        self.step = min(<Py_ssize_t> GROWTH, segment_size // 4)
        if self.max_bytes:
            self.step = min(self.step, max(<Py_ssize_t> 4096, self.max_bytes // 16))
        self.full = ()
        self.sizes = {}
        self.base_living = -1
        self.growing = PyThread_allocate_lock()
        self.duty = PyThread_allocate_lock()
        if self.growing == NULL or self.duty == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.growing != NULL:
            PyThread_free_lock(self.growing)
        if self.duty != NULL:
            PyThread_free_lock(self.duty)

    cdef str path_of(self, Py_ssize_t number):
        return f"{self.directory}{os.sep}{number:09}.cmdlog"

    # ------------------------------------------------------------ who may

    def check(self):
        """Raise if nothing more can be noted. In a forked child the locks may be held for ever."""
        self.check_sound()
        if self.shut:
            raise ClosedError("the controller is closed")

    cdef int check_sound(self) except -1:
        if self.journal.forked and self.why is None:
            self.why = "it belongs to the process that opened it; this is a fork of that"
        if self.why is not None:
            raise CommandLogError(f"{self.directory} takes no changes: {self.why}")
        return 0

    cdef int grow_begin(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.grower == me:
            raise CommandLogError(
                f"{self.directory} takes no changes amid its own growth: another call of this thread")
        with nogil:
            PyThread_acquire_lock(self.growing, 1)
        self.grower = me
        return 0

    cdef void grow_end(self) noexcept:
        self.grower = 0
        PyThread_release_lock(self.growing)

    def check_free(self):
        """Raise if the calling thread is amid a step of the log: it would wait for itself."""
        if self.grower == PyThread_get_thread_ident() or self.journal.leads:
            raise CommandLogError(
                f"{self.directory} can be neither compacted nor closed amid another call of this thread")

    def fail(self, str why):
        """Nothing is noted any more."""
        if self.why is None:
            self.why = why
            self.journal.stop()
            self.failed(self, why)

    # ------------------------------------------------------------ beginning and end

    def begin(self, Py_ssize_t number):
        """Begin with a segment of this number; what lies before it counts."""
        self.number = number - 1
        self.first = number
        self.grow_begin()
        try:
            for name in self.files.names(self.directory):
                if name[:9].isdigit() and name[9:] in (".cmdlog", ".snapshot"):
                    path = f"{self.directory}{os.sep}{name}"
                    self.sizes[path] = self.files.size(path)
                    if name.endswith(".cmdlog"):
                        self.first = min(self.first, int(name[:9]))
            self.next_segment(0, True, False, False)
        finally:
            self.grow_end()

    def shut_down(self):
        """From now on no space is given, and no compaction begins."""
        self.shut = True

    def finish(self, sync, mark):
        """Bring everything to the disk, cut the segment to what is used, let go of the directory.

        mark: called once all is on disk, so that the next start knows that the close was clean.
        """
        cdef Py_ssize_t used
        self.shut = True
        if self.journal.forked:
            self.forked()
            return
        self.grow_begin()
        try:
            if self.current is None:
                return
            journal = self.journal
            journal.cease()
            try:
                if self.why is None:
                    if journal.spill_size:
                        self.next_segment(0, False, False, False)
                    journal.settle(sync)
                    journal.note_clock()  # its lag tells that all before it is on disk
                    journal.settle(sync)
                    mark()
            finally:
                journal.detach()
                used = journal.position
                journal.release()
                self.drop(used if self.why is None else -1)
        finally:
            self.grow_end()
            if self.current is None:
                self.held.release()

    cdef int drop(self, Py_ssize_t used) except -1:
        """Close all files; used: cut the current one there, and those before it; -1: cut none."""
        cdef Segment segment
        cdef Segment current = self.current
        cdef tuple full = self.full
        self.current = None
        self.full = ()
        for segment in full:
            try:
                segment.mapped.close(None if used < 0 else segment.used)
            except OSError:
                pass  # what was not cut off are zeros: they cost disk space, no more
        if current is not None:
            current.mapped.close(None if used < 0 else used)
        return 0

    def forked(self):
        """In a forked child: the log is the parent's."""
        self.why = "it belongs to the process that opened it; this is a fork of that"
        self.shut = True
        self.journal.disown()
        self.journal.release()
        self.drop(-1)
        self.held.release()

    # ------------------------------------------------------------ space

    def reserve(self, Py_ssize_t size, bint patient):
        """Make space for so many bytes: 1, or 2 if the log has grown for it; 0: a compaction could.

        size: below 0, so much, of a verb that takes or ends jobs.
        patient: the caller waits for one also where the log is larger than it should be.
        Raises CommandLogError; nothing has changed then.
        """
        cdef found_t found
        self.check()
        self.grow_begin()
        try:
            self.check()
            self.grows = size >= DRAIN_MOST
            self.must = size <= 0
            if size < 0:
                size = -size
            try:
                found = self.make_room(size, patient)
            except OSError as error:
                if error.errno not in NO_MORE_FILES or not self.full:
                    raise
                self.journal.settle(self.sync)  # which closes some
                found = self.make_room(size, patient)
        except OSError as error:
            raise CommandLogError(f"no room in the command log: {error}") from error
        finally:
            self.grow_end()
        return <int> found

    cdef found_t make_room(self, Py_ssize_t size, bint patient) except *:
        """In the present segment if it has any, and nothing waits in memory; else in a new one."""
        cdef found_t found
        self.check_held()
        found = self.extend(size)
        if found == FULL:
            found = self.next_segment(size, False, True, patient)
        if found == WAIT and self.max_bytes and self.gain() < self.max_bytes // (64 if self.must else 16):
            if not self.must:
                raise CommandLogError(
                    f"the command log takes {self.disk_bytes()} bytes, {self.living()} of them for jobs"
                    f" that are there, and may take {self.max_bytes}")
            self.unbound = True  # as where a log was opened with a lower bound: this makes it less
            try:
                found = self.extend(size)
                if found == FULL:
                    found = self.next_segment(size, False, False, False)
            finally:
                self.unbound = False
        return found

    cdef int check_held(self) except -1:
        """Raise if the directory is not this log's any more."""
        why = self.held.lost()
        if why is not None:
            self.fail(why)
            self.check_sound()
        return 0

    cdef found_t extend(self, Py_ssize_t size) except *:
        """Reserve more of the present segment, if that has to be."""
        cdef Py_ssize_t wanted, end
        cdef found_t found = FOUND
        cdef Segment current = self.current
        journal = self.journal
        if current is None or journal.spill_size:
            return FULL
        wanted = journal.position + size + MARGIN
        if wanted > current.capacity:
            return FULL
        end = journal.end
        if wanted > end:
            end = min(current.capacity, max(wanted, end + self.step))
            if not self.allows(end - <Py_ssize_t> journal.end):
                end = wanted
                if not self.allows(end - <Py_ssize_t> journal.end):
                    return WAIT
            current.mapped.allocate(end)
            found = GREW
        journal.extend(end)
        return found

    cdef found_t next_segment(
            self, Py_ssize_t size, bint epoch, bint bound, bint patient) except *:
        """Begin a segment, with what found no space before. epoch: at the start of a process."""
        cdef Py_ssize_t least, first
        cdef Segment fresh
        cdef tuple full
        journal = self.journal
        if patient and not self.stuck and self.outgrown():
            return WAIT
        while True:
            least = HEADER + <Py_ssize_t> journal.spill_size + size + 2 * MARGIN
            fresh = Segment.__new__(Segment)
            fresh.path = self.path_of(self.number + 1)
            fresh.capacity = max(self.segment_size, least)
            first = min(fresh.capacity, max(least, self.step))
            if bound and not self.allows(first):
                first = least
                if not self.allows(first):
                    return WAIT
            full = self.full if self.current is None else (*self.full, self.current)
            try:
                fresh.mapped = self.files.create_mapped(fresh.path, fresh.capacity)
            except FileExistsError:  # from a try before, when it could not be removed
                self.files.unlink(fresh.path)
                fresh.mapped = self.files.create_mapped(fresh.path, fresh.capacity)
            try:
                if isinstance(fresh.mapped, MappedFile):
                    fresh.mapped.alarm(journal.registry, journal.alarm)
                fresh.mapped.allocate(first)
                self.files.sync_directory(self.directory)
                if not epoch:
                    self.check_sound()  # a sync may have failed meanwhile
                used = journal.switch(fresh.mapped.memory, first, self.number + 1, epoch)
                if used is not None:
                    self.go_on_in(fresh, full, used)
                    return GREW
            finally:
                if self.current is not fresh:
                    fresh.mapped.close(None)
                    self.files.unlink(fresh.path)

    cdef void go_on_in(self, Segment fresh, tuple full, Py_ssize_t used) noexcept:
        """A segment takes the place of the current one, of which so much is used."""
        lock_acquire(&self.gate)
        if self.current is not None:
            self.current.used = used
            self.full = full
        self.current = fresh
        self.number += 1
        lock_release(&self.gate)

    def flush(self):
        """Bring what found no space into a segment. Returns whether there was any.

        Raises CommandLogError: there is no space yet.
        """
        if not self.journal.spill_size or self.why is not None:
            return False
        self.grow_begin()
        try:
            self.grows = self.must = False
            if self.journal.spill_size and self.current is not None and self.why is None:
                if self.make_room(0, False) == WAIT:
                    raise CommandLogError("no room in the command log before it is compacted")
        except OSError as error:
            raise CommandLogError(f"no room in the command log: {error}") from error
        finally:
            self.grow_end()
        return True

    # ------------------------------------------------------------ bounds

    cdef Py_ssize_t living(self) except -1:
        """Bytes that a snapshot would take, about."""
        return max(<Py_ssize_t> self.journal.live_bytes, 0) + 2 * HEADER

    cdef Py_ssize_t disk_bytes(self) except -1:
        """Bytes that are taken from the disk, but by the draft of a snapshot."""
        cdef Segment segment
        cdef Py_ssize_t size = sum(list(self.sizes.values())) + <Py_ssize_t> self.journal.end
        for segment in self.full:
            size += max(segment.used, HEADER) + self.step
        return size

    cdef Py_ssize_t gain(self) except? -1:
        """What a compaction would give back, about."""
        return self.disk_bytes() - self.living() - HEADER - 2 * MARGIN

    cdef bint allows(self, Py_ssize_t more) except -1:
        """Whether the log may take so much more, and can still be compacted within its bound then.

        A compaction begins a segment, and writes what lives, which all that has space may become. The last
        part is kept for those who end jobs, so that there is a way out.
        """
        cdef Py_ssize_t total
        if not self.max_bytes or self.unbound:
            return True
        total = self.disk_bytes() + 2 * more + HEADER + 2 * MARGIN
        if self.base_living >= 0:
            total += self.base_living + max(self.disk_bytes() - self.base_disk, 0)
        else:
            total += self.living() + max(
                <Py_ssize_t> self.journal.end - <Py_ssize_t> self.journal.position, 0)
        if self.grows:
            total += self.max_bytes // 16
        return total <= self.max_bytes

    cdef bint outgrown(self) except -1:
        """Whether the log is so much larger than its jobs that writers have to wait."""
        return self.disk_bytes() > OUTGROWN_TENTHS * self.living() // 10 + 2 * self.segment_size

    def is_due(self, double ratio):
        """Whether a compaction is worth it. ratio: of the log to the living jobs."""
        cdef Py_ssize_t used = self.bytes_used
        cdef Py_ssize_t gain
        if used > max(<double> self.segment_size, ratio * self.living()) and self.number > self.first:
            return True
        if self.max_bytes:
            gain = self.gain()
            if gain >= self.max_bytes // 8 and self.disk_bytes() + self.living() > self.max_bytes // 2:
                return True
        return self.is_crowded()

    def is_crowded(self):
        """Whether there are many small files."""
        cdef Py_ssize_t count = len(self.sizes) + len(self.full)
        return count > FILES_MOST and self.bytes_used < count * (self.segment_size // 4)

    @property
    def bytes_used(self):
        """Bytes in use on disk."""
        cdef Segment segment
        cdef Py_ssize_t size = sum(list(self.sizes.values())) + <Py_ssize_t> self.journal.position
        for segment in self.full:
            size += segment.used
        return size

    # ------------------------------------------------------------ syncs

    def settle(self, sync):
        """Return once all that was noted is in a segment; on disk, if callers wait for that.

        Returns whether the log has grown for it.
        """
        cdef bint grew = False
        cdef Segment current = self.current
        if self.always or self.journal.forked:
            self.check_sound()
        if current is not None and isinstance(current.mapped, MappedFile) and current.mapped.lost:
            self.fail(f"{current.path} was cut, or the disk has no space for what was reserved there")
            self.check_sound()
        try:
            grew = self.flush()
        except CommandLogError:
            if self.always:
                raise
        if self.always:
            self.journal.settle(sync)
        if self.journal.refused:
            raise ClosedError("the controller was closed before this could be noted")
        return grew

    def sync(self):
        """Bring all that was stored so far to the disk; what is full is closed then."""
        cdef tuple full
        cdef Segment current, segment
        lock_acquire(&self.gate)
        full = self.full
        current = self.current
        lock_release(&self.gate)
        try:
            for segment in full:
                segment.mapped.sync()
            if current is not None:
                current.mapped.sync()
        except OSError as error:
            self.fail(f"a sync failed: {error}")
            raise CommandLogError(
                f"{self.directory} takes no more changes until it is opened again: {self.why}"
            ) from error
        for segment in full:
            self.sizes[segment.path] = segment.used
        lock_acquire(&self.gate)
        self.full = self.full[len(full):]
        lock_release(&self.gate)
        for segment in full:
            try:
                segment.mapped.close(segment.used)
            except OSError:
                pass  # what was not cut off are zeros: they cost disk space, no more

    # ------------------------------------------------------------ the log's own thread

    def claim(self):
        """Be the log's own thread. False: there is one, or there is to be none any more."""
        if self.shut or not PyThread_acquire_lock(self.duty, 0):
            return False
        self.flusher = PyThread_get_thread_ident()
        if self.shut:
            self.leave()
            return False
        return True

    def leave(self):
        """The log's own thread ends."""
        self.flusher = 0
        PyThread_release_lock(self.duty)

    @property
    def is_kept(self):
        """Whether the log has a thread of its own."""
        return self.flusher != 0

    @property
    def is_flusher(self):
        """Whether the calling thread is the log's own."""
        return self.flusher == PyThread_get_thread_ident()

    def join(self):
        """Wait for the end of the log's own thread; a signal's handler may end the wait."""
        cdef PyLockStatus status
        if self.is_flusher or self.journal.forked:
            return
        while True:
            with nogil:
                status = PyThread_acquire_lock_timed(self.duty, -1, 1)
            if status == PY_LOCK_ACQUIRED:
                PyThread_release_lock(self.duty)
                return
            PyErr_CheckSignals()

    def look(self, bint rest):
        """See whether the directory is still this log's. rest: the next change is to see it, too."""
        if self.why is None and not self.shut:
            why = self.held.lost()
            if why is not None:
                self.fail(why)
            elif rest:
                self.journal.rest()

    def compaction_begin(self):
        """Begin a segment, behind what a snapshot is to replace. (its number, its first sequence)."""
        self.check()
        self.grow_begin()
        try:
            self.check()
            self.check_held()
            self.base_living = self.living() + <Py_ssize_t> self.journal.end
            self.base_living -= <Py_ssize_t> self.journal.position
            self.base_disk = self.disk_bytes()
            self.next_segment(0, False, False, False)
            return self.number, self.journal.first_sequence
        except OSError as error:
            raise CommandLogError(f"no room in the command log: {error}") from error
        finally:
            self.grow_end()

    def compaction_end(self, bint done):
        """It is over; done: nobody need wait for what it did not achieve."""
        self.base_living = -1
        self.stuck = not done

    def replace(self, Py_ssize_t number, str snapshot, Py_ssize_t size):
        """A snapshot is there, before the segment of this number: remove what it replaces."""
        cdef Py_ssize_t limit
        self.sizes[snapshot] = size
        for path in sorted(self.sizes):
            limit = number if path.endswith(".cmdlog") else number + 1
            if path == snapshot or int(path[len(self.directory) + 1:][:9]) >= limit:
                continue
            try:
                self.files.unlink(path)
            except FileNotFoundError:
                pass
            except OSError:
                continue  # the next compaction, or the next start, tries again
            self.sizes.pop(path, None)
        self.first = number
