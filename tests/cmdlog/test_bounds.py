"""max_log_bytes, and how large a log may grow without it: there is always a way out."""

import sys
import threading
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until
from tests.cmdlog.workload import open_log

BOUND = 1 << 20
SEGMENTS = pytest.mark.parametrize("segment_size", [64 << 10, 256 << 10, 64 << 20])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def disk_bytes(directory: Path) -> int:
    """What the files of a log take from the disk at this moment."""
    size = 0
    for path in directory.iterdir():
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        size += min(found.st_size, getattr(found, "st_blocks", found.st_size) * 512)
    return size


def filled(c: DurableController, size: int = 1000) -> list[Job]:
    """Add jobs until the log takes no more."""
    jobs: list[Job] = []
    with pytest.raises(CommandLogError, match="may take"):
        while True:
            job = Job("a", bytes(size))
            c.add(job)
            jobs.append(job)
    return jobs


@SEGMENTS
def test_a_log_without_living_jobs_never_ends(tmp_path, clock, segment_size):
    with open_log(tmp_path, clock, sync="os", segment_size=segment_size, max_log_bytes=BOUND) as c:
        most = 0
        for number in range(8000):
            job = Job("a", bytes(300))
            c.add(job)
            c.complete(c.lease("a", 0))
            c.delete(job)
            if number % 50 == 0:
                most = max(most, disk_bytes(tmp_path))
        assert most <= BOUND
        assert c._log.compactions > 1
        c.compact()
    with open_log(tmp_path, clock, segment_size=segment_size, max_log_bytes=BOUND) as c:
        assert c.stats().records == 0
        c.add(Job("a"))


@SEGMENTS
def test_a_full_log_is_emptied_by_its_workers_and_full_again(tmp_path, clock, segment_size):
    options = {"sync": "os", "segment_size": segment_size, "max_log_bytes": BOUND}
    with open_log(tmp_path, clock, **options) as c:
        for _ in range(3):
            jobs = filled(c)
            assert 300 < len(jobs) < 520  # the living jobs take nearly half
            assert disk_bytes(tmp_path) <= BOUND
            for job in c.lease_many("a", 100, 0):
                c.complete(job, b"done")
                c.delete(job)
            for job in c.lease_many("a", 50, 0):
                c.release(job)
            done = c.lease_many("a", 50, 0)
            c.complete_many([(job, b"") for job in done])
            c.delete_many(done)
            c.delete_many(c.jobs("a", 0, 1000))
            assert c.stats().records == 0
            assert disk_bytes(tmp_path) <= BOUND


@SEGMENTS
def test_a_full_log_can_be_compacted_closed_and_opened(tmp_path, clock, segment_size):
    options = {"sync": "os", "segment_size": segment_size, "max_log_bytes": BOUND}
    with open_log(tmp_path, clock, **options) as c:
        jobs = filled(c)
        c.compact()
        assert disk_bytes(tmp_path) <= BOUND
    for _ in range(30):
        with open_log(tmp_path, clock, **options) as c:
            assert c.jobs("a", 0, 1000) == jobs
            c.lease("a", 0)
            c.timeout_attempt(jobs[0])
            assert disk_bytes(tmp_path) <= BOUND


def test_a_log_that_is_over_a_lower_bound_still_opens_and_drains(tmp_path, clock):
    with open_log(tmp_path, clock, sync="os") as c:
        c.add_many([Job("a", bytes(1000)) for _ in range(1000)])
    with open_log(tmp_path, clock, sync="os", max_log_bytes=1 << 18) as c:
        more = len(filled(c))
        assert more < 20  # what the beginning of a segment has room for
        c.compact()
        assert len(c.jobs("a", 0, 2000)) == 1000 + more
        c.delete_many(c.jobs("a", 0, 2000)[:500])
        for job in c.jobs("a", 0, 2000):
            c.delete(job)
        c.add(Job("a", bytes(1000)))


def test_a_bound_holds_for_threads_that_all_wait_for_room(tmp_path, clock):
    with open_log(tmp_path, clock, sync="os", max_log_bytes=BOUND) as c:
        over = []

        def work() -> None:
            for _ in range(300):
                jobs = [Job("a", bytes(500)) for _ in range(10)]
                c.add_many(jobs)
                c.delete_many(jobs)
                if disk_bytes(tmp_path) > BOUND:
                    over.append(disk_bytes(tmp_path))

        for call in [Call(work) for _ in range(3)]:
            call.outcome()
        assert not over
        assert c.stats().records == 0


def test_writers_wait_where_the_log_outgrows_its_jobs(tmp_path, clock):
    """Compaction could not keep up with them: a log of 300 MiB held no job."""
    segment = 64 << 10
    with open_log(tmp_path, clock, sync="os", segment_size=segment) as c:
        most = []

        def work() -> None:
            for _ in range(150):
                jobs = [Job("a", bytes(500)) for _ in range(20)]
                c.add_many(jobs)
                c.complete_many([(job, b"r") for job in jobs])
                c.delete_many(jobs)
                most.append(c._log.bytes_used)

        for call in [Call(work) for _ in range(3)]:
            call.outcome()
        assert max(most) < 8 * segment


def test_what_is_noted_is_what_room_is_made_for(tmp_path, clock):
    """One lease_many asked for 4 MiB, add_many for 1 KiB a job."""
    with open_log(tmp_path, clock, sync="os", segment_size=64 << 20, max_log_bytes=BOUND) as c:
        c.add(Job("a"))
        assert len(c.lease_many("a", 10_000, 0)) == 1
        c.add_many([Job("b") for _ in range(1500)])
        c.delete_many(c.jobs("b", 0, 5000))
    with open_log(tmp_path / "small", clock, sync="os") as c:
        for _ in range(20):
            c.add(Job("a"))
            c.lease_many("a", 5000, 0)
        assert c._log.number == 1


def test_many_small_files_are_merged(tmp_path, clock):
    for _ in range(60):
        with open_log(tmp_path, clock) as c:
            pass
    assert len(list(tmp_path.iterdir())) < 25
    with open_log(tmp_path, clock) as c:
        c.add(Job("a"))


def test_a_compaction_that_fails_is_told_to_who_waits_and_stops_nobody(
    tmp_path, clock, monkeypatch
):
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: told.append(report.exc_value))
    segment = 64 << 10
    with open_log(tmp_path, clock, sync="os", segment_size=segment) as c:

        def rename(*_: object) -> None:
            raise OSError(5, "a disk that fails, says the test")

        monkeypatch.setattr(c._log._files, "rename", rename, raising=False)
        with pytest.raises(CommandLogError, match="says the test"):
            c.compact()
        for _ in range(1000):
            c.add(job := Job("a", bytes(1000)))
            c.delete(job)
        assert c._log.compactions == 0
        monkeypatch.undo()
        c.compact()
    assert not list(tmp_path.glob("*.tmp"))
    assert all("says the test" in str(error) for error in told)


# ---------------------------------------------------------------- who waits, and who comes between


def test_a_close_ends_those_who_wait_for_a_compaction(tmp_path, clock, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    c = open_log(tmp_path, clock, sync="os")
    real = c._log._write_snapshot

    def write(*args: object) -> int:
        begun.set()
        assert go_on.wait(60)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(c._log, "_write_snapshot", write)
    calls = [Call(outcome_of, c) for _ in range(3)]
    assert begun.wait(60)
    closing = Call(c.close)
    wait_until(lambda: c._log.segments.shut, "the close")
    go_on.set()
    closing.outcome()
    assert {call.outcome() for call in calls} <= {"ClosedError", "CommandLogError"}


def outcome_of(c: DurableController) -> str:
    try:
        c.compact()
    except Exception as error:  # noqa: BLE001 - its kind is looked at
        return type(error).__name__
    return "done"
