"""What breaks within a verb: random numbers, the timer thread, memory. Nothing is lost."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import Controller, Job, State, TimerKind, WaitTimeoutError
from jobqueue._structures.skiplist import _fail_allocation_after
from jobqueue.testing import ManualClock
from jobqueue.testing.model import view_of
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)


class Dice(random.Random):
    """Chooses in order: what randrange returns, one after another; a class of errors is raised."""

    def __init__(self, *faces: Any) -> None:
        super().__init__()
        self.faces = list(faces)

    def randrange(self, *_: Any) -> Any:
        face = self.faces.pop(0)
        if isinstance(face, type):
            raise face
        return face


# ---------------------------------------------------------------- random numbers


@pytest.mark.parametrize("face", [2, -1, 0.5, "0", None, True])
def test_a_choice_that_is_none(face: Any) -> None:
    with Controller(rng=Dice(face)) as c:
        c.add_many([Job("a"), Job("b")])
        before = view_of(c)
        with pytest.raises(ValueError, match=r"randrange\(2\)"):
            c.lease(["a", "b"], 0)
        assert view_of(c) == before


def test_the_names_that_have_work_are_what_is_chosen_from() -> None:
    with Controller(rng=Dice(1, 0)) as c:
        for name in "ac":
            c.add_many([Job(name), Job(name)])
        assert c.lease(["a", "b", "c"], 0).name == "c"
        assert c.lease(["a", "b", "c"], 0).name == "a"


@pytest.mark.parametrize("error", [OverflowError, KeyboardInterrupt])
def test_a_batch_whose_choice_breaks_is_undone(error: type[BaseException]) -> None:
    with Controller(rng=Dice(0, 1, error)) as c:
        fresh, again = Job("a"), Job("b", max_fails=2)
        c.add(again)
        c.fail(c.lease("b", 0))
        c.add_many([fresh, Job("a"), Job("b")])
        before = view_of(c)
        with pytest.raises(error):
            c.lease_many(["a", "b"], 4, 0)
        assert view_of(c) == before
        assert c.registry.record(fresh).state is State.NEW
        assert c.registry.record(again).state is State.PENDING
        c._check()


def test_the_first_of_a_batch_that_was_waited_for_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: told.append(type(what.exc_value)))
    with Controller(rng=Dice(OverflowError)) as c:
        call = Call(c.lease_many, ["a", "b"], 3, 60_000)
        wait_until(lambda: c.stats().waiting == 1)
        jobs = [Job("a"), Job("a"), Job("b")]
        c.add_many(jobs)
        assert call.outcome() == jobs[:1]
        assert c.stats().ready == 2
        c._check()
    assert told == [OverflowError]


# ---------------------------------------------------------------- the timer thread


@contextmanager
def interrupted() -> Iterator[tuple[Controller, list[BaseException]]]:
    """A controller, and what is to strike, once, as its verbs end: while an observer is told."""
    strikes: list[BaseException] = []

    def observer(_: object) -> None:
        if strikes:
            raise strikes.pop()

    with Controller() as c, c.observe(observer):
        yield c, strikes


@pytest.mark.parametrize("many", [False, True], ids=["lease", "lease_many"])
def test_a_lease_that_nobody_will_see_is_undone(*, many: bool) -> None:
    with interrupted() as (c, strikes):
        job = Job("a", ttr=10, ttl=1_000_000)
        c.add(job)
        before = view_of(c)
        strikes.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            c.lease_many("a", 2, 0) if many else c.lease("a", 0)
        assert view_of(c) == before
        assert c.registry.record(job).timers[TimerKind.TTR].cancelled
        c._check()


def test_an_add_stands_though_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: told.append(str(what.exc_value)))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Controller() as c:
        job = Job("a")
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            c.add(job)
            wait_until(lambda: told, "the attempt to start it")
        assert told == ["can't start new thread"]
        assert c.lease("a", 0) is job  # and the thread is started after all
        assert told == ["can't start new thread"]


def test_a_run_whose_caller_is_struck_is_gone() -> None:
    with interrupted() as (c, strikes):
        c.add(Job("b", ttl=1000))
        waiting = Call(c.lease_begin, "a", 60_000, lambda *_: None)
        waiter = waiting.outcome()
        job = Job("a", ttr=1)
        strikes.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):  # its job is leased at once, and its TTR armed
            c.run(job, 60_000)
        assert job not in c.registry
        c.wait_abandon(waiter)
        assert c.stats().running == 0
        c._check()


def test_a_hook_that_ends_the_world_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: told.append(type(what.exc_value)))
    with Controller() as c:

        def hook(_: object) -> None:
            raise SystemExit

        c.handle_expire(hook)
        c.add(Job("a", ttl=1))
        wait_until(lambda: told == [SystemExit])
        c.handle_expire(None)
        c.expire(c.peek("a") or Job("a"))


# ---------------------------------------------------------------- memory


@pytest.fixture
def memory() -> Iterator[Any]:
    """Memory for n more blocks of the skiplists, then none; -1: enough."""
    if not _fail_allocation_after(-1):
        pytest.skip("only DEBUG builds can fail an allocation")
    yield _fail_allocation_after
    _fail_allocation_after(-1)


@pytest.fixture
def full() -> Iterator[tuple[Controller, ManualClock, Job]]:
    """A leased job whose queue takes no more ready jobs without new memory."""
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", priority=1, ttr=1000, max_fails=3)
        c.add(job)
        assert c.lease("a", 0) is job
        c.add_many([Job("a") for _ in range(4)])
        yield c, clock, job
        c._check()


def test_release_and_fail_without_memory(full: Any, memory: Any) -> None:
    c, _, job = full
    for give_back in (
        lambda: c.release(job),
        lambda: c.fail(job),
        lambda: c.release(job, delay=5),
        lambda: c.fail(job, delay=5),
        lambda: c.timeout_attempt(job),
        lambda: c.add(Job("a")),
        lambda: c.add_many([Job("a")]),
        lambda: c.queues.add(Job("a")),
        lambda: c.add(Job("new")),
        lambda: c.schedule(Job("a", time=c.clock.now + MS)),
    ):
        before = view_of(c)
        memory(0)
        with pytest.raises(MemoryError):
            give_back()
        memory(-1)
        assert view_of(c) == before
        c._check()


def test_a_time_out_without_memory_is_tried_again(full: Any, memory: Any) -> None:
    c, clock, job = full
    memory(0)
    clock.advance(1000)
    assert c.registry.record(job).state is State.LEASED
    assert c.stats().timed_out == 0
    memory(-1)
    clock.advance(10)
    assert c.registry.record(job).state is State.PENDING
    assert c.peek("a") is job
    assert c.stats().timed_out == 1


def test_a_due_job_without_memory_stays_scheduled(full: Any, memory: Any) -> None:
    c, clock, _ = full
    job = Job("a", time=clock.now + 100 * MS)
    c.schedule(job)
    memory(0)
    with pytest.raises(MemoryError):
        c.queues.awake(job)
    assert c.scheduled_jobs("a") == [job]
    memory(-1)
    clock.advance(100)
    assert c.scheduled_jobs("a") == []


def test_a_dead_job_without_memory_stays_dead(full: Any, memory: Any) -> None:
    c, _, job = full
    for _ in range(3):
        c.fail(job)
    c.add_many([Job("a") for _ in range(4)])
    before = view_of(c)
    memory(0)
    with pytest.raises(MemoryError):
        c.kick(job)
    assert view_of(c) == before
    memory(-1)
    c.kick(job)
    with pytest.raises(WaitTimeoutError):
        c.result(job, 0)
