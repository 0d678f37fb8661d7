"""Each call on its own, a thousand jobs at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import floor
from benchmarks.case import Case
from benchmarks.contender import NAME, PRIORITY, RESULT, TTR_MS
from benchmarks.peers import by_hand
from benchmarks.workload import payloads
from jobqueue import ID, Controller, Job, WaitTimeoutError

COUNT = 1_000
NOWHERE = "nowhere"  # a queue without jobs
NAMES = (NOWHERE, NAME, "elsewhere")


@dataclass(slots=True)
class State:
    """A queue and the jobs that the calls are made for."""

    queue: Controller
    jobs: list[Job]
    keys: Sequence[Any]  # what the jobs are called by, where it is not the Job


def new_jobs(**options: Any) -> list[Job]:
    return [Job(NAME, payload, ttr=TTR_MS, **options) for payload in payloads(COUNT)]


def built(**options: Any) -> State:
    jobs = new_jobs(**options)
    return State(Controller(), jobs, jobs)


def pending(**options: Any) -> State:
    state = built(**options)
    state.queue.add_many(state.jobs)
    return state


def leased(**options: Any) -> State:
    state = pending(**options)
    state.jobs = state.queue.lease_many(NAME, COUNT, 0)
    return state


def completed(**options: Any) -> State:
    state = leased(**options)
    for job in state.jobs:
        state.queue.complete(job, RESULT)
    return state


def keyed(make: Callable[[Job], Any]) -> Callable[[], State]:
    """Leased jobs, and what `make` calls each of them."""

    def setup() -> State:
        state = leased()
        state.keys = [make(job) for job in state.jobs]
        return state

    return setup


def later() -> State:
    """Jobs with a time tomorrow."""
    return built(time=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))


def close(state: State) -> None:
    state.queue.close()


def build_ours(work: list[bytes]) -> None:
    for payload in work:
        Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS)


def build_short(work: list[bytes]) -> None:
    for payload in work:
        Job(NAME, payload)


def build_long(work: list[bytes]) -> None:
    for payload in work:
        Job(
            NAME,
            payload,
            priority=PRIORITY,
            ttr=TTR_MS,
            ttl=600_000,
            max_attempts=5,
            max_fails=3,
        )


def build_floor(work: list[bytes]) -> None:
    for payload in work:
        floor.Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS)


def build_by_hand(work: list[bytes]) -> None:
    for payload in work:
        by_hand.Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS)


def new_ids(work: list[bytes]) -> None:
    for _ in work:
        ID.new()


def add(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.add(job)


def schedule(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.schedule(job)


def lease(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        queue.lease(NAME, 0)


def lease_names(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        queue.lease(NAMES, 0)


def lease_nothing(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        try:
            queue.lease(NOWHERE, 0)
        except WaitTimeoutError:
            pass


def attempt(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        with queue.attempt(NAME, 0) as work:
            work.complete(RESULT)


def start_attempt(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.start_attempt(job)


def complete(state: State) -> None:
    queue = state.queue
    for key in state.keys:
        queue.complete(key, RESULT)


def complete_fenced(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.complete(job, RESULT, attempt=1)


def fail(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.fail(job, RESULT)


def touch(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.touch(job)


def release(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.release(job)


def delete(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.delete(job)


def expire(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.expire(job)


def timeout_attempt(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.timeout_attempt(job)


def result(state: State) -> None:
    queue = state.queue
    for job in state.jobs:
        queue.result(job, 0)


def peek(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        queue.peek(NAME)


def stats(state: State) -> None:
    queue = state.queue
    for _ in range(COUNT):
        queue.stats()


def job_case(name: str, run: Callable[[list[bytes]], None], title: str) -> Case:
    return Case(name, lambda: payloads(COUNT), run, COUNT, title=title)


def call_case(
    name: str, setup: Callable[[], State], run: Callable[[State], None], title: str
) -> Case:
    return Case(f"call/{name}", setup, run, COUNT, fresh=True, teardown=close, title=title)


CASES = (
    job_case("job/jobqueue", build_ours, "Job(name, payload, priority=, ttr=)"),
    job_case("job/floor", build_floor, "the floor's Job, the same call"),
    job_case("job/by_hand", build_by_hand, "by hand, the same call"),
    job_case("job/short", build_short, "Job(name, payload)"),
    job_case("job/long", build_long, "Job with five keywords"),
    job_case("job/id", new_ids, "ID.new()"),
    call_case("add", built, add, "add"),
    call_case("schedule", later, schedule, "schedule (tomorrow)"),
    call_case("lease", pending, lease, "lease, one name"),
    call_case("lease_names", pending, lease_names, "lease, three names, one with work"),
    call_case("lease_nothing", built, lease_nothing, "lease with nothing there (WaitTimeoutError)"),
    call_case("attempt", pending, attempt, "with attempt(): lease and complete"),
    call_case("start_attempt", pending, start_attempt, "start_attempt"),
    call_case("complete", leased, complete, "complete, by Job"),
    call_case("complete_id", keyed(lambda job: job.id), complete, "complete, by ID"),
    call_case("complete_bytes", keyed(lambda job: bytes(job.id)), complete, "complete, by bytes"),
    call_case("complete_uuid", keyed(lambda job: job.id.uuid), complete, "complete, by UUID"),
    call_case("complete_text", keyed(lambda job: str(job.id)), complete, "complete, by str"),
    call_case("complete_fenced", leased, complete_fenced, "complete, attempt=1"),
    call_case("complete_pending", pending, complete, "complete of a job still in its queue"),
    call_case("fail", leased, fail, "fail, for good"),
    call_case("fail_again", lambda: leased(max_fails=5), fail, "fail, back in ready"),
    call_case("touch", leased, touch, "touch"),
    call_case("release", leased, release, "release"),
    call_case("result", completed, result, "result, already there"),
    call_case("delete_pending", pending, delete, "delete, pending"),
    call_case("delete_completed", completed, delete, "delete, completed"),
    call_case("expire", pending, expire, "expire"),
    call_case("timeout_attempt", leased, timeout_attempt, "timeout_attempt"),
    call_case("peek", pending, peek, "peek"),
    call_case("stats", pending, stats, "stats"),
)
