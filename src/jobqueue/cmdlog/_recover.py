"""Start: the newest snapshot and the segments behind it, read into an engine.

A log may end in the middle: what was not on disk when the power went may be torn, in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ._errors import CommandLogError, DamagedLogError
from ._files import Files
from ._format import SIZES, find_record, read_header, records
from ._replay import Replay

__all__ = ["Recovery", "Torn", "log_files", "recover"]

HEADER: Final = SIZES["header"]
DIGITS: Final = 9
"""Of the number in a file's name."""

ALIEN: Final = ("lock", "lost+found")
"""Names that say nothing of whether a directory is a log; file systems make the second one."""


@dataclass(frozen=True, slots=True)
class Torn:
    """A stretch of a file that was left out."""

    path: Path
    """The file."""
    offset: int
    """Where it begins."""
    size: int
    """Bytes."""
    reason: str
    """What is wrong there."""


@dataclass(slots=True)
class Recovery:
    """What a start found."""

    snapshot: int | None = None
    """The number of the segment before which the snapshot stands, if there is one."""
    segments: list[int] = field(default_factory=list)
    """The numbers of the segments that were read."""
    records: int = 0
    """Records that were applied."""
    jobs: int = 0
    """Jobs there were at the end of the log; some may have expired since."""
    sequence: int = 0
    """Of the last record."""
    torn: Torn | None = None
    """The tail that was cut, if the log ended in the middle."""
    dropped: list[Torn] = field(default_factory=list)
    """Damage that was left out (``repair=True``); a start keeps copies of it beside the log."""


def log_files(names: list[str]) -> tuple[dict[int, str], dict[int, str], list[str]]:
    """Segments and snapshots by number, and what a snapshot in the making left behind."""
    segments: dict[int, str] = {}
    snapshots: dict[int, str] = {}
    remains: list[str] = []
    for name in names:
        stem, _, kind = name.partition(".")
        if not (len(stem) == DIGITS and stem.isascii() and stem.isdigit()):
            continue
        if kind == "cmdlog":
            segments[int(stem)] = name
        elif kind == "snapshot":
            snapshots[int(stem)] = name
        elif kind == "snapshot.tmp":
            remains.append(name)
    return segments, snapshots, remains


class _Reader:
    """One start."""

    def __init__(
        self, files: Files, directory: Path, replay: Replay, *, repair: bool, copies: bool
    ) -> None:
        self.files = files
        self.directory = directory
        self.replay = replay
        self.repair = repair
        self.copies = copies
        self.report = Recovery()
        self.synced = 0  # on disk for sure
        self.batch_at: tuple[int, int] | None = None  # segment and offset of a batch that is open
        self.last_at: tuple[int, int] | None = None

    def snapshot(self, number: int, name: str) -> None:
        path = self.directory / name
        data = self.files.read(path)
        header = _header(path, data)
        replay = self.replay
        if header is None or header[0] != number:
            self.damage(path, 0, data, "no header of this snapshot")
            return
        replay.begin(1, header[3], header[4], False)
        at = replay.feed(data, HEADER)
        while at < len(data) and self.repair:
            at = self.skip(path, data, at, replay.wrong or "zeros")
        if not replay.ended or at < len(data):
            self.damage(path, at, data, replay.wrong or "its end is missing")
        self.report.snapshot = number
        self.synced = max(header[1] - 1, replay.whole_at)
        replay.skip_to(header[1])

    def segments(self, segments: dict[int, str], first: int, until_ns: int | None) -> None:
        numbers = sorted(number for number in segments if number >= first)
        if self.report.snapshot is not None and not numbers:
            self.damage(self.directory / f"{first:09}.cmdlog", 0, b"", "this segment is missing")
        for place, number in enumerate(numbers):
            if number != first + place:
                missing = self.directory / f"{first + place:09}.cmdlog"
                self.damage(missing, 0, b"", "this segment is missing")
                first = number - place
            later = [segments[n] for n in numbers[place + 1 :]]
            if not self.segment(number, self.directory / segments[number], later, until_ns):
                break

    def segment(self, number: int, path: Path, later: list[str], until_ns: int | None) -> bool:  # noqa: C901, PLR0911, PLR0912 - one place for what may be wrong with a segment
        """Read one; False: the log ends here."""
        replay = self.replay
        data = self.files.read(path)
        header = _header(path, data)
        if header is not None and header[0] != number:
            self.damage(path, 0, data, f"the header of segment {header[0]}")
            return True
        if header is None:
            if self.ends(number, path, 0, data, "no header", later):
                return False
            header = (number, replay.sequence + 1, 0, replay.offset_ns, 0, False)
        if header[1] != replay.sequence + 1:
            if self.report.segments or self.report.snapshot is not None or header[1] != 1:
                reason = f"it begins with record {header[1]}, not {replay.sequence + 1}"
                if self.ends(number, path, 0, data, reason, later):
                    return False
            if header[1] <= replay.sequence:
                return True
        self.synced = max(self.synced, header[2])
        replay.begin(header[1], header[3], header[4], header[5])
        self.report.segments.append(number)
        at = HEADER
        while True:
            open_before = replay.batch_open
            at = replay.feed(data, at, until_ns)
            if replay.batch_open and not open_before:
                self.batch_at = (number, replay.batch_start)
            self.last_at = (number, at)
            if replay.reached:
                return False
            if at == len(data) or not replay.wrong:
                return True
            if self.ends(number, path, at, data, replay.wrong, later):
                return False
            at = self.skip(path, data, at, replay.wrong)
            if at == len(data):
                return True

    def ends(
        self, number: int, path: Path, at: int, data: bytes, reason: str, later: list[str]
    ) -> bool:
        """Something is wrong: whether it is the torn end of the log. Raises if it is damage."""
        claimed = max(self.synced, self.replay.synced, _claimed(data[at:]))
        if claimed <= self.replay.sequence:
            for name in later:
                rest = self.files.read(self.directory / name)
                header = read_header(rest)
                if isinstance(header, tuple):
                    claimed = max(claimed, header[2])
                claimed = max(claimed, _claimed(rest[HEADER:]))
        if claimed > self.replay.sequence or self.replay.nonsense:
            self.damage(path, at, data, reason)
            return False
        if at or any(data):  # else a segment that never began
            self.report.torn = Torn(path, at, len(data) - at, reason)
        self.last_at = (number, at)
        return True

    def damage(self, path: Path, at: int, data: bytes, reason: str) -> None:
        if not self.repair:
            raise DamagedLogError(path, at, reason)
        if at == 0:
            self.keep(path, 0, data, reason)

    def skip(self, path: Path, data: bytes, at: int, reason: str) -> int:
        """Go on behind damage: where."""
        found = find_record(data, at + 1, self.replay.sequence)
        end = len(data) if found is None else found[0]
        self.keep(path, at, data[at:end], reason)
        if found is not None:
            self.replay.skip_to(found[1])
        return end

    def keep(self, path: Path, at: int, data: bytes, reason: str) -> None:
        """Report what is left out, and keep a copy of it."""
        self.report.dropped.append(Torn(path, at, len(data), reason))
        if data and self.copies:
            copy = self.files.create(path.with_name(f"{path.name}.dropped-{at}"))
            try:
                copy.write(data)
                copy.sync()
            finally:
                copy.close()


def _header(path: Path, data: bytes) -> tuple[int, int, int, int, int, bool] | None:
    header = read_header(data)
    if isinstance(header, str):
        raise CommandLogError(f"{path}: {header}")
    return header


def _claimed(data: bytes) -> int:
    """Up to which sequence the records in here say that all was on disk."""
    claimed = 0
    at = 0
    while (found := find_record(data, at, 0)) is not None:
        at = found[0]
        for offset, sequence, lag, _, _, body in records(data, at):
            claimed = max(claimed, sequence - lag)
            at = offset + SIZES["frame"] + len(body)
    return claimed


def recover(  # noqa: C901 - the steps of a start, in their order
    files: Files,
    directory: Path,
    replay: Replay,
    *,
    repair: bool = False,
    copies: bool = True,
    until_ns: int | None = None,
) -> tuple[Recovery, Callable[[], int]]:
    """Read a log. Returns what was found, and a function that cuts the files accordingly.

    repair: leave damage out instead of raising; copies: and keep what it was, beside the log.
    """
    names = files.names(directory)
    segments, snapshots, remains = log_files(names)
    foreign = [name for name in names if not name.startswith(".") and name not in ALIEN]
    if foreign and not segments and not snapshots and not remains:
        raise CommandLogError(f"{directory} is not a command log: it holds {min(foreign)!r}")
    reader = _Reader(files, directory, replay, repair=repair, copies=copies)
    first = min(segments, default=1)
    if snapshots:
        first = max(snapshots)
        reader.snapshot(first, snapshots[first])
    elif first != 1 and not repair:
        raise DamagedLogError(directory / "000000001.cmdlog", 0, "this segment is missing")
    reader.segments(segments, first, until_ns)
    report = reader.report
    if snapshots and replay.sequence < replay.whole_at and not repair and not replay.reached:
        raise DamagedLogError(
            directory / snapshots[first],
            0,
            f"the log ends at record {replay.sequence}, the snapshot needs {replay.whole_at}",
        )
    end = reader.last_at
    if replay.batch_open and reader.batch_at is not None:
        end = reader.batch_at
        path = directory / segments[end[0]]
        if report.torn is None:
            report.torn = Torn(path, end[1], files.size(path) - end[1], "a batch without its end")
        replay.drop_batch()
    report.records = replay.count
    report.sequence = replay.sequence
    report.jobs = replay.jobs

    def clean() -> int:
        """Cut and remove what does not count, sync what does; returns the next number."""
        following = first
        for name in remains:
            files.unlink(directory / name)
        for number, name in snapshots.items():
            if number < first:
                files.unlink(directory / name)
        for number, name in sorted(segments.items()):
            path = directory / name
            kept = first <= number and end is not None and number <= end[0]
            if not kept or (end is not None and number == end[0] and end[1] < HEADER):
                files.unlink(path)
                continue
            following = number + 1
            if end is not None and number == end[0] and end[1] < files.size(path):
                files.truncate(path, end[1])
            else:
                files.sync(path)
        files.sync_directory(directory)
        return following

    return report, clean
