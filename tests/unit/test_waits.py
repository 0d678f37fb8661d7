"""Waits that are begun and ended without a thread, as whoever sleeps in another way does it."""

from jobqueue import Controller, Job
from jobqueue.testing import ManualClock


def test_an_answer_outlives_what_comes_before_it_is_fetched() -> None:
    with Controller(clock=ManualClock()) as c:
        c.add(job := Job("a"))
        waiter = c.result_begin(job, 1000, lambda _: None)
        c.fail(job, b"the reason")
        c.kick(job)
        c.delete(job)
        assert c.wait_finish(waiter, job, 1000) == (False, b"the reason")
