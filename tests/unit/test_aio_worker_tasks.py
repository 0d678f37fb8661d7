"""aio.Worker and its tasks: whatever made them, and whatever a handler does to them."""

import asyncio
import threading
from contextlib import suppress

import pytest

from jobqueue import Job, State, aio
from jobqueue.testing import ManualClock


async def until(predicate):
    async with asyncio.timeout(20):
        while not predicate():
            await asyncio.sleep(0.001)


# ---------------------------------------------------------------- task factories


def eager(loop, coro, **options):
    """Start a task at once, as eager_task_factory does from 3.12 on."""
    if hasattr(asyncio, "eager_task_factory"):
        return asyncio.eager_task_factory(loop, coro, **options)
    first, call_soon = [], loop.call_soon
    loop.call_soon = lambda step, *_, context=None: first.append((step, context))
    try:
        task = asyncio.tasks._PyTask(coro, loop=loop, **options)
    finally:
        loop.call_soon = call_soon
    current = asyncio.current_task(loop)
    if current is not None:
        asyncio.tasks._leave_task(loop, current)
    try:
        ((step, context),) = first
        context.run(step)
    finally:
        if current is not None:
            asyncio.tasks._enter_task(loop, current)
    return task


def wrapping(loop, coro, **options):
    async def wrapped():
        return await coro

    return asyncio.Task(wrapped(), loop=loop, **options)


def plain(loop, coro, **options):
    return asyncio.tasks._PyTask(coro, loop=loop, **options)


@pytest.mark.parametrize("factory", [None, eager, wrapping, plain])
def test_a_drain_waits_whatever_made_the_tasks(factory):
    """The work is there when the worker starts, so an eager task is at work before it is known."""

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        go = asyncio.Event()

        async def slow(attempt):
            await go.wait()
            return b"done"

        async with aio.Controller() as c:
            worker = aio.Worker(c, {"a": slow}, concurrency=3)
            jobs = [Job("a") for _ in range(2)]
            c.add_many(jobs)
            worker.start()
            await until(lambda: c.stats().running == 2)
            stopping = asyncio.ensure_future(worker.stop(20_000))
            await until(lambda: all(a.cancelled for a in worker._renewals.running))
            assert c.stats().running == 2
            assert len(worker._left()) >= 2
            go.set()
            assert await stopping is True
            assert [c.registry.record(job).state for job in jobs] == [State.COMPLETED] * 2
            assert (c.stats().waiting, worker._left()) == (0, [])

    asyncio.run(main())


@pytest.mark.parametrize("factory", [None, eager])
def test_stop_within_the_start(factory):
    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        async with aio.Controller() as c:
            worker = aio.Worker(c, concurrency=3)

            @worker.handler("a")
            async def handler(attempt):
                assert await worker.stop() is False
                return b"last"

            job, next_job = Job("a"), Job("a")
            c.add_many([job, next_job])
            worker.start()
            assert (await c.result(job, 20_000)).result == b"last"
            assert await worker.stop() is True

    asyncio.run(main())


def test_a_factory_that_fails_leaves_no_task():
    async def main():
        loop = asyncio.get_running_loop()
        made = []

        def failing(loop, coro, **options):
            if len(made) == 2:
                coro.close()
                raise MemoryError
            made.append(asyncio.Task(coro, loop=loop, **options))
            return made[-1]

        async with aio.Controller() as c:
            worker = aio.Worker(c, {"a": print}, concurrency=5)
            loop.set_task_factory(failing)
            with pytest.raises(MemoryError):
                worker.start()
            loop.set_task_factory(None)
            await until(lambda: all(task.done() for task in made))
            assert (len(made), c.stats().waiting) == (2, 0)

    asyncio.run(main())


# ---------------------------------------------------------------- what a handler does to its task


def me():
    task = asyncio.current_task()
    assert task is not None
    return task


async def cancels_and_returns(attempt):
    me().cancel()
    return b"returned"


async def cancels_and_waits(attempt):
    me().cancel()
    await asyncio.sleep(0)


async def cancels_after_a_wait(attempt):
    await asyncio.sleep(0)
    me().cancel()
    return b"returned"


async def cancels_and_goes_on(attempt):
    me().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return b"returned"


async def cancels_and_undoes(attempt):
    me().cancel()
    me().uncancel()
    return b"returned"


async def cancels_twice(attempt):
    me().cancel()
    me().cancel()
    return b"returned"


async def times_out(attempt):
    try:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
    except TimeoutError:
        return b"returned"


async def group_fails(attempt):
    async def fail():
        raise ValueError("in a group")

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("handler", "succeeds"),
    [
        (cancels_and_returns, True),
        (cancels_and_waits, False),
        (cancels_after_a_wait, True),
        (cancels_and_goes_on, True),
        (cancels_and_undoes, True),
        (cancels_twice, True),
        (times_out, True),
        (group_fails, False),
    ],
)
def test_what_a_handler_does_to_its_task_ends_with_it(handler, succeeds):
    """The next job of the slot is served by the same task, and is not struck by what is left."""

    async def innocent(attempt):
        for _ in range(3):
            await asyncio.sleep(0)
        return b"innocent"

    async def main():
        async with aio.Controller() as c:
            worker = aio.Worker(c, {"odd": handler, "ok": innocent}, concurrency=1)
            async with worker:
                (task,) = worker._slots
                for _ in range(3):
                    odd, ok = Job("odd"), Job("ok", max_attempts=1)
                    c.add_many([odd, ok])
                    result = await c.result(odd, 20_000)
                    assert result.success is succeeds
                    assert result.result == b"returned" or not succeeds
                    assert (await c.result(ok, 20_000)).result == b"innocent"
                assert worker._left() == [task]
                assert task.cancelling() == 0

    asyncio.run(main())


def test_a_handler_that_goes_on_after_the_loop_has_cancelled_it_ends_its_task():
    """Else asyncio.run would wait for a task that takes one job after another."""
    done = []

    async def deaf(attempt):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        done.append(attempt.number)
        return b"deaf"

    c = aio.Controller()

    async def main():
        worker = aio.Worker(c, {"a": deaf}, concurrency=1)
        worker.start()
        c.add_many([Job("a"), Job("a")])
        await until(lambda: worker._renewals.running)

    asyncio.run(main())
    assert done == [1]
    assert (c.stats().completed, c.stats().ready, c.stats().running) == (1, 1, 0)
    c.close()


def test_stop_does_not_wait_for_ever_for_a_handler_that_heeds_nothing(monkeypatch):
    monkeypatch.setattr("jobqueue.worker._tasks.GRACE_S", 0.01)

    async def main():
        go = asyncio.Event()

        async def deaf(attempt):
            while not go.is_set():
                with suppress(asyncio.CancelledError):
                    await go.wait()
            return b"too late"

        async with aio.Controller() as c:
            worker = aio.Worker(c, {"a": deaf}, concurrency=1)
            worker.start()
            job = Job("a")
            c.add(job)
            await until(lambda: worker._renewals.running)
            assert await worker.stop(0) is False
            assert c.registry.record(job).state == State.PENDING
            go.set()
            await until(lambda: not worker._left())
            assert c.registry.record(job).state == State.PENDING

    asyncio.run(main())


# ---------------------------------------------------------------- a lost lease


@pytest.mark.parametrize("how", ["delete", "timeout_attempt", "ttr"])
def test_a_handler_whose_lease_is_lost_is_cancelled(how):
    """So a coroutine does not run on beside the next attempt at its job."""

    async def main():
        clock = ManualClock()
        ended = []

        async def handler(attempt):
            if attempt.job.payload:
                return b"next"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append((attempt.lost, attempt.cancelled))
                raise

        async with aio.Controller(clock=clock) as c:
            worker = aio.Worker(c, concurrency=1)
            worker.handler("a", touch=how != "ttr")(handler)
            job, next_job = Job("a", ttr=900, max_attempts=1), Job("a", b"next")
            async with worker:
                c.add_many([job, next_job])
                await until(lambda: worker._renewals.running)
                if how != "ttr":
                    getattr(c, how)(job)
                # From another thread, as a test of a service might: it is the loop that cancels.
                mover = threading.Thread(target=clock.advance, args=(900,))
                mover.start()
                mover.join()
                assert (await c.result(next_job, 20_000)).result == b"next"
                assert ended == [(True, True)]
                assert len(worker._left()) == 1

    asyncio.run(main())


# ---------------------------------------------------------------- plain functions


def test_plain_handlers_do_not_hold_up_the_loop():
    """All at once, as many as there are slots; meanwhile the loop serves others."""

    async def main():
        together = threading.Barrier(4, timeout=20)

        def block(attempt):
            together.wait()
            return threading.current_thread().name

        async def quick(attempt):
            return b"quick"

        async with aio.Controller() as c:
            worker = aio.Worker(c, {"a": block, "quick": quick}, concurrency=4)
            async with worker:
                jobs = [Job("a") for _ in range(3)]
                c.add_many(jobs)
                await until(lambda: together.n_waiting == 3)
                assert (await c.run(Job("quick"), 20_000)).result == b"quick"
                c.add(Job("a"))
                for job in jobs:
                    assert (await c.result(job, 20_000)).result == b"jobqueue-handler"
            await until(lambda: not hand_threads())

    asyncio.run(main())


def hand_threads():
    return [thread for thread in threading.enumerate() if thread.name == "jobqueue-handler"]


def test_a_plain_handler_that_never_ends_keeps_neither_stop_nor_the_loop():
    async def main():
        go = threading.Event()
        async with aio.Controller() as c:
            worker = aio.Worker(c, {"a": lambda attempt: go.wait(20)}, concurrency=1)
            worker.start()
            job = Job("a")
            c.add(job)
            await until(lambda: worker._renewals.running)
            assert await worker.stop(0) is False
            assert c.registry.record(job).state == State.PENDING
        return go

    asyncio.run(main()).set()


def test_a_plain_function_may_return_an_awaitable():
    async def main():
        async def slow(attempt):
            await asyncio.sleep(0)
            return b"awaited"

        def plain(attempt):
            return slow(attempt)

        async with aio.Controller() as c, aio.Worker(c, {"a": plain}, concurrency=1):
            assert (await c.run(Job("a"), 20_000)).result == b"awaited"

    asyncio.run(main())
