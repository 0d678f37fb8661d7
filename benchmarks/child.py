"""Runs one probe in a fresh process: python -m benchmarks.child NAME ['{"argument": 1}']."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.machine import ROOT


def observe(name: str, **arguments: Any) -> dict[str, Any]:
    """The probe's figures, measured in a process of its own.

    Raises:
        RuntimeError: the probe failed; the message is what it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.child", name, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"probe {name} failed:\n{done.stderr.strip()}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def observe_middle(name: str, figure: str, **arguments: Any) -> dict[str, Any]:
    """Of three processes the middle one by that figure, with the figure of each as "all".

    Where the system puts the memory of a process makes much of a difference where it is large: the
    same code, run again, may take twice as long with 10^7 jobs pending.
    """
    runs = sorted((observe(name, **arguments) for _ in range(3)), key=lambda run: run[figure])
    return runs[1] | {"all": [run[figure] for run in runs]}


def main(arguments: list[str]) -> int:
    from benchmarks import measure, registry

    probe = registry.PROBES[arguments[0]]
    options: dict[str, Any] = json.loads(arguments[1]) if len(arguments) > 1 else {}
    with measure.one_core(probe.one_core):
        print(json.dumps(probe.measure(**options)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
