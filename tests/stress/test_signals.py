"""Signals at every blocking point, many times: nothing is lost, or leased, and nobody waits on.

In processes of their own; each round is struck at another moment.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
ROOT = Path(__file__).parents[2]

HEAD = """
import _thread, json, random, signal, sys, threading
from jobqueue import *

ROUNDS, by, seed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
c = Controller()
other = Job("other")
c.add(other)
asked, done = threading.Semaphore(0), threading.Event()
armed = False

def handler(*_):
    if armed:
        raise KeyboardInterrupt
    if not done.is_set():  # it would be spent on nobody: strike again
        signal.setitimer(signal.ITIMER_REAL, 0.001)

def strike():
    pause = threading.Event()
    while True:
        asked.acquire()
        if done.is_set():
            return
        pause.wait(rng.random() / 500)
        _thread.interrupt_main()

def shoot():
    if by == "interrupt_main":
        asked.release()
    else:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + rng.random() / 500)

signal.signal(signal.SIGALRM, handler)
signal.signal(signal.SIGINT, handler)
striker = threading.Thread(target=strike)
striker.start()
"""

BLOCKED = """
def enter():
    with c.attempt("a", 60_000):
        raise AssertionError("there is no job")

CALLS = {
    "lease": lambda: c.lease("a", 60_000),
    "lease, any": lambda: c.lease(["a", "b"], 60_000),
    "lease_many": lambda: c.lease_many(["a", "b"], 5, 60_000),
    "attempt": enter,
    "run": lambda: c.run(Job("r"), 60_000),
    "result": lambda: c.result(other, 60_000),
}
struck = 0
for _ in range(ROUNDS):
    try:
        armed = True
        shoot()
        CALLS[sys.argv[4]]()
    except KeyboardInterrupt:
        armed = False
        struck += 1
    armed = False
    stats = c.stats()
    assert (stats.waiting, stats.running, stats.records) == (0, 0, 1), stats
c._check()
done.set()
asked.release()
striker.join()
c.close()
print(json.dumps(struck))
"""

FED = """
# A producer feeds jobs all the while: each that was not returned is back in line.
fed = []
def feed():
    pause = threading.Event()
    while not done.is_set():
        job = Job("a", ttr=3_600_000)
        fed.append(job)
        c.add(job)
        pause.wait(0.0005)

producer = threading.Thread(target=feed)
producer.start()
struck, got = 0, set()
for _ in range(ROUNDS):
    try:
        armed = True
        shoot()
        while True:
            with c.attempt("a", 60_000) as attempt:
                armed = False
                got.add(attempt.job)
                attempt.complete()
            armed = True
    except KeyboardInterrupt:
        armed = False
        struck += 1
    armed = False
done.set()
asked.release()
producer.join()
striker.join()
c._check()
stats = c.stats()
assert stats.running == stats.waiting == 0, stats
left = c.jobs("a")
assert stats.completed == len(got) == len(fed) - len(left), (stats, len(got), len(fed))
assert not got & set(left)
c.close()
print(json.dumps(struck))
"""

BY = pytest.mark.parametrize("by", ["setitimer", "interrupt_main"])


def strikes(body: str, long: bool, by: str, seed: int, *more: str) -> tuple[int, int]:
    rounds = 1000 if long else 20
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body, str(rounds), by, str(seed), *more],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return rounds, json.loads(done.stdout)


@BY
@pytest.mark.parametrize("call", ["lease", "lease, any", "lease_many", "attempt", "run", "result"])
def test_a_blocked_call_is_struck(long: bool, by: str, seed: int, call: str) -> None:
    rounds, struck = strikes(BLOCKED, long, by, seed, call)
    assert struck == rounds


@BY
def test_a_worker_is_struck_while_jobs_arrive(long: bool, by: str, seed: int) -> None:
    rounds, struck = strikes(FED, long, by, seed)
    assert struck == rounds


BUSY = """
# Verbs that do not wait, under a storm of signals: observers, hooks, wakes, timers.
import asyncio
from jobqueue import aio
from jobqueue.testing.model.parts import Queues

c.close()
c = Controller(queues=Queues() if sys.argv[4] == "foreign" else None)
woken, stop = [], threading.Event()

def leaser():
    while not stop.is_set():
        try:
            woken.append(c.lease("woken", 20))
            c.delete(woken[-1])
        except (WaitTimeoutError, NotFoundError, ClosedError):
            pass

async def task():
    q = aio.Controller(c)
    while not stop.is_set():
        try:
            woken.append(await q.lease("woken", 20))
            q.delete(woken[-1])
        except (WaitTimeoutError, NotFoundError, ClosedError):
            pass

threads = [threading.Thread(target=leaser) for _ in range(2)]
threads.append(threading.Thread(target=lambda: asyncio.run(task())))
for thread in threads:
    thread.start()
c.observe(lambda event: [n * n for n in range(30)])
c.handle_timeout_attempt(lambda id: c.timeout_attempt(id))
c.handle_expire(lambda id: c.expire(id))

def work():
    c.add(Job("woken"))
    c.add(Job("short", ttl=rng.randrange(1, 5), ttr=1))
    try:
        c.lease("short", 0)
    except WaitTimeoutError:
        pass
    c.add(Job("x", max_fails=2))
    with c.attempt("x", 0) as attempt:
        if rng.random() < 0.5:
            attempt.fail(b"no")
    c.delete_many(c.jobs("x"))
    c.stats()

struck = 0

def storm(*_):
    global struck
    signal.setitimer(signal.ITIMER_REAL, 0.001)  # a weakref callback swallows it
    if armed:
        struck += 1
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, storm)
while struck < ROUNDS:
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 3e-4))
        while True:
            work()
    except KeyboardInterrupt:
        armed = False
    except WaitTimeoutError:  # another strike had leased it
        armed = False
armed = False
signal.setitimer(signal.ITIMER_REAL, 0)
stop.set()
for thread in threads:
    thread.join()
c.handle_timeout_attempt(None)
c._check()
pause = threading.Event()
for _ in range(5000):  # by themselves: nobody looks
    if not any(record.job.name == "short" for record in c.registry):
        break
    pause.wait(0.002)
else:
    raise AssertionError("timers do not fire")
for record in c.registry:
    ttr = record.timers[0]
    assert record.running() == (ttr is not None and not ttr.fired and not ttr.cancelled), record
c.add(job := Job("last"))
assert c.lease("last", 0) == job
c.close()
for thread in threading.enumerate():
    if thread.name == "jobqueue-observers":  # it tells the rest, and ends
        thread.join(60)
assert not [thread for thread in threading.enumerate() if "jobqueue" in thread.name]
done.set()
asked.release()
striker.join()
print(json.dumps(struck))
"""


@pytest.mark.parametrize("queues", ["native", "foreign"])
def test_verbs_are_struck_in_a_storm(long: bool, seed: int, queues: str) -> None:
    rounds, struck = strikes(BUSY, long, "setitimer", seed, queues)
    assert struck >= rounds


SHUTDOWN = """
import threading
from jobqueue import *
c = Controller()
c.add(Job("t", ttl=50))
c.schedule(Job("s", time=__import__("datetime").datetime.now(__import__("datetime").UTC)))
other = Job("other")
c.add(other)
calls = [lambda: c.lease("a", 60_000), lambda: c.lease(["a", "b"], 60_000),
         lambda: c.result(other, 60_000), lambda: c.run(Job("r"), 60_000)]
def churn():
    while True:
        job = Job("x", ttr=1)
        c.add(job)
        c.lease("x", 0)
def quiet(call):
    try:
        call()
    except JobQueueError:
        pass
for call in calls * 2 + [churn]:
    threading.Thread(target=quiet, args=(call,), daemon=True).start()
while c.stats().waiting < 4:
    pass
"""


def test_the_interpreter_ends_under_blocked_and_busy_daemon_threads(long: bool) -> None:
    for _ in range(50 if long else 3):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", SHUTDOWN],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
        assert (done.returncode, done.stderr) == (0, "")
