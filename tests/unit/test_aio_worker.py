"""aio.Worker: what differs from the one for threads: tasks, cancellation, signals of a loop."""

import asyncio
import importlib.util
import json
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from jobqueue import Job, State, aio
from jobqueue.testing import ManualClock
from jobqueue.worker import Retry
from tests.unit.test_worker import double, misbehave

LOOPS = [name for name in ("asyncio", "uvloop") if importlib.util.find_spec(name)]


@pytest.fixture(params=LOOPS)
def run(request):
    new_loop = importlib.import_module(request.param).new_event_loop

    def runner(main):
        with asyncio.Runner(loop_factory=new_loop) as own:
            return own.run(main())

    return runner


async def until(predicate):
    async with asyncio.timeout(20):
        while not predicate():
            await asyncio.sleep(0.001)


def test_answers(run):
    async def main():
        async with aio.Controller() as c:
            worker = aio.Worker(c, {"plain": lambda attempt: "plain"}, concurrency=3)

            @worker.handler("double")
            async def double(attempt):
                await asyncio.sleep(0)
                return attempt.job.payload * 2

            @worker.handler("bad")
            async def bad(attempt):
                raise ValueError("in a task")

            @worker.handler("cancelled")
            async def cancelled(attempt):
                raise asyncio.CancelledError

            async with worker:
                assert (await c.run(Job("double", b"ab"), 10_000)).result == b"abab"
                assert (await c.run(Job("plain"), 10_000)).result == b"plain"
                why = await c.run(Job("bad"), 10_000)
                assert not why.success
                assert json.loads(why.result)["message"] == "in a task"
                assert not (await c.run(Job("cancelled"), 10_000)).success
                with pytest.raises(RuntimeError, match="once"):
                    worker.start()
                with pytest.raises(RuntimeError, match="started"):
                    worker.handler("more")
            assert c.stats().waiting == 0

    run(main)


def test_concurrency(run):
    """As many at a time as was said, in one loop."""

    async def main():
        running = most = 0
        go = asyncio.Event()

        async def handler(attempt):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go.wait()
            running -= 1

        async with aio.Controller() as c, aio.Worker(c, {"a": handler}, concurrency=7):
            c.add_many([Job("a") for _ in range(20)])
            await until(lambda: running == 7)
            go.set()
            await until(lambda: c.stats().completed == 20)
            assert most == 7

    run(main)


def test_others_have_their_turn(run):
    """A thousand jobs whose handler never waits do not keep the loop to themselves."""

    async def main():
        async with aio.Controller() as c:
            c.add_many([Job("a") for _ in range(1000)])
            async with aio.Worker(c, {"a": lambda attempt: b""}, concurrency=1):
                turns = 0
                while c.stats().completed < 1000:
                    await asyncio.sleep(0)
                    turns += 1
                assert turns > 50

    run(main)


def test_retry_and_renewal_in_virtual_time(run):
    async def main():
        clock = ManualClock()
        seen = []
        go = asyncio.Event()

        async def handler(attempt):
            seen.append((attempt.number, clock.now))
            if attempt.number < 3:
                raise ValueError("again")
            await go.wait()
            return b"third"

        retry = Retry(first=1000, factor=2, jitter=0)
        async with aio.Controller(clock=clock) as c:
            worker = aio.Worker(c, {"a": handler}, concurrency=1, retry=retry)
            job = Job("a", max_fails=3, ttr=900)
            start = clock.now
            async with worker:
                c.add(job)
                await until(lambda: c.stats().scheduled == 1)
                clock.advance(1000)
                await until(lambda: len(seen) == 2 and c.stats().scheduled == 1)
                clock.advance(2000)
                await until(lambda: len(seen) == 3)
                clock.advance(60_000)
                assert c.registry.record(job).attempts == 3
                go.set()
                assert (await c.result(job, 1000)).result == b"third"
            assert [at for _, at in seen] == [
                start + timedelta(seconds=seconds) for seconds in (0, 1, 3)
            ]

    run(main)


def test_real_time_renews_too(run):
    async def main():
        async with aio.Controller() as c:

            async def handler(attempt):
                first = attempt.deadline
                await until(lambda: attempt.deadline > first)
                return b"renewed"

            async with aio.Worker(c, {"a": handler}):
                assert (await c.run(Job("a", ttr=1500), 10_000)).result == b"renewed"

    run(main)


def test_stop_drains_then_cancels(run):
    async def main():
        async with aio.Controller() as c:
            begun, told = asyncio.Event(), []

            async def handler(attempt):
                begun.set()
                if attempt.job.payload == b"polite":
                    await until(lambda: attempt.cancelled)
                    return b"ended"
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    told.append(attempt.cancelled)
                    raise

            for payload, drained in ((b"polite", True), (b"stuck", False)):
                begun.clear()
                worker = aio.Worker(c, {"a": handler}, concurrency=2)
                worker.start()
                job = Job("a", payload)
                c.add(job)
                await begun.wait()
                assert await worker.stop(drain=20_000 if drained else 5) is drained
                state = c.registry.record(job).state
                assert state == (State.COMPLETED if drained else State.PENDING)
            assert told == [True]
            assert c.stats().waiting == 0

    run(main)


def test_stop_in_a_handler(run):
    async def main():
        async with aio.Controller() as c:
            worker = aio.Worker(c, concurrency=2)

            @worker.handler("a")
            async def handler(attempt):
                assert await worker.stop() is False
                return b"last"

            worker.start()
            assert (await c.run(Job("a"), 10_000)).result == b"last"
            assert await worker.stop() is True

    run(main)


def test_a_loop_that_ends_releases_what_runs(run):
    """asyncio.run cancels what is left: the jobs go back."""
    c = aio.Controller()
    job = Job("a")

    async def main():
        begun = asyncio.Event()

        async def handler(attempt):
            begun.set()
            await asyncio.Event().wait()

        aio.Worker(c, {"a": handler}, concurrency=2).start()
        c.add(job)
        await begun.wait()

    run(main)
    assert c.registry.record(job).state == State.PENDING
    assert c.stats().waiting == 0
    c.close()


def test_closing_the_controller_ends_it(run):
    async def main():
        c = aio.Controller()
        worker = aio.Worker(c, {"a": print}, concurrency=2)
        worker.start()
        await until(lambda: c.stats().waiting == 2)
        c.close()
        assert await worker.stop() is True

    run(main)


def test_processes(run):
    async def main():
        async with aio.Controller() as c:
            worker = aio.Worker(c, concurrency=3)
            worker.handler("double", process=True)(double)
            worker.handler("a", process=True)(misbehave)
            async with worker:
                spin = Job("a", b"spin", ttr=1500, max_attempts=1)
                jobs = [Job("a", kind) for kind in (b"raise", b"exit", b"fine", b"fine")]
                c.add_many([jobs[0], jobs[1], spin, *jobs[2:]])
                assert (await c.run(Job("double", b"ab"), 20_000)).result == b"abab"
                results = [await c.result(job, 20_000) for job in jobs]
                assert [result.success for result in results] == [False, False, True, True]
                assert (await c.result(spin, 20_000)).result == b""
            again = Job("a", b"spin")
            worker = aio.Worker(c, concurrency=1)
            worker.handler("a", process=True)(misbehave)
            worker.start()
            c.add(again)
            await until(lambda: c.stats().running == 1)
            assert await worker.stop(drain=0) is False
            assert c.registry.record(again).state == State.PENDING

    run(main)


MAIN = """
import asyncio, sys
from jobqueue import Job, aio

async def main():
    async with aio.Controller() as c:
        worker = aio.Worker(c, concurrency=2)

        @worker.handler("a")
        async def handler(attempt):
            print("begun", flush=True)
            while not attempt.cancelled or attempt.job.payload == b"stuck":
                await asyncio.sleep(0.001)
            return b"ended"

        @worker.handler("b")
        async def stopper(attempt):
            await worker.stop()

        job = Job(sys.argv[1], sys.argv[2].encode())
        c.add(job)
        print("drained", await worker.run(), c.registry.record(job).state.name, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("job", "signals", "said"),
    [
        (("a", ""), [signal.SIGTERM], "drained True COMPLETED\n"),
        (("a", ""), [signal.SIGINT], "drained True COMPLETED\n"),
        (("a", "stuck"), [signal.SIGTERM, signal.SIGINT], "drained False PENDING\n"),
        (("b", ""), [], "drained True COMPLETED\n"),
    ],
)
def test_a_main_program(job, signals, said):
    command = [sys.executable, "-c", MAIN, *job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        if signals:
            assert program.stdout.readline() == "begun\n"
        for number in signals:
            program.send_signal(number)
        assert program.stdout.read() == said
    assert program.returncode == 0
