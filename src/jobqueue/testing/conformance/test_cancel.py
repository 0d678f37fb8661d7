"""cancel ends a job for good; fail(final=) overrides its budget of failures."""

import pytest

from jobqueue import (
    AlreadyProcessedError,
    DuplicateResultError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    State,
)

BUDGETS = {"max_attempts": 9, "max_fails": 9}


def test_a_ready_job(engine, harness) -> None:
    engine.add(job := Job("a", **BUDGETS))
    engine.cancel(job, b"why")
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.FAILED, 0, 0)
    assert record.result == b"why"
    with pytest.raises(TimeoutError):
        engine.lease("a", 0)


def test_the_default_reason_is_empty(engine) -> None:
    engine.add(job := Job("a"))
    engine.cancel(job)
    assert engine.result(job, 0) == RunResult(success=False, result=b"")


def test_a_scheduled_job(engine, clock) -> None:
    engine.add(job := Job("a", **BUDGETS))
    engine.fail(engine.lease("a", 0), delay=100)
    engine.cancel(job, b"why")
    clock.advance(1000)
    assert engine.jobs("a") == engine.scheduled_jobs("a") == []
    assert engine.dead("a") == [job]


def test_a_leased_job_and_what_its_worker_answers(engine, harness, clock) -> None:
    engine.add(job := Job("a", ttr=100, **BUDGETS))
    engine.lease("a", 0)
    engine.cancel(job, b"why")
    for answer in (engine.complete, engine.fail, engine.touch, engine.release):
        with pytest.raises(LeaseExpiredError):
            answer(job, attempt=1)
    for answer in (engine.complete, engine.fail):
        with pytest.raises(DuplicateResultError):
            answer(job)
    clock.advance(1000)  # its TTR is over: nothing comes of it
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.FAILED, 1, 0)
    assert record.result == b"why"
    stats = engine.stats()
    assert (stats.running, stats.timed_out) == (0, 0)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_a_processed_job(engine, end) -> None:
    engine.add(job := Job("a"))
    getattr(engine, end)(job, b"first")
    with pytest.raises(AlreadyProcessedError):
        engine.cancel(job, b"second")
    assert engine.result(job, 0).result == b"first"


def test_an_unknown_job(engine) -> None:
    with pytest.raises(NotFoundError):
        engine.cancel(Job("a"))


def test_it_is_counted_as_failed_and_as_cancelled(engine) -> None:
    for _ in range(3):
        engine.add(job := Job("a"))
        engine.cancel(job)
    stats = engine.stats()
    assert (stats.cancelled, stats.failed, stats.ready, stats.dead) == (3, 3, 0, 3)


def test_waiters_wake(engine, blocked_result) -> None:
    engine.add(job := Job("a"))
    asker = blocked_result(job, 1000)
    engine.cancel(job, b"why")
    assert asker.outcome() == RunResult(success=False, result=b"why")


def test_its_key_is_free(engine) -> None:
    engine.add(job := Job("a", unique=b"key"))
    engine.cancel(job)
    engine.add(Job("a", unique=b"key"))


def test_its_capacity_is_free(make_engine) -> None:
    engine = make_engine(max_jobs=1)
    engine.add(job := Job("a"))
    engine.cancel(job)
    engine.add(Job("a"))


def test_it_may_be_kicked(engine, harness) -> None:
    engine.add(job := Job("a"))
    engine.cancel(job, b"why")
    engine.kick(job)
    assert engine.lease("a", 0) == job
    assert harness.record(job.id).state == State.LEASED


def test_observers_are_told(engine) -> None:
    seen = []
    engine.add(job := Job("a"))
    with engine.observe(seen.append):
        engine.cancel(job, b"why")
    assert [(event.kind, event.state, event.reason) for event in seen] == [
        ("cancelled", State.FAILED, b"why")
    ]


def test_a_job_that_is_forgotten_at_once(make_engine) -> None:
    engine = make_engine(result_ttl=0)
    engine.add(job := Job("a"))
    engine.cancel(job)
    assert engine.stats().records == 0


# ---------------------------------------------------------------- fail(final=)


def test_a_final_failure_ends_it(engine, harness) -> None:
    engine.add(job := Job("a", **BUDGETS))
    engine.fail(engine.lease("a", 0), b"no", attempt=1, final=True)
    record = harness.record(job.id)
    assert (record.state, record.fails, record.result) == (State.FAILED, 1, b"no")


def test_a_failure_that_is_not_final_puts_it_back(engine, harness) -> None:
    engine.add(job := Job("a", max_attempts=3))  # max_fails: 1
    for fails in (1, 2):
        engine.fail(engine.lease("a", 0), b"no", final=False)
        record = harness.record(job.id)
        assert (record.state, record.fails) == (State.PENDING, fails)
    engine.fail(engine.lease("a", 0), b"no", final=False)  # its attempts are spent
    assert harness.record(job.id).state == State.FAILED


def test_a_delay_of_a_failure_that_is_not_final(engine, clock) -> None:
    engine.add(job := Job("a"))
    engine.fail(engine.lease("a", 0), final=False, delay=100)
    assert engine.scheduled_jobs("a") == [job]
    clock.advance(100)
    assert engine.jobs("a") == [job]


def test_none_is_as_max_fails_says(engine, harness) -> None:
    engine.add(job := Job("a", max_fails=2))
    states = []
    for _ in range(2):
        engine.fail(engine.lease("a", 0), final=None)
        states.append(harness.record(job.id).state)
    assert states == [State.PENDING, State.FAILED]
