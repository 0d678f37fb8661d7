"""The soak: everything at once for a long time, and the books are balanced in the end.

    python -m tests.stress.soak --seconds 600 [--seed N]

Threads and two event loops share one engine: producers, workers whose handlers fail, dawdle past
their TTR or answer late, leasers, runners and waiters that are cancelled or time out, and somebody
who deletes and kicks. Every job that was added must in the end be completed, failed, evicted, taken
away or still there; nobody may be left waiting; and neither memory nor the number of objects grows.
"""

import argparse
import asyncio
import gc
import importlib
import importlib.util
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobqueue import Controller, Job, JobQueueError, WaitTimeoutError, aio
from jobqueue.worker import Attempt, Retry, Worker
from tests.loops import LoopThread

NAMES = ("steady", "shaky", "slow")
RUNS = "run"  # a name of their own: nobody deletes the jobs of runs but their runners
PENDING_MAX = 500
SAMPLES = 60
WARM_UP = 0.25  # of the time, not looked at for growth
GROWTH_MAX = 1.05
RSS_SPARE = 6 << 20  # bytes that are no growth, whatever their share
OBJECTS_SPARE = 3000


class Soak:
    """One engine, and all who torment it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.engine = Controller(result_ttl=500)
        self.shared = aio.Controller(self.engine)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.vanished = 0  # jobs that were taken away before they were processed
        self.struck = 0  # tasks that were cancelled
        self.rss: list[int] = []
        self.objects: list[int] = []

    def rng(self, who: str) -> random.Random:
        return random.Random(f"{self.seed} {who}")

    def vanish(self) -> None:
        with self.lock:
            self.vanished += 1

    # ------------------------------------------------------------ threads

    def job(self, rng: random.Random) -> Job:
        return Job(
            rng.choice(NAMES),
            rng.randbytes(rng.randrange(200)),
            priority=rng.randrange(3),
            ttr=rng.choice([5, 20, 60_000]),
            ttl=rng.choice([30, 60_000, 60_000]),
            max_fails=rng.randrange(4),
            max_attempts=rng.choice([0, 0, 2, 5]),
            unique=rng.randbytes(1) if rng.random() < 0.2 else None,
        )

    def produce(self, number: int) -> None:
        rng = self.rng(f"producer {number}")
        while not self.stop.wait(rng.random() * 0.002):
            stats = self.engine.stats()
            if stats.ready + stats.scheduled > PENDING_MAX:
                continue
            with suppress(JobQueueError):  # a key that is taken
                dice = rng.random()
                if dice < 0.2:
                    due = datetime.now(UTC) + timedelta(milliseconds=rng.randrange(30))
                    self.engine.schedule(self.job(rng).replace(time=due))
                elif dice < 0.4:
                    self.engine.add_many([self.job(rng) for _ in range(rng.randrange(1, 8))])
                else:
                    self.engine.add(self.job(rng))

    def meddle(self) -> None:
        """Delete, kick, complete from the side, pause and resume."""
        rng = self.rng("meddler")
        while not self.stop.wait(rng.random() * 0.005):
            name = rng.choice(NAMES)
            with suppress(JobQueueError):
                job = self.engine.peek(name)
                dice = rng.random()
                if dice < 0.3 and job is not None:
                    record = self.engine.registry.record(job)
                    self.engine.delete(job)
                    if record is not None and not record.processed():
                        self.vanish()
                elif dice < 0.5 and job is not None:
                    self.engine.complete(job, b"from the side")
                elif dice < 0.7:
                    for dead in self.engine.dead(name, 0, 2):
                        self.engine.kick(dead)
                elif dice < 0.8:
                    self.engine.pause(name)
                    self.stop.wait(0.002)
                    self.engine.resume(name)
        for name in NAMES:
            self.engine.resume(name)

    def lease_by_hand(self, number: int) -> None:
        """A thread that leases, with short time-outs, and sometimes just walks away."""
        rng = self.rng(f"leaser {number}")
        while not self.stop.is_set():
            try:
                job = self.engine.lease(list(NAMES), rng.randrange(1, 10))
            except WaitTimeoutError:
                continue
            with suppress(JobQueueError):
                if rng.random() < 0.8:
                    self.engine.complete(job)
                elif rng.random() < 0.5:
                    self.engine.release(job, rng.randrange(20))

    # ------------------------------------------------------------ handlers

    def thread_worker(self) -> Worker:
        worker = Worker(self.engine, concurrency=4, retry=Retry(first=1, most=20))
        rng = self.rng("handlers")

        @worker.handler("steady")
        @worker.handler(RUNS)
        def steady(attempt: Attempt) -> bytes:
            return attempt.job.payload

        @worker.handler("shaky")
        def shaky(attempt: Attempt) -> bytes:
            if rng.random() < 0.5:
                raise ValueError("at random")
            return b"in luck"

        @worker.handler("slow", touch=False)
        def slow(attempt: Attempt) -> bytes:
            self.stop.wait(rng.random() * 0.01)
            return b"perhaps too late"

        return worker

    def task_worker(self, who: str) -> aio.Worker:
        worker = aio.Worker(self.shared, concurrency=20, retry=Retry(first=1, most=20))
        rng = self.rng(who)

        @worker.handler("steady")
        @worker.handler(RUNS)
        async def steady(attempt: Attempt) -> bytes:
            return attempt.job.payload

        @worker.handler("shaky")
        async def shaky(attempt: Attempt) -> bytes:
            await asyncio.sleep(0)
            if rng.random() < 0.5:
                raise ValueError("at random")
            return b"in luck"

        @worker.handler("slow", touch=rng.random() < 0.5)
        async def slow(attempt: Attempt) -> bytes:
            await asyncio.sleep(rng.random() * 0.03)
            return b"perhaps too late"

        return worker

    # ------------------------------------------------------------ tasks

    async def torment(self, who: str) -> None:
        """A loop's share: a worker, and tasks that are cancelled at any moment."""
        worker = self.task_worker(who)
        async with worker:
            tasks = [
                asyncio.ensure_future(self.repeat(self.rng(f"{who} {act.__name__} {number}"), act))
                for number in range(3)
                for act in (self.struck_lease, self.struck_run, self.struck_result)
            ]
            await asyncio.gather(*tasks)

    async def repeat(
        self, rng: random.Random, act: Callable[[random.Random], Coroutine[Any, Any, None]]
    ) -> None:
        while not self.stop.is_set():
            await act(rng)
            await asyncio.sleep(rng.random() * 0.004)

    async def strike(self, rng: random.Random, task: "asyncio.Task[Any]") -> Any:
        """Let a task run for a while and cancel it, one way or another."""
        if rng.random() < 0.5:
            with suppress(TimeoutError):
                async with asyncio.timeout(rng.random() * 0.005):
                    return await task
        for _ in range(rng.randrange(5)):
            await asyncio.sleep(0)
        self.struck += task.cancel()
        return await task

    async def struck_lease(self, rng: random.Random) -> None:
        async def take() -> None:
            async with self.shared.attempt(rng.choice([NAMES, NAMES[:1]]), 1000) as attempt:
                if rng.random() < 0.5:
                    await asyncio.sleep(0)
                    attempt.fail(b"struck")

        with suppress(asyncio.CancelledError, JobQueueError):
            await self.strike(rng, asyncio.ensure_future(take()))

    async def struck_run(self, rng: random.Random) -> None:
        job = self.job(rng).replace(name=RUNS)
        task = asyncio.ensure_future(self.shared.run(job, rng.randrange(1, 30)))
        await asyncio.sleep(0)
        record = self.engine.registry.record(job)
        try:
            await (task if record is None else self.strike(rng, task))
        except asyncio.CancelledError:
            if record is not None and not record.processed():
                self.vanish()
        except WaitTimeoutError:
            self.vanish()
        except JobQueueError:
            pass  # its key is taken

    async def struck_result(self, rng: random.Random) -> None:
        job = self.engine.peek(rng.choice(NAMES))
        if job is not None:
            waiting = asyncio.ensure_future(self.shared.result(job, rng.randrange(1, 30)))
            with suppress(asyncio.CancelledError, JobQueueError):
                await self.strike(rng, waiting)

    # ------------------------------------------------------------ the whole

    def run(self, seconds: float) -> None:
        found = [name for name in ("asyncio", "uvloop") if importlib.util.find_spec(name)]
        loops = {name: LoopThread(importlib.import_module(name).new_event_loop) for name in found}
        tormented: list[Future[None]] = [
            asyncio.run_coroutine_threadsafe(self.torment(name), loop.loop)
            for name, loop in loops.items()
        ]
        worker = self.thread_worker()
        targets = [(self.produce, 0), (self.produce, 1), (self.lease_by_hand, 0)]
        threads = [threading.Thread(target=target, args=[n]) for target, n in targets]
        threads.append(threading.Thread(target=self.meddle))
        for thread in threads:
            thread.start()
        with worker:
            self.watch(seconds)
            self.stop.set()
            for thread in threads:
                thread.join()
            for future in tormented:
                future.result(60)
        for loop in loops.values():
            loop.rest()
            loop.close()

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        pause = threading.Event()
        while (left := end - time.monotonic()) > 0:
            pause.wait(min(left, seconds / SAMPLES))
            if end - time.monotonic() < seconds * (1 - WARM_UP):
                gc.collect()
                self.rss.append(resident_bytes())
                self.objects.append(len(gc.get_objects()))

    def books(self) -> str:
        """Raise AssertionError unless they are balanced; a line that says how."""
        stats = self.engine.stats()
        pending = stats.ready + stats.scheduled + stats.running
        ended = stats.completed + stats.failed - stats.kicked + stats.evicted_jobs + self.vanished
        line = f"{stats}, taken away {self.vanished}, tasks cancelled {self.struck}"
        assert stats.added == ended + pending, f"added != ended {ended} + pending {pending}: {line}"
        assert stats.waiting == 0, line
        self.engine._check()
        return line

    def growth(self) -> str:
        """Raise AssertionError if memory or objects have grown; a line that says how much."""
        lines = []
        for what, series, spare in (
            ("resident bytes", self.rss, RSS_SPARE),
            ("objects", self.objects, OBJECTS_SPARE),
        ):
            third = max(len(series) // 3, 1)
            first, last = statistics.median(series[:third]), statistics.median(series[-third:])
            lines.append(f"{what} {first:.0f}, then {last:.0f}")
            assert last <= max(first * GROWTH_MAX, first + spare), lines[-1]
        return "; ".join(lines)


def resident_bytes() -> int:
    with Path("/proc/self/statm").open(encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak the engine.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    soak = Soak(options.seed)
    soak.run(options.seconds)
    print(soak.books())
    print(soak.growth())
    soak.engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
