"""What comes back after a restart is what was there."""

import os
import random
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from jobqueue import ClosedError, DuplicateJobError, Job, QueueFullError, WaitTimeoutError
from jobqueue.cmdlog import CommandLogError, DurableController, replay
from jobqueue.testing import ManualClock
from jobqueue.testing.model import view_of
from jobqueue.testing.waiting import Call, wait_until
from tests.cmdlog.disk import Disk
from tests.cmdlog.workload import Workload, digest, open_log

HERE = Path("log")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.mark.parametrize("sync", ["always", "interval", "os"])
def test_state_is_equal_after_replay_and_after_compaction(tmp_path, clock, seed, sync):
    work = Workload(open_log(tmp_path, clock, sync=sync), clock, seed)
    for _ in range(6):
        for _ in range(150):
            work.step()
        before = digest(work.controller)
        work.controller._check()
        work.controller.close()
        work.controller = open_log(tmp_path, clock, sync=sync)
        work.controller._check()
        assert digest(work.controller) == before
        if work.rng.random() < 0.5:
            work.controller.compact()
            work.controller.close()
            work.controller = open_log(tmp_path, clock, sync=sync)
            assert digest(work.controller) == before
    work.controller.close()


def test_payloads_of_every_size_come_back(tmp_path, clock):
    sizes = [*range(200), 1000, 100_000]
    payloads = [bytes((size + at) % 256 for at in range(size)) for size in sizes]
    with open_log(tmp_path, clock) as c:
        c.add_many([Job("many") for _ in range(15_000)])  # beside many, small ones are copied
        c.add(Job("many"))
        for payload in payloads:
            c.add(Job("a", payload))
            c.add(Job("u", payload, unique=b"%d" % len(payload)))
    for compacts in (False, True, False):
        with open_log(tmp_path, clock) as c:
            c._check()
            if compacts:
                c.compact()
            assert [job.payload for job in c.jobs("a")] == payloads
            assert [job.payload for job in c.jobs("u")] == payloads
            assert [job.unique for job in c.jobs("u")] == [b"%d" % size for size in sizes]


def test_a_lease_keeps_the_ttr_it_had_left(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a", ttr=1000))
        job = c.lease("a", 0)
        clock.advance(400)
    clock.advance(500)
    with open_log(tmp_path, clock) as c:
        assert c.stats().running == 1
        clock.advance(99)
        assert c.stats().running == 1
        clock.advance(1)
        assert c.peek("a") == job


def test_what_ran_out_meanwhile(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("leased", ttr=1000))
        leased = c.lease("leased", 0)
        c.add(Job("gone", ttl=1000))
        c.schedule(Job("due", time=clock.now + timedelta(seconds=2)))
    clock.advance(3000)
    with open_log(tmp_path, clock) as c:
        assert c.peek("leased") == leased
        assert c.peek("gone") is None
        assert c.peek("due") is not None


def test_a_step_of_the_wall_clock_ends_no_lease(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a", ttr=1000))
        c.lease("a", 0)
        clock.step(3_600_000)
        c.add(Job("b"))  # what is noted next tells of the step
    with open_log(tmp_path, clock) as c:
        assert c.stats().running == 1
        clock.advance(1000)
        assert c.stats().running == 0


def test_nobody_waits_for_room(tmp_path, clock):
    """What is noted of a job must have its room in the log before the verb begins."""
    with open_log(tmp_path, clock) as engine:
        engine.limit("a", max_jobs=1)
        engine.add(Job("a"))
        before = view_of(engine)
        with pytest.raises(QueueFullError):
            engine.add(Job("a"), 60_000)
        assert view_of(engine) == before
        engine.complete(engine.lease("a", 0))
        engine.add(Job("a"), 60_000)


def test_a_key_is_still_held(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        c.add(Job("a", unique=b"k"))
    with open_log(tmp_path, clock) as c, pytest.raises(DuplicateJobError):
        c.add(Job("a", unique=b"k"))


def test_order_within_a_priority_goes_on(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        first = [Job("a") for _ in range(5)]
        c.add_many(first)
    clock.step(-10_000)
    with open_log(tmp_path, clock) as c:
        last = Job("a")
        c.add(last)
        assert c.jobs("a") == [*first, last]


def test_a_handed_over_lease_is_in_the_log(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        call = Call(c.lease, "a", 1000)
        wait_until(lambda: c.stats().waiting == 1, "the blocked leaser")
        c.add(Job("a"))
        job = call.outcome()
    with open_log(tmp_path, clock) as c:
        assert c.registry.record(job).attempts == 1
        assert c.stats().running == 1


def test_run_jobs_are_not_kept(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        call = Call(c.run, Job("a"), 1000)
        wait_until(lambda: c.stats().records == 1, "the run job")
        c.complete(c.lease("a", 0), b"done")
        assert call.outcome().result == b"done"
    with open_log(tmp_path, clock) as c:
        assert c.recovery.records <= 1  # the mark of the end
        assert c.stats().records == 0


def test_a_second_opener_is_refused(tmp_path, clock):
    with open_log(tmp_path, clock), pytest.raises(CommandLogError, match="open already"):
        open_log(tmp_path, clock)
    open_log(tmp_path, clock).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_refused_and_does_no_harm(tmp_path):
    with DurableController(tmp_path, sync="os") as c:
        c.add(Job("a"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                c.add(Job("a"))
            except CommandLogError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        c.add(Job("a"))
    with DurableController(tmp_path) as c:
        assert len(c.jobs("a")) == 2


def test_messages(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandLogError, match="not a directory"):
        open_log(tmp_path / "file", clock)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(CommandLogError, match=r"not a command log: it holds 'letter.txt'"):
        open_log(tmp_path / "other", clock)
    with pytest.raises(ValueError, match="sync must be one of"):
        open_log(tmp_path / "log", clock, sync="never")
    with pytest.raises(TypeError, match="segment_size"):
        open_log(tmp_path / "log", clock, segment_size=1.5)


def test_the_log_grows_over_segments_and_is_compacted(tmp_path, clock):
    with open_log(tmp_path, clock, sync="os") as c:
        for _ in range(3000):
            c.add(Job("a", b"x" * 100))
            c.delete(c.lease("a", 0))
        keep = Job("a", b"kept")
        c.add(keep)
        assert c._log.number > 3
        wait_until(lambda: c._log.compactions > 0, "a compaction")
        c.compact()
        assert c._log.bytes_used < 3 * 65536
    with open_log(tmp_path, clock) as c:
        assert c.jobs("a") == [keep]


def test_max_log_bytes(tmp_path, clock):
    """Half of it is for what lives: a compaction writes it anew within the bound."""
    with (
        open_log(tmp_path, clock, sync="os", max_log_bytes=400_000) as c,
        pytest.raises(CommandLogError, match="may take 400000"),
    ):
        while True:
            c.add(Job("a", b"x" * 1000))
    with open_log(tmp_path, clock) as c:
        assert 100 < len(c.jobs("a", 0, 1000)) < 200


def test_bounds_are_of_a_start_and_count_what_it_brings_back(tmp_path, clock):
    jobs = [Job("a", bytes(100)) for _ in range(4)]
    with open_log(tmp_path, clock, max_jobs=4) as c:
        c.add_many(jobs)
        with pytest.raises(QueueFullError, match="max_jobs is 4"):
            c.add(Job("a"))
        c.complete(jobs[0], b"done")
        before = c.stats()
        assert before.max_jobs == 4
    with open_log(tmp_path, clock, max_jobs=2, max_bytes=before.bytes) as c:
        assert c.stats().bytes == before.bytes
        with pytest.raises(QueueFullError, match="max_jobs is 2, it would be 4"):
            c.add(Job("a"))
        for job in jobs[:3]:
            c.delete(job)
        c.add(Job("a"))
        with pytest.raises(QueueFullError, match="max_jobs"):
            c.add(Job("a"))
        c._check()
    with open_log(tmp_path, clock, max_bytes=1) as c:
        with pytest.raises(QueueFullError, match="max_bytes"):
            c.add(Job("a"))
        c._check()


def test_history_begins_with_the_start(tmp_path, clock):
    job = Job("a", max_fails=3)
    with open_log(tmp_path, clock, history=4) as c:
        c.add(job)
        c.fail(c.lease("a", 0), b"why")
        assert [event.kind for event in c.explain(job).history] == ["added", "leased", "failed"]
    with open_log(tmp_path, clock, history=4) as c:
        assert c.explain(job).history == ()
        c.lease("a", 0)
        assert [event.kind for event in c.explain(job).history] == ["leased"]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_switch_of_a_queue_notes_a_step_of_the_wall_clock(clock, verb):
    disk = Disk()
    c = open_log(HERE, clock, disk)
    c.add(Job("a", ttr=60_000))
    job = c.lease("a", 0)
    clock.step(3_600_000)
    getattr(c, verb)("b")
    left = disk.cut(random.Random(0))
    c.close()
    with open_log(HERE, clock, left) as c:
        clock.advance(59_999)
        c.touch(job)  # it is leased still


def test_snapshots_while_others_work(tmp_path, clock):
    with open_log(tmp_path, clock, sync="os", segment_size=1 << 20) as c:
        c.add_many([Job("a", b"%d" % i) for i in range(5000)])
        stop = threading.Event()

        def churn():
            while not stop.is_set():
                job = c.lease("a", 0)
                number = int(job.payload)
                if number % 2:
                    c.complete(job, b"done")
                else:
                    c.fail(job)
                c.add(Job("a", job.payload))
                if number % 3:
                    c.delete(job)

        call = Call(churn)
        for _ in range(5):
            c.compact()
        stop.set()
        call.outcome()
        before = digest(c)
    with open_log(tmp_path, clock) as c:
        c._check()
        assert digest(c) == before


def test_replay_up_to_a_time(tmp_path, clock):
    with open_log(tmp_path, clock) as c:
        first, second = Job("a"), Job("a")
        c.add(first)
        clock.advance(10_000)
        between = clock.now
        clock.advance(10_000)
        c.add(second)
    seen = replay(tmp_path, until=between)
    assert seen.jobs("a") == [first]
    with pytest.raises(CommandLogError, match="looked at"):
        seen.add(Job("a"))
    with pytest.raises(CommandLogError, match="looked at"):
        seen.lease("a", 0)
    seen.close()
    seen = replay(tmp_path)
    assert seen.jobs("a") == [first, second]
    seen.close()


def test_closed(tmp_path, clock):
    c = open_log(tmp_path, clock)
    c.close()
    c.close()
    with pytest.raises(ClosedError):
        c.add(Job("a"))
    with pytest.raises(ClosedError):
        c.compact()


def test_threads_share_syncs(tmp_path):
    with DurableController(tmp_path) as c:
        calls = [Call(lambda: [c.add(Job("a")) for _ in range(20)]) for _ in range(16)]
        for call in calls:
            call.outcome()
        assert c._log.journal.synced == c._log.journal.sequence
        with pytest.raises(WaitTimeoutError):
            c.lease("b", 0)
    assert Path(tmp_path, "lock").exists()
    with DurableController(tmp_path) as c:
        assert c.stats().ready == 320
