"""Many cycles of each verb leave counts of references and memory where they were.

In processes of their own.
"""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = """
import gc, json, sys
from datetime import UTC, datetime, timedelta
from jobqueue import *
from jobqueue.testing import ManualClock

c = Controller(clock=ManualClock())
first, second = Job("a", b"p"), Job("b", b"p", unique=b"key")
later = Job("s", time=datetime.now(UTC) + timedelta(days=9000))
result = bytes(100)

def lease_cycle():
    c.add(first); c.lease("a", 0); c.complete(first, result); c.result(first, 0); c.delete(first)

def any_cycle():
    c.add(first); c.add(second); c.lease(["a", "b"], 0); c.lease(["a", "b"], 0)
    c.delete_many([first, second])

def batch_cycle():
    c.add_many([first, second]); c.lease_many(["a", "b"], 5, 0)
    c.complete_many([(first, result), (str(second.id), result)]); c.delete_many([first, second])

def schedule_cycle():
    c.schedule(later); c.registry.record(later).timers; c.scheduled_jobs("s"); c.delete(later)

def fail_cycle():
    c.add(first); c.lease("a", 0); c.fail(first, result); c.dead("a"); c.kick(first)
    c.expire(first)

def lease_answers_cycle():
    c.add(second); c.start_attempt(second); c.touch(second); c.release(second)
    c.lease("b", 0)
    c.timeout_attempt(second); c.delete(second)

def attempt_cycle():
    c.add(first)
    with c.attempt("a", 0) as attempt:
        attempt.touch(); attempt.deadline; attempt.complete(result)
    c.delete(first)

def wait_cycle():
    waiter = c.lease_begin(["a", "b"], 5, callable)
    c.add(first); c.wait_finish(waiter, None, 5); c.delete(first)
    c.wait_abandon(c.lease_begin("a", 5, callable))
    c.wait_abandon(c.run_begin(first, 5, callable))

def error_cycle():
    for call in (lambda: c.lease("a", 0), lambda: c.delete(first), lambda: c.complete(first, 5),
                 lambda: Job("a b"), lambda: Job("a", ttr=0), lambda: ID(b"1")):
        try:
            call()
        except Exception:
            pass

def look_cycle():
    c.add(first); c.peek("a"); c.jobs("a"); c.names(); c.stats(); c.pause("a"); c.resume("a")
    list(Inspector(c.queues.queue("a")).iterators()[0]); c.registry.record(first).result
    c.delete(first)

def job_cycle():
    job = Job("a", result, priority=5, unique=b"k")
    job.replace(priority=6); hash(job); job == first
    ID.parse(str(job.id)); job.expiration

def queue_cycle():
    queue = WorkQueue(); queue.add(first); queue.lease(); queue.add(second); queue.delete(second)
    registry = Registry(); record = RunRecord(first); registry.add(record)
    record.write_result(result, True); registry.delete(first)

def controller_cycle():
    with Controller(clock=ManualClock()) as d:
        d.add(Job("x")); d.lease_begin("y", 5, callable)
"""

BODY = """
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096

def counted():
    held = [Job, ID, RunRecord, WorkQueue, Waiter, MaxAttemptsReachedError, first, second, later,
            result, None, b"", "a", "b", True]
    return [sys.getrefcount(thing) for thing in held]

from jobqueue._objects.registry import Waiter
cycle, rounds = globals()[sys.argv[1]], int(sys.argv[2])
for _ in range(2000):
    cycle()
gc.collect()
before, memory = counted(), rss()
for _ in range(rounds):
    cycle()
gc.collect()
after, grown = counted(), rss() - memory
print(json.dumps([max(map(lambda a, b: abs(a - b), before, after)), grown]))
"""

CYCLES = [line[4:-3] for line in HEAD.splitlines() if line.startswith("def ")]
CALLS = {"controller_cycle": 50, "error_cycle": 10, "look_cycle": 10, "queue_cycle": 4}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("cycle", CYCLES)
def test_counts_and_memory_are_flat(long: bool, cycle: str) -> None:
    rounds = (10_000_000 if long else 5_000) // CALLS.get(cycle, 1)
    done = subprocess.run(
        [sys.executable, "-c", HEAD + BODY, cycle, str(rounds)],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    moved, grown = json.loads(done.stdout)
    assert moved < max(50, rounds // 500)  # a leak moves it by each cycle; caches hold some of None
    assert grown < 3_000_000  # a chunk of 2 MiB may have come


MILLIONS = """
import ctypes, gc, json
from jobqueue import *

def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096

COUNT, ROUNDS = 250_000, ROUNDS_
trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda left: None)
found = []
with Controller(result_ttl=0) as c:
    for n in range(ROUNDS):
        c.add_many([Job("a", b"x" * 50) for _ in range(COUNT)])
        full = rss()
        while c.stats().ready:
            c.complete_many([(job, b"") for job in c.lease_many("a", 10_000, 0)])
        gc.collect()
        empty = rss()
        trim(0)
        found.append((full, empty, rss()))
print(json.dumps(found))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_returns_when_millions_have_come_and_gone(long: bool) -> None:
    script = MILLIONS.replace("ROUNDS_", "20" if long else "2")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=True
    )
    found = json.loads(done.stdout)
    full, empty, trimmed = found[-1]
    # What the C library keeps of pages that were given back to it is its own affair, and changes
    # from build to build: it is asked for them, and what is left then does not grow.
    assert trimmed < found[0][2] * 1.1
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):  # there, Python's allocator keeps pages
        assert trimmed < full / 3
        assert empty < full * 0.6
