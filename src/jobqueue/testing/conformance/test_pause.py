"""pause, resume: a paused queue accepts jobs and gives none."""

from datetime import timedelta

import pytest

from jobqueue import InvalidNameError, Job, RunResult, State, WaitTimeoutError


def test_gives_none_and_takes_all(engine, clock):
    first = Job("a")
    engine.add(first)
    assert engine.pause("a") is None
    second = Job("a")
    engine.add(second)
    engine.schedule(Job("a", time=clock.now + timedelta(seconds=1)))
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    assert engine.jobs("a") == [first, second]
    assert engine.peek("a") == first
    clock.advance(1000)
    assert engine.stats().ready == 3
    assert engine.resume("a") is None
    assert engine.lease("a", 0) == first


def test_before_the_queue_exists(engine):
    engine.pause("a")
    engine.add(Job("a"))
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    engine.resume("a")
    engine.lease("a", 0)


def test_twice_is_as_once(engine):
    engine.add(Job("a"))
    engine.pause("a")
    engine.pause("a")
    engine.resume("a")
    engine.lease("a", 0)
    engine.resume("a")
    engine.resume("never.seen")


def test_other_queues_go_on(engine):
    engine.add_many([Job("a"), Job("b")])
    engine.pause("a")
    assert engine.lease(["a", "b"], 0).name == "b"
    with pytest.raises(WaitTimeoutError):
        engine.lease(["a", "b"], 0)


def test_leases_that_run_go_on(engine, harness, clock):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    engine.pause("a")
    clock.advance(100)
    assert harness.record(job.id).state == State.PENDING
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    engine.complete(job, b"done")
    assert engine.result(job, 0) == RunResult(True, b"done")


def test_start_attempt_by_id_is_not_a_lease_from_the_queue(engine, harness):
    job = Job("a")
    engine.add(job)
    engine.pause("a")
    engine.start_attempt(job)
    assert harness.record(job.id).state == State.LEASED


def test_a_blocked_leaser_waits_on(engine, blocked):
    call = blocked(engine.lease, "a", 1000)
    engine.pause("a")
    job = Job("a")
    engine.add(job)
    assert engine.stats().waiting == 1
    assert engine.jobs("a") == [job]
    engine.resume("a")
    assert call.outcome() == job


def test_blocked_after_the_pause(engine, blocked):
    job = Job("a")
    engine.add(job)
    engine.pause("a")
    call = blocked(engine.lease, "a", 1000)
    engine.resume("a")
    assert call.outcome() == job


def test_resume_serves_in_the_order_of_waiting(engine, blocked):
    engine.pause("a")
    jobs = [Job("a") for _ in range(4)]
    engine.add_many(jobs)
    calls = [blocked(engine.lease, "a", 1000) for _ in range(3)]
    engine.resume("a")
    assert [call.outcome() for call in calls] == jobs[:3]
    assert engine.jobs("a") == jobs[3:]


def test_a_leaser_of_two_names_is_served_from_the_open_one(engine, blocked):
    engine.pause("a")
    engine.add(Job("a"))
    call = blocked(engine.lease, ["a", "b"], 1000)
    job = Job("b")
    engine.add(job)
    assert call.outcome() == job
    engine.resume("a")
    assert engine.stats().ready == 1


@pytest.mark.parametrize("event", ["release", "fail", "timeout_attempt"])
def test_what_comes_back_stays(engine, event, blocked):
    job = Job("a", max_fails=5)
    engine.add(job)
    engine.lease("a", 0)
    call = blocked(engine.lease, "a", 1000)
    engine.pause("a")
    getattr(engine, event)(job)
    assert engine.stats().waiting == 1
    engine.resume("a")
    assert call.outcome() == job


def test_a_run_in_a_paused_queue_times_out(engine):
    engine.pause("a")
    with pytest.raises(WaitTimeoutError):
        engine.run(Job("a"), 0)
    assert engine.stats().records == 0


@pytest.mark.parametrize("name", ["", "a b", "x" * 256, None, 5, b"a", ["a"]])
def test_bad_names(engine, name):
    engine.add(Job("a"))
    for verb in (engine.pause, engine.resume):
        with pytest.raises(InvalidNameError):
            verb(name)
    engine.lease("a", 0)
