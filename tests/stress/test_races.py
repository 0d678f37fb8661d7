"""Eight threads call every verb on the same few jobs: the engine stays whole, its books balance."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobqueue import Controller, Job, JobQueueError, State
from tests.plain import Queues
from tests.waiting import Call

THREADS = 8
STEPS = 3000


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def later(job: Job) -> Job:
    return job.replace(time=datetime.now(UTC) + timedelta(milliseconds=2))


VERBS: dict[str, Callable[[Any, Job, random.Random], object]] = {
    "add": lambda c, job, rng: c.add(job.replace()),
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
    "stats": lambda c, job, rng: c.stats(),
}


def churn(c: Controller, jobs: list[Job], seed: int, verbs: list[str]) -> None:
    rng = random.Random(seed)
    for _ in range(STEPS):
        try:
            VERBS[rng.choice(verbs)](c, rng.choice(jobs), rng)
        except JobQueueError:
            pass


def check_books(c: Controller) -> None:
    """Once everybody is quiet: nothing is lost, nothing counted twice."""
    c.resume("b")
    c._check()
    stats = c.stats()
    states = [record.state for record in c.registry]
    ended = sum(state in (State.COMPLETED, State.FAILED) for state in states)
    waiting = sum(state in (State.NEW, State.PENDING) for state in states)
    assert stats.waiting == 0
    assert stats.records == len(states) == ended + waiting + stats.running
    assert stats.running == states.count(State.LEASED)
    assert stats.ready + stats.scheduled == waiting


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("queues", [None, Queues], ids=["built-in", "custom"])
def test_every_verb_at_once(seed: int, queues: type[Queues] | None) -> None:
    jobs = [
        Job("ab"[n % 2], ttr=1 + n % 4, ttl=5 + n, max_attempts=n % 4, max_fails=n % 3)
        for n in range(12)
    ]
    with Controller(queues=queues and queues()) as c:
        calls = [Call(churn, c, jobs, seed + n, list(VERBS)) for n in range(THREADS)]
        for call in calls:
            call.outcome()
        check_books(c)
        stats = c.stats()
        assert min(stats.added, stats.leased, stats.completed, stats.failed, stats.timed_out) > 0


PAIRS = [
    ("lease", "delete"),
    ("lease", "expire"),
    ("lease", "complete"),
    ("complete", "timeout_attempt"),
    ("complete", "delete"),
    ("result", "delete"),
    ("result", "complete"),
    ("run", "delete"),
    ("run", "complete"),
    ("run", "lease"),
    ("touch", "release"),
    ("start_attempt", "lease"),
    ("fail", "lease"),
    ("pause", "resume"),
]


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_pairs_of_verbs(seed: int, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.stress.test_races.STEPS", 300)
    jobs = [Job("a", ttr=2, max_fails=2) for _ in range(3)]
    with Controller() as c:
        verbs = [*pair, *pair, "add", "start_attempt", "lease"]
        calls = [Call(churn, c, jobs, seed + n, verbs) for n in range(4)]
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
