"""Memory: what has come and gone leaves nothing behind, in slots that were used before too."""

import gc
import sys

from jobqueue import Controller, Job, RunRecord

ROUNDS = 30
COUNT = 100


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


def data_of(size: int, start: int) -> bytes:
    return bytes((start + at) % 256 for at in range(size))


def test_payloads_of_every_size_stay_what_they_are():
    """Small ones stand behind their jobs: in slots that come and go, beside records at work."""
    sizes = range(300)
    with Controller() as controller:
        for turn in range(3):
            jobs = [Job("a", data_of(size, turn)) for size in sizes]
            controller.add_many(jobs)
            for job in controller.lease_many("a", 200, 0)[::2]:
                controller.fail(job, b"no")
            controller.delete_many(jobs[1::3])
            del job, jobs[1::3]
            others = [Job("b", data_of(size, 99)) for size in sizes for _ in range(2)]
            for job in jobs:
                assert job.payload == data_of(len(job.payload), turn)
                assert type(job.payload) is bytes
            assert [len(job.payload) for job in jobs] == [n for n in sizes if n % 3 != 1]
            assert {job.payload for job in others} == {data_of(size, 99) for size in sizes}
            controller.delete_many(jobs)
            controller._check()


def test_a_small_payload_is_copied_and_a_large_one_shared():
    for size, shared in ((1, False), (100, False), (128, False), (129, True), (5000, True)):
        payload = bytes(size)
        before = sys.getrefcount(payload)
        job = Job("a", payload)
        assert sys.getrefcount(payload) == before + shared
        assert (job.payload is payload) == shared
        del job
        assert sys.getrefcount(payload) == before


def test_payloads_of_unique_jobs():
    for size in (0, 1, 16, 128, 129, 1000):
        job = Job("a", data_of(size, 1), unique=b"key")
        assert (job.payload, job.unique) == (data_of(size, 1), b"key")
        with Controller() as controller:
            controller.add(job)
            assert controller.lease("a", 0).payload == data_of(size, 1)
