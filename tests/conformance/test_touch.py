"""touch: the TTR of a leased job starts again."""

from datetime import timedelta

import pytest

from jobqueue import InvalidTTRError, Job, NotFoundError, State
from tests.model import view_of


@pytest.fixture
def leased(engine):
    engine.add(Job("a", ttr=1000))
    return engine.lease("a", 0)


def test_restarts_the_job_s_own_ttr(engine, clock, leased):
    clock.advance(900)
    assert engine.touch(leased) is None
    clock.advance(999)
    assert engine.registry.record(leased.id).state == State.LEASED
    clock.advance(1)
    record = engine.registry.record(leased.id)
    assert (record.state, record.attempts) == (State.PENDING, 1)
    assert engine.stats().timed_out == 1


@pytest.mark.parametrize("ttr", [1, 50, 5000, timedelta(milliseconds=50), 86_400_000])
def test_another_ttr_this_once(engine, clock, leased, ttr):
    ms = ttr if isinstance(ttr, int) else ttr // timedelta(milliseconds=1)
    engine.touch(leased, ttr)
    engine.registry.record(leased.id)
    clock.advance(min(ms, 80_000_000) - 1)
    assert engine.registry.record(leased.id).state == State.LEASED
    engine.touch(leased)
    clock.advance(999)
    assert engine.registry.record(leased.id).state == State.LEASED
    clock.advance(1)
    assert engine.registry.record(leased.id).state == State.PENDING
    engine.lease("a", 0)  # the next attempt has the job's own TTR again
    clock.advance(1000)
    assert engine.stats().timed_out == 2


def test_by_name_and_position(engine, clock, leased):
    engine.touch(leased, ttr=10)
    clock.advance(10)
    assert engine.stats().timed_out == 1


def test_again_and_again(engine, clock, leased):
    for _ in range(100):
        clock.advance(999)
        engine.touch(leased.id)
    assert engine.stats().timed_out == 0
    assert engine.registry.record(leased.id).attempts == 1


def test_does_not_touch_the_ttl(engine, clock):
    job = Job("a", ttr=1000, ttl=1500)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(900)
    engine.touch(job)
    clock.advance(600)
    assert job.id not in engine.registry


@pytest.mark.parametrize("ttr", [0, -1, 86_400_001, 1.0, True, "1", timedelta(0)])
def test_bad_ttr(engine, leased, ttr):
    before = view_of(engine)
    with pytest.raises(InvalidTTRError):
        engine.touch(leased, ttr)
    assert view_of(engine) == before


def test_unknown_id(engine):
    with pytest.raises(NotFoundError):
        engine.touch(Job("a"))
