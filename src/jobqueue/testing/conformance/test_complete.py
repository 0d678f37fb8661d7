"""complete: COMPLETED, the result is kept, everyone who waits learns it."""

import array

import pytest

from jobqueue import (
    MAX_RESULT,
    DuplicateResultError,
    Job,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)


@pytest.fixture
def leased(engine):
    job = Job("a")
    engine.add(job)
    return engine.lease("a", 0)


def test_a_leased_job(engine, harness, leased):
    assert engine.complete(leased, b"done") is None
    record = harness.record(leased.id)
    assert (record.state, record.attempts, record.fails) == (State.COMPLETED, 1, 0)
    assert record.result == b"done"
    assert record.success()
    assert record.processed()
    assert not record.running()
    assert engine.result(leased, 0) == RunResult(True, b"done")
    stats = engine.stats()
    assert (stats.completed, stats.failed, stats.running, stats.records) == (1, 0, 0, 1)


def test_the_default_result_is_empty(engine, leased):
    engine.complete(leased)
    assert engine.result(leased, 0) == RunResult(True, b"")


def test_a_new_job_leaves_its_queue(engine, harness):
    job = Job("a")
    engine.add(job)
    engine.complete(job, b"done")
    assert harness.record(job.id).state == State.COMPLETED
    assert engine.jobs("a") == []
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    assert engine.stats().leased == 0


def test_a_pending_job_leaves_its_queue(engine, harness, clock):
    job = Job("a", ttr=10)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(10)
    assert harness.record(job.id).state == State.PENDING
    engine.complete(job, b"late")
    assert engine.jobs("a") == []
    assert engine.result(job, 0) == RunResult(True, b"late")


def test_ttr_stops(engine, harness, clock, leased):
    engine.complete(leased)
    clock.advance(leased.ttr * 2)
    assert harness.record(leased.id).state == State.COMPLETED
    assert engine.stats().timed_out == 0


def test_the_result_is_kept_until_the_ttl(engine, clock):
    job = Job("a", ttl=1000)
    engine.add(job)
    clock.advance(500)
    engine.complete(job, b"kept")
    clock.advance(499)
    assert engine.result(job, 0) == RunResult(True, b"kept")
    clock.advance(1)
    with pytest.raises(NotFoundError):
        engine.result(job, 0)
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.records) == (0, 0)


@pytest.mark.parametrize("again", ["complete", "fail"])
@pytest.mark.parametrize("first", ["complete", "fail"])
def test_one_result_only(engine, harness, leased, first, again):
    getattr(engine, first)(leased, b"first")
    before = harness.view(engine)
    with pytest.raises(DuplicateResultError):
        getattr(engine, again)(leased, b"again")
    assert harness.view(engine) == before
    assert engine.result(leased, 0) == RunResult(first == "complete", b"first")


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.complete(Job("a").id)
    with pytest.raises(LookupError):
        engine.complete(Job("a").id)


@pytest.mark.parametrize(
    "form", [lambda id: id, lambda id: id.uuid, str, bytes, lambda id: str(id).upper()]
)
def test_every_form_of_the_id(engine, leased, form):
    engine.complete(form(leased.id), b"done")
    assert engine.result(form(leased.id), 0) == RunResult(True, b"done")


@pytest.mark.parametrize(
    "data",
    [b"x", bytearray(b"x"), memoryview(b"x"), memoryview(b"axb")[1:2], array.array("B", b"x")],
)
def test_bytes_like_results_are_copied(engine, harness, leased, data):
    engine.complete(leased, data)
    kept = harness.record(leased.id).result
    assert type(kept) is bytes
    assert kept == b"x"


def test_a_changed_buffer_does_not_change_the_result(engine, leased):
    data = bytearray(b"before")
    engine.complete(leased, data)
    data[:] = b"AFTER!"
    assert engine.result(leased, 0).result == b"before"


def test_largest_result(engine, leased):
    engine.complete(leased, bytes(MAX_RESULT))
    assert len(engine.result(leased, 0).result) == MAX_RESULT


def test_every_waiter_wakes(engine, leased, blocked_result):
    calls = [blocked_result(leased, timeout) for timeout in (5000, 4000, 3000)]
    engine.complete(leased, b"for all")
    assert [call.outcome() for call in calls] == [RunResult(True, b"for all")] * 3
