"""Our engine as one would see it through a socket: its verbs, and what a server tells of a job."""

from typing import Any

from jobqueue import Controller
from jobqueue.testing.harness import ALL, Harness, JobRecord, Unavailable


class Remote(Harness):
    name = "remote"
    has = ALL - {"registry", "queues"}

    def open(self, **options: Any) -> Controller:
        return Controller(clock=self.clock, **options)

    def find(self, engine: Any, id: Any) -> JobRecord | None:
        record = engine.registry.record(id)
        if record is None:
            return None
        return JobRecord(record.job, record.state, record.attempts, record.fails, record.result)


class Forgetful(Remote):
    name = "forgetful"
    has = ALL - {"pause", "records"}


class Misspelt(Remote):
    has = frozenset({"batch"})


class Absent(Remote):
    name = "absent"

    def __init__(self) -> None:
        raise Unavailable("its server is not installed")


no_harness = 5
