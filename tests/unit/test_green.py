"""gevent and eventlet: a greenlet that waits lets the others of its thread run.

The real libraries, each case in a process of its own: a monkey patch cannot be taken back.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = {
    "gevent": """
from gevent import monkey
if BEFORE: import jobqueue
if PATCHED: monkey.patch_all()
import gevent
from gevent.event import Event

def in_thread(work): return gevent.get_hub().threadpool.apply(work)
def real_ident(): return monkey.get_original("_thread", "get_ident")()
yield_ = lambda: gevent.sleep(0)
nap = gevent.sleep
class Task:
    def __init__(self, work): self.greenlet = gevent.spawn(self.work, work)
    def work(self, work):
        try: self.end = work()
        except Exception as error: self.end = error
    def wait(self):
        self.greenlet.join(20)
        return self.end
    def kill(self): self.greenlet.kill()
def in_hub(work): gevent.get_hub().loop.run_callback(work)
Cut = gevent.Timeout
""",
    "eventlet": """
import eventlet
if BEFORE: import jobqueue
if PATCHED: eventlet.monkey_patch()
from eventlet import tpool, hubs, patcher

def in_thread(work): return tpool.execute(work)
def real_ident(): return patcher.original("_thread").get_ident()
yield_ = lambda: eventlet.sleep(0)
nap = eventlet.sleep
class Task:
    def __init__(self, work): self.greenlet = eventlet.spawn(self.work, work)
    def work(self, work):
        try: self.end = work()
        except Exception as error: self.end = error
    def wait(self):
        with eventlet.Timeout(20): self.greenlet.wait()
        return self.end
    def kill(self): self.greenlet.kill()
def in_hub(work): hubs.get_hub().schedule_call_global(0, work)
Cut = eventlet.Timeout
""",
}
BODY = """
import sys, time, _thread
from jobqueue import *
from jobqueue.testing import ManualClock
from jobqueue.worker import Worker

def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        nap(0.001)

nap(0)  # so that this thread has a hub
c = Controller()
"""


def run_script(library: str, body: str, *, patched: bool = True, before: bool = False) -> str:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed for this Python")
    code = f"PATCHED, BEFORE = {patched}, {before}\n{HEAD[library]}{BODY}{body}"
    done = subprocess.run(
        # No -W error: what these libraries import warns of its own end.
        [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(params=["gevent", "eventlet"])
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


WAITS = {
    "lease": ('c.lease("mail", 20_000)', 'c.add(Job("mail", b"x"))', 'end.payload == b"x"'),
    "lease of several": (
        'c.lease(["mail", "post"], 20_000)',
        'c.add(Job("post", b"x"))',
        'end.payload == b"x"',
    ),
    "lease_many": ('c.lease_many("mail", 5, 20_000)', 'c.add(Job("mail"))', "len(end) == 1"),
    "attempt": (
        'c.attempt("mail", 20_000).__enter__()',
        'c.add(Job("mail"))',
        "end.number == 1",
    ),
    "run": (
        'c.run(Job("mail"), 20_000)',
        'c.complete(c.lease("mail", 0), b"done")',
        'end == (True, b"done")',
    ),
    "result": (
        "c.result(job, 20_000)",
        'c.complete(job, b"done")',
        'end == (True, b"done")',
    ),
    "add": (
        'c.add(Job("full"), wait=20_000)',
        'c.delete(c.peek("full"))',
        "end is None",
    ),
    "schedule": (
        'c.schedule(Job("full", time=job.created), wait=20_000)',
        'c.delete(c.peek("full"))',
        "end is None",
    ),
}


@pytest.mark.parametrize("from_where", ["a greenlet", "a thread"])
def test_others_run_while_a_greenlet_waits(library: str, from_where: str) -> None:
    cases = ""
    for wait, (call, answer, holds) in WAITS.items():
        given = answer if from_where == "a greenlet" else f"in_thread(lambda: {answer})"
        cases += f"""
c = Controller()
job = Job("asked")
c.add(job)
c.limit("full", max_jobs=1)
c.add(Job("full"))
task = Task(lambda: {call})
for _ in range(3): yield_()  # this line is reached: the hub is free
{given}
end = task.wait()
assert {holds}, ({wait!r}, end)
c._check()
c.close()
"""
    run_script(library, cases)


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_time_outs_and_timers(library: str, *, patched: bool, before: bool) -> None:
    run_script(
        library,
        """
def late(id): threads.append(real_ident()); c.timeout_attempt(id)
threads = []
c.handle_timeout_attempt(late)
c.add(Job("mail", ttr=1))
c.lease("mail", 0)
until(lambda: threads)  # no verb looks at the time meanwhile
assert threads[0] != real_ident(), "timers run in a thread of the platform"
c.delete(c.peek("mail"))
assert isinstance(Task(lambda: c.lease("mail", 20)).wait(), WaitTimeoutError)
assert isinstance(Task(lambda: c.run(Job("run"), 20)).wait(), WaitTimeoutError)
assert c.stats().waiting == 0
task = Task(lambda: c.lease("mail", 20_000))
yield_()
c.close()
assert isinstance(task.wait(), ClosedError)
""",
        patched=patched,
        before=before,
    )


def test_a_greenlet_that_is_killed_or_cut_short_leaves_nothing(library: str) -> None:
    run_script(
        library,
        """
task = Task(lambda: c.lease("mail", 20_000))
until(lambda: c.stats().waiting == 1)
c.add(Job("mail"))  # it is handed over, but does not get to run
task.kill()
yield_()
assert (c.stats().waiting, c.stats().running) == (0, 0) or task.wait()
if not hasattr(task, "end"): c.lease("mail", 0)
try:
    with Cut(0.02): c.lease("mail", 20_000)
except Cut: pass
else: raise AssertionError
assert c.stats().waiting == 0
c._check()
c.close()
""",
    )


def test_virtual_time(library: str) -> None:
    run_script(
        library,
        """
clock = ManualClock()
c = Controller(clock=clock)
task = Task(lambda: c.lease("mail", 1000))
until(lambda: c.stats().waiting == 1)
clock.advance(1000)
assert isinstance(task.wait(), WaitTimeoutError)
job = Job("mail", ttr=1000)
task = Task(lambda: c.run(job, 10))
yield_()
c.lease("mail", 0)
clock.advance(10)  # the wait lapses, and goes on up to the TTR
yield_()
clock.advance(990)
assert isinstance(task.wait(), WaitTimeoutError), task.end
c.close()
""",
    )


def test_workers_are_greenlets(library: str) -> None:
    run_script(
        library,
        """
at_once = []
def handler(attempt):
    at_once.append(1)
    until(lambda: len(at_once) == 3)  # they take turns
    return attempt.job.payload * 2
with Worker(c, {"double": handler}, concurrency=3):
    tasks = [Task(lambda: c.run(Job("double", b"ab"), 20_000).result) for _ in range(3)]
    assert [task.wait() for task in tasks] == [b"abab"] * 3
c.close()
""",
    )


def test_the_hub_itself_cannot_wait(library: str) -> None:
    run_script(
        library,
        """
said = []
def work():
    try: c.lease("mail", 1000)
    except RuntimeError as error: said.append(str(error))
in_hub(work)
until(lambda: said)
assert "would stop the hub" in said[0] and "timeout of 0" in said[0], said
assert c.stats().waiting == 0
c.close()
""",
    )


def test_threads_without_a_hub_sleep_by_themselves(library: str) -> None:
    run_script(
        library,
        """
start = (monkey.get_original("_thread", "start_new_thread") if "monkey" in globals()
         else patcher.original("_thread").start_new_thread)
got = []
start(lambda: got.append(c.lease("mail", 20_000)), ())
until(lambda: c.stats().waiting == 1)
c.add(Job("mail"))
until(lambda: got)
c.close()
""",
    )


def test_no_descriptor_is_left_behind(library: str) -> None:
    run_script(
        library,
        """
import os
def descriptors(): return len(os.listdir("/proc/self/fd"))
if os.path.exists("/proc/self/fd"):
    in_thread(lambda: None)
    Task(lambda: c.lease("mail", 1)).wait()
    before = descriptors()
    tasks = [Task(lambda: c.lease("mail", 20_000)) for _ in range(50)]
    until(lambda: c.stats().waiting == 50)
    in_thread(lambda: c.add_many([Job("mail") for _ in range(50)]))
    assert all(isinstance(task.wait(), Job) for task in tasks)
    assert descriptors() == before, (before, descriptors())
c.close()
""",
    )
