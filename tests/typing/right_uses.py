"""What type checkers say of right uses of the public API. Never run: see test_typing.py."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Any, assert_type

from jobqueue import (
    ID,
    MAX_PAYLOAD,
    TIME_FORMAT,
    Adder,
    Attempt,
    Clock,
    Completer,
    Controller,
    ControllerInterface,
    Deleter,
    Duration,
    Failer,
    IDLike,
    Inspector,
    Iterator,
    Job,
    JobQueueError,
    Leaser,
    NotFoundError,
    QueueController,
    QueueControllerInterface,
    QueueInterface,
    Registry,
    Runner,
    RunRecord,
    RunResult,
    Scheduler,
    State,
    Stats,
    SystemClock,
    Timer,
    TimerKind,
    TimerWheel,
    ValidationError,
    WaitTimeoutError,
    WorkQueue,
    validate_add_job,
    validate_id,
    validate_ttr,
)
from jobqueue.aio import Controller as AioController
from jobqueue.cmdlog import DurableController, Recovery, ReplayedController, replay
from jobqueue.observing import Event, EventKind, Explanation, Observation
from jobqueue.testing import ManualClock
from jobqueue.worker import Retry, Worker


def ids(job: Job, id: ID) -> None:
    assert_type(ID.new(), ID)
    assert_type(ID.parse("text"), ID)
    assert_type([ID(b""), ID(""), ID(uuid.uuid4()), ID(job), ID(id)], list[ID])
    assert_type(bytes(id), bytes)
    assert_type(id.uuid, uuid.UUID)
    assert_type(id < ID.new(), bool)
    assert_type(sorted({id}), list[ID])
    forms: list[IDLike] = [job, id, id.uuid, str(id), bytes(id)]
    assert_type(forms[0], ID | uuid.UUID | str | bytes | Job)


def jobs(job: Job, now: datetime) -> None:
    assert_type(Job("mail"), Job)
    Job("mail", bytearray(b"text"))
    Job("mail", payload=memoryview(b"text"))
    Job(
        "mail",
        b"text",
        id="text",
        priority=-1,
        ttr=timedelta(seconds=1),
        ttl=1000,
        max_attempts=1,
        max_fails=1,
        time=now,
        created=None,
    )
    assert_type(job.id, ID)
    assert_type(job.name, str)
    assert_type(job.payload, bytes)
    assert_type([job.priority, job.ttr, job.ttl, job.max_attempts, job.max_fails], list[int])
    assert_type(job.time, datetime | None)
    assert_type(job.time_ns, int | None)
    assert_type(job.created, datetime)
    assert_type(job.created_ns, int)
    assert_type(job.expiration, datetime)
    assert_type(job.replace(priority=1, time=None, payload=bytearray()), Job)
    assert_type({job: 1}, dict[Job, int])


def records(job: Job) -> None:
    record = RunRecord(job, attempts=1, state=State.PENDING, fails=1)
    assert_type(RunRecord(), RunRecord)
    assert_type(record.job, Job | None)
    assert_type([record.attempts, record.fails], list[int])
    assert_type(record.state, State)
    assert_type(record.result, bytes | None)
    assert_type(record.timers[TimerKind.TTL], Timer | None)
    assert_type([record.running(), record.success(), record.processed()], list[bool])
    assert_type(record.write_result(bytearray(), success=True), bool)

    registry = Registry()
    assert_type(registry.add(record), bool)
    assert_type(registry.delete(job), bool)
    assert_type(registry.record(str(job.id)), RunRecord | None)
    assert_type(len(registry), int)
    assert_type(job in registry, bool)
    for each in registry:
        assert_type(each, RunRecord)


def queues(job: Job) -> None:
    all_queues = QueueController()
    assert_type(all_queues.queue("mail"), WorkQueue)
    assert_type(all_queues.queues(), MappingProxyType[str, WorkQueue])
    assert_type(all_queues.lease("mail"), Job | None)
    queue = WorkQueue()
    assert_type([queue.add(job), queue.schedule(job), queue.awake(job)], list[bool])
    assert_type([queue.delete(job), queue.exists(job), job in queue], list[bool])
    assert_type(queue.lease(), Job | None)
    assert_type(len(queue), int)

    inspector = Inspector(queue)
    assert_type(inspector.lens(), tuple[int, int])
    ready, scheduled = inspector.iterators()
    assert_type(ready, Iterator)
    assert_type(ready.current(), Job | None)
    assert_type(ready.next(), Job | None)
    assert_type(ready.seek(1), bool)
    assert_type(list(scheduled), list[Job])


def timers(timer: Timer, now: datetime) -> None:
    wheel = TimerWheel()
    TimerWheel(start=now)
    assert_type(wheel.arm(now, lambda: None), Timer)
    assert_type(wheel.arm(1_000_000), Timer)
    assert_type(wheel.advance(now), list[Timer])
    assert_type(wheel.next_deadline(), datetime | None)
    assert_type(timer.deadline, datetime)
    assert_type(timer.cancel(), bool)
    assert_type([timer.cancelled, timer.fired], list[bool])


def making(registry: Registry, clock: Clock) -> None:
    Controller()
    Controller(registry, QueueController())
    Controller(registry=registry, clock=clock, rng=Random(1), result_ttl=timedelta(minutes=1))
    Controller(clock=ManualClock(), result_ttl=0)
    with Controller() as controller:
        assert_type(controller, Controller)
    assert_type(controller.close(), None)
    assert_type(controller.closed, bool)
    assert_type(controller.clock, Clock)
    assert_type(controller.registry, Registry)
    assert_type(controller.queues, QueueController | Any)
    Inspector(controller.queues.queue("mail"))


def adding_and_leasing(controller: Controller, job: Job) -> None:
    assert_type(controller.add(job), None)
    assert_type(controller.schedule(job), None)
    controller.add_many(Job("mail") for _ in range(2))
    assert_type(controller.lease("mail", 0), Job)
    controller.lease(["mail", "sms"], timedelta(seconds=1))
    controller.lease(("mail",), timeout=1000)
    assert_type(controller.lease_many("mail", 10, 0), list[Job])
    controller.start_attempt(job)
    assert_type(controller.peek("mail"), Job | None)
    assert_type(controller.jobs("mail", 0, None), list[Job])
    assert_type(controller.scheduled_jobs("mail", offset=1, limit=2), list[Job])
    assert_type(controller.names(), list[str])
    controller.pause("mail")
    controller.resume("mail")


def answering(controller: Controller, job: Job) -> None:
    controller.complete(job)
    controller.complete(job.id, b"sent", attempt=1)
    controller.complete(bytes(job.id), memoryview(b"sent"))
    controller.fail(str(job.id), bytearray(b"lost"), attempt=None, delay=timedelta(seconds=5))
    controller.complete_many([(job, b"sent"), (job.id, bytearray())])
    controller.touch(job, timedelta(seconds=1), attempt=1)
    controller.release(job, 1000, attempt=1)
    controller.delete(job)
    assert_type(controller.delete_many([job.id]), int)
    controller.expire(job)
    controller.timeout_attempt(job)
    result = controller.run(job, 1000)
    assert_type(result, RunResult)
    assert_type(result.success, bool)
    assert_type(result.result, bytes)
    success, answer = controller.result(job, timedelta(seconds=1))
    assert_type((success, answer), tuple[bool, bytes])
    assert_type(controller.stats(), Stats)
    assert_type(controller.stats().evicted_jobs, int)


def attempts(controller: Controller) -> None:
    with controller.attempt(["mail"], timeout=0) as attempt:
        assert_type(attempt, Attempt)
        assert_type(attempt.job, Job)
        assert_type(attempt.number, int)
        assert_type(attempt.deadline, datetime)
        attempt.touch()
        attempt.touch(timedelta(seconds=1))
        attempt.complete(bytearray(b"sent"))
        attempt.fail(delay=100)
        attempt.release(delay=1000)


def hooks(controller: Controller, seen: list[ID]) -> None:
    controller.handle_expire(seen.append)
    controller.handle_timeout_attempt(lambda late: assert_type(late, ID))
    controller.handle_expire(controller.expire)
    controller.handle_expire(None)
    call: Callable[[ID], object] = controller.expire_func()
    controller.handle_timeout_attempt(call)


def parts(
    *,
    adder: Adder,
    completer: Completer,
    deleter: Deleter,
    failer: Failer,
    runner: Runner,
    scheduler: Scheduler,
    leaser: Leaser,
) -> None:
    adder.add(Job("mail"))
    adder.handle_expire(None)
    completer.complete(ID.new(), b"sent", attempt=1)
    deleter.delete(ID.new())
    failer.fail(ID.new())
    assert_type(runner.run(Job("mail"), 1000), RunResult)
    scheduler.schedule(Job("mail"))
    assert_type(leaser.lease(["mail"], 0), Job)


def engines(engine: ControllerInterface, queues: QueueControllerInterface) -> None:
    """A user's own engine, or queues, under the names of the protocols."""
    parts(
        adder=engine,
        completer=engine,
        deleter=engine,
        failer=engine,
        runner=engine,
        scheduler=engine,
        leaser=engine,
    )
    assert_type(engine.lease("mail", 0), Job)
    assert_type(engine.run(Job("mail"), 0), RunResult)
    assert_type(queues.lease("mail"), Job | None)
    assert_type(Controller(queues=queues), Controller)


def fitting() -> None:
    """What fits which protocol."""
    engines(Controller(), QueueController())
    queue: QueueInterface = WorkQueue()
    clocks: list[Clock] = [SystemClock(), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))]
    assert_type(len(queue), int)
    assert_type(clocks[0].now_ns(), int)


class OwnQueues:
    """Queues of a user, no class of ours among their bases."""

    def queues(self) -> Mapping[str, list[Job]]:
        return {}

    def add(self, job: Job) -> bool:
        return job.name == "mail"

    schedule = run = delete = awake = exists = add

    def lease(self, name: str) -> Job | None:
        return Job(name)


class OwnController(Controller):
    """A controller with a constructor of its own, and a verb that takes and gives more."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.own_names: Iterable[str] = names

    def add(self, job: Job | str, wait: Duration = 0) -> None:
        super().add(job if isinstance(job, Job) else Job(job), wait)


def own(controller: OwnController) -> None:
    OwnController(["mail"])
    controller.add("mail")
    engines(controller, OwnQueues())


def errors(lookup: LookupError, timeout: TimeoutError, value: ValueError) -> None:
    """The errors that are built-in ones too."""
    errors(NotFoundError(), WaitTimeoutError(), ValidationError())
    ours: list[JobQueueError] = [NotFoundError(), WaitTimeoutError(), ValidationError()]
    assert_type(ours[0].index, int | None)
    assert_type((lookup, timeout, value), tuple[LookupError, TimeoutError, ValueError])


def validating(anything: object) -> None:
    assert_type(validate_id(anything), None)
    assert_type(validate_ttr(anything), None)
    assert_type(validate_add_job(anything), None)


def virtual_time(clock: ManualClock, duration: Duration) -> None:
    assert_type(clock.now, datetime)
    clock.advance(duration)
    clock.advance(timedelta(seconds=1))


def constants() -> None:
    assert_type(MAX_PAYLOAD, int)
    assert_type(TIME_FORMAT, str)
    assert_type(State(4), State)


def bounds(controller: Controller, job: Job) -> None:
    Controller(max_jobs=10, max_bytes=1 << 20, history=16)
    controller.limit("mail", max_jobs=10)
    controller.add(job, wait=1000)
    controller.schedule(job, timedelta(seconds=1))
    assert_type(controller.queue_stats("mail").max_bytes, int | None)
    assert_type(controller.dead("mail", 0, 10), list[Job])
    assert_type(controller.kick(job), None)
    assert_type(Job("mail", unique=b"key").unique, bytes | None)


def observing(controller: Controller, job: Job) -> None:
    seen: list[Event] = []
    observation = controller.observe(seen.append)
    assert_type(observation, Observation)
    assert_type(observation.stop(), None)
    with controller.observe(print):
        pass
    assert_type(seen[0].kind, EventKind)
    assert_type(seen[0].time, datetime)
    explanation = controller.explain(job.id)
    assert_type(explanation, Explanation)
    assert_type(explanation.ahead, int | None)
    assert_type(explanation.history, tuple[Event, ...])
    assert_type(explanation.reason, bytes | None)


def durable(path: str) -> None:
    with DurableController(path, sync="interval", sync_interval=50, max_jobs=5) as controller:
        assert_type(controller, DurableController)
        assert_type(controller.recovery, Recovery)
        assert_type(controller.compact(), None)
    assert_type(replay(path, until=datetime.now(UTC)), ReplayedController)


def working(controller: Controller) -> None:
    def mail(attempt: Attempt) -> bytes:
        return attempt.job.payload

    worker = Worker(controller, {"mail": mail}, concurrency=4)

    @worker.handler("sms", retry=Retry(first=100))
    def sms(attempt: Attempt) -> str:
        return attempt.job.name

    with worker:
        pass


async def awaiting(engine: Controller, job: Job) -> None:
    controller = AioController(engine)
    assert_type(controller.add(job), None)
    assert_type(await controller.lease("mail", 0), Job)
    assert_type(await controller.lease_many("mail", 10, 0), list[Job])
    assert_type(await controller.result(job, 0), RunResult)
    assert_type(controller.explain(job), Explanation)
    async with controller.attempt("mail", 0) as attempt:
        assert_type(attempt.number, int)
