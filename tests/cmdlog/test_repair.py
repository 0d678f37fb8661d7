"""repair=True goes on with every log; what it leaves out is reported, and kept in a copy."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from jobqueue import Job, State
from jobqueue.cmdlog import CommandLogError, DamagedLogError, replay
from jobqueue.cmdlog._format import KINDS, SIZES, read_header, records
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, disk_of
from tests.cmdlog.hostile import bodies, framed
from tests.cmdlog.workload import open_log

HERE = Path("log")
FIRST = "000000001.cmdlog"
HEADER = SIZES["header"]
NUMBER = {name: number for number, name in KINDS.items()}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def files_of(disk: Disk) -> dict[str, bytes]:
    return {name: bytes(inode.seen) for name, inode in disk.names_seen.items()}


def refused_then_repaired(files: dict[str, bytes], clock: ManualClock, match: str) -> Disk:
    """Each start without repair is refused, and changes nothing; one with it goes on for good."""
    disk = disk_of(files)
    with pytest.raises(CommandLogError, match=match):
        open_log(HERE, clock, disk)
    assert files_of(disk) == files
    with pytest.raises(CommandLogError, match=match):
        replay(HERE, files=disk)
    with replay(HERE, files=disk, repair=True) as seen:
        dropped = seen.recovery.dropped
    with open_log(HERE, clock, disk, repair=True) as c:
        assert [torn.reason for torn in c.recovery.dropped] == [torn.reason for torn in dropped]
        assert dropped
        c._check()
    with open_log(HERE, clock, disk) as c:
        assert c.recovery.dropped == []
    return disk


@pytest.mark.parametrize("behind_a_snapshot", [False, True])
def test_the_end_of_the_first_holder_of_a_key_is_lost(clock, behind_a_snapshot):
    """Two jobs had the key then, and every start was refused, also one that repairs."""
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        first, second = (Job("a", b"%d" % n, unique=b"k", priority=-n) for n in range(2))
        c.add(first)
        if behind_a_snapshot:
            c.compact()
        c.complete(first, b"done")
        c.add(second)
    files = files_of(disk)
    name = max(name for name in files if name.endswith(".cmdlog"))
    data = bytearray(files[name])
    (at,) = (at for at, _, _, kind, *_ in records(data, HEADER) if kind == NUMBER["state"])
    data[at + 50] ^= 1
    disk = refused_then_repaired(files | {name: bytes(data)}, clock, "damaged")
    with open_log(HERE, clock, disk) as c:
        assert c.jobs("a") == [second]
        assert first.id not in c.registry
    copies = [name for name in files_of(disk) if name.startswith("job-")]
    assert copies == [f"job-{bytes(first.id).hex()}.dropped"]
    assert bytes(first.id) in files_of(disk)[copies[0]]


def test_of_two_with_one_key_the_one_that_was_kicked_last_stays(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        first, second = (Job("a", b"%d" % n, unique=b"k") for n in range(2))
        c.add(first)
        c.fail(first)
        c.add(second)
        c.complete(second)
        c.kick(first)
    data = files_of(disk)[FIRST]
    parts = bodies(data)
    done = [n for n, (kind, _, body) in enumerate(parts) if body[:16] == bytes(second.id)][-1]
    del parts[done]
    files = {FIRST: framed(data[:HEADER], parts)}
    disk = refused_then_repaired(files, clock, "has the key of a later one")
    with open_log(HERE, clock, disk) as c:
        assert c.jobs("a") == [first]


def hurt(body: bytes, kind: int) -> bytes:
    """A body that no release ever wrote."""
    if kind == NUMBER["job"]:
        return body[:32] + bytes(8) + body[40:]  # a ttr and a ttl of 0
    if kind == NUMBER["pause"]:
        return body[:1] + b"Color.RED!"
    return body[:-1]


@pytest.mark.parametrize("kind", ["job", "state", "gone", "clock", "pause"])
def test_a_sound_record_that_says_nothing_sound_is_set_aside(clock, kind):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        jobs = [Job("a", b"%d" % n) for n in range(6)]
        for job in jobs:
            c.add(job)
        c.pause("b")
        c.lease("a", 0)
        c.delete(jobs[5])
        clock.step(7000)
        c.complete(jobs[4])
    data = files_of(disk)[FIRST]
    parts = bodies(data)
    at = next(n for n, (number, *_) in enumerate(parts) if number == NUMBER[kind])
    parts[at] = (parts[at][0], parts[at][1], hurt(parts[at][2], NUMBER[kind]))
    disk = refused_then_repaired({FIRST: framed(data[:HEADER], parts)}, clock, "damaged at byte")
    (copy,) = (data for name, data in files_of(disk).items() if "dropped" in name)
    assert copy.endswith(parts[at][2])
    with open_log(HERE, clock, disk) as c:
        there = {record.job.payload for record in c.registry}
        assert there >= {b"1", b"2", b"3", b"4"}


def test_of_a_batch_only_what_says_nothing_sound_is_set_aside(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        jobs = [Job("a", b"%d" % n) for n in range(5)]
        c.add_many(jobs)
        c.add(Job("a", b"after"))
    data = files_of(disk)[FIRST]
    parts = bodies(data)
    parts[2] = (*parts[2][:2], hurt(parts[2][2], NUMBER["job"]))
    disk = refused_then_repaired({FIRST: framed(data[:HEADER], parts)}, clock, "in a batch")
    with open_log(HERE, clock, disk) as c:
        assert [job.payload for job in c.jobs("a")] == [b"0", b"1", b"3", b"4", b"after"]


def test_a_batch_that_damage_cuts_in_two_did_happen(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        c.add_many([Job("a", b"%d" % n) for n in range(5)])
        c.add(Job("a", b"after"))
    files = files_of(disk)
    data = bytearray(files[FIRST])
    starts = [at for at, *_ in records(data, HEADER)]
    for lost, left in ((2, "0134"), (5, "01234")):
        broken = bytearray(data)
        broken[starts[lost] + 30 if lost < 5 else starts[lost]] ^= 1
        disk = refused_then_repaired(files | {FIRST: bytes(broken)}, clock, "damaged at byte")
        with open_log(HERE, clock, disk) as c:
            assert [job.payload.decode() for job in c.jobs("a")] == [*left, "after"]


def test_what_a_snapshot_says_wrong_is_set_aside(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        c.add_many([Job("a", b"%d" % n) for n in range(5)])
        c.compact()
    files = files_of(disk)
    (name,) = (name for name in files if name.endswith(".snapshot"))
    parts = bodies(files[name])
    parts[2] = (*parts[2][:2], hurt(parts[2][2], NUMBER["job"]))
    disk = refused_then_repaired(
        files | {name: framed(files[name][:HEADER], parts)}, clock, "wrong ttr or ttl"
    )
    with open_log(HERE, clock, disk) as c:
        assert len(c.jobs("a")) == 4


def test_a_forgotten_closing_does_no_harm(tmp_path, clock):
    """How far the log was is a lower bound: an older one, none, or one that is damaged will do."""
    reaches = []
    for n in range(3):
        with open_log(tmp_path, clock) as c:
            c.add(Job("a", b"%d" % n))
        reaches.append((tmp_path / "reach").read_bytes())
    for reach in (reaches[0], reaches[1], b"", b"x" * 48, None):
        if reach is None:
            (tmp_path / "reach").unlink()
        else:
            (tmp_path / "reach").write_bytes(reach)
        with replay(tmp_path) as seen:
            assert len(seen.jobs("a")) == 3


@pytest.mark.parametrize("harm", ["gone", "empty", "zeros", "cut", "no header", "all gone"])
def test_harm_to_the_last_segment_after_a_clean_close_is_noticed(tmp_path, clock, harm):
    """It was taken for a torn end: the start went on as if the jobs had never been."""
    with open_log(tmp_path / "log", clock) as c:
        c.add(Job("a"))
        if harm != "all gone":
            c.compact()
        c.add(Job("a"))
    path = max((tmp_path / "log").glob("*.cmdlog"))
    data = path.read_bytes()
    match harm:
        case "gone" | "all gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(len(data)))
        case "cut":
            *_, last = (at for at, *_ in records(data, HEADER))
            path.write_bytes(data[:last])
        case "no header":
            path.write_bytes(bytes(HEADER) + data[HEADER:])
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    with pytest.raises(DamagedLogError):
        open_log(tmp_path / "log", clock)
    with pytest.raises(DamagedLogError):
        replay(tmp_path / "log")
    left = {"no header": 2, "cut": 2, "all gone": 0}.get(harm, 1)
    with open_log(tmp_path / "log", clock, repair=True) as c:
        assert len(c.jobs("a")) == left
        assert c.recovery.dropped
        c.add(Job("a"))
    with open_log(tmp_path / "log", clock) as c:
        assert len(c.jobs("a")) == left + 1


def test_after_a_kill_a_segment_that_never_began_is_no_damage(clock):
    disk = Disk()
    c = open_log(HERE, clock, disk)
    c.add(Job("a"))
    left = files_of(disk) | {"000000002.cmdlog": bytes(1000)}
    c.close()
    with open_log(HERE, clock, disk_of(left)) as c:
        assert len(c.jobs("a")) == 1


def test_replay_up_to_a_time_before_the_snapshot_says_so(tmp_path, clock):
    """It answered with the state of the snapshot: jobs that were not there yet."""
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
        clock.advance(10_000)
        before = clock.now
        clock.advance(10_000)
        c.add(Job("a"))
        c.compact()
        at = clock.now
        clock.advance(10_000)
        between = clock.now
        clock.advance(10_000)
        c.add(Job("a"))
    with pytest.raises(CommandLogError, match=r"snapshot is of 2026-01-01T00:00:20\.000"):
        replay(tmp_path, until=before)
    with pytest.raises(CommandLogError, match="not in the log any more"):
        replay(tmp_path, until=at - timedelta(milliseconds=1), repair=True)
    with replay(tmp_path, until=between) as seen:
        assert len(seen.jobs("a")) == 2
    with replay(tmp_path) as seen:
        assert len(seen.jobs("a")) == 3


def test_a_log_of_version_1_goes_on_in_version_2(tmp_path, clock):
    old = Path(__file__).parents[1] / "golden" / "version_1"
    for path in old.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "state.txt").unlink()
    with open_log(tmp_path, clock) as c:
        c.add(Job("a", b"new"))
        salt = c._log.journal.salt
    headers = [read_header(path.read_bytes()) for path in sorted(tmp_path.glob("*.cmdlog"))]
    assert [(header.version, header.salt) for header in headers] == [(1, 0), (2, salt)]
    with open_log(tmp_path, clock) as c:
        assert c.peek("a").payload == b"new"
        assert {record.state for record in c.registry} >= {State.COMPLETED, State.FAILED}
        c.compact()
    assert [read_header(p.read_bytes()).version for p in tmp_path.glob("*.snapshot")] == [2]
