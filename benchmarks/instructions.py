"""Instructions a job's life takes, by callgrind: repeatable on a noisy machine.

    python -m benchmarks.instructions [CASE ...] [--top N]

Each case runs twice under valgrind, once with twice the rounds; the difference is the cost of the
rounds alone. Instructions are not time (a cache miss costs hundreds), but they show where time goes
and whether a change did anything. Default: the whole cycle of jobqueue, the floor, and by hand.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import ROOT

DEFAULT = ("cycle/floor", "cycle/jobqueue", "cycle/by_hand")
ROUNDS = 2
LINE = re.compile(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*?)(?: \[.*\])?$")


def work(name: str, rounds: int) -> None:
    """What runs under valgrind."""
    from benchmarks.registry import CASES

    case = CASES[name]
    kept = None if case.fresh else case.setup()
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        state = case.setup() if case.fresh else kept
        case.run(state)


def counted(name: str, rounds: int) -> dict[str, int]:
    """Instructions by function, exclusive, and in all."""
    with tempfile.TemporaryDirectory(prefix="callgrind-") as scratch:
        out = Path(scratch) / "out"
        subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                "-q",
                sys.executable,
                "-m",
                "benchmarks.instructions",
                "--work",
                str(rounds),
                name,
            ],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        text = subprocess.check_output(
            ["callgrind_annotate", "--threshold=100", str(out)], text=True
        )
    totals: dict[str, int] = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            function = found[2].rpartition(":")[2]
            totals[function] = totals.get(function, 0) + int(found[1].replace(",", ""))
    return totals


def per_operation(name: str) -> dict[str, float]:
    """Instructions an operation by function."""
    from benchmarks.registry import CASES

    once, twice = counted(name, ROUNDS), counted(name, 2 * ROUNDS)
    operations = ROUNDS * CASES[name].operations
    return {key: (twice[key] - once.get(key, 0)) / operations for key in twice}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count instructions with callgrind.")
    parser.add_argument("cases", nargs="*", default=DEFAULT)
    parser.add_argument("--top", type=int, default=25, help="functions to show (25)")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.cases[0], options.work)
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is not installed", file=sys.stderr)
        return 1
    for name in options.cases:
        functions = per_operation(name)
        total = functions.pop("PROGRAM TOTALS", sum(functions.values()))
        print(f"{name}: {total:.0f} instructions an operation")
        for function in sorted(functions, key=lambda one: -functions[one])[: options.top]:
            if functions[function] >= 0.5:
                print(f"  {functions[function]:9.1f}  {function}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
