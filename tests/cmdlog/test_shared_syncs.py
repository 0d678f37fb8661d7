"""Callers that wait together share a sync: on a disk whose syncs the test begins and ends."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobqueue import Job
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import PATIENCE_S, Call, wait_until
from tests.cmdlog.disk import Disk
from tests.cmdlog.workload import open_log

HERE = Path("log")
LONG_NS = 3600 * 10**9
SIDES = 8


class HeldDisk(Disk):
    """While it is held, each sync goes on when the test says so, or ends with an error."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        self.sync_count = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error: BaseException | None = None

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        if what == "sync":
            self.sync_count += 1
            if self.is_held:
                self.begun.release()
                assert self.go_on.acquire(timeout=PATIENCE_S), "the test did not end the sync"
                error, self.error = self.error, None
                if error is not None:
                    raise error
        with super().step(what):
            yield

    def wait_for_sync(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S), "no sync begins"

    def end_sync(self, error: BaseException | None = None) -> None:
        self.error = error
        self.go_on.release()


class Scene:
    """A log on a held disk, and callers that each do what they are told."""

    def __init__(self, patience_ns: int) -> None:
        self.disk = HeldDisk()
        self.clock = ManualClock()
        self.log: DurableController = open_log(HERE, self.clock, self.disk)
        self.jobs: list[Job] = []
        self.journal = self.log._log.journal  # type: ignore[union-attr]
        self.journal.patience_ns = patience_ns
        self.disk.sync_count = 0
        self.disk.is_held = True

    def add(self) -> Call:
        """A caller that adds a job."""
        job = Job("a")
        self.jobs.append(job)
        return Call(self.log.add, job)

    def wait_for_callers(self, count: int) -> None:
        wait_until(lambda: self.journal.waiting_count == count, f"{count} callers at the gate")

    def first_sync(self, others: int) -> list[Call]:
        """One caller was released by its sync; others, who came meanwhile, wait for the next."""
        first = self.add()
        self.disk.wait_for_sync()
        rest = [self.add() for _ in range(others)]
        self.wait_for_callers(others)
        self.disk.end_sync()
        first.outcome()
        return rest

    def release(self) -> None:
        """Syncs take no time any more."""
        self.disk.is_held = False

    def reopened(self) -> set[Job]:
        """What is there after the power went."""
        left = self.disk.cut(random.Random(0))
        self.release()
        self.log.close()
        with open_log(HERE, self.clock, left) as log:
            return set(log.jobs("a"))


def test_callers_that_were_released_together_share_the_next_sync():
    scene = Scene(LONG_NS)
    rest = scene.first_sync(SIDES - 1)
    again = scene.add()  # the one that was waited for: it makes the group whole
    scene.disk.wait_for_sync()
    assert scene.journal.waiting_count == 0
    scene.disk.end_sync()
    for call in (again, *rest):
        call.outcome()
    for _ in range(3):  # now all of them come back, and nobody else begins
        calls = [scene.add() for _ in range(SIDES - 1)]
        scene.wait_for_callers(SIDES - 1)
        calls.append(scene.add())
        scene.disk.wait_for_sync()
        scene.disk.end_sync()
        for call in calls:
            call.outcome()
    assert scene.disk.sync_count == 2 + 3
    assert scene.reopened() == set(scene.jobs)


def test_a_lone_caller_waits_for_nobody():
    scene = Scene(LONG_NS)
    scene.release()
    for count in range(1, 6):
        scene.add().outcome()
        assert scene.disk.sync_count == count
    scene.log.close()


def test_who_does_not_come_back_is_waited_for_no_longer_than_the_patience_and_then_not_again():
    scene = Scene(1)
    (other,) = scene.first_sync(1)
    scene.disk.wait_for_sync()  # without the first
    scene.journal.patience_ns = LONG_NS
    scene.disk.end_sync()
    other.outcome()
    scene.release()
    scene.add().outcome()
    assert scene.disk.sync_count == 3
    scene.log.close()


def test_callers_that_come_after_the_patience_begin_at_once():
    scene = Scene(0)
    rest = scene.first_sync(SIDES)
    scene.disk.wait_for_sync()
    assert scene.journal.waiting_count == 0
    late = scene.add()
    scene.wait_for_callers(1)
    scene.disk.end_sync()
    scene.disk.wait_for_sync()
    scene.disk.end_sync()
    for call in (*rest, late):
        call.outcome()
    assert scene.reopened() == set(scene.jobs)


def test_a_sync_that_fails_fails_its_callers_and_those_behind_them():
    scene = Scene(LONG_NS)
    rest = scene.first_sync(2)
    kept = set(scene.jobs[:1])
    again = scene.add()
    scene.disk.wait_for_sync()
    behind = [scene.add() for _ in range(2)]
    scene.wait_for_callers(2)
    scene.disk.end_sync(OSError(5, "the disk is gone, says the test"))
    for call in (again, *rest, *behind):
        with pytest.raises(CommandLogError, match="opened again"):
            call.outcome()
    with pytest.raises(CommandLogError, match="no changes"):
        scene.add().outcome()
    assert scene.disk.sync_count == 2
    assert scene.reopened() == kept


def test_a_sync_that_is_interrupted_is_done_anew_by_the_others():
    scene = Scene(LONG_NS)
    rest = scene.first_sync(2)
    interrupted = scene.add()  # it makes the group whole, so it leads
    scene.disk.wait_for_sync()
    scene.disk.end_sync(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        interrupted.outcome()
    scene.disk.wait_for_sync()
    scene.release()
    scene.disk.end_sync()
    for call in rest:
        call.outcome()
    assert scene.disk.sync_count == 3
    assert scene.reopened() == set(scene.jobs)


def test_a_close_ends_the_wait_for_who_does_not_come_back():
    scene = Scene(LONG_NS)
    rest = scene.first_sync(2)
    scene.release()
    scene.wait_for_callers(2)
    Call(scene.log.close).outcome()
    for call in rest:
        call.outcome()
    with open_log(HERE, scene.clock, scene.disk.cut(random.Random(0))) as log:
        assert set(log.jobs("a")) == set(scene.jobs)


def test_what_was_acknowledged_is_on_the_disk_whoever_is_interrupted(seed):
    """Callers at random, with syncs that are interrupted now and then."""
    disk = Disk()
    rng = random.Random(f"{seed}")
    chances = threading.Lock()

    class Interrupted(BaseException):
        pass

    with open_log(HERE, ManualClock(), disk) as log:
        real = log._log._sync

        def sync() -> None:
            with chances:
                strikes = rng.random()
            if strikes < 0.1:
                raise Interrupted
            real()
            if strikes > 0.9:
                raise Interrupted

        log._log._sync = sync

        def work() -> int:
            acknowledged = 0
            for _ in range(50):
                job = Job("a")
                try:
                    log.add(job)
                except Interrupted:
                    continue
                acknowledged += 1
                kept = [inode.kept for inode in list(disk.names_kept.values())]
                assert any(bytes(job.id) in data for data in kept), f"seed {seed}"
            return acknowledged

        calls = [Call(work) for _ in range(SIDES)]
        assert sum(call.outcome() for call in calls) > SIDES * 25
        log._log._sync = real
