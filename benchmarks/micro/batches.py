"""The batch calls, 1 to 1000 jobs a call, beside single calls. Jobs and pairs are built before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case
from benchmarks.contender import NAME, RESULT, TTR_MS
from benchmarks.workload import payloads
from jobqueue import Controller, Job

COUNT = 5_000
SIZES = (1, 10, 100, 1_000)
VERBS = ("add", "lease", "complete", "delete")

Batch = tuple[Controller, list[Any]]  # the queue, and the argument of each call


def chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def queue_with(stage: str) -> tuple[Controller, list[Job]]:
    """A queue whose jobs are ready for the verb."""
    queue = Controller()
    jobs = [Job(NAME, payload, ttr=TTR_MS) for payload in payloads(COUNT)]
    if stage != "add":
        queue.add_many(jobs)
    if stage in ("complete", "delete"):
        jobs = queue.lease_many(NAME, COUNT, 0)
    if stage == "delete":
        queue.complete_many([(job, RESULT) for job in jobs])
    return queue, jobs


def setup_single(verb: str) -> Callable[[], Batch]:
    return lambda: queue_with(verb)


def setup_batch(verb: str, size: int) -> Callable[[], Batch]:
    def setup() -> Batch:
        queue, jobs = queue_with(verb)
        items: list[Any] = [(job, RESULT) for job in jobs] if verb == "complete" else jobs
        return queue, chunks(items, size)

    return setup


def single_add(state: Batch) -> None:
    queue, jobs = state
    for job in jobs:
        queue.add(job)


def single_lease(state: Batch) -> None:
    queue, jobs = state
    for _ in jobs:
        queue.lease(NAME, 0)


def single_complete(state: Batch) -> None:
    queue, jobs = state
    for job in jobs:
        queue.complete(job, RESULT)


def single_delete(state: Batch) -> None:
    queue, jobs = state
    for job in jobs:
        queue.delete(job)


def batch_add(state: Batch) -> None:
    queue, batches = state
    for batch in batches:
        queue.add_many(batch)


def batch_lease(state: Batch) -> None:
    queue, batches = state
    for batch in batches:
        queue.lease_many(NAME, len(batch), 0)


def batch_complete(state: Batch) -> None:
    queue, batches = state
    for batch in batches:
        queue.complete_many(batch)


def batch_delete(state: Batch) -> None:
    queue, batches = state
    for batch in batches:
        queue.delete_many(batch)


SINGLE = {
    "add": single_add,
    "lease": single_lease,
    "complete": single_complete,
    "delete": single_delete,
}
BATCH = {"add": batch_add, "lease": batch_lease, "complete": batch_complete, "delete": batch_delete}


def batch_case(name: str, setup: Callable[[], Batch], run: Callable[[Batch], None]) -> Case:
    return Case(
        f"batch/{name}", setup, run, COUNT, fresh=True, teardown=lambda state: state[0].close()
    )


CASES = (
    *(batch_case(f"{verb}/single", setup_single(verb), SINGLE[verb]) for verb in VERBS),
    *(
        batch_case(f"{verb}/{size}", setup_batch(verb, size), BATCH[verb])
        for verb in VERBS
        for size in SIZES
    ),
)
