"""The pictures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = {
    "jobqueue": "#0b6e4f",
    "floor": "#8a8a8a",
    "lock": "#8a8a8a",
    "by_hand": "#d1495b",
    "priority_queue": "#3066be",
    "simple_queue": "#edae49",
    "sorted_list": "#8f5aa8",
    "asyncio": "#3066be",
    "expiry": "#0b6e4f",
    "scheduled": "#58a68a",
}
OTHER = "#9db4c0"
WIDTH, HEIGHT = 8.0, 4.8  # inches


def new_axes(height: float = HEIGHT) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No software or date in the file: the same figures give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})


def time_text(ns: float) -> str:
    """12 ns, 1.2 us, 120 us, 1.2 ms: two or three digits."""
    unit, size = ("ns", 1.0) if ns < 999.5 else ("µs", 1e3) if ns < 999.5e3 else ("ms", 1e6)
    value = ns / size
    return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.3g} {unit}"


def time_axis(axis: Any, unit: float = 1.0, marks: Sequence[float] = (1.0,)) -> None:
    """A log axis whose marks in each decade read as times; `unit` is nanoseconds a step."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(subs=marks))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: time_text(value * unit)))
    axis.set_minor_formatter(ticker.NullFormatter())


def cycle_bars(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One bar a contender: the whole life of one job."""
    figure, axes = new_axes(0.9 + 0.33 * len(rows))
    ordered = sorted(rows, key=lambda row: -row["ns"])
    own = {name: COLOURS[name] for name in ("jobqueue", "floor")}
    axes.barh(
        [row["title"] for row in ordered],
        [row["ns"] for row in ordered],
        color=[own.get(row["name"], OTHER) for row in ordered],
    )
    axes.set_xscale("log")
    time_axis(axes.xaxis)
    for place, row in enumerate(ordered):
        axes.text(row["ns"] * 1.08, place, time_text(row["ns"]), va="center", fontsize=8)
    axes.set_xlim(right=max(row["ns"] for row in ordered) * 2.2)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("whole life of one job, one thread (log scale)")
    axes.tick_params(axis="y", labelsize=8, length=0)
    save(figure, path)


def depth_lines(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Log-log: cost of a cycle over the number of pending jobs."""
    figure, axes = new_axes(6.0)
    for curve in curves:
        axes.plot(
            curve["depths"],
            curve["ns"],
            color=COLOURS.get(curve["engine"], OTHER),
            linestyle="-" if curve["order"] == "random" else "--",
            marker="o",
            markersize=4,
            linewidth=2 if curve["engine"] == "jobqueue" else 1.3,
            label=f"{curve['title']}, {curve['order']}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    time_axis(axes.yaxis, marks=(1.0, 2.0, 5.0))
    axes.set_xlabel("jobs pending")
    axes.set_ylabel("one cycle")
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2, handlelength=3)
    save(figure, path)


def tail_lines(
    series: Sequence[Mapping[str, Any]], path: Path, label: str, unit: float, limit: float | None
) -> None:
    """Log-log: share of samples slower than a latency, which is in `unit` nanoseconds."""
    figure, axes = new_axes()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for one in series:
        axes.plot(
            [value for _, value in one["tail"]],
            [share for share, _ in one["tail"]],
            color=COLOURS.get(one["engine"], OTHER),
            linewidth=2 if one["engine"] in ("jobqueue", "expiry") else 1.3,
            label=one["title"],
        )
    if limit is not None:
        axes.axvline(limit, color="#333333", linewidth=0.8, linestyle=":")
        axes.text(limit * 1.05, 0.65, "target of p99", fontsize=8)
    for share, text in ((0.5, "p50"), (0.01, "p99"), (0.001, "p99.9")):
        if share > axes.get_ylim()[0]:
            axes.axhline(share, color="#bbbbbb", linewidth=0.8)
            place = axes.get_yaxis_transform()
            axes.text(0.005, share * 1.06, text, fontsize=8, color="#777777", transform=place)
    time_axis(axes.xaxis, unit)
    axes.set_xlabel(label)
    axes.set_ylabel("share of samples that take longer")
    axes.legend(fontsize=8, frameon=False)
    save(figure, path)
