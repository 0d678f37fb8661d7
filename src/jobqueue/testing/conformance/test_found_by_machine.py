"""What the simulator and the histories of three threads found: each once, by itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import (
    DuplicateJobError,
    InvalidIDError,
    InvalidNameError,
    InvalidTimeError,
    Job,
    WaitTimeoutError,
)
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call

MS = timedelta(milliseconds=1)


def test_a_job_that_is_there_is_the_nearer_reason_than_its_key(engine: Any) -> None:
    first, second = Job("a", unique=b"k"), Job("a", unique=b"k")
    engine.add(first)
    engine.fail(first)
    engine.add(second)
    with pytest.raises(DuplicateJobError) as caught:
        engine.add(first)
    assert caught.value.first == first.id


def test_a_batch_is_handed_on_in_its_order_of_names(
    engine: Any, blocked: Callable[..., Call]
) -> None:
    jobs = [Job(name) for name in "hgfedcba"]
    call = blocked(engine.lease, list("abcdefgh"), 1000)
    engine.add_many(jobs)
    assert call.outcome() is jobs[0]


def test_a_batch_is_handed_on_when_all_of_it_is_there(
    engine: Any, blocked: Callable[..., Call]
) -> None:
    call = blocked(engine.lease, "a", 1000)
    engine.add_many([Job("a"), urgent := Job("a", priority=1)])
    assert call.outcome() is urgent


def test_a_batch_of_ids_names_the_place_of_a_bad_one(engine: Any) -> None:
    with pytest.raises(InvalidIDError) as caught:
        engine.delete_many([Job("a"), "no id"])
    assert caught.value.index == 1


def test_a_batch_that_fails_names_no_queue_of_a_leaser(
    engine: Any, clock: ManualClock, blocked: Callable[..., Call]
) -> None:
    call = blocked(engine.lease, "a", 1000)
    engine.pause("b")
    with pytest.raises(InvalidTimeError):
        engine.add_many([Job("a"), Job("b", created=clock.now - 10 * MS, ttl=5)])
    assert engine.names() == ["b"]
    clock.advance(1000)
    with pytest.raises(WaitTimeoutError):
        call.outcome()


def test_a_lease_begins_after_the_hooks_that_ran_before_it(engine: Any, clock: ManualClock) -> None:
    engine.handle_expire(lambda _: clock.advance(10))
    engine.add(Job("a", ttr=100))
    engine.schedule(Job("b", time=clock.now - 5 * MS, ttl=5))  # due, and nobody has looked
    with engine.attempt("a", 0) as attempt:
        assert attempt.deadline == clock.now + 100 * MS
    engine.handle_expire(None)


def test_scheduled_jobs_of_several_queues_come_as_those_of_one(
    engine: Any, clock: ManualClock, blocked: Callable[..., Call]
) -> None:
    noon = clock.now + 10 * MS
    engine.schedule(Job("a", time=noon))
    engine.schedule(urgent := Job("b", time=noon, priority=1))
    call = blocked(engine.lease, ["a", "b"], 1000)
    clock.advance(10)
    assert call.outcome() is urgent


def test_a_record_made_by_hand_stands_in_no_queue(
    engine: Any, harness: Any, clock: ManualClock
) -> None:
    job = Job("a", created=clock.now)
    assert engine.registry.add(harness.record_by_hand(job))
    assert engine.stats().ready == 0
    engine.timeout_attempt(job)  # it is not leased
    assert engine.jobs("a") == []


@pytest.mark.parametrize("back", ["release", "fail"])
def test_a_record_made_by_hand_that_waits_for_its_time_has_a_name(
    engine: Any, harness: Any, clock: ManualClock, back: str
) -> None:
    job = Job("a", created=clock.now, max_fails=2)
    assert engine.registry.add(harness.record_by_hand(job))
    engine.start_attempt(job)
    assert engine.names() == []
    getattr(engine, back)(job, delay=300)
    assert engine.names() == ["a"]
    assert engine.scheduled_jobs("a") == [job]


def test_a_new_job_with_the_id_of_one_that_is_there_has_a_begin_of_its_own(
    engine: Any, clock: ManualClock
) -> None:
    engine.add(first := Job("a"))
    clock.advance(500)
    with pytest.raises(DuplicateJobError):
        engine.add(Job("b", id=first.id, ttl=10))
    with pytest.raises(InvalidTimeError):
        engine.add(Job("b", id=first.id, ttl=10, created=clock.now - 50 * MS))


def test_names_come_before_numbers(engine: Any) -> None:
    with pytest.raises(InvalidNameError):
        engine.lease_many([], 0, 0)


def test_after_a_step_of_the_wall_clock_all_happens_in_order_of_its_deadlines(
    engine: Any, clock: ManualClock
) -> None:
    """Though other timers were done meanwhile, and have their place in time behind these."""
    expired: list[Any] = []
    now = clock.now
    later = Job("a", time=now + 189 * MS, ttl=100)
    sooner = Job("a", time=now + 194 * MS, ttl=1)
    engine.add(Job("b", ttl=100))
    engine.schedule(later)
    engine.schedule(sooner)
    clock.advance(100)
    engine.handle_expire(expired.append)
    clock.step(200 * MS)
    assert expired == [sooner.id, later.id]
