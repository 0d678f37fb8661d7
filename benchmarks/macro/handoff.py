"""Hand-off between two threads: from before the add to after the lease that was blocked.

Two threads play ping-pong; each exchange gives two samples. Each thread blocks before the other one
answers, so every sample is a wake-up. Measured on all cores as the system likes, and on one core.
"""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import Any

from benchmarks.case import Case
from benchmarks.contender import Contender, Pair
from benchmarks.contenders import LOCKS, OURS, PEERS

EXCHANGES = 2_000
WARMUP = 100
PEER_NAMES = ("simple_queue", "priority_queue")


def exchange(pair: Pair, count: int = EXCHANGES, warmup: int = WARMUP) -> list[int]:
    """Nanoseconds from give to taken, both ways."""
    total = count + warmup
    ping_sent, ping_got = [0] * total, [0] * total
    pong_sent, pong_got = [0] * total, [0] * total

    def answer() -> None:
        take, give, now = pair.take_ping, pair.give_pong, perf_counter_ns
        for number in range(total):
            take()
            ping_got[number] = now()
            pong_sent[number] = now()
            give()

    thread = threading.Thread(target=answer)
    thread.start()
    take, give, now = pair.take_pong, pair.give_ping, perf_counter_ns
    for number in range(total):
        ping_sent[number] = now()
        give()
        take()
        pong_got[number] = now()
    thread.join()
    return [
        got - sent
        for sents, gots in ((ping_sent, ping_got), (pong_sent, pong_got))
        for sent, got in zip(sents[warmup:], gots[warmup:], strict=True)
    ]


def handoff_case(contender: Contender, cores: str) -> Case:
    pair = contender.pair
    assert pair is not None

    def setup() -> tuple[Any, Pair]:
        engine = contender.open()
        return engine, pair(engine)

    return Case(
        name=f"handoff/{cores}/{contender.name}",
        setup=setup,
        run=lambda state: exchange(state[1]),
        operations=2 * (EXCHANGES + WARMUP),
        fresh=True,
        teardown=lambda state: contender.close(state[0]),
        title=contender.title,
        lacks=contender.lacks,
        one_core=cores == "one_core",
    )


CASES = tuple(
    handoff_case(contender, cores)
    for cores in ("any_core", "one_core")
    for contender in (LOCKS, OURS, *(peer for peer in PEERS if peer.name in PEER_NAMES))
)
