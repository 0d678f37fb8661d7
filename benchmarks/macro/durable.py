"""What the command log costs: a cycle under each sync, shared syncs, a start."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchmarks.case import Case, Probe
from benchmarks.contender import RESULT
from benchmarks.workload import payloads
from jobqueue import Controller, Job
from jobqueue.cmdlog import DurableController
from jobqueue.cmdlog._files import Files, Mapped

CYCLES = 20_000
ALWAYS_CYCLES = 64
SIDES = 64
STARTED = 1_000_000
BATCH = 1000
SLOW_CYCLES = 8
SLOW_S = 0.002  # of a sync; disks that keep their promise without a battery take 1 to 10 ms


class SlowMapped(Mapped):
    """Its sync takes longer."""

    __slots__ = ()

    def sync(self) -> None:
        time.sleep(SLOW_S)
        super().sync()


class SlowDisk(Files):
    """A disk whose syncs take as long as those of most machines, not of a virtual one."""

    def create_mapped(self, path: Path | str, size: int) -> Mapped:
        return SlowMapped(path, size)


class Place:
    """A controller and the directory of its log."""

    def __init__(self, sync: str, files: Files | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jobqueue-bench-"))
        self.controller = (
            Controller()
            if sync == "none"
            else DurableController(self.path / "log", sync=sync, files=files)  # type: ignore[arg-type]
        )
        self.payloads = payloads(CYCLES)

    def close(self) -> None:
        self.controller.close()
        shutil.rmtree(self.path)


def cycles(place: Place, count: int) -> None:
    queue = place.controller
    for payload in place.payloads[:count]:
        queue.add(Job("mail", payload))
        job = queue.lease("mail", 0)
        queue.complete(job, RESULT)
        queue.delete(job)


def cycles_in_threads(place: Place, each: int) -> None:
    threads = [threading.Thread(target=cycles, args=(place, each)) for _ in range(SIDES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Waking:
    """What waking costs: threads that wait, each at a lock, for one that does the same syncs."""

    calls = 4 * ALWAYS_CYCLES  # a cycle is four calls
    size = 1 << 20
    step = 100

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jobqueue-bench-"))
        self.file = Mapped(self.path / "file", self.size)
        self.file.allocate(self.size)
        self.asked: SimpleQueue[Any] = SimpleQueue()

    def close(self) -> None:
        self.file.close(None)
        shutil.rmtree(self.path)

    def ask(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        for _ in range(self.calls):
            self.asked.put(lock)
            lock.acquire()

    def answer(self) -> None:
        memory, at = self.file.memory, 0
        assert memory is not None
        while (lock := self.asked.get()) is not None:
            locks = [lock]
            while not self.asked.empty():
                locks.append(self.asked.get())
            memory[at] = 1
            at = (at + self.step * len(locks)) % self.size
            self.file.sync()
            for lock in locks:
                lock.release()

    def run(self) -> None:
        answering = threading.Thread(target=self.answer)
        threads = [threading.Thread(target=self.ask) for _ in range(SIDES)]
        for thread in (answering, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        self.asked.put(None)
        answering.join()


def case(
    name: str, sync: str, run: Callable[[Place], Any], operations: int, files: Files | None = None
) -> Case:
    return Case(
        f"durable/{name}",
        partial(Place, sync, files),
        run,
        operations,
        fresh=True,
        teardown=Place.close,
        title=f"sync={sync!r}" if sync != "none" else "in memory",
        one_core=False,
    )


CASES = (
    case("memory", "none", partial(cycles, count=CYCLES), CYCLES),
    case("os", "os", partial(cycles, count=CYCLES), CYCLES),
    case("interval", "interval", partial(cycles, count=CYCLES), CYCLES),
    case("always_1", "always", partial(cycles, count=ALWAYS_CYCLES), ALWAYS_CYCLES),
    case(
        "always_64",
        "always",
        partial(cycles_in_threads, each=ALWAYS_CYCLES),
        ALWAYS_CYCLES * SIDES,
    ),
    Case(
        "durable/waking_64",
        Waking,
        Waking.run,
        ALWAYS_CYCLES * SIDES,
        fresh=True,
        teardown=Waking.close,
        title="threads that only wait for syncs",
        one_core=False,
    ),
    case("slow_1", "always", partial(cycles, count=SLOW_CYCLES), SLOW_CYCLES, SlowDisk()),
    case(
        "slow_64",
        "always",
        partial(cycles_in_threads, each=SLOW_CYCLES),
        SLOW_CYCLES * SIDES,
        SlowDisk(),
    ),
)


def start(jobs: int = STARTED) -> dict[str, Any]:
    """Seconds to add so many jobs, one by one, in memory and with a log; and to start with them."""
    path = Path(tempfile.mkdtemp(prefix="jobqueue-bench-"))
    work = payloads(BATCH)
    seconds = {}
    try:
        for name in ("add_memory", "add"):
            queue = Controller() if name == "add_memory" else DurableController(path, sync="os")
            began = time.perf_counter()
            for _ in range(jobs // BATCH):
                for payload in work:
                    queue.add(Job("mail", payload))
            seconds[name] = time.perf_counter() - began
            queue.close()
            del queue
        began = time.perf_counter()
        with DurableController(path, sync="os") as queue:
            seconds["start"] = time.perf_counter() - began
            assert queue.stats().ready == jobs // BATCH * BATCH
    finally:
        shutil.rmtree(path)
    return {"jobs": jobs, **seconds, "ratio": seconds["start"] / seconds["add_memory"]}


PROBES = (Probe("durable/start", start, title="start with a million jobs", one_core=True),)
