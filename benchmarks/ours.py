"""jobqueue itself, through its public facade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from benchmarks.contender import NAME, PRIORITY, RESULT, STOP, TTR_MS, Contender, Pair
from jobqueue import Controller, Job

WAIT_MS = 60_000  # longer than any round


def cycle(queue: Controller, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        queue.add(Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS))
        job = queue.lease(NAME, 0)
        queue.complete(job, RESULT)
        queue.delete(job)


def job_chunks(work: Iterable[tuple[bytes, int]], size: int) -> Iterator[list[Job]]:
    """Jobs of (payload, priority) in lists of `size`."""
    jobs = (Job(NAME, payload, priority=priority, ttr=TTR_MS) for payload, priority in work)
    while chunk := list(islice(jobs, size)):
        yield chunk


def fill(queue: Controller, work: Iterable[tuple[bytes, int]]) -> None:
    for chunk in job_chunks(work, 10_000):
        queue.add_many(chunk)


def hold(queue: Controller, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, step in work:
        job = queue.lease(NAME, 0)
        queue.complete(job, RESULT)
        queue.delete(job)
        queue.add(Job(NAME, payload, priority=job.priority - step, ttr=TTR_MS))


def produce(queue: Controller, payloads: Iterable[bytes]) -> None:
    for payload in payloads:
        queue.add(Job(NAME, payload, ttr=TTR_MS))


def consume(queue: Controller) -> int:
    count = 0
    while True:
        job = queue.lease(NAME, WAIT_MS)
        queue.complete(job, RESULT)
        queue.delete(job)
        if job.payload == STOP:
            return count
        count += 1


def pair(queue: Controller) -> Pair:
    """The leased jobs stay leased until the controller is closed: only the hand-off is timed."""
    payload = bytes(100)
    return Pair(
        lambda: queue.add(Job("ping", payload, ttr=TTR_MS)),
        lambda: queue.lease("ping", WAIT_MS),
        lambda: queue.add(Job("pong", payload, ttr=TTR_MS)),
        lambda: queue.lease("pong", WAIT_MS),
    )


OURS = Contender(
    name="jobqueue",
    title="jobqueue",
    best="public API; the Job itself is passed as the id",
    open=Controller,
    close=Controller.close,
    cycle=cycle,
    cycle_operations=20_000,
    fill=fill,
    hold=hold,
    produce=produce,
    consume=consume,
    pair=pair,
)
