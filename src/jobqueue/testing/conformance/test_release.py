"""release: a leased job goes back, at once or after a delay."""

from datetime import timedelta

import pytest

from jobqueue import InvalidTimeoutError, Job, LeaseExpiredError, NotFoundError, RunResult, State


@pytest.fixture
def leased(engine):
    engine.add(Job("a", ttr=1000))
    return engine.lease("a", 0)


@pytest.mark.parametrize("delay", [0, timedelta(0), timedelta(microseconds=999)])
def test_back_in_ready(engine, harness, leased, delay):
    assert engine.release(leased, delay) is None
    record = harness.record(leased.id)
    assert (record.state, record.attempts, record.fails) == (State.PENDING, 1, 0)
    assert engine.jobs("a") == [leased]
    stats = engine.stats()
    assert (stats.ready, stats.running, stats.timed_out, stats.failed) == (1, 0, 0, 0)


def test_back_at_its_old_place(engine):
    jobs = [Job("a", priority=priority) for priority in (2, 1, 1, 0)]
    engine.add_many(jobs)
    engine.lease_many("a", 3, 0)
    for job in (jobs[2], jobs[0], jobs[1]):
        engine.release(job)
    assert engine.jobs("a") == jobs


def test_ttr_stops(engine, clock, leased):
    engine.release(leased)
    clock.advance(5000)
    assert engine.stats().timed_out == 0
    assert engine.jobs("a") == [leased]


def test_the_blocked_leaser_gets_it(engine, harness, leased, blocked):
    call = blocked(engine.lease, "a", 1000)
    engine.release(leased)
    assert call.outcome() == leased
    assert harness.record(leased.id).attempts == 2


@pytest.mark.parametrize("delay", [1, 2, 5000, timedelta(seconds=2), 86_400_000 - 1])
def test_after_a_delay(engine, harness, clock, delay):
    ms = delay if isinstance(delay, int) else delay // timedelta(milliseconds=1)
    job = Job("a", ttl=2_592_000_000)
    engine.add(job)
    engine.lease("a", 0)
    engine.release(job, delay)
    assert harness.record(job.id).state == State.PENDING
    assert engine.scheduled_jobs("a") == [job]
    stats = engine.stats()
    assert (stats.ready, stats.scheduled, stats.running) == (0, 1, 0)
    clock.advance(ms - 1)
    assert engine.peek("a") is None
    clock.advance(1)
    assert engine.peek("a") == job
    assert engine.stats().scheduled == 0
    assert engine.lease("a", 0) == job


def test_delayed_jobs_are_in_line_by_their_new_times(engine, clock):
    jobs = [Job("a") for _ in range(3)]
    engine.add_many(jobs)
    engine.lease_many("a", 3, 0)
    for job, delay in zip(jobs, (300, 100, 200), strict=True):
        engine.release(job, delay=delay)
    assert engine.scheduled_jobs("a") == [jobs[1], jobs[2], jobs[0]]
    clock.advance(200)
    assert engine.jobs("a") == [jobs[1], jobs[2]]


def test_a_delayed_job_goes_to_the_blocked_leaser(engine, clock, leased, blocked):
    engine.release(leased, 500)
    call = blocked(engine.lease, "a", 1000)
    clock.advance(500)
    assert call.outcome() == leased


def test_the_ttl_runs_on_during_the_delay(engine, clock):
    job = Job("a", ttl=1000)
    engine.add(job)
    engine.lease("a", 0)
    engine.release(job, 5000)
    clock.advance(999)
    assert engine.stats().scheduled == 1
    clock.advance(1)
    stats = engine.stats()
    assert (stats.scheduled, stats.records, stats.evicted_jobs) == (0, 0, 1)


@pytest.mark.parametrize("back", ["release", "fail", "timeout_attempt"])
@pytest.mark.parametrize("step", [3_600_000, -3_600_000])
def test_coming_back_does_not_reckon_the_ttl_anew(engine, harness, clock, back, step):
    job = Job("a", ttl=1000, max_fails=5)
    engine.add(job)
    engine.lease("a", 0)
    clock.step(step)
    getattr(engine, back)(job)
    clock.advance(999)
    assert engine.jobs("a") == [job]
    clock.advance(1)
    assert harness.record(job) is None


def test_verbs_on_a_delayed_job(engine, leased):
    engine.release(leased, 5000)
    for verb in (engine.touch, engine.release):
        with pytest.raises(LeaseExpiredError):
            verb(leased)
    engine.complete(leased, b"done")
    assert engine.scheduled_jobs("a") == []
    assert engine.result(leased, 0) == RunResult(True, b"done")


def test_delete_a_delayed_job(engine, clock, leased):
    engine.release(leased, 5000)
    engine.delete(leased)
    assert engine.stats().scheduled == 0
    clock.advance(5000)
    assert engine.stats().ready == 0


def test_start_a_delayed_job(engine, clock, leased):
    engine.release(leased, 500)
    engine.start_attempt(leased)
    stats = engine.stats()
    assert (stats.scheduled, stats.running) == (0, 1)
    clock.advance(999)  # past the delay, before the TTR
    stats = engine.stats()
    assert (stats.scheduled, stats.running, stats.ready) == (0, 1, 0)
    clock.advance(1)
    assert engine.stats().timed_out == 1


def test_fail_a_delayed_job_with_a_budget(engine, clock):
    job = Job("a", max_fails=2)
    engine.add(job)
    engine.lease("a", 0)
    engine.release(job, 5000)
    engine.fail(job)
    stats = engine.stats()
    assert (stats.ready, stats.scheduled) == (1, 0)
    assert engine.lease("a", 0) == job
    clock.advance(5000)
    assert engine.stats().running == 1


def test_released_a_scheduled_job_is_ready(engine, clock):
    job = Job("a", time=clock.now + timedelta(seconds=1))
    engine.schedule(job)
    clock.advance(1000)
    engine.lease("a", 0)
    engine.release(job)
    assert engine.jobs("a") == [job]


def test_attempts_stay_counted(engine, harness, clock):
    job = Job("a", max_attempts=2)
    engine.add(job)
    for _ in range(2):
        engine.lease("a", 0)
        engine.release(job)
    record = harness.record(job.id)
    assert (record.state, record.attempts) == (State.PENDING, 2)


@pytest.mark.parametrize("delay", [-1, 86_400_001, 1.0, True, "1", None, timedelta(seconds=-1)])
def test_bad_delay(engine, harness, leased, delay):
    before = harness.view(engine)
    with pytest.raises(InvalidTimeoutError):
        engine.release(leased, delay)
    assert harness.view(engine) == before


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.release(Job("a"))
