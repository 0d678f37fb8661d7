"""What a job leaves to the next one: no context, no payload, no exception, no log line."""

import asyncio
import contextvars
import gc
import logging
import sys
import weakref

import pytest

from jobqueue import Controller, Job, aio
from jobqueue.testing.waiting import wait_until
from tests.shells import KINDS, Shell

every_shell = pytest.mark.parametrize("kind", KINDS)

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="nobody")


@pytest.fixture
def controller():
    with Controller() as c:
        yield c
        c._check()


def processed(controller, job):
    wait_until(lambda: controller.registry.record(job).processed(), "the result")
    return controller.registry.record(job).result


def swap(attempt):
    was = var.get()
    var.set("the job before")
    return was


@every_shell
def test_each_job_has_a_context_of_its_own(controller, kind):
    shell = Shell(kind, controller, concurrency=1).handler("a", swap)
    jobs = [Job("a") for _ in range(3)]
    with shell:
        controller.add_many(jobs)
        assert [processed(controller, job) for job in jobs] == [b"nobody"] * 3


@every_shell
def test_a_context_is_that_of_the_start(controller, kind):
    shell = Shell(kind, controller, concurrency=1).handler("a", swap)

    def start():
        token = var.set("who started")
        shell.worker.start()
        var.reset(token)

    jobs = [Job("a") for _ in range(2)]
    shell.do(start)
    controller.add_many(jobs)
    assert [processed(controller, job) for job in jobs] == [b"who started"] * 2
    assert shell.stop() is True
    shell.close()


def swap_in_process(job):
    return swap(job)


def test_in_processes_too(controller):
    shell = Shell("threads", controller, concurrency=1).handler("a", swap_in_process, process=True)
    jobs = [Job("a") for _ in range(3)]
    with shell:
        controller.add_many(jobs)
        assert [processed(controller, job) for job in jobs] == [b"nobody"] * 3


def test_a_context_lasts_while_a_coroutine_waits():
    """In what it awaits, and in the tasks that it starts; and those of others do not mix."""

    async def main():
        async with aio.Controller() as c:
            worker = aio.Worker(c, concurrency=5)

            @worker.handler("a")
            async def handler(attempt):
                seen = [var.get()]
                var.set(attempt.job.payload.decode())
                for _ in range(3):
                    await asyncio.sleep(0)
                    seen.append(var.get())
                seen.append(await asyncio.create_task(inner()))
                async with asyncio.timeout(20):
                    await asyncio.wait_for(asyncio.sleep(0), 20)
                return " ".join([*seen, var.get()])

            async def inner():
                return var.get()

            jobs = [Job("a", str(number).encode()) for number in range(20)]
            async with worker:
                c.add_many(jobs)
                for number, job in enumerate(jobs):
                    result = await c.result(job, 20_000)
                    assert result.result.decode() == " ".join(["nobody", *[str(number)] * 5])

    asyncio.run(main())


class TrackedError(Exception):
    pass


@every_shell
@pytest.mark.parametrize("process", [False, True])
def test_an_idle_slot_keeps_nothing_of_its_last_job(controller, kind, process, monkeypatch):
    """Neither the job nor its attempt nor what its handler raised; without the collector."""
    monkeypatch.setattr(logging.getLogger("jobqueue.worker"), "propagate", False)  # to pytest
    refs = []

    def handler(attempt):
        if attempt.job.payload:
            error = TrackedError("with a payload")
            refs.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error
        return b"done"

    shell = Shell(kind, controller, concurrency=1)
    shell.handler("a", swap_in_process if process else handler, process=process)
    ok, bad = Job("a"), Job("a", b"bad")
    with shell:
        gc.disable()
        try:
            for job in (ok, bad):
                controller.add(job)
                processed(controller, job)
            wait_until(lambda: controller.stats().waiting == 1, "an idle slot")
            controller.delete_many([ok, bad])
            last = bad
            del ok, bad, job
            wait_until(lambda: all(ref() is None for ref in refs), "the end of all")
            # What this test holds, and the argument of the call: nobody else.
            wait_until(lambda: sys.getrefcount(last) <= 2, "the last reference to the job")
        finally:
            gc.enable()


@every_shell
@pytest.mark.parametrize("process", [False, True])
def test_no_line_of_the_log_shows_a_payload(controller, kind, process, caplog):
    caplog.set_level(logging.DEBUG)
    secret = b"secret-payload"
    shell = Shell(kind, controller, concurrency=1)
    shell.handler("a", fail_in_process if process else fail, process=process)
    shown = []
    shell.handler("b", lambda attempt: shown.append(repr(attempt)))
    jobs = [Job("a", secret), Job("a", secret), Job("b", secret)]
    with shell:
        controller.add_many(jobs)
        for job in jobs:
            processed(controller, job)
        shown.append(repr(shell.worker))
    assert "14 bytes" in caplog.text
    assert "secret" not in caplog.text + "".join(shown)


def fail(attempt):
    raise ValueError("bad")


def fail_in_process(job):
    raise ValueError("bad")
