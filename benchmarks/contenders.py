"""All contenders, ours first."""

from __future__ import annotations

from benchmarks.contender import Contender
from benchmarks.floor import FLOOR, LOCKS
from benchmarks.ours import OURS
from benchmarks.peers import (
    beanstalk,
    by_hand,
    dramatiq_stub,
    huey_memory,
    kombu_memory,
    persist_queue,
    standard_queues,
)

__all__ = ["CONTENDERS", "FLOOR", "LOCKS", "OURS", "PEERS"]

PEERS: tuple[Contender, ...] = (
    *standard_queues.CONTENDERS,
    *by_hand.CONTENDERS,
    *huey_memory.CONTENDERS,
    *dramatiq_stub.CONTENDERS,
    *kombu_memory.CONTENDERS,
    *persist_queue.CONTENDERS,
    *beanstalk.CONTENDERS,
)
CONTENDERS: tuple[Contender, ...] = (OURS, FLOOR, LOCKS, *PEERS)
