"""Every operation on files that the command log makes, in one small layer that tests replace.

Each raises OSError. `sync` and `sync_directory` return once the data is on the disk, as far as the
operating system tells.
"""

import mmap
import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["Appended", "Files", "Lock", "Mapped"]

ZEROS: Final = memoryview(bytes(64 << 10))
DATA_ONLY: Final = sys.platform == "linux" and hasattr(os, "fdatasync")
"""Whether there is a sync that brings what was stored through a map to the disk, and no more."""


class Mapped:
    """A file in memory that is written by storing into it. Disk space is reserved before."""

    __slots__ = ("_allocated", "_fd", "_map", "memory")

    def __init__(self, path: Path, size: int) -> None:
        self._fd = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644
        )
        self._allocated = 0
        try:
            os.ftruncate(self._fd, size)
            self._map: mmap.mmap | None = mmap.mmap(self._fd, size)
        except BaseException:
            os.close(self._fd)
            path.unlink()
            raise
        self.memory: memoryview | None = memoryview(self._map)

    def allocate(self, end: int) -> None:
        """Reserve disk space up to ``end``, so that no store can fail for want of it.

        Zeros are written there, too: pages that are in memory before they are stored into cost a
        sixth of those that each fault in, and a page is synced at no more than the size of a write.
        """
        if end <= self._allocated:  # by a call that failed after it had written so much
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._fd, self._allocated, end - self._allocated)
        os.lseek(self._fd, self._allocated, os.SEEK_SET)
        while self._allocated < end:
            self._allocated += os.write(self._fd, ZEROS[: end - self._allocated])

    def sync(self) -> None:
        """Bring what was stored to the disk."""
        if DATA_ONLY:
            os.fdatasync(self._fd)  # writes what was stored through the map, too
        elif self._map is not None:
            self._map.flush()
            os.fsync(self._fd)

    def close(self, size: int | None) -> None:
        """Let go of it; ``size``: cut it there first."""
        if self._map is None:
            return
        if self.memory is not None:
            self.memory.release()
            self.memory = None
        self._map.close()
        self._map = None
        try:
            if size is not None:
                os.ftruncate(self._fd, size)
        finally:
            os.close(self._fd)


class Appended:
    """A file that is written from its beginning to its end."""

    __slots__ = ("_file",)

    def __init__(self, path: Path) -> None:
        self._file: Final = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Lock:
    """Holds a directory for one process; ended by the system with the process, if not before."""

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.name == "nt":
                import msvcrt  # noqa: PLC0415 - of this system only

                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
            else:
                import fcntl  # noqa: PLC0415 - of this system only

                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it; in a forked child, the parent's hold stays."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        self.release()


class Files:
    """The operating system's."""

    def make_directory(self, path: Path) -> None:
        """Make a directory, unless it is there."""
        path.mkdir(parents=True, exist_ok=True)

    def lock(self, path: Path) -> Lock:
        """Hold a file; BlockingIOError or PermissionError: somebody else does."""
        return Lock(path)

    def names(self, directory: Path) -> list[str]:
        """The names in a directory."""
        return [path.name for path in directory.iterdir()]

    def read(self, path: Path) -> bytes:
        """All of a file."""
        return path.read_bytes()

    def size(self, path: Path) -> int:
        """Bytes of a file."""
        return path.stat().st_size

    def create_mapped(self, path: Path, size: int) -> Mapped:
        """A new file in memory."""
        return Mapped(path, size)

    def create(self, path: Path) -> Appended:
        """A file to be written, empty at first."""
        return Appended(path)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file, and bring it to the disk."""
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Bring a file to the disk that another process wrote."""
        fd = os.open(path, os.O_RDWR)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of whoever has it."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """Bring the names of a directory to the disk."""
        if os.name == "nt":
            return  # there, they are on the disk with the file
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
