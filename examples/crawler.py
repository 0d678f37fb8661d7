"""A pool of threads that crawls a folder: each folder is a job that adds the folders within it.

    python -m examples.crawler FOLDER

The key of a job is its path, so that a folder that is found twice is walked once.
"""

import json
import sys
from pathlib import Path

from jobqueue import Controller, DuplicateJobError, Job
from jobqueue.worker import Attempt, Worker


def crawl(root: Path, threads: int = 4) -> dict[str, int]:
    """Bytes in the files of each folder under root."""
    sizes: dict[str, int] = {}
    with Controller() as queue:
        worker = Worker(queue, concurrency=threads)

        @worker.handler("folder")
        def folder(attempt: Attempt) -> str:
            path = Path(attempt.job.payload.decode())
            entries = [entry for entry in path.iterdir() if not entry.is_symlink()]
            for entry in entries:
                if entry.is_dir():
                    find(entry)
            sizes[str(path)] = sum(entry.stat().st_size for entry in entries if entry.is_file())
            return json.dumps(len(entries))

        found: list[Job] = []

        def find(path: Path) -> None:
            name = str(path).encode()
            job = Job("folder", name, unique=name[-255:], max_fails=2)
            try:
                queue.add(job)
            except DuplicateJobError:
                return
            found.append(job)

        with worker:
            find(root)
            for job in found:  # it grows while the crawl goes on, always before its finder is done
                queue.result(job, timeout=60_000)
    return sizes


if __name__ == "__main__":
    for name, size in sorted(crawl(Path(sys.argv[1])).items()):
        print(f"{size:12} {name}")
