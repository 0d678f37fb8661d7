"""Runs everything and writes docs/performance.md with its plots: python -m benchmarks.report.

Options: --quick (few rounds, to see that it works; writes nothing into the repository unless --out
says where), --only SECTION, --also PYTHON (measure the headline there too), --render (write the
page again from benchmarks/results/last.json).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import child, machine, render, targets
from benchmarks.case import Case, Probe
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.machine import ROOT
from benchmarks.macro import depth
from benchmarks.measure import interleaved, latency_figures, paired_ratio, percentile, quantiles
from benchmarks.registry import CASES, PROBES, group
from benchmarks.trees import HERE, install

RESULTS = ROOT / "benchmarks" / "results"
DEBIAN_PYTHON = "/usr/bin/python3"
PEER_PACKAGES = ("huey", "dramatiq", "kombu", "persist-queue", "sortedcontainers", "greenstalk")
CORES = {"any_core": "all cores", "one_core": "one core"}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def rows_of(cases: Sequence[Case], rounds: int, base: str | None = None) -> list[dict[str, Any]]:
    """Times cases in turn; a row each, with the ratio over `base` where one is named."""
    results = interleaved(cases, rounds)
    rows = []
    for case in cases:
        one = results[case.name]
        low, high = one.quartiles
        row = {
            "case": case.name,
            "name": case.engine,
            "title": case.title or case.name,
            "lacks": case.lacks,
            "best": case.best,
            "ns": one.median,
            "low": low,
            "high": high,
        }
        if base is not None:
            row["over_ours"] = paired_ratio(one.ns, results[base].ns)
        rows.append(row)
    return rows


class Run:
    """One run: each section is a method that returns its figures."""

    def __init__(self, *, quick: bool, other_pythons: Sequence[str]) -> None:
        self.quick = quick
        self.other = other_pythons

    def rounds(self, full: int) -> int:
        return min(full, 3) if self.quick else full

    def targets(self) -> list[dict[str, Any]]:
        names = ("cycle", "import") if self.quick else tuple(targets.TARGETS)
        return [targets.as_json(one) for one in targets.measured(names, say)]

    def other_pythons(self) -> list[dict[str, Any]]:
        """The headline on another interpreter, in an environment of its own."""
        found = []
        for python in self.other:
            say(f"building for {python}")
            with tempfile.TemporaryDirectory(prefix="other-python-") as scratch:
                side = install(HERE, Path(scratch) / "side", python, peer_requirements())
                only = ("--only=cycle", "--only=library", "--json")
                found.append(json.loads(side.run("benchmarks.targets", *only).splitlines()[-1]))
        return found

    def cycle(self) -> list[dict[str, Any]]:
        return rows_of(group("cycle"), self.rounds(31), base="cycle/jobqueue")

    def job(self) -> list[dict[str, Any]]:
        return rows_of(group("job"), self.rounds(31))

    def call(self) -> list[dict[str, Any]]:
        return rows_of(group("call"), self.rounds(31))

    def batch(self) -> dict[str, dict[str, float]]:
        """By kind of call: nanoseconds a job by verb."""
        results = interleaved(group("batch"), self.rounds(31))
        return {
            one.case.title: {
                verb: percentile([output[verb] for output in one.outputs], 50)
                for verb in one.outputs[0]
            }
            for one in results.values()
        }

    def structure(self) -> list[dict[str, Any]]:
        return rows_of(group("structure"), self.rounds(15))

    def depth(self) -> list[dict[str, Any]]:
        curves = []
        for contender in CONTENDERS:
            if contender is not OURS and contender.name not in depth.PEER_NAMES:
                continue
            depths = list(depth.DEPTHS if contender is OURS else depth.PEER_DEPTHS)
            if self.quick:
                depths = depths[:2]
            for order in depth.ORDERS:
                if contender.missing() is None:
                    say(f"depth: {contender.name}, {order}")
                    options = {"engine": contender.name, "order": order, "depths": depths}
                    rounds = self.rounds(25)
                    figures = child.observe_middle("depth/curve", "ratio", **options, rounds=rounds)
                    curves.append({**options, "title": contender.title, **figures})
        return curves

    def threads(self) -> list[dict[str, Any]]:
        return rows_of(group("threads"), self.rounds(7))

    def handoff(self) -> list[dict[str, Any]]:
        cases = group("handoff")
        results = interleaved(cases, self.rounds(15))
        rows = []
        for case in cases:
            samples = [sample for output in results[case.name].outputs for sample in output]
            rows.append(
                {
                    "engine": case.engine,
                    "title": case.title,
                    "cores": CORES[case.name.split("/")[1]],
                    **latency_figures(samples),
                    "tail": quantiles(samples),
                }
            )
        return rows

    def timer(self) -> list[dict[str, Any]]:
        return rows_of(group("timer"), self.rounds(15))

    def mixed(self) -> list[dict[str, Any]]:
        return rows_of(group("mixed"), self.rounds(15))

    def lateness(self) -> list[dict[str, Any]]:
        return self.observed("lateness", pending=10_000, count=200)

    def collect(self) -> list[dict[str, Any]]:
        return self.observed("collect", count=10_000)

    def imports(self) -> list[dict[str, Any]]:
        return self.observed("import", rounds=3)

    def memory(self) -> dict[str, Any]:
        rows = self.observed("memory", count=2_000)
        return {row["engine"]: {"bytes": row["bytes"], "jobs": row["jobs"]} for row in rows}

    def idle(self) -> float:
        options = {"pending": 10_000, "seconds": 1.0} if self.quick else {"seconds": 10.0}
        return float(child.observe("idle/jobqueue", **options)["percent"])

    def observed(self, prefix: str, **quick_options: Any) -> list[dict[str, Any]]:
        """The probes of a group, each in a fresh process."""
        rows = []
        for probe in PROBES.values():
            if probe.group == prefix and probe.missing() is None:
                say(probe.name)
                figures = child.observe(probe.name, **(quick_options if self.quick else {}))
                rows.append({"engine": probe.engine, "title": probe.title, **figures})
        return rows

    def sections(self) -> dict[str, Callable[[], Any]]:
        names = (
            "targets",
            "other_pythons",
            "cycle",
            "job",
            "call",
            "batch",
            "structure",
            "depth",
            "threads",
            "handoff",
            "timer",
            "lateness",
            "idle",
            "memory",
            "collect",
            "mixed",
        )
        return {**{name: getattr(self, name) for name in names}, "import": self.imports}


def missing() -> dict[str, str]:
    """What cannot run here, and why."""
    found: dict[str, str] = {}
    entries: list[Case | Probe] = [*CASES.values(), *PROBES.values()]
    for entry in entries:
        reason = entry.missing()
        if reason:
            found.setdefault(entry.title or entry.name, reason)
    return found


def peer_requirements() -> tuple[str, ...]:
    """The pinned peers of the dependency group `bench`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project.get("dependency-groups", {}).get("bench", [])
    return tuple(one for one in wanted if isinstance(one, str) and one.startswith(PEER_PACKAGES))


def other_interpreters(named: Sequence[str] | None) -> list[str]:
    """Debian's own Python, unless it is the one that runs, or others were named."""
    if named is not None:
        return [python for python in named if python != "none"]
    is_other = Path(DEBIAN_PYTHON).exists() and sys.base_prefix != "/usr"
    return [DEBIAN_PYTHON] if is_other else []


def history_line(figures: dict[str, Any]) -> str:
    """What is worth comparing over time, on one line."""
    line = {
        **figures["facts"],
        "targets": {one["name"]: one["figure"] for one in figures["targets"]},
        "cycle_ns": {row["name"]: round(row["ns"], 1) for row in figures["cycle"]},
        "call_ns": {row["name"]: round(row["ns"], 1) for row in figures["call"]},
    }
    return json.dumps(line, sort_keys=True)


def save(figures: dict[str, Any], results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    (results / "last.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write(figures: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "performance.md").write_text(render.document(figures), encoding="utf-8")
    render.draw(figures, out / "plots")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure everything and write the report.")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it works")
    parser.add_argument("--out", type=Path, help="folder to write to instead of docs/")
    parser.add_argument("--also", action="append", metavar="PYTHON", help="or 'none'")
    parser.add_argument(
        "--only",
        action="append",
        metavar="SECTION",
        help="measure these again, and take the rest from the last run",
    )
    parser.add_argument("--render", action="store_true", help="write the page again")
    options = parser.parse_args(arguments)
    if options.quick and options.out is None:
        options.out = Path(tempfile.mkdtemp(prefix="performance-"))
    out: Path = options.out or ROOT / "docs"
    results: Path = options.out or RESULTS
    last = results / "last.json"
    figures: dict[str, Any] = {}
    if options.render or options.only:
        figures = json.loads(last.read_text(encoding="utf-8"))
    if not options.render:
        run = Run(quick=options.quick, other_pythons=other_interpreters(options.also))
        figures["facts"] = machine.facts()
        figures["versions"] = machine.versions([*PEER_PACKAGES, "cython"])
        figures["missing"] = missing()
        sections = run.sections()
        for name in options.only or sections:
            say(f"section {name}")
            figures[name] = sections[name]()
            save(figures, results)  # so that --only can go on from here after a failure
        if not options.only:
            results.mkdir(parents=True, exist_ok=True)
            with (results / "history.jsonl").open("a", encoding="utf-8") as history:
                history.write(history_line(figures) + "\n")
    write(figures, out)
    say(f"wrote {out / 'performance.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
