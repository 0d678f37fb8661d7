"""Write the golden log of the present version: ``python -m tests.golden.make``, once a version.

Golden logs are never written again: what every later version must read is what this one wrote.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobqueue import Job
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from tests.golden.state import state_text

ROOT = Path(__file__).parent


def number(n: int) -> bytes:
    """A UUIDv4 that says nothing."""
    return bytes([n] * 6 + [0x40, n, 0x80] + [n] * 7)


def write(path: Path) -> None:
    """Each kind of record: a snapshot, and a segment behind it."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with DurableController(path, clock=clock, segment_size=64 << 10) as c:
        jobs = [
            Job(
                "mail", b"%d" % n, id=number(n), priority=n % 3 - 1, max_fails=n % 2, max_attempts=n
            )
            for n in range(1, 9)
        ]
        c.add_many(jobs)
        c.add(Job("mail", b"", id=number(20), unique=b"key"))
        c.schedule(Job("video", id=number(21), time=clock.now + timedelta(hours=1)))
        for n in (3, 1, 2):
            c.fail(jobs[n], b"why %d" % n)
        c.complete(jobs[0], b"done")
        c.pause("audio")
        c.lease("mail", 0)
        c.compact()
        clock.advance(1000)
        c.lease("mail", 0)
        c.kick(jobs[3])
        c.add_many([Job("mail", id=number(30)), Job("video", id=number(31), ttl=5000)])
        c.complete_many([(jobs[4], b"a"), (jobs[5], b"b")])
        c.delete(jobs[7])
        c.lease("mail", 0)
        clock.step(-5000)
        c.pause("video")
        c.resume("audio")


if __name__ == "__main__":
    where = ROOT / f"version_{sys.argv[1]}"
    write(where)
    (where / "lock").unlink()
    (where / "state.txt").write_text(state_text(where))
