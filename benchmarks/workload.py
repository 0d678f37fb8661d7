"""What the cases work on: payloads, priorities and names, the same for every contender.

Everything is drawn from seeded generators, so that two runs do the same work.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

PAYLOAD_SIZE = 100
SEED = 20_090


def payloads(count: int, size: int = PAYLOAD_SIZE) -> list[bytes]:
    """Distinct payloads."""
    return list(payload_stream(count, size))


def payload_stream(count: int, size: int = PAYLOAD_SIZE) -> Iterator[bytes]:
    """The same one by one, so that nobody but the engine keeps them."""
    rng = random.Random(SEED)
    for _ in range(count):
        yield rng.randbytes(size)


def hold_span(pending: int) -> int:
    """Width of the band of priorities in use at this depth; see hold_steps()."""
    return min(100_000_000, 1_000 * pending)


def hold_priorities(pending: int, order: str) -> Iterator[int]:
    """Priorities of a queue that has been in use for long.

    `fifo`: all zero. `random`: the stationary state of the hold model (Jones, CACM 29(4), 1986):
    each step takes the head and adds a job somewhere below it, so a new job really lands anywhere
    in the queue. With priorities drawn from a fixed range instead, the low ones would pile up, and
    before long every new job would be the head.
    """
    if order == "fifo":
        for _ in range(pending):
            yield 0
        return
    rng, span = random.Random(SEED), hold_span(pending)
    top = 2**31 - 1
    for _ in range(pending):
        yield top - int(span * (1.0 - math.sqrt(rng.random())))


def hold_steps(count: int, pending: int, order: str) -> list[int]:
    """How far below the head each new job goes."""
    if order == "fifo":
        return [0] * count
    rng, span = random.Random(SEED + 1), hold_span(pending)
    return [int(span * rng.random()) for _ in range(count)]


def zipf_names(count: int, queues: int = 16) -> list[str]:
    """Names of `queues` queues, the k-th with weight 1/k."""
    rng = random.Random(SEED)
    names = [f"queue-{number:02}" for number in range(queues)]
    weights = [1.0 / (number + 1) for number in range(queues)]
    return rng.choices(names, weights, k=count)
