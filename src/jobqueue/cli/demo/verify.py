"""The check of the demo: the same files in a plain loop, without a queue, and the differences."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from jobqueue.cli.demo.corpus import Source
from jobqueue.cli.demo.measure import Answer, answer
from jobqueue.cli.demo.workers import MAX_FAILS, OnProgress, QueueRun

PROGRESS_EVERY = 20  # files


@dataclass(slots=True)
class PlainRun:
    """What the plain loop came to."""

    answers: dict[str, Answer]  # by the file's name
    seconds: float


def run_plainly(sources: Sequence[Source], *, on_progress: OnProgress) -> PlainRun:
    """Measure the files one after the other."""
    started = time.perf_counter()
    answers: dict[str, Answer] = {}
    for source in sources:
        answers[source.name] = answer(source.path)
        if len(answers) % PROGRESS_EVERY == 0:
            on_progress(len(answers))
    return PlainRun(answers, time.perf_counter() - started)


def find_differences(run: QueueRun, plain: PlainRun) -> list[str]:
    """Say what the queue did differently from the plain loop, or from what the demo set up."""
    differences = [
        f"{name}: {_shown(run.answers.get(name))} through the queue,"
        f" {_shown(plain.answers.get(name))} in a plain loop"
        for name in sorted(run.answers.keys() | plain.answers.keys())
        if run.answers.get(name) != plain.answers.get(name)
    ]
    broken = sum(not answer.success for answer in plain.answers.values())
    expected = (
        ("accepted answers", run.tally.answers, len(plain.answers) + broken * (MAX_FAILS - 1)),
        ("failing answers", run.tally.failing, broken * MAX_FAILS),
        ("refused late answers", run.tally.refused, run.stats.timed_out),
    )
    differences += [
        f"{what}: {count}, not {right}" for what, count, right in expected if count != right
    ]
    if not run.stats.timed_out:
        differences.append("the lease of the worker that overslept did not end")
    return differences


def _shown(outcome: Answer | None) -> str:
    if outcome is None:
        return "nothing"
    return f"{'completed' if outcome.success else 'failed'} {outcome.text.decode()}"
