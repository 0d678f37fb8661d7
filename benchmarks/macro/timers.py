"""Timers of the engine: what they cost in a cycle, how late they fire, what they cost when idle."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.case import Case, Probe
from benchmarks.contender import NAME
from benchmarks.floor.build import load_wheel_loop
from benchmarks.measure import latency_figures, quantiles
from benchmarks.peers import timers as peer_timers
from benchmarks.workload import SEED
from jobqueue import ID, Controller, Job, TimerWheel

PENDING = 1_000_000
LATE = "late"  # the queue of the jobs that are watched
NS_PER_MS = 1_000_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
LIVES = 100_000


def far_jobs(count: int) -> Iterator[Job]:
    """Jobs whose TTL ends in an hour to a day: one timer each, all over the wheel."""
    rng = random.Random(SEED)
    for number in range(count):
        yield Job(NAME, number.to_bytes(8, "big"), ttl=rng.randrange(HOUR_MS, DAY_MS))


def with_pending(count: int) -> Controller:
    queue = Controller()
    chunk: list[Job] = []
    for job in far_jobs(count):
        chunk.append(job)
        if len(chunk) == 10_000:
            queue.add_many(chunk)
            chunk.clear()
    queue.add_many(chunk)
    return queue


def expiry_lateness(
    pending: int = PENDING, count: int = 2_000, step_ms: float = 1.7
) -> dict[str, Any]:
    """TTL timers, watched through handle_expire: how late after created + ttl the call comes."""
    queue = with_pending(pending)
    due: dict[ID, int] = {}
    fired: list[tuple[ID, int]] = []
    expire = queue.expire_func()

    def watch(job_id: ID) -> None:
        fired.append((job_id, time.time_ns()))
        expire(job_id)

    queue.handle_expire(watch)
    for number in range(count):
        job = Job(LATE, ttl=500 + int(number * step_ms))
        queue.add(job)
        record = queue.registry.record(job)
        assert record is not None
        assert record.job is not None
        due[job.id] = record.job.created_ns + job.ttl * NS_PER_MS
    time.sleep(1.0 + count * step_ms / 1_000)
    late = [float(at - due[job_id]) for job_id, at in fired]
    queue.close()
    return {
        **latency_figures(late, NS_PER_MS),
        "samples": len(late),
        "tail": quantiles(late, NS_PER_MS),
    }


def schedule_lateness(
    pending: int = PENDING, count: int = 2_000, step_ms: float = 1.7
) -> dict[str, Any]:
    """Scheduled jobs and a blocked leaser: how late after job.time the lease returns."""
    queue = with_pending(pending)
    start = dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=500)
    for number in range(count):
        queue.schedule(Job(LATE, time=start + dt.timedelta(milliseconds=number * step_ms)))
    late: list[float] = []
    for _ in range(count):
        job = queue.lease(LATE, 10_000)
        at = time.time_ns()
        assert job.time_ns is not None
        late.append(float(at - job.time_ns))
        queue.delete(job)
    queue.close()
    return {
        **latency_figures(late, NS_PER_MS),
        "samples": len(late),
        "tail": quantiles(late, NS_PER_MS),
    }


def idle_share(pending: int = PENDING, seconds: float = 5.0) -> dict[str, Any]:
    """Processor time of the whole process while nothing is due, in per cent of one core."""
    queue = with_pending(pending)
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    queue.schedule(Job(LATE, time=tomorrow))
    time.sleep(1.0)
    wall, used = time.monotonic(), time.process_time()
    time.sleep(seconds)
    used, wall = time.process_time() - used, time.monotonic() - wall
    queue.close()
    return {"percent": 100 * used / wall}


def wheel_objects(wheel: TimerWheel) -> None:
    """Through the public class: a Timer object each time."""
    for number in range(LIVES):
        wheel.cancel(wheel.arm(1_000_000_000 + number))


def native_missing() -> str | None:
    try:
        load_wheel_loop()
    except Exception as error:
        return f"the loop over the native wheel cannot be built: {error}"
    return None


def native_loop() -> Any:
    return load_wheel_loop().Loop(100_000)


CASES = (
    Case(
        "timer/native",
        setup=native_loop,
        run=lambda loop: loop.lives(LIVES),
        operations=LIVES,
        title="jobqueue, native: TTL and TTR of one job, armed and cancelled",
        missing=native_missing,
    ),
    Case(
        "timer/native_empty",
        setup=native_loop,
        run=lambda loop: loop.nothing(LIVES),
        operations=LIVES,
        title="the same loop without the calls",
        missing=native_missing,
    ),
    Case(
        "timer/wheel",
        setup=lambda: TimerWheel(start=0),
        run=wheel_objects,
        operations=LIVES,
        title="jobqueue.TimerWheel: arm, cancel",
    ),
    *peer_timers.CASES,
)

PROBES = (
    Probe("lateness/expiry", expiry_lateness, title="jobqueue, TTL timers"),
    Probe("lateness/scheduled", schedule_lateness, title="jobqueue, scheduled to leased"),
    *peer_timers.PROBES,
    Probe("idle/jobqueue", idle_share, title="jobqueue, idle"),
)
