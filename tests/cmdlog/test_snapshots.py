"""A snapshot is read while the engine changes: what comes back is what was there.

All in one thread, so that a seed repeats it: the disk lets verbs run at each write of a snapshot.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from jobqueue import Controller, Job
from jobqueue.cmdlog import DurableController, _log
from jobqueue.cmdlog._format import KINDS, SIZES, records
from jobqueue.cmdlog._journal import Scan
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, FakeAppended, Inode
from tests.cmdlog.workload import Workload, digest, open_log

HERE = Path("log")


class BusyDisk(Disk):
    """Calls ``between`` at each write of a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Any = lambda: None

    def create(self, path: Path) -> Any:
        super().create(path)
        return BusyFile(self, self.names_seen[path.name])


class BusyFile(FakeAppended):
    disk: BusyDisk

    def __init__(self, disk: BusyDisk, inode: Inode) -> None:
        super().__init__(disk, inode)

    def write(self, data: bytes) -> None:
        super().write(data)
        self.disk.between()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> BusyDisk:
    monkeypatch.setattr(_log, "SCAN_SLOTS", 4)
    monkeypatch.setattr(_log, "SNAPSHOT_AT", 1e9)  # none but those that are asked for
    return BusyDisk()


def snapshots_under_work(disk: BusyDisk, seed: object) -> None:
    rng = random.Random(f"{seed}")
    clock = ManualClock()
    work = Workload(open_log(HERE, clock, disk, sync="os"), clock, rng.random())
    work.remembered = rng.choice([40, 1000])
    for _ in range(rng.randrange(400)):
        work.step()
    busy = rng.choice([1, 5, 40])

    def between() -> None:
        for _ in range(rng.randrange(busy + 1)):
            work.step()

    for _ in range(3):
        disk.between = between
        work.controller.compact()
        disk.between = lambda: None
        for _ in range(rng.randrange(30)):
            work.step()
        before = digest(work.controller)
        work.controller.close()
        work.controller = open_log(HERE, clock, disk, sync="os")
        work.controller._check()
        assert digest(work.controller) == before, f"seed {seed}"
    work.controller.close()


def test_snapshots_while_verbs_run(disk, seed):
    for number in range(60):
        disk.names_seen.clear()
        disk.names_kept.clear()
        snapshots_under_work(disk, f"{seed} {number}")


# ---------------------------------------------------------------- what was found, by name


def dead_jobs(c: DurableController, count: int) -> list[Job]:
    """Jobs that failed in an order that is not that of the table of jobs."""
    jobs = [Job("a") for _ in range(count)]
    c.add_many(jobs)
    for job in jobs:
        c.fail(job)
    return jobs


def writes(disk: BusyDisk, c: DurableController, action: Any, *, at: bytes) -> None:
    """Do something once a snapshot has written the first record of a kind."""
    done = False

    def between() -> None:
        nonlocal done
        draft = next(n for name, n in disk.names_seen.items() if name.endswith(".tmp"))
        if not done and at in kinds(bytes(draft.seen)):
            done = True
            action()

    disk.between = between
    c.compact()
    disk.between = lambda: None
    assert done


def kinds(data: bytes) -> set[bytes]:
    return {KINDS[kind].encode() for _, _, _, kind, _, _ in records(data, SIZES["header"])}


def check_restart(c: DurableController, clock: ManualClock, disk: BusyDisk) -> None:
    before = digest(c)
    c.close()
    with open_log(HERE, clock, disk) as again:
        assert digest(again) == before


def test_the_table_grows_while_the_dead_are_read(disk, clock):
    """The jobs were read once more then, after the dead, whose order was lost."""
    c = open_log(HERE, clock, disk, sync="os")
    dead_jobs(c, 20)
    writes(disk, c, lambda: c.add_many([Job("b") for _ in range(100)]), at=b"dead")
    check_restart(c, clock, disk)


def test_the_dead_job_at_which_the_reader_pauses_dies_again(disk, clock):
    """It is the last of the dead then, and those between were passed over."""
    c = open_log(HERE, clock, disk, sync="os")
    jobs = dead_jobs(c, 20)

    def kill_again() -> None:
        c.kick(jobs[3])  # four are read at once
        c.fail(jobs[3])

    writes(disk, c, kill_again, at=b"dead")
    check_restart(c, clock, disk)


def rest_of(scan: Scan, slots: int) -> bytes:
    parts = []
    while (part := scan.jobs_next(slots)) is not None:
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("kept", [4000, 500])
def test_the_table_grows_and_shrinks_between_two_looks(kept):
    """No job is passed over: its bucket is a matter of its id and of the size of the table."""
    with Controller() as c:
        jobs = [Job("a") for _ in range(14_000)]
        c.add_many(jobs)
        scan = Scan(c.registry)
        found = scan.jobs_next(10_000)
        assert 1000 < scan.jobs < 13_000
        more = [Job("b") for _ in range(20_000)]
        c.add_many(more)
        c.delete_many(more + jobs[kept:])
        found += rest_of(scan, 10_000)
        assert all(bytes(job.id) in found for job in jobs[:kept])


def test_a_reader_that_is_slower_than_those_who_add_comes_to_an_end():
    with Controller() as c:
        jobs = [Job("a") for _ in range(100)]
        c.add_many(jobs)
        scan = Scan(c.registry)
        parts = []
        while (part := scan.jobs_next(1)) is not None:
            parts.append(part)
            c.add_many([Job("a") for _ in range(20)])
            assert len(parts) <= 64  # as many as there were buckets
        found = b"".join(parts)
        assert all(bytes(job.id) in found for job in jobs)
