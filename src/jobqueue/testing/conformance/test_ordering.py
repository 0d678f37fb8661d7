"""The order of jobs: priority high to low, then first come first served; no clock changes it."""

import itertools
import random
from contextlib import suppress
from datetime import timedelta

from jobqueue import Job, WaitTimeoutError


def drain(engine, name: str = "a") -> list[Job]:
    """All that is there, in the order in which it comes."""
    jobs = []
    with suppress(WaitTimeoutError):
        while True:
            jobs.append(engine.lease(name, 0))
    return jobs


def test_priority_then_order_of_adding(engine):
    jobs = [Job("a", priority=priority) for priority in (0, 5, -3, 5, 0, 2**31 - 1, -(2**31))]
    for job in jobs:
        engine.add(job)
    expected = [jobs[index] for index in (5, 1, 3, 0, 4, 2, 6)]
    assert drain(engine) == expected


def test_jobs_are_listed_in_their_order(engine):
    jobs = [Job(name, priority=n % 3) for n in range(6) for name in "abc"]
    for job in jobs:
        engine.add(job)
    for name in "cab":
        mine = [job for job in jobs if job.name == name]
        assert engine.jobs(name) == sorted(mine, key=lambda job: -job.priority)


def test_the_order_of_adding_is_not_that_of_construction(engine):
    jobs = [Job("a") for _ in range(50)]
    random.Random(1).shuffle(jobs)
    for job in jobs:
        engine.add(job)
    assert drain(engine) == jobs


def test_every_order_of_adding(engine):
    for order in itertools.permutations(range(4)):
        jobs = [Job("a") for _ in range(4)]
        for index in order:
            engine.add(jobs[index])
        assert drain(engine) == [jobs[index] for index in order]


def test_the_wall_clock_steps_back(engine, clock):
    jobs = []
    for step in (0, -3_600_000, 1000, -5, 7_200_000, -86_400_000):
        clock.step(step)
        for _ in range(2):
            jobs.append(Job("a"))
            engine.add(jobs[-1])
    assert drain(engine) == jobs


def test_a_given_creation_time_counts(engine, clock):
    now = clock.now
    young = Job("a", created=now + timedelta(seconds=5))
    old = Job("a", created=now - timedelta(seconds=5))
    unstamped = Job("a")
    for job in (young, unstamped, old):
        engine.add(job)
    assert drain(engine) == [old, unstamped, young]


def test_ids_decide_between_equals(engine, clock):
    jobs = [Job("a", created=clock.now) for _ in range(20)]
    for job in jobs:
        engine.add(job)
    assert drain(engine) == sorted(jobs, key=lambda job: bytes(job.id))


def test_names_are_apart(engine):
    jobs = {name: [Job(name, priority=priority) for priority in (1, 2)] for name in "abc"}
    for job in itertools.chain.from_iterable(jobs.values()):
        engine.add(job)
    for name in "cab":
        assert drain(engine, name) == jobs[name][::-1]


def test_a_job_that_comes_back_keeps_its_place(engine, clock):
    jobs = [Job("a", ttr=100, max_fails=9) for _ in range(4)]
    for job in jobs:
        engine.add(job)
    for back in ("release", "fail", "timeout_attempt"):
        taken = engine.lease("a", 0)
        assert taken == jobs[0]
        getattr(engine, back)(taken)
    engine.lease("a", 0)
    clock.advance(100)
    assert engine.jobs("a") == jobs


def test_random_priorities_against_sorted(engine):
    rng = random.Random(5)
    jobs = [Job("a", priority=rng.randrange(-3, 4)) for _ in range(500)]
    for job in jobs:
        engine.add(job)
    for job in rng.sample(jobs, 100):
        engine.delete(job)
        jobs.remove(job)
    assert drain(engine) == sorted(jobs, key=lambda job: -job.priority)
