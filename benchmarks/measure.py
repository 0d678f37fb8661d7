"""How a case is timed: interleaved rounds, one after the other for every contender.

A noisy machine slows neighbours in time alike, so a ratio is taken within a round (ours over the
floor of the same round) and its median over the rounds is what counts. The collector is off in the
timed part and runs between rounds: this favours the peers written in Python, whose objects it would
have to visit; jobqueue's it does not. Single-thread cases are pinned to one core.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.case import Case


@dataclass(slots=True)
class Rounds:
    """What the rounds of one case gave."""

    case: Case
    ns: list[float] = field(default_factory=list)  # nanoseconds an operation, one a round
    outputs: list[Any] = field(default_factory=list)  # what run() returned

    @property
    def median(self) -> float:
        return statistics.median(self.ns)

    @property
    def quartiles(self) -> tuple[float, float]:
        return percentile(self.ns, 25), percentile(self.ns, 75)


@contextmanager
def one_core(wanted: bool = True) -> Iterator[None]:
    """Pins this process to the last of its cores, where the system can do that."""
    if not wanted or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def collector_off() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def timed(case: Case, state: Any) -> tuple[float, Any]:
    """One round: nanoseconds an operation, and what the case returned."""
    run = case.run
    with one_core(case.one_core), collector_off():
        start = time.perf_counter_ns()
        output = run(state)
        end = time.perf_counter_ns()
    return (end - start) / case.operations, output


def interleaved(cases: Sequence[Case], rounds: int, warmup: int = 1) -> dict[str, Rounds]:
    """Times the cases in turn, `rounds` times; the first `warmup` turns are thrown away."""
    results = {case.name: Rounds(case) for case in cases}
    with collector_off():
        kept = {case.name: case.setup() for case in cases if not case.fresh}
    gc.collect()
    gc.freeze()  # what is kept is no garbage: collections between rounds need not visit it
    try:
        for number in range(warmup + rounds):
            for case in cases:
                state = case.setup() if case.fresh else kept[case.name]
                gc.collect()
                try:
                    ns, output = timed(case, state)
                finally:
                    if case.fresh:
                        case.teardown(state)
                del state
                if number >= warmup:
                    results[case.name].ns.append(ns)
                    results[case.name].outputs.append(output)
    finally:
        gc.unfreeze()
        for case in cases:
            if not case.fresh:
                case.teardown(kept.pop(case.name))
    return results


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie, interpolated."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def latency_figures(samples: Sequence[float], per: float = 1_000.0) -> dict[str, float]:
    """p50, p99, p99.9 and the greatest, divided by `per` (nanoseconds to microseconds)."""
    return {
        "p50": percentile(samples, 50) / per,
        "p99": percentile(samples, 99) / per,
        "p99.9": percentile(samples, 99.9) / per,
        "max": max(samples) / per,
    }


def quantiles(samples: Sequence[float], per: float = 1_000.0) -> list[tuple[float, float]]:
    """(share of samples that are slower, latency), for a plot of the tail."""
    ordered = sorted(samples, reverse=True)
    count = len(ordered)
    points: list[tuple[float, float]] = []
    rank = 1
    while rank <= count:
        points.append((rank / count, ordered[rank - 1] / per))
        rank = max(rank + 1, int(rank * 1.1))
    return points


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process (VmRSS)."""
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"no VmRSS for process {pid}")
