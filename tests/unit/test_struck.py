"""Exceptions that strike where nobody expects them: wakes, observers, hooks, timer threads.

Each is one that the exhaustive test in tests/strikes would find; here each has its name.
"""

import asyncio
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobqueue import Controller, Job, State, WaitTimeoutError, aio
from jobqueue._engine import timer_thread
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """The types of what sys.unraisablehook was given."""
    found: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: found.append(args.exc_type))
    return found


def blocked(c: Controller, *names: str) -> list[Call]:
    calls = []
    for name in names:
        before = c.stats().waiting
        calls.append(Call(c.lease, name, 60_000))
        wait_until(lambda before=before: c.stats().waiting > before, "the blocked leaser")
    return calls


# ---------------------------------------------------------------- waking


def test_ctrl_c_in_an_observer_wakes_the_leasers_all_the_same() -> None:
    with Controller() as c:
        calls = blocked(c, "a", "a", "b")
        strikes = [1]

        def observer(_: object) -> None:
            if strikes:
                strikes.pop()
                raise KeyboardInterrupt

        c.observe(observer)
        jobs = [Job("a"), Job("b"), Job("a")]
        with pytest.raises(KeyboardInterrupt):
            c.add_many(jobs)
        assert {call.outcome() for call in calls} == set(jobs)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError, MemoryError])
@pytest.mark.parametrize("strikes", [1, 2, 7])
def test_a_task_whose_wake_was_struck_wakes(
    error: type[BaseException], strikes: int, shown: list[type[BaseException]]
) -> None:
    """Tried again at once, and by the timer thread if that does not help either."""
    left = [strikes]

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
            if left[0] and threading.current_thread() is not threading.main_thread():
                left[0] -= 1
                raise error
            return super().call_soon_threadsafe(*args, **kwargs)

    loop = Loop()
    c = Controller()
    try:
        task = loop.create_task(aio.Controller(c).lease("a", 60_000))
        loop.run_until_complete(asyncio.sleep(0))
        behind = blocked(c, "a")[0]
        jobs = [Job("a"), Job("a")]
        adder = Call(c.add_many, jobs)
        assert loop.run_until_complete(asyncio.wait_for(task, 20)) == jobs[0]
        assert behind.outcome() == jobs[1]
        try:
            adder.outcome()
        except error:
            assert not issubclass(error, Exception)
        assert left == [0]
    finally:
        c.close()
        loop.close()


@pytest.mark.parametrize("foreign", [False, True])
def test_waiters_of_a_closed_loop_are_passed_one_after_the_other(foreign: bool) -> None:
    """Not one within the other: there may be more of them than the stack is deep."""
    c = Controller(queues=Queues() if foreign else None)
    loop = asyncio.new_event_loop()
    count = 300 if foreign else 3000

    async def begin() -> list[asyncio.Task[Job]]:
        q = aio.Controller(c)
        tasks = [asyncio.ensure_future(q.lease("a", 60_000)) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(begin())
    wait_until(lambda: c.stats().waiting == count)
    loop.close()
    living = blocked(c, "a")[0]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        c.add(job := Job("a"))
    finally:
        sys.setrecursionlimit(limit)
    assert living.outcome() == job
    record = c.registry.record(job)
    assert record is not None
    assert (record.state, record.attempts) == (State.LEASED, 1)
    assert c.stats().waiting == 0
    c.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined] # nobody ever runs it again
    del tasks
    gc.collect()


@pytest.mark.parametrize("detailed", [False, True])
def test_a_hand_off_whose_waiter_is_dropped_is_undone(detailed: bool) -> None:
    """Its caller was struck between beginning to wait and having what it came to."""
    with Controller(clock=ManualClock()) as c:
        waiter = c.lease_begin("a", 1000, lambda _: None, detailed)
        c.add(job := Job("a"))
        assert c.stats().running == 1
        del waiter
        assert c.stats().running == 0
        record = c.registry.record(job)
        assert record is not None
        assert (record.state, record.attempts) == (State.NEW, 0)
        assert c.lease("a", 0) == job


@pytest.mark.parametrize("foreign", [False, True])
def test_a_run_whose_waiter_is_dropped_is_gone(foreign: bool) -> None:
    with Controller(clock=ManualClock(), queues=Queues() if foreign else None) as c:
        waiter = c.run_begin(Job("a"), 1000, lambda _: None)
        assert c.stats().records == 1
        del waiter
        stats = c.stats()
        assert (stats.records, stats.ready) == (0, 0)
        with pytest.raises(WaitTimeoutError):
            c.lease("a", 0)


# ---------------------------------------------------------------- the recursion limit


def at_depth(spare: int, call: Callable[[], object]) -> None:
    """Call with so many frames left below the recursion limit, or with none."""

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            call()

    depth = 0
    frame: Any = sys._getframe()
    while frame is not None:
        depth += 1
        frame = frame.f_back
    deeper(max(sys.getrecursionlimit() - depth - spare, 0))


@pytest.fixture
def low_limit() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("low_limit")
@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
def test_near_the_recursion_limit_an_add_is_done_or_not_begun(
    observed: bool, foreign: bool, shown: list[type[BaseException]]
) -> None:
    for spare in range(45):
        with Controller(queues=Queues() if foreign else None) as c:
            if observed:
                c.observe(lambda _: None)
            leaser = blocked(c, "a")[0]
            job = Job("a", ttr=1)
            try:
                at_depth(spare, lambda c=c, job=job: c.add(job))
            except RecursionError:
                if (
                    foreign and job in c.registry
                ):  # the queue of the test was cut short: it is placed
                    wait_until(lambda c=c, leaser=leaser: leaser.done or c.stats().ready == 0)
                else:
                    assert job not in c.registry
                    c.add(job)
            assert leaser.outcome() == job
            wait_until(
                lambda c=c, job=job: c.registry.record(job).state is State.PENDING, "the TTR"
            )
    assert not set(shown) - {RecursionError}


# ---------------------------------------------------------------- the timer thread


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "jobqueue" in thread.name]


def test_a_timer_thread_that_is_killed_is_started_again(shown: list[type[BaseException]]) -> None:
    """The exception is raised in the first Python code that the thread comes to: a hook."""
    with Controller() as c:
        reached = threading.Event()

        def hook(id: object) -> None:
            reached.set()
            c.expire(id)  # type: ignore[arg-type]

        c.handle_expire(hook)
        c.add(Job("a", ttl=3_600_000))
        wait_until(lambda: [thread for thread in timer_threads() if thread.ident])
        (thread,) = timer_threads()
        kill = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert kill(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)) == 1
        c.add(first := Job("a", ttl=1))
        wait_until(lambda: first not in c.registry, "what fell due as it was killed")
        reached.clear()
        c.add(Job("a", ttl=1))
        assert reached.wait(20)
    assert timer_threads() == []


def test_a_timer_thread_that_is_killed_before_it_serves_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []
    serve = timer_thread._run

    def run(*arguments: Any) -> None:
        begun.append(arguments)
        if len(begun) > 2:  # the first two are killed at once
            serve(*arguments)

    monkeypatch.setattr(timer_thread, "_run", run)
    with Controller() as c:
        c.add(job := Job("a", ttl=1))
        wait_until(lambda: job not in c.registry, "its TTL")
        assert len(begun) == 3
    assert timer_threads() == []


def test_a_timer_thread_that_ended_is_replaced() -> None:
    """As a greenlet that is killed in its sleep."""
    with Controller() as c:
        c.add(Job("a", ttl=3_600_000))
        wait_until(lambda: c._thread is not None and timer_threads() != [])
        lost = c._thread
        assert lost is not None

        def ends() -> bool:
            """As soon as it serves; before, it is not the one that could end."""
            c._thread_ended(lost._signal)
            return c._thread is not lost

        wait_until(ends, "another")
        c.add(job := Job("a", ttl=1))
        wait_until(lambda: job not in c.registry, "the TTL")
        c.close()
        lost.poke()
        lost.join()


def test_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, shown: list[type[BaseException]]
) -> None:
    """The verb stands; the next verb tries again."""
    with Controller() as c:
        tried = threading.Event()

        def no_thread(self: threading.Thread) -> None:
            tried.set()
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            c.add(first := Job("a", ttl=1))
            assert tried.wait(20)
            wait_until(lambda: shown)
        assert first in c.registry
        c.add(Job("b"))
        wait_until(lambda: first not in c.registry, "the TTL")
        assert set(shown) == {RuntimeError}


def test_a_close_that_was_struck_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    c = Controller()
    c.add(Job("a"))
    wait_until(timer_threads)
    with monkeypatch.context() as patch:

        def struck() -> None:
            raise KeyboardInterrupt

        patch.setattr(type(c._thread), "join", lambda _: struck())
        with pytest.raises(KeyboardInterrupt):
            c.close()
    c.close()
    assert timer_threads() == []


# ---------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_observer_may_fork() -> None:
    """The child is in the midst of telling, with a lock of before the fork."""
    with Controller(clock=ManualClock()) as c:
        seen: list[str] = []
        read, write = os.pipe()

        def observer(event: Any) -> None:
            seen.append(event.kind)
            if event.kind == "added" and event.name == "fork":
                child = os.fork()
                if child == 0:
                    seen.append("child")
                else:
                    os.waitpid(child, 0)

        c.observe(observer)
        parent = os.getpid()
        try:
            c.add(Job("fork"))
            c.add(Job("a"))
        finally:
            if os.getpid() != parent:
                os.write(write, " ".join(seen).encode())
                os._exit(0)
        os.close(write)
        assert os.read(read, 1000) == b"added child added"
        os.close(read)
        assert seen == ["added", "added"]


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_a_wait_that_is_left_twice_undoes_no_lease_of_another(queues) -> None:
    """As when its loop is closed, and its coroutine after that."""
    with Controller(queues=queues and queues()) as c:
        waiter = c.lease_begin("a", 60_000, lambda _: None)
        c.add(job := Job("a"))
        assert c.wait_abandon(waiter) is job
        assert c.lease("a", 0) is job
        assert c.wait_abandon(waiter) is None
        assert c.stats().running == 1
        c.complete(job, attempt=1)


def test_a_task_that_is_struck_as_its_wait_begins_gets_no_job() -> None:
    """Nobody knows the wait: what is handed to it goes back, and to the next in line."""

    class Striking(Controller):
        def lease_begin(self, names, timeout_ms, wake, detailed=False):  # type: ignore[no-untyped-def]
            kept.append(super().lease_begin(names, timeout_ms, wake, detailed))
            raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            await aio.Controller(c).lease("a", 60_000)
        c.add(job := Job("a"))
        assert c.lease("a", 0) is job

    kept: list[object] = []
    with Striking() as c:
        asyncio.run(main())
        assert c.stats().running == 1
