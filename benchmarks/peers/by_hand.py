"""What a careful Python author writes without a library: heapq + dict with the same bookkeeping.

Ids, states, attempts, both budgets' limits, created stamps that strictly increase, TTL and TTR in
lazy heaps, results kept until the TTL, counters. Tuned: one slotted object is job and record in
one; ids come from the operating system in blocks; one clock read a call; heaps are cleaned lazily
and compacted when half of them is stale, so nothing grows. Left out in its favour: validation of
arguments, UUID form of ids, locks, blocking, and timers that fire without a call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from time import time_ns

from benchmarks.contender import NAME, PRIORITY, RESULT, TTR_MS, Contender

NEW, COMPLETED, FAILED, PENDING, LEASED = range(5)
HARD_ATTEMPTS_MAX = 255
NS_PER_MS = 1_000_000
STALE_MIN = 1_000  # stale heap entries that are not worth a compaction


def id_stream() -> Iterator[bytes]:
    """16 random bytes at a time, from blocks of the operating system's generator."""
    while True:
        block = os.urandom(4_096)
        for start in range(0, 4_096, 16):
            yield block[start : start + 16]


new_id: Callable[[], bytes] = id_stream().__next__


class Job:
    """A job and its record in one: fewer objects, fewer look-ups."""

    __slots__ = (
        "attempts",
        "created",
        "fails",
        "id",
        "max_attempts",
        "max_fails",
        "name",
        "payload",
        "priority",
        "result",
        "state",
        "ttl",
        "ttr",
    )

    def __init__(
        self,
        name: str,
        payload: bytes = b"",
        *,
        priority: int = 0,
        ttr: int = 60_000,
        ttl: int = 86_400_000,
        max_attempts: int = 0,
        max_fails: int = 0,
    ) -> None:
        self.id = new_id()
        self.name = name
        self.payload = payload
        self.priority = priority
        self.ttr = ttr
        self.ttl = ttl
        self.max_attempts = max_attempts
        self.max_fails = max_fails
        self.created = 0
        self.state = NEW
        self.attempts = 0
        self.fails = 0
        self.result: bytes | None = None


class Queue:
    """All verbs of the cycle. Not safe for threads."""

    __slots__ = (
        "added",
        "completed",
        "evicted",
        "failed",
        "last_stamp",
        "leased",
        "ready",
        "ready_stale",
        "records",
        "timed_out",
        "ttl_heap",
        "ttl_stale",
        "ttr_heap",
        "ttr_stale",
    )

    def __init__(self) -> None:
        self.records: dict[bytes, Job] = {}
        self.ready: dict[str, list[tuple[int, int, Job]]] = {}  # (-priority, created, job)
        self.ttl_heap: list[tuple[int, bytes]] = []
        self.ttr_heap: list[tuple[int, int, bytes]] = []  # deadline, attempt, id
        self.ready_stale = self.ttl_stale = self.ttr_stale = 0
        self.added = self.leased = self.completed = self.failed = 0
        self.timed_out = self.evicted = 0
        self.last_stamp = 0

    def add(self, job: Job) -> None:
        identity = job.id
        if identity in self.records:
            raise ValueError(f"duplicate job: {identity.hex()}")
        now = time_ns()
        stamp = self.last_stamp = now if now > self.last_stamp else self.last_stamp + 1
        job.created = stamp
        self.records[identity] = job
        entry = (-job.priority, stamp, job)
        try:
            heappush(self.ready[job.name], entry)
        except KeyError:
            self.ready[job.name] = [entry]
        heappush(self.ttl_heap, (now + job.ttl * NS_PER_MS, identity))
        self.added += 1

    def lease(self, name: str, timeout: int = 0) -> Job:
        now = time_ns()
        if self.ttr_heap and self.ttr_heap[0][0] <= now:
            self.fire_ttr(now)
        if self.ttl_heap and self.ttl_heap[0][0] <= now:
            self.fire_ttl(now)
        ready = self.ready.get(name)
        while ready:
            job = heappop(ready)[2]
            state = job.state
            if state is not NEW and state is not PENDING:
                self.ready_stale -= 1
                continue
            attempts = job.attempts + 1
            if attempts > (job.max_attempts or HARD_ATTEMPTS_MAX):
                job.state = FAILED
                job.result = b""
                self.failed += 1
                continue
            job.attempts = attempts
            job.state = LEASED
            heappush(self.ttr_heap, (now + job.ttr * NS_PER_MS, attempts, job.id))
            self.leased += 1
            return job
        raise TimeoutError("no job")

    def complete(
        self, job: Job | bytes, result: bytes = b"", *, attempt: int | None = None
    ) -> None:
        found = self.records.get(job.id if isinstance(job, Job) else job)
        if found is None:
            raise LookupError("no such job")
        state = found.state
        if attempt is not None and (state is not LEASED or found.attempts != attempt):
            raise TimeoutError("lease lost")
        if state is LEASED:
            self.drop_ttr()
        elif state is COMPLETED or state is FAILED:
            raise ValueError("already processed")
        else:
            self.drop_ready(found.name)
        found.state = COMPLETED
        found.result = result
        self.completed += 1

    def delete(self, job: Job | bytes) -> None:
        found = self.records.pop(job.id if isinstance(job, Job) else job, None)
        if found is None:
            raise LookupError("no such job")
        state = found.state
        if state is LEASED:
            self.drop_ttr()
        elif state is NEW or state is PENDING:
            self.drop_ready(found.name)
        found.state = FAILED  # whatever heap still holds it skips it
        self.ttl_stale += 1
        if self.ttl_stale > STALE_MIN and self.ttl_stale * 2 > len(self.ttl_heap):
            records = self.records
            self.ttl_heap = [entry for entry in self.ttl_heap if entry[1] in records]
            heapify(self.ttl_heap)
            self.ttl_stale = 0

    def drop_ttr(self) -> None:
        """One entry of the TTR heap has become stale."""
        self.ttr_stale += 1
        if self.ttr_stale > STALE_MIN and self.ttr_stale * 2 > len(self.ttr_heap):
            self.ttr_heap = [entry for entry in self.ttr_heap if self.leased_as(entry) is not None]
            heapify(self.ttr_heap)
            self.ttr_stale = 0

    def drop_ready(self, name: str) -> None:
        """One entry of a ready heap has become stale."""
        self.ready_stale += 1
        ready = self.ready[name]
        if self.ready_stale > STALE_MIN and self.ready_stale * 2 > len(ready):
            ready[:] = [entry for entry in ready if entry[2].state in (NEW, PENDING)]
            heapify(ready)
            self.ready_stale = 0

    def leased_as(self, entry: tuple[int, int, bytes]) -> Job | None:
        job = self.records.get(entry[2])
        if job is not None and job.state is LEASED and job.attempts == entry[1]:
            return job
        return None

    def fire_ttr(self, now: int) -> None:
        heap = self.ttr_heap
        while heap and heap[0][0] <= now:
            job = self.leased_as(heappop(heap))
            if job is None:
                self.ttr_stale -= 1
                continue
            self.timed_out += 1
            if job.attempts < (job.max_attempts or HARD_ATTEMPTS_MAX):
                job.state = PENDING
                heappush(self.ready[job.name], (-job.priority, job.created, job))
            else:
                job.state = FAILED
                job.result = b""
                self.failed += 1

    def fire_ttl(self, now: int) -> None:
        heap = self.ttl_heap
        while heap and heap[0][0] <= now:
            identity = heappop(heap)[1]
            job = self.records.get(identity)
            if job is None:
                self.ttl_stale -= 1
                continue
            if job.state not in (COMPLETED, FAILED):
                self.evicted += 1
            self.ttl_stale -= 1  # delete() counts one that is popped already
            self.delete(identity)


class LockedQueue(Queue):
    """The same with a lock round every verb, so that threads may share it."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def add(self, job: Job) -> None:
        with self.lock:
            Queue.add(self, job)

    def lease(self, name: str, timeout: int = 0) -> Job:
        with self.lock:
            return Queue.lease(self, name, timeout)

    def complete(
        self, job: Job | bytes, result: bytes = b"", *, attempt: int | None = None
    ) -> None:
        with self.lock:
            Queue.complete(self, job, result, attempt=attempt)

    def delete(self, job: Job | bytes) -> None:
        with self.lock:
            Queue.delete(self, job)


def cycle(queue: Queue, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        queue.add(Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS))
        job = queue.lease(NAME, 0)
        queue.complete(job, RESULT)
        queue.delete(job)


def fill(queue: Queue, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, priority in work:
        queue.add(Job(NAME, payload, priority=priority, ttr=TTR_MS))


def hold(queue: Queue, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, step in work:
        job = queue.lease(NAME, 0)
        queue.complete(job, RESULT)
        queue.delete(job)
        queue.add(Job(NAME, payload, priority=job.priority - step, ttr=TTR_MS))


BY_HAND = Contender(
    name="by_hand",
    title="heapq + dict by hand, same bookkeeping",
    best="one slotted object a job, ids in blocks, one clock read a call, lazy heaps",
    lacks="validation, thread safety, blocking, timers that fire on their own",
    open=Queue,
    cycle=cycle,
    cycle_operations=5_000,
    fill=fill,
    hold=hold,
)

BY_HAND_LOCKED = Contender(
    name="by_hand_locked",
    title="heapq + dict by hand, with a lock",
    best="as the one without; a lock round each verb",
    lacks="validation, blocking, timers that fire on their own",
    open=LockedQueue,
    cycle=cycle,
    cycle_operations=5_000,
)

CONTENDERS = (BY_HAND, BY_HAND_LOCKED)
