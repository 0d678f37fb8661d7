"""The batch calls, 1 to 1000 jobs a call, beside single calls: the life of jobs, batch by batch.

The engine is kept and its memory is warm, as in a service that has run for a while. Each round
returns what each verb took per job; jobs and pairs are built between the timed parts.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from benchmarks.case import Case
from benchmarks.contender import NAME, RESULT, TTR_MS
from benchmarks.workload import payloads
from jobqueue import Controller, Job

COUNT = 5_000  # jobs in one round
SIZES = (1, 10, 100, 1_000)
SINGLE_SIZE = 100  # jobs that single calls take through each stage together
VERBS = ("add", "lease", "complete", "delete")

Spent = dict[str, float]  # nanoseconds a job by verb
State = tuple[Controller, list[list[bytes]]]


def chunked(size: int) -> Callable[[], State]:
    def setup() -> State:
        work = payloads(COUNT)
        return Controller(), [work[start : start + size] for start in range(0, COUNT, size)]

    return setup


def new_jobs(work: list[bytes]) -> list[Job]:
    return [Job(NAME, payload, ttr=TTR_MS) for payload in work]


def spent(stamps: list[tuple[int, int, int, int, int, int]]) -> Spent:
    """Sums of (start, added, leased, paired, completed, deleted)."""
    start, added, leased, paired, completed, deleted = (
        sum(part) for part in zip(*stamps, strict=True)
    )
    parts = (added - start, leased - added, completed - paired, deleted - completed)
    return {verb: part / COUNT for verb, part in zip(VERBS, parts, strict=True)}


def single_calls(state: State) -> Spent:
    queue, chunks = state
    stamps = []
    for work in chunks:
        jobs = new_jobs(work)
        start = perf_counter_ns()
        for job in jobs:
            queue.add(job)
        added = perf_counter_ns()
        for _ in jobs:
            queue.lease(NAME, 0)
        leased = perf_counter_ns()
        for job in jobs:
            queue.complete(job, RESULT)
        completed = perf_counter_ns()
        for job in jobs:
            queue.delete(job)
        stamps.append((start, added, leased, leased, completed, perf_counter_ns()))
    return spent(stamps)


def batch_calls(state: State) -> Spent:
    queue, chunks = state
    stamps = []
    for work in chunks:
        jobs = new_jobs(work)
        start = perf_counter_ns()
        queue.add_many(jobs)
        added = perf_counter_ns()
        jobs = queue.lease_many(NAME, len(work), 0)
        leased = perf_counter_ns()
        pairs = [(job, RESULT) for job in jobs]
        paired = perf_counter_ns()
        queue.complete_many(pairs)
        completed = perf_counter_ns()
        queue.delete_many(jobs)
        stamps.append((start, added, leased, paired, completed, perf_counter_ns()))
    return spent(stamps)


def batch_case(name: str, run: Callable[[State], Spent], size: int, title: str) -> Case:
    return Case(
        f"batch/{name}",
        chunked(size),
        run,
        COUNT,
        teardown=lambda state: state[0].close(),
        title=title,
    )


CASES = (
    batch_case("single", single_calls, SINGLE_SIZE, "single calls"),
    *(batch_case(str(size), batch_calls, size, f"batches of {size}") for size in SIZES),
)
