"""QueueController and Inspector."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from jobqueue import (
    Controller,
    Inspector,
    InvalidNameError,
    InvalidTimeError,
    Job,
    QueueController,
    QueueControllerInterface,
    WorkQueue,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_queue_is_made_on_first_use() -> None:
    queues = QueueController()
    assert isinstance(queues, QueueControllerInterface)
    assert len(queues.queues()) == 0
    queue = queues.queue("a")
    assert type(queue) is WorkQueue
    assert queues.queue("a") is queue
    assert queues.queue("b") is not queue
    assert dict(queues.queues()) == {"a": queue, "b": queues.queue("b")}


def test_the_mapping_is_live_and_read_only() -> None:
    queues = QueueController()
    mapping = queues.queues()
    assert isinstance(mapping, Mapping)
    queues.add(Job("a"))
    assert list(mapping) == ["a"]
    with pytest.raises(TypeError):
        mapping["b"] = WorkQueue()
    with pytest.raises((TypeError, AttributeError)):
        del mapping["a"]
    with pytest.raises((TypeError, AttributeError)):
        mapping.clear()
    assert list(queues.queues()) == ["a"]


def test_verbs_go_to_the_queue_of_the_name() -> None:
    queues = QueueController()
    job, run, later = Job("a"), Job("b"), Job("c", time=NOON)
    assert queues.add(job) is True
    assert queues.add(job) is False
    assert queues.run(run) is True
    assert queues.run(run) is False
    assert queues.schedule(later) is True
    assert queues.schedule(later) is False
    for queued in (job, run, later):
        assert queues.exists(queued) is True
        assert queued in queues.queue(queued.name)
        assert len(queues.queue(queued.name)) == 1
    assert queues.lease("a") is job
    assert queues.lease("a") is None
    assert queues.lease("b") is run
    assert queues.lease("c") is None
    assert queues.awake(later) is True
    assert queues.awake(later) is False
    assert queues.lease("c") is later


def test_delete() -> None:
    queues = QueueController()
    job = Job("a")
    assert queues.delete(job) is False
    queues.add(job)
    assert queues.delete(job) is True
    assert queues.delete(job) is False
    assert queues.exists(job) is False


def test_schedule_without_a_time() -> None:
    queues = QueueController()
    with pytest.raises(InvalidTimeError):
        queues.schedule(Job("a"))


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 256, None, 5, b"a", ["a"]])
def test_bad_names(name: Any) -> None:
    queues = QueueController()
    for call in (queues.queue, queues.lease):
        with pytest.raises(InvalidNameError):
            call(name)
    assert len(queues.queues()) == 0


@pytest.mark.parametrize("thing", [None, "a", 5])
def test_anything_but_jobs(thing: Any) -> None:
    queues = QueueController()
    for call in (
        queues.add,
        queues.run,
        queues.schedule,
        queues.delete,
        queues.awake,
        queues.exists,
    ):
        with pytest.raises(TypeError):
            call(thing)


def test_asking_makes_no_queue() -> None:
    queues = QueueController()
    job = Job("a", time=NOON)
    assert not queues.exists(job)
    assert not queues.delete(job)
    assert not queues.awake(job)
    assert queues.lease("a") is None
    assert len(queues.queues()) == 0


# ---------------------------------------------------------------- given to a Controller


def test_jobs_that_were_there_before_have_no_record() -> None:
    queues = QueueController()
    stray = Job("a", priority=1)
    queues.add(stray)
    with Controller(queues=queues) as c:
        assert c.queues is queues
        job = Job("a")
        c.add(job)
        assert c.lease("a", 0) is job
        assert not queues.exists(stray)
        c._check()


def test_a_job_taken_out_by_hand_is_not_leased() -> None:
    with Controller() as c:
        job = Job("a")
        c.add(job)
        assert c.queues.lease("a") is job
        with pytest.raises(TimeoutError):
            c.lease("a", 0)
        assert c.queues.add(job)
        assert c.lease("a", 0) is job
        c._check()


def test_a_job_woken_by_hand_is_leased() -> None:
    with Controller() as c:
        job = Job("a", time=datetime.now(UTC).replace(year=2100))
        c.schedule(job)
        assert c.queues.awake(job)
        assert c.lease("a", 0) is job
        c._check()


def test_queues_outlive_their_controller() -> None:
    with Controller() as c:
        c.add(Job("a"))
        queues = c.queues
    del c
    assert len(queues.queue("a")) == 1
    assert queues.lease("a").name == "a"


# ---------------------------------------------------------------- Inspector


def test_inspector() -> None:
    queue = WorkQueue()
    inspector = Inspector(queue)
    assert inspector.lens() == (0, 0)
    ready = [Job("a") for _ in range(3)]
    later = [Job("a", time=NOON) for _ in range(2)]
    for job in ready:
        queue.add(job)
    for job in later:
        queue.schedule(job)
    assert inspector.lens() == (3, 2)
    first, second = inspector.iterators()
    assert list(first) == ready
    assert list(second) == later
    queue.lease()
    assert inspector.lens() == (2, 2)


@pytest.mark.parametrize("thing", [None, "a", QueueController()])
def test_inspector_of_anything_else(thing: Any) -> None:
    with pytest.raises(TypeError):
        Inspector(thing)


def test_inspector_looks_into_a_controller() -> None:
    with Controller() as c:
        for _ in range(5):
            c.add(Job("a"))
        c.lease("a", 0)
        inspector = Inspector(c.queues.queue("a"))
        assert inspector.lens() == (4, 0)
        assert list(inspector.iterators()[0]) == c.jobs("a")
