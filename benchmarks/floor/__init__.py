"""The floor, called through the same facade shape as the engine: a Python subclass without a body.

For the hand-off the floor is two bare locks between two threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from benchmarks.contender import NAME, PRIORITY, RESULT, TTR_MS, Contender, Pair
from benchmarks.floor.build import build, is_current

if not is_current("_floor"):
    build("_floor")

# It may have to be built first.
from benchmarks.floor._floor import Engine, Job


class Controller(Engine):
    """The facade: inherits the hot verbs as native methods."""

    __slots__ = ()


def cycle(queue: Controller, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        queue.add(Job(NAME, payload, priority=PRIORITY, ttr=TTR_MS))
        job = queue.lease(NAME, 0)
        queue.complete(job, RESULT)
        queue.delete(job)


def lock_pair(_: object) -> Pair:
    ping, pong = threading.Lock(), threading.Lock()
    ping.acquire()
    pong.acquire()
    return Pair(ping.release, ping.acquire, pong.release, pong.acquire)


__all__ = ["FLOOR", "LOCKS", "Controller", "Engine", "Job"]

FLOOR = Contender(
    name="floor",
    title="floor (empty native calls)",
    best="Cython with the package's own directives, the same signatures and facade shape",
    lacks="does nothing at all",
    open=Controller,
    cycle=cycle,
    cycle_operations=20_000,
)

LOCKS = Contender(
    name="lock",
    title="floor (two bare threading.Lock)",
    best="release in one thread, acquire in the other: no data is passed",
    lacks="passes nothing",
    open=lambda: None,
    pair=lock_pair,
)
