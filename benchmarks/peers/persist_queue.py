"""persist-queue's SQLite queue with acknowledgement, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contender import Contender

CLEAR_EVERY = 20  # finished jobs pile up and slow it down; the best of 20, 100 and 500


class RawBytes:
    """A serialiser that does nothing: payloads are bytes already."""

    @staticmethod
    def dumps(value: bytes) -> bytes:
        return value

    @staticmethod
    def loads(value: bytes) -> bytes:
        return value


def open_queue() -> Any:
    from persistqueue import SQLiteAckQueue

    return SQLiteAckQueue(":memory:", multithreading=True, serializer=RawBytes)


def cycle(engine: Any, payloads: Sequence[bytes]) -> None:
    for number, payload in enumerate(payloads):
        engine.put(payload)
        item = engine.get(block=False, raw=True)
        engine.ack(id=item["pqid"])
        if number % CLEAR_EVERY == 0:
            engine.clear_acked_data(max_delete=CLEAR_EVERY, keep_latest=0)


def fill(engine: Any, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, _ in work:
        engine.put(payload)


PERSIST_QUEUE = Contender(
    name="persist_queue",
    title="persist-queue (SQLite in memory)",
    best="no serialiser, acknowledged by id, finished jobs cleared every 20",
    lacks="priorities, TTR, TTL, results",
    needs=("persistqueue",),
    acks=True,
    open=open_queue,
    close=lambda engine: engine.close(),
    cycle=cycle,
    cycle_operations=200,
    fill=fill,
    fill_count=100_000,
)

CONTENDERS = (PERSIST_QUEUE,)
