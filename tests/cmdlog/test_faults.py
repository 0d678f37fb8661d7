"""Power that goes, disks that are full, syncs that fail: on a disk in memory."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, FakeMapped, disk_of
from tests.cmdlog.workload import Workload, digest, open_log

HERE = Path("log")
STEPS = 25

# The log's own thread compacts when it sees fit, and tells on sys.unraisablehook that it could not.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <bound method Log._keep:pytest.PytestUnraisableExceptionWarning"
)


# In one call to the disk only whole calls may be lost; a step of the wall clock is known from what
# is noted next.
WITHOUT = ("lease_many", "step_clock")


def power_cut(seed: object) -> None:
    """Work until the power goes at some call to the disk: what was acknowledged is there.

    Expired jobs are not kept: how long they are counts from when they are found expired, which may
    be at the next start.
    """
    rng = random.Random(f"{seed}")
    clock = ManualClock()
    disk = Disk()
    disk.rng = rng
    work = Workload(open_log(HERE, clock, disk, keep_expired=0), clock, rng.random(), WITHOUT)
    for _ in range(rng.randrange(2)):  # a log that has been opened before
        for _ in range(5):
            work.step()
        work.controller.close()
        work.controller = open_log(HERE, clock, disk, keep_expired=0)
    disk.cut_at = disk.calls + rng.randrange(1, 2 * STEPS)
    big = rng.random() < 0.3
    actions = [work.step, lambda: work.controller.add(Job("big", rng.randbytes(9000)))]
    before = after = digest(work.controller)
    while disk.copy is None:
        before = digest(work.controller)  # time has made changes of its own
        if rng.random() < 0.03:
            work.controller.compact()
        else:
            actions[big and rng.random() < 0.5]()
        after = digest(work.controller)
    work.controller.close()
    with open_log(HERE, clock, disk.copy, keep_expired=0) as c:
        c._check()
        assert digest(c) in (before, after), f"seed {seed}"


def power_cut_later(seed: object) -> None:
    """The same without syncs of each call: all up to the last sync is there, and no hole."""
    rng = random.Random(f"{seed}")
    clock = ManualClock()
    disk = Disk()
    work = Workload(open_log(HERE, clock, disk, sync="os"), clock, rng.random())
    journal = work.controller._log.journal
    for _ in range(STEPS):
        if rng.random() < 0.1:
            journal.settle(work.controller._log._sync)
        if rng.random() < 0.03:
            work.controller.compact()
        if rng.random() < 0.2:
            work.controller.add(Job("big", rng.randbytes(9000)))
        work.step()
    synced = journal.synced  # the log's own thread goes on meanwhile
    left = disk.cut(rng)
    sequence = journal.sequence
    work.controller.close()
    with open_log(HERE, clock, left, sync="os") as c:
        c._check()
        assert synced - 1 <= c.recovery.sequence <= sequence, f"seed {seed}"
        before = digest(c)
    with open_log(HERE, clock, left) as c:
        assert digest(c) == before


@pytest.mark.parametrize("cut", [power_cut, power_cut_later])
def test_power_cuts(seed, cut):
    for number in range(250):
        cut(f"{seed} {number}")


def fail_once(seed: object, fail_at: int, *, failing: bool) -> bool:
    """Let a call to the disk fail. Returns whether there was one."""
    rng = random.Random(f"{seed}")
    clock = ManualClock()
    disk = Disk()
    still = ("advance", "step_clock")  # so that all changes are those of calls
    work = Workload(open_log(HERE, clock, disk), clock, rng.random(), still)
    disk.fail_at, disk.failing = disk.calls + fail_at, failing
    acknowledged = digest(work.controller)
    raised = 0
    for step in range(STEPS):
        try:
            work.controller.add(Job("big", bytes(9000)))
            acknowledged = digest(work.controller)
            if step % 8 == 7:
                work.controller.compact()
            work.step()
        except CommandLogError:
            raised += 1
            if work.controller._log._why is None:  # full: nothing changed
                assert digest(work.controller) == acknowledged
            continue
        acknowledged = digest(work.controller)
    happened = disk.calls >= disk.fail_at
    assert raised or not happened or not failing, "nobody was told"
    disk.fail_at = None
    stopped = work.controller._log._why is not None
    if happened and not failing and not stopped:
        work.controller.add(Job("after"))  # there is room again
        acknowledged = digest(work.controller)
    work.controller.close()
    with open_log(HERE, clock, disk) as c:
        c._check()
        assert digest(c) == acknowledged
    return happened


@pytest.fixture
def flusher_may_fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log's own thread tells of a compaction that failed, and of nothing else."""
    told: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: told.append(report.exc_value))
    yield
    assert all(isinstance(error, CommandLogError) for error in told), told


@pytest.mark.usefixtures("flusher_may_fail")
def test_each_call_to_the_disk_fails_once(seed):
    fail_at = 1
    while fail_once(seed, fail_at, failing=False):
        fail_at += 1
    assert fail_at > 30


@pytest.mark.usefixtures("flusher_may_fail")
def test_each_call_to_the_disk_fails_and_all_after_it(seed):
    fail_at = 1
    while fail_at < 200 and fail_once(seed, fail_at, failing=True):
        fail_at += 1
    assert fail_at > 30


def test_each_call_of_a_start_fails(seed):
    clock = ManualClock()
    for fail_at in range(1, 40):
        disk = Disk()
        work = Workload(open_log(HERE, clock, disk), clock, seed)
        for _ in range(20):
            work.step()
        before = digest(work.controller)
        work.controller.close()
        disk.fail_at = disk.calls + fail_at
        try:
            open_log(HERE, clock, disk).close()
        except CommandLogError:
            pass
        else:
            break
        disk.fail_at = None
        with open_log(HERE, clock, disk) as c:
            assert digest(c) == before
    assert fail_at > 3


def test_after_a_failed_sync_the_log_takes_no_changes_until_it_is_opened_again():
    clock = ManualClock()
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        kept = Job("a")
        c.add(kept)
        disk.fail_at = disk.calls + 1
        with pytest.raises(CommandLogError, match="opened again"):
            c.add(Job("a"))
        disk.fail_at = None
        for change in (lambda: c.add(Job("a")), lambda: c.lease("a", 0), lambda: c.pause("a")):
            with pytest.raises(CommandLogError, match="no changes"):
                change()
        assert c.peek("a") == kept
    with open_log(HERE, clock, disk) as c:
        assert c.jobs("a") == [kept]


def test_a_full_disk_refuses_calls_and_service_resumes_when_there_is_room():
    clock = ManualClock()
    disk = Disk()
    with open_log(HERE, clock, disk, sync="os") as c:
        disk.fail_at, disk.failing = disk.calls + 1, True
        taken = []
        with pytest.raises(CommandLogError, match="no space left"):
            while True:
                job = Job("a", bytes(1000))
                c.add(job)
                taken.append(job)
        assert c.jobs("a") == taken
        with pytest.raises(CommandLogError, match="no space left"):
            c.add(Job("a", bytes(100_000)))
        disk.fail_at = None
        more = Job("a")
        c.add(more)
    with open_log(HERE, clock, disk) as c:
        assert c.jobs("a") == [*taken, more]


def test_a_segment_that_could_be_neither_finished_nor_removed_is_made_anew():
    clock = ManualClock()
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        disk.fail_at, disk.failing = disk.calls + 2, True  # all after its file is there
        with pytest.raises(CommandLogError, match="at unlink"):
            c.add(Job("a", bytes(100_000)))
        disk.fail_at = None
        job = Job("a", bytes(100_000))
        c.add(job)
    with open_log(HERE, clock, disk) as c:
        assert c.jobs("a") == [job]


def test_time_goes_on_while_the_disk_is_full():
    """What timers do needs no room beforehand: it waits in memory until there is some.

    All is in the first segment: there is no thread yet that syncs what is full.
    """
    clock = ManualClock()
    disk = Disk()
    with open_log(HERE, clock, disk, sync="os", segment_size=1 << 20) as c:
        for _ in range(700):
            c.add(Job("a", ttr=1000, max_attempts=1))
        leased = [c.lease("a", 0) for _ in range(700)]
        journal = c._log.journal
        while journal.end - journal.position > 10_000:
            c.add(Job("b", bytes(1000)))
        disk.fail_at, disk.failing = disk.calls + 1, True
        clock.advance(1000)
        assert journal.spill_size > 0
        with pytest.raises(CommandLogError, match="no room"):
            c.add(Job("b"))
        assert c.dead("a") == leased
        disk.fail_at = None
        c.add(Job("b"))
        before = digest(c)
    with open_log(HERE, clock, disk) as c:
        assert digest(c) == before


@pytest.mark.parametrize("sync", ["always", "os"])
def test_a_lease_at_the_end_of_a_long_chain_of_hand_offs_is_kept(sync):
    """There was room for one; the rest is brought into a new segment before the call returns."""
    clock = ManualClock()
    disk = Disk()
    with open_log(HERE, clock, disk, sync=sync) as c:
        c.pause("a")
        waiters = [c.lease_begin("a", 60_000, callable) for _ in range(300)]
        c.add_many([Job("a") for _ in waiters])
        journal = c._log.journal
        while journal.end - journal.position > 10_000:
            c.add(Job("b", bytes(1000)))
        number = c._log.number
        c.resume("a")
        assert (journal.spill_size, c._log.number) == (0, number + 1)
        left = {
            name: inode.kept if sync == "always" else bytes(inode.seen)
            for name, inode in disk.names_kept.items()
        }
        for waiter in waiters:
            c.wait_finish(waiter, None, 60_000)
    with open_log(HERE, clock, disk_of(left)) as c:
        assert c.stats().running == len(waiters)


def test_more_finds_no_room_while_a_segment_is_made_than_it_holds():
    clock = ManualClock()
    disk = Disk()
    name = "a" * 200  # what lives takes most of the log: nobody compacts it

    def create(path: Path | str, size: int) -> FakeMapped:
        clock.advance(1000)
        return Disk.create_mapped(disk, path, size)

    with open_log(HERE, clock, disk, sync="os") as c:
        for _ in range(1500):
            c.add(Job(name, ttr=1000, max_attempts=1))
        leased = [c.lease(name, 0) for _ in range(1500)]
        disk.create_mapped = create
        number = c._log.number
        while c._log.number == number:
            c.add(Job(name))
        assert c.dead(name, 0, 1500) == leased
        before = digest(c)
    with open_log(HERE, clock, disk) as c:
        assert digest(c) == before


def test_a_step_of_the_clock_that_only_a_header_tells_of_is_kept():
    """The segment was removed, since it held no record, and with it what had been read from it."""
    power_cut_later("1129625905 5150")
