from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import Buffer, disjoint_base

from .._objects.registry import Registry

KINDS: dict[int, str]
SIZES: dict[str, int]

class Header(NamedTuple):
    number: int
    sequence: int
    synced: int
    offset_ns: int
    wall_ns: int
    epoch: bool
    version: int
    salt: int
    snapshot: bool

class Reach(NamedTuple):
    number: int
    salt: int
    sequence: int
    wall_ns: int
    closed: bool

class Run(NamedTuple):
    start: int
    end: int
    first: int
    last: int
    claimed: int

@disjoint_base
class Seal:
    def __init__(
        self, version: int, salt: int = 0, number: int = 0, snapshot: bool = False
    ) -> None: ...
    @property
    def version(self) -> int: ...
    @property
    def frame(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def mark(self) -> int: ...

@disjoint_base
class Ladder:
    @property
    def scanned(self) -> int: ...

def crc32c(data: Buffer, portable: bool = False, first: int = 0xFFFFFFFF) -> int: ...
def seal_of(header: Header) -> Seal: ...
def read_header(data: Buffer) -> Header | str | None: ...
def reach_bytes(number: int, salt: int, sequence: int, wall_ns: int, closed: bool) -> bytes: ...
def read_reach(data: Buffer) -> Reach | None: ...
def records(
    data: Buffer, start: int, seal: Seal | None = None
) -> Iterator[tuple[int, int, int, int, int, bytes]]: ...
def survey(
    data: Buffer,
    start: int,
    seal: Seal,
    after: int | None = None,
    spent: list[int] | None = None,
) -> list[Run]: ...
def state_bytes(registry: Registry, settled: bool = False) -> list[bytes]: ...
