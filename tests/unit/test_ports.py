"""Whatever offers the ports is driven by the same workers and the same asyncio front."""

import ast
import asyncio
import inspect
import re
from functools import partial

import pytest

from jobqueue import Controller, Job, RunResult, WaitTimeoutError, aio
from jobqueue._ports import Leased, LeasePort, LookPort, WaitPort
from jobqueue.interfaces import Batcher, Limiter, Looker, Observed, Renewer, Resulter
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.worker import Retry, Worker
from tests.suite.test_suite import run_suite
from tests.unit.own_engine import OwnEngine

LINES_MAX = 200
AT_ONCE = Retry(first=0)


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_a_controller_offers_all_ports(queues):
    with Controller(queues=queues and queues()) as c:
        assert all(isinstance(c, port) for port in (LeasePort, WaitPort, LookPort))
        c.add(job := Job("a"))
        leased = c.lease_now("a", 0, True)
        assert type(leased) is Leased
        assert leased == (job, 1, c.lease_deadline_ns(job))
        assert c.lease_deadline_ns(job, 1) == leased.deadline_ns
        assert c.lease_deadline_ns(job, 2) is None
        assert c.lease_fails(job) == 0
        c.complete(job)
        assert c.lease_deadline_ns(job, 1) is None
        assert type(c.result(job, 0)) is RunResult


BEYOND = [Batcher, Limiter, Looker, Observed, Renewer, Resulter]


def test_a_controller_offers_what_an_engine_may():
    with Controller() as c, OwnEngine(ManualClock()) as engine:
        assert all(isinstance(c, each) for each in BEYOND)
        offered = set(filter(partial(isinstance, engine), BEYOND))
        assert offered == {Resulter}


def test_an_engine_of_ones_own_is_small():
    source = ast.unparse(ast.parse(inspect.getsource(OwnEngine)))  # without comments
    lines = [line for line in source.splitlines() if line and not line.strip().startswith('"""')]
    assert len(lines) < LINES_MAX
    with OwnEngine(ManualClock()) as engine:
        assert isinstance(engine, LeasePort)
        assert isinstance(engine, WaitPort)
        assert not isinstance(engine, LookPort)


def test_the_suite_judges_it(tmp_path):
    ran = run_suite("tests.unit.own_engine:OwnHarness", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"^own: (\d+) passed, \d+ skipped$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout
    assert int(found[1]) > 40


def test_a_worker_serves_it():
    tries = []

    def handle(attempt):
        tries.append(attempt.number)
        if len(tries) == 1:
            raise ValueError("once")
        return attempt.job.payload * 2

    with OwnEngine(ManualClock()) as engine, Worker(engine, {"double": handle}, retry=AT_ONCE):
        job = Job("double", b"ab", max_fails=3)
        waiter = engine.run_begin(job, 20_000, None)
        assert engine.wait_sleep(waiter, None, 20_000) == (True, b"abab")
    assert tries == [1, 2]


def test_asyncio_drives_it():
    async def double(attempt):
        await asyncio.sleep(0)
        return attempt.job.payload * 2

    async def main():
        with OwnEngine(clock := ManualClock()) as engine:
            async with aio.Controller(engine) as c:
                c.add(Job("a", b"1"))
                assert (await c.lease("a", 0)).payload == b"1"
                waiting = asyncio.ensure_future(c.lease("a", 20_000))
                await asyncio.sleep(0)
                c.add(Job("a", b"2"))
                assert (await waiting).payload == b"2"
                waiting = asyncio.ensure_future(c.lease("a", 1))
                await asyncio.sleep(0)
                clock.advance(1)
                with pytest.raises(WaitTimeoutError):
                    await waiting
                async with aio.Worker(c, {"double": double}):
                    assert await c.run(Job("double", b"ab"), 20_000) == (True, b"abab")
                async with aio.Worker(engine, {"double": double}):
                    assert await c.run(Job("double", b"c"), 20_000) == (True, b"cc")

    asyncio.run(main())


def test_asyncio_asks_it_for_no_final_failure():
    """Which its `fail` does not know."""

    async def main():
        with OwnEngine(ManualClock()) as engine:
            c = aio.Controller(engine)
            c.add(job := Job("a"))
            await c.lease("a", 0)
            c.fail(job, b"no")
            assert engine.result(job, 0) == (False, b"no")

    asyncio.run(main())


def test_a_cancelled_task_leaves_nothing_in_it():
    async def main():
        with OwnEngine(ManualClock()) as engine:
            c = aio.Controller(engine)
            waiting = asyncio.ensure_future(c.lease("a", 20_000))
            await asyncio.sleep(0)
            c.add(job := Job("a"))
            waiting.cancel()  # it was handed the job in the same moment
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await c.lease("a", 0) is job

    asyncio.run(main())


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
@pytest.mark.parametrize("verb", ["add", "schedule"])
@pytest.mark.parametrize("wait", [0, 300])
def test_what_waits_is_awaited(verb, wait, queues):
    with aio.Controller(queues=queues and queues(), max_jobs=1) as c:
        with pytest.raises(TypeError, match=f"{verb}_wait"):
            getattr(c, verb)(Job("a"), wait=wait)
        with pytest.raises(TypeError, match=f"{verb}_wait"):
            getattr(c, verb)(Job("a"), wait)
        assert c.stats().records == 0


def test_an_add_of_ones_own_is_called():
    class Loud(Controller):
        def add(self, job, wait=0):
            super().add(job.replace(payload=b"LOUD"), wait)

    with Loud() as engine:
        aio.Controller(engine).add(Job("a", b"quiet"))
        assert engine.peek("a").payload == b"LOUD"


@pytest.mark.parametrize("stranger", [object(), "controller", None])
def test_a_worker_says_what_it_wants(stranger):
    with pytest.raises(TypeError, match="controller must be"):
        aio.Worker(stranger, {"a": lambda _: b""})
