"""What went wrong with the command log of the original, one test each; it must not happen here."""

from pathlib import Path

import pytest

from jobqueue import Job, WaitTimeoutError
from jobqueue.cmdlog import CommandLogError
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call
from tests.cmdlog.disk import Disk
from tests.cmdlog.workload import digest, open_log

HERE = Path("log")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_deleted_jobs_come_back_after_cleaning_and_restart(tmp_path, clock):
    """Its cleaner dropped the deletion with its segment, and kept the addition."""
    with open_log(tmp_path, clock, sync="os") as c:
        jobs = [Job("a", bytes(1000)) for _ in range(300)]
        for job in jobs:
            c.add(job)
        assert c._log.number > 2  # additions and deletions lie in different segments
        for job in jobs[:-1]:
            c.delete(job)
        c.compact()
        c.compact()
    assert not (tmp_path / "000000001.cmdlog").exists()
    for _ in range(2):
        with open_log(tmp_path, clock) as c:
            assert c.jobs("a") == jobs[-1:]


def test_contended_ttr_time_outs_make_the_log_unreplayable(tmp_path, clock):
    """It noted calls in another order than it applied them; replay met other choices."""
    with open_log(tmp_path, clock, sync="os") as c:
        c.add_many([Job("a", ttr=10, max_attempts=5) for _ in range(50)])

        def contend() -> None:
            for _ in range(200):
                try:
                    leased = c.lease_many("a", 5, 0)
                except WaitTimeoutError:
                    leased = []
                for job in leased:
                    record = c.registry.record(job)
                    if record is not None and not record.processed():
                        c.timeout_attempt(job)

        calls = [Call(contend) for _ in range(4)]
        for _ in range(200):
            clock.advance(10)
        for call in calls:
            call.outcome()
        before = digest(c)
    for _ in range(6):
        with open_log(tmp_path, clock) as c:
            c._check()
            assert digest(c) == before


@pytest.mark.parametrize("torn", [1, 5, 21, 30])
def test_a_torn_tail_stops_the_start(tmp_path, clock, torn):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
    path = tmp_path / "000000001.cmdlog"
    data = path.read_bytes()
    path.write_bytes(data + data[64 : 64 + torn])
    with open_log(tmp_path, clock) as c:
        assert c.recovery.torn is not None
        assert len(c.jobs("a")) == 1
        c.add(Job("a"))


def test_an_empty_newest_segment_stops_the_start(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))
    (tmp_path / "000000002.cmdlog").touch()
    with open_log(tmp_path, clock) as c:
        assert len(c.jobs("a")) == 1


def test_after_a_full_disk_it_stays_read_only_and_the_next_start_fails(clock):
    disk = Disk()
    with open_log(HERE, clock, disk) as c:
        c.add(Job("a"))
        disk.fail_at, disk.failing = disk.calls + 1, True
        with pytest.raises(CommandLogError):
            c.add(Job("a", bytes(100_000)))
        disk.fail_at = None
        c.add(Job("a"))
        assert len(c.jobs("a")) == 2
    with open_log(HERE, clock, disk) as c:
        assert len(c.jobs("a")) == 2
