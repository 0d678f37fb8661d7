"""Worker, in threads: what it answers, renews, tries again, and how it stops."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from jobqueue import Controller, Job, State
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until
from jobqueue.worker import Retry, Worker


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["native", "foreign"])
def controller(request, clock):
    queues = Queues() if request.param == "foreign" else None
    with Controller(clock=clock, queues=queues) as c:
        yield c
        c._check()


def processed(controller: Controller, job: Job) -> bytes:
    """Wait for a job's end; its result."""
    wait_until(lambda: controller.registry.record(job).processed(), "the result")
    return controller.registry.record(job).result


class Gate:
    """A handler that says that it has begun, and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.attempts = []

    def __call__(self, attempt):
        self.attempts.append(attempt)
        self.begun.release()
        assert self.open.wait(20)
        return b"went through"


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("value", "result"),
    [(None, b""), ("tëxt", "tëxt".encode()), (b"bytes", b"bytes"), (bytearray(b"x"), b"x")],
)
def test_what_a_handler_returns(controller, value, result):
    job = Job("a")
    controller.add(job)
    with Worker(controller, {"a": lambda attempt: value}, concurrency=1):
        assert processed(controller, job) == result
    assert controller.registry.record(job).state == State.COMPLETED


@pytest.mark.parametrize("value", [5, ["a"], bytes(2_000_000), "x" * 2_000_000])
def test_what_is_no_result(controller, value):
    job = Job("a")
    controller.add(job)
    with Worker(controller, {"a": lambda attempt: value}, concurrency=1):
        why = json.loads(processed(controller, job))
    assert controller.registry.record(job).state == State.FAILED
    assert "Error" in why["type"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_is_the_reason(controller, kind):
    def handler(attempt):
        raise kind("broken ünit")

    job = Job("a")
    controller.add(job)
    with Worker(controller, {"a": handler}, concurrency=1):
        why = json.loads(processed(controller, job))
    assert why["type"] == kind.__name__
    assert why["message"] == "broken ünit"
    module, _, line = why["where"].partition(":")
    assert module.endswith("test_worker.test_an_exception_is_the_reason.<locals>.handler")
    assert int(line) > 0


def test_a_reason_is_short_and_never_fails(controller):
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def handler(attempt):
        raise HostileError if attempt.job.payload else ValueError("x" * 10**6)

    jobs = [Job("a"), Job("a", b"hostile")]
    controller.add_many(jobs)
    with Worker(controller, {"a": handler}, concurrency=1):
        long, hostile = (json.loads(processed(controller, job)) for job in jobs)
    assert len(long["message"]) == 1000
    assert hostile["message"] == ""
    assert "HostileError" in hostile["type"]


def test_a_handler_may_answer_itself(controller):
    def handler(attempt):
        if attempt.job.payload == b"complete":
            attempt.complete(b"own")
            raise RuntimeError("afterwards")
        if attempt.job.payload == b"fail":
            attempt.fail(b"own")
        if attempt.job.payload == b"release":
            attempt.release(60_000)
        return b"ignored"

    jobs = [Job("a", kind) for kind in (b"complete", b"fail", b"release")]
    controller.add_many(jobs)
    with Worker(controller, {"a": handler}, concurrency=1):
        assert processed(controller, jobs[0]) == b"own"
        assert processed(controller, jobs[1]) == b"own"
        wait_until(lambda: controller.scheduled_jobs("a") == [jobs[2]])


def test_handlers_by_name(controller):
    worker = Worker(controller, {"a": lambda attempt: b"A"})

    @worker.handler("b")
    def b(attempt):
        return b"B"

    jobs = [Job("a"), Job("b"), Job("c")]
    controller.add_many(jobs)
    with worker:
        assert [processed(controller, job) for job in jobs[:2]] == [b"A", b"B"]
        with pytest.raises(RuntimeError, match="started"):
            worker.handler("d")
        with pytest.raises(RuntimeError, match="once"):
            worker.start()
    assert controller.peek("c") == jobs[2]


def test_wrong_uses(controller):
    with pytest.raises(ValueError, match="concurrency"):
        Worker(controller, concurrency=0)
    with pytest.raises(ValueError, match="at least one handler"):
        Worker(controller).start()
    with pytest.raises(TypeError, match="callable"):
        Worker(controller, {"a": 5})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="name"):
        Worker(controller, {"no name": print})
    worker = Worker(controller, {"a": print})
    with pytest.raises(ValueError, match="already"):
        worker.handler("a")(print)


# ---------------------------------------------------------------- retries


def test_delays_grow_and_are_spread(rng):
    retry = Retry(first=100, factor=3, most=2000, jitter=0.5)
    for attempt, most in enumerate([100, 300, 900, 2000, 2000], 1):
        delays = {retry.delay(attempt, rng) for _ in range(200)}
        assert most // 2 <= min(delays) < most * 0.6
        assert most * 0.9 < max(delays) <= most
    assert Retry(jitter=0).delay(10**6) == 3_600_000
    wrongs: list[dict[str, float]] = [
        {"first": -1},
        {"factor": 0.5},
        {"jitter": 2},
        {"most": 10**9},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="must"):
            Retry(**wrong)


def test_a_failed_job_comes_back_later(controller, clock):
    """Through the engine's own timers: the worker is free meanwhile."""
    seen = []

    def handler(attempt):
        seen.append((attempt.job.payload, attempt.number, clock.now))
        if attempt.job.payload == b"bad":
            raise ValueError("again")

    worker = Worker(controller, concurrency=1, retry=Retry(first=9999, jitter=0))
    worker.handler("a", retry=Retry(first=1000, factor=2, jitter=0))(handler)
    bad, good = Job("a", b"bad", max_fails=3), Job("a", b"good")
    start = clock.now
    controller.add(bad)
    with worker:
        wait_until(lambda: controller.stats().scheduled == 1)
        controller.add(good)
        assert processed(controller, good) == b""
        clock.advance(999)
        assert controller.stats().scheduled == 1
        clock.advance(1)
        wait_until(lambda: controller.stats().scheduled == 1 and len(seen) == 3)
        clock.advance(2000)
        processed(controller, bad)
    assert [at for payload, _, at in seen if payload == b"bad"] == [
        start,
        start + timedelta(seconds=1),
        start + timedelta(seconds=3),
    ]
    assert controller.dead("a") == [bad]


# ---------------------------------------------------------------- leases


def test_a_lease_is_renewed_while_its_handler_runs(controller, clock):
    gate = Gate()
    job = Job("a", ttr=900)
    controller.add(job)
    with Worker(controller, {"a": gate}, concurrency=1):
        gate.begun.acquire()
        for _ in range(20):
            clock.advance(450)
        assert not gate.attempts[0].cancelled
        assert controller.registry.record(job).attempts == 1
        gate.open.set()
        assert processed(controller, job) == b"went through"


def test_a_lease_that_is_not_renewed(controller, clock):
    gate = Gate()
    worker = Worker(controller, concurrency=1)
    worker.handler("a", touch=False)(gate)
    job = Job("a", ttr=900, max_attempts=1)
    controller.add(job)
    with worker:
        gate.begun.acquire()
        clock.advance(899)
        assert not gate.attempts[0].cancelled
        gate.attempts[0].touch(2000)
        clock.advance(1999)
        assert not gate.attempts[0].cancelled, "it renewed the lease by itself"
        clock.advance(1)
        assert gate.attempts[0].cancelled
        gate.open.set()
    record = controller.registry.record(job)
    assert (record.state, record.result) == (State.FAILED, b"")


@pytest.mark.parametrize("how", ["delete", "timeout_attempt", "complete"])
def test_a_lost_lease_cancels_and_its_answer_is_refused(controller, clock, how):
    gate = Gate()
    job = Job("a", ttr=900)
    controller.add(job)
    with Worker(controller, {"a": gate}, concurrency=1):
        gate.begun.acquire()
        controller.pause("a")
        getattr(controller, how)(job)
        clock.advance(300)
        assert gate.attempts[0].cancelled
        gate.open.set()
    record = controller.registry.record(job)
    if how == "timeout_attempt":
        assert (record.state, record.attempts) == (State.PENDING, 1)
    else:
        assert (record.result if record else None) == (b"" if how == "complete" else None)


def test_real_time_renews_too():
    """With the system's clock one thread renews; it is there only when it has to be."""
    gate = Gate()
    with Controller() as c:
        quick = Job("quick")
        job = Job("a", ttr=1500, max_attempts=1)
        with Worker(c, {"a": gate, "quick": lambda attempt: b""}, concurrency=2) as worker:
            c.add(job)
            gate.begun.acquire()
            first = gate.attempts[0].deadline
            wait_until(lambda: gate.attempts[0].deadline > first)
            c.add(quick)
            processed(c, quick)
            gate.open.set()
            assert processed(c, job) == b"went through"
        assert worker._renewals.running == set()


# ---------------------------------------------------------------- stopping


def test_stop_wakes_idle_threads(controller):
    worker = Worker(controller, {"a": print, "b": print}, concurrency=5)
    worker.start()
    wait_until(lambda: controller.stats().waiting == 5)
    assert worker.stop() is True
    assert controller.stats().waiting == 0
    assert worker.stop(0) is True


def test_stop_drains(controller):
    gate = Gate()
    job, next_job = Job("a"), Job("a")
    controller.add_many([job, next_job])
    worker = Worker(controller, {"a": gate}, concurrency=1)
    worker.start()
    gate.begun.acquire()
    stopping = Call(worker.stop, 20_000)
    wait_until(lambda: gate.attempts[0].cancelled, "the flag")
    gate.open.set()
    assert stopping.outcome() is True
    assert processed(controller, job) == b"went through"
    assert controller.jobs("a") == [next_job]


def test_what_does_not_end_is_released(controller):
    gate = Gate()
    job = Job("a")
    controller.add(job)
    worker = Worker(controller, {"a": gate}, concurrency=1)
    worker.start()
    gate.begun.acquire()
    assert worker.stop(drain=0) is False
    record = controller.registry.record(job)
    assert (record.state, record.fails) == (State.PENDING, 0)
    gate.open.set()
    wait_until(lambda: not any(thread.is_alive() for thread in worker._threads))
    assert record.state == State.PENDING, "its late answer is refused"
    assert controller.jobs("a") == [job]


def test_stop_in_a_handler(controller):
    worker = Worker(controller, concurrency=2)

    @worker.handler("a")
    def handler(attempt):
        assert worker.stop() is False
        return b"last"

    worker.start()
    job = Job("a")
    controller.add(job)
    assert processed(controller, job) == b"last"
    wait_until(lambda: not any(thread.is_alive() for thread in worker._threads))
    assert worker.stop() is True


def test_closing_the_controller_ends_it(controller):
    worker = Worker(controller, {"a": print}, concurrency=2)
    worker.start()
    wait_until(lambda: controller.stats().waiting == 2)
    controller.close()
    wait_until(lambda: not any(thread.is_alive() for thread in worker._threads))
    assert worker.stop() is True


MAIN = """
import os, signal, sys, threading
from jobqueue import Controller, Job
from jobqueue.worker import Worker

with Controller() as c:
    worker = Worker(c, concurrency=2)
    end = threading.Event()

    @worker.handler("a")
    def handler(attempt):
        print("begun", flush=True)
        while not attempt.cancelled:
            end.wait(0.001)
        if attempt.job.payload == b"stuck":
            end.wait(60)
        print("told", flush=True)
        return b"ended"

    @worker.handler("b")
    def stopper(attempt):
        worker.stop()

    job = Job(sys.argv[1], sys.argv[2].encode())
    c.add(job)
    print("drained", worker.run(), c.registry.record(job).state.name, flush=True)
"""


def main_program(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_main_program(number):
    with main_program("a", "") as program:
        assert program.stdout.readline() == "begun\n"
        program.send_signal(number)
        assert program.stdout.read() == "told\ndrained True COMPLETED\n"
    assert program.returncode == 0


def test_a_second_signal_ends_the_drain():
    with main_program("a", "stuck") as program:
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGINT)
        assert program.stdout.read() == "drained False PENDING\n"
    assert program.returncode == 0


def test_stop_ends_a_main_program():
    with main_program("b", "") as program:
        assert program.stdout.read() == "drained True COMPLETED\n"


# ---------------------------------------------------------------- processes


def double(job):
    return job.payload * 2


def misbehave(job):
    if job.payload == b"raise":
        raise ValueError("in a process")
    if job.payload == b"exit":
        os._exit(3)
    if job.payload == b"spin":
        while True:
            pass
    return b"innocent"


def process_worker(controller, handler, concurrency):
    worker = Worker(controller, concurrency=concurrency)
    worker.handler("a", process=True)(handler)
    return worker


def test_a_handler_in_a_process(controller):
    job = Job("a", b"ab")
    controller.add(job)
    with process_worker(controller, double, 1):
        assert processed(controller, job) == b"abab"


def test_a_process_that_breaks_harms_no_other():
    """One raises, one dies, one spins until its TTR is over and is killed; the others go on."""
    with Controller() as c, process_worker(c, misbehave, 3):
        kinds = [b"raise", b"exit", *[b"fine"] * 6]
        jobs = [Job("a", kind) for kind in kinds]
        spin = Job("a", b"spin", ttr=1500, max_attempts=1)
        c.add_many([*jobs[:2], spin, *jobs[2:]])
        results = [processed(c, job) for job in jobs]
        why = json.loads(results[0])
        assert (why["type"], why["message"]) == ("ValueError", "in a process")
        assert why["where"].startswith(f"{__name__}.misbehave:")
        assert json.loads(results[1])["type"].endswith("BrokenProcessPool")
        assert results[2:] == [b"innocent"] * 6
        assert processed(c, spin) == b""
        assert c.stats().timed_out == 1
        again = Job("a")
        c.add(again)
        assert processed(c, again) == b"innocent"


def test_stop_kills_a_process():
    with Controller() as c:
        worker = process_worker(c, misbehave, 1)
        worker.start()
        spin = Job("a", b"spin")
        c.add(spin)
        wait_until(lambda: bool(worker._renewals.running))  # the worker knows its lease
        assert worker.stop(drain=0) is False
        assert c.registry.record(spin).state == State.PENDING
        for thread in worker._threads:
            thread.join(20)
            assert not thread.is_alive()


# ---------------------------------------------------------------- all at once


def test_every_job_is_answered_once(rng):
    """Failing, slow and lost handlers, with real clocks: the books are balanced."""
    chance = random.Random(rng.random())
    with Controller() as c:
        worker = Worker(c, concurrency=8, retry=Retry(first=1, most=5), rng=chance)

        @worker.handler("a", touch=False)
        def handler(attempt):
            if chance.random() < 0.2:
                raise ValueError("at random")
            if chance.random() < 0.02:
                threading.Event().wait(0.03)
            return attempt.job.payload

        jobs = [Job("a", str(i).encode(), max_fails=3, ttr=20) for i in range(1500)]
        with worker:
            c.add_many(jobs)
            wait_until(lambda: c.stats().completed + c.stats().failed == len(jobs))
        for job in jobs:
            record = c.registry.record(job)
            assert record.result == job.payload or record.state == State.FAILED
        stats = c.stats()
        assert (stats.ready, stats.scheduled, stats.running) == (0, 0, 0)
        assert stats.failed == stats.dead
