"""Scheduled reminders, with a worker whose test takes no time.

    python -m examples.reminders 'in 5 seconds'

A reminder is a job with a time. If it cannot be delivered it is tried again, later each time.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from jobqueue import Controller, Job
from jobqueue.worker import Attempt, Retry, Worker


class Reminders:
    """Says what it was told to say, when it was told to."""

    def __init__(self, queue: Controller, deliver: Callable[[str], object]) -> None:
        self.queue = queue
        self.worker = Worker(queue, concurrency=1)
        retry = Retry(first=60_000, factor=2, jitter=0)

        @self.worker.handler("reminder", retry=retry)
        def remind(attempt: Attempt) -> None:
            deliver(attempt.job.payload.decode())

    def remind(self, text: str, at: datetime) -> Job:
        """Schedule a reminder; up to 5 attempts."""
        job = Job("reminder", text.encode(), time=at, max_fails=5)
        self.queue.schedule(job)
        return job


def main(text: str) -> None:
    """Remind of it in 5 seconds."""
    with Controller() as queue:
        reminders = Reminders(queue, print)
        job = reminders.remind(text, datetime.now(UTC) + timedelta(seconds=5))
        with reminders.worker:
            queue.result(job, timeout=60_000)


if __name__ == "__main__":
    main(sys.argv[1])
