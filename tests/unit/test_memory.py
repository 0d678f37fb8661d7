"""Memory: what has come and gone leaves nothing behind, in slots that were used before too."""

import gc
import sys
import sysconfig
from collections.abc import Iterator

import pytest

from jobqueue import Controller, Job, RunRecord

ROUNDS = 30
COUNT = 100
HAS_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")


def rounds(controller: Controller) -> list[int]:
    """Reference counts of jobs that only a list holds, after each round in reused memory."""
    counts = []
    for _ in range(ROUNDS):
        jobs = [Job("a") for _ in range(COUNT)]
        controller.add_many(jobs)
        leased = controller.lease_many("a", COUNT, 0)
        controller.complete_many([(job, b"r") for job in leased])
        controller.delete_many(reversed(leased))
        del leased
        counts += [sys.getrefcount(job) for job in jobs]
    return counts


def test_objects_in_reused_memory_count_their_references():
    with Controller() as controller:
        counts = rounds(controller)
        records = sys.getrefcount(Job)
        assert len(set(counts)) == 1, sorted(set(counts))
        rounds(controller)
        assert abs(sys.getrefcount(Job) - records) < COUNT


def test_a_record_outlives_its_engine_and_every_other_reference_to_its_job():
    with Controller() as controller:
        controller.add(Job("a", b"payload", priority=3))
        record = controller.registry.record(controller.peek("a"))
        controller.delete(record.job)
    del controller
    gc.collect()
    others = [Job("b", b"other") for _ in range(1000)]  # would take the slot, were it free
    assert (record.job.name, record.job.payload, record.job.priority) == ("a", b"payload", 3)
    assert len(others) == 1000


def test_a_job_in_several_engines_has_a_record_in_each():
    job = Job("a")
    controllers = [Controller() for _ in range(3)]
    for controller in controllers:
        controller.add(job)
    records = [controller.registry.record(job) for controller in controllers]
    assert len({id(record) for record in records}) == 3
    controllers[0].delete(job)
    del records
    controllers[1].complete(controllers[1].lease("a", 0), b"done")
    assert controllers[1].result(job, 0).result == b"done"
    assert controllers[2].lease("a", 0) is job
    for controller in controllers:
        controller._check()
        controller.close()


def test_a_job_that_comes_back_gets_a_fresh_record():
    job = Job("a", max_fails=1)
    with Controller() as controller:
        for _ in range(3):
            controller.add(job)
            controller.fail(controller.lease("a", 0), b"no")
            assert controller.registry.record(job).fails == 1
            controller.delete(job)


def test_a_record_made_by_hand_and_one_of_an_engine_share_a_job():
    job = Job("a")
    by_hand = RunRecord(job, attempts=7)
    with Controller() as controller:
        controller.add(job)
        theirs = controller.registry.record(job)
        del by_hand
        assert (theirs.attempts, theirs.job) == (0, job)
    del controller, theirs
    gc.collect()
    assert sys.getrefcount(job) == 2


def test_a_list_that_add_many_was_given_is_as_it_was():
    jobs = [Job("a") for _ in range(10)]
    before = list(jobs)
    with Controller() as controller:
        controller.add_many(jobs)
        assert controller.jobs("a") == before == jobs
    del controller, before
    gc.collect()
    assert {sys.getrefcount(job) for job in jobs} == {3}


MANY = 15_000  # jobs that no cache holds: Jobs built after them keep small payloads in themselves


@pytest.fixture
def many() -> Iterator[Controller]:
    with Controller() as controller:
        controller.add_many([Job("many") for _ in range(MANY)])
        controller.add(Job("many"))  # only now the next Jobs are expected in a large one
        yield controller
    with Controller() as few:
        few.add(Job("few"))  # from here on the next Jobs are expected in a small engine


def data_of(size: int, start: int) -> bytes:
    return bytes((start + at) % 256 for at in range(size))


@pytest.mark.skipif(not HAS_GIL, reason="without a GIL every payload is shared")
def test_small_payloads_are_copied_where_many_jobs_are_pending(many):
    for size, copied in ((2, True), (100, True), (128, True), (129, False)):
        payload = data_of(size, 1)
        before = sys.getrefcount(payload)
        job = Job("a", payload)
        assert (sys.getrefcount(payload) == before) == copied
        assert (job.payload is payload) == (not copied)
        del job
        assert sys.getrefcount(payload) == before


def test_payloads_are_shared_where_few_jobs_are_pending():
    payload = data_of(100, 1)
    with Controller() as few:
        few.add(Job("b"))
        few.add(Job("a", payload))
        assert few.lease("a", 0).payload is payload


def test_payloads_of_every_size_stay_what_they_are(many):
    """Small ones stand behind their jobs: in slots that come and go, beside records at work."""
    sizes = range(300)
    for turn in range(3):
        jobs = [Job("a", data_of(size, turn)) for size in sizes]
        many.add_many(jobs)
        for job in many.lease_many("a", 200, 0)[::2]:
            many.fail(job, b"no")
        many.delete_many(jobs[1::3])
        del job, jobs[1::3]
        others = [Job("b", data_of(size, 99)) for size in sizes for _ in range(2)]
        for job in jobs:
            assert job.payload == data_of(len(job.payload), turn)
            assert type(job.payload) is bytes
        assert [len(job.payload) for job in jobs] == [n for n in sizes if n % 3 != 1]
        assert {job.payload for job in others} == {data_of(size, 99) for size in sizes}
        many.delete_many(jobs)
        many._check()


def test_bytes_are_counted_alike_wherever_the_payload_is(many):
    before = many.stats().bytes
    with Controller() as few:
        jobs = [Job("a", data_of(size, 1)) for size in (0, 100, 129)]
        few.add_many([job.replace() for job in jobs])
        many.add_many(jobs)
        assert few.stats().bytes == many.stats().bytes - before


def test_payloads_of_unique_jobs(many):
    for size in (0, 1, 16, 128, 129, 1000):
        job = Job("a", data_of(size, 1), unique=b"key")
        many.add(job)
        leased = many.lease("a", 0)
        assert (leased.payload, leased.unique) == (data_of(size, 1), b"key")
        many.delete(job)
