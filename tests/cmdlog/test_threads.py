"""Threads that share a command log: what was acknowledged is on the disk, whoever synced it."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobqueue import ClosedError, Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until
from tests.cmdlog.disk import Disk, disk_of
from tests.cmdlog.workload import open_log

HERE = Path("log")
THREADS = 4


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_call_returns_when_its_record_is_on_the_disk():
    """Also if it was half written when the sync began that another thread made for all, and if
    another thread took the room that was there for it."""
    clock, disk = ManualClock(), Disk()
    seen: list[tuple[Job, dict[str, bytes]]] = []

    def add() -> None:
        for _ in range(12):
            job = Job("a", bytes(400_000))
            c.add(job)
            with disk.lock_all:
                seen.append((job, {name: inode.kept for name, inode in disk.names_kept.items()}))
            c.delete(job)

    with open_log(HERE, clock, disk, segment_size=4 << 20) as c:
        for call in [Call(add) for _ in range(THREADS)]:
            call.outcome()
    for job, kept in seen:
        with open_log(HERE, clock, disk_of(kept)) as c:
            assert c.registry.record(job) is not None


def until_closed(begun: threading.Barrier, act: Callable[..., None], *args: Any) -> None:
    begun.wait()
    try:
        while True:
            act(*args)
    except ClosedError:
        pass


def add(c: DurableController, size: int, taken: list[Job]) -> None:
    job = Job("a", bytes(size))
    c.add(job)
    taken.append(job)


@pytest.mark.parametrize("sync", ["always", "os"])
def test_what_is_added_while_another_thread_closes_is_kept_or_refused(sync):
    for number in range(20):
        clock, disk = ManualClock(), Disk()
        c = open_log(HERE, clock, disk, sync=sync)
        begun = threading.Barrier(THREADS)
        taken: list[Job] = []
        size = 1000 * (number % 3)
        calls = [Call(until_closed, begun, add, c, size, taken) for _ in range(THREADS - 1)]
        begun.wait()
        wait_until(lambda taken=taken, least=3 * number: len(taken) >= least)
        c.close()
        for call in calls:
            call.outcome()
        with open_log(HERE, clock, disk) as again:
            assert {job.id for job in taken} <= {job.id for job in again.jobs("a", 0, 10**6)}


def pause(c: DurableController, paused: list[str]) -> None:
    name = f"q{len(paused)}"
    c.pause(name)
    paused.append(name)


def test_a_queue_that_is_paused_while_another_thread_closes_is_paused_or_the_call_refused():
    for _ in range(100):
        clock, disk = ManualClock(), Disk()
        c = open_log(HERE, clock, disk)
        begun = threading.Barrier(2)
        paused: list[str] = []
        call = Call(until_closed, begun, pause, c, paused)
        begun.wait()
        c.close()
        call.outcome()
        with open_log(HERE, clock, disk) as again:
            assert all(again.is_paused(name) for name in paused)


def compact(c: DurableController) -> None:
    try:
        c.compact()
    except CommandLogError:
        assert c.closed


def test_segments_come_and_go_while_others_count_their_bytes():
    looking = True

    def look() -> None:
        while looking:
            assert c._log.bytes_used > 0

    with open_log(HERE, ManualClock(), Disk(), sync="os") as c:
        call = Call(look)
        for n in range(150):
            job = Job("a", bytes(30_000))
            c.add(job)
            if n % 20:
                c.delete(job)
        looking = False
        call.outcome()
        assert c._log.number > 40


def test_who_compacts_while_another_thread_closes_leaves_no_file_behind():
    for _ in range(20):
        clock, disk = ManualClock(), Disk()
        c = open_log(HERE, clock, disk)
        c.add_many([Job("a") for _ in range(100)])
        begun = threading.Barrier(2)
        call = Call(until_closed, begun, compact, c)
        begun.wait()
        c.close()
        call.outcome()
        assert not [name for name in disk.names_seen if name.endswith(".tmp")]
        assert not disk.open


def test_records_that_outlive_their_controller_are_noted_nowhere():
    c = open_log(HERE, ManualClock(), Disk(), sync="os")
    job = Job("a")
    c.add(job)
    registry = c.registry
    del c
    gc.collect()
    record = registry.record(job)
    assert record is not None
    assert record.write_result(b"x", True)
    assert registry.delete(job)
