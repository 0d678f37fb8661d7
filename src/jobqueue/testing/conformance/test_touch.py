"""touch: the TTR of a leased job starts again."""

from datetime import timedelta

import pytest

from jobqueue import InvalidTTRError, Job, NotFoundError, State


@pytest.fixture
def leased(engine):
    engine.add(Job("a", ttr=1000))
    return engine.lease("a", 0)


def test_restarts_the_job_s_own_ttr(engine, harness, clock, leased):
    clock.advance(900)
    assert engine.touch(leased) is None
    clock.advance(999)
    assert harness.record(leased.id).state == State.LEASED
    clock.advance(1)
    record = harness.record(leased.id)
    assert (record.state, record.attempts) == (State.PENDING, 1)
    assert engine.stats().timed_out == 1


@pytest.mark.parametrize("ttr", [1, 50, 5000, timedelta(milliseconds=50), 86_400_000])
def test_another_ttr_this_once(engine, harness, clock, leased, ttr):
    ms = ttr if isinstance(ttr, int) else ttr // timedelta(milliseconds=1)
    engine.touch(leased, ttr)
    harness.record(leased.id)
    clock.advance(min(ms, 80_000_000) - 1)
    assert harness.record(leased.id).state == State.LEASED
    engine.touch(leased)
    clock.advance(999)
    assert harness.record(leased.id).state == State.LEASED
    clock.advance(1)
    assert harness.record(leased.id).state == State.PENDING
    engine.lease("a", 0)  # the next attempt has the job's own TTR again
    clock.advance(1000)
    assert engine.stats().timed_out == 2


def test_by_name_and_position(engine, clock, leased):
    engine.touch(leased, ttr=10)
    clock.advance(10)
    assert engine.stats().timed_out == 1


def test_again_and_again(engine, harness, clock, leased):
    for _ in range(100):
        clock.advance(999)
        engine.touch(leased.id)
    assert engine.stats().timed_out == 0
    assert harness.record(leased.id).attempts == 1


def test_does_not_touch_the_ttl(engine, harness, clock):
    job = Job("a", ttr=1000, ttl=1500)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(900)
    engine.touch(job)
    clock.advance(600)
    assert harness.record(job) is None


@pytest.mark.parametrize("ttr", [0, -1, 86_400_001, 1.0, True, "1", timedelta(0)])
def test_bad_ttr(engine, harness, leased, ttr):
    before = harness.view(engine)
    with pytest.raises(InvalidTTRError):
        engine.touch(leased, ttr)
    assert harness.view(engine) == before


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.touch(Job("a"))
