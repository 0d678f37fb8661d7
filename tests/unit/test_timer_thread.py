"""The timer thread: one a controller, asleep until the next deadline, on the system clock."""

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobqueue import ID, Controller, Job, RunResult, State, WaitTimeoutError
from jobqueue._engine.timer_thread import TimerThread
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until

MS = timedelta(milliseconds=1)


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "jobqueue" in thread.name]


def test_started_with_the_first_timer() -> None:
    with Controller() as c:
        assert timer_threads() == []
        c.add(Job("a"))
        wait_until(lambda: len(timer_threads()) == 1)
        (thread,) = timer_threads()
        assert thread.daemon
        for _ in range(500):
            c.add(Job("a"))
        c.lease_many("a", 500, 0)
        assert timer_threads() == [thread]


@pytest.mark.parametrize("ms", [1, 20, 150])
def test_ttl_fires_unasked_and_never_early(ms: int) -> None:
    with Controller() as c:
        fired = threading.Event()
        times = []

        def note(id: object) -> None:
            times.append(time.monotonic_ns())
            fired.set()

        c.handle_expire(note)
        before = time.monotonic_ns()
        c.add(Job("a", ttl=ms))
        wait_until(fired.is_set, "the TTL")
        assert times[0] - before >= ms * 10**6


def test_ttr_fires_unasked() -> None:
    with Controller() as c:
        job = Job("a", ttr=20)
        c.add(job)
        c.lease("a", 0)
        record = c.registry.record(job.id)
        wait_until(lambda: record.state is State.PENDING, "the TTR")
        assert c.stats().timed_out == 1


def test_a_scheduled_job_wakes_a_blocked_leaser() -> None:
    with Controller() as c:
        job = Job("a", time=datetime.now(UTC) + 50 * MS)
        c.schedule(job)
        assert c.lease("a", 20_000) == job
        assert datetime.now(UTC) >= job.time


def test_an_earlier_deadline_overtakes() -> None:
    """The thread sleeps towards a far deadline; a nearer one wakes it."""
    with Controller() as c:
        c.add(Job("a", ttl=3_600_000, priority=-1))
        wait_until(lambda: len(timer_threads()) == 1)
        c.add(Job("a", ttl=10))
        wait_until(lambda: c.stats().evicted_jobs == 1, "the near deadline")


def test_a_lease_never_returns_an_expired_job() -> None:
    """Even if the timer thread has not come to it: the lease fires what is due itself."""
    with Controller() as c:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(5)  # the timer thread hardly gets a turn
        try:
            for _ in range(50):
                job = Job("a", ttl=1)
                c.add(job)
                end = time.monotonic_ns() + 1_200_000
                while time.monotonic_ns() < end:
                    pass
                with pytest.raises(WaitTimeoutError):
                    c.lease("a", 0)
        finally:
            sys.setswitchinterval(interval)


def test_waits_last_as_long_as_they_should() -> None:
    with Controller() as c:
        job = Job("b")
        c.add(job)
        for call in (
            lambda: c.lease("a", 30),
            lambda: c.result(job, timedelta(milliseconds=30)),
            lambda: c.run(Job("a"), 30),
            lambda: c.lease_many("a", 2, 30),
        ):
            before = time.monotonic_ns()
            with pytest.raises(WaitTimeoutError):
                call()
            assert time.monotonic_ns() - before >= 30 * 10**6


def test_a_run_ends_at_its_ttr() -> None:
    with Controller() as c:
        job = Job("a", ttr=40)
        call = Call(c.run, job, 60_000)
        wait_until(lambda: job.id in c.registry)
        c.lease("a", 1000)
        with pytest.raises(WaitTimeoutError):
            call.outcome()
        assert job.id not in c.registry


def test_a_run_goes_on_after_its_timeout_while_leased() -> None:
    with Controller() as c:
        job = Job("a", ttr=20_000)
        worker = Call(c.lease, "a", 20_000)
        wait_until(lambda: c.stats().waiting == 1)
        call = Call(c.run, job, 10)
        assert worker.outcome() == job
        threading.Event().wait(0.05)  # past its timeout; nothing to wait for: it must go on
        c.complete(job, b"late")
        assert call.outcome() == RunResult(True, b"late")


def test_a_hook_that_raises_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    with Controller() as c:
        expire = c.expire_func()

        def broken(id: object) -> None:
            expire(id)
            raise RuntimeError("hook")

        c.handle_expire(broken)
        c.add(Job("a", ttl=1))
        wait_until(lambda: len(caught) == 1)
        c.add(Job("a", ttl=1))
        wait_until(lambda: len(caught) == 2)
        assert [type(error) for error in caught] == [RuntimeError] * 2
        wait_until(lambda: c.stats().evicted_jobs == 2)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("early", [True, False], ids=["before the hook", "within the hook"])
def test_a_close_that_comes_between_is_no_error_of_the_hook(
    foreign: bool, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has begun with a job that is due; when it comes to the hook, all is closed."""
    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    begun = threading.Event()

    class Met(Controller):
        def meet(self) -> None:
            begun.set()
            wait_until(lambda: self.closed)

        def expire_func(self) -> Callable[[ID], object]:
            if early:
                self.meet()
            return super().expire_func()

    c = Met(queues=Queues() if foreign else None)

    def hook(id: ID) -> None:
        c.meet()
        c.expire(id)

    c.handle_expire(hook)
    c.add(Job("a", ttl=1))
    assert begun.wait(20)
    c.close()
    assert timer_threads() == []
    assert caught == []


def test_a_hook_that_closes_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_value))
    clock = ManualClock()
    c = Controller(clock=clock)
    jobs = [Job("a", ttl=10), Job("a", ttl=10)]
    told: list[ID] = []

    def hook(id: ID) -> None:
        told.append(id)
        c.close()
        c.expire(id)

    c.handle_expire(hook)
    c.add_many(jobs)
    clock.advance(10)
    assert len(told) == 1
    assert caught == []


def test_many_timers_all_fire() -> None:
    with Controller() as c:
        for n in range(2000):
            c.add(Job("a", ttl=1 + n % 100))
        wait_until(lambda: c.stats().evicted_jobs == 2000, "2000 timers")
        assert c.stats().records == 0


def test_two_controllers_two_threads() -> None:
    with Controller() as first, Controller() as second:
        first.add(Job("a", ttl=10))
        second.add(Job("a", ttl=10))
        wait_until(lambda: first.stats().evicted_jobs == second.stats().evicted_jobs == 1)


class Ended:
    """What a timer thread leaves at its first look."""

    def _tick(self) -> None:
        return None


def test_a_thread_that_has_not_begun_is_not_waited_for() -> None:
    TimerThread(Ended()).join()


def test_who_joins_during_the_start_waits_for_the_end() -> None:
    """As a worker that is stopped while its first handler starts the thread."""
    begun, go = threading.Event(), threading.Event()
    served = Ended()
    timer = TimerThread(served)
    start = timer._thread.start

    def slow() -> None:
        begun.set()
        assert go.wait(20)
        start()

    timer._thread.start = slow  # type: ignore[method-assign] # held up, to be met in the midst
    starter = Call(timer.start)
    assert begun.wait(20)
    joiner = Call(timer.join)
    go.set()
    starter.outcome()
    joiner.outcome()
    timer.join()
    assert not timer._thread.is_alive()
