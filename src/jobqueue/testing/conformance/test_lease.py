"""lease: a job of any of the names, at once or as soon as one comes."""

from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from jobqueue import Job, LeaseExpiredError, NotFoundError, RunResult, State, WaitTimeoutError


def test_takes_the_job(engine, harness):
    job = Job("a", b"work")
    engine.add(job)
    leased = engine.lease("a", 0)
    assert leased == job
    assert leased.payload == b"work"
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.fails) == (State.LEASED, 1, 0)
    assert record.running()
    stats = engine.stats()
    assert (stats.leased, stats.ready, stats.running, stats.waiting) == (1, 0, 1, 0)
    assert not harness.in_line(job)


def test_a_job_is_handed_out_once(engine):
    engine.add(Job("a"))
    engine.lease("a", 0)
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


@pytest.mark.parametrize("timeout", [0, timedelta(0)])
def test_poll(engine, timeout):
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", timeout)
    job = Job("a")
    engine.add(job)
    assert engine.lease("a", timeout) == job


def test_the_error_is_the_built_in_one_too(engine):
    with pytest.raises(TimeoutError):
        engine.lease("a", 0)


def test_poll_in_vain_changes_nothing(engine, harness):
    engine.add(Job("a"))
    before = harness.view(engine)
    with pytest.raises(WaitTimeoutError):
        engine.lease(["b", "c"], 0)
    assert harness.view(engine) == before


@pytest.mark.parametrize("names", ["a", ["a"], ("a",), ["b", "a"], ("b", "a", "c"), ["a", "a"]])
def test_forms_of_names(engine, names):
    job = Job("a")
    engine.add(job)
    assert engine.lease(names, 0) == job


def test_other_names_are_left_alone(engine):
    job = Job("a")
    engine.add(job)
    with pytest.raises(WaitTimeoutError):
        engine.lease(["b", "A", "aa"], 0)
    assert engine.jobs("a") == [job]


@pytest.mark.parametrize("timeout", [1, 2, 60_000, timedelta(milliseconds=1500)])
def test_waits_exactly_its_timeout(engine, clock, blocked, timeout):
    ms = timeout if isinstance(timeout, int) else timeout // timedelta(milliseconds=1)
    call = blocked(engine.lease, "a", timeout)
    clock.advance(ms - 1)
    assert engine.stats().waiting == 1
    clock.advance(1)
    assert engine.stats().waiting == 0
    with pytest.raises(WaitTimeoutError):
        call.outcome()


def test_a_leaser_that_timed_out_takes_nothing(engine, harness, clock, blocked):
    call = blocked(engine.lease, "a", 1000)
    clock.advance(1000)
    job = Job("a")
    engine.add(job)
    with pytest.raises(WaitTimeoutError):
        call.outcome()
    assert engine.jobs("a") == [job]
    assert harness.record(job.id).state == State.NEW


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_blocked_on_several_names(engine, blocked, name):
    call = blocked(engine.lease, ["a", "b", "c"], 1000)
    engine.add(Job("d"))
    assert engine.stats().waiting == 1
    job = Job(name)
    engine.add(job)
    assert call.outcome() == job
    more = [Job(other) for other in "abc"]
    for other in more:  # nobody stands in the other lines any more
        engine.add(other)
    assert [engine.lease(other.name, 0) for other in more] == more


def test_the_longest_waiting_is_served_first(engine, blocked):
    calls = [blocked(engine.lease, "a", 60_000) for _ in range(5)]
    jobs = [Job("a") for _ in calls]
    for job in jobs:
        engine.add(job)
    assert [call.outcome() for call in calls] == jobs


def test_the_line_of_one_name_is_by_waiting_whatever_the_other_names(engine, blocked):
    first = blocked(engine.lease, ["a", "b"], 60_000)
    second = blocked(engine.lease, ["b", "c"], 60_000)
    third = blocked(engine.lease, "b", 60_000)
    jobs = [Job("c"), Job("b"), Job("b")]
    for job in jobs:
        engine.add(job)
    assert second.outcome() == jobs[0]
    assert first.outcome() == jobs[1]
    assert third.outcome() == jobs[2]


def test_one_in_the_middle_of_the_line_leaves(engine, clock, blocked):
    first = blocked(engine.lease, "a", 5000)
    middle = blocked(engine.lease, "a", 1000)
    last = blocked(engine.lease, "a", 5000)
    clock.advance(1000)
    with pytest.raises(WaitTimeoutError):
        middle.outcome()
    jobs = [Job("a"), Job("a")]
    for job in jobs:
        engine.add(job)
    assert [first.outcome(), last.outcome()] == jobs


def test_waiting_counts_leasers_not_names(engine, blocked):
    blocked(engine.lease, ["a", "b", "c"], 1000)
    blocked(engine.lease, ["a", "a"], 1000)
    assert engine.stats().waiting == 2


def test_ttr_runs_from_the_hand_off(engine, clock, blocked):
    call = blocked(engine.lease, "a", 5000)
    clock.advance(3000)
    job = Job("a", ttr=1000)
    engine.add(job)
    assert call.outcome() == job
    clock.advance(999)
    assert engine.stats().running == 1
    clock.advance(1)
    assert engine.stats().running == 0


def test_ttr_boundary(engine, harness, clock):
    job = Job("a", ttr=250)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(249)
    assert harness.record(job.id).state == State.LEASED
    clock.advance(1)
    assert harness.record(job.id).state == State.PENDING
    assert engine.lease("a", 0) == job
    assert harness.record(job.id).attempts == 2


def test_ttr_is_not_touched_by_the_wall_clock(engine, clock):
    job = Job("a", ttr=1000)
    engine.add(job)
    engine.lease("a", 0)
    clock.step(3_600_000)
    clock.advance(999)
    assert engine.stats().running == 1
    clock.step(-7_200_000)
    clock.advance(1)
    assert engine.stats().running == 0


def test_a_job_that_timed_out_goes_to_the_blocked_leaser(engine, harness, clock, blocked):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    call = blocked(engine.lease, "a", 1000)
    clock.advance(100)
    assert call.outcome() == job
    record = harness.record(job.id)
    assert (record.state, record.attempts) == (State.LEASED, 2)


def test_exhausted_jobs_fail_and_are_skipped(engine, harness, clock, blocked_result):
    exhausted, good = Job("a", max_attempts=1, priority=1, ttr=60_000), Job("a")
    engine.add(exhausted)
    engine.lease("a", 0)
    engine.release(exhausted)  # the attempt stays counted: none is left
    waiter = blocked_result(exhausted, 1000)
    engine.add(good)
    assert engine.lease("a", 0) == good
    assert harness.record(exhausted.id).state == State.FAILED
    assert waiter.outcome() == RunResult(False, b"")
    stats = engine.stats()
    assert (stats.failed, stats.ready, stats.leased) == (1, 0, 2)


def test_only_exhausted_jobs(engine, harness):
    jobs = [Job("a", max_attempts=1) for _ in range(3)]
    for job in jobs:
        engine.add(job)
        engine.lease("a", 0)
    for job in jobs:
        engine.release(job)
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    assert [harness.record(job.id).state for job in jobs] == [State.FAILED] * 3


def test_orphans_are_dropped(engine):
    orphan, good = Job("a", priority=1), Job("a")
    engine.add(orphan)
    engine.add(good)
    engine.registry.delete(orphan.id)
    engine.queues.add(orphan)  # in case deleting the record took the job along
    assert engine.lease("a", 0) == good
    assert engine.jobs("a") == []
    with pytest.raises(NotFoundError):
        engine.complete(orphan)


def test_a_job_put_into_the_queue_by_hand_has_no_record(engine):
    engine.queues.add(Job("a"))
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)


def test_names_with_work_are_chosen_uniformly(make_engine):
    engine = make_engine(rng=Random(7))
    for name in "abc":
        engine.add_many([Job(name) for _ in range(400)])
    names = ["a", "empty", "b", "c", "unknown"]
    taken = Counter(engine.lease(names, 0).name for _ in range(600))
    assert set(taken) == {"a", "b", "c"}
    assert all(150 <= count <= 250 for count in taken.values()), taken


def test_a_name_given_twice_counts_once(make_engine):
    engine = make_engine(rng=Random(3))
    for name in "ab":
        engine.add_many([Job(name) for _ in range(400)])
    taken = Counter(engine.lease(["a"] * 9 + ["b"], 0).name for _ in range(400))
    assert all(150 <= count <= 250 for count in taken.values()), taken


def test_the_choice_can_be_repeated(make_engine):
    def choices(seed: int) -> list[str]:
        engine = make_engine(rng=Random(seed))
        for name in "abcd":
            engine.add_many([Job(name) for _ in range(50)])
        return [engine.lease(list("abcd"), 0).name for _ in range(50)]

    assert choices(11) == choices(11)
    assert choices(11) != choices(12)


def test_attempts_count_up(engine, harness, clock):
    job = Job("a", ttr=10)
    engine.add(job)
    for attempt in range(1, 6):
        assert engine.lease("a", 0) == job
        assert harness.record(job.id).attempts == attempt
        clock.advance(10)


def test_the_hard_limit_of_attempts(engine, harness, clock):
    job = Job("a", ttr=1)
    engine.add(job)
    for _ in range(255):
        assert engine.lease("a", 0) == job
        clock.advance(1)
    record = harness.record(job.id)
    assert (record.state, record.attempts, record.result) == (State.FAILED, 255, b"")
    with pytest.raises(WaitTimeoutError):
        engine.lease("a", 0)
    with pytest.raises(LeaseExpiredError):
        engine.release(job)


def test_a_thousand_jobs_come_out_once_each(engine):
    jobs = [Job(f"q{index % 7}", priority=index % 5) for index in range(1000)]
    for job in jobs:
        engine.add(job)
    names = [f"q{index}" for index in range(7)]
    taken = [engine.lease(names, 0) for _ in jobs]
    assert set(taken) == set(jobs)
    assert len(set(taken)) == 1000
