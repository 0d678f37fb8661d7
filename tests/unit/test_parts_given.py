"""Controllers over a registry and queues that were there before: filled by hand, or another's."""

from datetime import UTC, datetime, timedelta

import pytest

from jobqueue import (
    Controller,
    Job,
    NotFoundError,
    QueueController,
    Registry,
    RunRecord,
    RunResult,
    State,
    TimerKind,
    WaitTimeoutError,
)
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# ---------------------------------------------------------------- filled by hand


@pytest.mark.parametrize("record_first", [True, False], ids=["record first", "job first"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "within"])
def test_record_and_job_added_by_hand(
    clock: ManualClock, *, record_first: bool, before: bool
) -> None:
    registry, queues = Registry(), QueueController()
    ready, later = Job("a"), Job("a", time=clock.now + 100 * MS)
    records = [RunRecord(ready), RunRecord(later)]

    def fill() -> None:
        steps = [
            lambda: all(registry.add(record) for record in records),
            lambda: queues.add(ready) and queues.schedule(later),
        ]
        for step in steps if record_first else reversed(steps):
            assert step()

    if before:
        fill()
    with Controller(registry, queues, clock=clock) as c:
        if not before:
            fill()
        c._check()
        assert c.stats()[6:8] == (1, 1)
        assert c.lease("a", 0) is ready
        assert records[0].state is State.LEASED
        assert records[1].timers[TimerKind.SCHEDULED].deadline == later.time
        with pytest.raises(WaitTimeoutError):
            c.lease("a", 0)
        clock.advance(100)
        assert c.lease("a", 0) is later
        c.complete(ready, b"1", attempt=1)
        c.complete(later, b"2", attempt=1)
        assert c.result(later, 0) == RunResult(success=True, result=b"2")
        c._check()


def test_a_record_that_comes_hands_its_job_to_who_waits() -> None:
    with Controller() as c:
        job = Job("a")
        c.queues.add(job)
        call = Call(c.lease, "a", 60_000)
        wait_until(lambda: c.stats().waiting == 1)
        assert c.stats().ready == 0  # nobody knows its record: it was passed over
        assert c.queues.add(job)
        assert c.registry.add(RunRecord(job))
        assert call.outcome() is job
        c._check()


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.LEASED])
def test_a_job_whose_record_is_not_to_be_leased_leaves_its_queue(state: State) -> None:
    with Controller() as c:
        job = Job("a")
        c.queues.add(job)
        assert c.registry.add(RunRecord(job, state=state))
        assert not c.queues.exists(job)
        assert not c.queues.add(job)
        c._check()


def test_jobs_at_hand_of_a_registered_record_are_placed_once(clock: ManualClock) -> None:
    with Controller(clock=clock) as c:
        job = Job("a", time=clock.now + 100 * MS)
        c.schedule(job)
        queue = c.queues.queue("a")
        assert not queue.schedule(job)
        assert not queue.add(job)
        assert queue.awake(job)
        assert not queue.awake(job)
        assert c.registry.record(job).timers[TimerKind.SCHEDULED].cancelled
        assert c.registry.record(job).timers[TimerKind.TTL].deadline == job.expiration
        c._check()


def test_the_queues_of_a_closed_controller_know_their_name() -> None:
    with Controller() as c:
        queues = c.queues
    queues.add(Job("a"))
    assert repr(queues) == "<QueueController of 1 queues>"
    assert repr(queues.queue("a")) == "<WorkQueue ready=1 scheduled=0>"
    queues.queue("a")._check()


# ---------------------------------------------------------------- of another controller


@pytest.mark.parametrize("queues_too", [True, False], ids=["queues too", "registry alone"])
def test_a_registry_goes_on_in_another_controller(clock: ManualClock, *, queues_too: bool) -> None:
    first = Controller(clock=clock)
    jobs = [Job("a", priority=2), Job("a", priority=1), Job("b", time=clock.now + 500 * MS)]
    first.add_many(jobs[:2])
    first.schedule(jobs[2])
    assert first.lease("a", 0) is jobs[0]
    first.close()
    queues = first.queues if queues_too else QueueController()
    with Controller(first.registry, queues, clock=clock) as c:
        c._check()
        assert c.stats()[6:9] == (1, 1, 1)
        c.complete(jobs[0], attempt=1)
        assert c.lease(["a", "b"], 0) is jobs[1]
        clock.advance(500)
        assert c.lease("b", 0) is jobs[2]
        c._check()


def test_a_registry_s_timers_keep_what_they_have_left(clock: ManualClock) -> None:
    first = Controller(clock=clock)
    leased, pending = Job("a", ttr=1000, priority=1), Job("a", ttl=5000)
    first.add(leased)
    first.add(pending)
    first.lease("a", 0)
    clock.advance(400)
    first.close()
    other = ManualClock(FAR)
    with Controller(first.registry, first.queues, clock=other) as c:
        record = c.registry.record(leased)
        other.advance(599)
        assert record.running()
        other.advance(1)
        assert not record.running()
        assert c.peek("a") is leased
        other.advance(3999)
        assert pending in c.registry
        other.advance(1)
        assert pending not in c.registry
        c._check()
    with Controller(first.registry) as c:  # on the system's clock
        assert c.lease("a", 0) is leased
        c._check()


def test_queues_alone_go_on_without_records(clock: ManualClock) -> None:
    first = Controller(clock=clock)
    first.add(Job("a"))
    first.close()
    with Controller(queues=first.queues, clock=clock) as c:
        job = Job("a", priority=-1)
        c.add(job)
        assert c.lease("a", 0) is job
        with pytest.raises(NotFoundError):
            c.complete(Job("a"))
        c._check()


def test_from_foreign_queues_to_our_own_and_back(clock: ManualClock) -> None:
    foreign = Queues()
    first = Controller(queues=foreign, clock=clock)
    jobs = [Job("a"), Job("a", time=clock.now + 100 * MS)]
    first.add(jobs[0])
    first.schedule(jobs[1])
    first.close()
    with Controller(first.registry, clock=clock) as c:
        c._check()
        assert c.stats()[6:8] == (0, 0)  # where they stood, the foreign queues know
        assert all(c.queues.add(job) for job in jobs)
        assert {c.lease("a", 0), c.lease("a", 0)} == set(jobs)
        for job in jobs:
            c.release(job)
    with Controller(c.registry, foreign, clock=clock) as again:
        again._check()
        assert again.names() == ["a"]
        again.complete(jobs[1], b"done")
        assert again.result(jobs[1], 0) == RunResult(success=True, result=b"done")


@pytest.mark.parametrize("own", ["registry", "queues"])
def test_parts_of_an_open_controller_are_refused(own: str) -> None:
    with Controller() as c:
        job = Job("a")
        c.add(job)
        with pytest.raises(ValueError, match="another controller that is still open"):
            Controller(**{own: getattr(c, own)})
        assert c.lease("a", 0) is job


def test_a_controller_is_built_once() -> None:
    with Controller() as c:
        with pytest.raises(TypeError, match="once"):
            c.__init__()
        c.add(Job("a"))
    unbuilt = Controller.__new__(Controller)
    with pytest.raises(TypeError, match="__init__"):
        unbuilt.add(Job("a"))
