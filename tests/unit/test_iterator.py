"""Iterator: current, next, seek, Python iteration; the queue may change under it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from jobqueue import Controller, Inspector, Iterator, Job, WorkQueue

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def filled(count: int) -> tuple[WorkQueue, list[Job], Iterator]:
    queue = WorkQueue()
    jobs = [Job("a") for _ in range(count)]
    for job in jobs:
        queue.add(job)
    return queue, jobs, Inspector(queue).iterators()[0]


def test_empty() -> None:
    _, _, iterator = filled(0)
    assert iterator.current() is None
    assert iterator.next() is None
    assert iterator.seek(0) is False
    assert iterator.seek(5) is False
    assert list(iterator) == []


def test_stands_on_the_first() -> None:
    _, jobs, iterator = filled(3)
    assert iterator.current() is jobs[0]
    assert iterator.current() is jobs[0]


def test_next_steps_on() -> None:
    _, jobs, iterator = filled(3)
    assert iterator.next() is jobs[1]
    assert iterator.current() is jobs[1]
    assert iterator.next() is jobs[2]
    assert iterator.next() is None
    assert iterator.current() is None
    assert iterator.next() is None


def test_python_iteration_yields_from_the_current_job() -> None:
    _, jobs, iterator = filled(5)
    assert list(iterator) == jobs
    _, jobs, iterator = filled(5)
    iterator.next()
    iterator.next()
    assert list(iterator) == jobs[2:]
    assert list(iterator) == []


def test_mixed_with_next() -> None:
    _, jobs, iterator = filled(5)
    assert next(iterator) is jobs[0]
    assert iterator.current() is jobs[0]
    assert iterator.next() is jobs[1]
    assert next(iterator) is jobs[1]
    assert next(iterator) is jobs[2]


@pytest.mark.parametrize("n", range(7))
def test_seek(n: int) -> None:
    _, jobs, iterator = filled(5)
    assert iterator.seek(n) is (n < 5)
    if n < 5:
        assert iterator.current() is jobs[n]
        assert list(iterator) == jobs[n:]


def test_seek_is_relative() -> None:
    _, jobs, iterator = filled(100)
    position = 0
    for n in (1, 0, 10, 30, 2):
        assert iterator.seek(n)
        position += n
        assert iterator.current() is jobs[position]
    assert iterator.seek(100 - position) is False


def test_seek_far() -> None:
    queue, _, _ = filled(5000)
    order = list(Inspector(queue).iterators()[0])
    for n in (0, 1, 4998, 4999, 2500):
        iterator = Inspector(queue).iterators()[0]
        assert iterator.seek(n)
        assert iterator.current() is order[n]


@pytest.mark.parametrize("n", [2**31, 2**62])
def test_seek_beyond_everything(n: int) -> None:
    _, _, iterator = filled(3)
    assert iterator.seek(n) is False


def test_seek_backwards_is_refused() -> None:
    _, jobs, iterator = filled(3)
    with pytest.raises(ValueError, match="-1"):
        iterator.seek(-1)
    assert iterator.current() is jobs[0]


@pytest.mark.parametrize("n", ["1", 1.0, None])
def test_seek_by_anything_else(n: Any) -> None:
    _, _, iterator = filled(3)
    with pytest.raises(TypeError):
        iterator.seek(n)


def test_over_scheduled() -> None:
    queue = WorkQueue()
    jobs = [Job("a", time=NOON.replace(minute=n)) for n in range(10)]
    for job in reversed(jobs):
        queue.schedule(job)
    ready, scheduled = Inspector(queue).iterators()
    assert ready.current() is None
    assert scheduled.seek(4)
    assert list(scheduled) == jobs[4:]


def test_the_job_it_stands_on_leaves() -> None:
    queue, jobs, iterator = filled(5)
    iterator.seek(2)
    queue.delete(jobs[2])
    assert iterator.next() is jobs[3]
    queue, jobs, iterator = filled(5)
    assert next(iterator) is jobs[0]
    queue.delete(jobs[0])
    assert list(iterator) == jobs[1:]


def test_the_next_job_leaves() -> None:
    queue, jobs, iterator = filled(5)
    assert iterator.current() is jobs[0]
    queue.delete(jobs[1])
    assert iterator.next() is jobs[2]


def test_everything_leaves() -> None:
    queue, _, iterator = filled(5)
    iterator.current()
    while queue.lease() is not None:
        pass
    assert iterator.next() is None
    assert list(iterator) == []


def test_a_job_comes_before_and_one_after() -> None:
    queue, jobs, iterator = filled(4)
    iterator.seek(1)
    before, after = Job("a", priority=1), Job("a", priority=-1)
    queue.add(before)
    queue.add(after)
    assert list(iterator) == [*jobs[1:], after]


def test_jobs_that_come_after_the_end() -> None:
    queue, jobs, iterator = filled(2)
    assert list(iterator) == jobs
    late = Job("a")
    queue.add(late)
    assert list(iterator) in ([], [late])  # either way: never one of the first again
    assert iterator.next() is None


def test_seek_after_its_job_left() -> None:
    queue, jobs, iterator = filled(6)
    iterator.seek(2)
    queue.delete(jobs[2])
    assert iterator.seek(1)
    assert iterator.current() is jobs[3]


def test_it_keeps_the_queue_alive() -> None:
    queue, jobs, iterator = filled(3)
    del queue
    assert list(iterator) == jobs


def test_in_a_controller_at_work() -> None:
    with Controller() as c:
        jobs = [Job("a", max_fails=2) for _ in range(6)]
        c.add_many(jobs)
        iterator = Inspector(c.queues.queue("a")).iterators()[0]
        assert next(iterator) is jobs[0]
        c.lease("a", 0)
        c.fail(jobs[0])  # back at its place, behind the iterator
        c.delete(jobs[2])
        assert list(iterator) == [jobs[1], *jobs[3:]]


def test_made_only_by_an_inspector() -> None:
    with pytest.raises(TypeError):
        Iterator()
    broken = None
    try:
        broken = Iterator.__new__(Iterator)
    except TypeError:
        return
    for call in (broken.current, broken.next, lambda: broken.seek(1), lambda: list(broken)):
        try:  # whatever it does, it must not crash
            call()
        except (TypeError, RuntimeError, AttributeError):
            pass
