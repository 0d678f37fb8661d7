"""What the demo shows: a progress bar while it runs, a table or one JSON object at its end."""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jobqueue.cli.demo.verify import PlainRun
from jobqueue.cli.demo.workers import OnProgress, QueueRun
from jobqueue.cli.extra import MissingExtraError

DIFFERENCES_SHOWN = 20


@dataclass(slots=True)
class Summary:
    """The two runs and what is different between them (nothing, when all is well)."""

    run: QueueRun
    plain: PlainRun
    differences: list[str]

    @property
    def jobs(self) -> int:
        """Files that went through the queue."""
        return len(self.run.answers)

    @property
    def completed(self) -> int:
        """Files that were measured."""
        return sum(answer.success for answer in self.run.answers.values())

    @property
    def failed(self) -> int:
        """Files that ended failed, after all their tries."""
        return self.jobs - self.completed

    @property
    def retried(self) -> int:
        """Failing tries that were followed by another."""
        return self.run.tally.failing - self.failed

    @property
    def overhead_us(self) -> float:
        """Processor time the queue cost a job, from its creation to its last answer, in µs."""
        return self.run.tally.queue_ns / self.jobs / 1000

    @property
    def jobs_per_second(self) -> float:
        """Jobs by the time from the first add to the last result."""
        return self.jobs / self.run.seconds


class Screen:
    """Shows nothing: for ``--json`` and for tests."""

    @contextmanager
    def phase(self, title: str, files: int) -> Iterator[OnProgress]:  # noqa: ARG002 - it is for those who show something
        """Give a function to be told how many of the files are done."""
        yield lambda _done: None

    def show(self, summary: Summary) -> None:
        """Show what the runs came to."""


class RichScreen(Screen):
    """Shows a progress bar (on stderr) and a table (on stdout), with the rich package."""

    def __init__(self) -> None:
        """Load rich, or say how to get it."""
        try:
            import rich.console
            import rich.progress
        except ImportError:
            raise MissingExtraError("rich", "demo", "or use --json") from None
        self._bar_console = rich.console.Console(stderr=True)
        self._console = rich.console.Console()

    @contextmanager
    def phase(self, title: str, files: int) -> Iterator[OnProgress]:
        """Show a progress bar."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._bar_console) as progress:
            task = progress.add_task(title, total=files)
            yield lambda done: progress.update(task, completed=done)
            progress.update(task, completed=files)

    def show(self, summary: Summary) -> None:
        """Show the table, and the differences if there are any."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title="The standard library, through the queue", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for label, value in rows(summary):
            table.add_row(label, value)
        self._console.print(table)
        for difference in summary.differences[:DIFFERENCES_SHOWN]:
            self._console.print(f"[red]different[/red] {escape(difference)}", soft_wrap=True)
        if not summary.differences:
            self._console.print(
                f"All {summary.jobs} results are equal to those of a plain loop.", soft_wrap=True
            )


def rows(summary: Summary) -> list[tuple[str, str]]:
    """Give the table's labels and values."""
    run = summary.run
    return [
        ("jobs", f"{summary.jobs}"),
        ("completed", f"{summary.completed}"),
        ("failed", f"{summary.failed}"),
        ("failing tries that were retried", f"{summary.retried}"),
        ("timed out", f"{run.stats.timed_out}"),
        ("refused late answers", f"{run.tally.refused}"),
        ("samples of the stats, by scheduled jobs", f"{len(run.samples)}"),
        ("queue overhead per job", f"{summary.overhead_us:.1f} µs"),
        ("jobs per second", f"{summary.jobs_per_second:.0f}"),
        ("time through the queue", f"{run.seconds:.1f} s"),
        ("time in a plain loop", f"{summary.plain.seconds:.1f} s"),
        ("differences", f"{len(summary.differences)}"),
    ]


def as_json(summary: Summary, *, seed: int, workers: int) -> str:
    """Give the table, and what it takes to repeat the run, as one JSON object."""
    run = summary.run
    return json.dumps(
        {
            "python": platform.python_version(),
            "seed": seed,
            "workers": workers,
            "jobs": summary.jobs,
            "completed": summary.completed,
            "failed": summary.failed,
            "retried": summary.retried,
            "timed_out": run.stats.timed_out,
            "refused_late_answers": run.tally.refused,
            "samples": len(run.samples),
            "queue_overhead_us_per_job": round(summary.overhead_us, 2),
            "jobs_per_second": round(summary.jobs_per_second, 1),
            "queue_seconds": round(run.seconds, 3),
            "plain_seconds": round(summary.plain.seconds, 3),
            "failures": {
                name: answer.text.decode()
                for name, answer in run.answers.items()
                if not answer.success
            },
            "differences": summary.differences,
        },
        indent=2,
    )
