"""close and the context manager."""

from contextlib import suppress
from datetime import timedelta

import pytest

from jobqueue import ClosedError, Job
from jobqueue.testing.waiting import Call, wait_until


def test_context_manager(make_engine):
    with make_engine() as engine:
        engine.add(Job("a"))
    with pytest.raises(ClosedError):
        engine.add(Job("a"))


def test_the_context_manager_lets_errors_out(make_engine):
    with pytest.raises(RuntimeError), make_engine() as engine:
        raise RuntimeError
    with pytest.raises(ClosedError):
        engine.stats()


def test_twice(engine):
    assert engine.close() is None
    assert engine.close() is None


def test_every_later_call(engine, clock):
    job, leased = Job("a"), Job("b")
    engine.add(job)
    engine.add(leased)
    engine.lease("b", 0)
    engine.close()
    calls = {
        "add": lambda: engine.add(Job("a")),
        "schedule": lambda: engine.schedule(Job("a", time=clock.now)),
        "run": lambda: engine.run(Job("a"), 0),
        "lease": lambda: engine.lease("a", 0),
        "lease blocking": lambda: engine.lease("c", 1000),
        "complete": lambda: engine.complete(leased),
        "fail": lambda: engine.fail(leased),
        "result": lambda: engine.result(job, 0),
        "delete": lambda: engine.delete(job),
        "expire": lambda: engine.expire(job),
        "timeout_attempt": lambda: engine.timeout_attempt(leased),
        "start_attempt": lambda: engine.start_attempt(job),
        "stats": engine.stats,
        "add_many": lambda: engine.add_many([Job("a")]),
        "lease_many": lambda: engine.lease_many("a", 1, 0),
        "complete_many": lambda: engine.complete_many([(leased, b"")]),
        "delete_many": lambda: engine.delete_many([job]),
        "touch": lambda: engine.touch(leased),
        "release": lambda: engine.release(leased),
        "attempt": lambda: engine.attempt("a", 0).__enter__(),
        "peek": lambda: engine.peek("a"),
        "jobs": lambda: engine.jobs("a"),
        "scheduled_jobs": lambda: engine.scheduled_jobs("a"),
        "dead": lambda: engine.dead("a"),
        "kick": lambda: engine.kick(job),
        "cancel": lambda: engine.cancel(job),
        "names": engine.names,
        "pause": lambda: engine.pause("a"),
        "resume": lambda: engine.resume("a"),
    }
    for name, call in calls.items():
        with suppress(pytest.skip.Exception), pytest.raises(ClosedError):
            call()
            pytest.fail(f"{name} did not raise")


def test_what_it_held_can_still_be_read(engine):
    job = Job("a")
    engine.add(job)
    engine.close()
    assert engine.registry.record(job.id).job == job
    assert engine.queues.exists(job)


def test_wakes_every_blocked_call(engine, blocked, blocked_result, running):
    job = Job("b")
    engine.add(job)
    calls = [
        blocked(engine.lease, "a", 60_000),
        blocked(engine.lease, ["a", "c"], 60_000),
        blocked(engine.lease_many, "a", 3, 60_000),
        blocked_result(job, 3000),
        blocked_result(job, 2000),
        running(Job("d"), 60_000),
    ]
    engine.close()
    for call in calls:
        with pytest.raises(ClosedError):
            call.outcome()


def test_the_clock_moves_on_without_it(make_engine, harness, clock):
    closed, other = make_engine(), make_engine()
    jobs = [Job("a", ttl=1000), Job("b", time=clock.now + timedelta(seconds=1))]
    for engine in (closed, other):
        engine.add(jobs[0])
        engine.schedule(jobs[1])
    closed.close()
    clock.advance(1000)
    assert other.stats().evicted_jobs == 1
    assert all(harness.record(job, closed) is not None for job in jobs)


@pytest.mark.needs("waits")
def test_close_while_others_call(engine):
    """Whatever they were doing, every call ends with its answer or with ClosedError."""

    def work() -> int:
        done = 0
        while True:
            try:
                engine.add(Job("a"))
                engine.complete(engine.lease("a", 60_000))
            except ClosedError:
                return done
            done += 1

    calls = [Call(work) for _ in range(3)]
    wait_until(lambda: engine.stats().completed > 20)
    engine.close()
    assert sum(call.outcome() for call in calls) >= 20
