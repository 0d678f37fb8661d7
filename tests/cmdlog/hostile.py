"""Logs whose checksums are right, whatever they say; and a look at all that comes of one."""

import struct
from pathlib import Path

from jobqueue.cmdlog import CommandLogError, replay
from jobqueue.cmdlog._format import SIZES, crc32c, records
from tests.cmdlog.disk import disk_of

HERE = Path("log")
GOLDEN = Path(__file__).parents[1] / "golden" / "version_2"


def bodies(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(kind, flags, body) for _, _, _, kind, flags, body in records(data, SIZES["header"])]


MASK = 2**64 - 1


def seal(header: bytes) -> tuple[int, int]:
    """What the checksums of a file begin with, and its mark: as docs/cmdlog_format.md says."""
    flags, number, salt = struct.unpack_from("<IIQ", header, 12)
    x = (salt + (2 * number + bool(flags & 2)) * 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    x ^= x >> 31
    return x & 0xFFFFFFFF, x >> 32


def frame(
    header: bytes, offset: int, sequence: int, lag: int, kind: int, flags: int, body: bytes
) -> bytes:
    """A record that is sound at this offset of the file with this header."""
    first, mark = seal(header)
    rest = struct.pack("<IQIBBI", len(body), sequence, lag, kind, flags, mark ^ offset) + body
    return struct.pack("<I", crc32c(rest, first=first)) + rest


def framed(header: bytes, parts: list[tuple[int, int, bytes]]) -> bytes:
    """A file of records whose checksums are right."""
    made = bytearray(header)
    (sequence,) = struct.unpack_from("<Q", header, 28)
    if header[12] & 2:  # a snapshot counts its own
        sequence = 1
    for number, (kind, flags, body) in enumerate(parts):
        made += frame(header, len(made), sequence + number, 1, kind, flags, body)
    return bytes(made)


def looked(files: dict[str, bytes], *, repair: bool) -> str:
    """Read a log and look at all that came of it: "refused", or "read" and sound."""
    try:
        with replay(HERE, files=disk_of(files), repair=repair) as controller:
            controller._check()
            for queue in controller.names():
                controller.jobs(queue)
                controller.scheduled_jobs(queue)
                controller.dead(queue)
            controller.stats()
    except CommandLogError:
        return "refused"
    return "read"


def golden() -> dict[str, bytes]:
    """What a golden log is read from; not how far it was: a changed log may well be shorter."""
    kinds = (".cmdlog", ".snapshot")
    return {path.name: path.read_bytes() for path in GOLDEN.iterdir() if path.suffix in kinds}
