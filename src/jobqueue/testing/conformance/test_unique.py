"""Unique jobs: no second unprocessed job of a name with the same key."""

import random

import pytest

from jobqueue import DuplicateJobError, InvalidUniqueError, Job, QueueOutOfSyncError, State


def test_a_second_job_with_the_key_is_refused(engine, harness) -> None:
    first, second = Job("a", unique=b"k"), Job("a", unique=b"k")
    engine.add(first)
    before = harness.view(engine)
    with pytest.raises(DuplicateJobError) as caught:
        engine.add(second)
    assert caught.value.first == first.id
    assert harness.view(engine) == before
    engine.add(Job("a", unique=b"other"))
    engine.add(Job("a"))
    engine.add(Job("b", unique=b"k"))


@pytest.mark.needs("ids")
def test_a_duplicate_id_is_told_the_same_way(engine) -> None:
    job = Job("a")
    engine.add(job)
    with pytest.raises(DuplicateJobError) as caught:
        engine.add(job)
    assert caught.value.first == job.id


@pytest.mark.parametrize("end", ["complete", "fail", "delete", "expire"])
def test_the_end_of_a_job_frees_its_key(engine, end: str) -> None:
    engine.add(first := Job("a", unique=b"k"))
    engine.lease("a", 0)
    with pytest.raises(DuplicateJobError):
        engine.add(Job("a", unique=b"k"))
    getattr(engine, end)(first)
    engine.add(second := Job("a", unique=b"k"))
    with pytest.raises(DuplicateJobError) as caught:
        engine.add(Job("a", unique=b"k"))
    assert caught.value.first == second.id


def test_time_frees_keys(engine, harness, clock) -> None:
    engine.add(Job("a", unique=b"ttl", ttl=100))
    engine.add(spent := Job("a", unique=b"ttr", ttr=100, max_attempts=1))
    engine.start_attempt(spent)
    clock.advance(100)
    assert harness.record(spent).state == State.FAILED
    engine.add(Job("a", unique=b"ttl"))
    engine.add(Job("a", unique=b"ttr"))


def test_a_job_that_comes_back_keeps_its_key(engine, clock) -> None:
    engine.add(first := Job("a", unique=b"k", ttr=100, max_fails=2))
    engine.lease("a", 0)
    engine.release(first, 50)
    clock.advance(50)
    engine.lease("a", 0)
    clock.advance(100)
    engine.fail(first)
    with pytest.raises(DuplicateJobError):
        engine.add(Job("a", unique=b"k"))


def test_scheduled_and_run_jobs_hold_keys_too(engine, clock) -> None:
    engine.schedule(Job("a", unique=b"k", time=clock.now.replace(year=2030)))
    with pytest.raises(DuplicateJobError):
        engine.add(Job("a", unique=b"k"))
    with pytest.raises(DuplicateJobError):
        engine.run(Job("a", unique=b"k"), 0)
    with pytest.raises(TimeoutError):
        engine.run(Job("a", unique=b"run"), 0)
    engine.add(Job("a", unique=b"run"))


def test_batches_are_all_or_none(engine, harness) -> None:
    first = Job("a", unique=b"k")
    before = harness.view(engine)
    with pytest.raises(DuplicateJobError) as caught:
        engine.add_many([Job("a"), first, Job("b", unique=b"k"), Job("a", unique=b"k")])
    assert (caught.value.index, caught.value.first) == (3, first.id)
    assert harness.view(engine) == before
    engine.add(first)
    before = harness.view(engine)
    with pytest.raises(DuplicateJobError) as caught:
        engine.add_many([Job("a", unique=b"new"), Job("a", unique=b"k")])
    assert (caught.value.index, caught.value.first) == (1, first.id)
    assert harness.view(engine) == before
    engine.add_many([Job("a", unique=b"new")])


def test_another_error_takes_no_key(engine, clock) -> None:
    late = Job("a", unique=b"k", created=clock.now, ttl=10)
    clock.advance(20)
    with pytest.raises(ValueError, match="expired"):
        engine.add(late)
    job = Job("a")
    engine.add(job)
    with pytest.raises(DuplicateJobError):
        engine.add(job.replace(unique=b"k"))
    engine.queues.add(stray := Job("a", unique=b"k"))
    with pytest.raises(QueueOutOfSyncError):
        engine.add(stray)
    engine.add(Job("a", unique=b"k"))


def test_a_record_made_by_hand_holds_its_key(make_engine, harness) -> None:
    engine = make_engine()
    record = harness.record_by_hand(Job("a", unique=b"k"))
    assert engine.registry.add(record)
    assert not engine.registry.add(harness.record_by_hand(Job("a", unique=b"k")))
    with pytest.raises(DuplicateJobError):
        engine.add(Job("a", unique=b"k"))
    assert record.write_result(b"", True)
    engine.add(Job("a", unique=b"k"))


def test_many_keys_come_and_go(engine, rng: random.Random) -> None:
    held: dict[bytes, Job] = {}
    for _ in range(600):
        key = b"%d" % rng.randrange(60)
        if key in held and rng.random() < 0.5:
            engine.delete(held.pop(key))
            continue
        job = Job("a", unique=key)
        if key in held:
            with pytest.raises(DuplicateJobError) as caught:
                engine.add(job)
            assert caught.value.first == held[key].id
        else:
            engine.add(job)
            held[key] = job


@pytest.mark.parametrize("value", [b"", bytes(256), "text", 5, 1.5, True, []])
def test_what_is_no_key(value: object) -> None:
    with pytest.raises(InvalidUniqueError) as caught:
        Job("a", unique=value)
    assert isinstance(caught.value, TypeError) == (not isinstance(value, bytes))
