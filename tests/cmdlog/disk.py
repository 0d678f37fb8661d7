"""A disk in memory that forgets what was not synced, and files that fail when they are told to."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobqueue.cmdlog._files import Files

SECTOR = 512


class Inode:
    """A file: what the process sees, and what is on the platter."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.kept = b""

    def sync(self) -> None:
        self.kept = bytes(self.seen)

    def after_cut(self, rng: random.Random) -> "Inode":
        """What is left of it: each sector old or new, one of them torn."""
        size = rng.choice([len(self.kept), len(self.seen)])
        if len(self.seen) > len(self.kept) and rng.random() < 0.5:
            size = rng.randint(len(self.kept), len(self.seen))
        old = self.kept.ljust(size, b"\0")[:size]
        new = bytes(self.seen).ljust(size, b"\0")[:size]
        mixed = bytearray(old)
        if old != new:
            share = rng.random()
            for at in range(0, size, SECTOR):
                if old[at : at + SECTOR] == new[at : at + SECTOR]:
                    continue
                if rng.random() < share:
                    end = at + SECTOR if rng.random() < 0.8 else at + rng.randrange(SECTOR)
                    mixed[at:end] = new[at:end]
        made = Inode()
        made.seen = mixed
        made.kept = bytes(mixed)
        return made


class Disk(Files):
    """Files in memory. ``cut`` gives the disk as it is after the power went."""

    def __init__(self) -> None:
        self.names_seen: dict[str, Inode] = {}
        self.names_kept: dict[str, Inode] = {}
        self.calls = 0
        self.fail_at: int | None = None  # number of the call that fails
        self.failing = False  # and all after it
        self.cut_at: int | None = None  # number of the call before which the disk is copied
        self.copy: Disk | None = None
        self.rng = random.Random(0)
        self.held: set[str] = set()
        self.open: set[FakeMapped] = set()
        self.lock_all = threading.RLock()

    def cut(self, rng: random.Random) -> "Disk":
        with self.lock_all:
            return self._cut(rng)

    def _cut(self, rng: random.Random) -> "Disk":
        made = Disk()
        changed = [
            name
            for name in {*self.names_seen, *self.names_kept}
            if self.names_seen.get(name) is not self.names_kept.get(name)
        ]
        names = dict(self.names_kept)
        for name in sorted(changed):
            if rng.random() < 0.5:
                if name in self.names_seen:
                    names[name] = self.names_seen[name]
                else:
                    names.pop(name, None)
        fates: dict[int, Inode] = {}
        for name, inode in names.items():
            if id(inode) not in fates:
                fates[id(inode)] = inode.after_cut(rng)
            made.names_seen[name] = fates[id(inode)]
        made.names_kept = dict(made.names_seen)
        return made

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A call to the disk; a log has a thread of its own, and a cut is of one moment."""
        with self.lock_all:
            self.calls += 1
            if self.cut_at == self.calls:
                self.copy = self.cut(self.rng)
            if self.fail_at is not None and (
                self.calls == self.fail_at or (self.failing and self.calls > self.fail_at)
            ):
                raise OSError(28, f"no space left, says the test, at {what}")
            yield

    # ------------------------------------------------------------ Files

    def make_directory(self, path: Path) -> None:
        pass

    def lock(self, path: Path) -> Any:
        return FakeLock(self, str(path))

    def names(self, directory: Path | str) -> list[str]:
        return list(self.names_seen)

    def read(self, path: Path) -> bytes:
        return bytes(self._found(path).seen)

    def size(self, path: Path | str) -> int:
        return len(self._found(Path(path)).seen)

    def _found(self, path: Path) -> Inode:
        if path.name not in self.names_seen:
            raise FileNotFoundError(path)
        return self.names_seen[path.name]

    def create_mapped(self, path: Path | str, size: int) -> Any:
        name = Path(path).name
        with self.step("open"):
            if name in self.names_seen:
                raise FileExistsError(path)
            inode = self.names_seen[name] = Inode()
            return FakeMapped(self, inode, size)

    def create(self, path: Path) -> Any:
        with self.step("open"):
            inode = self.names_seen[path.name] = Inode()
            return FakeAppended(self, inode)

    def truncate(self, path: Path, size: int) -> None:
        with self.step("truncate"):
            inode = self.names_seen[path.name]
            del inode.seen[size:]
            inode.sync()

    def sync(self, path: Path) -> None:
        with self.step("sync"):
            self.names_seen[path.name].sync()

    def rename(self, old: Path, new: Path) -> None:
        with self.step("rename"):
            self.names_seen[new.name] = self.names_seen.pop(old.name)

    def unlink(self, path: Path | str) -> None:
        name = Path(path).name
        with self.step("unlink"):
            if name not in self.names_seen:
                raise FileNotFoundError(path)
            del self.names_seen[name]

    def sync_directory(self, path: Path | str) -> None:
        with self.step("sync of the directory"):
            self.names_kept = dict(self.names_seen)


def disk_of(files: dict[str, bytes]) -> Disk:
    """A disk that holds these files, synced."""
    disk = Disk()
    for name, data in files.items():
        inode = Inode()
        inode.seen = bytearray(data)
        inode.sync()
        disk.names_seen[name] = inode
    disk.names_kept = dict(disk.names_seen)
    return disk


class FakeLock:
    def __init__(self, disk: Disk, path: str) -> None:
        if path in disk.held:
            raise BlockingIOError
        disk.held.add(path)
        self.disk, self.path = disk, path

    def release(self) -> None:
        self.disk.held.discard(self.path)

    def lost(self) -> str | None:
        return None


class FakeMapped:
    def __init__(self, disk: Disk, inode: Inode, size: int) -> None:
        self.disk, self.inode = disk, inode
        inode.seen = bytearray(size)
        self.memory: memoryview | None = memoryview(inode.seen)
        disk.open.add(self)

    def allocate(self, end: int) -> None:
        with self.disk.step("allocate"):
            pass

    def sync(self) -> None:
        with self.disk.step("sync"):
            self.inode.sync()

    def close(self, size: int | None) -> None:
        if self.memory is None:
            return
        self.memory.release()
        self.memory = None
        self.disk.open.discard(self)
        if size is not None:
            with self.disk.step("truncate"):
                del self.inode.seen[size:]


class FakeAppended:
    def __init__(self, disk: Disk, inode: Inode) -> None:
        self.disk, self.inode = disk, inode

    def write(self, data: bytes) -> None:
        with self.disk.step("write"):
            self.inode.seen += data

    def sync(self) -> None:
        with self.disk.step("sync"):
            self.inode.sync()

    def close(self) -> None:
        pass
