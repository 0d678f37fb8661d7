"""huey with its memory storage."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contender import RESULT, Contender


def open_huey() -> tuple[Any, Any]:
    huey = importlib.import_module("huey").MemoryHuey("bench", results=True)

    def work(_: bytes) -> bytes:
        return RESULT

    return huey, huey.task()(work)


def cycle(engine: tuple[Any, Any], payloads: Sequence[bytes]) -> None:
    huey, work = engine
    for payload in payloads:
        huey.enqueue(work.s(payload))
        task = huey.dequeue()
        huey.put_result(task.id, task.execute())
        huey.get(task.id)


def fill(engine: tuple[Any, Any], work: Iterable[tuple[bytes, int]]) -> None:
    huey, task = engine
    for payload, priority in work:
        huey.enqueue(task.s(payload, priority=priority))


HUEY = Contender(
    name="huey",
    title="huey (memory)",
    best="without its consumer: Huey.execute (revocation, signals, logging) is left out, it doubles"
    " the time",
    lacks="leases, TTR",
    needs=("huey",),
    acks=True,
    open=open_huey,
    cycle=cycle,
    cycle_operations=300,
    fill=fill,
    fill_count=200_000,
)

CONTENDERS = (HUEY,)
