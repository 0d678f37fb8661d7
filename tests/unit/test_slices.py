"""Nothing holds the others up without a bound: what is long pauses after a slice.

Counted are pauses, moves and jobs, never time.
"""

import gc
import os
import random
import threading
import weakref
from datetime import timedelta

import pytest

from jobqueue import (
    ClosedError,
    Controller,
    Job,
    NotFoundError,
    QueueFullError,
    Registry,
    RunRecord,
    WaitTimeoutError,
)
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until

SLICE = 4096 // 8
"""Transitions in a slice: SLICE_STEPS over TRANSITION_STEPS of types.pxd."""


class HandClock:
    """Time that stands still until a test moves it, and that drives nobody."""

    def __init__(self) -> None:
        self.ns = 10**18

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def pass_ms(self, ms: int) -> None:
        self.ns += ms * 10**6


class Untimed(Controller):
    """A controller without a timer thread, as if that were late: only verbs look at the time."""

    __slots__ = ()

    def _poke(self) -> None:
        pass


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("count", [4 * SLICE, 8 * SLICE])
def test_what_is_due_at_once_is_done_in_slices(count: int) -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        c.add_many([Job("a", ttl=1000) for _ in range(count)])
        before = c.registry._slices()
        clock.advance(1000)
        assert len(c.registry) == 0
        pauses = c.registry._slices() - before
        assert count // SLICE <= pauses <= 4 * count // SLICE  # each timer is also moved, in steps
        c._check()


def test_slices_keep_the_order_of_deadlines(rng: random.Random) -> None:
    clock = ManualClock()
    count = 3 * SLICE
    with Controller(clock=clock) as c:
        jobs = [Job("a", ttl=rng.randrange(1, 2000)) for _ in range(count)]
        told: list[Job] = []
        c.add_many(jobs)
        with c.observe(lambda event: told.append(event.id)):
            clock.advance(3000)
        assert told == [job.id for job in sorted(jobs, key=lambda job: job.ttl)]


@pytest.mark.parametrize("timers", [0, 5000])
def test_a_step_of_the_wall_clock_looks_at_no_timer_that_is_not_due(timers: int) -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        c.add_many([Job("ttl") for _ in range(timers)])
        for i in range(2 * SLICE):
            c.schedule(Job("s", time=clock.now + timedelta(seconds=600 + i)))
        clock.advance(1000)
        before = c.registry._slices()
        clock.step(timedelta(hours=1))
        assert c.queue_stats("s").ready == 2 * SLICE
        assert c.registry._slices() - before == 2  # however many timers there are
        c._check()


def test_a_lease_does_one_slice_of_what_is_due_elsewhere() -> None:
    clock = HandClock()
    with Untimed(clock=clock) as c:
        c.add_many([Job("old", ttl=1000) for _ in range(8 * SLICE)])
        c.add(live := Job("live"))
        clock.pass_ms(2000)
        assert c.lease("live", 0) is live
        assert len(c.registry) > 6 * SLICE
        with pytest.raises(WaitTimeoutError):
            c.lease("old", 0)
        assert len(c.registry) == 1
        c._check()


@pytest.mark.parametrize("names", ["a", ["a", "b"]])
def test_no_lease_returns_what_has_expired_however_late_the_engine_is(
    names: "str | list[str]", rng: random.Random
) -> None:
    clock = HandClock()
    with Untimed(clock=clock, rng=rng) as c:
        jobs = [
            Job(rng.choice(["a", "b"]) if names != "a" else "a", ttl=rng.choice([500, 9000]))
            for _ in range(6 * SLICE)
        ]
        c.add_many(jobs)
        clock.pass_ms(1000)
        leased = []
        with pytest.raises(WaitTimeoutError):
            while True:
                leased.append(c.lease(names, 0))
        assert set(leased) == {job for job in jobs if job.ttl == 9000}
        c._check()


def test_lease_many_and_a_waiting_lease_find_what_lives_behind_what_has_expired() -> None:
    for take in (lambda c: c.lease_many("a", 3, 0)[0], lambda c: c.lease("a", 60_000)):
        clock = HandClock()
        with Untimed(clock=clock) as c:
            c.add_many([Job("a", ttl=1000) for _ in range(5 * SLICE)])
            c.add(live := Job("a"))
            clock.pass_ms(2000)
            assert take(c) is live
            c._check()


def test_results_of_what_has_expired_are_gone_while_the_engine_is_late() -> None:
    clock = HandClock()
    with Untimed(clock=clock) as c:
        jobs = [Job("a", ttl=1000 + i // 100) for i in range(8 * SLICE)]
        c.add_many(jobs)
        clock.pass_ms(9000)
        with pytest.raises(NotFoundError):
            c.result(jobs[-1], 0)
        assert len(c.registry) > 4 * SLICE  # so it was looked at by itself
        c._check()


def test_a_hook_is_called_for_each_before_a_lease_answers() -> None:
    clock = HandClock()
    with Untimed(clock=clock) as c:
        seen = []
        c.handle_expire(seen.append)
        c.add_many([Job("a", ttl=1000) for _ in range(2 * SLICE)])
        clock.pass_ms(2000)
        assert c.lease("a", 0) is not None  # the hook keeps them
        assert len(seen) == 2 * SLICE


def test_adders_are_let_in_in_slices() -> None:
    with Controller(max_jobs=2 * SLICE) as c:
        first = [Job("a") for _ in range(2 * SLICE)]
        c.add_many(first)
        woken = []
        waits = [c.add_begin(Job("b"), 60_000, woken.append) for _ in range(2 * SLICE)]
        before = c.registry._slices()
        c.delete_many(first)
        assert len(woken) == 2 * SLICE
        assert c.registry._slices() - before >= 2
        assert all(wait.adds is not None for wait in waits)
        c._check()


# ---------------------------------------------------------------- tables


def moved(now: tuple[int, int, int], before: tuple[int, int, int]) -> int:
    """How many have moved over from the table before: all of them once that is gone."""
    return now[2] if now[1] else before[1]


def test_the_table_of_ids_grows_and_shrinks_in_steps() -> None:
    registry = Registry()
    records = [RunRecord(Job("a")) for _ in range(60_000)]
    grew = shrank = 0
    before = registry._tables()[0]
    for at, record in enumerate(records):
        assert registry.add(record)
        now = registry._tables()[0]
        grew += now[0] > before[0] > 1024
        if now[0] == before[0] and before[1]:
            assert moved(now, before) - before[2] <= 1  # buckets moved by one add
        if at % 5000 == 0:
            registry._check()
            assert all(registry.record(one.job) is one for one in records[: at + 1 : 97])
        before = now
    assert grew >= 3
    for at, record in enumerate(records):
        assert registry.delete(record.job)
        now = registry._tables()[0]
        shrank += now[0] < before[0]
        if now[0] == before[0] and before[1]:
            assert moved(now, before) - before[2] <= 16
        if at % 5000 == 0:
            registry._check()
            assert all(registry.record(one.job) is one for one in records[at + 1 :: 97])
        before = now
    assert shrank >= 1
    assert len(registry) == 0


def test_growing_again_after_shrinking_never_moves_a_table_at_once() -> None:
    registry = Registry()
    records = [RunRecord(Job("a")) for _ in range(70_000)]
    for record in records:
        registry.add(record)
    before = registry._tables()[0]
    gone = []
    while registry._tables()[0][0] >= before[0]:  # until a smaller table is begun
        gone.append(records.pop())
        registry.delete(gone[-1].job)
    before = registry._tables()[0]
    assert before[1] > before[0]
    for record in gone:
        registry.add(record)
        now = registry._tables()[0]
        if now[0] > before[0]:
            assert now[1] == before[0]  # the table that was replaced had no other before it
            assert before[1] == 0
        before = now
    registry._check()


def test_the_table_of_keys_grows_in_steps(rng: random.Random) -> None:
    with Controller() as c:
        held: list[Job] = []
        most = 0
        for at in range(12_000):
            before = c.registry._tables()[1]
            c.add(job := Job("a", unique=b"%d" % at))
            held.append(job)
            now = c.registry._tables()[1]
            most = max(most, now[1])
            if now[0] == before[0] and before[1]:
                assert moved(now, before) - before[2] <= 8  # its own look, and that of the add
            if rng.random() < 0.3:
                c.delete(held.pop(rng.randrange(len(held))))
            if at % 2000 == 0:
                c._check()
        assert most > 1024
        for job in held[::50]:
            with pytest.raises(Exception, match="has the key"):
                c.add(Job("a", unique=job.unique))
        for job in held:
            c.delete(job)
        assert c.registry._tables()[1][0] == 0
        c._check()


# ---------------------------------------------------------------- batches and names


def test_names_of_a_lease_are_read_once_each_and_in_order() -> None:
    names = [f"n{i % 60_000}" for i in range(120_000)]  # their pairs would take minutes
    with Controller() as c:
        read, _ = c.lease_arguments(names, 0)
        assert read == names[:60_000]
        with pytest.raises(WaitTimeoutError):
            c.lease(names, 0)


def test_a_batch_with_a_new_name_is_refused_where_it_is_without(rng: random.Random) -> None:
    for _ in range(60):
        bounds = {"max_jobs": rng.choice([None, 4, 9]), "max_bytes": rng.choice([None, 2000, 5000])}
        batch = [Job(rng.choice("ab"), b"x" * rng.randrange(300)) for _ in range(12)]
        outcomes = []
        for new in (False, True):
            with Controller(max_jobs=8) as c:
                for name in "ab":
                    c.add(first := Job(name))
                    c.delete(first)
                if any(bounds.values()):
                    c.limit("a", **bounds)
                jobs = [job.replace() for job in batch] + [Job("new" if new else "a")]
                try:
                    c.add_many(jobs)
                    outcomes.append((None, ""))
                except QueueFullError as error:
                    outcomes.append((error.index, str(error).partition(": ")[2].partition(": ")[2]))
                    assert c.stats().records == 0
                    assert "new" not in c.names()
                c._check()
        if outcomes[0][0] != 12:  # the last job is another one
            assert outcomes[0] == outcomes[1]


def test_a_large_batch_of_a_bounded_engine_with_a_new_name() -> None:
    count = 100_000  # their pairs would take half a minute
    with Controller(max_jobs=count) as c:
        c.add(Job("old"))
        with pytest.raises(QueueFullError) as caught:
            c.add_many([*(Job("old") for _ in range(count - 1)), Job("new")])
        assert caught.value.index == count - 1
        assert c.names() == ["old"]


# ---------------------------------------------------------------- bounds


def test_a_new_bound_is_counted_in_slices_while_others_go_on(rng: random.Random) -> None:
    with Controller() as c:
        c.add_many([Job(rng.choice("ab"), b"x" * (i % 7)) for i in range(30_000)])
        begun = threading.Event()
        end = threading.Event()

        def others() -> None:
            while not end.is_set():
                c.add(job := Job("a", b"yes"))
                c.complete(c.lease("a", 0), b"done")
                if rng.random() < 0.5:
                    c.delete(job)
                begun.set()

        call = Call(others)
        begun.wait()
        before = c.registry._slices()
        c.limit("a", max_jobs=100_000, max_bytes=10**9)
        assert c.registry._slices() - before >= 5
        end.set()
        call.outcome()
        records = [record for record in c.registry if record.job.name == "a"]
        stats = c.queue_stats("a")
        assert stats.jobs == sum(not record.processed() for record in records)
        assert stats.bytes == sum(
            320 + len(record.job.payload) + len(record.result or b"") for record in records
        )
        c._check()
        before = c.registry._slices()
        c.limit("a", max_jobs=1)  # from now on it is only a number
        assert c.registry._slices() == before
        c.limit("a")
        assert c.queue_stats("a").jobs is None
        c.add(Job("a"))


# ---------------------------------------------------------------- closing and freeing


def test_closing_ends_the_waits_for_records_in_slices() -> None:
    c = Controller()
    jobs = [Job("a") for _ in range(40_000)]
    c.add_many(jobs)
    woken: list[object] = []
    waits = [c.result_begin(job, 60_000, woken.append) for job in jobs[::10_000]]
    before = c.registry._slices()
    c.close()
    assert len(woken) == len(waits)
    assert c.registry._slices() > before
    for wait in waits:
        with pytest.raises(ClosedError):
            c.wait_finish(wait, None, 0)


def test_closing_looks_at_no_record_if_nobody_waits_for_one() -> None:
    c = Controller()
    c.add_many([Job("a") for _ in range(40_000)])
    before = c.registry._slices()
    c.close()
    assert c.registry._slices() == before


def test_records_in_hand_can_be_used_while_their_registry_is_freed() -> None:
    held: list[RunRecord] = []
    end = threading.Event()

    def others() -> int:
        rounds = 0
        while not end.is_set() or not rounds:
            for record in held[::100]:
                _ = record.timers, record.result, record.state
                record.write_result(b"by hand", True)
            rounds += 1
        return rounds

    c = Controller()
    jobs = [Job("a") for _ in range(20_000)]
    c.add_many(jobs)
    held.extend(c.registry)
    call = Call(others)
    registry = weakref.ref(c.registry)
    c.close()
    del c

    def freed() -> bool:
        gc.collect()  # nothing happens if a collection is under way in the other thread
        return registry() is None

    wait_until(freed, "the end of the registry")
    end.set()
    assert call.outcome() > 0
    fresh = Registry()
    for record in held[::500]:
        assert record.success()
        assert fresh.add(record)
    fresh._check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_forgets_runs_and_waits_among_many_records() -> None:
    with Controller() as c:
        jobs = [Job("a") for _ in range(5000)]
        c.add_many(jobs)
        run = c.run_begin(Job("b"), 60_000, lambda _: None)
        wait = c.result_begin(jobs[7], 60_000, lambda _: None)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                c.complete(jobs[7], b"child")
                c._check()
                if len(c.registry) == 5000 and not c.jobs("b"):
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert len(c.registry) == 5001
        c.wait_abandon(run)
        c.wait_abandon(wait)


# ---------------------------------------------------------------- queues of names used once


def used_once(c: Controller, count: int, prefix: str = "once") -> None:
    for i in range(count):
        c.add(job := Job(f"{prefix}{i}"))
        c.delete(job)


def test_queues_of_names_used_once_are_freed() -> None:
    with Controller() as c:
        used_once(c, 20_000)
        assert len(c.queues.queues()) < 2000
        assert len(c.names()) < 2000
        c._check()


def test_queues_that_are_of_use_stay() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        held = c.queues.queue("held")
        c.pause("paused")
        c.limit("limited", max_jobs=5)
        c.add(Job("ready"))
        c.schedule(Job("scheduled", time=clock.now + timedelta(hours=1)))
        c.add(Job("leased"))
        leased = c.lease("leased", 0)
        c.add(Job("processed"))
        c.complete(c.lease("processed", 0))
        woken: list[object] = []
        wait = c.lease_begin(["waited", "waited2"], 10**6, woken.append)
        used_once(c, 8000)
        kept = {"held", "paused", "limited", "ready", "scheduled", "leased", "processed", "waited"}
        assert kept | {"waited2"} <= set(c.names()) | set(c.queues.queues())
        assert c.queues.queue("held") is held
        with pytest.raises(WaitTimeoutError):
            c.lease("paused", 0)
        c.release(leased)
        assert c.lease("leased", 0) is leased
        c.add(handed := Job("waited2"))
        assert c.wait_finish(wait, None, 0) is handed
        c._check()


def test_a_name_whose_queue_was_freed_works_again() -> None:
    names = [f"once{i}" for i in range(6000)]  # the same objects: their queues are cached
    with Controller() as c:
        for _ in range(3):
            for name in names:
                c.add(job := Job(name))
                assert c.lease(name, 0) is job
                c.delete(job)
                with pytest.raises(WaitTimeoutError):
                    c.lease(name, 0)
        assert len(c.queues.queues()) < 2000
        c.add_many([Job(name) for name in names])
        assert len(c.names()) >= 6000
        assert len(c.lease_many(names, 6000, 0)) == 6000
        c._check()


def test_a_batch_of_new_names_keeps_the_queues_that_it_has_just_made() -> None:
    with Controller() as c:
        used_once(c, 3000)
        for turn in range(3):
            jobs = [Job(f"batch{turn}.{i}") for i in range(3000)]
            c.add_many(jobs)
            assert all(c.peek(job.name) is job for job in jobs)
            c.delete_many(jobs)
            used_once(c, 3000, f"again{turn}")
            c._check()
        assert len(c.queues.queues()) < 12_000


def test_what_looks_into_a_queue_keeps_it() -> None:
    from jobqueue import Inspector

    with Controller() as c:
        ready, _ = Inspector(c.queues.queue("seen")).iterators()
        used_once(c, 8000)
        c.add(job := Job("seen"))
        assert list(ready) == [job] or ready.next() is job


def test_a_waiter_that_has_been_served_does_not_need_its_queue() -> None:
    with Controller() as c:
        call = Call(c.lease, ["w1", "w2"], 60_000)
        wait_until(lambda: c.stats().waiting == 1)
        c.add(job := Job("w1"))
        assert call.outcome() is job
        c.delete(job)
        used_once(c, 8000)
        assert len(c.queues.queues()) < 2000
