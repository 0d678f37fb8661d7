"""Many jobs, eight threads, random TTR time-outs: none lost, none completed twice."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest

from jobqueue import ID, Controller, Job, JobQueueError, WaitTimeoutError
from jobqueue.testing.waiting import Call

WORKERS = 6
PRODUCERS = 2
BATCH = 250
BACKLOG = 20_000
"""Jobs that producers let wait, so that memory stays flat."""


@dataclass
class Ledger:
    """What one worker saw."""

    accepted: list[ID] = field(default_factory=list)
    refused: int = 0
    abandoned: int = 0
    taken: int = 0


def produce(c: Controller, count: int, seed: int, ids: list[ID]) -> None:
    """Add `count` jobs, some one by one, some in batches, with TTRs of a few ms."""
    rng = random.Random(seed)
    while count:
        size = min(rng.choice((1, 1, BATCH)), count)
        jobs = [
            Job(
                f"q{rng.randrange(4)}",
                rng.randbytes(8),
                priority=rng.randrange(3),
                ttr=rng.randrange(1, 25),
            )
            for _ in range(size)
        ]
        ids += [job.id for job in jobs]
        if size == 1:
            c.add(jobs[0])
        else:
            c.add_many(jobs)
        count -= size
        while c.stats().records > BACKLOG:
            threading.Event().wait(0.001)


def consume(c: Controller, seed: int, done: threading.Event, ledger: Ledger) -> None:
    """Lease and complete; now and then leave a job to its TTR, and answer too late."""
    rng = random.Random(seed)
    late: list[tuple[ID, int]] = []

    def answer(id: ID, number: int) -> None:
        try:
            c.complete(id, b"x", attempt=number)
        except JobQueueError:
            ledger.refused += 1
        else:
            ledger.accepted.append(id)

    names = ["q0", "q1", "q2", "q3"]
    while not done.is_set():
        rng.shuffle(names)
        try:
            attempt = c.attempt(names[: rng.randrange(1, 5)], 20).__enter__()
        except WaitTimeoutError:
            continue
        ledger.taken += 1
        if rng.random() < 0.02:
            ledger.abandoned += 1
            late.append((attempt.job.id, attempt.number))
        else:
            answer(attempt.job.id, attempt.number)
        if len(late) > 100 or (late and rng.random() < 0.002):
            answer(*late.pop(rng.randrange(len(late))))
    for id, number in late:
        answer(id, number)


def run_through(count: int, seed: int) -> None:
    done = threading.Event()
    ledgers = [Ledger() for _ in range(WORKERS)]
    ids: list[list[ID]] = [[] for _ in range(PRODUCERS)]
    with Controller(rng=random.Random(seed), result_ttl=0) as c:
        workers = [
            threading.Thread(target=consume, args=(c, seed + n, done, ledger), daemon=True)
            for n, ledger in enumerate(ledgers)
        ]
        producers = [
            threading.Thread(target=produce, args=(c, count // PRODUCERS, seed - n, out))
            for n, out in enumerate(ids, 1)
        ]
        for thread in (*workers, *producers):
            thread.start()
        for thread in producers:
            thread.join()
        while c.stats().records:
            threading.Event().wait(0.005)
        done.set()
        for thread in workers:
            thread.join()
        stats = c.stats()
        c._check()
    added = {id for out in ids for id in out}
    accepted = Counter(id for ledger in ledgers for id in ledger.accepted)
    assert len(added) == count
    assert max(accepted.values()) == 1, "completed twice"
    assert set(accepted) == added, "lost"
    assert (stats.added, stats.completed, stats.failed, stats.evicted_jobs) == (count, count, 0, 0)
    assert stats.leased == sum(ledger.taken for ledger in ledgers)
    assert stats.leased == stats.completed + stats.timed_out
    assert (stats.ready, stats.scheduled, stats.running, stats.waiting) == (0, 0, 0, 0)
    assert stats.timed_out > 0
    assert sum(ledger.refused for ledger in ledgers) > 0


def test_twenty_thousand(seed: int) -> None:
    run_through(20_000, seed)


@pytest.mark.stress
def test_a_million(seed: int) -> None:
    run_through(1_000_000, seed)


def test_many_leasers_many_names(seed: int) -> None:
    """Every job reaches exactly one of the leasers in line for it."""
    rng = random.Random(seed)
    names = [f"q{n}" for n in range(10)]
    total = 3000
    with Controller() as c:
        got: list[Job] = []

        def work(mine: list[str]) -> None:
            while (job := c.lease(mine, 60_000)).payload != b"stop":
                got.append(job)  # atomic
                c.complete(job)

        lines = [[*rng.sample(names, rng.randrange(1, 6)), f"own{n}"] for n in range(8)]
        lines[0] = [*names, "own0"]
        calls = [Call(work, line) for line in lines]
        jobs = [Job(rng.choice(names)) for _ in range(total)]
        for job in jobs:
            c.add(job)
        while c.stats().completed < total:
            threading.Event().wait(0.001)
        for n in range(8):
            c.add(Job(f"own{n}", b"stop"))
        for call in calls:
            call.outcome()
        assert Counter(got) == Counter(jobs)
