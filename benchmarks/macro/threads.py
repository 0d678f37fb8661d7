"""1, 2, 4, 8 producers and as many consumers on one queue; and one thread doing the same work."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from benchmarks.case import Case
from benchmarks.contender import STOP, Contender
from benchmarks.contenders import OURS, PEERS
from benchmarks.workload import payloads

THREADS = (1, 2, 4, 8)
CHUNK = 500  # jobs between two notes of a producer's progress
JOBS = 120_000
PEER_NAMES = ("simple_queue", "priority_queue")


@dataclass(slots=True)
class Shares:
    """Who got how much."""

    consumers: list[int] = field(default_factory=list)  # jobs each of them took
    producers: list[int] = field(default_factory=list)  # chunks added when the first was done

    @staticmethod
    def least(parts: list[int]) -> float:
        """The smallest part over a fair one: 1 is perfectly even, 0 is a starved thread."""
        return min(parts) * len(parts) / max(1, sum(parts))


def run_threads(contender: Contender, engine: Any, chunks: list[list[bytes]], sides: int) -> Shares:
    produce, consume = contender.produce, contender.consume
    assert produce is not None
    assert consume is not None
    shares = Shares()
    progress = [0] * sides

    def producer(number: int) -> None:
        for chunk in chunks:
            produce(engine, chunk)
            progress[number] += 1
        if not shares.producers:
            shares.producers = list(progress)

    def consumer() -> None:
        shares.consumers.append(consume(engine))

    consumers = [threading.Thread(target=consumer) for _ in range(sides)]
    producers = [threading.Thread(target=producer, args=(number,)) for number in range(sides)]
    for thread in (*consumers, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    produce(engine, [STOP] * sides)
    for thread in consumers:
        thread.join()
    return shares


def threads_case(contender: Contender, sides: int, jobs: int = JOBS) -> Case:
    each = jobs // sides // CHUNK

    def setup() -> tuple[Any, list[list[bytes]]]:
        work = payloads(CHUNK)
        return contender.open(), [work] * each

    return Case(
        name=f"threads/{sides}/{contender.name}",
        setup=setup,
        run=lambda state: run_threads(contender, state[0], state[1], sides),
        operations=each * CHUNK * sides,
        fresh=True,
        teardown=lambda state: contender.close(state[0]),
        title=contender.title,
        lacks=contender.lacks,
        one_core=False,
    )


def single_case(contender: Contender, jobs: int = JOBS) -> Case:
    """The same number of lives by one thread, one after the other."""
    cycle = contender.cycle
    assert cycle is not None
    return Case(
        name=f"threads/one/{contender.name}",
        setup=lambda: (contender.open(), payloads(CHUNK) * (jobs // CHUNK)),
        run=lambda state: cycle(*state),
        operations=jobs // CHUNK * CHUNK,
        fresh=True,
        teardown=lambda state: contender.close(state[0]),
        title=contender.title,
        one_core=False,
    )


CASES = tuple(
    case
    for contender in (OURS, *(peer for peer in PEERS if peer.name in PEER_NAMES))
    for case in (
        single_case(contender),
        *(threads_case(contender, sides) for sides in THREADS),
    )
)
