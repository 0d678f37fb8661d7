"""Every operation on files that the command log makes, in one small layer that tests replace.

Each raises OSError. `sync` and `sync_directory` return once the data is on the disk, as far as the
operating system tells.
"""

import io
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import _disk

__all__ = ["Appended", "Files", "Lock", "Mapped"]

ZEROS: Final = memoryview(bytes(64 << 10))


class PlainMapped:
    """A file in memory that is written by storing into it, where _disk has none: on Windows."""

    __slots__ = ("_allocated", "_fd", "_map", "memory")

    def __init__(self, path: str | Path, size: int) -> None:
        self._fd = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
        )
        self._allocated = 0
        try:
            os.ftruncate(self._fd, size)
            self._map: mmap.mmap | None = mmap.mmap(self._fd, size)
        except BaseException:
            os.close(self._fd)
            os.unlink(path)  # noqa: PTH108 - it may be a str
            raise
        self.memory: memoryview | None = memoryview(self._map)

    def allocate(self, end: int) -> None:
        """Reserve disk space up to ``end``, so that no store can fail for want of it."""
        if end <= self._allocated:  # by a call that failed after it had written so much
            return
        os.lseek(self._fd, self._allocated, os.SEEK_SET)
        while self._allocated < end:
            self._allocated += os.write(self._fd, ZEROS[: end - self._allocated])

    def sync(self) -> None:
        """Bring what was stored to the disk."""
        if self._map is not None:
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


class PlainLock:
    """Holds a directory for one process, where _disk has no lock: on Windows."""

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            import msvcrt  # noqa: PLC0415 - of this system only

            msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def lost(self) -> str | None:
        """Why it is not held any more: there, what is open cannot be removed."""
        return None

    def __del__(self) -> None:
        self.release()


if TYPE_CHECKING or _disk.IS_NATIVE:
    Mapped = _disk.MappedFile
    Lock = _disk.DirectoryLock
else:
    Mapped = PlainMapped
    Lock = PlainLock


class Appended:
    """A file that is written from its beginning to its end. Nobody but its owner may read it."""

    __slots__ = ("_fd", "_file")

    def __init__(self, path: Path) -> None:
        self._fd: Final = (
            _disk.create(path)
            if _disk.IS_NATIVE
            else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_BINARY, 0o600)  # type: ignore[attr-defined, unused-ignore]
        )
        self._file: Final = io.FileIO(self._fd, "wb", closefd=not _disk.IS_NATIVE)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def sync(self) -> None:
        """Bring it to the disk."""
        if _disk.IS_NATIVE:
            _disk.sync(self._fd)
        else:
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of it."""
        if not self._file.closed:
            self._file.close()
            if _disk.IS_NATIVE:
                _disk.close(self._fd)


class Files:
    """The operating system's."""

    def make_directory(self, path: Path) -> None:
        """Make a directory, unless it is there."""
        path.mkdir(parents=True, exist_ok=True)

    def lock(self, path: Path) -> Lock:
        """Hold a file; BlockingIOError or PermissionError: somebody else does."""
        return Lock(path)

    def names(self, directory: Path | str) -> list[str]:
        """The names in a directory."""
        return os.listdir(directory)  # noqa: PTH208 - it may be a str

    def read(self, path: Path) -> bytes:
        """All of a file."""
        return path.read_bytes()

    def size(self, path: Path | str) -> int:
        """Bytes of a file."""
        return os.stat(path).st_size  # noqa: PTH116 - it may be a str

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
            if _disk.IS_NATIVE:
                _disk.sync(fd)
            else:
                os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of the file that has it."""
        old.replace(new)

    # Native, so that no bytecode runs amid a step of the log: see _segments.pyx.
    if TYPE_CHECKING:

        def create_mapped(self, path: str | Path, size: int) -> Mapped:
            """A new file in memory."""

        def unlink(self, path: str | Path) -> None:
            """Remove a file."""

        def sync_directory(self, path: str | Path) -> None:
            """Bring the names of a directory to the disk."""

    else:
        create_mapped = Mapped
        unlink = staticmethod(os.unlink)
        if _disk.IS_NATIVE:
            sync_directory = staticmethod(_disk.sync_directory)
        else:

            def sync_directory(self, path: str | Path) -> None:
                """There, they are on the disk with the file."""
