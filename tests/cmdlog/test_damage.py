"""Torn tails are cut, damage is refused: cuts at every byte, flipped bits, missing pieces."""

import random
import shutil
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DamagedLogError, replay
from jobqueue.cmdlog._format import KINDS, SIZES, crc32c, read_header, records
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, disk_of
from tests.cmdlog.workload import Workload, digest, open_log

HERE = Path("log")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


NEWEST_LEAST = 600
"""Bytes of the newest segment, at least, whatever chance makes of the steps."""

SHAPES = ("one segment", "several", "behind a snapshot", "left open")


def written(clock: ManualClock, seed: object, steps: int, shape: str) -> dict[str, bytes]:
    """The files of a log, by their names, in the order of writing."""
    disk = Disk()
    work = Workload(open_log(HERE, clock, disk), clock, seed)
    for _ in range(steps):
        work.step()
    if shape == "several":
        while work.controller._log.number < 3:
            work.controller.add(Job("big", bytes(9000)))
    elif shape == "behind a snapshot":
        work.controller.compact()
    for _ in range(0 if shape == "one segment" else steps // 2):
        work.step()
    while work.controller._log.journal.position < NEWEST_LEAST:
        work.step()
    used = work.controller._log.journal.position
    if shape != "left open":
        work.controller.close()
    files = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    newest = max(name for name in files if name.endswith(".cmdlog"))
    if shape == "left open":
        work.controller.close()
        files[newest] = files[newest][: used + 100]  # zeros behind the end
    return {name: files[name] for name in sorted(files, key=lambda name: (name == newest, name))}


def ends_of(data: bytes) -> dict[int, int]:
    """Where records end, and up to which they count: a batch only with its end."""
    ends = {}
    counts, batch = 0, False
    for at, sequence, _, kind, flags, body in records(data, SIZES["header"]):
        batch = KINDS[kind] != "batch end" and (batch or bool(flags))
        counts = counts if batch else sequence
        ends[at + SIZES["frame"] + len(body)] = counts
    return ends


def cut_everywhere(seed: object, steps: int, shape: str, stride: int = 1) -> int:
    """Cut a log at every byte: it recovers exactly to the last whole record. Returns the cuts.

    It is refused instead if a snapshot, which was made later, tells of more.
    """
    clock = ManualClock()
    files = written(clock, seed, steps, shape)
    del files["reach"]  # it would tell of what is cut off
    name, data = files.popitem()
    header = read_header(data)
    assert isinstance(header, tuple)
    before = header[1] - 1
    needed = 0
    snapshot = files.get(f"{name[:9]}.snapshot", b"")
    for _, _, _, kind, _, body in records(snapshot, SIZES["header"]):
        if KINDS[kind] == "end":
            needed = int.from_bytes(body[:8], "little")
    assert bool(needed) == (shape == "behind a snapshot")
    ends = ends_of(data)
    assert len(data) == max(ends) + (100 if shape == "left open" else 0)
    wanted: dict[int, str] = {}
    cuts = range(0, len(data) + 1, stride)
    for cut in cuts:
        disk = disk_of(files | {name: data[:cut]})
        whole = max((counts for end, counts in ends.items() if end <= cut), default=before)
        if whole < needed:
            with pytest.raises(DamagedLogError):
                open_log(HERE, clock, disk, sync="os")
            continue
        with open_log(HERE, clock, disk, sync="os") as c:
            assert c.recovery.sequence == whole
            state = digest(c)
            assert wanted.setdefault(whole, state) == state
    return len(cuts)


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_at_every_byte(seed, shape):
    stride = 1 if shape == "one segment" else 13  # `make faults` cuts all at every byte
    assert cut_everywhere(seed, 30, shape, stride) > 500 // stride


def flip_bits(rng: random.Random, seed: object, flips: int, shape: str) -> dict[str, int]:
    """Flip one bit of a closed log: what came of it. None may pass for what was written."""
    clock = ManualClock()
    files = written(clock, seed, 60, shape)
    with replay(HERE, files=disk_of(files)) as c:
        whole, state, sequence = c.stats().records, digest(c), c.recovery.sequence
    counts = {"refused": 0, "cut": 0, "harmless": 0}
    names = list(files)
    sizes = [len(data) for data in files.values()]
    for _ in range(flips):
        (name,) = rng.choices(names, sizes)
        bit = rng.randrange(len(files[name]) * 8)
        damaged = bytearray(files[name])
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            seen = replay(HERE, files=disk_of(files | {name: bytes(damaged)}))
        except CommandLogError:
            counts["refused"] += 1
            continue
        found = seen.recovery
        if found.torn is None:
            assert (seen.stats().records, digest(seen), found.sequence) == (whole, state, sequence)
            counts["harmless"] += 1
        else:
            counts["cut"] += 1
            # Only the end mark, and what it vouches for is there.
            assert found.sequence == sequence - 1
        seen.close()
    return counts


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_flipped_bits(rng, seed, shape):
    counts = flip_bits(rng, seed, 1000, shape)
    assert counts["refused"] > 700, counts


def test_a_missing_segment_is_named(clock):
    disk = Disk()
    with open_log(HERE, clock, disk, sync="os") as c:
        for _ in range(200):
            c.add(Job("a", b"x" * 1000))
    files = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    assert len(files) > 3
    del files["000000002.cmdlog"]
    with pytest.raises(DamagedLogError, match=r"000000002\.cmdlog.*missing"):
        open_log(HERE, clock, disk_of(files))
    with open_log(HERE, clock, disk_of(files), repair=True) as c:
        assert 100 < len(c.jobs("a")) < 200


def test_a_reordered_segment_is_named(clock):
    disk = Disk()
    with open_log(HERE, clock, disk, sync="os") as c:
        for _ in range(200):
            c.add(Job("a", b"x" * 1000))
    files = {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}
    one, two = "000000001.cmdlog", "000000002.cmdlog"
    files[one], files[two] = files[two], files[one]
    with pytest.raises(DamagedLogError, match="the header of segment 2"):
        open_log(HERE, clock, disk_of(files))


def test_damage_in_the_middle_is_refused_and_repaired(tmp_path, clock, caplog):
    jobs = [Job("a", b"%d" % i) for i in range(20)]
    with open_log(tmp_path / "log", clock) as c:
        for job in jobs:
            c.add(job)
    path = tmp_path / "log" / "000000001.cmdlog"
    data = bytearray(path.read_bytes())
    starts = [at for at, *_ in records(data, SIZES["header"])]
    data[starts[10] + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedLogError) as raised:
        open_log(tmp_path / "log", clock)
    assert (raised.value.path, raised.value.offset) == (path, starts[10])
    assert "checksum" in raised.value.reason
    assert path.read_bytes() == data
    names = {path.name for path in (tmp_path / "log").iterdir()}
    seen = replay(tmp_path / "log", repair=True)
    assert seen.jobs("a") == jobs[:10] + jobs[11:]
    assert [torn.offset for torn in seen.recovery.dropped] == [starts[10]]
    seen.close()
    assert {path.name for path in (tmp_path / "log").iterdir()} == names, "replay only looks"
    with open_log(tmp_path / "log", clock, repair=True) as c:
        assert c.jobs("a") == jobs[:10] + jobs[11:]
        (dropped,) = c.recovery.dropped
        assert dropped.size == starts[11] - starts[10]
    assert f"at byte {starts[10]}, {dropped.size} bytes: damage was left out: " in caplog.text
    copy = tmp_path / "log" / f"000000001.cmdlog.dropped-{starts[10]}"
    assert copy.read_bytes() == data[starts[10] : starts[11]]
    with open_log(tmp_path / "log", clock) as c:
        assert c.jobs("a") == jobs[:10] + jobs[11:]


def test_a_torn_tail_is_reported(tmp_path, clock, caplog):
    with open_log(tmp_path / "log", clock) as c:
        c.add(Job("a"))
    path = tmp_path / "log" / "000000001.cmdlog"
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"half a record")
    with open_log(tmp_path / "log", clock) as c:
        assert c.recovery.torn is not None
        assert (c.recovery.torn.path, c.recovery.torn.offset) == (path, whole)
        assert len(c.jobs("a")) == 1
    (told,) = caplog.messages
    assert told.startswith(f"{path}: at byte {whole}, 13 bytes: the torn end was cut off: ")
    with open_log(tmp_path / "log", clock) as c:
        assert c.recovery.torn is None
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("content", [b"", bytes(64), bytes(4096)])
def test_an_empty_newest_segment_is_fine(tmp_path, clock, content):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
    (tmp_path / "000000002.cmdlog").write_bytes(content)
    with open_log(tmp_path, clock) as c:
        assert c.recovery.torn is None
        assert len(c.jobs("a")) == 1


def test_a_newer_version_has_its_own_message(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
    path = tmp_path / "000000001.cmdlog"
    data = bytearray(path.read_bytes())
    data[8] = 9
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(CommandLogError, match="version 9 of the format"):
        open_log(tmp_path, clock)


def test_a_damaged_snapshot_is_refused(tmp_path, clock):
    with open_log(tmp_path / "log", clock) as c:
        c.add(Job("a", b"x" * 100))
        c.compact()
    (path,) = (tmp_path / "log").glob("*.snapshot")
    data = path.read_bytes()
    for damaged in (data[:-1], data[:100], data[:30], b"", data + b"x", b"x" + data[1:]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedLogError, match="snapshot"):
            open_log(tmp_path / "log", clock)
    path.unlink()
    with pytest.raises(DamagedLogError, match="missing"):
        open_log(tmp_path / "log", clock)
    shutil.rmtree(tmp_path / "log")


def test_both_ways_to_the_checksum_agree(rng):
    assert crc32c(b"123456789") == crc32c(b"123456789", portable=True) == 0xE3069283
    for size in range(200):
        data = rng.randbytes(size)
        assert crc32c(data) == crc32c(data, portable=True)
