"""Where the figures come from: machine, Python, commit."""

from __future__ import annotations

import datetime as dt
import heapq
import os
import platform
import random
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMIT_VARIABLE = "JOBQUEUE_BENCH_COMMIT"  # what was built, where it is not this tree


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def commit() -> str:
    """Short hash of the measured commit, with a plus sign if sources differ from it."""
    told = os.environ.get(COMMIT_VARIABLE)
    if told:
        return told
    revision = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return revision + ("+" if git("status", "--porcelain", "--", "src", "setup.py") else "")


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def python_build() -> str:
    """Version and how it was optimised: it moves pure-Python peers by 12 to 25 %."""
    version = f"{platform.python_implementation()} {platform.python_version()}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        version += " free-threaded"
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return f"{version}, profile-guided build"
    if sys.base_prefix == "/usr":
        return f"{version}, the distribution's build (Debian's are profile-guided)"
    return f"{version}, built without --enable-optimizations"


def calibration_ns() -> float:
    """Push and pop of 100 000 random pairs on a heapq, per element: how fast things are today."""
    rng = random.Random(7)
    items = [(rng.random(), number) for number in range(100_000)]
    best = float("inf")
    for _ in range(3):
        heap: list[tuple[float, int]] = []
        start = time.perf_counter_ns()
        for item in items:
            heapq.heappush(heap, item)
        while heap:
            heapq.heappop(heap)
        best = min(best, (time.perf_counter_ns() - start) / len(items))
    return best


def facts() -> dict[str, Any]:
    return {
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "python": python_build(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib(), 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "libc": "-".join(platform.libc_ver()),
        "calibration_ns": round(calibration_ns()),
    }


def versions(names: list[str]) -> dict[str, str]:
    """Installed versions of the peers."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
