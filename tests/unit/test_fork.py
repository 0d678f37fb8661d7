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
import ctypes, faulthandler, json, os, signal, sys, threading, time, warnings
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


AT_REST = """
sys.setswitchinterval(1000)  # a thread keeps the GIL until it sleeps

def at_rest():
    '''Wait until the other threads sleep: a child hangs if one of the parent's waits for the GIL,
    unless Python's hooks make the GIL anew.'''
    def asleep():
        tasks = "/proc/self/task"
        frames = sys._current_frames()
        begun = not os.path.isdir(tasks) or len(os.listdir(tasks)) == len(frames)
        return begun and all(
            "threading" not in frame.f_code.co_filename
            for ident, frame in frames.items() if ident != threading.get_ident())
    return soon(asleep)
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


@pytest.fixture(params=["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["hooks", "no hooks"])
def fork(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How to fork: as Python does, or as a host in C that runs none of its hooks (uWSGI)."""
    head = HEAD
    if request.param != "os.fork()":
        head = HEAD.replace("os.fork()", f"at_rest() and {request.param}") + AT_REST
    monkeypatch.setitem(globals(), "HEAD", head)
    return str(request.param)


either_way = pytest.mark.usefixtures("fork")


@either_way
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


@either_way
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
armed_before = soon(lambda: threading.active_count() == 2)

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
    assert found == [True, [1, True, True, True, "s", 1], True]


@either_way
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


@either_way
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


@either_way
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


@either_way
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


@either_way
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


NO_HOOKS = """
def host_forks(work):  # as in_child, with nobody told
    global in_child
    fork = os.fork
    os.fork = ctypes.PyDLL(None).fork
    try:
        return in_child(work)
    finally:
        os.fork = fork
"""


def test_a_fork_without_hooks_is_noticed_by_every_verb() -> None:
    """Whatever verb comes first in the child: it does not meet what belongs to the parent."""
    found = run_script(
        NO_HOOKS
        + """
c = Controller(max_jobs=9)
c.add_many([first := Job("a"), second := Job("a")])
c.lease("a", 0)
done = Job("a")
c.add(done)
c.fail(c.lease("a", 0), b"no")
line = threading.Thread(target=lambda: c.lease("line", 20_000), daemon=True)
line.start()
assert soon(lambda: c.stats().waiting == 1)
other = Controller()
other.add(Job("a", ttr=10**6))  # its timers are armed too
other.lease("a", 0)
verbs = [
    lambda: c.add(Job("line")), lambda: c.add_many([Job("line")]), lambda: c.peek("line"),
    lambda: c.schedule(Job("line", time=datetime.now(UTC))), lambda: c.stats(),
    lambda: c.lease("a", 0), lambda: c.lease_many("a", 2, 0), lambda: c.delete(first),
    lambda: c.complete(first), lambda: c.fail(first), lambda: c.touch(first),
    lambda: c.release(first), lambda: c.expire(first), lambda: c.timeout_attempt(first),
    lambda: c.complete_many([(first, b"")]), lambda: c.delete_many([first]),
    lambda: c.kick(first), lambda: c.pause("line"), lambda: c.resume("line"), lambda: c.names(),
    lambda: c.limit("line"), lambda: c.jobs("a"), lambda: c.explain(first), lambda: c.dead("a"),
    lambda: c.result(first, 0), lambda: c.queue_stats("line"), lambda: c.fire_due(),
    lambda: c.run(Job("line"), 0), lambda: c.observe(print).stop(), lambda: c.__enter__(),
]
def child(verb):
    def work():
        try:
            verb()
        except JobQueueError:
            pass
        c.add(Job("line"))
        waiting = c.stats().waiting, c.peek("line") is not None  # not handed to a thread elsewhere
        c._check()
        other.add(Job("b", ttl=5))  # the child's timers run, in the other controllers too
        fired = threading.Event()
        other.handle_expire(lambda id: fired.set())
        return [*waiting, fired.wait(20)]
    return work
found = [host_forks(child(verb)) for verb in verbs]
assert c.stats().waiting == 1
c.add(last := Job("line"))
line.join(20)
print(json.dumps([len(found), [i for i, it in enumerate(found) if it != [0, True, True]]]))
"""
    )
    assert found == [30, []]


def test_a_fork_without_hooks_does_not_share_a_command_log(tmp_path: Path) -> None:
    found = run_script(
        NO_HOOKS
        + f"""
from jobqueue.cmdlog import DurableController
path = {str(tmp_path / "log")!r}
c = DurableController(path)
c.add(Job("a"))
def work():
    said = []
    for verb in (lambda: c.add(Job("b")), lambda: c.lease("a", 0)):
        try:
            verb()
            said.append("done")
        except JobQueueError as error:
            said.append(type(error).__name__)
    return said
child = host_forks(work)
hooked = in_child(work)
c.add(Job("c"))
c.close()
with DurableController(path) as c:
    print(json.dumps([child == hooked, child, sorted(c.names())]))
"""
    )
    assert found[0], found
    assert "done" not in found[1]
    assert found[2] == ["a", "c"]


def test_the_count_of_forks() -> None:
    found = run_script(
        NO_HOOKS
        + """
from jobqueue import _system
print(json.dumps([_system.forks(), in_child(_system.forks), host_forks(_system.forks)]))
"""
    )
    assert found == [0, 1, 1]
