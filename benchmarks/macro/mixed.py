"""A mixed workload: 16 queues with Zipf-distributed names, ten priorities, ten thousand pending.

Of a hundred leased jobs 85 are completed, read and deleted, 5 are completed after a touch, 5 fail
and come back, 3 are released, 2 fail for good.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.case import Case
from benchmarks.contender import RESULT, TTR_MS
from benchmarks.workload import SEED, payloads, zipf_names
from jobqueue import Controller, Job

STEPS = 5_000
PENDING = 10_000
COMPLETE, TOUCH, FAIL, RELEASE, GIVE_UP = range(5)
SHARES = (85, 5, 5, 3, 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One job to add, and what happens to the one that is leased."""

    name: str
    payload: bytes
    priority: int
    names: tuple[str, str, str]
    outcome: int


def steps(count: int) -> list[Step]:
    rng = random.Random(SEED)
    names = zipf_names(count)
    every = sorted(set(names))
    outcomes = rng.choices(range(5), SHARES, k=count)
    return [
        Step(
            name,
            payload,
            rng.randrange(10),
            (name, rng.choice(every), rng.choice(every)),
            outcome,
        )
        for name, payload, outcome in zip(names, payloads(count), outcomes, strict=True)
    ]


def setup() -> tuple[Controller, list[Step]]:
    queue = Controller(rng=random.Random(SEED))
    queue.add_many(
        [Job(step.name, step.payload, priority=step.priority) for step in steps(PENDING)]
    )
    return queue, steps(STEPS)


def run(state: tuple[Controller, list[Step]]) -> None:
    queue, work = state
    for step in work:
        queue.add(Job(step.name, step.payload, priority=step.priority, ttr=TTR_MS, max_fails=2))
        job = queue.lease(step.names, 0)
        outcome = step.outcome
        if outcome == FAIL:
            queue.fail(job, RESULT)
            continue
        if outcome == RELEASE:
            queue.release(job)
            continue
        if outcome == TOUCH:
            queue.touch(job)
        if outcome == GIVE_UP:
            queue.fail(job, RESULT)
        else:
            queue.complete(job, RESULT)
            queue.result(job, 0)
        queue.delete(job)


CASES = (
    Case(
        "mixed/jobqueue",
        setup,
        run,
        STEPS,
        fresh=True,
        teardown=lambda state: state[0].close(),
        title="jobqueue",
    ),
)
