"""Iterator and WorkQueue against plain lists, by random sequences of operations."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jobqueue import Controller, Inspector, Job, QueueController, WorkQueue
from jobqueue.testing import ManualClock

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOBS = [
    Job(
        "a",
        priority=n % 3,
        created=NOON + timedelta(seconds=n * 7 % 4),
        time=NOON + timedelta(seconds=n * 5 % 6),
    )
    for n in range(24)
]
SCHEDULED = [False, True]


def key_of(job: Job, scheduled: bool) -> tuple[int, ...]:
    ready = (-job.priority, job.created_ns, int.from_bytes(bytes(job.id)))
    return (job.time_ns, *ready) if scheduled else ready


class IteratorMachine(RuleBasedStateMachine):
    """One queue, one iterator over either order, and what they must show.

    `throughout` holds the jobs that were in the order since the walk began; a walk shows them all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue()
        self.held: dict[bool, set[Job]] = {False: set(), True: set()}
        self.restart(False)

    def order(self, scheduled: bool) -> list[Job]:
        return sorted(self.held[scheduled], key=lambda job: key_of(job, scheduled))

    def leave(self, job: Job, scheduled: bool) -> None:
        self.held[scheduled].discard(job)
        if scheduled == self.scheduled:
            self.throughout.discard(job)

    # ------------------------------------------------------------ the queue changes

    @rule(job=st.sampled_from(JOBS), scheduled=st.sampled_from(SCHEDULED))
    def add(self, job: Job, scheduled: bool) -> None:
        held = job in self.held[False] or job in self.held[True]
        added = self.queue.schedule(job) if scheduled else self.queue.add(job)
        assert added is not held
        if added:
            self.held[scheduled].add(job)

    @rule(job=st.sampled_from(JOBS))
    def delete(self, job: Job) -> None:
        held = job in self.held[False] or job in self.held[True]
        assert self.queue.delete(job) is held
        for scheduled in SCHEDULED:
            self.leave(job, scheduled)

    @rule(job=st.sampled_from(JOBS))
    def awake(self, job: Job) -> None:
        assert self.queue.awake(job) is (job in self.held[True])
        if job in self.held[True]:
            self.leave(job, True)
            self.held[False].add(job)

    @rule()
    def lease(self) -> None:
        expected = next(iter(self.order(False)), None)
        assert self.queue.lease() is expected
        if expected is not None:
            self.leave(expected, False)

    # ------------------------------------------------------------ the walk

    @rule(scheduled=st.sampled_from(SCHEDULED))
    def restart(self, scheduled: bool) -> None:
        self.scheduled = scheduled
        self.iterator = Inspector(self.queue).iterators()[scheduled]
        self.throughout = set(self.held[scheduled])
        self.shown: list[Job] = []
        self.passed: tuple[int, ...] | None = None  # key of the job it stands on
        self.ended = False

    def show(self, job: Job | None) -> None:
        """The walk has come to a job."""
        if job is None:
            self.ended = True
            return
        assert job in self.held[self.scheduled], "shows a job that is not there"
        assert job not in self.shown, "shows a job twice"
        self.shown.append(job)
        self.passed = key_of(job, self.scheduled)

    def expected_next(self) -> Job | None:
        return next(
            (
                job
                for job in self.order(self.scheduled)
                if self.passed is None or key_of(job, self.scheduled) > self.passed
            ),
            None,
        )

    @precondition(lambda self: not self.ended and self.shown)
    @rule()
    def next(self) -> None:
        expected = self.expected_next()
        job = self.iterator.next()
        assert job is expected
        self.show(job)
        assert self.iterator.current() is job

    @precondition(lambda self: not self.ended and not self.shown)
    @rule()
    def current(self) -> None:
        """The first to begin with: of when it was made, or of when it is first asked."""
        job = self.iterator.current()
        if job is not None and job in self.held[self.scheduled]:
            assert all(
                key_of(other, self.scheduled) >= key_of(job, self.scheduled)
                for other in self.throughout
            )
            self.show(job)
        else:
            self.restart(self.scheduled)

    @precondition(lambda self: not self.ended and self.shown)
    @rule(n=st.integers(0, 30))
    def seek(self, n: int) -> None:
        here = self.shown[-1]
        ahead = [
            job for job in self.order(self.scheduled) if key_of(job, self.scheduled) > self.passed
        ]
        found = self.iterator.seek(n)
        assert found is (n <= len(ahead))
        if n == 0 or not found:
            assert self.iterator.current() is here
            return
        job = self.iterator.current()
        assert job is ahead[n - 1]
        self.throughout -= set(ahead[: n - 1])  # skipped on request
        self.show(job)

    @precondition(lambda self: not self.ended and self.shown)
    @rule()
    def walk_to_the_end(self) -> None:
        here = self.shown[-1]
        expected = [
            job for job in self.order(self.scheduled) if key_of(job, self.scheduled) > self.passed
        ]
        rest = list(self.iterator)
        if rest[:1] == [here]:
            rest = rest[1:]  # iteration begins with the current job, unless it was yielded before
        assert rest == expected
        for job in [*rest, None]:
            self.show(job)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def agrees(self) -> None:
        self.queue._check()
        assert len(self.queue) == len(self.held[False]) + len(self.held[True])
        if self.ended:
            assert self.throughout <= set(self.shown), "skipped a job that was there throughout"

    def teardown(self) -> None:
        for scheduled, iterator in zip(SCHEDULED, Inspector(self.queue).iterators(), strict=True):
            assert list(iterator) == self.order(scheduled)


IteratorMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestIterator = IteratorMachine.TestCase


@given(data=st.data())
def test_a_postponed_job_is_not_shown_twice(data: st.DataObject) -> None:
    clock = ManualClock(NOON)
    queues = QueueController()
    with Controller(queues=queues, clock=clock) as controller:
        for n in range(6):
            controller.schedule(Job("a", time=NOON + timedelta(milliseconds=n * 10)))
        iterator = Inspector(queues.queue("a")).iterators()[True]
        throughout = set(controller.scheduled_jobs("a", 0, 100))
        shown: list[Job] = []
        for _ in range(data.draw(st.integers(0, 30))):
            step = data.draw(st.sampled_from(["next", "seek", "advance", "postpone", "schedule"]))
            if step == "next":
                shown.extend(itertools.islice(iterator, 1))
            elif step == "seek":
                ahead = data.draw(st.integers(1, 3))
                here = iterator.current()
                throughout.clear()  # skips on request
                if shown and shown[-1] is here and iterator.seek(ahead):
                    shown.extend(itertools.islice(iterator, 1))
            elif step == "advance":
                clock.advance(data.draw(st.integers(1, 30)))
            elif step == "schedule":
                delay = timedelta(milliseconds=data.draw(st.integers(1, 60)))
                controller.schedule(Job("a", time=clock.now + delay))
            elif controller.peek("a") is not None:
                job = controller.lease("a", 0)
                controller.release(job, data.draw(st.integers(1, 60)))
                throughout.discard(job)
            throughout &= set(controller.scheduled_jobs("a", 0, 100))
        shown.extend(iterator)
        assert len(shown) == len(set(shown)), "shows a job twice"
        assert throughout <= set(shown), "skips a job that was there throughout"
