"""os.fork(): the child works on its copy, the parent is untouched. In processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

ROOT = Path(__file__).parents[2]
HEAD = """
import faulthandler, json, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
from jobqueue import *
from datetime import datetime, timedelta, UTC

def in_child(work):
    '''Fork; what work() returns in the child, by a pipe. The child ends without clean-up.'''
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(30)  # a child that hangs says where, and ends
        code = 1
        try:
            os.write(writer, json.dumps(work()).encode())
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return json.loads(text)

def soon(predicate):
    end = time.monotonic() + 20
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True

def gauges(c):
    s = c.stats()
    return [s.ready, s.scheduled, s.running, s.waiting, s.records]
"""


def run_script(body: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + body],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ids_differ() -> None:
    found = run_script("""
ID.new()
parent_before = [str(ID.new()) for _ in range(50)]
children = [in_child(lambda: [str(ID.new()) for _ in range(300)]
                     + [str(Job("a").id) for _ in range(300)]) for _ in range(3)]
parent = [str(ID.new()) for _ in range(600)]
everything = parent_before + parent + [id for child in children for id in child]
print(json.dumps([len(everything), len(set(everything))]))
""")
    assert found == [2450, 2450]


def test_the_child_works_and_the_parent_is_untouched() -> None:
    found = run_script("""
c = Controller()
jobs = [Job("a", ttr=60_000, max_fails=2) for _ in range(4)]
c.add_many(jobs)
c.schedule(Job("a", time=datetime.now(UTC) + timedelta(hours=1)))
c.lease("a", 0)

def work():
    seen = [gauges(c)]
    c.add(Job("b"))
    seen.append(c.lease("b", 0).name)
    c.complete(jobs[0], b"by the child")
    seen.append(c.result(jobs[0], 0).result.decode())
    c.delete(jobs[1])
    c.fail(c.lease("a", 0))
    c.release(c.lease("a", 0))
    c._check()
    seen.append(gauges(c))
    return seen

before = gauges(c)
child = in_child(work)
after = gauges(c)
c._check()
c.complete(jobs[0], b"by the parent")
result = c.result(jobs[0], 0).result.decode()
c.close()
print(json.dumps([before, child, after, result]))
""")
    gauges = [3, 1, 1, 0, 5]
    before, child, after, result = found
    assert before == after == gauges
    assert child == [gauges, "b", "by the child", [2, 1, 1, 0, 5]]
    assert result == "by the parent"


def test_timers_work_in_the_child() -> None:
    found = run_script("""
c = Controller()
c.add(Job("a", ttr=150, priority=5))
c.add(Job("a", ttl=200))
c.schedule(Job("s", time=datetime.now(UTC) + timedelta(milliseconds=200)))
c.lease("a", 0)
armed_before = threading.active_count()

def work():
    threads_before = threading.active_count()
    c.add(Job("b", ttr=20))
    c.lease("b", 0)
    own = soon(lambda: c.stats().timed_out >= 1 and c.stats().ready >= 1)
    inherited = soon(lambda: c.stats().timed_out == 2 and c.stats().evicted_jobs == 1
                     and c.stats().scheduled == 0)
    # Unasked: by a thread of the child's own, not by the calls that look.
    fired = threading.Event()
    c.handle_expire(lambda id: fired.set())
    c.add(Job("c", ttl=30))
    unasked = fired.wait(20)
    woken = c.lease("s", 5000).name
    c.close()
    return [threads_before, own, inherited, unasked, woken, threading.active_count()]

child = in_child(work)
parent = soon(lambda: c.stats().timed_out == 1 and c.stats().evicted_jobs == 1
              and c.stats().scheduled == 0)
c.close()
print(json.dumps([armed_before, child, parent]))
""")
    assert found == [2, [1, True, True, True, "s", 1], True]


def test_blocked_threads_of_the_parent_do_not_exist_in_the_child() -> None:
    """Jobs that the child adds go to its own leasers, not to ghosts."""
    found = run_script("""
c = Controller()
got = []
other = Job("other")
c.add(other)
calls = [lambda: c.lease(["a", "b"], 60_000).name] * 3 + [
    lambda: c.result(other, 60_000).success, lambda: c.run(Job("r"), 60_000).success]
def blocked(call):
    got.append(call())
threads = [threading.Thread(target=blocked, args=(call,), daemon=True) for call in calls]
for thread in threads:
    thread.start()
assert soon(lambda: c.stats().waiting == 3 and c.stats().records == 2)

def work():
    waiting = c.stats().waiting
    job = Job("a")
    c.add(job)
    mine = c.lease("a", 2000) == job
    c.complete(other)
    back = []
    thread = threading.Thread(target=lambda: back.append(c.lease("b", 20_000).name))
    thread.start()
    assert soon(lambda: c.stats().waiting == 1)
    c.add(Job("b"))
    thread.join(20)
    c._check()
    c.close()
    return [waiting, mine, back, got]

child = in_child(work)
waiting = c.stats().waiting
for _ in range(3):
    c.add(Job("a"))
c.complete(c.lease("r", 1000))
c.complete(other)
for thread in threads:
    thread.join(20)
c._check()
c.close()
print(json.dumps([child, waiting, sorted(map(str, got))]))
""")
    assert found == [[0, True, ["b"], []], 3, ["True", "True", "a", "a", "a"]]


def test_close_in_the_child_and_in_the_parent() -> None:
    found = run_script("""
c = Controller()
c.add(Job("a", ttl=60_000))
def work():
    c.close()
    try:
        c.stats()
    except ClosedError:
        return "closed"
child = in_child(work)
alive = c.lease("a", 0).name
c.close()
print(json.dumps([child, alive, threading.active_count()]))
""")
    assert found == ["closed", "a", 1]


@pytest.mark.parametrize("engine", ["Controller()", "Controller(queues=Queues())"])
def test_forks_while_other_threads_are_in_the_middle_of_calls(engine: str) -> None:
    """A lock that another thread holds at that moment must not stay locked in the child."""
    found = run_script(
        """
from jobqueue.testing.model.parts import Queues
c = ENGINE
stop = threading.Event()
def churn():
    while not stop.is_set():
        job = Job("a", ttr=5, ttl=50)
        c.add(job)
        try:
            c.complete(c.lease("a", 1))
        except (TimeoutError, NotFoundError, DuplicateResultError):
            pass
def block():
    while not stop.is_set():
        try:
            c.lease("b", 5)
        except TimeoutError:
            pass
threads = [threading.Thread(target=target, daemon=True) for target in (churn, churn, block)]
for thread in threads:
    thread.start()
def work():
    job = Job("c")
    c.add(job)
    ok = c.lease("c", 5000) == job
    c.complete(job, b"x")
    c._check()
    c.add(Job("d", ttl=5))
    ok = ok and soon(lambda: c.peek("d") is None)
    c.close()
    return ok
found = [in_child(work) for _ in range(40)]
stop.set()
for thread in threads:
    thread.join(20)
c._check()
c.close()
print(json.dumps([len(found), all(found)]))
""".replace("ENGINE", engine)
    )
    assert found == [40, True]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("record.timers", "record.timers[0] is None"),
        ("record.result", "record.write_result(b'', True)"),
        ("registry.add(RunRecord(Job('a')))", "registry.add(RunRecord(Job('a')))"),
        ("c.add(Job(next(names)))", "c.add(Job('by-the-child')) is None"),
        ("c.pause(next(names))", "c.pause('by-the-child') is None"),
    ],
)
def test_forks_while_another_thread_waits_for_the_engine(theirs: str, ours: str) -> None:
    """Without a GIL a call may hold a lock of the process, or of the queues, while it waits for the
    engine's, which whoever forks holds: in the child nobody lets go of that."""
    found = run_script(
        """
import itertools
names = (f"queue-{i}" for i in itertools.count())
def meet():
    global c, registry, record
    c = Controller()
    registry = c.registry
    c.add(job := Job("a"))
    record = registry.record(job)
    going, stop = threading.Event(), threading.Event()
    def churn():
        going.set()
        while not stop.is_set():
            THEIRS
    thread = threading.Thread(target=churn, daemon=True)
    thread.start()
    going.wait()
    found = in_child(lambda: OURS)
    stop.set()
    thread.join(20)
    c._check()
    c.close()
    return found
print(json.dumps([meet() for _ in range(20)]))
""".replace("THEIRS", "; ".join([theirs] * 8)).replace("OURS", ours)
    )
    assert found == [True] * 20


def test_a_child_of_a_child() -> None:
    found = run_script("""
c = Controller()
c.add(Job("a"))
def grandchild():
    c.add(Job("a"))
    return [str(ID.new()), c.stats().ready]
def child():
    c.add(Job("a"))
    return [str(ID.new()), c.stats().ready, in_child(grandchild), c.stats().ready]
own, ready, (young, most), again = in_child(child)
print(json.dumps([ready, most, again, c.stats().ready, len({own, young, str(ID.new())})]))
c.close()
""")
    assert found == [2, 3, 2, 1, 3]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Any) -> None:
    """Jobs travel by pickle; a child makes a controller of its own."""
    script = tmp_path / "main.py"
    script.write_text("""
import multiprocessing, sys
from jobqueue import Controller, Job

def work(connection):
    job = connection.recv()
    with Controller() as c:
        c.add(job)
        leased = c.lease(job.name, 1000)
        c.complete(leased, leased.payload.upper())
        connection.send((c.result(job, 0), leased))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    process.start()
    job = Job("a", b"hello", priority=3)
    ours.send(job)
    result, back = ours.recv()
    process.join()
    assert (result.success, result.result) == (True, b"HELLO")
    assert (back, back.payload, back.priority) == (job, b"hello", 3)
    assert process.exitcode == 0
""")
    done = subprocess.run(
        [sys.executable, str(script), method],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_child_forgets_who_waited_for_room() -> None:
    found = run_script("""
c = Controller(max_jobs=1)
c.add(first := Job("a"))
thread = threading.Thread(target=c.add, args=(Job("a"), 60_000))
thread.start()
assert soon(lambda: c.stats().blocked == 1)

def child():
    blocked = c.stats().blocked
    c.complete(first)
    return [blocked, c.stats().ready]

in_the_child = in_child(child)
c.complete(first)
thread.join()
print(json.dumps([in_the_child, c.stats().ready, c.stats().blocked]))
c.close()
""")
    assert found == [[0, 0], 1, 0]


def test_a_child_tells_its_observers_though_its_parent_was_telling() -> None:
    assert run_script("""
c = Controller()
going, go = threading.Event(), threading.Event()
c.observe(lambda event: (going.set(), go.wait()) if not going.is_set() else None)
thread = threading.Thread(target=c.add, args=(Job("a"),))
thread.start()
going.wait()

def work():
    told = []
    c.observe(told.append)
    c.add(Job("b"))
    return [event.name for event in told]

told = in_child(work)
go.set()
thread.join()
print(json.dumps(told))
""") == ["b"]
