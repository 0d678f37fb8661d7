"""Eight threads call every verb on the same few jobs: the engine stays whole, its books balance."""

import itertools
import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobqueue import Controller, Job, JobQueueError, QueueController, State
from jobqueue.observing import Event
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call

THREADS = 8
STEPS = 3000
PAIR_STEPS = 6
LONG_STEPS = 300


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def later(job: Job) -> Job:
    return job.replace(time=datetime.now(UTC) + timedelta(milliseconds=2))


def attempt(c: Controller, job: Job, rng: random.Random) -> None:
    with c.attempt("a", rng.randrange(3)) as held:
        held.touch(rng.randrange(1, 5))


def watch(c: Controller, job: Job, rng: random.Random) -> None:
    told: list[Event] = []
    with c.observe(told.append):
        c.add(job.replace(), rng.randrange(2))
        c.explain(job)
    assert all(event.name in {"a", "b"} for event in told)


def limit(c: Controller, job: Job, rng: random.Random) -> None:
    if isinstance(c.queues, QueueController):
        c.limit(job.name, max_jobs=rng.choice((None, 2, 5)))


VERBS: dict[str, Callable[[Any, Job, random.Random], object]] = {
    "add": lambda c, job, rng: c.add(job.replace()),
    "add (waiting)": lambda c, job, rng: c.add(job.replace(), rng.randrange(3)),
    "schedule": lambda c, job, rng: c.schedule(later(job)),
    "run": lambda c, job, rng: c.run(job.replace(), rng.randrange(3)),
    "lease": lambda c, job, rng: c.lease(["a", "b"], rng.randrange(3)),
    "lease_many": lambda c, job, rng: c.lease_many("a", 3, 0),
    "complete": lambda c, job, rng: c.complete(job, b"x", attempt=rng.choice((None, 1, 2))),
    "fail": lambda c, job, rng: c.fail(job, b"x"),
    "result": lambda c, job, rng: c.result(job, rng.randrange(3)),
    "delete": lambda c, job, rng: c.delete(job),
    "expire": lambda c, job, rng: c.expire(job),
    "timeout_attempt": lambda c, job, rng: c.timeout_attempt(job),
    "start_attempt": lambda c, job, rng: c.start_attempt(job),
    "touch": lambda c, job, rng: c.touch(job, rng.randrange(1, 5)),
    "release": lambda c, job, rng: c.release(job, rng.randrange(3)),
    "add_many": lambda c, job, rng: c.add_many([job.replace(), Job("b", ttl=5)]),
    "complete_many": lambda c, job, rng: c.complete_many([(job, b"x")]),
    "delete_many": lambda c, job, rng: c.delete_many([job]),
    "pause": lambda c, job, rng: c.pause("b"),
    "resume": lambda c, job, rng: c.resume("b"),
    "look": lambda c, job, rng: (c.peek("a"), c.jobs("a"), c.scheduled_jobs("a"), c.names()),
    "kick": lambda c, job, rng: c.kick(job),
    "cancel": lambda c, job, rng: c.cancel(job, b"no"),
    "dead": lambda c, job, rng: c.dead("a"),
    "attempt": attempt,
    "watch": watch,
    "limit": limit,
    "stats": lambda c, job, rng: c.stats(),
}


def churn(c: Controller, jobs: list[Job], seed: int, verbs: list[str], steps: int) -> None:
    rng = random.Random(seed)
    for _ in range(steps):
        try:
            VERBS[rng.choice(verbs)](c, rng.choice(jobs), rng)
        except JobQueueError:
            pass


def check_books(c: Controller) -> None:
    """Once everybody is quiet: nothing is lost, nothing counted twice."""
    c.resume("b")
    c._check()
    stats, states = None, []
    while stats != c.stats():  # else the TTR of a lease was over meanwhile
        stats = c.stats()
        states = [record.state for record in c.registry]
    assert stats is not None
    ended = sum(state in (State.COMPLETED, State.FAILED) for state in states)
    waiting = sum(state in (State.NEW, State.PENDING) for state in states)
    assert stats.waiting == stats.blocked == 0
    assert stats.records == len(states) == ended + waiting + stats.running
    assert stats.running == states.count(State.LEASED)
    assert stats.ready + stats.scheduled == waiting


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("queues", [None, Queues], ids=["built-in", "custom"])
def test_every_verb_at_once(seed: int, long: bool, queues: type[Queues] | None) -> None:
    steps = 10 * STEPS if long else STEPS
    jobs = [
        Job("ab"[n % 2], ttr=1 + n % 4, ttl=5 + n, max_attempts=n % 4, max_fails=n % 3)
        for n in range(12)
    ]
    with Controller(queues=queues and queues(), history=3) as c:
        calls = [Call(churn, c, jobs, seed + n, list(VERBS), steps) for n in range(THREADS)]
        for call in calls:
            call.outcome()
        check_books(c)
        stats = c.stats()
        assert min(stats.added, stats.leased, stats.completed, stats.failed, stats.timed_out) > 0


@pytest.mark.usefixtures("eager_switching")
def test_every_pair_of_verbs(seed: int, long: bool) -> None:
    """Two verbs, eight threads, three jobs; the other verbs only as far as the jobs need them."""
    steps = LONG_STEPS if long else PAIR_STEPS
    for pair in itertools.combinations_with_replacement(VERBS, 2):
        jobs = [Job("a", ttr=2, max_fails=2, max_attempts=9) for _ in range(3)]
        with Controller() as c:
            verbs = [*pair, *pair, "add", "start_attempt", "lease"]
            calls = [Call(churn, c, jobs, seed + n, verbs, steps) for n in range(THREADS)]
            for call in calls:
                call.outcome()
            check_books(c)


@pytest.mark.usefixtures("eager_switching")
def test_one_job_in_two_engines(seed: int, long: bool) -> None:
    """Each stamps a job when it takes it, unless another has: no order may break."""
    jobs = [Job("ab"[n % 2], ttr=1 + n % 4, max_attempts=n % 4) for n in range(6)]
    steps = LONG_STEPS if long else STEPS
    with Controller() as one, Controller() as other:
        calls = [
            Call(churn_shared, (one, other)[n % 2], jobs, seed + n, steps) for n in range(THREADS)
        ]
        for call in calls:
            call.outcome()
        check_books(one)
        check_books(other)


def churn_shared(c: Controller, jobs: list[Job], seed: int, steps: int) -> None:
    rng = random.Random(seed)
    for _ in range(steps):
        job = rng.choice(jobs)
        try:
            rng.choice((c.add, c.add, c.delete, c.start_attempt, c.release, c.complete))(job)
        except JobQueueError:
            pass


@pytest.mark.usefixtures("eager_switching")
def test_looking_at_records_while_they_change(seed: int, long: bool) -> None:
    jobs = [Job("a", ttr=2, ttl=20, max_fails=3) for _ in range(3)]
    steps = LONG_STEPS if long else STEPS

    def look(c: Controller) -> None:
        for _ in range(steps):
            for record in c.registry:
                assert record.result in {None, b"x", b""}
                for timer in record.timers:
                    if timer is not None:
                        timer.cancel()
                record.write_result(b"x", False)

    with Controller() as c:
        verbs = ["add", "schedule", "lease", "complete", "fail", "delete", "kick", "result"]
        calls = [Call(churn, c, jobs, seed + n, verbs, steps) for n in range(4)]
        calls += [Call(look, c) for _ in range(2)]
        for call in calls:
            call.outcome()
        check_books(c)


def test_two_threads_create_many_queues(seed: int) -> None:
    barrier = threading.Barrier(4)

    def create(c: Controller, start: int) -> None:
        barrier.wait()
        for n in range(500):
            c.add(Job(f"q{n}", b"%d" % start))

    with Controller() as c:
        calls = [Call(create, c, n) for n in range(4)]
        for call in calls:
            call.outcome()
        assert len(c.names()) == 500
        for name in c.names():
            assert sorted(job.payload for job in c.jobs(name)) == [b"0", b"1", b"2", b"3"]
