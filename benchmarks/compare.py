"""Two commits on one machine: python -m benchmarks.compare BASE [HEAD] [--only GROUP ...].

Each is built in a temporary tree with a virtual environment of its own. Then processes of the two
take turns, so that what slows the machine slows both; the figure is the median over the turns of
head / base. HEAD may be `.`, this tree with its uncommitted changes (the default).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import interleaved, paired_ratio, percentile
from benchmarks.trees import HERE, Installed, install

GROUPS = (
    "cycle/jobqueue",
    "job/jobqueue",
    "call",
    "batch/100",
    "structure",
    "depth/fifo/100000",
    "depth/random/100000",
    "mixed",
)
ENGINES_LEFT_OUT = ("by_hand", "priority_queue", "sorted_list", "simple_queue", "floor")
NOISE = 0.05  # a change below this is not worth a word


def chosen(groups: Sequence[str]) -> list[str]:
    from benchmarks.registry import CASES

    return [
        case.name
        for case in CASES.values()
        if any(case.name == one or case.name.startswith(f"{one}/") for one in groups)
        and case.engine not in ENGINES_LEFT_OUT
        and case.missing() is None
    ]


def measure_here(groups: Sequence[str], rounds: int) -> dict[str, float]:
    """Median ns an operation of each case; one that this commit cannot do is left out."""
    from benchmarks.registry import CASES

    found: dict[str, float] = {}
    for name in chosen(groups):
        try:
            found[name] = interleaved([CASES[name]], rounds)[name].median
        except Exception as error:
            print(f"{name}: {error!r}", file=sys.stderr)
    return found


def compare(
    base: Installed, head: Installed, groups: Sequence[str], turns: int
) -> dict[str, list[float]]:
    """For each case, base and head in turn: [base, head, base, head, ...]."""
    series: dict[str, list[float]] = {}
    for turn in range(turns):
        print(f"turn {turn + 1} of {turns}", file=sys.stderr)
        # The one that goes first changes, in case the first is always the colder one.
        order = (base, head) if turn % 2 == 0 else (head, base)
        figures = {}
        for side in order:
            only = [f"--only={name}" for name in groups]
            output = side.run("benchmarks.compare", "--measure", *only, "-")
            figures[side is head] = json.loads(output.splitlines()[-1])
        for name in figures[False].keys() & figures[True].keys():
            series.setdefault(name, []).extend((figures[False][name], figures[True][name]))
    return series


def table(series: dict[str, list[float]], base: str, head: str) -> str:
    lines = [f"{'case':36} {base:>12} {head:>12}   ratio  middle half"]
    for name in sorted(series):
        before, after = series[name][0::2], series[name][1::2]
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        ratio, low, high = (
            paired_ratio(after, before),
            percentile(ratios, 25),
            percentile(ratios, 75),
        )
        sure = low > 1 + NOISE or high < 1 - NOISE
        verdict = ("slower" if ratio > 1 else "faster") if sure else ""
        lines.append(
            f"{name:36} {percentile(before, 50):9.1f} ns {percentile(after, 50):9.1f} ns "
            f"{ratio:7.3f}  {low:.3f} to {high:.3f}  {verdict}".rstrip()
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare two commits.")
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("head", nargs="?", default=HERE, help="default: this tree as it is")
    parser.add_argument("--only", action="append", metavar="GROUP", help="case or group of cases")
    parser.add_argument("--turns", type=int, default=7, help="processes of each (7)")
    parser.add_argument("--rounds", type=int, default=9, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    groups = options.only or GROUPS
    if options.measure:
        print(json.dumps(measure_here(groups, options.rounds)))
        return 0
    with tempfile.TemporaryDirectory(prefix="compare-") as scratch:
        folder = Path(scratch)
        print("building both", file=sys.stderr)
        base = install(options.base, folder / "base")
        head = install(options.head, folder / "head")
        series = compare(base, head, groups, options.turns)
    print(table(series, base.name, head.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
