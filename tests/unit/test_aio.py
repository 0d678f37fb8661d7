"""aio.Controller: what the conformance suite does not see: loops, threads, cancellation, ends."""

import asyncio
import gc
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jobqueue import (
    ClosedError,
    Controller,
    Job,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
    aio,
)
from jobqueue._ports import WaitPort
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call
from tests.sim.verbs import VERBS

LOOPS = [name for name in ("asyncio", "uvloop") if importlib.util.find_spec(name)]
Main = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """Run a main coroutine under each kind of loop."""
    new_loop = importlib.import_module(request.param).new_event_loop

    def runner(main: Main) -> Any:
        with asyncio.Runner(loop_factory=new_loop) as own:
            return own.run(main())

    return runner


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- one loop


def test_every_waiting_call_in_one_loop(run):
    async def main():
        async with aio.Controller() as c:
            leaser = asyncio.ensure_future(c.lease(["b", "a"], 60_000))
            many = asyncio.ensure_future(c.lease_many("c", 3, 60_000))
            await settle()
            assert c.stats().waiting == 2
            job = Job("a", b"1")
            c.add(job)
            c.add_many([Job("c"), Job("c")])
            assert await leaser == job
            assert len(await many) in (1, 2)
            result = asyncio.ensure_future(c.result(job, 60_000))
            await settle()
            c.complete(job, b"done")
            assert await result == RunResult(True, b"done")
            runner = asyncio.ensure_future(c.run(Job("d"), 60_000))
            async with c.attempt("d", 60_000) as attempt:
                attempt.complete(b"ran")
            assert await runner == RunResult(True, b"ran")

    run(main)


def test_real_timeouts(run):
    async def main():
        async with aio.Controller() as c:
            with pytest.raises(WaitTimeoutError, match="within 5 ms"):
                await c.lease("a", 5)
            with pytest.raises(WaitTimeoutError, match="within 5 ms"):
                await c.lease(["a", "b"], 5)
            with pytest.raises(WaitTimeoutError):
                await c.run(Job("a"), 5)
            job = Job("a")
            c.add(job)
            with pytest.raises(WaitTimeoutError):
                await c.result(job, 5)
            assert c.stats().waiting == 0
            assert c.stats().records == 1

    run(main)


def test_foreign_queues(run):
    """Queues written in Python, seen from a loop: every waiting call."""

    async def main():
        async with aio.Controller(queues=Queues()) as c:
            tasks = [asyncio.ensure_future(c.lease_many(["a", "b"], 2, 60_000)) for _ in range(2)]
            await settle()
            jobs = [Job("a"), Job("b")]
            c.add_many(jobs)
            got = [await task for task in tasks]
            assert {job.id for part in got for job in part} == {job.id for job in jobs}
            runner = asyncio.ensure_future(c.run(Job("c"), 60_000))
            await settle()
            runner.cancel()
            with pytest.raises(asyncio.CancelledError):
                await runner
            assert c.peek("c") is None
            with pytest.raises(WaitTimeoutError):
                await c.run(Job("c"), 1)
            waiter = asyncio.ensure_future(c.lease("c", 60_000))
            await settle()
            job = Job("c")
            c.add(job)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert c.peek("c") == job
            c.controller._check()

    run(main)


def test_manual_clock(run):
    async def main():
        clock = ManualClock()
        async with aio.Controller(clock=clock) as c:
            waiter = asyncio.ensure_future(c.lease("a", 1000))
            await settle()
            clock.advance(999)
            await settle()
            assert not waiter.done()
            clock.advance(1)
            with pytest.raises(WaitTimeoutError):
                await waiter
            job = Job("a", ttr=500)
            c.add(job)
            async with c.attempt("a", 0) as attempt:
                clock.advance(400)
                attempt.touch()
                clock.advance(400)
                assert c.registry.record(job).state == State.LEASED

    run(main)


def test_an_attempt_that_is_cancelled_releases(run):
    async def main():
        async with aio.Controller() as c:
            c.add(Job("a"))

            async def work():
                async with c.attempt("a", 0):
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(work())
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (c.stats().ready, c.stats().running) == (1, 0)
            with pytest.raises(TypeError, match="async with"), c.attempt("a", 0):
                pass

    run(main)


# ---------------------------------------------------------------- threads, loops, one engine


def test_threads_and_loops_share_one_engine(run):
    """A thread adds, a coroutine leases, and the reverse."""
    with Controller() as c:
        jobs = [Job("to-loop", str(i).encode()) for i in range(200)]

        def thread() -> set[bytes]:
            for job in jobs:
                c.add(job)
            return {c.lease("to-thread", 20_000).payload for _ in jobs}

        async def main():
            async with aio.Controller(c) as shared:
                assert shared.controller is c
                for _ in jobs:
                    job = await shared.lease("to-loop", 20_000)
                    shared.add(Job("to-thread", job.payload))
            assert not c.closed

        call = Call(thread)
        run(main)
        assert call.outcome() == {job.payload for job in jobs}


def test_many_loops_in_many_threads(run):
    with Controller() as c:
        shared = aio.Controller(c)

        def loop(number: int) -> int:
            async def main() -> int:
                taken = 0
                for _ in range(100):
                    shared.add(Job("a"))
                    await shared.lease("a", 20_000)
                    taken += 1
                return taken

            return run(main)

        calls = [Call(loop, number) for number in range(4)]
        assert sum(call.outcome() for call in calls) == 400
        assert (c.stats().ready, c.stats().waiting, c.stats().leased) == (0, 0, 400)


# ---------------------------------------------------------------- cancellation


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("verb", ["lease", "lease_many", "attempt", "result", "run"])
def test_cancelled_at_every_await_point(run, verb, foreign):
    """Cancelled before it began, while it waits, and in the turn in which its job came."""

    async def main():
        async with aio.Controller(queues=Queues() if foreign else None) as c:
            other = Job("other")
            c.add(other)
            for turns in range(4):
                for act_first in (True, False):
                    await cancelled_once(c, verb, other, turns, act_first)
            c.controller._check()

    run(main)


async def cancelled_once(c, verb, other, turns, act_first):
    job = Job("a")
    calls = {
        "lease": lambda: c.lease("a", 60_000),
        "lease_many": lambda: c.lease_many(["a", "b"], 5, 60_000),
        "attempt": lambda: c.attempt("a", 60_000).__aenter__(),
        "result": lambda: c.result(other, 60_000),
        "run": lambda: c.run(job, 60_000),
    }
    task = asyncio.ensure_future(calls[verb]())
    for _ in range(turns):
        await asyncio.sleep(0)
    if verb != "run" and act_first:
        c.add(job)
    task.cancel()
    if verb != "run" and not act_first:
        c.add(job)
    with pytest.raises(asyncio.CancelledError):
        await task
    stats = c.stats()
    assert (stats.waiting, stats.running) == (0, 0), (turns, act_first)
    if verb == "run":
        assert job.id not in c.registry
    else:
        record = c.registry.record(job)
        assert (record.state, record.attempts) == (State.NEW, 0)
        assert c.jobs("a") == [job]
        c.delete(job)


ROUNDS = 2000


def test_cancelled_under_load(run, rng):
    """Thousands of cancellations at any moment, while two threads add and lease: nothing is lost.

    Each leased job is completed by whoever got it, so in the end added = completed + pending.
    """

    async def main():
        async with aio.Controller() as c:
            stop = threading.Event()
            feeder = Call(feed, c.controller, stop, random.Random(rng.random()))
            rival = Call(drain, c.controller, stop)
            answered = 0
            for _ in range(ROUNDS):
                answered += await struck(c, rng)
            stop.set()
            added = feeder.outcome()
            rivals = rival.outcome()
            rest = c.stats().ready
            stats = c.stats()
            assert (stats.waiting, stats.running) == (0, 0)
            assert added == answered + rivals + rest
            assert stats.completed == answered + rivals
            assert answered
            c.controller._check()

    run(main)


async def struck(c: aio.Controller, rng: random.Random) -> int:
    """A lease that is cancelled at some moment, one way or another; 1 if it got a job."""

    async def take() -> int:
        job = await c.lease(rng.choice(["a", ["a", "b"]]), 60_000)
        c.complete(job)
        return 1

    if rng.random() < 0.3:
        try:
            async with asyncio.timeout(rng.random() * 0.0005):
                return await take()
        except TimeoutError:
            return 0
    task = asyncio.ensure_future(take())
    for _ in range(rng.randrange(6)):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return 0


def feed(c: Controller, stop: threading.Event, rng: random.Random) -> int:
    added = 0
    while not stop.is_set():
        c.add(Job("a"))
        added += 1
        stop.wait(rng.random() * 0.0005)
    return added


def drain(c: Controller, stop: threading.Event) -> int:
    done = 0
    while not stop.is_set():
        try:
            c.complete(c.lease("a", 1))
            done += 1
        except WaitTimeoutError:
            stop.wait(0.001)
    return done


def test_wait_for(run):
    """asyncio.wait_for wraps a task round the lease: the job of a time-out goes back."""

    async def main():
        async with aio.Controller() as c:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(c.lease("a", 60_000), 0.001)
            assert c.stats().waiting == 0
            job = Job("a")
            c.add(job)
            assert await asyncio.wait_for(c.lease("a", 60_000), 10) == job

    run(main)


# ---------------------------------------------------------------- ends


def test_close_ends_every_wait(run):
    async def main():
        c = aio.Controller()
        job = Job("other")
        c.add(job)
        calls = [c.lease("a", 60_000), c.run(Job("b"), 60_000), c.result(job, 60_000)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await settle()
        c.close()
        for task in tasks:
            with pytest.raises(ClosedError):
                await task
        assert c.closed
        with pytest.raises(ClosedError):
            await c.lease("a", 0)

    run(main)


def test_closed_by_a_thread(run):
    async def main():
        c = Controller()
        shared = aio.Controller(c)
        task = asyncio.ensure_future(shared.lease("a", 60_000))
        await settle()
        call = Call(c.close)
        with pytest.raises(ClosedError):
            await task
        call.outcome()

    run(main)


COLLECTED = pytest.param(
    True,
    marks=pytest.mark.skipif(
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        reason="there the line holds who waits, since another thread may be about to wake it",
    ),
)


@pytest.mark.parametrize("by_collector", [False, COLLECTED])
def test_a_loop_that_is_closed_while_its_task_waits(by_collector):
    """Its job goes to the next in line, not to a task that will never run."""
    with Controller() as c:
        shared = aio.Controller(c)
        loop = asyncio.new_event_loop()
        loop.slow_callback_duration = 60  # the log record of a slow step would keep the task alive
        task = loop.create_task(shared.lease("a", 60_000))
        loop.set_exception_handler(lambda *_: None)  # that a pending task is destroyed
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert c.stats().waiting == 1
        loop.close()
        seen = weakref.ref(task)
        job = Job("a")
        if by_collector:
            del task, loop
            gc.collect()
            assert seen() is None, "the waiting task keeps itself alive"
            assert c.stats().waiting == 0
        c.add(job)
        assert c.registry.record(job).state == State.NEW
        assert c.lease("a", 0) == job
        c.close()
        if not by_collector:
            task.get_coro().close()


def test_a_coroutine_that_is_never_awaited_takes_nothing():
    with Controller() as c:
        c.add(Job("a"))
        aio.Controller(c).lease("a", 0).close()
        assert c.stats().ready == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_task_waits():
    """The child uses its copy in a loop of its own; the parent's task still gets its job."""

    async def main():
        async with aio.Controller() as c:
            task = asyncio.ensure_future(c.lease("a", 60_000))
            await settle()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = Call(asyncio.run, in_child(c)).outcome()
                finally:
                    os._exit(status)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            job = Job("a")
            c.add(job)
            assert await task == job

    asyncio.run(main())


async def in_child(c: aio.Controller) -> int:
    waiting = c.stats().waiting
    task = asyncio.ensure_future(c.lease("a", 60_000))
    await settle()
    job = Job("a")
    c.add(job)
    timed_out = False
    try:
        await c.lease("a", 5)
    except WaitTimeoutError:
        timed_out = True
    return 0 if waiting == 0 and await task == job and timed_out else 1


# ---------------------------------------------------------------- the object


def test_every_verb_is_there():
    """A new verb of Controller is one of aio.Controller too (aio/_verbs.py)."""
    internal = {"by_hand", "add_now", "schedule_now", *dir(WaitPort)} - set(VERBS)
    public = {name for name in dir(Controller) if not name.startswith("_")} - internal
    assert public - set(dir(aio.Controller)) == set()


def test_a_subclass_has_its_own_verbs():
    class Loud(aio.Controller):
        def add(self, job: Job) -> None:
            super().add(job.replace(payload=job.payload.upper()))

    c = Loud()
    c.add(Job("a", b"quiet"))
    assert c.peek("a").payload == b"QUIET"
    c.close()


def test_options_and_a_controller_exclude_each_other():
    with Controller() as c, pytest.raises(TypeError, match="options"):
        aio.Controller(c, result_ttl=0)
    with pytest.raises(TypeError):
        aio.Controller(wrong=1)
    with aio.Controller(result_ttl=0) as own:
        job = Job("a")
        own.add(job)
        own.complete(job)
        with pytest.raises(NotFoundError):
            own.delete(job)
        assert "aio.Controller" in repr(own)
    assert own.closed


def test_import_is_on_demand():
    code = "import jobqueue, sys; assert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_waiting_leaves_nothing_to_the_collector():
    """A hand-off makes no cycle: reference counts free all of it."""

    async def main():
        async with aio.Controller() as c:
            task = asyncio.ensure_future(c.lease("a", 60_000))
            await settle()
            c.add(Job("a"))
            await task
            del task
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(3):
                    waiting = asyncio.ensure_future(c.lease("a", 60_000))
                    await settle()
                    c.add(Job("a"))
                    await waiting
                    del waiting
                gc.collect()
                found = [thing for thing in gc.garbage if "Waiter" in type(thing).__name__]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
            assert found == []

    asyncio.run(main())


def test_wait_until_is_not_needed_for_what_is_done():
    """A call that need not wait does not let other tasks run first."""

    async def main():
        async with aio.Controller() as c:
            c.add(Job("a"))
            ran = []
            asyncio.get_running_loop().call_soon(ran.append, 1)
            await c.lease("a", 1000)
            assert ran == []

    asyncio.run(main())
