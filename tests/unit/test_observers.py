"""Observers that are slow, that hang, and that raise: others do not wait for them, and nothing is
told twice or lost without a word."""

import os
import sys
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import ID, Controller, Job
from jobqueue.observing import BACKLOG_MAX, Event, EventKind
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues
from jobqueue.testing.waiting import Call, wait_until


class Gate:
    """An observer that hangs until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.told: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.told.append(event)
        self.reached.set()
        self.open.wait()


def added(events: list[Event]) -> Counter[ID]:
    return Counter(event.id for event in events if event.kind == EventKind.ADDED)


def rest(c: Controller) -> None:
    """Wait until all was told."""
    wait_until(lambda: c._observers is not None and c._observers.flush(1), "the observers")


# ---------------------------------------------------------------- hanging


def test_a_hanging_observer_holds_up_nobody_and_no_memory() -> None:
    """Verbs of others go on, timers fire, and no more than the backlog is kept."""
    gate = Gate()
    with Controller() as c:
        c.observe(gate)
        first = Call(c.add, Job("hung"))
        wait_until(gate.reached.is_set, "the observer")
        c.add(Job("short", ttl=1))
        wait_until(lambda: c.stats().evicted_jobs == 1, "the timer")
        total = BACKLOG_MAX + 5_000
        for _ in range(total // 500):
            c.add_many(jobs := [Job("a") for _ in range(500)])
            assert len(c.lease_many("a", 500, 0)) == 500
            assert c.delete_many(jobs) == 500
        assert c.stats().records == 1
        assert len(gate.told) == 1
        gate.open.set()
        first.outcome()
        rest(c)
        gaps = [event for event in gate.told if event.kind == EventKind.DROPPED]
        happened = 1 + 2 + 3 * (total // 500) * 500
        assert sum(event.dropped for event in gaps) == happened - (len(gate.told) - len(gaps))
        assert 0 < len(gaps) < 20
        assert len(gate.told) <= BACKLOG_MAX + 2_000
        for gap in gaps:
            assert (gap.name, gap.reason, bytes(gap.id)) == ("", None, bytes(16))
            assert gap.attempt == gap.dropped
        c.add(last := Job("a"))
        rest(c)
        assert gate.told[-1].id == last.id
        assert gate.told[-1].dropped == 0


def test_reasons_are_bounded_too() -> None:
    gate = Gate()
    with Controller() as c:
        c.observe(gate)
        job = Job("a", max_fails=255)
        first = Call(c.add, job)
        wait_until(gate.reached.is_set, "the observer")
        for i in range(200):
            c.fail(job, bytes([i]) * 2**20)
        gate.open.set()
        first.outcome()
        rest(c)
        reasons = [event for event in gate.told if event.kind == EventKind.FAILED]
        assert 60 < len(reasons) < 70
        assert sum(event.dropped for event in gate.told) == 200 - len(reasons)


def test_a_batch_is_told_whole_however_big() -> None:
    """What a call makes is bounded by what its caller holds."""
    count = BACKLOG_MAX + 30_000
    told: list[Event] = []
    with Controller() as c, c.observe(told.append):
        c.add_many(jobs := [Job("a") for _ in range(count)])
        rest(c)
        c.complete_many([(job, b"") for job in jobs])
        rest(c)
        c.delete_many(jobs)
        rest(c)
    assert Counter(event.kind for event in told) == {
        EventKind.ADDED: count,
        EventKind.COMPLETED: count,
        EventKind.DELETED: count,
    }


def test_a_refused_batch_leaves_the_backlog_as_it_was() -> None:
    gate = Gate()
    with Controller() as c:
        c.observe(gate)
        first = Call(c.add, twice := Job("a"))
        wait_until(gate.reached.is_set, "the observer")
        c.add_many([Job("a") for _ in range(BACKLOG_MAX - 2)])
        for _ in range(3):
            with pytest.raises(ValueError, match="item 5"):
                old = Job("a", created=ManualClock().now - timedelta(days=999))
                c.add_many([*[Job("a") for _ in range(5)], old])
        with pytest.raises(LookupError):
            c.delete(Job("a"))
        c.delete(twice)
        gate.open.set()
        first.outcome()
        rest(c)
        kinds = Counter(event.kind for event in gate.told)
        assert kinds == {EventKind.ADDED: BACKLOG_MAX - 1, EventKind.DELETED: 1}


# ---------------------------------------------------------------- slow


def test_a_verb_tells_for_a_slice_and_leaves_the_rest() -> None:
    """The observer holds up the adding thread only while it may; then another thread goes on."""
    threads: set[str] = set()
    told: list[Event] = []
    slow = threading.Event()

    def observe(event: Event) -> None:
        threads.add(threading.current_thread().name)
        told.append(event)
        slow.wait(0.002)

    with Controller() as c:
        c.observe(observe)
        c.add_many(jobs := [Job("a") for _ in range(400)])
        assert len(told) < 400, "the caller stood until all was told"
        c.add(after := Job("b"))
        slow.set()
        rest(c)
        assert [event.id for event in told] == [job.id for job in (*jobs, after)]
        assert threads == {threading.current_thread().name, "jobqueue-observers"}


def test_leaving_the_block_waits_until_all_was_told() -> None:
    told: list[Event] = []
    with Controller() as c:
        with c.observe(told.append):
            c.add_many(jobs := [Job("a") for _ in range(20_000)])
        assert [event.id for event in told] == [job.id for job in jobs]


def test_who_begins_later_hears_nothing_of_before() -> None:
    gate = Gate()
    told: list[Event] = []
    with Controller() as c:
        c.observe(gate)
        first = Call(c.add, Job("a"))
        wait_until(gate.reached.is_set, "the observer")
        c.add_many([Job("a") for _ in range(100)])
        c.observe(told.append)
        c.add(own := Job("a"))
        gate.open.set()
        first.outcome()
        rest(c)
        assert [event.id for event in told] == [own.id]
        assert len(gate.told) == 102


def test_the_thread_that_notifies_ends_with_its_controller() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "observers" in thread.name]

    slow = threading.Event()
    with Controller() as c:
        c.observe(lambda _: slow.wait(0.002))
        c.add_many([Job("a") for _ in range(50)])
        assert names()
        slow.set()
    wait_until(lambda: not names(), "the end of the thread")
    c = Controller()
    c.observe(lambda _: threading.Event().wait(0.002))
    c.add_many([Job("a") for _ in range(50)])
    rest(c)
    del c
    wait_until(lambda: not names(), "the end of the thread")


def test_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the verb tells the rest itself."""
    told: list[Event] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Controller() as c:
        c.observe(lambda event: (told.append(event), threading.Event().wait(0.002)))
        c.add(Job("a"))
        wait_until(lambda: any("timers" in thread.name for thread in threading.enumerate()))
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            c.add_many([Job("a") for _ in range(50)])
            assert len(told) == 51
        c.add_many([Job("a") for _ in range(50)])
        rest(c)
    assert len(told) == 101


def test_time_of_a_delete_is_when_it_was_done_not_told() -> None:
    clock = ManualClock()
    gate = Gate()
    with Controller(clock=clock) as c:
        c.observe(gate)
        first = Call(c.add, job := Job("a"))
        wait_until(gate.reached.is_set, "the observer")
        clock.advance(1000)
        c.delete(job)
        clock.advance(5000)
        gate.open.set()
        first.outcome()
        rest(c)
        assert [event.time - gate.told[0].time for event in gate.told] == [
            timedelta(0),
            timedelta(seconds=1),
        ]


# ---------------------------------------------------------------- raising


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_what_ends_a_program_costs_no_event(error: type[BaseException], queues: Any) -> None:
    """It reaches the caller; all observers are told of all events all the same."""
    one: list[Event] = []
    other: list[Event] = []

    def break_off(event: Event) -> None:
        one.append(event)
        if len(one) % 3 == 1:
            raise error

    clock = ManualClock()
    with Controller(clock=clock, queues=None if queues is None else queues()) as c:
        c.observe(break_off)
        c.observe(other.append)
        jobs = [Job("a") for _ in range(20)]
        raised = 0
        try:
            c.add_many(jobs)
        except error:
            raised += 1
        for _ in range(20):
            jobs.append(job := Job("b"))
            try:
                c.add(job)
            except error:  # it is in all the same
                raised += 1
        assert raised
        for _ in range(40):
            try:
                rest(c)
            except error:
                pass
        for told in (one, other):
            assert [event.id for event in told] == [job.id for job in jobs]
        c._check()


def test_the_thread_that_notifies_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[type] = []
    broken: list[Event] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: raised.append(what.exc_type))
    told: list[Event] = []

    def observe(event: Event) -> None:
        mine = threading.current_thread().name == "jobqueue-observers"
        if mine:
            broken.append(event)
        told.append(event)
        threading.Event().wait(0.002)
        if mine:
            raise SystemExit

    with Controller() as c:
        c.observe(observe)
        c.add_many(jobs := [Job("a") for _ in range(60)])
        wait_until(lambda: len(told) == 60, "all events")
        assert [event.id for event in told] == [job.id for job in jobs]
        wait_until(lambda: len(raised) == len(broken), "the reports")
    assert set(raised) == {SystemExit}


# ---------------------------------------------------------------- reentrance, forks


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_an_observer_may_call_every_verb(queues: Any) -> None:
    """Over foreign queues, too: it is told once the verb is whole."""
    told: list[Event] = []
    with Controller(queues=None if queues is None else queues(), clock=ManualClock()) as c:

        def work(event: Event) -> None:
            told.append(event)
            if event.kind == EventKind.ADDED:
                assert c.explain(event.id).ahead is not None
                c.start_attempt(event.id)
            elif event.kind == EventKind.LEASED:
                c.complete(event.id, b"seen")
                c.result(event.id, 0)
                c.names()
            elif event.kind == EventKind.COMPLETED:
                c.delete(event.id)

        with c.observe(work):
            c.add_many(jobs := [Job("a") for _ in range(5)])
        assert c.stats().records == 0
        assert c.jobs("a") == []
        for job in jobs:
            assert [event.kind for event in told if event.id == job.id] == [
                "added", "leased", "completed", "deleted",
            ]  # fmt: skip
        c._check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_within_an_observer() -> None:
    """The child goes on with its own events, and has nothing to let go of twice."""
    children: list[int] = []
    told: list[Event] = []
    with Controller(clock=ManualClock()) as c:

        def fork(event: Event) -> None:
            told.append(event)
            if not children:
                children.append(os.fork())
                if children[0] == 0:
                    del told[:]

        c.observe(fork)
        code = 1
        try:
            c.add_many([Job("a") for _ in range(3)])
            if children[0] == 0:
                c.add(last := Job("a"))
                code = 0 if [event.id for event in told] == [last.id] else 2
        finally:
            if children and children[0] == 0:
                os._exit(code)
        assert len(told) == 3
        _, status = os.waitpid(children[0], 0)
        assert os.waitstatus_to_exitcode(status) == 0
