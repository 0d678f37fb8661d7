"""A log is looked at while it is written: what changes meanwhile is no damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cli.cmdlog.files import ShownFiles
from jobqueue.cmdlog import CommandLogError, DamagedLogError, DurableController, replay
from jobqueue.cmdlog import _controller as looked
from jobqueue.cmdlog._format import SIZES, records
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk
from tests.cmdlog.workload import open_log

HERE = Path("log")


def nothing() -> None:
    """The writer rests."""


class Reader(Disk):
    """Reads another disk, whose writer goes on in between."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.names_read = 0
        self.after_names: Callable[[], object] = nothing
        self.in_a_read: Callable[[], object] = nothing
        self.behind = 0
        """Bytes behind the end of what is written that are read before the writer goes on."""

    def names(self, directory: Path) -> list[str]:
        found = self.disk.names(directory)
        self.names_read += 1
        if self.names_read % 2 == 0:  # the first look is for how far the log was
            self.after_names()
        return found

    def read(self, path: Path) -> bytes:
        old = self.disk.read(path)
        self.in_a_read()
        new = self.disk.read(path)
        used = len(old.rstrip(b"\0")) + self.behind
        return old[:used] + new[used:]

    def size(self, path: Path) -> int:
        return self.disk.size(path)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> DurableController:
    c = open_log(HERE, ManualClock(), disk)
    c.add_many([Job("a", b"%d" % n) for n in range(10)])
    yield c
    c.close()


def few(action: Callable[[], object], times: int = 3) -> Callable[[], None]:
    """What the writer does, some times."""
    left = [times]

    def act() -> None:
        left[0] -= 1
        if left[0] >= 0:
            action()

    return act


def test_a_compaction_removes_what_was_listed(disk, writer):
    reader = Reader(disk)
    reader.after_names = few(writer.compact)
    with replay(HERE, files=reader) as seen:
        assert len(seen.jobs("a")) == 10


def test_a_segment_that_is_written_while_it_is_read_shows_a_hole(disk, writer):
    """The pages that were read first are older than the last: a record on disk seems to be bad."""
    reader = Reader(disk)
    reader.behind = 40
    reader.in_a_read = few(lambda: [writer.add(Job("a")) for _ in range(4)])
    with replay(HERE, files=reader) as seen:
        assert len(seen.jobs("a")) == 22
        assert seen.recovery.dropped == []
    reader.in_a_read = few(lambda: [writer.add(Job("a")) for _ in range(4)])
    with replay(HERE, files=reader, repair=True) as seen:
        assert (len(seen.jobs("a")), seen.recovery.dropped) == (34, [])


def test_the_next_segment_is_begun_between_two_reads(disk, writer):
    reader = Reader(disk)
    reader.after_names = few(lambda: [writer.add(Job("a", bytes(9000))) for _ in range(8)])
    with replay(HERE, files=reader) as seen:
        assert 10 <= len(seen.jobs("a")) <= 34  # what was listed is read without a gap


def test_the_log_is_closed_between_two_reads(disk):
    c = open_log(HERE, ManualClock(), disk)
    c.add(Job("a"))
    reader = Reader(disk)

    def close() -> None:
        c.add(Job("a"))
        c.close()

    reader.after_names = few(close, 1)
    with replay(HERE, files=reader) as seen:
        assert len(seen.jobs("a")) == 2


def test_true_damage_is_told_of_at_the_second_look(disk, writer):
    writer.compact()
    for n in range(10):
        writer.add(Job("a", b"%d" % n))
    (name,) = (name for name in disk.names_seen if name.endswith(".cmdlog"))
    data = disk.names_seen[name].seen
    at = [at for at, *_ in records(bytes(data), SIZES["header"])][3]
    data[at + 40] ^= 1
    reader = Reader(disk)
    reader.in_a_read = lambda: writer.add(Job("a"))
    with pytest.raises(DamagedLogError) as raised:
        replay(HERE, files=reader)
    assert raised.value.offset == at
    assert reader.names_read == 4


def test_a_log_that_never_stands_still_is_given_up(disk, writer, monkeypatch):
    reader = Reader(disk)
    reader.after_names = writer.compact
    with pytest.raises(CommandLogError, match="cannot be read"):
        replay(HERE, files=reader)
    assert reader.names_read == 2 * looked.LOOKS


def test_files_that_vanish_have_no_size(tmp_path, monkeypatch):
    with DurableController(tmp_path, sync="os") as c:
        c.add(Job("a"))
    files = ShownFiles()
    monkeypatch.setattr(files, "log_names", lambda _: ["000000001.cmdlog", "000000009.cmdlog"])
    assert list(files.sizes(tmp_path)) == ["000000001.cmdlog"]
