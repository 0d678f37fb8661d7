"""Controller over foreign queues: any object with QueueControllerInterface."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import (
    Controller,
    ControllerInterface,
    Job,
    NotFoundError,
    QueueController,
    QueueControllerInterface,
    QueueFullError,
    QueueInterface,
    QueueOutOfSyncError,
    RunResult,
    State,
    WaitTimeoutError,
)
from jobqueue.testing import ManualClock
from jobqueue.testing.model import view_of
from jobqueue.testing.model.parts import Queue, Queues
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)


class LastInFirstOut(Queues):
    """An order of its own: the last job comes first, whatever its priority."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[Job] = []

    def add(self, job: Job) -> bool:
        if job in self.stack:
            return False
        self.stack.append(job)
        return super().add(job)

    run = add

    def lease(self, name: str) -> Job | None:
        for job in reversed(self.stack):
            if job.name == name:
                self.stack.remove(job)
                super().delete(job)
                return job
        return None

    def delete(self, job: Job) -> bool:
        if job in self.stack:
            self.stack.remove(job)
        return super().delete(job)


class Broken(Queues):
    """Refuses, or raises, on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: set[str] = set()
        self.fail: set[str] = set()

    def _ask(self, verb: str) -> bool:
        if verb in self.fail:
            raise OSError(f"the queue's {verb} broke")
        return verb not in self.refuse

    def add(self, job: Job) -> bool:
        return self._ask("add") and super().add(job)

    def run(self, job: Job) -> bool:
        return self._ask("run") and super().add(job)

    def schedule(self, job: Job) -> bool:
        return self._ask("schedule") and super().schedule(job)

    def lease(self, name: str) -> Job | None:
        return super().lease(name) if self._ask("lease") else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_protocols() -> None:
    assert isinstance(Queues(), QueueControllerInterface)
    assert isinstance(Queue(), QueueInterface)
    assert isinstance(QueueController(), QueueControllerInterface)
    assert not isinstance(object(), QueueControllerInterface)
    with Controller(queues=Queues()) as c:
        assert isinstance(c, ControllerInterface)
        assert isinstance(c, Controller)
    with Controller() as c:
        assert isinstance(c, ControllerInterface)


def test_queues_are_the_object_that_was_given() -> None:
    queues = Queues()
    with Controller(queues=queues) as c:
        assert c.queues is queues
        c.add(Job("a"))
        assert list(queues.queues()) == ["a"]
        assert isinstance(queues.queues(), Mapping)


@pytest.mark.parametrize("thing", [5, "queues", object(), []])
def test_what_is_no_queue_controller(thing: Any) -> None:
    with pytest.raises(TypeError):
        Controller(queues=thing)


def test_they_have_no_bounds_of_their_own() -> None:
    with Controller(queues=Queues()) as c, pytest.raises(TypeError, match="foreign"):
        c.limit("a", max_jobs=1)


def test_the_foreign_order_counts(clock: ManualClock) -> None:
    with Controller(queues=LastInFirstOut(), clock=clock) as c:
        jobs = [Job("a", priority=-n) for n in range(5)]
        c.add_many(jobs)
        assert [c.lease("a", 0) for _ in jobs] == jobs[::-1]
        c.release(jobs[2])
        c.fail(jobs[4])
        assert c.lease("a", 0) == jobs[2]


def test_a_whole_life(clock: ManualClock) -> None:
    queues = Queues()
    with Controller(queues=queues, clock=clock) as c:
        job = Job("a", ttr=100, ttl=10_000, max_fails=2)
        c.add(job)
        assert queues.exists(job)
        assert c.lease("a", 0) == job
        assert not queues.exists(job)
        clock.advance(100)
        assert queues.exists(job)
        c.lease("a", 0)
        c.fail(job)
        assert queues.exists(job)
        c.lease("a", 0)
        c.complete(job, b"done")
        assert c.result(job, 0) == RunResult(True, b"done")
        clock.advance(10_000)
        with pytest.raises(NotFoundError):
            c.result(job, 0)
        c._check()


def test_scheduled_jobs_stand_in_the_foreign_queue(clock: ManualClock) -> None:
    queues = Queues()
    with Controller(queues=queues, clock=clock) as c:
        job = Job("a", time=clock.now + 500 * MS)
        c.schedule(job)
        assert len(queues.queue("a").due) == 1
        clock.advance(500)
        assert len(queues.queue("a").ready) == 1
        assert c.lease("a", 0) == job


@pytest.mark.parametrize("verb", ["add", "schedule", "run", "add_many"])
@pytest.mark.parametrize("how", ["refuse", "fail"])
def test_a_queue_that_does_not_take_a_job(clock: ManualClock, verb: str, how: str) -> None:
    queues = Broken()
    with Controller(queues=queues, clock=clock) as c:
        c.add(Job("a"))
        getattr(queues, how).add("add" if verb == "add_many" else verb)
        before = view_of(c)
        job = Job("a", time=clock.now + 500 * MS)
        with pytest.raises(QueueOutOfSyncError if how == "refuse" else OSError):
            match verb:
                case "run":
                    c.run(job, 1000)
                case "add_many":
                    c.add_many([job, Job("a")])
                case _:
                    getattr(c, verb)(job)
        assert view_of(c) == before
        assert job.id not in c.registry
        queues.refuse.clear()
        queues.fail.clear()
        c.add(job)
        assert c.lease_many("a", 5, 0)[-1] == job


def test_a_queue_that_breaks_in_the_middle_of_a_batch(clock: ManualClock) -> None:
    class Third(Queues):
        calls = 0

        def add(self, job: Job) -> bool:
            self.calls += 1
            return self.calls != 3 and super().add(job)

    with Controller(queues=Third(), clock=clock) as c:
        jobs = [Job("a") for _ in range(5)]
        before = view_of(c)
        with pytest.raises(QueueOutOfSyncError) as caught:
            c.add_many(jobs)
        assert caught.value.index == 2
        after = view_of(c)
        assert {key: after[key] for key in ("stats", "records", "next")} == {
            key: before[key] for key in ("stats", "records", "next")
        }
        assert not any(c.queues.exists(job) for job in jobs)
        c.add_many(jobs)
        assert c.lease_many("a", 9, 0) == jobs


def test_a_queue_whose_lease_breaks(clock: ManualClock) -> None:
    queues = Broken()
    with Controller(queues=queues, clock=clock) as c:
        job = Job("a")
        c.add(job)
        queues.fail.add("lease")
        with pytest.raises(OSError, match="lease broke"):
            c.lease("a", 0)
        queues.fail.clear()
        assert c.registry.record(job.id).state is State.NEW
        assert c.lease("a", 0) == job


def test_a_queue_that_gives_jobs_nobody_knows(clock: ManualClock) -> None:
    queues = Queues()
    with Controller(queues=queues, clock=clock) as c:
        queues.add(Job("a", priority=5))
        known = Job("a")
        c.add(known)
        assert c.lease("a", 0) == known
        with pytest.raises(WaitTimeoutError):
            c.lease("a", 0)


def test_blocked_leasers(clock: ManualClock) -> None:
    with Controller(queues=Queues(), clock=clock) as c:
        calls = []
        for n in range(3):
            calls.append(Call(c.lease, ["a", "b"], 1000))
            wait_until(lambda n=n: c.stats().waiting == n + 1)
        jobs = [Job("b"), Job("a"), Job("b")]
        for job in jobs:
            c.add(job)
        assert [call.outcome() for call in calls] == jobs
        c._check()


def test_threads_on_the_system_clock() -> None:
    with Controller(queues=Queues()) as c:
        total, taken, lock = 300, [], threading.Lock()

        def work() -> None:
            while (job := c.lease(["a", "b"], 30_000)).payload != b"stop":
                with lock:
                    taken.append(job)
                c.complete(job)

        workers = [Call(work) for _ in range(3)]
        for n in range(total):
            c.add(Job("ab"[n % 2]))
        wait_until(lambda: c.stats().completed == total)
        for _ in workers:
            c.add(Job("a", b"stop"))
        for worker in workers:
            worker.outcome()
        assert len(set(taken)) == total
        c._check()


def test_a_run_without_patience_leaves_the_queue_at_once(clock: ManualClock) -> None:
    queues = Queues()
    with Controller(queues=queues, clock=clock) as c:
        waiter = c.run_begin(job := Job("a"), 0, lambda _: None)
        assert not queues.exists(job)
        with pytest.raises(WaitTimeoutError):
            c.wait_finish(waiter, None, 0)


def test_what_a_batch_has_leased_before_the_queue_broke_is_leased(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: seen.append(args.exc_type))
    queues = Broken()
    with Controller(queues=queues, clock=clock) as c:
        c.add_many([job := Job("a"), Job("a")])
        lease = queues.lease

        def lease_once(name: str) -> Job | None:
            queues.fail.add("lease")
            monkeypatch.setattr(queues, "lease", type(queues).lease.__get__(queues))
            return Queues.lease(queues, name)

        monkeypatch.setattr(queues, "lease", lease_once)
        assert c.lease_many("a", 2, 0) == [job]
        assert seen == [OSError]
        queues.fail.clear()
        assert lease("a") is not None


class Flaky(Broken):
    """Raises so many times, then works again: a connection that was lost for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = 0

    def _ask(self, verb: str) -> bool:
        if verb in {"add", "delete", "lease"} and self.broken:
            self.broken -= 1
            raise ConnectionError(f"the queue's {verb} broke")
        return super()._ask(verb)

    def delete(self, job: Job) -> bool:
        return self._ask("delete") and super().delete(job)


def leave_by_ttr(c: Any, job: Job) -> None:
    c.clock.advance(1000)


BACK_IN_LINE = {
    "release": lambda c, job: c.release(job),
    "fail": lambda c, job: c.fail(job, b"no"),
    "time out": leave_by_ttr,
    "undo": lambda c, job: c._unlease(job),
}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("way", BACK_IN_LINE)
def test_a_queue_that_raises_as_a_job_goes_back(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, way: str, times: int
) -> None:
    """What the engine did stands; the job goes into its line when the queue works again."""
    shown: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: shown.append(args.exc_type))
    queues = Flaky()
    with Controller(queues=queues, clock=clock) as c:
        c.add(job := Job("a", max_fails=5, ttr=1000))
        c.lease("a", 0)
        queues.broken = times
        BACK_IN_LINE[way](c, job)
        assert shown == [ConnectionError]  # once, however long it takes
        record = c.registry.record(job.id)
        assert not record.running()
        for _ in range(times):
            clock.advance(1000)  # it is asked again once a second
        assert queues.broken == 0
        assert queues.exists(job)
        assert c.lease("a", 0) == job
        assert c.stats().ready == 0
        c._check()


def test_a_queue_that_raised_is_asked_again_by_the_next_lease(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    queues = Flaky()
    with Controller(queues=queues, clock=clock) as c:
        c.add(job := Job("a", max_fails=1))
        c.fail(c.lease("a", 0))
        queues.broken = 1
        c.kick(job)
        assert not queues.exists(job)
        assert c.stats().ready == 1  # whoever looks has it seen to
        assert c.lease("a", 0) == job


def test_a_blocked_leaser_has_the_job_once_the_queue_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody calls: the timer thread asks the queue again."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    queues = Flaky()
    with Controller(queues=queues) as c:
        c.add(job := Job("a"))
        c.lease("a", 0)
        leaser = Call(c.lease, "a", 60_000)
        wait_until(lambda: c.stats().waiting == 1)
        queues.broken = 1
        c.release(job)
        assert leaser.outcome() == job


def test_an_answer_stands_though_the_queue_raises(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    queues = Flaky()
    with Controller(queues=queues, clock=clock) as c:
        c.add_many([done := Job("a"), gone := Job("a"), left := Job("a")])
        queues.broken = 1
        c.complete(done, b"done")  # while it is in line
        queues.broken = 1
        c.delete(gone)
        assert c.result(done, 0) == RunResult(True, b"done")
        assert c.lease_many("a", 3, 0) == [left]
        assert not queues.exists(done)
        assert not queues.exists(gone)


@pytest.mark.parametrize("verb", ["add", "schedule"])
def test_a_wait_for_room_is_as_long_as_it_was_asked_for(verb: str) -> None:
    with Controller(queues=Queues(), max_jobs=1) as c:
        c.add(first := Job("a"))
        job = Job("a", time=first.expiration)
        call = Call(getattr(c, verb), job, timedelta(seconds=60))
        wait_until(lambda: c.stats().blocked == 1)
        c.delete(first)
        call.outcome()
        assert job in c.registry
        with pytest.raises(QueueFullError):
            c.add(Job("a"), wait=5)
