"""Logs whose checksums are right, whatever they say; and a look at all that comes of one."""

import struct
from pathlib import Path

from jobqueue.cmdlog import CommandLogError, replay
from jobqueue.cmdlog._format import SIZES, crc32c, records
from tests.cmdlog.disk import disk_of

HERE = Path("log")
GOLDEN = Path(__file__).parents[1] / "golden" / "version_1"


def bodies(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(kind, flags, body) for _, _, _, kind, flags, body in records(data, SIZES["header"])]


def framed(header: bytes, parts: list[tuple[int, int, bytes]]) -> bytes:
    """A file of records whose checksums are right."""
    made = bytearray(header)
    (sequence,) = struct.unpack_from("<Q", header, 24)
    if not header[12]:  # a snapshot counts its own
        sequence = 1
    for number, (kind, flags, body) in enumerate(parts):
        rest = struct.pack("<IQIBB", len(body), sequence + number, 1, kind, flags) + body
        made += struct.pack("<I", crc32c(rest)) + rest
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
    return {path.name: path.read_bytes() for path in GOLDEN.iterdir() if path.suffix != ".txt"}
