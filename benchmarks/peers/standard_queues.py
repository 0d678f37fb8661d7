"""The standard library's queues, and sortedcontainers."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import queue
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contender import PRIORITY, STOP, Contender, Pair

Work = Iterable[tuple[bytes, int]]
Item = tuple[int, int, bytes]  # (-priority, sequence, payload): FIFO among equals
SEQUENCE = itertools.count()  # where several threads add


def simple_cycle(engine: queue.SimpleQueue[bytes], payloads: Sequence[bytes]) -> None:
    put, get = engine.put, engine.get_nowait
    for payload in payloads:
        put(payload)
        get()


def simple_fill(engine: queue.SimpleQueue[bytes], work: Work) -> None:
    for payload, _ in work:
        engine.put(payload)


def simple_hold(engine: queue.SimpleQueue[bytes], work: Work) -> None:
    for payload, _ in work:
        engine.get_nowait()
        engine.put(payload)


def simple_produce(engine: queue.SimpleQueue[bytes], payloads: Iterable[bytes]) -> None:
    put = engine.put
    for payload in payloads:
        put(payload)


def simple_consume(engine: queue.SimpleQueue[bytes]) -> int:
    count, get = 0, engine.get
    while get() != STOP:
        count += 1
    return count


def simple_pair(_: object) -> Pair:
    payload = bytes(100)
    ping: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    pong: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    return Pair(lambda: ping.put(payload), ping.get, lambda: pong.put(payload), pong.get)


# queue.PriorityQueue and asyncio.PriorityQueue have the same two methods.


def priority_cycle(engine: Any, payloads: Sequence[bytes]) -> None:
    put, get = engine.put_nowait, engine.get_nowait
    for sequence, payload in enumerate(payloads):
        put((-PRIORITY, sequence, payload))
        get()


def priority_fill(engine: Any, work: Work) -> None:
    put = engine.put_nowait
    for sequence, (payload, priority) in enumerate(work):
        put((-priority, sequence, payload))


def priority_hold(engine: Any, work: Work) -> None:
    put, get = engine.put_nowait, engine.get_nowait
    # Sequences after all that fill() gave.
    for sequence, (payload, step) in enumerate(work, 1 << 40):
        item = get()
        put((item[0] + step, sequence, payload))


def priority_produce(engine: queue.PriorityQueue[Item], payloads: Iterable[bytes]) -> None:
    put = engine.put
    for payload in payloads:
        put((0, next(SEQUENCE), payload))


def priority_consume(engine: queue.PriorityQueue[Item]) -> int:
    count, get = 0, engine.get
    while get()[2] != STOP:
        count += 1
    return count


def priority_pair(_: object) -> Pair:
    item = (0, 0, bytes(100))
    ping: queue.PriorityQueue[Item] = queue.PriorityQueue()
    pong: queue.PriorityQueue[Item] = queue.PriorityQueue()
    return Pair(lambda: ping.put(item), ping.get, lambda: pong.put(item), pong.get)


def open_sorted_list() -> Any:
    return importlib.import_module("sortedcontainers").SortedList()


# Ascending (priority, -sequence): the head is the last element, whose pop is O(1).


def sorted_cycle(engine: Any, payloads: Sequence[bytes]) -> None:
    add, pop = engine.add, engine.pop
    for sequence, payload in enumerate(payloads):
        add((PRIORITY, -sequence, payload))
        pop()


def sorted_fill(engine: Any, work: Work) -> None:
    engine.update((priority, -number, payload) for number, (payload, priority) in enumerate(work))


def sorted_hold(engine: Any, work: Work) -> None:
    add, pop = engine.add, engine.pop
    for sequence, (payload, step) in enumerate(work, 1 << 40):
        item = pop()
        add((item[0] - step, -sequence, payload))


SIMPLE_QUEUE = Contender(
    name="simple_queue",
    title="queue.SimpleQueue",
    best="bound methods, payloads themselves as items",
    lacks="everything but FIFO: priorities, ids, acknowledgement, TTR, TTL, results",
    open=queue.SimpleQueue,
    cycle=simple_cycle,
    cycle_operations=20_000,
    fill=simple_fill,
    hold=simple_hold,
    produce=simple_produce,
    consume=simple_consume,
    pair=simple_pair,
)

PRIORITY_QUEUE = Contender(
    name="priority_queue",
    title="queue.PriorityQueue",
    best="bound put_nowait and get_nowait, plain tuples",
    lacks="ids, acknowledgement, TTR, TTL, results",
    open=queue.PriorityQueue,
    cycle=priority_cycle,
    cycle_operations=5_000,
    fill=priority_fill,
    hold=priority_hold,
    produce=priority_produce,
    consume=priority_consume,
    pair=priority_pair,
)

ASYNCIO_QUEUE = Contender(
    name="asyncio_queue",
    title="asyncio.PriorityQueue",
    best="put_nowait and get_nowait, no await",
    lacks="ids, acknowledgement, TTR, TTL, results, threads",
    open=asyncio.PriorityQueue,
    cycle=priority_cycle,
    cycle_operations=10_000,
    fill=priority_fill,
    hold=priority_hold,
)

SORTED_LIST = Contender(
    name="sorted_list",
    title="sortedcontainers.SortedList",
    best="plain tuples without a key function, popped from the cheap end, filled by update()",
    lacks="ids, acknowledgement, TTR, TTL, results, threads",
    needs=("sortedcontainers",),
    open=open_sorted_list,
    cycle=sorted_cycle,
    cycle_operations=5_000,
    fill=sorted_fill,
    hold=sorted_hold,
)

CONTENDERS = (SIMPLE_QUEUE, PRIORITY_QUEUE, ASYNCIO_QUEUE, SORTED_LIST)
