"""What a contender has to offer so that the same measurements can be made of it.

A contender is one engine (ours, the floor, a peer) used at its best. It offers small functions that
do the work; the cases in micro/ and macro/ time them. So no work is written down twice.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.case import leave

NAME = "bench"  # the one queue of the single-queue cases
RESULT = b"done"  # what a completed job answers
TTR_MS = 30_000
PRIORITY = 1
STOP = b""  # the payload that ends a consumer


def missing_module(name: str) -> str | None:
    """Why a module cannot be imported, or None."""
    # kombu, once imported, has no __spec__, which find_spec does not forgive.
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return None
    return f"module {name} is not installed (dependency group 'bench')"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two one-way signals between two threads, for the hand-off."""

    give_ping: Callable[[], object]
    take_ping: Callable[[], object]
    give_pong: Callable[[], object]
    take_pong: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contender:
    """One engine and its ways of doing the work. What it cannot do stays None."""

    name: str  # last part of its case names
    title: str  # as the report prints it
    best: str  # how it is used at its best
    open: Callable[[], Any]  # a fresh engine
    close: Callable[[Any], object] = leave
    lacks: str = ""  # what it does not do
    needs: tuple[str, ...] = ()  # modules, and programs as "/name"
    acks: bool = False  # a library with priorities or acknowledgement
    # The whole life of one job for each payload, one after the other.
    cycle: Callable[[Any, Sequence[bytes]], object] | None = None
    cycle_operations: int = 1_000  # lives in one timed round
    # Adds a pending job for each pair.
    fill: Callable[[Any, Iterable[tuple[bytes, int]]], object] | None = None
    fill_count: int = 1_000_000  # jobs when memory is measured
    server_pid: Callable[[Any], int] | None = None  # the process that holds the jobs, if not this
    # For each pair: ends the life of the first job and adds one `step` below its priority.
    hold: Callable[[Any, Iterable[tuple[bytes, int]]], object] | None = None
    # Threads: add all; take until STOP and return how many.
    produce: Callable[[Any, Iterable[bytes]], object] | None = None
    consume: Callable[[Any], int] | None = None
    pair: Callable[[Any], Pair] | None = None

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        for need in self.needs:
            if not need.startswith("/"):
                reason = missing_module(need)
            else:
                reason = None if shutil.which(need[1:]) else f"{need[1:]} is not installed"
            if reason is not None:
                return reason
        return None
