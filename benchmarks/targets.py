"""The targets: one line each, and exit status 1 if any falls short.

    python -m benchmarks.targets [--only NAME ...] [--json] [--list]

Runs only what the targets need, in under five minutes. Ratios are medians of ratios taken within
interleaved rounds; see measure.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks import child, machine
from benchmarks.macro.handoff import handoff_case
from benchmarks.macro.threads import Shares, single_case, threads_case
from benchmarks.measure import Rounds, interleaved, paired_ratio, percentile
from benchmarks.registry import CASES

OURS = "cycle/jobqueue"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line: a figure and whether it keeps to its target."""

    name: str
    what: str
    figure: float | None  # None: could not be measured
    limit: float
    unit: str
    at_most: bool = True
    moonshot: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        if self.figure is None:
            return False
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit

    def line(self) -> str:
        figure = "  none" if self.figure is None else f"{self.figure:6.4g}"
        bound = "at most" if self.at_most else "at least"
        verdict = "holds" if self.holds else "FALLS SHORT"
        if self.holds and self.moonshot is not None and self.figure is not None:
            reached = self.figure <= self.moonshot
            verdict += f", moonshot {self.moonshot:g} {'too' if reached else 'not reached'}"
        note = f" ({self.note})" if self.note else ""
        return f"{self.name:19} {figure} {self.unit:5} {bound:8} {self.limit:5g}  {verdict}{note}"


def cycle_targets() -> list[Outcome]:
    """The whole cycle against the floor and against the same bookkeeping by hand."""
    names = ["cycle/floor", OURS, "cycle/by_hand"]
    rounds = interleaved([CASES[name] for name in names], rounds=81, warmup=3)
    floor, ours, by_hand = (rounds[name] for name in names)
    low, high = (
        percentile([a / b for a, b in zip(ours.ns, floor.ns, strict=True)], at) for at in (25, 75)
    )
    return [
        Outcome(
            "cycle_floor",
            "whole cycle over the floor",
            paired_ratio(ours.ns, floor.ns),
            2.2,
            "times",
            moonshot=1.6,
            note=f"{ours.median:.0f} over {floor.median:.0f} ns; half in {low:.2f} to {high:.2f}",
        ),
        Outcome(
            "cycle_by_hand",
            "heapq + dict by hand over the whole cycle",
            paired_ratio(by_hand.ns, ours.ns),
            5.0,
            "times",
            at_most=False,
            note=f"{by_hand.median:.0f} over {ours.median:.0f} ns",
        ),
    ]


def library_targets() -> list[Outcome]:
    """The whole cycle against the fastest library with priorities or acknowledgement."""
    from benchmarks.contenders import PEERS

    peers = [CASES[f"cycle/{peer.name}"] for peer in PEERS if peer.acks and not peer.missing()]
    what = "fastest library over the whole cycle"
    if not peers:
        note = "no peer is installed: dependency group 'bench'"
        return [Outcome("cycle_library", what, None, 30.0, "times", at_most=False, note=note)]
    rounds = interleaved([CASES[OURS], *peers], rounds=21, warmup=2)
    ratios = {case.name: paired_ratio(rounds[case.name].ns, rounds[OURS].ns) for case in peers}
    fastest = min(ratios, key=lambda name: ratios[name])
    note = f"{fastest.partition('/')[2]}, {rounds[fastest].median / 1_000:.1f} us"
    return [
        Outcome("cycle_library", what, ratios[fastest], 30.0, "times", at_most=False, note=note)
    ]


def batch_targets() -> list[Outcome]:
    """Batches of 100 over single calls, per job and verb."""
    single, batch = CASES["batch/single"], CASES["batch/100"]
    rounds = interleaved([single, batch], rounds=31, warmup=2)
    outcomes = []
    for verb in ("add", "lease", "complete"):
        one = [output[verb] for output in rounds[single.name].outputs]
        many = [output[verb] for output in rounds[batch.name].outputs]
        outcomes.append(
            Outcome(
                f"batch_{verb}",
                f"{verb}_many of 100 over single {verb}, per job",
                paired_ratio(many, one),
                0.6,
                "times",
                note=f"{percentile(many, 50):.0f} over {percentile(one, 50):.0f} ns",
            )
        )
    return outcomes


def depth_targets() -> list[Outcome]:
    """10^7 pending over 10^3 pending."""
    outcomes = []
    for order, limit in (("fifo", 1.5), ("random", 3.0)):
        figures = child.observe_middle("depth/curve", "ratio", order=order, rounds=31)
        shallow, deep = figures["ns"]
        each = ", ".join(f"{ratio:.2f}" for ratio in figures["all"])
        outcomes.append(
            Outcome(
                f"depth_{order}",
                f"cycle at 10^7 pending over 10^3, {order} priorities",
                figures["ratio"],
                limit,
                "times",
                note=f"{deep:.0f} over {shallow:.0f} ns; three processes: {each}",
            )
        )
    return outcomes


def memory_targets() -> list[Outcome]:
    figures = child.observe("memory/jobqueue")
    what = "resident bytes per pending job, 100-byte payload, everything included"
    return [Outcome("memory", what, figures["bytes"], 450, "bytes", moonshot=300)]


def timer_targets() -> list[Outcome]:
    """Native arm + cancel of the two timers of a job, as a share of the cycle."""
    what = "timer arm + cancel in the cycle"
    reason = CASES["timer/native"].missing()
    if reason:
        return [Outcome("timer_share", what, None, 15.0, "%", note=reason)]
    names = ["timer/native", "timer/native_empty", OURS]
    rounds = interleaved([CASES[name] for name in names], rounds=41, warmup=2)
    loop, empty, cycle = (rounds[name] for name in names)
    share = [100 * (a - b) / c for a, b, c in zip(loop.ns, empty.ns, cycle.ns, strict=True)]
    note = f"{loop.median - empty.median:.1f} of {cycle.median:.0f} ns"
    return [Outcome("timer_share", what, percentile(share, 50), 15.0, "%", note=note)]


def lateness_targets() -> list[Outcome]:
    """How late timers fire while a million others are pending, and what those cost when idle."""
    outcomes = []
    for kind in ("expiry", "scheduled"):
        figures = child.observe(f"lateness/{kind}")
        outcomes.append(
            Outcome(
                f"lateness_{kind}",
                f"p99 of lateness with 1 million timers pending, {kind}",
                figures["p99"],
                1.5,
                "ms",
                note=f"p50 {figures['p50']:.3f}, max {figures['max']:.3f} ms",
            )
        )
    idle = child.observe("idle/jobqueue")
    what = "processor time while idle with 1 million timers"
    return [*outcomes, Outcome("idle", what, idle["percent"], 0.1, "%")]


def handoff_targets() -> list[Outcome]:
    """p50 of the hand-off, on all cores and on one: the worse counts."""
    from benchmarks.contenders import LOCKS
    from benchmarks.contenders import OURS as JOBQUEUE
    from benchmarks.peers.standard_queues import SIMPLE_QUEUE

    ratios: dict[str, list[float]] = {"lock": [], "queue": []}
    notes: dict[str, list[str]] = {"lock": [], "queue": []}
    for cores, where in (("any_core", "all cores"), ("one_core", "one core")):
        cases = [handoff_case(one, cores) for one in (LOCKS, JOBQUEUE, SIMPLE_QUEUE)]
        rounds = interleaved(cases, rounds=15, warmup=1)
        lock, ours, queue = (
            [percentile(samples, 50) for samples in rounds[case.name].outputs] for case in cases
        )
        for rival, series in (("lock", lock), ("queue", queue)):
            ratios[rival].append(paired_ratio(ours, series))
            over = (
                f"{percentile(ours, 50) / 1_000:.1f} over {percentile(series, 50) / 1_000:.1f} us"
            )
            notes[rival].append(f"{where} {ratios[rival][-1]:.2f}: {over}")
    return [
        Outcome(
            f"handoff_{rival}", what, max(ratios[rival]), 1.5, "times", note="; ".join(notes[rival])
        )
        for rival, what in (
            ("lock", "p50 of the hand-off over a bare lock's"),
            ("queue", "p50 of the hand-off over queue.SimpleQueue's"),
        )
    ]


def thread_targets() -> list[Outcome]:
    """4 + 4 threads over one thread, and the smallest share a thread got."""
    from benchmarks.contenders import OURS as JOBQUEUE

    one, many = single_case(JOBQUEUE, 600_000), threads_case(JOBQUEUE, 4, 600_000)
    rounds = interleaved([one, many], rounds=9, warmup=1)
    shares: list[Shares] = rounds[many.name].outputs
    least = min(min(Shares.least(s.consumers), Shares.least(s.producers)) for s in shares)
    return [
        Outcome(
            "threads",
            "throughput of 4 producers + 4 consumers over one thread",
            paired_ratio(rounds[one.name].ns, rounds[many.name].ns),
            0.7,
            "times",
            at_most=False,
            note=f"{rounds[many.name].median:.0f} against {rounds[one.name].median:.0f} ns a cycle",
        ),
        Outcome(
            "threads_share",
            "least part a thread got, over a fair part (a tenth: starved)",
            least,
            0.1,
            "",
            at_most=False,
        ),
    ]


def aio_targets() -> list[Outcome]:
    """In one loop: the hand-off over asyncio.Queue's, the cycle over asyncio.PriorityQueue's."""
    names = ["aio/handoff/jobqueue", "aio/handoff/asyncio_queue"]
    rounds = interleaved([CASES[name] for name in names], rounds=15, warmup=1)
    ours, theirs = ([percentile(samples, 50) for samples in rounds[name].outputs] for name in names)
    note = f"{percentile(ours, 50) / 1_000:.1f} over {percentile(theirs, 50) / 1_000:.1f} us"
    what = "p50 of the hand-off between tasks over asyncio.Queue's"
    handoff = Outcome("aio_handoff", what, paired_ratio(ours, theirs), 1.5, "times", note=note)
    names = ["aio/cycle/jobqueue", "aio/cycle/asyncio_queue"]
    rounds = interleaved([CASES[name] for name in names], rounds=15, warmup=1)
    cycle, queue = (rounds[name] for name in names)
    what = "whole cycle, awaited, over put and get of asyncio.PriorityQueue"
    note = f"{cycle.median:.0f} over {queue.median:.0f} ns"
    ratio = paired_ratio(cycle.ns, queue.ns)
    return [handoff, Outcome("aio_cycle", what, ratio, 1.0, "times", note=note)]


def worker_targets() -> list[Outcome]:
    """What a worker adds to each job, over a loop by hand that leases and completes."""
    outcomes = []
    for kind, limit in (("threads", 5.0), ("tasks", 10.0)):
        names = [f"worker/{kind}/jobqueue", f"worker/{kind}/by_hand"]
        rounds = interleaved([CASES[name] for name in names], rounds=15, warmup=1)
        ours, by_hand = (rounds[name] for name in names)
        more = [(a - b) / 1_000 for a, b in zip(ours.ns, by_hand.ns, strict=True)]
        what = f"worker's overhead per job, {kind}"
        note = f"{ours.median:.0f} over {by_hand.median:.0f} ns"
        outcomes.append(
            Outcome(f"worker_{kind}", what, percentile(more, 50), limit, "us", note=note)
        )
    return outcomes


def collector_targets() -> list[Outcome]:
    figures = child.observe("collect/jobqueue")
    what = "gc.collect() with 1 million pending, more than with none"
    note = f"{figures['pending_ms']:.2f} and {figures['empty_ms']:.2f} ms"
    return [Outcome("collector", what, figures["more_ms"], 1.0, "ms", note=note)]


def import_targets() -> list[Outcome]:
    figures = child.observe("import/jobqueue")
    note = f"python -c pass takes {figures['bare_ms']:.1f} ms"
    what = "import jobqueue, more than python -c pass"
    return [Outcome("import", what, figures["more_ms"], 25.0, "ms", note=note)]


def durable_targets() -> list[Outcome]:
    """The command log: cycles under each sync, shared syncs, a start with a million jobs."""
    kinds = ("memory", "os", "interval", "always_1", "always_64", "waking_64", "slow_1", "slow_64")
    cases = [CASES[f"durable/{kind}"] for kind in kinds]
    rounds = list(interleaved(cases, rounds=9, warmup=1).values())
    memory, system, interval, alone, shared, waking, slow_alone, slow_shared = rounds
    started = child.observe("durable/start")

    bound = f"; threads at bare locks reach {paired_ratio(alone.ns, waking.ns):.1f}"

    def rate(
        name: str, what: str, over: Rounds, under: Rounds, limit: float, more: str = ""
    ) -> Outcome:
        note = f"{under.median / 1000:.3g} and {over.median / 1000:.3g} us a cycle{more}"
        ratio = paired_ratio(over.ns, under.ns)
        return Outcome(name, what, ratio, limit, "times", at_most=False, note=note)

    return [
        rate("durable_os", "cycle rate of sync=os over in memory", memory, system, 0.4),
        rate("durable_interval", "cycle rate of interval over os", system, interval, 0.9),
        rate("durable_always", "rate of always, 64 threads over one", alone, shared, 30, bound),
        rate(
            "durable_always_slow",
            "the same where a sync takes 2 ms more",
            slow_alone,
            slow_shared,
            30,
        ),
        Outcome(
            "durable_start",
            "start with 10^6 jobs over adding them in memory",
            started["ratio"],
            3.0,
            "times",
            note=f"{started['start']:.2f} over {started['add_memory']:.2f} s",
        ),
    ]


TARGETS: dict[str, Callable[[], list[Outcome]]] = {
    "cycle": cycle_targets,
    "library": library_targets,
    "batch": batch_targets,
    "depth": depth_targets,
    "memory": memory_targets,
    "timer": timer_targets,
    "lateness": lateness_targets,
    "handoff": handoff_targets,
    "threads": thread_targets,
    "aio": aio_targets,
    "workers": worker_targets,
    "durable": durable_targets,
    "collector": collector_targets,
    "import": import_targets,
}


def measured(names: Sequence[str], tell: Callable[[str], object]) -> list[Outcome]:
    """Runs the named groups of targets, and tells of each as it is found."""
    outcomes = []
    for name in names:
        for outcome in TARGETS[name]():
            tell(outcome.line())
            outcomes.append(outcome)
    return outcomes


def as_json(outcome: Outcome) -> dict[str, object]:
    return {**asdict(outcome), "holds": outcome.holds}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the targets.")
    parser.add_argument("--only", action="append", choices=TARGETS, help="run these alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="print the names for --only")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(TARGETS))
        return 0
    start, facts = time.monotonic(), machine.facts()
    if not options.json:
        print(" | ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    stream = sys.stderr if options.json else sys.stdout
    outcomes = measured(
        options.only or list(TARGETS), lambda line: print(line, file=stream, flush=True)
    )
    short = [outcome.name for outcome in outcomes if not outcome.holds]
    if options.json:
        print(json.dumps({"facts": facts, "targets": [as_json(one) for one in outcomes]}))
    else:
        took = time.monotonic() - start
        verdict = f"{len(short)} fall short: {', '.join(short)}" if short else "all hold"
        print(f"{len(outcomes)} targets, {verdict} ({took:.0f} s)")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
