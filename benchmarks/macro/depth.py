"""The whole cycle with 10^3 to 10^7 jobs pending, equal (FIFO) and random priorities.

Each step ends the life of the head and adds one job, so the depth stays as it is. Random priorities
follow the hold model: see workload.hold_priorities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.case import Case, Probe
from benchmarks.contender import Contender
from benchmarks.contenders import OURS, PEERS
from benchmarks.measure import interleaved, paired_ratio
from benchmarks.workload import hold_priorities, hold_steps

DEPTHS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
PEER_DEPTHS = DEPTHS[:4]  # more would not fit or take minutes to fill
PEER_NAMES = ("by_hand", "priority_queue", "sorted_list")
ORDERS = ("fifo", "random")
STEPS = 2_000  # in one round
PAYLOAD_BYTES = 8  # small and distinct: 10^7 of them must fit


def work(pending: int, order: str) -> Iterator[tuple[bytes, int]]:
    for number, priority in enumerate(hold_priorities(pending, order)):
        yield number.to_bytes(PAYLOAD_BYTES, "big"), priority


def depth_case(contender: Contender, order: str, pending: int, steps: int = STEPS) -> Case:
    fill, hold = contender.fill, contender.hold
    assert fill is not None
    assert hold is not None

    def setup() -> tuple[Any, list[tuple[bytes, int]]]:
        engine = contender.open()
        fill(engine, work(pending, order))
        payloads = [number.to_bytes(PAYLOAD_BYTES, "little") for number in range(steps)]
        return engine, list(zip(payloads, hold_steps(steps, pending, order), strict=True))

    return Case(
        name=f"depth/{order}/{pending}/{contender.name}",
        setup=setup,
        run=lambda state: hold(*state),
        operations=steps,
        teardown=lambda state: contender.close(state[0]),
        title=contender.title,
        lacks=contender.lacks,
        missing=contender.missing,
    )


def depth_curve(
    engine: str = "jobqueue", order: str = "fifo", depths: list[int] | None = None, rounds: int = 25
) -> dict[str, Any]:
    """Nanoseconds a cycle at each depth, and the deepest over the shallowest within rounds."""
    contender = next(c for c in (OURS, *PEERS) if c.name == engine)
    cases = [depth_case(contender, order, pending) for pending in depths or [DEPTHS[0], DEPTHS[-1]]]
    results = interleaved(cases, rounds, warmup=2)
    series = [results[case.name] for case in cases]
    return {
        "depths": [int(case.name.split("/")[2]) for case in cases],
        "ns": [one.median for one in series],
        "ratio": paired_ratio(series[-1].ns, series[0].ns),
    }


CASES = tuple(
    depth_case(contender, order, pending)
    for contender in (OURS, *(peer for peer in PEERS if peer.name in PEER_NAMES))
    for order in ORDERS
    for pending in DEPTHS[:3]
)

# Deeper ones run in a process of their own, so that the memory is given back.
PROBES = (Probe("depth/curve", depth_curve, one_core=True),)
