"""What is refused when a handler is registered or a worker started, and with which words."""

import functools
import multiprocessing
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from jobqueue import Controller, Job, aio
from jobqueue.testing.waiting import Call, wait_until
from jobqueue.worker import Worker


async def awaited(attempt):
    return b""


class Awaited:
    async def __call__(self, attempt):
        return b""


class Called:
    def __call__(self, attempt):
        return b"called"


def none():
    """Takes nothing."""


def two(one, other):
    """Takes too much."""


def keyword(*, attempt):
    """Takes none by position."""


def steps(attempt):
    yield b""


async def async_steps(attempt):
    yield b""


def right(job):
    return job.payload


def defaults(job, more=3, *rest, **named):
    return b"%d" % more


@pytest.fixture(params=[Worker, aio.Worker], ids=["threads", "asyncio"])
def worker(request):
    with Controller() as c:
        yield request.param(aio.Controller(c) if request.param is aio.Worker else c)


def refusal(worker, handler, **options):
    with pytest.raises(TypeError) as caught:
        worker.handler("a", **options)(handler)
    assert not worker._policy.rules
    return str(caught.value)


@pytest.mark.parametrize("process", [False, True])
def test_what_cannot_be_called_with_one_argument(worker, process):
    for handler in (none, two, keyword, functools.partial(two, 1, 2), Called.__call__):
        said = refusal(worker, handler, process=process)
        assert "one argument, the " + ("Job" if process else "Attempt") in said
    for handler in (steps, async_steps):
        assert "yields" in refusal(worker, handler, process=process)


def test_handlers_in_a_mapping_are_checked_too():
    with Controller() as c:
        with pytest.raises(TypeError, match="one argument"):
            Worker(c, {"a": none})
        with pytest.raises(TypeError, match=re.escape("use jobqueue.aio.Worker")):
            Worker(c, {"a": awaited})
        with pytest.raises(TypeError, match="one argument"):
            aio.Worker(aio.Controller(c), {"a": none})


@pytest.mark.parametrize("handler", [awaited, Awaited(), functools.partial(awaited)])
def test_async_handlers(worker, handler):
    assert "process" in refusal(worker, handler, process=True)
    if isinstance(worker, aio.Worker):
        worker.handler("a")(handler)
        assert worker._policy.rules["a"].is_async
    else:
        assert "use jobqueue.aio.Worker" in refusal(worker, handler)


@pytest.mark.parametrize("handler", [print, Called(), functools.partial(two, 1), defaults, str])
def test_what_can_be_called_is_taken(worker, handler):
    worker.handler("a")(handler)


def test_what_a_process_cannot_import(worker, monkeypatch):
    def within(job):
        return b""

    for handler in (lambda job: b"", within, functools.partial(within)):
        assert "top level of a module" in refusal(worker, handler, process=True)
    # As in a notebook: there is a main module, and it has no file.
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    typed = types.FunctionType(right.__code__, {"__name__": "__main__"}, "typed")
    assert typed.__module__ == "__main__"
    assert "notebook" in refusal(worker, typed, process=True)
    worker.handler("a", process=True)(right)


def test_a_fork_knows_every_function():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    with Controller() as c:
        Worker(c, mp_context=multiprocessing.get_context("fork")).handler("a", process=True)(
            lambda job: job.payload
        )


def test_what_cannot_be_pickled_is_refused_at_the_start():
    """A decorated function is not the one of its name; that shows once its module is whole."""
    with Controller() as c:
        worker = Worker(c)
        other = types.FunctionType(right.__code__, globals(), "right")
        worker.handler("a", process=True)(other)
        with pytest.raises(TypeError, match=r"(?s)handler of 'a' cannot be sent.*top level"):
            worker.start()
        assert not worker._threads


def test_a_coroutine_from_a_plain_function_fails_its_job():
    """It is closed, so that it does not warn that nobody awaited it."""

    def plain(attempt):
        return awaited(attempt)

    with Controller() as c, Worker(c, {"a": plain}):
        job = Job("a")
        c.add(job)
        result = c.result(job, 20_000)
        assert not result.success
        assert b"not coroutine" in result.result


# ---------------------------------------------------------------- programs


def run_script(tmp_path: Path, script: str, *options: str) -> "subprocess.CompletedProcess[str]":
    path = tmp_path / "program.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, *options, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


UNGUARDED = """
from jobqueue import Controller, Job
from jobqueue.worker import Worker

def work(job):
    return b"done"

c = Controller()
worker = Worker(c, concurrency=1)
worker.handler("a", process=True)(work)
worker.start()
print("started", flush=True)
c.add(job := Job("a"))
print(c.result(job, 60_000).result.decode(), flush=True)
print(worker.stop())
"""


def test_a_program_without_a_guard_is_told_of_it(tmp_path):
    done = run_script(tmp_path, UNGUARDED)
    assert done.stdout.count("started") == 1, "only once: the process does not start a worker"
    assert "before it could take the job" in done.stdout
    assert 'if __name__ == "__main__"' in done.stderr
    assert done.stdout.endswith("True\n")
    guarded = UNGUARDED.replace(
        "\nc = Controller()", '\nif __name__ == "__main__":\n  c = Controller()'
    )
    head, body = guarded.split("  c = Controller()")
    done = run_script(tmp_path, head + "  c = Controller()" + body.replace("\n", "\n  "))
    assert (done.stdout, done.stderr) == ("started\ndone\nTrue\n", "")


NOT_STOPPED = """
import threading
from jobqueue import Controller, Job
from jobqueue.worker import Worker

c = Controller()
begun = threading.Event()

def work(attempt):
    begun.set()
    while not attempt.cancelled:
        threading.Event().wait(0.001)
    print("work done", flush=True)

worker = Worker(c, {"a": work}, concurrency=2)
worker.start()
c.add(Job("a"))
begun.wait()
"""


def test_a_worker_that_nobody_stops_ends_what_it_runs(tmp_path):
    done = run_script(tmp_path, NOT_STOPPED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "work done\n", "")
    done = run_script(tmp_path, NOT_STOPPED, "-X", "dev")
    assert "ResourceWarning: <Worker of a, 2 threads> was never stopped" in done.stderr
    done = run_script(tmp_path, NOT_STOPPED + "worker.stop()\n", "-X", "dev")
    assert (done.stdout, done.stderr) == ("work done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_worker_after_a_fork():
    """As a server that forks after it has loaded the program: its threads are in the parent."""
    with Controller() as c, Worker(c, {"a": lambda attempt: b"here"}, concurrency=1) as worker:
        wait_until(lambda: c.stats().waiting == 1)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                said = []
                for use in (worker.start, worker.run):
                    try:
                        use()
                    except RuntimeError as error:
                        said.append(str(error))
                said.append(str(worker.stop(0)))
                with Controller() as own, Worker(own, {"a": lambda attempt: b"own"}):
                    said.append(own.run(Job("a"), 20_000).result.decode())
                os.write(writer, "\n".join(said).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as told:
            start, run, *rest = told.read().split("\n")
        os.waitpid(pid, 0)
        assert "before a fork" in start
        assert start == run
        assert rest == ["True", "own"]
        assert c.run(Job("a"), 20_000).result == b"here"


def test_run_belongs_to_the_main_thread():
    with Controller() as c:
        worker = Worker(c, {"a": print})
        with pytest.raises(RuntimeError, match="main thread"):
            Call(worker.run).outcome()
        with worker:
            assert c.stats().records == 0


SIGNALS = """
import asyncio, os, signal, sys
from jobqueue import Controller, aio
from jobqueue.worker import Worker

def own(number, frame):
    print("own", number, flush=True)

def stop(attempt):
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, own)
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)

def look():
    assert signal.getsignal(signal.SIGTERM) is own
    signal.raise_signal(signal.SIGTERM)
    assert signal.set_wakeup_fd(-1) == writer
    signal.set_wakeup_fd(writer)

from jobqueue import Job
with Controller() as c:
    c.add(Job("a"))
    assert Worker(c, {"a": stop}).run()
    look()

async def main():
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    async with aio.Controller() as c:
        c.add(Job("a"))
        assert await aio.Worker(c, {"a": stop}).run()
        assert signal.getsignal(signal.SIGINT) == before
        look()
        heard = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, heard.set)
        c.add(Job("a"))
        assert await aio.Worker(c, {"a": stop}).run()
        assert not heard.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 20)

asyncio.run(main())
print("end")
"""


@pytest.mark.skipif(os.name == "nt", reason="the loops of Windows have no signals")
def test_run_puts_the_programs_own_handlers_back(tmp_path):
    done = run_script(tmp_path, SIGNALS)
    assert (done.stdout, done.stderr) == ("own 15\nown 15\nend\n", "")
