"""add_many, lease_many, complete_many, delete_many: one pass, all or nothing."""

from datetime import timedelta

import pytest

from jobqueue import (
    MAX_RESULT,
    DuplicateJobError,
    DuplicateResultError,
    InvalidIDError,
    InvalidNameError,
    InvalidResultError,
    InvalidTimeError,
    Job,
    NotFoundError,
    QueueOutOfSyncError,
    RunResult,
    State,
    WaitTimeoutError,
)

# ---------------------------------------------------------------- add_many


def test_add_many(engine):
    jobs = [Job("ab"[index % 2], priority=index % 3) for index in range(20)]
    assert engine.add_many(jobs) is None
    stats = engine.stats()
    assert (stats.added, stats.ready, stats.records) == (20, 20, 20)
    for name in "ab":
        mine = [job for job in jobs if job.name == name]
        assert engine.jobs(name) == sorted(mine, key=lambda job: -job.priority)


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_add_many_takes_any_iterable(engine, kind):
    jobs = [Job("a") for _ in range(3)]
    engine.add_many(kind(jobs))
    assert engine.jobs("a") == jobs


def test_nothing_at_all(engine, harness):
    before = harness.view(engine)
    assert engine.add_many([]) is None
    assert engine.complete_many([]) is None
    assert engine.delete_many([]) == 0
    assert harness.view(engine) == before


def test_add_many_is_as_add(engine, harness, clock):
    job = Job("a", ttl=1000)
    engine.add_many([job])
    assert harness.record(job.id).state == State.NEW
    with pytest.raises(DuplicateJobError):
        engine.add(job)
    clock.advance(1000)
    assert engine.stats().evicted_jobs == 1


def test_add_many_hands_jobs_to_blocked_leasers_in_order(engine, blocked):
    calls = [blocked(engine.lease, "a", 1000) for _ in range(3)]
    jobs = [Job("a") for _ in range(5)]
    engine.add_many(jobs)
    assert {call.outcome() for call in calls} == set(jobs[:3])
    assert engine.jobs("a") == jobs[3:]


@pytest.mark.parametrize("index", [0, 3, 9])
@pytest.mark.parametrize("fault", ["known", "twice", "expired", "out of sync"])
def test_add_many_all_or_nothing(engine, harness, clock, index, fault):
    jobs = [Job("a") for _ in range(10)]
    error: type[Exception] = DuplicateJobError
    if fault == "known":
        engine.add(jobs[index])
    elif fault == "twice":
        index = max(index, 1)
        jobs[index] = jobs[index - 1]
    elif fault == "expired":
        jobs[index] = Job("a", ttl=1, created=clock.now - timedelta(seconds=1))
        error = InvalidTimeError
    else:
        engine.queues.add(jobs[index])
        error = QueueOutOfSyncError
    before = harness.view(engine)
    with pytest.raises(error) as caught:
        engine.add_many(jobs)
    assert caught.value.index == index
    assert str(index) in str(caught.value)
    assert harness.view(engine) == before


@pytest.mark.parametrize("thing", [None, "a", 5])
def test_add_many_of_anything_but_jobs(engine, harness, thing):
    before = harness.view(engine)
    with pytest.raises(TypeError):
        engine.add_many([Job("a"), thing])
    assert harness.view(engine) == before


@pytest.mark.parametrize("thing", [None, 5, Job("a")])
def test_batches_want_an_iterable(engine, harness, thing):
    before = harness.view(engine)
    for verb in (engine.add_many, engine.complete_many, engine.delete_many):
        with pytest.raises(TypeError):
            verb(thing)
    assert harness.view(engine) == before


def test_add_many_when_the_iterable_fails(engine, harness):
    def broken():
        yield Job("a")
        raise RuntimeError("broken")

    before = harness.view(engine)
    with pytest.raises(RuntimeError):
        engine.add_many(broken())
    assert harness.view(engine) == before


def test_a_failed_add_many_wakes_nobody(engine, blocked):
    call = blocked(engine.lease, "a", 1000)
    job = Job("a")
    with pytest.raises(DuplicateJobError):
        engine.add_many([Job("a"), job, job])
    assert engine.stats().waiting == 1
    engine.add(job)
    assert call.outcome() == job


# ---------------------------------------------------------------- lease_many


@pytest.mark.parametrize(("n", "taken"), [(1, 1), (4, 4), (5, 5), (6, 5), (1000, 5)])
def test_lease_many_takes_up_to_n(engine, harness, n, taken):
    jobs = [Job("a") for _ in range(5)]
    engine.add_many(jobs)
    assert engine.lease_many("a", n, 0) == jobs[:taken]
    stats = engine.stats()
    assert (stats.leased, stats.running, stats.ready) == (taken, taken, 5 - taken)
    for job in jobs[:taken]:
        assert harness.record(job.id).attempts == 1


def test_lease_many_of_several_names(engine):
    jobs = [Job(name) for name in "aabbcc"]
    engine.add_many(jobs)
    taken = engine.lease_many(["a", "b", "d"], 10, 0)
    assert isinstance(taken, list)
    assert sorted(job.name for job in taken) == ["a", "a", "b", "b"]
    assert len(engine.jobs("c")) == 2


def test_lease_many_poll(engine):
    with pytest.raises(WaitTimeoutError):
        engine.lease_many("a", 3, 0)


def test_lease_many_waits_only_for_the_first(engine, blocked):
    call = blocked(engine.lease_many, "a", 3, 1000)
    job = Job("a")
    engine.add(job)
    assert call.outcome() == [job]


def test_lease_many_waits_exactly_its_timeout(engine, clock, blocked):
    call = blocked(engine.lease_many, "a", 3, 1000)
    clock.advance(999)
    assert engine.stats().waiting == 1
    clock.advance(1)
    with pytest.raises(WaitTimeoutError):
        call.outcome()


def test_lease_many_blocked_loses_nothing_of_a_batch(engine, blocked):
    call = blocked(engine.lease_many, "a", 3, 1000)
    jobs = [Job("a") for _ in range(5)]
    engine.add_many(jobs)
    taken = call.outcome()
    assert 1 <= len(taken) <= 3
    assert taken + engine.jobs("a") == jobs
    assert engine.stats().running == len(taken)


def test_lease_many_skips_exhausted_jobs(engine):
    jobs = [Job("a", max_attempts=1) for _ in range(2)] + [Job("a")]
    engine.add_many(jobs[:2])
    for job in engine.lease_many("a", 2, 0):
        engine.release(job)
    engine.add(jobs[2])
    assert engine.lease_many("a", 3, 0) == [jobs[2]]
    assert engine.stats().failed == 2


def test_lease_many_of_a_paused_queue(engine):
    engine.add_many([Job("a"), Job("b")])
    engine.pause("a")
    assert [job.name for job in engine.lease_many(["a", "b"], 5, 0)] == ["b"]
    with pytest.raises(WaitTimeoutError):
        engine.lease_many("a", 5, 0)


# ---------------------------------------------------------------- complete_many


def test_complete_many(engine):
    jobs = [Job("a") for _ in range(4)]
    engine.add_many(jobs)
    engine.lease_many("a", 2, 0)
    forms = [jobs[0], jobs[1].id, str(jobs[2].id), jobs[3].id.uuid]
    assert engine.complete_many((id, b"%d" % n) for n, id in enumerate(forms)) is None
    for n, job in enumerate(jobs):
        assert engine.result(job, 0) == RunResult(True, b"%d" % n)
    stats = engine.stats()
    assert (stats.completed, stats.running, stats.ready, stats.records) == (4, 0, 0, 4)


def test_complete_many_wakes_waiters(engine, blocked_result):
    jobs = [Job("a") for _ in range(3)]
    engine.add_many(jobs)
    calls = [blocked_result(job, 1000 - n) for n, job in enumerate(jobs)]
    engine.complete_many([(job, b"x") for job in jobs])
    assert [call.outcome() for call in calls] == [RunResult(True, b"x")] * 3


@pytest.mark.parametrize("index", [0, 2, 4])
@pytest.mark.parametrize(
    "fault", ["unknown", "processed", "twice", "bad id", "bad result", "wrong type"]
)
def test_complete_many_all_or_nothing(engine, harness, index, fault):
    jobs = [Job("a") for _ in range(5)]
    engine.add_many(jobs)
    pairs: list[tuple[object, object]] = [(job.id, b"x") for job in jobs]
    error: type[Exception] = DuplicateResultError
    if fault == "unknown":
        pairs[index], error = (Job("a").id, b"x"), NotFoundError
    elif fault == "processed":
        engine.complete(jobs[index], b"before")
    elif fault == "twice":
        index = max(index, 1)
        pairs[index] = pairs[index - 1]
    elif fault == "bad id":
        pairs[index], error = ("not an id", b"x"), InvalidIDError
    elif fault == "bad result":
        pairs[index], error = (jobs[index], bytes(MAX_RESULT + 1)), InvalidResultError
    else:
        pairs[index], error = (jobs[index], "text"), InvalidResultError
    before = harness.view(engine)
    with pytest.raises(error) as caught:
        engine.complete_many(pairs)
    assert caught.value.index == index
    assert str(index) in str(caught.value)
    assert harness.view(engine) == before


@pytest.mark.parametrize("pair", [None, 5, (), (1,), (1, 2, 3)])
def test_complete_many_wants_pairs(engine, harness, pair):
    job = Job("a")
    engine.add(job)
    before = harness.view(engine)
    with pytest.raises((TypeError, ValueError)):
        engine.complete_many([(job, b""), pair])
    assert harness.view(engine) == before


# ---------------------------------------------------------------- delete_many


def test_delete_many_counts_what_it_deleted(engine, clock):
    jobs = [Job("a") for _ in range(4)]
    engine.add_many(jobs)
    engine.lease("a", 0)
    engine.complete(jobs[1])
    later = Job("a", time=clock.now + timedelta(hours=1))
    engine.schedule(later)
    unknown = Job("a")
    ids = [jobs[0], str(jobs[1].id), unknown, jobs[2].id, later, jobs[2].id]
    assert engine.delete_many(ids) == 4
    assert engine.jobs("a") == [jobs[3]]
    stats = engine.stats()
    assert (stats.records, stats.running, stats.scheduled, stats.evicted_jobs) == (1, 0, 0, 0)


def test_delete_many_with_a_bad_id_deletes_nothing(engine, harness):
    jobs = [Job("a") for _ in range(3)]
    engine.add_many(jobs)
    before = harness.view(engine)
    with pytest.raises(InvalidIDError):
        engine.delete_many([jobs[0], "not an id", jobs[1]])
    assert harness.view(engine) == before


def test_lease_many_arguments(engine, harness):
    engine.add(Job("a"))
    before = harness.view(engine)
    for n in (0, -1):
        with pytest.raises(ValueError, match=str(n)):
            engine.lease_many("a", n, 0)
    for n in (1.0, "1", None, True):
        with pytest.raises(TypeError):
            engine.lease_many("a", n, 0)
    with pytest.raises(InvalidNameError):
        engine.lease_many([], 1, 0)
    assert harness.view(engine) == before
