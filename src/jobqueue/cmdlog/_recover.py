"""Start: the newest snapshot and the segments behind it, read into an engine.

A log may end in the middle: what was not on disk when the power went may be torn, in any order.
What is bad and was on disk is damage. Each file is looked through once, however much of it is bad:
O(bytes of the log).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ._errors import CommandLogError, DamagedLogError
from ._files import Files
from ._format import (
    SIZES,
    Header,
    Reach,
    Run,
    Seal,
    reach_bytes,
    read_header,
    read_reach,
    records,
    seal_of,
    survey,
)
from ._replay import Replay

__all__ = ["Recovery", "Torn", "log_files", "recover", "set_aside", "write_reach"]

HEADER: Final = SIZES["header"]
REACH: Final = "reach"
"""The file that tells how far the log was."""

COPIES: Final = 64
"""Stretches of one file that are copied one by one; of more, all of the file is."""

DIGITS: Final = 9
"""Of the number in a file's name."""

ALIEN: Final = ("lock", "lost+found", REACH, f"{REACH}.tmp")
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
    leases: int = 0
    """Leases that were timed out: those of the process that is gone, unless they are kept."""
    expired: int = 0
    """Jobs whose TTL was over, unprocessed; they are kept as long as ``keep_expired`` says."""


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


def write_reach(files: Files, directory: Path, reach: Reach) -> None:
    """Tell the next start how far the log is on disk, in a file of its own. Raises OSError."""
    draft = directory / f"{REACH}.tmp"
    file = files.create(draft)
    try:
        file.write(reach_bytes(*reach))
        file.sync()
    finally:
        file.close()
    files.rename(draft, directory / REACH)
    files.sync_directory(directory)


class _Source:
    """One file of a log. Where its records are sound is looked for once, behind damage."""

    def __init__(self, path: Path, number: int, data: bytes) -> None:
        self.path = path
        self.number = number
        self.data = data
        found = read_header(data)
        if isinstance(found, str):
            raise CommandLogError(f"{path}: {found}")
        self.header: Header | None = found
        self.seal = Seal(1) if found is None else seal_of(found)
        self.copies = 0
        self._runs: list[Run] | None = None
        self._claims: list[int] = []
        self._next = 0

    def survey(self, at: int, after: int | None) -> None:
        """Find the stretches of sound records from here on, unless that was done."""
        if self._runs is None:
            self._runs = survey(self.data, max(at, HEADER), self.seal, after)
            self._claims = [run.claimed for run in self._runs]
            for place in range(len(self._claims) - 2, -1, -1):
                self._claims[place] = max(self._claims[place], self._claims[place + 1])

    def next_run(self, at: int) -> Run | None:
        """Give the next stretch of sound records; ``at`` only grows."""
        runs = self._runs or []
        while self._next < len(runs) and runs[self._next].start < at:
            self._next += 1
        return runs[self._next] if self._next < len(runs) else None

    def claimed(self, at: int) -> int:
        """Up to which sequence the records from here on say that all was on disk."""
        return 0 if self.next_run(at) is None else self._claims[self._next]


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
        self.lost = False  # a segment is missing, so that numbers may jump
        self.batch_at: tuple[int, int] | None = None  # segment and offset of a batch that is open
        self.last_at: tuple[int, int] | None = None
        self.names: dict[int, str] = {}  # of the segments to be read
        self.later: dict[int, int] = {}  # what is claimed behind a segment

    def open(self, number: int, path: Path, *, snapshot: bool = False) -> _Source:
        source = _Source(path, number, self.files.read(path))
        header = source.header
        if header is not None and header.version > 1:
            self.replay.salt = header.salt
        elif header is None and self.find_salt() is not None:
            sealed = Seal(SIZES["version"], self.find_salt() or 0, number, snapshot)
            if next(records(source.data, HEADER, source.seal), None) is None:
                source.seal = sealed  # else it is of version 1, and begins with a sound record
        return source

    def find_salt(self) -> int | None:
        """The salt of the log, which each of its files tells."""
        for name in self.names.values():
            if self.replay.salt is not None:
                break
            header = read_header(self.files.read(self.directory / name))
            if isinstance(header, Header) and header.version > 1:
                self.replay.salt = header.salt
        return self.replay.salt

    def snapshot(self, number: int, name: str) -> None:
        path = self.directory / name
        source = self.open(number, path, snapshot=True)
        header = source.header
        replay = self.replay
        if header is None or header.number != number:
            self.damage(path, 0, "no header of this snapshot")
            self.keep(source, 0, source.data, "no header of this snapshot")
            self.lost = True
            return
        replay.in_snapshot = True
        replay.begin(1, header.offset_ns, header.wall_ns, False)
        at = self.read(source, HEADER, None, lambda at, reason: self.damage(path, at, reason))
        replay.in_snapshot = False
        if not replay.ended or at < len(source.data):
            reason = replay.wrong or "its end is missing"
            self.damage(path, at, reason)
            self.keep(source, at, source.data[at:], reason)
        self.report.snapshot = number
        self.synced = max(self.synced, header.sequence - 1, replay.whole_at)
        self.go_on(source, at, header.sequence)

    def check_until(self, until_ns: int, name: str) -> None:
        """Refuse a time of which the snapshot, with which the log begins, cannot tell."""
        replay = self.replay
        whole_ns = max(replay.whole_ns, replay.time_ns)
        if until_ns < whole_ns or (replay.reached and replay.sequence < replay.whole_at):
            raise CommandLogError(
                f"{self.directory / name} is of {_time(whole_ns)}: what was before, at"
                f" {_time(until_ns)}, is not in the log any more"
            )

    def segments(self, segments: dict[int, str], first: int, until_ns: int | None) -> None:
        numbers = sorted(number for number in segments if number >= first)
        if self.report.snapshot is not None and not numbers:
            self.missing(first)
        for place, number in enumerate(numbers):
            if number != first + place:
                self.missing(first + place)
                first = number - place
            if not self.segment(number, self.directory / segments[number], until_ns):
                break

    def missing(self, number: int) -> None:
        path = self.directory / f"{number:09}.cmdlog"
        self.damage(path, 0, "this segment is missing")
        self.report.dropped.append(Torn(path, 0, 0, "this segment is missing"))
        self.lost = True

    def segment(self, number: int, path: Path, until_ns: int | None) -> bool:
        """Read one; False: the log ends here."""
        replay = self.replay
        source = self.open(number, path)
        header = source.header
        if header is not None and (header.number != number or header.snapshot):
            reason = f"the header of segment {header.number}"
            self.damage(path, 0, reason)
            self.keep(source, 0, source.data, reason)
            self.lost = True
            return True
        sequence = replay.sequence + 1 if header is None else header.sequence
        began = self.report.segments or self.report.snapshot is not None or self.lost
        if header is None or (sequence != replay.sequence + 1 and (began or sequence != 1)):
            wrong = f"it begins with record {sequence}, not {replay.sequence + 1}"
            reason = "no header" if header is None else wrong
            source.survey(0, None if header is None and self.lost else sequence - 1)
            if not self.lost and self.ends(source, 0, reason):
                return False
            dropped = source.data[:HEADER] if header is None else b""
            self.keep(source, 0, source.data if sequence <= replay.sequence else dropped, reason)
            if sequence <= replay.sequence:
                return True
        if header is None:
            replay.begin(sequence, replay.offset_ns, 0, False)
        else:
            self.synced = max(self.synced, header.synced)
            replay.begin(sequence, header.offset_ns, header.wall_ns, header.epoch)
        self.report.segments.append(number)
        at = self.read(source, HEADER, until_ns, lambda at, reason: self.ends(source, at, reason))
        self.lost = False
        return at >= 0

    def read(
        self,
        source: _Source,
        at: int,
        until_ns: int | None,
        ends: Callable[[int, str], bool | None],
    ) -> int:
        """Read a file; ``ends`` judges what is wrong. Returns the offset, or -1: the log ends here.

        What is sound behind damage was found in one look, so that none of it is tried again.
        """
        replay = self.replay
        data = source.data
        stop: int | None = None
        while True:
            open_before = replay.batch_open
            at = replay.feed(data, at, source.seal, until_ns, stop)
            if replay.batch_open and not open_before:
                self.batch_at = (source.number, replay.batch_start)
            if not replay.in_snapshot:
                self.last_at = (source.number, at)
            if replay.reached:
                return -1
            if replay.nonsense:
                at = self.refuse(source, at)
                continue
            reason = replay.wrong
            if (at == stop and source.next_run(at) is not None) or (
                at == stop and not _only_zeros(data, at)
            ):
                reason = "a record with a wrong checksum"
            if at == len(data) or not reason:
                return at
            source.survey(at, replay.sequence)
            if ends(at, reason):
                return -1
            run = source.next_run(at)
            end = len(data) if run is None else run.start
            self.keep(source, at, data[at:end], reason)
            if run is None:
                return len(data)
            self.go_on(source, at, run.first)
            at, stop = run.start, run.end

    def refuse(self, source: _Source, at: int) -> int:
        """Set aside a whole record that says nothing sound. Returns the offset behind it."""
        replay = self.replay
        reason = replay.wrong or ""
        self.damage(source.path, at, reason)
        bodies = b"".join(replay.rejected)
        self.keep(source, at, bodies or source.data[at : replay.behind], reason)
        return replay.behind

    def go_on(self, source: _Source, at: int, sequence: int) -> None:
        """Behind damage. A batch that it cut in two did happen: sound records follow."""
        try:
            self.replay.skip_to(sequence)
        except ValueError as error:
            self.keep(source, at, b"".join(self.replay.rejected), str(error))

    def ends(self, source: _Source, at: int, reason: str) -> bool:
        """Something is wrong: whether it is the torn end of the log. Raises if it is damage."""
        replay = self.replay
        claimed = max(self.synced, replay.synced, source.claimed(at))
        if claimed <= replay.sequence:
            claimed = self.claimed_behind(source.number)
        if claimed > replay.sequence:
            self.damage(source.path, at, reason)
            return False
        if at or not _only_zeros(source.data, 0):  # else a segment that never began
            self.report.torn = Torn(source.path, at, len(source.data) - at, reason)
        self.last_at = (source.number, at)
        return True

    def claimed_behind(self, number: int) -> int:
        """What the segments behind one say was on disk. Each is looked through once."""
        if not self.later:
            claimed = 0
            for behind in sorted(self.names, reverse=True):
                self.later[behind] = claimed
                source = self.open(behind, self.directory / self.names[behind])
                if source.header is not None:
                    claimed = max(claimed, source.header.synced)
                source.survey(0, None if source.header is None else source.header.sequence - 1)
                claimed = max(claimed, source.claimed(0))
        return self.later[number]

    def damage(self, path: Path, at: int, reason: str) -> None:
        """Refuse damage, unless it is to be repaired."""
        if not self.repair:
            raise DamagedLogError(path, at, reason)

    def keep(self, source: _Source, at: int, data: bytes, reason: str) -> None:
        """Report what is left out, and keep a copy of it; of many stretches, one of the file."""
        self.report.dropped.append(Torn(source.path, at, len(data), reason))
        if not data or not self.copies:
            return
        source.copies += 1
        if source.copies <= COPIES:
            self.copy(f"{source.path.name}.dropped-{at}", data)
        elif source.copies == COPIES + 1:
            self.copy(f"{source.path.name}.dropped", source.data)

    def copy(self, name: str, data: bytes) -> None:
        copy = self.files.create(self.directory / name)
        try:
            copy.write(data)
            copy.sync()
        finally:
            copy.close()

    def check_end(self, path: Path, size: int) -> None:
        """Refuse a log that ends before what is known to have been on disk."""
        replay = self.replay
        needed = max(self.synced, replay.synced, replay.whole_at)
        if replay.sequence < needed and not replay.reached:
            reason = f"the log ends at record {replay.sequence}, and was on disk up to {needed}"
            self.damage(path, size, reason)
            self.report.dropped.append(Torn(path, size, 0, reason))


def _only_zeros(data: bytes, at: int) -> bool:
    return data.count(0, at) == len(data) - at


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")


def _read_reach(files: Files, directory: Path) -> Reach | None:
    if REACH not in files.names(directory):
        return None
    return read_reach(files.read(directory / REACH))


def _check_whole(reader: _Reader, first: int, until_ns: int | None) -> None:
    """Refuse a log that lacks its end, and a time that its snapshot does not know."""
    number, offset = reader.last_at or (first, 0)
    reader.check_end(reader.directory / f"{number:09}.cmdlog", offset)
    replay = reader.replay
    if until_ns is not None and replay.reached and replay.sequence < replay.whole_at:
        reader.check_until(until_ns, f"{first:09}.snapshot")


def set_aside(
    files: Files,
    directory: Path,
    report: Recovery,
    left_out: list[tuple[str, bytes]],
    *,
    copies: bool,
) -> None:
    """Report jobs that had no place in the end, and keep copies of them."""
    for reason, data in left_out:
        path = directory / f"job-{data[:16].hex()}.dropped"
        report.dropped.append(Torn(path, 0, len(data), reason))
        if copies:
            copy = files.create(path)
            try:
                copy.write(data)
                copy.sync()
            finally:
                copy.close()


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
    reach = _read_reach(files, directory)  # before the files are listed: then they reach it
    names = files.names(directory)
    segments, snapshots, remains = log_files(names)
    foreign = [name for name in names if not name.startswith(".") and name not in ALIEN]
    if foreign and not segments and not snapshots and not remains:
        raise CommandLogError(f"{directory} is not a command log: it holds {min(foreign)!r}")
    reader = _Reader(files, directory, replay, repair=repair, copies=copies)
    if reach is not None:
        reader.synced = reach.sequence
        replay.salt = reach.salt
    first = max(snapshots) if snapshots else min(segments, default=1)
    reader.names = {number: name for number, name in segments.items() if number >= first}
    if snapshots:
        reader.snapshot(first, snapshots[first])
        if until_ns is not None:
            reader.check_until(until_ns, snapshots[first])
    elif first != 1:
        reader.missing(1)
    reader.segments(segments, first, until_ns)
    _check_whole(reader, first, until_ns)
    report = reader.report
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
