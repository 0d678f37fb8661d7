"""Which files the demo measures: the source files of the running interpreter's standard library."""

import re
import sysconfig
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

TOP_LEVEL = "top-level"  # queue of the modules that are in no package
FOREIGN = {"site-packages", "dist-packages", "__pycache__"}  # inside its folder, yet not of it


@dataclass(frozen=True, slots=True)
class Source:
    """One source file: its path, its name in reports, its queue, and its size in bytes."""

    path: Path
    name: str
    queue: str
    size: int


def standard_library() -> Path:
    """Folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_sources(root: Path, *, limit: int | None, rng: Random) -> list[Source]:
    """Find the ``.py`` files below a folder, in order of their names.

    Args:
        root: The folder.
        limit: At most this many files. They are spread: each folder gives one before any gives
            two, so that a small choice still meets every kind of file, broken ones too.
        rng: Chooses the files of a folder.

    """
    sources = sorted(
        (
            _source(path, root)
            for path in root.rglob("*.py")
            if FOREIGN.isdisjoint(path.relative_to(root).parts) and path.is_file()
        ),
        key=lambda source: source.name,
    )
    if limit is None or limit >= len(sources):
        return sources
    return sorted(_spread(sources, rng)[:limit], key=lambda source: source.name)


def _source(path: Path, root: Path) -> Source:
    relative = path.relative_to(root)
    package = relative.parts[0] if len(relative.parts) > 1 else TOP_LEVEL
    return Source(
        path=path,
        name=relative.as_posix(),
        queue=re.sub(r"[^A-Za-z0-9_.-]", "_", package),
        size=path.stat().st_size,
    )


def _spread(sources: list[Source], rng: Random) -> list[Source]:
    folders = defaultdict[Path, list[Source]](list)
    for source in rng.sample(sources, len(sources)):
        folders[source.path.parent].append(source)
    ranked = [pair for folder in folders.values() for pair in enumerate(folder)]
    return [source for _, source in sorted(ranked, key=lambda pair: pair[0])]
