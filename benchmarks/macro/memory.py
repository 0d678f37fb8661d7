"""Bytes per pending job (growth of resident memory), and what gc.collect() costs with them."""

from __future__ import annotations

import gc
import statistics
import time
from functools import partial
from typing import Any

from benchmarks.case import Probe
from benchmarks.contender import Contender
from benchmarks.contenders import OURS, PEERS
from benchmarks.measure import resident_bytes
from benchmarks.workload import payload_stream

COLLECTIONS = 15
COLLECT_NAMES = ("by_hand", "priority_queue", "sorted_list")


def bytes_per_job(contender: Contender, count: int | None = None) -> dict[str, Any]:
    """Fills a fresh engine with distinct 100-byte payloads that only the engine keeps."""
    fill, total = contender.fill, count or contender.fill_count
    assert fill is not None
    warm = contender.open()
    fill(warm, ((payload, 0) for payload in payload_stream(1_000)))
    contender.close(warm)
    engine = contender.open()
    pid = contender.server_pid(engine) if contender.server_pid else "self"
    gc.collect()
    before = resident_bytes(pid)
    fill(engine, ((payload, 0) for payload in payload_stream(total)))
    gc.collect()
    grown = resident_bytes(pid) - before
    contender.close(engine)
    return {"bytes": grown / total, "jobs": total}


def collection_ms() -> float:
    gc.collect()
    times = []
    for _ in range(COLLECTIONS):
        start = time.perf_counter_ns()
        gc.collect()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return statistics.median(times)


def collection_cost(contender: Contender, count: int = 1_000_000) -> dict[str, Any]:
    """A full collection with an empty engine and with `count` jobs pending."""
    fill = contender.fill
    assert fill is not None
    engine = contender.open()
    gc.collect()
    gc.freeze()  # modules and the like are not visited: what is left is the engine's own
    empty = collection_ms()
    fill(engine, ((payload, 0) for payload in payload_stream(count)))
    full = collection_ms()
    contender.close(engine)
    return {"empty_ms": empty, "pending_ms": full, "more_ms": full - empty}


PROBES = (
    *(
        Probe(
            f"memory/{contender.name}",
            partial(bytes_per_job, contender),
            title=contender.title,
            lacks=contender.lacks,
            missing=contender.missing,
        )
        for contender in (OURS, *PEERS)
        if contender.fill
    ),
    *(
        Probe(
            f"collect/{contender.name}",
            partial(collection_cost, contender),
            title=contender.title,
            missing=contender.missing,
            one_core=True,
        )
        for contender in (OURS, *(peer for peer in PEERS if peer.name in COLLECT_NAMES))
    ),
)
