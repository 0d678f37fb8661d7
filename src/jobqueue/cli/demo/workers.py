"""The run through the queue: worker threads, one that oversleeps, and one that samples the stats.

Invariant: no thread outlives ``run_through_queue``, however it ends: leaving the controller's block
closes the queue, which wakes every thread, and leaving the pool's block waits for them.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from jobqueue import (
    MAX_TIMEOUT,
    Attempt,
    ClosedError,
    Controller,
    Job,
    LeaseExpiredError,
    Stats,
    WaitTimeoutError,
)
from jobqueue.cli.demo.corpus import Source
from jobqueue.cli.demo.measure import Answer, answer

MAX_FAILS = 3  # tries of a file that does not parse
OVERSLEEPER_TTR = timedelta(milliseconds=200)
OVERSLEEPER_NAP = timedelta(milliseconds=600)
OVERSLEEPER_NAPS = 50  # on a machine that stands still, its lease ends late
SAMPLES = "demo.samples"  # queue of the scheduled jobs; no package of Python has a dot in its name
SAMPLE_INTERVAL = timedelta(milliseconds=200)
LOOK_INTERVAL = timedelta(milliseconds=100)  # how soon a worker that broke down is noticed

OnProgress = Callable[[int], None]  # is told how many files are done


@dataclass(slots=True)
class Tally:
    """What one worker counted."""

    answers: int = 0  # accepted ones
    refused: int = 0  # answers that came after the lease had ended
    failing: int = 0  # answers that said the file does not parse
    queue_ns: int = 0  # processor time spent on the queue rather than on files

    def __add__(self, other: "Tally") -> "Tally":
        """Sum of two tallies."""
        return Tally(
            self.answers + other.answers,
            self.refused + other.refused,
            self.failing + other.failing,
            self.queue_ns + other.queue_ns,
        )


@dataclass(slots=True)
class QueueRun:
    """What the run through the queue came to."""

    answers: dict[str, Answer]  # by the file's name
    tally: Tally
    stats: Stats  # at the end
    seconds: float  # from the first add to the last result
    samples: list[Stats] = field(repr=False)


def run_through_queue(
    sources: Sequence[Source], *, workers: int, rng: Random, on_progress: OnProgress
) -> QueueRun:
    """Measure the files by jobs.

    Args:
        sources: The files, at least one.
        workers: Threads that measure, at least two.
        rng: Chooses among the queues that have work.
        on_progress: Called from another thread with every sample.

    Raises:
        Exception: What broke a thread down.

    """
    samples: list[Stats] = []
    with ThreadPoolExecutor(workers + 1, "demo") as pool, Controller(rng=rng) as queue:
        started = time.perf_counter()
        began = time.thread_time_ns()
        jobs = {source.name: _job(source) for source in sources}
        queue.add_many(list(jobs.values()))
        adding = Tally(queue_ns=time.thread_time_ns() - began)

        names = sorted({source.queue for source in sources})
        holding = threading.Event()
        sleeper = pool.submit(_oversleep, queue, names, holding)
        while not holding.wait(LOOK_INTERVAL.total_seconds()):
            _raise_broken([sleeper])  # the others come later, or they might leave it no job
        sampler = pool.submit(_sample, queue, samples, on_progress)
        # The pool has a thread less than that: the last worker begins when the sleeper wakes.
        at_work = [pool.submit(_work, queue, names) for _ in range(workers)]
        threads: list[Future[Any]] = [sleeper, sampler, *at_work]

        answers = {name: _result(queue, job, threads) for name, job in jobs.items()}
        seconds = time.perf_counter() - started
        late = sleeper.result()
        stats = queue.stats()
    sampler.result()
    tally = sum((worker.result() for worker in at_work), adding + late)
    return QueueRun(answers, tally, stats, seconds, samples)


def _job(source: Source) -> Job:
    return Job(
        source.queue,
        os.fsencode(source.path),
        priority=min(source.size, 2**31 - 1),  # the longest first: no worker is left with it alone
        max_fails=MAX_FAILS,
    )


def _oversleep(queue: Controller, names: Sequence[str], holding: threading.Event) -> Tally:
    """Take one job, shorten its lease, sleep till well past its end, and answer all the same."""
    tally = Tally()
    try:
        with queue.attempt(names, 0) as attempt:
            attempt.touch(OVERSLEEPER_TTR)
            holding.set()
            for _ in range(OVERSLEEPER_NAPS):
                time.sleep(OVERSLEEPER_NAP.total_seconds())
                if queue.stats().timed_out:
                    break
            success = _give(attempt, answer(_path(attempt)))
        tally.answers += 1
        tally.failing += not success
    except LeaseExpiredError:
        tally.refused += 1
    return tally


def _work(queue: Controller, names: Sequence[str]) -> Tally:
    """Measure files until the queue is closed."""
    tally = Tally()
    began = time.thread_time_ns()
    measuring_ns = 0
    while True:
        try:
            with queue.attempt(names, MAX_TIMEOUT) as attempt:
                measuring = time.thread_time_ns()
                outcome = answer(_path(attempt))
                measuring_ns += time.thread_time_ns() - measuring
                success = _give(attempt, outcome)
            tally.answers += 1
            tally.failing += not success
        except LeaseExpiredError:
            tally.refused += 1
        except ClosedError:
            tally.queue_ns = time.thread_time_ns() - began - measuring_ns
            return tally


def _path(attempt: Attempt) -> Path:
    return Path(os.fsdecode(attempt.job.payload))


def _give(attempt: Attempt, outcome: Answer) -> bool:
    if outcome.success:
        attempt.complete(outcome.text)
    else:
        attempt.fail(outcome.text)
    return outcome.success


def _sample(queue: Controller, samples: list[Stats], on_progress: OnProgress) -> None:
    """Schedule one job after another, each due an interval later, and take the stats at each."""
    due = datetime.now(UTC)
    while True:
        due += SAMPLE_INTERVAL
        try:
            queue.schedule(Job(SAMPLES, time=due))
            with queue.attempt(SAMPLES, MAX_TIMEOUT):
                stats = queue.stats()
                on_progress(stats.completed + stats.failed - len(samples))
                samples.append(stats)
        except ClosedError:
            return


def _result(queue: Controller, job: Job, threads: Sequence[Future[Any]]) -> Answer:
    while True:
        try:
            result = queue.result(job, LOOK_INTERVAL)
        except WaitTimeoutError:
            _raise_broken(threads)
        else:
            return Answer(result.success, result.result)


def _raise_broken(threads: Sequence[Future[Any]]) -> None:
    for thread in threads:
        if thread.done():
            thread.result()
