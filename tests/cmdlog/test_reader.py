"""Hostile logs, with right checksums: the reader refuses them or comes to a sound state."""

import random
import struct
from pathlib import Path

from jobqueue.cmdlog import CommandLogError, replay
from jobqueue.cmdlog._format import KINDS, SIZES, crc32c, records
from tests.cmdlog.disk import Disk
from tests.cmdlog.test_damage import disk_of

HERE = Path("log")
GOLDEN = Path(__file__).parents[1] / "golden" / "version_1"
EDGES = (0, 1, 0x7F, 0x80, 0xFF)


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


def mutated(rng: random.Random, parts: list[tuple[int, int, bytes]]) -> None:
    """Change, drop, double or move a record, or invent one."""
    at = rng.randrange(len(parts))
    kind, flags, body = parts[at]
    match rng.randrange(7):
        case 0:
            del parts[at]
        case 1:
            parts.insert(rng.randrange(len(parts)), parts[at])
        case 2:
            parts[at] = (rng.choice([*KINDS]), flags, body)
        case 3:
            parts[at] = (kind, rng.randrange(256), body)
        case 4:
            parts[at] = (kind, flags, body[: rng.randrange(len(body) + 1)] + rng.randbytes(3))
        case _ if body:
            changed = bytearray(body)
            for _ in range(rng.randrange(1, 4)):
                start = rng.randrange(len(changed))
                size = rng.choice([1, 1, 4, 8])
                fresh = rng.choice([rng.randbytes(size), bytes([rng.choice(EDGES)]) * size])
                changed[start : start + size] = fresh[: len(changed) - start]
            parts[at] = (kind, flags, bytes(changed))
        case _:
            parts.append((kind, flags, b""))


def attack(rng: random.Random, files: dict[str, bytes]) -> str:
    """Read a changed log. Returns what came of it."""
    changed = dict(files)
    for _ in range(rng.choice([1, 1, 2, 5])):
        name = rng.choice([*changed])
        data = changed[name]
        parts = bodies(data)
        if rng.random() < 0.1 or not parts:
            cut = rng.randrange(len(data) + 1)
            changed[name] = data[:cut] + rng.randbytes(rng.randrange(40))
            continue
        mutated(rng, parts)
        header = bytearray(data[: SIZES["header"]])
        header[12] = name.endswith(".cmdlog")  # tells `framed` whose sequence goes on
        changed[name] = data[: SIZES["header"]] + framed(bytes(header), parts)[SIZES["header"] :]
    disk: Disk = disk_of(changed)
    try:
        with replay(HERE, files=disk, repair=rng.random() < 0.3) as controller:
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


def test_hostile_logs(seed):
    files = golden()
    outcomes = []
    for number in range(2000):
        try:
            outcomes.append(attack(random.Random(f"{seed} {number}"), files))
        except Exception as error:
            error.add_note(f"{seed} {number}")
            raise
    assert outcomes.count("read") > 100
    assert outcomes.count("refused") > 100
