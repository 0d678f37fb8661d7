"""Bounds: max_jobs, max_bytes, of the engine and of one queue; adders that wait for capacity."""

from datetime import timedelta

import pytest

from jobqueue import (
    ClosedError,
    DuplicateJobError,
    EnqueueError,
    InvalidTimeError,
    Job,
    QueueFullError,
    QueueStats,
)
from jobqueue.testing.model.bounds import JOB_COST
from jobqueue.testing.waiting import Call, wait_until


@pytest.fixture
def native(harness, make_engine):
    """An engine whose queues may be bounded by themselves."""
    harness.need("limits")
    return make_engine()


@pytest.fixture
def adding(harness):
    """Start an add in a thread and return once it waits for capacity."""

    def start(engine, job: Job, wait: int = 60_000, verb: str = "add") -> Call:
        harness.need("adders")
        before = engine.stats().blocked
        call = Call(getattr(engine, verb), job, wait)
        wait_until(lambda: engine.stats().blocked > before, "the blocked adder")
        return call

    return start


@pytest.fixture
def full(harness):
    """Adding is refused, and nothing changes."""

    def refused(engine, job: Job, verb: str = "add", *args) -> None:
        before = harness.view(engine)
        with pytest.raises(QueueFullError):
            getattr(engine, verb)(job, *args)
        assert harness.view(engine) == before

    return refused


@pytest.mark.needs("bounds")
def test_bytes_are_payloads_results_and_a_fixed_cost(engine, clock):
    assert engine.stats().bytes == 0
    engine.add(job := Job("a", bytes(100), ttl=1000))
    assert engine.stats().bytes == JOB_COST + 100
    engine.fail(job, bytes(7))
    assert engine.stats().bytes == JOB_COST + 107
    engine.kick(job)
    assert engine.stats().bytes == JOB_COST + 107, "the reason is held until the next end"
    engine.complete(job, bytes(3))
    assert engine.stats().bytes == JOB_COST + 103
    clock.advance(1000)
    assert engine.stats().bytes == 0


def test_a_record_made_by_hand_counts(make_engine, harness, full):
    engine = make_engine(max_jobs=1)
    record = harness.record_by_hand(done := Job("a", bytes(10)))
    assert record.write_result(bytes(5), True)
    assert engine.registry.add(record)
    assert engine.stats().bytes == JOB_COST + 15
    assert engine.registry.add(harness.record_by_hand(Job("a")))
    full(engine, Job("a"))
    assert engine.registry.delete(done)
    assert engine.stats().bytes == JOB_COST


def test_a_record_made_by_hand_counts_to_its_queue(make_engine, harness, native, full):
    native.limit("a", max_jobs=1)
    job = Job("a", bytes(10))
    assert native.registry.add(harness.record_by_hand(job))
    assert native.queue_stats("a").jobs == 1
    assert native.queue_stats("a").bytes == JOB_COST + 10
    full(native, Job("a"))
    native.delete(job)
    assert native.queue_stats("a").jobs == native.queue_stats("a").bytes == 0
    native.add(Job("a"))


def test_max_jobs_counts_what_is_not_processed(make_engine, full):
    engine = make_engine(max_jobs=2)
    assert engine.stats().max_jobs == 2
    engine.add(first := Job("a"))
    engine.add(Job("b"))
    full(engine, Job("a"))
    engine.lease("a", 0)
    full(engine, Job("c"))
    engine.release(first, 100)
    full(engine, Job("c"))
    engine.complete(first)
    engine.add(Job("c"))


def test_max_bytes_counts_results_until_they_are_gone(make_engine, full):
    engine = make_engine(max_bytes=2 * JOB_COST + 100)
    assert engine.stats().max_bytes == 2 * JOB_COST + 100
    engine.add(first := Job("a", bytes(60)))
    full(engine, Job("a", bytes(41)))
    engine.complete(first, bytes(1000))  # what a worker answers is always taken
    assert engine.stats().bytes > 2 * JOB_COST + 100
    full(engine, Job("a"))
    engine.delete(first)
    engine.add(Job("a", bytes(40)))
    engine.add(Job("a", bytes(60)))


def test_result_ttl_makes_room(make_engine, clock, full):
    engine = make_engine(max_bytes=JOB_COST, result_ttl=100)
    engine.add(job := Job("a"))
    engine.complete(job)
    full(engine, Job("a"))
    clock.advance(100)
    engine.add(Job("a"))


def test_every_way_in_obeys(make_engine, harness, clock, full):
    engine = make_engine(max_jobs=1)
    engine.add(dead := Job("a"))
    engine.fail(dead)
    engine.add(Job("a"))
    full(engine, Job("b", time=clock.now + timedelta(seconds=1)), "schedule")
    full(engine, Job("b"), "run", 0)
    full(engine, dead, "kick")
    before = harness.view(engine)
    with pytest.raises(QueueFullError) as caught:
        engine.add_many([Job("a")])
    assert caught.value.index == 0
    assert harness.view(engine) == before


def test_a_batch_is_all_or_none(make_engine, harness):
    engine = make_engine(max_jobs=3, max_bytes=3 * JOB_COST)
    engine.add(Job("a"))
    before = harness.view(engine)
    for batch in ([Job("a"), Job("new"), Job("a")], [Job("a"), Job("a", b"x")]):
        with pytest.raises(QueueFullError) as caught:
            engine.add_many(batch)
        assert caught.value.index == len(batch) - 1
        assert harness.view(engine) == before
    engine.add_many([Job("a"), Job("a")])


def test_a_bound_of_one_queue(native, full):
    native.limit("a", max_jobs=1)
    native.add(job := Job("a"))
    full(native, Job("a"))
    native.add(Job("b"))
    assert native.queue_stats("a") == QueueStats(1, 0, False, 1, JOB_COST, 1, None)
    assert native.queue_stats("b") == QueueStats(1, 0, False, None, None, None, None)
    assert native.queue_stats("c") == QueueStats(0, 0, False, None, None, None, None)
    native.limit("a", max_bytes=2 * JOB_COST + 1)
    native.add(other := Job("a", b"x"))
    full(native, Job("a"))
    native.complete_many([(job, b"1"), (other, b"22")])
    assert native.queue_stats("a").bytes == 2 * JOB_COST + 4
    assert native.queue_stats("a").jobs == 0
    native.limit("a")
    native.add(Job("a"))


def test_what_comes_back_needs_no_room(make_engine, clock, full):
    engine = make_engine(max_jobs=1)
    engine.add(job := Job("a", max_fails=5, ttr=100))
    engine.fail(engine.lease("a", 0))
    engine.release(engine.lease("a", 0))
    engine.lease("a", 0)
    clock.advance(100)
    assert engine.jobs("a") == [job]
    full(engine, Job("a"))


def test_a_job_of_the_same_id_is_told_first(make_engine):
    engine = make_engine(max_jobs=1)
    engine.add(job := Job("a"))
    with pytest.raises(DuplicateJobError):
        engine.add(job)
    with pytest.raises(DuplicateJobError):
        engine.add(job, 1000)


def test_what_never_fits_does_not_wait(make_engine, full):
    engine = make_engine(max_bytes=JOB_COST)
    full(engine, Job("a", b"x"), "add", 60_000)
    full(engine, Job("new", b"x"), "add", 60_000)


def test_what_never_fits_does_not_wait_for_a_full_queue_either(full, make_engine):
    engine = make_engine(max_bytes=2 * JOB_COST)
    engine.limit("a", max_jobs=1)
    engine.add(Job("a"))
    full(engine, Job("a", bytes(JOB_COST + 1)), "add", 60_000)


def test_a_duplicate_of_a_batch_is_told_before_the_room_it_would_need(make_engine):
    engine = make_engine(max_jobs=1)
    job, keyed = Job("new"), Job("new", unique=b"k")
    for batch in ([job, job], [keyed, Job("new", unique=b"k")]):
        with pytest.raises(DuplicateJobError) as caught:
            engine.add_many(batch)
        assert (caught.value.index, caught.value.first) == (1, batch[0].id)


def test_messages_name_value_and_limit(make_engine):
    engine = make_engine(max_jobs=1)
    engine.add(Job("a"))
    with pytest.raises(EnqueueError, match="max_jobs is 1, it would be 2"):
        engine.add(Job("a"))


@pytest.mark.parametrize("verb", ["complete", "fail", "delete", "expire"])
def test_an_end_lets_the_adder_in(make_engine, adding, verb):
    engine = make_engine(max_jobs=1)
    engine.add(first := Job("a"))
    call = adding(engine, second := Job("a"))
    getattr(engine, verb)(first)
    assert call.outcome() is None
    assert engine.jobs("a") == [second]
    assert engine.stats().blocked == 0


def test_a_timer_lets_the_adder_in(make_engine, adding, clock):
    engine = make_engine(max_jobs=1)
    engine.add(Job("a", ttl=100))
    call = adding(engine, second := Job("a"))
    clock.advance(100)
    assert call.outcome() is None
    assert engine.jobs("a") == [second]


def test_a_wider_bound_lets_the_adder_in(native, adding):
    native.limit("a", max_jobs=1)
    native.add(Job("a"))
    call = adding(native, Job("a"))
    native.limit("a", max_jobs=2)
    assert call.outcome() is None


def test_who_waits_for_room_is_served_in_order(make_engine, adding):
    engine = make_engine(max_jobs=1)
    engine.add(job := Job("a"))
    jobs = [Job("a") for _ in range(4)]
    calls = [adding(engine, job) for job in jobs]
    for next_job, call in zip(jobs, calls, strict=True):
        engine.complete(job)
        assert call.outcome() is None
        assert engine.jobs("a") == [next_job]
        job = next_job


def test_nobody_overtakes_a_big_job(make_engine, adding, full):
    engine = make_engine(max_bytes=3 * JOB_COST)
    engine.add_many(jobs := [Job("a"), Job("a")])
    big = adding(engine, Job("b", bytes(JOB_COST)))
    full(engine, Job("c"))  # there is capacity for it, but others wait for that
    small = adding(engine, Job("c"))
    engine.delete(jobs[0])
    assert big.outcome() is None
    assert engine.stats().blocked == 1
    engine.delete(jobs[1])
    assert small.outcome() is None


def test_a_full_queue_holds_up_no_other(native, adding):
    native.limit("a", max_jobs=1)
    native.add(Job("a"))
    held = adding(native, Job("a"))
    native.add(Job("b"))
    native.limit("b", max_jobs=1)
    other = adding(native, Job("b"))
    native.delete(native.peek("b"))
    assert other.outcome() is None
    assert not held.done
    native.delete(native.peek("a"))
    assert held.outcome() is None


def test_nor_does_it_hold_up_who_stands_behind_others_of_that_queue(native, adding):
    native.limit("a", max_bytes=2 * JOB_COST)
    native.add(Job("a"))
    adding(native, Job("a", b"too big beside the other"))
    adding(native, Job("a"))  # there is capacity for it, but not before the one before it
    native.add(Job("b"))
    native.close()


def test_who_leaves_the_line_makes_way(make_engine, adding, clock):
    engine = make_engine(max_bytes=3 * JOB_COST)
    engine.add_many([Job("a"), Job("a")])
    big = adding(engine, Job("a", bytes(JOB_COST)), 100)
    small = adding(engine, Job("a"))
    clock.advance(100)
    with pytest.raises(QueueFullError):
        big.outcome()
    assert small.outcome() is None


@pytest.mark.parametrize("verb", ["add", "schedule"])
def test_time_is_over(make_engine, harness, adding, clock, verb):
    engine = make_engine(max_jobs=1)
    engine.add(Job("a"))
    before = harness.view(engine)
    call = adding(engine, Job("a", time=clock.now + timedelta(days=1)), 100, verb)
    clock.advance(99)
    assert not call.done
    clock.advance(1)
    with pytest.raises(QueueFullError):
        call.outcome()
    assert harness.view(engine) == before


def test_scheduling_waits_too(make_engine, adding, clock):
    engine = make_engine(max_jobs=1)
    engine.add(first := Job("a"))
    call = adding(
        engine, second := Job("a", time=clock.now + timedelta(seconds=1)), 500, "schedule"
    )
    engine.delete(first)
    assert call.outcome() is None
    assert engine.scheduled_jobs("a") == [second]
    clock.advance(1000)
    assert engine.jobs("a") == [second]


def test_a_job_that_waited_goes_to_the_blocked_leaser(make_engine, adding):
    engine = make_engine(max_jobs=1)
    engine.add(first := Job("a"))
    adder = adding(engine, second := Job("b"))
    leaser = Call(engine.lease, "b", 60_000)
    wait_until(lambda: engine.stats().waiting == 1, "the blocked leaser")
    engine.complete(first)
    assert (adder.outcome(), leaser.outcome()) == (None, second)


def test_what_became_wrong_while_it_waited(make_engine, adding, clock):
    engine = make_engine(max_jobs=1)
    engine.add(first := Job("a", ttl=86_400_000))
    twice = Job("a")
    calls = [adding(engine, twice), adding(engine, twice)]
    late = adding(engine, Job("a", created=clock.now, ttl=50))
    clock.advance(100)
    engine.delete(first)
    assert calls[0].outcome() is None
    engine.complete(twice)
    with pytest.raises(DuplicateJobError):
        calls[1].outcome()
    with pytest.raises(InvalidTimeError):
        late.outcome()


def test_time_to_live_runs_from_the_adding(make_engine, harness, adding, clock):
    engine = make_engine(max_jobs=1)
    engine.add(first := Job("a"))
    call = adding(engine, second := Job("a", ttl=100))
    clock.advance(500)
    engine.delete(first)
    assert call.outcome() is None
    clock.advance(99)
    assert harness.record(second) is not None
    clock.advance(1)
    assert harness.record(second) is None


def test_closing_ends_the_wait(make_engine, adding):
    engine = make_engine(max_jobs=1)
    engine.add(Job("a"))
    call = adding(engine, Job("a"))
    engine.close()
    with pytest.raises(ClosedError):
        call.outcome()


@pytest.mark.parametrize("bound", [0, -1, 1.5, True, "1"])
@pytest.mark.parametrize("what", ["max_jobs", "max_bytes"])
def test_bad_bounds(make_engine, what, bound):
    with pytest.raises((ValueError, TypeError), match=what):
        make_engine(**{what: bound})
