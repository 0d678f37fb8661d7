"""What a worker costs for each job, over a loop of one's own that leases and completes.

The jobs are in line before the clock starts, and the handler does nothing, so that what is measured
is the worker. One thread or one task works: there is nothing to share out.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from benchmarks.case import Case
from jobqueue import Controller, Job, aio
from jobqueue.worker import Worker

JOBS = 10_000
TIMEOUT_MS = 60_000


def filled() -> Controller:
    engine = Controller()
    engine.add_many([Job("a") for _ in range(JOBS)])
    return engine


def by_hand(engine: Controller) -> None:
    def work() -> None:
        for _ in range(JOBS):
            engine.complete(engine.lease("a", TIMEOUT_MS), b"done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def by_worker(engine: Controller) -> None:
    done = 0
    all_done = threading.Event()

    def handler(attempt: Any) -> bytes:
        nonlocal done
        done += 1
        if done == JOBS:
            all_done.set()
        return b"done"

    with Worker(engine, {"a": handler}, concurrency=1):
        all_done.wait()


def aio_by_hand(engine: Controller) -> None:
    async def main() -> None:
        queue = aio.Controller(engine)
        for _ in range(JOBS):
            queue.complete(await queue.lease("a", TIMEOUT_MS), b"done")

    asyncio.run(main())


def aio_by_worker(engine: Controller) -> None:
    async def main() -> None:
        done = 0
        all_done = asyncio.Event()

        async def handler(attempt: Any) -> bytes:
            nonlocal done
            done += 1
            if done == JOBS:
                all_done.set()
            return b"done"

        async with aio.Worker(aio.Controller(engine), {"a": handler}, concurrency=1):
            await all_done.wait()

    asyncio.run(main())


def worker_case(name: str, run: Any, title: str) -> Case:
    return Case(
        name=f"worker/{name}",
        setup=filled,
        run=run,
        operations=JOBS,
        fresh=True,
        teardown=Controller.close,
        title=title,
    )


CASES = (
    worker_case("threads/by_hand", by_hand, "a thread that leases and completes"),
    worker_case("threads/jobqueue", by_worker, "jobqueue.worker.Worker"),
    worker_case("tasks/by_hand", aio_by_hand, "a task that leases and completes"),
    worker_case("tasks/jobqueue", aio_by_worker, "jobqueue.aio.Worker"),
)
