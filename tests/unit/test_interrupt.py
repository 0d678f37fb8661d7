"""Ctrl-C ends a blocked call at once, and loses nothing. In processes of their own.

Each script blocks on the main thread; a signal strikes it there. What it prints is checked.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

HEAD = """
import _thread, json, os, signal, sys, threading, time
from jobqueue import *
from jobqueue.testing import ManualClock

engine = Controller()
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if we run in the background

def interrupt_by_alarm(delay=0.05):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, delay)

def interrupt_by_ctrl_c(delay=0.05):
    def strike():
        threading.Event().wait(delay)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=strike, daemon=True).start()

def state(job):
    record = engine.registry.record(job.id)
    return None if record is None else (record.state.name, record.attempts, record.fails)

def report(**found):
    print(json.dumps(found))
"""
KILL_S = 60
ROOT = Path(__file__).parents[2]
# A tracer of Python code, were there one, would be what the interrupts strike.
UNTRACED = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}


def run_script(body: str, **names: str) -> dict[str, Any]:
    """Run a script in a fresh interpreter; what it reports last."""
    for name, text in names.items():
        body = body.replace(name, text)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + body],
        capture_output=True,
        text=True,
        timeout=KILL_S,
        check=False,
        cwd=ROOT,
        env=UNTRACED,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


BY = pytest.mark.parametrize("by", ["interrupt_by_alarm", "interrupt_by_ctrl_c"])
ENGINES = pytest.mark.parametrize("clock", ["", "engine = Controller(clock=ManualClock())"])
CALLS = {
    "lease": 'engine.lease(["a", "b"], 60_000)',
    "lease_many": 'engine.lease_many("a", 5, 60_000)',
    "attempt": 'engine.attempt("a", 60_000).__enter__()',
    "result": "engine.result(other, 60_000)",
    "run": "engine.run(job, 60_000)",
}


@BY
@ENGINES
@pytest.mark.parametrize("call", CALLS)
def test_ends_a_blocked_call_promptly(by: str, clock: str, call: str) -> None:
    found = run_script(
        """
CLOCK
other, job = Job("other"), Job("c")
engine.add(other)
INTERRUPT()
begun = time.monotonic()
try:
    CALL
    kind = "returned"
except BaseException as error:
    kind = type(error).__name__
took = time.monotonic() - begun
stats = engine.stats()
after = Job("a")
engine.add(after)
leased = engine.lease("a", 0) == after
engine.complete(after)
engine._check()
engine.close()
report(kind=kind, took=took, waiting=stats.waiting, ready=stats.ready, running=stats.running,
       records=stats.records, leased=leased, state=state(other))
""",
        CLOCK=clock,
        INTERRUPT=by,
        CALL=CALLS[call],
    )
    assert found.pop("took") < 10  # against 60 s; the promise of 50 ms is measured elsewhere
    assert found == {
        "kind": "KeyboardInterrupt",
        "waiting": 0,
        "ready": 1,
        "running": 0,
        "records": 1,
        "leased": True,
        "state": ["NEW", 0, 0],
    }


@BY
def test_an_interrupted_run_is_gone_even_while_leased(by: str) -> None:
    found = run_script(
        """
job = Job("a")
worker = threading.Thread(target=lambda: engine.lease("a", 60_000), daemon=True)
worker.start()
while engine.stats().waiting == 0:
    pass
INTERRUPT()
try:
    engine.run(job, 60_000)
    kind = "returned"
except KeyboardInterrupt:
    kind = "interrupted"
worker.join()
try:
    engine.complete(job)
    late = "accepted"
except NotFoundError:
    late = "not found"
stats = engine.stats()
report(kind=kind, state=state(job), late=late, records=stats.records, running=stats.running)
""",
        INTERRUPT=by,
    )
    assert found == {
        "kind": "interrupted",
        "state": None,
        "late": "not found",
        "records": 0,
        "running": 0,
    }


@ENGINES
@pytest.mark.parametrize("call", CALLS)
def test_interrupt_main_ends_a_wait(clock: str, call: str) -> None:
    """It wakes nobody who sleeps on a lock, nor does a signal that strikes just before the sleep:
    the main thread looks by itself."""
    found = run_script(
        """
CLOCK
other, job = Job("other"), Job("c")
engine.add(other)
def strike():
    threading.Event().wait(0.02)
    _thread.interrupt_main()
threading.Thread(target=strike, daemon=True).start()
try:
    CALL
    kind = "returned"
except KeyboardInterrupt:
    kind = "interrupted"
stats = engine.stats()
engine._check()
report(kind=kind, running=stats.running, waiting=stats.waiting, records=stats.records)
""",
        CLOCK=clock,
        CALL=CALLS[call],
    )
    assert found == {"kind": "interrupted", "running": 0, "waiting": 0, "records": 1}


@ENGINES
@pytest.mark.parametrize("call", ["lease", "lease_many", "result"])
def test_interrupt_main_strikes_though_the_wait_ends(clock: str, call: str) -> None:
    """A job that arrives with the interrupt goes back untouched."""
    found = run_script(
        """
CLOCK
other, job = Job("other"), Job("a")
engine.add(other)
def strike():
    while engine.stats().waiting == 0 and "CALL" != "result":
        pass
    threading.Event().wait(0.05)
    _thread.interrupt_main()
    engine.add(job)
    engine.complete(other)
threading.Thread(target=strike, daemon=True).start()
try:
    EXPRESSION
    for _ in range(10**6):
        pass
    kind = "returned"
except KeyboardInterrupt:
    kind = "interrupted"
while len(engine.registry) < 2 or engine.stats().completed == 0:
    pass
stats = engine.stats()
engine._check()
report(kind=kind, ready=stats.ready, running=stats.running, leased=stats.leased, state=state(job))
""",
        CLOCK=clock,
        EXPRESSION=CALLS[call],
        CALL=call,
    )
    assert found == {
        "kind": "interrupted",
        "ready": 1,
        "running": 0,
        "leased": 0,
        "state": ["NEW", 0, 0],
    }


def test_a_handler_that_returns_does_not_end_the_wait() -> None:
    found = run_script(
        """
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
job = Job("a")
def add():
    while len(seen) < 5:
        pass
    engine.add(job)
threading.Thread(target=add, daemon=True).start()
got = engine.lease("a", 60_000)
signal.setitimer(signal.ITIMER_REAL, 0)
report(got=got == job, seen=len(seen))
"""
    )
    assert found["got"]
    assert found["seen"] >= 5


def test_a_handler_may_call_the_engine() -> None:
    """It runs in the very thread that is blocked, and hands it its job."""
    found = run_script(
        """
job = Job("a", b"from the handler")
signal.signal(signal.SIGALRM, lambda *_: engine.add(job))
signal.setitimer(signal.ITIMER_REAL, 0.02)
got = engine.lease("a", 60_000)
report(got=got.payload.decode(), state=state(job))
"""
    )
    assert found == {"got": "from the handler", "state": ["LEASED", 1, 0]}


def test_a_handler_that_raises_and_hands_over() -> None:
    """The job arrives in the same handler that interrupts: it must go back, untouched."""
    found = run_script(
        """
first, job = Job("a", priority=-1), Job("a")
def strike(*_):
    engine.add(job)
    engine.add(first)
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, strike)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    engine.lease("a", 60_000)
    kind = "returned"
except KeyboardInterrupt:
    kind = "interrupted"
stats = engine.stats()
order = [engine.lease("a", 0) == job, engine.lease("a", 0) == first]
report(kind=kind, ready=stats.ready, running=stats.running, leased=stats.leased,
       order=order, state=state(job))
"""
    )
    assert found == {
        "kind": "interrupted",
        "ready": 2,
        "running": 0,
        "leased": 0,
        "order": [True, True],
        "state": ["LEASED", 1, 0],
    }


def test_the_job_of_an_interrupted_leaser_goes_to_the_next_in_line() -> None:
    found = run_script(
        """
job = Job("a")
got = []
def strike(*_):
    engine.add(job)
    raise KeyboardInterrupt
def second():
    got.append(engine.lease("a", 60_000))
def later():
    while engine.stats().waiting < 1:
        pass
    thread.start()
    while engine.stats().waiting < 2:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0.01)
thread = threading.Thread(target=second, daemon=True)
signal.signal(signal.SIGALRM, strike)
threading.Thread(target=later, daemon=True).start()
try:
    engine.lease("a", 60_000)
except KeyboardInterrupt:
    pass
thread.join()
report(got=got[0] == job, state=state(job), leased=engine.stats().leased)
"""
    )
    assert found == {"got": True, "state": ["LEASED", 1, 0], "leased": 1}


@pytest.mark.parametrize("clock", ["Controller()", "Controller(queues=Queues())"])
def test_a_race_of_interrupts_and_jobs_loses_nothing(clock: str) -> None:
    """Interrupts strike at any point of a lease, while another thread adds jobs.

    In the end every job is leased, nearly always by a caller who knows it, or in its queue.
    """
    found = run_script(
        """
from jobqueue.testing.model.parts import Queues
engine = ENGINE
mine, interrupted, added = set(), 0, 0
stop = threading.Event()
def feed():
    global added
    while not stop.is_set():
        engine.add(Job("a", max_attempts=0))
        added += 1
        stop.wait(0.0003)
signal.signal(signal.SIGALRM, signal.default_int_handler)
feeder = threading.Thread(target=feed, daemon=True)
feeder.start()
for turn in range(400):
    job = None
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + turn % 20 * 0.0001)
        while True:
            job = None
            job = engine.lease("a", 60_000)
            mine.add(job)
    except KeyboardInterrupt:
        interrupted += 1
        if job is not None:
            mine.add(job)
stop.set()
feeder.join()
stats = engine.stats()
leased = {r.job for r in engine.registry if r.state is State.LEASED}
rest = set(engine.jobs("a"))
for job in sorted(rest, key=lambda job: job.created_ns):
    got = engine.lease("a", 0)
    assert got == job, "order"
engine._check()
report(interrupted=interrupted, total=len(mine | rest | leased) == added,
       unknown=len(leased - mine), both=len(mine & rest), waiting=stats.waiting,
       counted=stats.leased == len(mine), some=len(mine) > 50)
""",
        ENGINE=clock,
    )
    # A signal may strike after the lease has returned and before the name is bound: then the
    # caller does not know its job. Python offers no way round; the engine must not add to it.
    assert found.pop("unknown") <= 5
    found.pop("counted")
    assert found == {
        "interrupted": 400,
        "total": True,
        "both": 0,
        "waiting": 0,
        "some": True,
    }


@BY
@pytest.mark.parametrize("clock", ["None", "ManualClock()"])
def test_an_adder_that_waits_for_room(by: str, clock: str) -> None:
    found = run_script(
        """
engine = Controller(clock=CLOCK, max_jobs=1)
engine.add(first := Job("a"))
INTERRUPT()
try:
    engine.add(Job("a"), wait=60_000)
    kind = "returned"
except BaseException as error:
    kind = type(error).__name__
engine.complete(first)
stats = engine.stats()
report(kind=kind, ready=stats.ready, blocked=stats.blocked, added=stats.added)
engine._check()
engine.close()
""",
        INTERRUPT=by,
        CLOCK=clock,
    )
    assert found == {"kind": "KeyboardInterrupt", "ready": 0, "blocked": 0, "added": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_thread_that_forked_is_the_main_thread_of_the_child() -> None:
    """What is known of the parent's main thread is forgotten there."""
    found = run_script(
        """
found = []

def fork():
    child = os.fork()
    if child == 0:
        def strike():
            threading.Event().wait(0.05)
            _thread.interrupt_main()
        threading.Thread(target=strike, daemon=True).start()
        try:
            engine.lease("none", 3_600_000)  # if it is not ended, this script is
        except KeyboardInterrupt:
            os._exit(0)
        except WaitTimeoutError:
            os._exit(1)
    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

try:
    engine.lease("none", 1)  # from here on the main thread is known
except WaitTimeoutError:
    pass
thread = threading.Thread(target=fork)
thread.start()
thread.join()
report(code=found[0])
"""
    )
    assert found == {"code": 0}
