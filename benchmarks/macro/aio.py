"""Within one event loop: the hand-off to a task that waits, and the whole cycle, awaited.

The rivals are asyncio's own queues, which know neither ids nor leases nor time-outs. Ours waits
with a time-out, as a user would; theirs without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter_ns
from typing import Any

from benchmarks.case import Case
from benchmarks.workload import payloads
from jobqueue import Job, aio

EXCHANGES = 5_000
CYCLES = 20_000
TIMEOUT_MS = 60_000
LACKS = "ids, acknowledgement, TTR, TTL, results, time-outs, threads"


async def our_exchange() -> list[int]:
    """Ping-pong of two tasks, each of which waits before the other answers: ns one way."""
    async with aio.Controller() as queue:
        pings = [Job("ping") for _ in range(EXCHANGES)]
        pongs = [Job("pong") for _ in range(EXCHANGES)]

        async def answer() -> None:
            for pong in pongs:
                await queue.lease("ping", TIMEOUT_MS)
                queue.add(pong)

        answering = asyncio.ensure_future(answer())
        await asyncio.sleep(0)
        samples = []
        for ping in pings:
            start = perf_counter_ns()
            queue.add(ping)
            await queue.lease("pong", TIMEOUT_MS)
            samples.append((perf_counter_ns() - start) // 2)
        await answering
        return samples


async def their_exchange() -> list[int]:
    pings: asyncio.Queue[int] = asyncio.Queue()
    pongs: asyncio.Queue[int] = asyncio.Queue()

    async def answer() -> None:
        for number in range(EXCHANGES):
            await pings.get()
            pongs.put_nowait(number)

    answering = asyncio.ensure_future(answer())
    await asyncio.sleep(0)
    samples = []
    for number in range(EXCHANGES):
        start = perf_counter_ns()
        pings.put_nowait(number)
        await pongs.get()
        samples.append((perf_counter_ns() - start) // 2)
    await answering
    return samples


async def our_cycles() -> None:
    """Add, lease, complete and delete, with a thousand jobs in line."""
    work = payloads(1000)
    async with aio.Controller() as queue:
        queue.add_many([Job("a", payload) for payload in work])
        for number in range(CYCLES):
            queue.add(Job("a", work[number % 1000]))
            job = await queue.lease("a", TIMEOUT_MS)
            queue.complete(job)
            queue.delete(job)


async def their_cycles() -> None:
    """Put and get, with a thousand items in line."""
    work = payloads(1000)
    queue: asyncio.PriorityQueue[tuple[int, int, bytes]] = asyncio.PriorityQueue()
    for number, payload in enumerate(work):
        queue.put_nowait((0, number, payload))
    for number in range(CYCLES):
        await queue.put((0, 1000 + number, work[number % 1000]))
        await queue.get()


def loop_case(
    name: str, main: Callable[[], Coroutine[Any, Any, Any]], operations: int, title: str, lacks: str
) -> Case:
    return Case(
        name=f"aio/{name}",
        setup=lambda: None,
        run=lambda _: asyncio.run(main()),
        operations=operations,
        title=title,
        lacks=lacks,
    )


CASES = (
    loop_case("handoff/jobqueue", our_exchange, 2 * EXCHANGES, "jobqueue.aio", ""),
    loop_case("handoff/asyncio_queue", their_exchange, 2 * EXCHANGES, "asyncio.Queue", LACKS),
    loop_case("cycle/jobqueue", our_cycles, CYCLES, "jobqueue.aio", ""),
    loop_case("cycle/asyncio_queue", their_cycles, CYCLES, "asyncio.PriorityQueue, awaited", LACKS),
)
