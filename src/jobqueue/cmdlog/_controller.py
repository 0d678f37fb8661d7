"""DurableController: a Controller whose jobs outlive its process."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from .._objects.rules import check_time
from ..controller import Controller
from ..errors import shown
from ..interfaces import Clock, Duration
from ._errors import CommandLogError
from ._files import Files, Lock
from ._log import Log, close_dropped, logger
from ._recover import Recovery, recover, set_aside
from ._replay import Replay

if TYPE_CHECKING:
    import random

__all__ = ["DurableController", "ReplayedController", "replay"]

SEGMENT_LEAST: Final = 64 << 10
LOG_LEAST: Final = 128 << 10
SYNCS: Final = ("always", "interval", "os")

KEEP_EXPIRED: Final = 7 * 24 * 3_600_000
"""How long a job that expired unprocessed is kept, if nothing else is said, ms."""

LOOKS: Final = 20
"""How often a log is read that changes while it is read. What is wrong twice in a row is wrong."""


class DurableController(Controller):
    """A Controller that keeps a command log: what it acknowledged is there after a crash.

    path: a directory, made if need be, for this log alone.
    sync: "always": a call returns when what it did is on the disk. "interval": it is on the disk
    ``sync_interval`` ms later. "os": when the operating system sees fit; it survives the end of the
    process, not of the machine.
    segment_size: bytes of one file of the log. max_log_bytes: bytes of disk that the log may take
    in all, also while it is compacted; None: no limit. Jobs that are there may take nearly half of
    that. A change beyond it waits for a compaction, and raises CommandLogError if none helps.
    repair: go on with what can be read of a damaged log, and keep copies of what cannot.
    keep_leases: False: the leases of the process that is gone are timed out at the start (it holds
    the log's lock no more, so it is gone); True: they go on with the TTR they had left, for workers
    that live elsewhere. keep_expired: as Controller's; 7 days by itself, for what expires while
    nothing runs, too.
    clock, rng, result_ttl, max_jobs, max_bytes, history: as Controller's. The bounds are of this
    start, not of the log: if it brings back more, nothing is added until there is capacity again.

    A fork's child may not change it, nor a process whose directory or lock file was taken away.

    Jobs of ``run`` are not kept, nor is what is done to ``registry`` and ``queues`` by hand.

    Raises CommandLogError (the log is open elsewhere, is none, or cannot be written) and
    DamagedLogError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path:
    ...     with DurableController(path) as c:
    ...         c.add(Job("mail", b"to: you"))
    ...     with DurableController(path) as c:
    ...         c.lease("mail", 0).payload
    b'to: you'
    """

    __slots__ = ("_held", "_keep_leases", "_log", "recovery")
    recovery: Recovery
    """What the start found."""
    _log: Log | None
    _held: Lock | None
    _keep_leases: bool

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        *,
        sync: Literal["always", "interval", "os"] = "always",
        sync_interval: int = 1000,
        segment_size: int = 64 << 20,
        max_log_bytes: int | None = None,
        repair: bool = False,
        clock: Clock | None = None,
        rng: "random.Random | None" = None,
        result_ttl: Duration | None = None,
        max_jobs: int | None = None,
        max_bytes: int | None = None,
        history: int = 0,
        keep_expired: Duration = KEEP_EXPIRED,
        keep_leases: bool = False,
        files: Files | None = None,
    ) -> None:
        _check_options(sync, sync_interval, segment_size, max_log_bytes)
        self._log = self._held = None
        directory = Path(path).expanduser().absolute()  # once: the process may go elsewhere
        files = Files() if files is None else files
        self._held = _hold(files, directory)
        try:
            super().__init__(
                clock=clock,
                rng=rng,
                result_ttl=result_ttl,
                max_jobs=max_jobs,
                max_bytes=max_bytes,
                history=history,
                keep_expired=keep_expired,
            )
        except BaseException:
            self._held.release()
            raise
        try:
            self._keep_leases = keep_leases
            self._open(directory, files, repair, sync, sync_interval, segment_size, max_log_bytes)
        except BaseException:
            self.close()
            raise

    def _open(
        self,
        directory: Path,
        files: Files,
        repair: bool,
        sync: str,
        sync_interval: int,
        segment_size: int,
        max_log_bytes: int | None,
    ) -> None:
        assert self._held is not None  # noqa: S101 - it was just taken
        found = Replay(self)
        try:
            self.recovery, clean = recover(files, directory, found, repair=repair)
            left_out = _finish(found, repair, keep_leases=self._keep_leases, start=True)
            set_aside(files, directory, self.recovery, left_out, copies=True)
            log = Log(
                directory,
                files,
                self._held,
                self,
                sync=sync,
                sync_interval=sync_interval / 1000,
                segment_size=segment_size,
                max_bytes=max_log_bytes,
            )
            if found.salt is not None:
                log.journal.salt = found.salt
            log.start(clean(), found.sequence, found.live_bytes)
        except OSError as error:
            raise CommandLogError(f"the command log cannot be opened: {error}") from error
        self._log = log
        self._report(directory)
        if self.recovery.dropped:
            log.compact()
        elif found.clamped:
            self._note_clamped(log)
        log.compact_if_crowded()
        self.fire_due()
        stats = self.stats()
        self.recovery.leases, self.recovery.expired = stats.timed_out, stats.evicted_jobs
        if self.next_deadline_ns() is not None and not self.by_hand:
            self._poke()

    def _note_clamped(self, log: Log) -> None:
        """Let the log tell of deadlines that were brought nearer, lest starts extend them anew."""
        try:
            log.compact()
        except CommandLogError as error:
            logger.warning("deadlines are nearer than the log says: %s", error)

    def _report(self, directory: Path) -> None:
        found = self.recovery
        logger.info("%s: %d records, %d jobs", directory, found.records, found.jobs)
        left_out = [("damage was left out", torn) for torn in found.dropped]
        if found.torn is not None:
            left_out.append(("the torn end was cut off", found.torn))
        for what, torn in left_out:
            place = (torn.path, torn.offset, torn.size)
            logger.warning("%s: at byte %d, %d bytes: %s: %s", *place, what, torn.reason)

    def close(self) -> None:
        """Stop, wake every blocked call with ClosedError, and bring the log to the disk.

        If an exception interrupts it, a second call goes on.
        """
        super().close()
        log = self._log
        try:
            if log is not None:
                log.close()
            elif self._held is not None:
                self._held.release()
        except OSError as error:
            raise CommandLogError(f"the command log cannot be closed: {error}") from error

    def compact(self) -> None:
        """Write a snapshot of the jobs now, and remove the log before it. Others work meanwhile.

        Raises CommandLogError.
        """
        self._enter()
        if self._log is not None:
            self._log.compact()

    def pause(self, name: str) -> None:
        """Let a queue accept jobs and give none. O(1)."""
        if self._log is None:
            super().pause(name)
        else:
            self._log.journal.pause(self, name, True)

    def resume(self, name: str) -> None:
        """Let a paused queue give jobs again: first to those who wait, longest first."""
        if self._log is None:
            super().resume(name)
        else:
            self._log.journal.pause(self, name, False)

    # ------------------------------------------------------------ what the engine calls

    def _note_reserve(self, size: int) -> None:
        if self._log is not None:
            self._log.reserve(size)

    def _note_settle(self) -> None:
        if self._log is not None:
            self._log.settle()

    def _forked(self) -> None:
        if self._log is not None:
            self._log.forked()
        elif self._held is not None:
            self._held.release()
        super()._forked()


class ReplayedController(Controller):
    """What `replay` returns: to look at, not to change. Its time stands still."""

    __slots__ = ("recovery",)
    recovery: Recovery
    """What was found."""

    def _note_reserve(self, size: int) -> None:  # noqa: ARG002 - there is space for nothing
        raise CommandLogError("a replayed log is only to be looked at")


class _Frozen:
    """A clock that stands at the end of what was replayed."""

    def __init__(self) -> None:
        self.wall_ns = 0
        self.mono_ns = 0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def attach(self, driven: object) -> None:
        """Nobody moves it."""


def replay(
    path: "str | os.PathLike[str]",
    until: datetime | None = None,
    *,
    repair: bool = False,
    files: Files | None = None,
) -> ReplayedController:
    """Read a log, up to a time if one is given, into a controller that is only to be looked at.

    The log is not touched, and may be in use. Times are those of the log's own marks: exact for
    jobs that were added, within a second for the rest. repair: go on with what can be read of a
    damaged log; ``recovery.dropped`` of the controller tells what was left out.

    Raises CommandLogError, DamagedLogError.
    """
    until_ns = None if until is None else check_time(until)
    files = Files() if files is None else files
    path = Path(path).expanduser()
    before: tuple[object, ...] | None = None
    for _ in range(LOOKS):
        try:
            return _replayed(path, files, until_ns, repair=False)
        except (CommandLogError, FileNotFoundError) as error:
            found = (type(error), *error.args)
            if found == before and not isinstance(error, FileNotFoundError):
                break
            before, last = found, error  # a log in use may have changed between two reads
    if repair:
        return _replayed(path, files, until_ns, repair=True)
    if isinstance(last, OSError):
        raise _unread(last) from last
    raise last


def _replayed(
    path: Path, files: Files, until_ns: int | None, *, repair: bool
) -> ReplayedController:
    clock = _Frozen()
    controller = ReplayedController(clock=clock)
    try:
        found = Replay(controller)
        try:
            report, _ = recover(files, path, found, repair=repair, copies=False, until_ns=until_ns)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unread(error) from error
        clock.wall_ns = found.time_ns
        clock.mono_ns = found.time_ns - found.offset_ns
        set_aside(files, path, report, _finish(found, repair), copies=False)
    except BaseException:
        controller.close()
        raise
    controller.recovery = report
    found.freeze()
    return controller


def _unread(error: OSError) -> CommandLogError:
    return CommandLogError(f"the command log cannot be read: {error}")


def _finish(
    found: Replay, repair: bool, *, keep_leases: bool = True, start: bool = False
) -> list[tuple[str, bytes]]:
    try:
        return found.finish(start=start, keep_leases=keep_leases, repair=repair)
    except ValueError as error:
        raise CommandLogError(
            f"the command log is not sound: {error} (repair=True sets it aside)"
        ) from error


def _check_options(
    sync: object, sync_interval: object, segment_size: object, max_log_bytes: object
) -> None:
    if sync not in SYNCS:
        raise ValueError(f"sync must be one of {', '.join(SYNCS)}, not {shown(sync)}")
    for what, value, least in (
        ("sync_interval", sync_interval, 1),
        ("segment_size", segment_size, SEGMENT_LEAST),
        ("max_log_bytes", LOG_LEAST if max_log_bytes is None else max_log_bytes, LOG_LEAST),
    ):
        if type(value) is not int:
            raise TypeError(f"{what} must be an int, not {shown(value)}")
        if value < least:
            raise ValueError(f"{what} must be at least {least}, not {value}")


def _hold(files: Files, directory: Path) -> Lock:
    try:
        if directory.exists() and not directory.is_dir():
            raise CommandLogError(f"{directory} is not a directory, so it is no command log")
        files.make_directory(directory)
        try:
            return files.lock(directory / "lock")
        except BlockingIOError:
            close_dropped(directory)
            return files.lock(directory / "lock")
    except (BlockingIOError, PermissionError) as error:
        if isinstance(error, PermissionError) and os.name != "nt":
            raise CommandLogError(f"{directory} may not be written: {error}") from error
        raise CommandLogError(f"{directory} is open already, here or in another process") from error
    except OSError as error:
        raise CommandLogError(f"the command log cannot be opened: {error}") from error
