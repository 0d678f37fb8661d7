"""The command log on disk: its segments, their growth, syncs and compaction.

Locking: `_growing` is held while room is made, one caller at a time; `_owning` while somebody looks
at which segments there are, or changes that. Neither is held while a caller waits for a sync, but
by `close`: it takes all, so that whoever is in the midst of something ends first.
"""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._records import report_error
from ..errors import ClosedError, JobQueueError
from ._errors import CommandLogError
from ._files import Files, Mapped
from ._format import SIZES, Reach, records
from ._journal import Journal, Scan, snapshot_header
from ._recover import write_reach

if TYPE_CHECKING:
    from ..controller import Controller

__all__ = ["Log", "logger"]

logger: Final = logging.getLogger("jobqueue.cmdlog")
logger.addHandler(logging.NullHandler())  # quiet, unless the program wants to hear

HEADER: Final = SIZES["header"]
FRAME: Final = SIZES["frame"]
MARGIN: Final = SIZES["margin"]
GROWTH: Final = 256 << 10
"""Bytes of disk space that a segment reserves at once."""

SCAN_SLOTS: Final = 2048
"""Slots of the table of jobs that a snapshot reads at once; well below a millisecond."""

SNAPSHOT_AT: Final = 1.4
"""A snapshot is made when the log takes so much more than the living jobs would."""


class Log:
    """The files of one durable controller."""

    def __init__(
        self,
        directory: Path,
        files: Files,
        controller: "Controller",
        *,
        sync: str,
        sync_interval: float,
        segment_size: int,
        max_bytes: int | None,
    ) -> None:
        self.journal: Final = Journal()
        self._directory: Final = directory
        self._files: Final = files
        self._controller: Final = controller
        self._mode: Final = sync
        self._interval: Final = sync_interval
        self._segment_size: Final = segment_size
        self._max_bytes: Final = max_bytes
        self._growing: Final = threading.RLock()
        self._owning: Final = threading.Lock()
        self._compacting: Final = threading.RLock()
        self._current: Mapped | None = None
        self._full: list[tuple[Mapped, int]] = []  # segments before it that may not be on disk
        self._sizes: dict[Path, int] = {}  # bytes in use, of what is on disk beside the current one
        self._number = 0
        self._first = 0  # the number of the oldest segment
        self._keeper: threading.Thread | None = None
        self._wake: Final = threading.Event()
        self._shut = False
        self._why: str | None = None  # nothing can be noted any more
        self.compactions = 0

    # ------------------------------------------------------------ beginning and end

    def start(self, number: int, sequence: int, live_bytes: int) -> None:
        """Begin a segment behind what was read, and note from now on."""
        for name in self._files.names(self._directory):
            path = self._directory / name
            if name.endswith((".cmdlog", ".snapshot")):
                self._sizes[path] = self._files.size(path)
        self._number = number - 1
        self._first = number
        self.journal.attach(self._controller, sequence, live_bytes, self._mode == "always")
        self._next_segment(0, epoch=True)
        self.journal.begin()
        self._mark(number - 1, closed=False)
        if self._mode == "interval":
            self._start_keeper()

    def close(self) -> None:
        """Bring everything to the disk, cut the segment to what is used."""
        if self._current is None:
            return  # it was closed, or is the parent's
        self.journal.patience_ns = 0  # nobody comes back
        with self._growing:
            self._shut = True
            keeper = self._keeper
        self._wake.set()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join()
        with self._compacting, self._growing:
            self._close()

    def _close(self) -> None:
        journal = self.journal
        journal.cease()
        try:
            if self._why is None and self._current is not None:
                if journal.spill_size:
                    self._next_segment(0)
                journal.settle(self._sync)
                journal.note_clock()  # its lag tells that all before it is on disk
                journal.settle(self._sync)
                self._mark(self._number, closed=True)
        finally:
            journal.detach()
            used = journal.position
            journal.release()
            self._drop_mappings(used if self._why is None else None)

    def _mark(self, number: int, *, closed: bool) -> None:
        """Tell the next start how far the log is on disk; a disk that is full does without."""
        journal = self.journal
        reach = Reach(number, journal.salt, journal.synced, time.time_ns(), closed)
        try:
            write_reach(self._files, self._directory, reach)
        except OSError as error:
            logger.warning("%s: how far it is could not be noted: %s", self._directory, error)

    def _drop_mappings(self, used: int | None) -> None:
        for mapped, size in self._full:
            mapped.close(size)
        self._full.clear()
        if self._current is not None:
            self._current.close(used)
            self._current = None

    def forked(self) -> None:
        """In a forked child: the log is the parent's."""
        self._why = "it belongs to the process that opened it; this is a fork of that"
        self.journal.disown()
        self.journal.release()
        self._drop_mappings(None)

    # ------------------------------------------------------------ room

    def reserve(self, size: int) -> None:
        """Make room for so many bytes. Raises CommandLogError; nothing has changed then."""
        self.check()
        with self._growing:
            self.check()
            self._make_room(size)

    def _flush(self) -> None:
        """Bring what found no room into a segment. Raises CommandLogError: there is no room yet."""
        if not self.journal.spill_size or self._why is not None:
            return
        with self._growing:
            if self.journal.spill_size and self._current is not None:
                self._make_room(0)

    def _make_room(self, size: int, *, anew: bool = False) -> None:
        """In the present segment if it has any, and nothing waits in memory; else in a new one."""
        try:
            if anew or not self._extend(size):
                self._next_segment(size)
        except OSError as error:
            raise CommandLogError(f"no room in the command log: {error}") from error

    def check(self) -> None:
        """Raise if nothing more can be noted. In a forked child the locks may be held for ever."""
        self._check_sound()
        if self._shut:
            raise ClosedError("the controller is closed")

    def _check_sound(self) -> None:
        if self._why is not None:
            raise CommandLogError(f"{self._directory} takes no changes: {self._why}")

    def _extend(self, size: int) -> bool:
        """Reserve more of the present segment; False: it is full."""
        journal = self.journal
        if self._current is None or self._current.memory is None or journal.spill_size:
            return False
        capacity = len(self._current.memory)
        wanted = journal.position + size + MARGIN
        if wanted > capacity:
            return False
        if wanted > journal.end:
            end = min(capacity, max(wanted, journal.end + min(GROWTH, self._segment_size // 4)))
            self._check_bytes(end - journal.position)
            self._current.allocate(end)
            journal.extend(end)
        return True

    def _next_segment(self, size: int, *, epoch: bool = False) -> None:
        journal = self.journal
        least = HEADER + journal.spill_size + size + 2 * MARGIN
        capacity = max(self._segment_size, least)
        first = min(capacity, max(least, min(GROWTH, self._segment_size // 4)))
        self._check_bytes(first)
        path = self._path(self._number + 1)
        try:
            fresh = self._files.create_mapped(path, capacity)
        except FileExistsError:  # from a try before, when it could not be removed
            self._files.unlink(path)
            fresh = self._files.create_mapped(path, capacity)
        try:
            fresh.allocate(first)
            self._files.sync_directory(self._directory)
            with self._owning:
                self._go_on_in(fresh, first, epoch=epoch)
        finally:
            if self._current is not fresh:
                fresh.close(None)
                self._files.unlink(path)
        if self._current is not fresh:
            self._next_segment(size, epoch=epoch)
            return
        logger.debug("%s: begun", path)
        if not epoch:
            self._start_keeper()
            self._wake.set()

    def _go_on_in(self, fresh: Mapped, allocated: int, *, epoch: bool) -> None:
        """Let a segment take the place of the current one, unless it has become too small."""
        self._check_sound()  # a sync may have failed meanwhile
        assert fresh.memory is not None  # noqa: S101 - it was just made
        used = self.journal.switch(fresh.memory, allocated, self._number + 1, epoch)
        if used is None:
            return
        if self._current is not None:
            self._full.append((self._current, used))
            self._sizes[self._path(self._number)] = used
        self._current = fresh
        self._number += 1

    def _check_bytes(self, more: int) -> None:
        if self._max_bytes is not None and self.bytes_used + more > self._max_bytes:
            self._start_keeper()
            self._wake.set()
            raise CommandLogError(
                f"the command log takes {self.bytes_used} bytes, and may take {self._max_bytes}"
            )

    @property
    def bytes_used(self) -> int:
        """Bytes in use on disk."""
        with self._owning:
            return sum(self._sizes.values()) + self.journal.position

    @property
    def always(self) -> bool:
        """Whether every call waits for the disk."""
        return self._mode == "always"

    @property
    def number(self) -> int:
        """Of the segment that is written."""
        return self._number

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:09}.cmdlog"

    # ------------------------------------------------------------ syncs

    def settle(self) -> None:
        """Return once all that was noted is in a segment; on disk, if callers wait for that."""
        if self.always:
            self._check_sound()
        try:
            self._flush()
        except CommandLogError:
            if self.always:
                raise
        if self.always:
            self.journal.settle(self._sync)
        if self.journal.refused:
            raise ClosedError("the controller was closed before this could be noted")

    def _sync(self) -> None:
        with self._owning:
            full = list(self._full)
            current = self._current
        try:
            for mapped, _ in full:
                mapped.sync()
            if current is not None:
                current.sync()
        except OSError as error:
            self._fail(f"a sync failed: {error}")
            raise CommandLogError(
                f"{self._directory} takes no more changes until it is opened again: {self._why}"
            ) from error
        with self._owning:
            del self._full[: len(full)]
        for mapped, size in full:
            try:
                mapped.close(size)
            except OSError:
                pass  # what was not cut off are zeros: they cost disk space, no more

    def _fail(self, why: str) -> None:
        """Nothing is noted any more. What nobody was told of is taken back from the log."""
        with self._owning:
            self._why = why
            self.journal.stop()
            if self.always:
                self._take_back()
        logger.error("%s takes no more changes until it is opened again: %s", self._directory, why)

    def _take_back(self) -> None:
        for mapped in (*(mapped for mapped, _ in self._full), self._current):
            if mapped is None or mapped.memory is None:
                continue
            for offset, sequence, *_ in records(mapped.memory, HEADER):
                if sequence > self.journal.synced:
                    mapped.memory[offset:] = bytes(len(mapped.memory[offset:]))
                    break

    # ------------------------------------------------------------ the keeper

    def _start_keeper(self) -> None:
        if self._keeper is None and not self._shut:
            self._keeper = threading.Thread(target=self._keep, name="jobqueue-cmdlog", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Sync at intervals, and what is full; compact when it is worth it."""
        while not self._shut:
            self._wake.wait(self._interval if self._mode == "interval" else None)
            self._wake.clear()
            if self._is_over():
                return
            try:
                if self.journal.is_behind() and (self._mode == "interval" or self._full):
                    self.journal.settle(self._sync)
                if self._is_due():
                    self.compact()
            except JobQueueError as error:
                if not self._is_over():
                    report_error(error, self._keep)
            except Exception as error:  # noqa: BLE001 - the keeper lives on, the next look may do better
                report_error(error, self._keep)

    def _is_over(self) -> bool:
        return self._shut or self._why is not None

    def _is_due(self) -> bool:
        floor = max(self._segment_size, SNAPSHOT_AT * max(self.journal.live_bytes, 0))
        return self.bytes_used > floor and self._number > self._first

    # ------------------------------------------------------------ compaction

    def compact(self) -> None:
        """Write a snapshot of the living jobs, and remove what lies before it.

        The engine works on meanwhile. Raises CommandLogError if the disk does not take it; the log
        is then as it was.
        """
        self.check()
        with self._compacting:
            with self._growing:
                self.check()
                self._make_room(0, anew=True)
                number, sequence = self._number, self.journal.first_sequence
            name = self._directory / f"{number:09}.snapshot"
            draft = name.with_suffix(".snapshot.tmp")
            try:
                size = self._write_snapshot(draft, number, sequence)
                self._files.rename(draft, name)
                self._files.sync_directory(self._directory)
            except (OSError, JobQueueError) as error:
                try:
                    self._files.unlink(draft)
                except OSError:
                    pass  # it is removed at the next start
                raise CommandLogError(f"the command log cannot be compacted: {error}") from error
            with self._owning:
                self._sizes[name] = size
            self._remove_before(number, name)
            self._first = number
            self.compactions += 1
            logger.info("%s: compacted to a snapshot of %d bytes", self._directory, size)

    def _write_snapshot(self, draft: Path, number: int, sequence: int) -> int:
        file = self._files.create(draft)
        size = 0
        try:
            registry = self._controller.registry
            salt = self.journal.salt
            scan = Scan(registry, salt, number)
            parts = [snapshot_header(number, sequence, registry, salt)]
            while True:
                for part in parts:
                    file.write(part)
                    size += len(part)
                if self._shut:
                    raise CommandLogError("the command log was closed while it was compacted")
                time.sleep(0)  # whoever waits for the interpreter goes first
                found = scan.jobs_next(SCAN_SLOTS)
                if found is None:
                    found = scan.dead_next(SCAN_SLOTS)
                if found is None:
                    break
                parts = [found]
            for queue in list(self._controller.queues.queues()):
                if self._controller._paused(queue):  # noqa: SLF001 - the rooms of one package
                    file.write(scan.paused(queue))
            whole_at = self.journal.note_clock()
            self._flush()
            self.journal.settle(self._sync)
            file.write(scan.end(whole_at))
            file.sync()
        finally:
            file.close()
        return size

    def _remove_before(self, number: int, snapshot: Path) -> None:
        with self._owning:
            known = sorted(self._sizes)
        for path in known:
            stale = path != snapshot and int(path.name[:9]) < (
                number if path.suffix == ".cmdlog" else number + 1
            )
            if stale:
                try:
                    self._files.unlink(path)
                except OSError:
                    continue  # the next compaction, or the next start, tries again
                with self._owning:
                    del self._sizes[path]
