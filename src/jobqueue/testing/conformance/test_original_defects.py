"""The defects found in the engine that this one re-implements, by number; ours must be immune."""

import threading

import pytest

from jobqueue import (
    Job,
    LeaseExpiredError,
    MaxAttemptsReachedError,
    NotFoundError,
    RunResult,
    State,
)
from jobqueue.testing.waiting import Call, wait_until


def test_defect_1_lost_wake_up(engine, clock, blocked):
    """A leftover of an earlier lease must not swallow the signal of a later job."""
    for turn in range(30):
        timed_out = blocked(engine.lease, ["a", "b", "c"], 10)
        served = blocked(engine.lease, ["c", "b"], 1000)
        clock.advance(10)  # the first leaves all three lines
        with pytest.raises(TimeoutError):
            timed_out.outcome()
        later = blocked(engine.lease, "b", 1000)
        jobs = [Job("b", b"%d" % turn) for _ in range(2)]
        for job in jobs:
            engine.add(job)
        assert [served.outcome(), later.outcome()] == jobs
    assert engine.stats().waiting == 0


@pytest.mark.needs("waits")
def test_defect_1_lost_wake_up_with_several_leasers(engine):
    """Nobody stays blocked while a job is ready, however adds and leases interleave."""
    total, taken, lock = 600, [], threading.Lock()

    def work() -> None:
        while (job := engine.lease(["a", "b"], 60_000)).payload != b"stop":
            engine.complete(job)
            with lock:
                taken.append(job)

    workers = [Call(work) for _ in range(4)]
    for index in range(total):
        engine.add(Job("ab"[index % 2]))
    wait_until(lambda: len(taken) == total, "every job")
    for _ in workers:
        engine.add(Job("a", b"stop", priority=-1))
    for worker in workers:
        worker.outcome()
    assert len(set(taken)) == total


def test_defect_2_two_callers_create_the_same_queue(engine):
    """Both jobs are there, whichever was first."""
    for turn in range(100):
        name = f"q{turn}"
        barrier = threading.Barrier(2)

        def add(job: Job, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            engine.add(job)

        jobs = [Job(name), Job(name)]
        for call in [Call(add, job) for job in jobs]:
            call.outcome()
        assert {engine.lease(name, 0), engine.lease(name, 0)} == set(jobs)


@pytest.mark.parametrize("leased", [False, True])
def test_defect_3_deleted_while_run_waits(engine, clock, running, leased):
    """No crash: the runner learns it at once, and nothing of its time-outs comes later."""
    job = Job("a", ttr=100)
    call = running(job, 1000)
    if leased:
        engine.lease("a", 0)
    engine.delete(job)
    with pytest.raises(NotFoundError):
        call.outcome()
    clock.advance(5000)
    stats = engine.stats()
    assert (stats.records, stats.ready, stats.timed_out, stats.evicted_jobs) == (0, 0, 0, 0)


def test_defect_4_max_fails_is_applied(engine, harness):
    job = Job("a", max_fails=3)
    engine.add(job)
    states = []
    for _ in range(3):
        engine.fail(engine.lease("a", 0), b"no")
        states.append(harness.record(job.id).state)
    assert states == [State.PENDING, State.PENDING, State.FAILED]
    assert engine.result(job, 0) == RunResult(False, b"no")


@pytest.mark.parametrize("way", ["lease", "start_attempt", "blocked lease"])
def test_defect_5_exhausted_attempts_at_lease_wake_the_waiters(engine, harness, way, blocked):
    job = Job("a", max_attempts=1)
    engine.add(job)
    engine.release(engine.lease("a", 0))
    waiter = Call(engine.result, job, 60_000)
    if way == "lease":
        with pytest.raises(TimeoutError):
            engine.lease("a", 0)
    elif way == "start_attempt":
        with pytest.raises(MaxAttemptsReachedError):
            engine.start_attempt(job)
    else:
        leaser = blocked(engine.lease, "a", 60_000)
        assert not leaser.done
        other = Job("a")
        engine.add(other)
        assert leaser.outcome() == other
    assert waiter.outcome() == RunResult(False, b"")
    assert harness.record(job.id).result == b""


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_defect_6_the_answer_of_a_worker_whose_lease_ended(engine, harness, clock, verb):
    """With its number given it is refused: while the job waits, and while another has it."""
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    first = harness.record(job.id).attempts
    clock.advance(100)
    with pytest.raises(LeaseExpiredError):
        getattr(engine, verb)(job, b"late", attempt=first)
    engine.lease("a", 0)
    with pytest.raises(LeaseExpiredError):
        getattr(engine, verb)(job, b"late", attempt=first)
    engine.complete(job, b"right", attempt=first + 1)
    assert engine.result(job, 0) == RunResult(True, b"right")


def test_defect_7_timers_of_finished_leases_are_gone(engine):
    """Neither waits nor leases that ended leave a deadline behind."""
    assert engine.next_deadline_ns() is None
    for _ in range(50):
        job = Job("a")
        leaser = Call(engine.lease, "a", 60_000)
        engine.add(job)
        leaser.outcome()
        waiter = Call(engine.result, job, 60_000)
        engine.complete(job)
        waiter.outcome()
        engine.delete(job)
        assert engine.next_deadline_ns() is None
