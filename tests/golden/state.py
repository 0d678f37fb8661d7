"""What a log says, as text that is equal on every Python."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

from jobqueue import Controller, RunRecord
from jobqueue.cmdlog import replay
from tests.cmdlog.workload import digest


def state_text(path: Path) -> str:
    """The state hash on the first line, then all that the hash is of, for people."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(copytree(path, Path(directory, "log")))
        (copy / "state.txt").unlink(missing_ok=True)
        with replay(copy) as controller:
            return "\n".join([digest(controller, settled=False), *lines(controller)]) + "\n"


def lines(controller: Controller) -> Iterator[str]:
    for record in sorted(controller.registry, key=job_id):
        yield (
            f"{job_id(record)} {record.job.name} {record.state.name} attempts {record.attempts}"
            f" fails {record.fails} result {record.result!r}"
        )
    for name in sorted(controller.names()):
        paused = " paused" if controller.is_paused(name) else ""
        yield f"{name}{paused}: {' '.join(str(job.id)[:2] for job in controller.jobs(name))}"
        yield f"  scheduled: {' '.join(str(job.id)[:2] for job in controller.scheduled_jobs(name))}"
        yield f"  dead: {' '.join(str(job.id)[:2] for job in controller.dead(name))}"


def job_id(record: RunRecord) -> str:
    assert record.job is not None
    return str(record.job.id)
