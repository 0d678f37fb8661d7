"""Payloads that hold records: none passes for one, whatever is damaged round it."""

import random
import struct
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import DamagedLogError, replay
from jobqueue.cmdlog._format import SIZES, Seal, crc32c, read_header, records, survey
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, disk_of
from tests.cmdlog.hostile import bodies, frame
from tests.cmdlog.workload import open_log

HERE = Path("log")
FIRST = "000000001.cmdlog"
HEADER = SIZES["header"]
STRANGER = bytes([9] * 6 + [0x40, 9, 0x80] + [9] * 7)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def stranger() -> bytes:
    """The body of a job that nobody added."""
    clock, disk = ManualClock(), Disk()
    with open_log(HERE, clock, disk, sync="os") as c:
        c.add(Job("a", b"stranger", id=STRANGER))
        return bodies(bytes(disk.names_seen[FIRST].seen))[0][2]


def version_1(sequence: int, body: bytes) -> bytes:
    rest = struct.pack("<IQIBB", len(body), sequence, 1, 1, 0) + body
    return struct.pack("<I", crc32c(rest)) + rest


def version_2(sequence: int, body: bytes) -> bytes:
    """As who knows the format, and not the salt, would make it."""
    header = bytes(12) + bytes(52)
    return frame(header, 500, sequence, 1, 1, 0, body)


def log_with(payloads: list[bytes]) -> dict[str, bytes]:
    """A log left open whose jobs have these payloads, and others round them."""
    clock, disk = ManualClock(), Disk()
    with open_log(HERE, clock, disk) as c:
        for number, payload in enumerate(payloads):
            c.add(Job("a", b"%d" % number))
            c.add(Job("a", payload))
        for number in range(20):
            c.add(Job("a", b"true %d" % number))
        files = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
        files[FIRST] = files[FIRST][: c._log.journal.position]
    return files


def names_of(found) -> set[bytes]:
    return {bytes(record.job.id) for record in found.registry}


@pytest.mark.parametrize("make", [version_1, version_2])
@pytest.mark.parametrize("ahead", [1, 5, 2**32, 2**62])
def test_a_record_in_a_payload_is_not_read_when_the_one_round_it_is_damaged(make, ahead):
    """The stranger's job was applied, and the true ones behind it dropped for their numbers."""
    forged = b"".join(make(3 + ahead + n, stranger()) for n in range(3))
    files = log_with([b"x" + forged])
    data = bytearray(files[FIRST])
    starts = [at for at, *_ in records(data, HEADER)]
    data[starts[1] + 4] ^= 1  # the size of the record that holds it
    files[FIRST] = bytes(data)
    with pytest.raises(DamagedLogError):
        replay(HERE, files=disk_of(files))
    with replay(HERE, files=disk_of(files), repair=True) as seen:
        assert STRANGER not in names_of(seen)
        assert len(seen.jobs("a")) == 21
        assert len(seen.recovery.dropped) == 1


@pytest.mark.parametrize("make", [version_1, version_2])
def test_a_record_in_a_payload_does_not_make_a_torn_end_damage(make):
    """It said that all before it was on disk, so the start was refused, for ever."""
    files = log_with([b"x" + make(2**40, stranger())])
    data = files[FIRST]
    starts = [at for at, *_ in records(data, HEADER)]
    torn = data[: starts[1] + 4] + b"\xff" + data[starts[1] + 5 : starts[2]]
    with replay(HERE, files=disk_of({FIRST: torn})) as seen:
        assert (seen.recovery.sequence, seen.recovery.torn.offset) == (1, starts[1])


def test_a_copy_of_a_true_record_is_none(clock):
    """Of this very file, or of another of this log: a backup of the log that is a payload."""
    first = log_with([b"payload"])[FIRST]
    payload = first[:HEADER] + first[HEADER:] + first[HEADER + 7 :]
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        c._log.journal.salt = read_header(first).salt
        c.compact()  # from here on it has the salt of the copy
        for _ in range(3):
            c.add(Job("a", payload[: 4000 + 26]))
        c.add(Job("a", b"last"))
        number = c._log.number
        used = c._log.journal.position
        data = bytearray(disk.names_seen[f"{number:09}.cmdlog"].seen[:used])
    header = read_header(data)
    seal = Seal(2, header.salt, number)
    true = [at for at, *_ in records(data, HEADER)]
    assert [run.start for run in survey(data, HEADER, seal)] == [true[0]]
    data[true[0] + 4] ^= 1
    assert [run.start for run in survey(data, HEADER, seal)] == [true[1]]
    # moved by one byte, or read as another file's, nothing of it is sound
    assert survey(bytes(data) + b"x", 0, Seal(2, header.salt, number + 1)) == []
    assert survey(b"x" + bytes(data), 0, seal) == []


def test_each_log_has_a_salt_of_its_own(clock, tmp_path):
    salts = set()
    for name in "abc":
        for _ in range(2):
            with open_log(tmp_path / name, clock) as c:
                salts.add((name, c._log.journal.salt))
    assert len(salts) == 3
    assert len({salt for _, salt in salts}) == 3


def test_a_log_without_a_header_is_read_with_the_salt_of_the_others(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        for _ in range(100):
            c.add(Job("a", bytes(2000)))
        files = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    for name in sorted(files)[:3]:
        if not name.endswith(".cmdlog"):
            continue
        broken = files | {name: bytes(512) + files[name][512:]}
        with pytest.raises(DamagedLogError, match="no header"):
            replay(HERE, files=disk_of(broken))
        with replay(HERE, files=disk_of(broken), repair=True) as seen:
            assert 98 <= len(seen.jobs("a")) < 100
    last = max(name for name in files if name.endswith(".cmdlog"))
    alone = {last: b"\xff" * HEADER + files[last][HEADER:], "reach": files["reach"]}
    with replay(HERE, files=disk_of(alone), repair=True) as seen:
        assert seen.jobs("a")


def test_looking_through_damage_takes_time_in_proportion_to_its_size():
    """Heads of large records at every few bytes: each was read whole."""
    sizes = (1 << 16, 1 << 18)
    for seal in (Seal(1), Seal(2, 77, 1)):
        spent = []
        for size in sizes:
            data = bytearray(random.Random(1).randbytes(size))
            for at in range(0, size - 32, 32):
                left = size - at - seal.frame
                struct.pack_into("<IQIBB", data, at + 4, left, 1, 0, 2, 0)
                if seal.version > 1:
                    struct.pack_into("<I", data, at + 22, seal.mark ^ at)
            work: list[int] = []
            assert survey(bytes(data), 0, seal, 0, work) == []
            assert work[0] > size, "the heads were plausible"
            spent.append(work[0] / size)
        assert spent[1] < 1.1 * spent[0]
        assert spent[1] < 20


def test_a_large_record_behind_damage_is_found():
    body = bytes(range(256)) * 4000
    header = b"JQCMDLOG" + struct.pack("<IIIQ", 2, 0, 7, 0x0123456789ABCDEF)
    data = b"\x00\x01\x02" * 999
    data += frame(header, len(data), 5, 1, 2, 0, body)
    data += frame(header, len(data), 6, 2, 2, 0, body[:300])
    seal = Seal(2, 0x0123456789ABCDEF, 7)
    (run,) = survey(data, 0, seal, 3)
    assert (run.start, run.end, run.first, run.last, run.claimed) == (2997, len(data), 5, 6, 4)
    assert survey(data, 0, seal, 6) == []  # it comes after
    for at in (2997, 2997 + 30, 2997 + 1_000_000):
        damaged = bytearray(data)
        damaged[at] ^= 4
        assert [run.first for run in survey(bytes(damaged), 0, seal, 3)] == [6]


def test_many_pieces_of_damage_are_looked_through_once(tmp_path, clock, monkeypatch):
    from jobqueue.cmdlog import _recover

    with open_log(tmp_path, clock) as c:
        for number in range(400):
            c.add(Job("a", b"%d" % number))
    path = tmp_path / FIRST
    data = bytearray(path.read_bytes())
    for at in [at for at, *_ in records(data, HEADER)][1:400:3]:
        data[at + 30] ^= 1
    path.write_bytes(data)
    looks = []

    def counted(*args):
        looks.append(args)
        return survey(*args)

    monkeypatch.setattr(_recover, "survey", counted)
    with open_log(tmp_path, clock, repair=True) as c:
        assert len(c.recovery.dropped) == 133
        assert len(c.jobs("a")) == 400 - 133
    assert len(looks) == 1
    copies = sorted(path.name for path in tmp_path.glob("*.dropped*"))
    assert len(copies) == _recover.COPIES + 1
    assert (tmp_path / f"{FIRST}.dropped").read_bytes() == data
