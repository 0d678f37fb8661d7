"""attempt: a lease as a context manager, every answer fenced."""

from datetime import UTC, timedelta

import pytest

from jobqueue import (
    MAX_RESULT,
    DuplicateResultError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    State,
    WaitTimeoutError,
)

MS = timedelta(milliseconds=1)


@pytest.fixture
def job(engine):
    added = Job("a", b"work", ttr=1000, max_fails=3)
    engine.add(added)
    return added


def state_of(harness, job) -> State:
    return harness.record(job.id).state


def test_what_it_offers(engine, harness, clock, job):
    start = clock.now
    with engine.attempt("a", 0) as attempt:
        assert attempt.job == job
        assert attempt.job.payload == b"work"
        assert attempt.number == 1
        assert attempt.deadline == start + 1000 * MS
        assert attempt.deadline.tzinfo is UTC
        assert state_of(harness, job) == State.LEASED


def test_leaving_without_an_answer_completes(engine, job):
    with engine.attempt("a", 0):
        pass
    assert engine.result(job, 0) == RunResult(True, b"")


def test_names_and_timeout_as_lease(engine, clock, job):
    with engine.attempt(["b", "a"], timedelta(seconds=1)) as attempt:
        assert attempt.job == job
    with pytest.raises(WaitTimeoutError), engine.attempt("a", 0):
        raise AssertionError("nothing to work on")


def test_waits_for_a_job(engine, blocked):
    def work() -> bytes:
        with engine.attempt("b", 1000) as attempt:
            attempt.complete(attempt.job.payload * 2)
            return attempt.job.payload

    call = blocked(work)
    job = Job("b", b"x")
    engine.add(job)
    assert call.outcome() == b"x"
    assert engine.result(job, 0) == RunResult(True, b"xx")


def test_complete(engine, job):
    with engine.attempt("a", 0) as attempt:
        assert attempt.complete(b"done") is None
    assert engine.result(job, 0) == RunResult(True, b"done")


def test_complete_without_a_result(engine, job):
    with engine.attempt("a", 0) as attempt:
        attempt.complete()
    assert engine.result(job, 0) == RunResult(True, b"")


def test_fail(engine, harness, job):
    for number in (1, 2, 3):
        with engine.attempt("a", 0) as attempt:
            assert attempt.number == number
            assert attempt.fail(b"no") is None
    assert engine.result(job, 0) == RunResult(False, b"no")
    assert harness.record(job.id).fails == 3


def test_release(engine, clock, job):
    with engine.attempt("a", 0) as attempt:
        assert attempt.release() is None
    assert engine.jobs("a") == [job]
    with engine.attempt("a", 0) as attempt:
        attempt.release(500)
    assert engine.scheduled_jobs("a") == [job]
    clock.advance(500)
    with engine.attempt("a", 0) as attempt:
        attempt.release(delay=timedelta(seconds=1))
        assert attempt.number == 3
    assert engine.scheduled_jobs("a") == [job]


def test_touch_moves_the_deadline(engine, harness, clock, job):
    with engine.attempt("a", 0) as attempt:
        clock.advance(600)
        assert attempt.touch() is None
        assert attempt.deadline == clock.now + 1000 * MS
        clock.advance(999)
        attempt.touch(5000)
        assert attempt.deadline == clock.now + 5000 * MS
        attempt.touch(ttr=timedelta(seconds=2))
        assert attempt.deadline == clock.now + 2000 * MS
    assert state_of(harness, job) == State.COMPLETED


def test_fail_with_a_delay(engine, clock, job):
    with engine.attempt("a", 0) as attempt:
        attempt.fail(b"later", delay=500)
    assert engine.scheduled_jobs("a") == [job]
    clock.advance(500)
    assert engine.jobs("a") == [job]


def test_an_exception_fails_the_job_with_its_text(engine, harness, job):
    with pytest.raises(KeyError, match="missing"), engine.attempt("a", 0):
        raise KeyError("missing")
    record = harness.record(job.id)
    assert (record.state, record.fails) == (State.PENDING, 1)
    for _ in range(2):
        with pytest.raises(RuntimeError), engine.attempt("a", 0):
            raise RuntimeError("ünlucky")
    assert engine.result(job, 0) == RunResult(False, "RuntimeError: ünlucky".encode())


def test_the_text_of_an_exception_is_cut(engine):
    job = Job("b")
    engine.add(job)
    with pytest.raises(RuntimeError), engine.attempt("b", 0):
        raise RuntimeError("x" * (2 * MAX_RESULT))
    result = engine.result(job, 0).result
    assert len(result) == MAX_RESULT
    assert result.startswith(b"RuntimeError: xxx")


def test_a_text_that_cannot_be_encoded(engine, harness):
    """A lone surrogate in the message must not hide the exception, nor keep the job leased."""
    job = Job("b")
    engine.add(job)
    with pytest.raises(RuntimeError, match="bad"), engine.attempt("b", 0):
        raise RuntimeError("bad \ud800 text")
    assert state_of(harness, job) == State.FAILED
    assert engine.result(job, 0).result.startswith(b"RuntimeError: bad ")


def test_an_exception_whose_text_fails(engine, harness):
    class HostileError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    job = Job("b")
    engine.add(job)
    with pytest.raises(HostileError), engine.attempt("b", 0):
        raise HostileError
    assert state_of(harness, job) == State.FAILED
    assert b"HostileError" in engine.result(job, 0).result


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_leaving_by_an_interrupt_releases(engine, harness, job, kind):
    with pytest.raises(kind), engine.attempt("a", 0):
        raise kind
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.PENDING, 1, 0)
    assert engine.jobs("a") == [job]


@pytest.mark.parametrize("answer", ["complete", "fail", "release"])
def test_an_exception_after_the_answer_changes_nothing(engine, harness, answer):
    job = Job("b")
    engine.add(job)
    with pytest.raises(RuntimeError), engine.attempt("b", 0) as attempt:
        getattr(attempt, answer)()
        raise RuntimeError("afterwards")
    record = harness.record(job.id)
    expected = {"complete": State.COMPLETED, "fail": State.FAILED, "release": State.PENDING}
    assert record.state == expected[answer]
    assert record.result == (None if answer == "release" else b"")


@pytest.mark.parametrize("again", ["complete", "fail", "touch", "release"])
def test_a_second_answer_is_refused(engine, job, again):
    with engine.attempt("a", 0) as attempt:
        attempt.complete(b"first")
        with pytest.raises(LeaseExpiredError):
            getattr(attempt, again)()
    assert engine.result(job, 0) == RunResult(True, b"first")


def test_a_lost_lease_on_a_normal_exit(engine, clock, job):
    with pytest.raises(LeaseExpiredError), engine.attempt("a", 0):
        clock.advance(1000)
    assert engine.jobs("a") == [job]


def test_a_lost_lease_that_another_holds(engine, harness, clock, job):
    with pytest.raises(LeaseExpiredError), engine.attempt("a", 0):
        clock.advance(1000)
        engine.lease("a", 0)
    record = harness.record(job.id)
    assert (record.state, record.attempts) == (State.LEASED, 2)


def test_a_lost_lease_on_an_exception_lets_the_exception_out(engine, harness, clock, job):
    with pytest.raises(RuntimeError, match="mine"), engine.attempt("a", 0):
        clock.advance(1000)
        raise RuntimeError("mine")
    record = harness.record(job.id)
    assert (record.state, record.fails) == (State.PENDING, 0)


def test_a_deleted_job(engine, job):
    with pytest.raises(NotFoundError), engine.attempt("a", 0):
        engine.delete(job)
    engine.add(job)
    with pytest.raises(RuntimeError), engine.attempt("a", 0):
        engine.delete(job)
        raise RuntimeError("mine")


def test_fenced_answers_inside_the_block(engine, clock, job):
    with pytest.raises(RuntimeError), engine.attempt("a", 0) as attempt:
        clock.advance(1000)
        for answer in (attempt.complete, attempt.fail, attempt.touch, attempt.release):
            with pytest.raises(LeaseExpiredError):
                answer()
        raise RuntimeError("give up")
    assert engine.jobs("a") == [job]


def test_a_refused_answer_is_no_answer(engine, job):
    """A result that breaks a rule leaves the attempt open: leaving the block completes it."""
    with engine.attempt("a", 0) as attempt, pytest.raises(ValueError, match="result"):
        attempt.complete(bytes(MAX_RESULT + 1))
    assert engine.result(job, 0) == RunResult(True, b"")


def test_nested_attempts(engine):
    engine.add_many([Job("a", b"1"), Job("a", b"2")])
    with engine.attempt("a", 0) as outer, engine.attempt("a", 0) as inner:
        assert outer.job != inner.job
        inner.fail(b"inner")
    assert engine.result(outer.job, 0) == RunResult(True, b"")
    assert engine.result(inner.job, 0) == RunResult(False, b"inner")


@pytest.mark.parametrize("answer", ["complete", "fail", "touch", "release"])
@pytest.mark.parametrize("end", ["time", "delete", "another lease", "completed"])
def test_leaving_after_a_refused_answer_is_silent(engine, harness, clock, answer, end):
    """The caller was told that the lease is over, and need not be told again."""
    engine.add(job := Job("a", ttr=100))
    with engine.attempt("a", 0) as attempt:
        match end:
            case "time":
                clock.advance(100)
            case "delete":
                engine.delete(job)
            case "another lease":
                clock.advance(100)
                assert engine.lease("a", 0) == job
            case "completed":
                engine.complete(job, b"by another")
        before = harness.view(engine)
        with pytest.raises((LeaseExpiredError, NotFoundError, DuplicateResultError)):
            getattr(attempt, answer)()
    assert harness.view(engine) == before


def test_a_wrong_answer_is_not_an_answer(engine, harness):
    """What was refused for its own sake leaves the lease as it is: leaving the block ends it."""
    engine.add(job := Job("a"))
    with engine.attempt("a", 0) as attempt, pytest.raises(TypeError):
        attempt.complete("no bytes")
    assert harness.record(job.id).success()
