"""A job that a foreign queue holds keeps its place there: the stamp in its key does not change."""

from jobqueue import Controller, Job, QueueController
from jobqueue.testing import ManualClock


class Raising:
    """Native queues, which raise once they have taken a job, and cannot delete it."""

    def __init__(self) -> None:
        self.native = QueueController()

    def __getattr__(self, name: str):
        return getattr(self.native, name)

    def add(self, job: Job) -> bool:
        self.native.add(job)
        raise OSError("after it was done")

    def delete(self, job: Job) -> bool:
        raise OSError("not now")


def test_a_job_that_stands_in_a_queue_keeps_its_stamp():
    """It went back to 0, so that the queue found its job no more, and its end took for ever."""
    queues = Raising()
    with Controller(clock=ManualClock(), queues=queues) as c:
        job = Job("a")
        for add in (c.add, lambda job: c.add_many([job])):
            try:
                add(job)
            except OSError:
                pass
            assert queues.native.exists(job)
            assert queues.native.delete(job)
            assert not queues.native.exists(job)
