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
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(WIDTH, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    # No software or date in the file: the same figures give the same bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def time_text(ns: float) -> str:
    """12 ns, 1.2 us, 120 us, 1.2 ms: two or three digits."""
    for unit, size in (("ns", 1.0), ("µs", 1e3), ("ms", 1e6)):
        value = ns / size
        if value < 999.5 or unit == "ms":
            return f"{value:.0f} {unit}" if value >= 99.5 or unit == "ns" else f"{value:.3g} {unit}"
    raise AssertionError("unreachable")


def cycle_bars(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One bar a contender: the whole life of one job."""
    figure, axes = new_axes(0.9 + 0.33 * len(rows))
    ordered = sorted(rows, key=lambda row: -row["ns"])
    colours = [
        COLOURS.get(row["name"], OTHER) if row["name"] in ("jobqueue", "floor") else OTHER
        for row in ordered
    ]
    axes.barh([row["title"] for row in ordered], [row["ns"] for row in ordered], color=colours)
    axes.set_xscale("log")
    for place, row in enumerate(ordered):
        axes.text(row["ns"] * 1.08, place, time_text(row["ns"]), va="center", fontsize=8)
    axes.set_xlim(right=max(row["ns"] for row in ordered) * 2.2)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("nanoseconds for the whole life of one job, one thread (log scale)")
    axes.tick_params(axis="y", labelsize=8, length=0)
    save(figure, path)


def depth_lines(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Log-log: cost of a cycle over the number of pending jobs."""
    figure, axes = new_axes()
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
    axes.set_xlabel("jobs pending")
    axes.set_ylabel("nanoseconds a cycle")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, path)


def tail_lines(
    series: Sequence[Mapping[str, Any]], path: Path, label: str, limit: float | None = None
) -> None:
    """Log-log: share of samples slower than a latency."""
    figure, axes = new_axes()
    for one in series:
        shares = [share for share, _ in one["tail"]]
        values = [value for _, value in one["tail"]]
        axes.plot(
            values,
            shares,
            color=COLOURS.get(one["engine"], OTHER),
            linestyle=one.get("style", "-"),
            linewidth=2 if one["engine"] in ("jobqueue", "expiry") else 1.3,
            label=one["title"],
        )
    if limit is not None:
        axes.axvline(limit, color="#333333", linewidth=0.8, linestyle=":")
        axes.text(limit * 1.05, 0.5, "target p99", fontsize=8)
    axes.axhline(0.01, color="#bbbbbb", linewidth=0.8)
    axes.text(axes.get_xlim()[0], 0.0105, " 1 in 100 is slower", fontsize=7, color="#777777")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("share of samples that take longer")
    axes.legend(fontsize=8, frameon=False)
    save(figure, path)
