"""kombu with its memory transport, on the level of the channel."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contender import NAME, Contender

CONTENT = ("application/data", "binary")  # sent as it is: no serialiser


def open_kombu() -> Any:
    channel = importlib.import_module("kombu").Connection("memory://").channel()
    channel.queue_declare(NAME)
    channel.queue_purge(NAME)
    return channel


def publish(channel: Any, payload: bytes) -> None:
    message = channel.prepare_message(payload, 0, *CONTENT, {}, {})
    channel.basic_publish(message, "", NAME)


def cycle(channel: Any, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        publish(channel, payload)
        message = channel.basic_get(NAME)
        channel.basic_ack(message.delivery_tag)


def cycle_without_ack(channel: Any, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        publish(channel, payload)
        channel.basic_get(NAME, no_ack=True)


def fill(channel: Any, work: Iterable[tuple[bytes, int]]) -> None:
    for payload, _ in work:
        publish(channel, payload)


KOMBU = Contender(
    name="kombu",
    title="kombu (memory)",
    best="channel calls instead of Producer and SimpleQueue, default exchange, raw bytes",
    lacks="priorities, TTR, TTL, results",
    needs=("kombu",),
    acks=True,
    open=open_kombu,
    close=lambda channel: channel.close(),
    cycle=cycle,
    cycle_operations=300,
    fill=fill,
    fill_count=200_000,
)

KOMBU_NO_ACK = Contender(
    name="kombu_no_ack",
    title="kombu (memory), without acknowledgement",
    best="as with acknowledgement",
    lacks="acknowledgement, priorities, TTR, TTL, results",
    needs=("kombu",),
    open=open_kombu,
    close=lambda channel: channel.close(),
    cycle=cycle_without_ack,
    cycle_operations=500,
)

CONTENDERS = (KOMBU, KOMBU_NO_ACK)
