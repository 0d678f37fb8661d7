"""The command log on disk: what makes space in it, and its own thread, which syncs and compacts.

What must not be left half done is one native call each, in _segments.pyx, or runs on the log's own
thread, where no signal strikes. A caller that waits for that thread holds nothing meanwhile: what
a handler of a signal calls then finds the log whole.
"""

import gc
import logging
import sys
import threading
import time
import weakref
from _thread import start_new_thread
from collections import deque
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from .._objects.registry import report_error
from ..errors import ClosedError, JobQueueError
from ._errors import CommandLogError
from ._files import Files, Lock
from ._format import SIZES, Reach, records
from ._journal import Journal, Scan, snapshot_header
from ._recover import write_reach
from ._segments import Segments

if TYPE_CHECKING:
    from ..controller import Controller

__all__ = ["Log", "close_dropped", "logger"]

logger: Final = logging.getLogger("jobqueue.cmdlog")
logger.addHandler(logging.NullHandler())  # quiet, unless the program wants to hear

HEADER: Final = SIZES["header"]

SCAN_SLOTS: Final = 2048
"""Slots of the table of jobs that a snapshot reads at once; well below a millisecond."""

SNAPSHOT_AT: Final = 1.4
"""A snapshot is made when the log takes so much more than the living jobs would."""

LOOK_S: Final = 0.1
"""How often the log's own thread looks whether the directory is still there, while jobs change."""

WAIT: Final = 0
GREW: Final = 2


class Log:
    """The files of one durable controller."""

    def __init__(
        self,
        directory: Path,
        files: Files,
        held: Lock,
        controller: "Controller",
        *,
        sync: str,
        sync_interval: float,
        segment_size: int,
        max_bytes: int | None,
    ) -> None:
        self.journal: Final = Journal()
        self.segments: Final = Segments(
            str(directory),
            files,
            self.journal,
            held,
            _failed,
            sync == "always",
            segment_size,
            max_bytes,
        )
        self._sync = self.segments.sync
        self._directory: Final = directory
        self._files: Final = files
        self._controller: Final = weakref.ref(controller)
        self._mode: Final = sync
        self._interval: Final = sync_interval
        self._wake: Final[SimpleQueue[None]] = SimpleQueue()  # a handler of a signal may put, too
        self._waiters: Final[deque[SimpleQueue[BaseException | None]]] = deque()
        self._resting = True  # its thread does not look by itself
        self._looked = -1  # the sequence at its last look
        self._told = 0  # segments whose beginning was logged
        self.compactions = 0
        _logs.add(self)

    # ------------------------------------------------------------ beginning and end

    def start(self, number: int, sequence: int, live_bytes: int) -> None:
        """Begin a segment behind what was read, and note from now on."""
        controller = self._controller()
        assert controller is not None  # noqa: S101 - it calls
        self.journal.attach(controller, sequence, live_bytes, self._mode == "always")
        self.segments.begin(number)
        self.journal.begin()
        self._mark(number - 1, closed=False)
        self.journal.rest()  # the first change calls the log's own thread
        self._told = number - 1
        self._tell()
        if self._mode == "interval":
            self._call_flusher()

    def close(self) -> None:
        """Bring everything to the disk, cut the segment to what is used, unlock the directory.

        What interrupts it leaves the log closing: the next call goes on.
        """
        self.segments.check_free()
        self.journal.patience_ns = 0  # nobody comes back
        self.segments.shut_down()
        self._wake.put(None)
        if not sys.is_finalizing():  # else its thread does not run any more
            self.segments.join()
        self._answer(len(self._waiters), ClosedError("the controller is closed"))
        self.segments.finish(self._sync, self._mark_closed)

    def _mark_closed(self) -> None:
        self._mark(self.segments.number, closed=True)

    def _mark(self, number: int, *, closed: bool) -> None:
        """Tell the next start how far the log is on disk; a disk that is full does without."""
        journal = self.journal
        reach = Reach(number, journal.salt, journal.synced, time.time_ns(), closed)
        try:
            write_reach(self._files, self._directory, reach)
        except OSError as error:
            logger.warning("%s: how far it is could not be noted: %s", self._directory, error)

    def forked(self) -> None:
        """In a forked child: the log is the parent's."""
        self.segments.forked()

    def check(self) -> None:
        """Raise if nothing more can be noted."""
        self.segments.check()

    # ------------------------------------------------------------ room

    def reserve(self, size: int) -> None:
        """Make room for so many bytes. Raises CommandLogError; nothing has changed then."""
        patient = not self.segments.is_flusher
        while (found := self.segments.reserve(size, patient)) == WAIT:
            self._compact_and_wait()
            patient = False
        if found == GREW or self._resting:
            self._call_flusher()

    def settle(self) -> None:
        """Return once all that was noted is in a segment; on disk, if callers wait for that."""
        if self.segments.settle(self._sync):
            self._call_flusher()

    @property
    def always(self) -> bool:
        """Whether every call waits for the disk."""
        return self.segments.always

    @property
    def number(self) -> int:
        """Of the segment that is written."""
        return self.segments.number

    @property
    def bytes_used(self) -> int:
        """Bytes in use on disk."""
        return self.segments.bytes_used

    @property
    def _why(self) -> str | None:
        return self.segments.why

    def _fail(self, why: str) -> None:
        """Nothing is noted any more. What nobody was told of is taken back from the log."""
        self.segments.fail(why)

    # ------------------------------------------------------------ the flusher

    def _call_flusher(self) -> None:
        """Let the log's own thread look, and live if it does not."""
        if not self.segments.is_kept and not self.segments.shut:
            ref = weakref.ref(self, partial(_put, self._wake))
            try:
                start_new_thread(_start, (ref, self._wake))  # one native call
            except RuntimeError as error:  # no more threads: the next call tries again
                report_error(error, self._call_flusher)
        self._wake.put(None)

    def _pause_s(self) -> float | None:
        """How long the flusher sleeps at most."""
        if self._mode == "interval":
            return self._interval
        return None if self._resting else LOOK_S

    def _keep(self, *, called: bool) -> None:
        """Sync at intervals, and what is full; compact when it is worth it.

        called: by somebody who is about to change something; else it is time for a look.
        """
        self._resting = not called and self._looked == self.journal.sequence
        try:
            self._tell()
            if self.journal.is_behind() and (self._mode == "interval" or self.segments.full):
                self.journal.settle(self._sync)
            asked = len(self._waiters)
            if asked or self.segments.is_due(SNAPSHOT_AT):
                self._serve(asked)
            self._looked = self.journal.sequence
            self.segments.look(self._resting)
        except JobQueueError as error:
            if not self._is_over():
                report_error(error, self._keep)
        except Exception as error:  # noqa: BLE001 - the flusher lives on, the next look may do better
            report_error(error, self._keep)

    def _tell(self) -> None:
        while self._told < self.segments.number:
            self._told += 1
            path = self._directory / f"{self._told:09}.cmdlog"
            logger.debug("%s: begun", path)

    def _is_over(self) -> bool:
        return self.segments.shut or self.segments.why is not None

    def _leave(self) -> None:
        """The flusher ends: nobody waits for it in vain."""
        self.segments.leave()
        if self._is_over():
            error = CommandLogError(f"{self._directory} takes no changes: {self.segments.why}")
            self._answer(
                len(self._waiters), error if self.segments.why else ClosedError("it was closed")
            )

    # ------------------------------------------------------------ compaction

    def compact(self) -> None:
        """Write a snapshot of the living jobs, and remove what lies before it.

        The engine works on meanwhile. Raises CommandLogError if the disk does not take it; the log
        is then as it was.
        """
        self.check()
        self._compact_and_wait()

    def compact_if_crowded(self) -> None:
        """Merge many small files, as short lives of a controller leave them behind."""
        if self.segments.is_crowded():
            self._compact_and_wait()

    def _compact_and_wait(self) -> None:
        """Let the log's own thread compact, and wait until it has."""
        self.segments.check_free()
        if self.segments.is_flusher:
            raise CommandLogError("the command log cannot be compacted while it is compacted")
        if sys.is_finalizing():
            raise CommandLogError("the command log cannot be compacted: the interpreter ends")
        answer: SimpleQueue[BaseException | None] = SimpleQueue()
        self._waiters.append(answer)
        self._call_flusher()
        while True:
            self.check()
            if not self.segments.is_kept:
                self._call_flusher()
            try:
                error = answer.get(timeout=1)  # as it may end meanwhile
                break
            except Empty:
                pass
        if isinstance(error, ClosedError):
            raise ClosedError(str(error))
        if error is not None:
            raise CommandLogError(str(error)) from error

    def _serve(self, asked: int) -> None:
        """Compact, for those who asked until now."""
        failure: BaseException | None = None
        try:
            self._compact()
        except BaseException as error:
            failure = error
            if not asked or not isinstance(error, JobQueueError):
                raise
        finally:
            self.segments.compaction_end(failure is None)
            self._answer(asked, failure)

    def _answer(self, count: int, error: BaseException | None) -> None:
        for _ in range(count):
            try:
                self._waiters.popleft().put(error)
            except IndexError:
                return

    def _compact(self) -> None:
        number, sequence = self.segments.compaction_begin()
        self._tell()
        name = self._directory / f"{number:09}.snapshot"
        draft = name.with_suffix(".snapshot.tmp")
        try:
            size = self._write_snapshot(draft, number, sequence)
            self._files.rename(draft, name)
            self._files.sync_directory(self._directory)
        except BaseException as error:
            try:
                self._files.unlink(draft)
            except OSError:
                pass  # it is removed at the next start
            if isinstance(error, OSError | JobQueueError):
                raise CommandLogError(f"the command log cannot be compacted: {error}") from error
            raise
        self.segments.replace(number, str(name), size)
        self.compactions += 1
        logger.info("%s: compacted to a snapshot of %d bytes", self._directory, size)

    def _write_snapshot(self, draft: Path, number: int, sequence: int) -> int:
        file = self._files.create(draft)
        size = 0
        try:
            controller = self._controller()
            if controller is None:
                raise CommandLogError("the controller is gone")
            registry = controller.registry
            salt = self.journal.salt
            scan = Scan(registry, salt, number)
            parts = [snapshot_header(number, sequence, registry, salt)]
            while True:
                for part in parts:
                    file.write(part)
                    size += len(part)
                if self.segments.shut:
                    raise CommandLogError("the command log was closed while it was compacted")
                time.sleep(0)  # whoever waits for the interpreter goes first
                found = scan.jobs_next(SCAN_SLOTS)
                if found is None:
                    found = scan.dead_next(SCAN_SLOTS)
                if found is None:
                    break
                parts = [found]
            for queue in list(controller.queues.queues()):
                if controller.is_paused(queue):
                    file.write(scan.paused(queue))
            whole_at = self.journal.note_clock()
            self.segments.flush()
            self.journal.settle(self._sync)
            file.write(scan.end(whole_at))
            file.sync()
        finally:
            file.close()
        return size


_logs: Final[weakref.WeakSet[Log]] = weakref.WeakSet()
"""All there are: one whose controller is gone may still be open."""


def close_dropped(directory: Path) -> None:
    """Close a log that nobody can close any more: its controller was dropped."""
    gc.collect()
    for log in list(_logs):
        if log._directory == directory and log._controller() is None:  # noqa: SLF001 - of this module
            log.close()


def _put(wake: "SimpleQueue[None]", _: object) -> None:
    wake.put(None)


def _start(ref: weakref.ref[Log], wake: "SimpleQueue[None]") -> None:
    """Start the log's own thread, in a thread where no signal strikes amid that."""
    try:
        threading.Thread(
            target=_keep, args=(ref, wake), name="jobqueue-cmdlog", daemon=True
        ).start()
    except RuntimeError as error:  # no more threads: who needs it asks again
        report_error(error, _start)


def _keep(ref: weakref.ref[Log], wake: "SimpleQueue[None]") -> None:
    """The log's own thread. It holds no reference to its log while it sleeps, and ends with it."""
    log = ref()
    if log is None or not log.segments.claim():
        return
    called = True
    try:
        while log is not None and not log._is_over():  # noqa: SLF001 - of this module
            log._keep(called=called)  # noqa: SLF001
            pause_s = log._pause_s()  # noqa: SLF001
            del log
            try:
                wake.get(timeout=pause_s)
                called = True
            except Empty:
                called = False
            log = ref()
    finally:
        if log is not None:
            log._leave()  # noqa: SLF001


def _failed(segments: Segments, why: str) -> None:
    """Nothing is noted any more. What nobody was told of is taken back from the log."""
    directory = segments.directory
    if segments.always and not segments.journal.forked:
        _take_back(segments)
    logger.error("%s takes no more changes until it is opened again: %s", directory, why)


def _take_back(segments: Segments) -> None:
    synced = segments.journal.synced
    for segment in (*segments.full, segments.current):
        memory = None if segment is None else segment.mapped.memory
        if memory is None:
            continue
        for offset, sequence, *_ in records(memory, HEADER):
            if sequence > synced:
                memory[offset:] = bytes(len(memory[offset:]))
                break
