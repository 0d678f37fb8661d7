"""dramatiq with its stub broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contender import Contender


def open_dramatiq() -> tuple[Any, Any]:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker(middleware=[])
    dramatiq.set_encoder(dramatiq.PickleEncoder())
    dramatiq.set_broker(broker)

    @dramatiq.actor(broker=broker, queue_name="bench")
    def work(payload: bytes) -> None:
        """Never called: the benchmark consumes by itself."""

    return work, broker.consume("bench", prefetch=1, timeout=1_000)


def cycle(engine: tuple[Any, Any], payloads: Sequence[bytes]) -> None:
    work, consumer = engine
    for payload in payloads:
        work.send(payload)
        message = next(consumer)
        consumer.ack(message)


def fill(engine: tuple[Any, Any], work: Iterable[tuple[bytes, int]]) -> None:
    actor = engine[0]
    for payload, _ in work:
        actor.send(payload)


DRAMATIQ = Contender(
    name="dramatiq",
    title="dramatiq (stub broker)",
    best="no middleware, pickle encoder (faster than JSON, takes bytes), no worker threads",
    lacks="priorities by number, results and TTR (both would be middleware)",
    needs=("dramatiq",),
    acks=True,
    open=open_dramatiq,
    cycle=cycle,
    cycle_operations=500,
    fill=fill,
    fill_count=200_000,
)

CONTENDERS = (DRAMATIQ,)
