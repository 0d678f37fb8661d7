"""expire: what the TTL timer calls; unprocessed jobs count as evicted."""

import pytest

from jobqueue import Job, NotFoundError

from .test_delete import STATES, bring_to


@pytest.mark.parametrize("state", STATES)
def test_in_every_state(engine, harness, clock, state):
    job = bring_to(engine, clock, state)
    assert engine.expire(job.id) is None
    assert harness.record(job) is None
    assert not harness.in_line(job)
    stats = engine.stats()
    assert (stats.ready, stats.scheduled, stats.running, stats.records) == (0, 0, 0, 0)
    assert stats.evicted_jobs == (state not in ("completed", "failed"))
    assert engine.next_deadline_ns() is None
    with pytest.raises(NotFoundError):
        engine.result(job, 0)


def test_unknown_id_is_a_no_op(engine):
    engine.add(Job("a"))
    engine.expire(Job("a").id)
    stats = engine.stats()
    assert (stats.evicted_jobs, stats.records) == (0, 1)


def test_twice_counts_once(engine):
    job = Job("a")
    engine.add(job)
    engine.expire(job)
    engine.expire(job)
    assert engine.stats().evicted_jobs == 1


def test_timers_fire_in_the_order_of_their_deadlines(engine, clock):
    jobs = {ttl: Job("a", ttl=ttl) for ttl in (300, 100, 200)}
    for job in jobs.values():
        engine.add(job)
    seen = []
    engine.handle_expire(lambda id: seen.append((id, clock.now)))
    start = clock.now
    clock.advance(1000)
    assert [id for id, _ in seen] == [jobs[ttl].id for ttl in (100, 200, 300)]
    assert [(now - start).total_seconds() for _, now in seen] == [0.1, 0.2, 0.3]
