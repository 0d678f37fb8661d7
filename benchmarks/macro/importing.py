"""Import time: fresh interpreters that import a module and ones that import nothing, in turn.

Byte code is there, as an installation leaves it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

from benchmarks.case import Probe
from benchmarks.contender import missing_module
from benchmarks.machine import ROOT

MODULES = ("jobqueue", "asyncio", "queue", "sortedcontainers", "huey", "dramatiq", "kombu")


def start_ms(code: str) -> float:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter_ns()
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT / "benchmarks", env=environment
    )
    return (time.perf_counter_ns() - start) / 1e6


def import_cost(module: str, rounds: int = 25) -> dict[str, Any]:
    """Milliseconds more than `python -c pass`: median over rounds."""
    importing = f"import {module}"
    start_ms(importing)
    bare, more = [], []
    for _ in range(rounds):
        nothing = start_ms("pass")
        bare.append(nothing)
        more.append(start_ms(importing) - nothing)
    return {"more_ms": statistics.median(more), "bare_ms": statistics.median(bare)}


PROBES = tuple(
    Probe(
        f"import/{module}",
        partial(import_cost, module),
        title=module,
        missing=partial(missing_module, module),
    )
    for module in MODULES
)
