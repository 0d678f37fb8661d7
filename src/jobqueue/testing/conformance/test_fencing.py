"""attempt=n: a worker that outlived its lease can do no harm."""

import pytest

from jobqueue import DuplicateResultError, Job, LeaseExpiredError, NotFoundError, RunResult, State

VERBS = ["complete", "fail", "touch", "release"]


@pytest.fixture
def job(engine):
    added = Job("a", ttr=100, max_fails=10)
    engine.add(added)
    return added


@pytest.mark.parametrize("verb", VERBS)
def test_the_current_attempt_is_let_through(engine, harness, clock, job, verb):
    engine.lease("a", 0)
    clock.advance(100)
    engine.lease("a", 0)
    assert getattr(engine, verb)(job, attempt=2) is None
    expected = {
        "complete": State.COMPLETED,
        "fail": State.PENDING,
        "touch": State.LEASED,
        "release": State.PENDING,
    }
    assert harness.record(job.id).state == expected[verb]


@pytest.mark.parametrize("attempt", [1, 3, 0, -1, 255, 2**64, -(2**64)])
@pytest.mark.parametrize("verb", VERBS)
def test_any_other_number_is_refused(engine, harness, clock, job, verb, attempt):
    engine.lease("a", 0)
    clock.advance(100)
    engine.lease("a", 0)
    before = harness.view(engine)
    with pytest.raises(LeaseExpiredError):
        getattr(engine, verb)(job, attempt=attempt)
    assert harness.view(engine) == before


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_not_leased(engine, harness, clock, job, verb, attempt):
    if attempt:
        engine.lease("a", 0)
        clock.advance(100)
    before = harness.view(engine)
    with pytest.raises(LeaseExpiredError):
        getattr(engine, verb)(job, attempt=attempt)
    assert harness.view(engine) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_processed_job(engine, harness, job, verb):
    engine.lease("a", 0)
    engine.complete(job, b"done")
    before = harness.view(engine)
    with pytest.raises(LeaseExpiredError):  # before DuplicateResult: the caller holds no lease
        getattr(engine, verb)(job, attempt=1)
    assert harness.view(engine) == before


@pytest.mark.parametrize("verb", ["touch", "release"])
@pytest.mark.parametrize("state", ["new", "pending", "completed"])
def test_touch_and_release_want_a_lease_even_without_a_number(
    engine, harness, clock, job, verb, state
):
    if state != "new":
        engine.lease("a", 0)
    if state == "pending":
        clock.advance(100)
    if state == "completed":
        engine.complete(job)
    before = harness.view(engine)
    with pytest.raises(LeaseExpiredError):
        getattr(engine, verb)(job)
    assert harness.view(engine) == before


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_id_is_not_found_first(engine, verb):
    with pytest.raises(NotFoundError):
        getattr(engine, verb)(Job("a"), attempt=1)


@pytest.mark.parametrize("attempt", [1.0, "1", True, b"1", [1]])
@pytest.mark.parametrize("verb", VERBS)
def test_a_number_of_the_wrong_type(engine, harness, job, verb, attempt):
    engine.lease("a", 0)
    before = harness.view(engine)
    with pytest.raises(TypeError):
        getattr(engine, verb)(job, attempt=attempt)
    assert harness.view(engine) == before


def test_without_a_number_everyone_may_answer(engine, job):
    engine.complete(job, b"never leased")
    assert engine.result(job, 0) == RunResult(True, b"never leased")
    with pytest.raises(DuplicateResultError):
        engine.complete(job)


def test_a_worker_that_outlived_its_ttr(engine, clock, job):
    """The late answer is refused whether the job waits, is leased to another, or is done."""
    engine.lease("a", 0)
    clock.advance(100)
    for step in ("waiting", "leased", "done"):
        if step == "leased":
            engine.lease("a", 0)
        if step == "done":
            engine.complete(job, b"second", attempt=2)
        for verb in VERBS:
            with pytest.raises(LeaseExpiredError):
                getattr(engine, verb)(job, attempt=1)
    assert engine.result(job, 0) == RunResult(True, b"second")


def test_the_number_may_be_given_by_name_only(engine, job):
    engine.lease("a", 0)
    with pytest.raises(TypeError):
        engine.complete(job, b"", 1)
    with pytest.raises(TypeError):
        engine.fail(job, b"", 1)


def test_no_number_is_none(engine, job):
    engine.lease("a", 0)
    engine.touch(job, attempt=None)
    engine.complete(job, attempt=None)


@pytest.mark.needs("messages")
@pytest.mark.parametrize("verb", VERBS)
def test_the_error_tells_the_attempt_and_what_the_job_is_by_now(make_engine, clock, verb):
    engine = make_engine()
    engine.add(job := Job("a", ttr=100))
    engine.lease("a", 0)
    clock.advance(100)
    with pytest.raises(
        LeaseExpiredError, match=r"under attempt 1: it is PENDING, after attempt 1$"
    ):
        getattr(engine, verb)(job, attempt=1)
    engine.lease("a", 0)
    with pytest.raises(LeaseExpiredError, match=r"under attempt 1: it is LEASED, under attempt 2$"):
        getattr(engine, verb)(job, attempt=1)


@pytest.mark.needs("messages")
@pytest.mark.parametrize("verb", ["touch", "release"])
def test_the_error_tells_that_nobody_has_the_job(make_engine, verb):
    engine = make_engine()
    engine.add(job := Job("a"))
    with pytest.raises(LeaseExpiredError, match=r"is not leased: it is NEW, after attempt 0$"):
        getattr(engine, verb)(job)
