"""A start finds leases of a process that is gone, jobs that expired, and clocks that are wrong."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobqueue import Job, LeaseExpiredError, RunResult, State
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from tests.cmdlog.disk import Disk, disk_of
from tests.cmdlog.test_repair import files_of

HERE = Path("log")
DAY = timedelta(days=1)


def opened(clock: ManualClock, disk: Disk, **options) -> DurableController:
    return DurableController(HERE, clock=clock, files=disk, segment_size=64 << 10, **options)


def left_by(disk: Disk, c: DurableController) -> Disk:
    """What a kill leaves."""
    left = disk.cut(random.Random(0))
    c.close()
    return left


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_leases_of_the_process_that_is_gone_are_over_at_once(clock):
    disk = Disk()
    c = opened(clock, disk)
    jobs = [Job("a", b"%d" % n, max_attempts=n) for n in range(3)]
    c.add_many(jobs)
    c.lease_many("a", 3, 0)
    with opened(clock, left_by(disk, c)) as c:
        assert c.recovery.leases == 3
        assert c.stats().timed_out == 3
        assert c.jobs("a") == [jobs[0], jobs[2]]  # its old place in line
        assert c.dead("a") == [jobs[1]]  # that was its only attempt
        assert c.result(jobs[1], 0) == RunResult(False, b"")
        with pytest.raises(LeaseExpiredError):
            c.complete(jobs[0], attempt=1)
        assert c.registry.record(jobs[0]).attempts == 1


def test_that_they_are_over_is_in_the_log(clock):
    disk = Disk()
    with opened(clock, disk) as c:
        c.add(Job("a"))
        c.lease("a", 0)
    with opened(clock, disk) as c:
        assert c.recovery.leases == 1
    with opened(clock, disk, keep_leases=True) as c:
        assert (c.recovery.leases, c.stats().ready) == (0, 1)


def test_they_may_go_on_with_the_ttr_they_had_left(clock):
    disk = Disk()
    with opened(clock, disk) as c:
        c.add(Job("a", ttr=1000))
        job = c.lease("a", 0)
        clock.advance(400)
    clock.advance(500)
    with opened(clock, disk, keep_leases=True) as c:
        assert (c.recovery.leases, c.stats().running) == (0, 1)
        clock.advance(99)
        c.touch(job, attempt=1)
        clock.advance(1000)
        assert c.stats().running == 0


@pytest.mark.parametrize("year", [1970, 2025])
@pytest.mark.parametrize("keep_leases", [False, True])
def test_a_clock_that_is_behind_at_the_start_extends_no_deadline(year, keep_leases):
    """A lease went on until 2028, and a TTL of two minutes took as long."""
    disk = Disk()
    clock = ManualClock(datetime(2026, 11, 28, tzinfo=UTC))
    with opened(clock, disk) as c:
        job = Job("a", ttr=60_000, ttl=120_000)
        c.add(job)
        c.lease("a", 0)
    clock = ManualClock(datetime(year, 1, 2, tzinfo=UTC))  # wrong for a minute after booting
    with opened(clock, disk, keep_leases=keep_leases) as c:
        assert c.stats().running == keep_leases
        clock.advance(59_999)
        assert c.stats().running == keep_leases
        clock.step(datetime(2026, 11, 28, 0, 5, tzinfo=UTC) - clock.now)  # now it is set
        clock.advance(1)
        assert (c.stats().running, c.peek("a")) == (0, job)
        clock.advance(60_000)
        assert c.dead("a") == [job]


def test_a_deadline_that_was_brought_nearer_stays_there_at_the_next_start():
    """The log told of the old one: each start extended it anew."""
    disk = Disk()
    clock = ManualClock(datetime(2026, 11, 28, tzinfo=UTC))
    with opened(clock, disk) as c:
        job = Job("a", ttl=10_000)
        c.add(job)
    clock = ManualClock(datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(5):
        with opened(clock, disk) as c:
            assert c.jobs("a") == [job]
        clock.advance(2000)
    with opened(clock, disk) as c:
        assert (c.jobs("a"), c.dead("a")) == ([], [job])


def test_a_clock_that_is_ahead_at_the_start_loses_no_job():
    disk = Disk()
    clock = ManualClock(datetime(2026, 11, 28, tzinfo=UTC))
    with opened(clock, disk) as c:
        job = Job("a", ttl=120_000)
        c.add(job)
    with opened(ManualClock(datetime(2106, 2, 7, tzinfo=UTC)), disk) as c:
        assert (c.recovery.expired, c.dead("a")) == (1, [job])
        c.kick(job)
        assert c.peek("a") == job


def test_jobs_that_expired_while_nothing_ran_are_kept_and_told_of(clock):
    disk = Disk()
    with opened(clock, disk) as c:
        waiting, leased, done = Job("a", ttl=1000), Job("b", ttl=1000), Job("c", ttl=1000)
        c.add_many([waiting, leased, done])
        c.lease("b", 0)
        c.complete(done)
    clock.advance(30 * DAY)
    with opened(clock, disk) as c:
        assert c.recovery.expired == 2
        assert (c.dead("a"), c.dead("b"), c.stats().records) == ([waiting], [leased], 2)
        assert c.registry.record(waiting).result == b"expired"
        clock.advance(7 * DAY - timedelta(milliseconds=1))
        assert c.stats().dead == 2
    with opened(clock, disk) as c:  # how long they are kept is in the log
        assert (c.recovery.expired, c.stats().dead) == (0, 2)
        clock.advance(1)
        assert c.stats().records == 0


def test_they_may_be_forgotten_as_well(clock):
    disk = Disk()
    with opened(clock, disk) as c:
        c.add(Job("a", ttl=1000))
    clock.advance(1000)
    with opened(clock, disk, keep_expired=0) as c:
        assert (c.recovery.expired, c.stats().records) == (1, 0)


def test_a_shorter_time_to_keep_is_of_this_start(clock):
    disk = Disk()
    with opened(clock, disk) as c:
        job = Job("a", ttl=1000)
        c.add(job)
        clock.advance(1000)
        assert c.registry.record(job).state == State.FAILED
    with opened(clock, disk, keep_expired=5000) as c:
        clock.advance(4999)
        assert c.dead("a") == [job]
        clock.advance(1)
        assert c.stats().records == 0


def test_a_kill_between_expiry_and_the_next_sync_loses_nothing(clock):
    disk = Disk()
    c = opened(clock, disk)
    job = Job("a", ttl=1000)
    c.add(job)
    before = files_of(disk)
    clock.advance(1000)
    c.close()
    with opened(clock, disk_of(before)) as c:
        assert (c.dead("a"), c.recovery.expired) == ([job], 1)
