"""Memory: what has come and gone leaves nothing behind, in slots that were used before too."""

import sys

from jobqueue import Controller, Job

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
