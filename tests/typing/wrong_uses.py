"""Wrong uses of the public API, each one an error to type checkers. Never run: see test_typing.py.

An ignored line that is no error is one itself, so each line here shows that it is refused, and for
what. A bool where an int is wanted is refused at run time only: to a type checker it is an int.
"""

# ruff: noqa: B015, B018 - it is the types of these expressions that matter

from datetime import datetime
from typing import Any

from jobqueue import (
    ID,
    Adder,
    Attempt,
    Clock,
    Controller,
    Inspector,
    Iterator,
    Job,
    QueueController,
    Registry,
    RunRecord,
    RunResult,
    State,
    Stats,
    TimerWheel,
)
from jobqueue.testing import ManualClock


class _Job(Job): ...  # type: ignore[misc]


class _ID(ID): ...  # type: ignore[misc]


def ids(job: Job, id: ID) -> None:
    ID()  # type: ignore[call-arg]
    ID(5)  # type: ignore[arg-type]
    ID(None)  # type: ignore[arg-type]
    ID.parse(b"")  # type: ignore[arg-type]
    id < "text"  # type: ignore[operator]
    id < job  # type: ignore[operator]
    id.uuid = id.uuid  # type: ignore[misc]


def jobs(job: Job) -> None:
    Job()  # type: ignore[call-arg]
    Job(b"mail")  # type: ignore[arg-type]
    Job("mail", "text")  # type: ignore[arg-type]
    Job("mail", ttr=0.5)  # type: ignore[arg-type]
    Job("mail", ttl=None)  # type: ignore[arg-type]
    Job("mail", priority="high")  # type: ignore[arg-type]
    Job("mail", max_attempts=None)  # type: ignore[arg-type]
    Job("mail", time=1.5)  # type: ignore[arg-type]
    Job("mail", retries=3)  # type: ignore[call-arg]
    job.name = "sms"  # type: ignore[misc]
    job.replace(ttr=0.5)  # type: ignore[arg-type]
    job.replace(retries=3)  # type: ignore[call-arg]
    job.time.isoformat()  # type: ignore[union-attr]


def records(job: Job, record: RunRecord, registry: Registry) -> None:
    RunRecord(state=3)  # type: ignore[arg-type]
    record.state = State.LEASED  # type: ignore[misc]
    record.attempts = 0  # type: ignore[misc]
    record.job.name  # type: ignore[union-attr]
    record.result.decode()  # type: ignore[union-attr]
    record.timers[0].cancel()  # type: ignore[union-attr]
    record.timers[3]  # type: ignore[misc]
    record.write_result("text", True)  # type: ignore[arg-type]
    registry.add(job)  # type: ignore[arg-type]
    registry.record(job).attempts  # type: ignore[union-attr]
    registry[job.id]  # type: ignore[index]


def queues(job: Job, all_queues: QueueController) -> None:
    all_queues.queues()["mail"] = all_queues.queue("mail")  # type: ignore[index]
    all_queues.add("mail")  # type: ignore[arg-type]
    all_queues.lease(job)  # type: ignore[arg-type]
    all_queues.lease("mail").name  # type: ignore[union-attr]
    Inspector()  # type: ignore[call-arg]
    Inspector(all_queues)  # type: ignore[arg-type]
    Iterator()  # type: ignore[call-arg]


def timers(wheel: TimerWheel) -> None:
    wheel.arm(0.5)  # type: ignore[arg-type]
    wheel.arm(1, lambda late: late)  # type: ignore[arg-type, misc]
    wheel.advance("text")  # type: ignore[arg-type]


def making(clock: Clock) -> None:
    Controller(clock)  # type: ignore[arg-type]
    Controller(queues=[])  # type: ignore[arg-type]
    Controller(clock=datetime.now)  # type: ignore[arg-type]
    Controller(rng=5)  # type: ignore[arg-type]
    Controller(result_ttl=0.5)  # type: ignore[arg-type]
    Controller(workers=4)  # type: ignore[call-arg]


def calling(controller: Controller, job: Job) -> None:
    controller.add(b"text")  # type: ignore[arg-type]
    controller.add(None)  # type: ignore[arg-type]
    controller.add_many(job)  # type: ignore[arg-type]
    controller.lease("mail")  # type: ignore[call-arg]
    controller.lease(b"mail", 0)  # type: ignore[arg-type]
    controller.lease([b"mail"], 0)  # type: ignore[list-item]
    controller.lease("mail", 0.5)  # type: ignore[arg-type]
    controller.lease("mail", None)  # type: ignore[arg-type]
    controller.lease_many("mail", 0)  # type: ignore[call-arg]
    controller.run(job)  # type: ignore[call-arg]
    controller.run(job.id, 0)  # type: ignore[arg-type]
    controller.result(5, 0)  # type: ignore[arg-type]
    controller.complete(job, "text")  # type: ignore[arg-type]
    controller.complete(job, None)  # type: ignore[arg-type]
    controller.fail(job, attempt="1")  # type: ignore[arg-type]
    controller.complete_many([(job, "text")])  # type: ignore[list-item]
    controller.complete_many([job])  # type: ignore[list-item]
    controller.delete_many(job)  # type: ignore[arg-type]
    controller.touch(job, 0.5)  # type: ignore[arg-type]
    controller.release(job, delay=0.5)  # type: ignore[arg-type]
    controller.peek("mail").name  # type: ignore[union-attr]
    controller.jobs("mail", limit=0.5)  # type: ignore[arg-type]
    controller.add(job, wait=0.5)  # type: ignore[arg-type]
    controller.limit("mail", 10)  # type: ignore[call-arg]
    controller.observe(lambda: None)  # type: ignore[arg-type, misc]
    controller.explain(5)  # type: ignore[arg-type]
    controller.kick("mail", 1)  # type: ignore[call-arg]
    controller.queues.qeue("mail")  # type: ignore[union-attr]
    controller.registry = Registry()  # type: ignore[misc]
    controller.handle_expire(lambda: None)  # type: ignore[arg-type, misc]
    controller.handle_timeout_attempt(controller)  # type: ignore[arg-type]


def attempting(attempt: Attempt) -> None:
    attempt.complete("text")  # type: ignore[arg-type]
    attempt.touch(0.5)  # type: ignore[arg-type]
    attempt.release(None)  # type: ignore[arg-type]
    attempt.deadline = None  # type: ignore[misc, assignment]


def answers(result: RunResult, stats: Stats) -> None:
    result.success = False  # type: ignore[misc]
    stats.added = 0  # type: ignore[misc]


def virtual_time(clock: ManualClock) -> None:
    ManualClock(0)  # type: ignore[arg-type]
    clock.advance(0.5)  # type: ignore[arg-type]


class HalfAnAdder:
    """Takes jobs, but does not let them expire."""

    def add(self, job: Job) -> None: ...


class StoppedClock:
    """Its times are no integers."""

    def now_ns(self) -> float:
        return 0.0

    monotonic_ns = now_ns


def unfit() -> None:
    half: Adder = HalfAnAdder()  # type: ignore[assignment]
    stopped: Clock = StoppedClock()  # type: ignore[assignment]
    seen: list[Any] = [half, stopped]
    seen.clear()
