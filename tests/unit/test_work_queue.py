"""WorkQueue: the two orders of one queue, against plain sorted lists."""

import gc
import itertools
import random
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobqueue import Inspector, InvalidTimeError, Job, QueueInterface, WorkQueue

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)


def drain(queue: WorkQueue) -> list[Job]:
    return list(iter(queue.lease, None))


def scheduled(queue: WorkQueue) -> list[Job]:
    return list(Inspector(queue).iterators()[1])


def test_empty() -> None:
    queue = WorkQueue()
    assert len(queue) == 0
    assert queue.lease() is None
    assert Job("a") not in queue
    assert isinstance(queue, QueueInterface)
    queue._check()


def test_add_once() -> None:
    queue = WorkQueue()
    job = Job("a")
    assert queue.add(job) is True
    assert queue.add(job) is False
    assert queue.exists(job) is True
    assert job in queue
    assert len(queue) == 1
    assert queue.lease() is job
    assert queue.lease() is None
    assert queue.add(job) is True


def test_schedule_once() -> None:
    queue = WorkQueue()
    job = Job("a", time=NOON)
    assert queue.schedule(job) is True
    assert queue.schedule(job) is False
    assert queue.add(job) is False
    assert queue.exists(job)
    assert len(queue) == 1
    assert queue.lease() is None


def test_ready_then_schedule() -> None:
    queue = WorkQueue()
    job = Job("a", time=NOON)
    queue.add(job)
    assert queue.schedule(job) is False
    assert Inspector(queue).lens() == (1, 0)


def test_schedule_without_a_time() -> None:
    queue = WorkQueue()
    with pytest.raises(InvalidTimeError):
        queue.schedule(Job("a"))
    assert len(queue) == 0


def test_another_job_of_the_same_id() -> None:
    queue = WorkQueue()
    job = Job("a", created=NOON)
    queue.add(job)
    same = Job("a", id=job.id, created=NOON)
    assert same in queue
    assert queue.add(same) is False


@pytest.mark.parametrize("where", ["add", "schedule"])
def test_delete(where: str) -> None:
    queue = WorkQueue()
    jobs = [Job("a", time=NOON + n * MS) for n in range(5)]
    for job in jobs:
        getattr(queue, where)(job)
    assert queue.delete(jobs[2]) is True
    assert queue.delete(jobs[2]) is False
    assert not queue.exists(jobs[2])
    assert len(queue) == 4
    queue._check()


def test_awake() -> None:
    queue = WorkQueue()
    job, other = Job("a", time=NOON), Job("a")
    assert queue.awake(job) is False
    queue.schedule(job)
    queue.add(other)
    assert queue.awake(other) is False
    assert queue.awake(job) is True
    assert queue.awake(job) is False
    assert Inspector(queue).lens() == (2, 0)
    assert drain(queue) == [job, other]


@pytest.mark.parametrize("thing", [None, "a", 5, object()])
def test_anything_but_jobs(thing: Any) -> None:
    queue = WorkQueue()
    for call in (queue.add, queue.schedule, queue.delete, queue.awake, queue.exists):
        with pytest.raises(TypeError):
            call(thing)
    assert thing not in queue


def test_names_do_not_matter_here() -> None:
    queue = WorkQueue()
    jobs = [Job("a"), Job("b")]
    for job in jobs:
        queue.add(job)
    assert drain(queue) == jobs


READY_KEYS = list(itertools.product((-1, 0, 1), (NOON, NOON + MS)))


@pytest.mark.parametrize("seed", range(20))
def test_ready_order_with_ties(seed: int) -> None:
    """Priority high to low, created early to late, id."""
    rng = random.Random(seed)
    jobs = [
        Job("a", priority=priority, created=created)
        for priority, created in READY_KEYS
        for _ in range(4)
    ]
    rng.shuffle(jobs)
    queue = WorkQueue()
    for job in jobs:
        assert queue.add(job)
    queue._check()
    assert drain(queue) == sorted(
        jobs, key=lambda job: (-job.priority, job.created_ns, bytes(job.id))
    )


@pytest.mark.parametrize("seed", range(20))
def test_scheduled_order_with_ties(seed: int) -> None:
    """Time early to late, then priority high to low, then created, then id."""
    rng = random.Random(seed)
    jobs = [
        Job("a", time=time, priority=priority, created=created)
        for time in (NOON, NOON + MS)
        for priority, created in READY_KEYS
        for _ in range(3)
    ]
    rng.shuffle(jobs)
    queue = WorkQueue()
    for job in jobs:
        assert queue.schedule(job)
    queue._check()
    expected = sorted(
        jobs, key=lambda job: (job.time_ns, -job.priority, job.created_ns, bytes(job.id))
    )
    assert scheduled(queue) == expected
    for job in jobs:
        assert queue.awake(job)
    assert drain(queue) == sorted(
        jobs, key=lambda job: (-job.priority, job.created_ns, bytes(job.id))
    )


def test_extreme_keys() -> None:
    far = datetime(2262, 1, 1, tzinfo=UTC)
    early = datetime(1680, 1, 1, tzinfo=UTC)
    jobs = [
        Job("a", priority=priority, created=created)
        for priority in (2**31 - 1, 0, -(2**31))
        for created in (early, datetime(1970, 1, 1, tzinfo=UTC), far)
    ]
    queue = WorkQueue()
    for job in reversed(jobs):
        queue.add(job)
    assert drain(queue) == jobs


def test_random_operations_against_plain_lists(rng: random.Random) -> None:
    queue = WorkQueue()
    jobs = [
        Job("a", priority=rng.randrange(-2, 3), time=NOON + rng.randrange(10) * MS)
        for _ in range(60)
    ]
    ready: set[Job] = set()
    waiting: set[Job] = set()

    def head() -> Job:
        return min(ready, key=lambda job: (-job.priority, job.created_ns, bytes(job.id)))

    for _ in range(4000):
        job = rng.choice(jobs)
        held = job in ready or job in waiting
        match rng.randrange(6):
            case 0:
                assert queue.add(job) is not held
                ready |= set() if held else {job}
            case 1:
                assert queue.schedule(job) is not held
                waiting |= set() if held else {job}
            case 2:
                assert queue.delete(job) is held
                ready.discard(job)
                waiting.discard(job)
            case 3:
                assert queue.awake(job) is (job in waiting)
                ready |= waiting & {job}
                waiting.discard(job)
            case 4:
                expected = head() if ready else None
                assert queue.lease() is expected
                ready.discard(expected)
            case _:
                assert queue.exists(job) is held
        assert len(queue) == len(ready) + len(waiting)
        assert Inspector(queue).lens() == (len(ready), len(waiting))
        queue._check()


def test_holds_its_jobs() -> None:
    queue = WorkQueue()
    queue.add(Job("a", b"kept"))
    gc.collect()
    assert queue.lease().payload == b"kept"


def test_a_full_queue_is_freed() -> None:
    queue = WorkQueue()
    for n in range(1000):
        queue.add(Job("a", priority=n % 7))
        queue.schedule(Job("a", time=NOON))
    alive = weakref.ref(queue) if hasattr(WorkQueue, "__weakref__") else None
    del queue
    gc.collect()
    assert alive is None or alive() is None


def test_one_job_in_two_queues() -> None:
    job = Job("a")
    queues = [WorkQueue(), WorkQueue()]
    assert [queue.add(job) for queue in queues] == [True, True]
    assert [queue.lease() for queue in queues] == [job, job]


def test_repr() -> None:
    queue = WorkQueue()
    queue.add(Job("a"))
    assert "1" in repr(queue)
