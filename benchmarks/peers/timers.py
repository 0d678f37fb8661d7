"""Timers of the standard library: arm and cancel, and how late they fire with many pending."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from benchmarks.case import Case, Probe
from benchmarks.measure import latency_figures, quantiles

FAR_SECONDS = 3_600.0
NS_PER_MS = 1_000_000.0


def nothing() -> None:
    """What the timers would call."""


def thread_timers(count: int) -> None:
    timers = []
    for _ in range(count):
        timer = threading.Timer(FAR_SECONDS, nothing)
        timer.start()
        timer.cancel()
        timers.append(timer)
    for timer in timers:
        timer.join()


async def call_later_lives(count: int) -> None:
    """The loop runs every hundred calls, so that it can throw cancelled handles away."""
    later = asyncio.get_running_loop().call_later
    for number in range(count):
        later(FAR_SECONDS, nothing).cancel()
        if number % 100 == 0:
            await asyncio.sleep(0)


async def call_later_lateness(pending: int, count: int, step_ms: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    for number in range(pending):
        loop.call_later(FAR_SECONDS + number / 1_000, nothing)
    late: list[float] = []

    def fired(due: float) -> None:
        late.append((time.monotonic() - due) * 1e9)

    start = loop.time() + 0.5
    for number in range(count):
        due = start + number * step_ms / 1_000
        loop.call_at(due, fired, due)
    await asyncio.sleep(0.7 + count * step_ms / 1_000)
    return {**latency_figures(late, NS_PER_MS), "tail": quantiles(late, NS_PER_MS)}


def asyncio_lateness(
    pending: int = 1_000_000, count: int = 2_000, step_ms: float = 1.7
) -> dict[str, Any]:
    return asyncio.run(call_later_lateness(pending, count, step_ms))


CASES = (
    Case(
        "timer/threading_timer",
        setup=lambda: 100,
        run=thread_timers,
        operations=100,
        title="threading.Timer: start, cancel",
        best="joined once at the end of the round",
        lacks="a thread and 18 kB a timer",
    ),
    Case(
        "timer/asyncio",
        setup=asyncio.new_event_loop,
        run=lambda loop: loop.run_until_complete(call_later_lives(5_000)),
        operations=5_000,
        teardown=lambda loop: loop.close(),
        title="asyncio call_later, cancel",
        best="bound method, inside the loop",
        lacks="threads; a cancelled handle stays in the heap until the loop cleans up",
    ),
)

PROBES = (Probe("lateness/asyncio", asyncio_lateness, title="asyncio call_later", lacks="threads"),)
