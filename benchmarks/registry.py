"""All cases and probes by name."""

from __future__ import annotations

from benchmarks.case import Case, Probe
from benchmarks.macro import (
    aio,
    depth,
    durable,
    handoff,
    importing,
    memory,
    mixed,
    others,
    threads,
    timers,
    workers,
)
from benchmarks.micro import batches, calls, cycle, structures

MICRO: tuple[Case, ...] = (*cycle.CASES, *calls.CASES, *batches.CASES, *structures.CASES)
MACRO: tuple[Case, ...] = (
    *depth.CASES,
    *threads.CASES,
    *handoff.CASES,
    *timers.CASES,
    *mixed.CASES,
    *aio.CASES,
    *workers.CASES,
    *durable.CASES,
)
CASES: dict[str, Case] = {case.name: case for case in (*MICRO, *MACRO)}
PROBES: dict[str, Probe] = {
    probe.name: probe
    for module in (depth, timers, memory, importing, durable, others)
    for probe in module.PROBES
}


def group(prefix: str) -> list[Case]:
    """The cases of a group that can run here."""
    return [
        case
        for case in CASES.values()
        if case.name.startswith(f"{prefix}/") and case.missing() is None
    ]
