"""The structures on their own: queue (skiplist), registry, timer wheel; ten thousand items."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.case import Case
from benchmarks.contender import NAME
from benchmarks.workload import SEED, payload_stream
from jobqueue import Job, Registry, RunRecord, TimerWheel, WorkQueue

COUNT = 10_000
DAY_NS = 86_400_000_000_000


def jobs_by(order: str) -> list[Job]:
    rng = random.Random(SEED)
    priorities = (rng.randrange(1 << 30) if order == "random" else 0 for _ in range(COUNT))
    return [
        Job(NAME, payload, priority=priority)
        for payload, priority in zip(payload_stream(COUNT), priorities, strict=True)
    ]


def empty_queue(order: str) -> tuple[WorkQueue, list[Job]]:
    return WorkQueue(), jobs_by(order)


def full_queue(order: str) -> tuple[WorkQueue, list[Job]]:
    queue, jobs = empty_queue(order)
    for job in jobs:
        queue.add(job)
    random.Random(SEED).shuffle(jobs)
    return queue, jobs


def queue_add(state: tuple[WorkQueue, list[Job]]) -> None:
    queue, jobs = state
    for job in jobs:
        queue.add(job)


def queue_lease(state: tuple[WorkQueue, list[Job]]) -> None:
    queue, jobs = state
    for _ in jobs:
        queue.lease()


def queue_exists(state: tuple[WorkQueue, list[Job]]) -> None:
    queue, jobs = state
    for job in jobs:
        queue.exists(job)


def queue_delete(state: tuple[WorkQueue, list[Job]]) -> None:
    queue, jobs = state
    for job in jobs:
        queue.delete(job)


def empty_registry() -> tuple[Registry, list[RunRecord], list[Job]]:
    jobs = jobs_by("fifo")
    return Registry(), [RunRecord(job) for job in jobs], jobs


def full_registry() -> tuple[Registry, list[RunRecord], list[Job]]:
    registry, records, jobs = empty_registry()
    for record in records:
        registry.add(record)
    random.Random(SEED).shuffle(jobs)
    return registry, records, jobs


def registry_add(state: tuple[Registry, list[RunRecord], list[Job]]) -> None:
    registry, records, _ = state
    for record in records:
        registry.add(record)


def registry_record(state: tuple[Registry, list[RunRecord], list[Job]]) -> None:
    registry, _, jobs = state
    for job in jobs:
        registry.record(job)


def registry_delete(state: tuple[Registry, list[RunRecord], list[Job]]) -> None:
    registry, _, jobs = state
    for job in jobs:
        registry.delete(job)


def deadlines() -> list[int]:
    rng = random.Random(SEED)
    return [rng.randrange(DAY_NS) for _ in range(COUNT)]


def empty_wheel() -> tuple[TimerWheel, list[int]]:
    return TimerWheel(start=0), deadlines()


def full_wheel() -> tuple[TimerWheel, list[Any]]:
    wheel, due = empty_wheel()
    timers = [wheel.arm(deadline) for deadline in due]
    random.Random(SEED).shuffle(timers)
    return wheel, timers


def wheel_arm(state: tuple[TimerWheel, list[int]]) -> None:
    wheel, due = state
    for deadline in due:
        wheel.arm(deadline)


def wheel_cancel(state: tuple[TimerWheel, list[Any]]) -> None:
    wheel, timers = state
    for timer in timers:
        wheel.cancel(timer)


def wheel_fire(state: tuple[TimerWheel, list[Any]]) -> None:
    wheel, timers = state
    for step in range(len(timers)):
        wheel.advance(DAY_NS * step // COUNT)
    wheel.advance(DAY_NS)


CASES = tuple(
    Case(f"structure/{name}", setup, run, COUNT, fresh=True, title=title)
    for name, setup, run, title in (
        (
            "queue_add_fifo",
            lambda: empty_queue("fifo"),
            queue_add,
            "WorkQueue.add, equal priorities",
        ),
        ("queue_add_random", lambda: empty_queue("random"), queue_add, "WorkQueue.add, random"),
        ("queue_lease", lambda: full_queue("random"), queue_lease, "WorkQueue.lease"),
        ("queue_exists", lambda: full_queue("random"), queue_exists, "WorkQueue.exists"),
        ("queue_delete", lambda: full_queue("random"), queue_delete, "WorkQueue.delete, anywhere"),
        ("registry_add", empty_registry, registry_add, "Registry.add"),
        ("registry_record", full_registry, registry_record, "Registry.record"),
        ("registry_delete", full_registry, registry_delete, "Registry.delete"),
        ("wheel_arm", empty_wheel, wheel_arm, "TimerWheel.arm, a Timer object each"),
        ("wheel_cancel", full_wheel, wheel_cancel, "TimerWheel.cancel"),
        ("wheel_fire", full_wheel, wheel_fire, "TimerWheel.advance, one step a timer"),
    )
)
