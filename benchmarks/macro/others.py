"""How long others wait while something long goes on: a million jobs expire, are freed, are counted.

Another thread runs cycles (a pause of 0.3 ms, add, lease, complete, delete) all the time, one after
the other, as a service that is not busy; the pause is part of what is measured. Its floor is the
same before the long thing begins, in the same run: compare the two, since the machine and the
interpreter have pauses of their own (a thread may wait a switch interval, 5 ms, for the GIL).
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from benchmarks.case import Probe
from benchmarks.contender import NAME
from jobqueue import Controller, Job

JOBS = 1_000_000
BATCH = 1_000
OTHERS = "others"
PAUSE_S = 0.000_3
FLOOR_S = 2.0
NS_PER_MS = 1_000_000
TTL_S_PER_MILLION = 12.0  # time enough to add them


class Cycles:
    """The other thread: when each of its cycles began, and how long it took."""

    def __init__(self, queue: Controller) -> None:
        self.queue = queue
        self.taken: list[tuple[int, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        queue, now = self.queue, time.perf_counter_ns
        while not self._end.is_set():
            start = now()
            time.sleep(PAUSE_S)  # counted, as who wakes waits for the GIL first
            queue.add(Job(OTHERS))
            job = queue.lease(OTHERS, 0)
            queue.complete(job)
            queue.delete(job)
            self.taken.append((start, now() - start))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def between(self, start: int, end: int) -> list[float]:
        """Milliseconds of the cycles that were under way between two times, sorted."""
        return sorted(
            took / NS_PER_MS for at, took in self.taken if at + took >= start and at <= end
        )


@contextmanager
def collector_frozen() -> Iterator[None]:
    """The collector would visit what the benchmark itself holds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def fill(queue: Controller, count: int, **options: Any) -> None:
    for _ in range(0, count, BATCH):
        queue.add_many([Job(NAME, **options) for _ in range(BATCH)])


def figures(times: list[float]) -> dict[str, Any]:
    if not times:
        return {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0, "cycles": 0}
    return {
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[len(times) * 99 // 100],
        "max_ms": times[-1],
        "cycles": len(times),
    }


def observed(
    prepare: Callable[[Controller], Any], long_thing: Callable[[Controller, Any], object]
) -> dict[str, Any]:
    with collector_frozen(), Controller() as queue:
        prepared = prepare(queue)
        with Cycles(queue) as cycles:
            begun = time.perf_counter_ns()
            time.sleep(FLOOR_S)
            start = time.perf_counter_ns()
            long_thing(queue, prepared)
            end = time.perf_counter_ns()
        floor, under_way = cycles.between(begun, start), cycles.between(start, end)
    found = figures(under_way)
    found["took_ms"] = (end - start) / NS_PER_MS
    found["floor_p99_ms"] = figures(floor)["p99_ms"]
    found["floor_max_ms"] = figures(floor)["max_ms"]
    return found


def expiry(count: int = JOBS) -> dict[str, Any]:
    """Jobs whose TTLs all end within the same millisecond."""

    def prepare(queue: Controller) -> float:
        end = time.time() + FLOOR_S + 1 + TTL_S_PER_MILLION * count / JOBS
        for _ in range(0, count, BATCH):
            fill(queue, BATCH, ttl=max(1, int((end - time.time()) * 1000)))
        return end

    def wait(queue: Controller, end: float) -> None:
        time.sleep(max(0.0, end - time.time() - 0.05))
        while len(queue.registry) > BATCH:
            time.sleep(0.002)

    return observed(prepare, wait)


def growth(count: int = JOBS) -> dict[str, Any]:
    """Jobs added one by one: the table of ids is replaced again and again."""

    def add(queue: Controller, _: None) -> None:
        for _ in range(count):
            queue.add(Job(NAME))

    return observed(lambda _: None, add)


def bound(count: int = JOBS) -> dict[str, Any]:
    """A first bound: all jobs that are there are counted."""
    return observed(
        lambda queue: fill(queue, count), lambda queue, _: queue.limit(NAME, max_jobs=10 * count)
    )


def freeing(count: int = JOBS) -> dict[str, Any]:
    """Another controller with so many jobs is closed and freed."""

    def prepare(_: Controller) -> list[Controller]:
        other = Controller()
        fill(other, count)
        return [other]

    def free(_: Controller, kept: list[Controller]) -> None:
        kept.pop().close()
        gc.collect()

    return observed(prepare, free)


PROBES = (
    Probe("others/expiry", expiry, title="a million jobs expire at once"),
    Probe("others/growth", growth, title="a million jobs are added"),
    Probe("others/bound", bound, title="the first bound of a queue of a million jobs"),
    Probe("others/freeing", freeing, title="a controller with a million jobs is closed and freed"),
)
