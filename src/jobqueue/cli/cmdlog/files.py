"""Files of a command log that show how far their reading is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobqueue.cmdlog._files import Files
from jobqueue.cmdlog._recover import log_files


class ShownFiles(Files):
    """The operating system's; ``on_read`` is told of the bytes that were read."""

    def __init__(self) -> None:
        """Tell nobody at first."""
        self.on_read: Callable[[int], None] = lambda _: None

    def read(self, path: Path) -> bytes:
        """All of a file."""
        data = super().read(path)
        self.on_read(len(data))
        return data

    def log_names(self, directory: Path) -> list[str]:
        """Names of snapshots and segments, in the order of reading."""
        segments, snapshots, _ = log_files(self.names(directory))
        return [name for _, name in sorted(snapshots.items())] + [
            name for _, name in sorted(segments.items())
        ]

    def sizes(self, directory: Path) -> dict[str, int]:
        """Bytes of each of them. Of a log in use some may be gone when they are looked at."""
        found = {}
        for name in self.log_names(directory):
            with suppress(FileNotFoundError):
                found[name] = self.size(directory / name)
        return found


@contextmanager
def reading(directory: Path, title: str | None) -> Iterator[ShownFiles]:
    """Give files that show a progress bar, if somebody looks, it has a title, and rich is there."""
    files = ShownFiles()
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeElapsedColumn
    except ImportError:
        yield files
        return
    if title is None or not sys.stderr.isatty():
        yield files
        return
    total = sum(files.sizes(directory).values())
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        files.on_read = lambda size: progress.advance(task, size)
        yield files
