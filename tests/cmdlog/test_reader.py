"""Hostile logs, with right checksums: the reader refuses them or comes to a sound state."""

import random

from jobqueue.cmdlog._format import KINDS, SIZES
from tests.cmdlog.guided import corpus, enter
from tests.cmdlog.hostile import bodies, framed, golden, looked

EDGES = (0, 1, 0x7F, 0x80, 0xFF)


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
        changed[name] = framed(data[: SIZES["header"]], parts)
    return looked(changed, repair=rng.random() < 0.3)


def test_guided_attacks_begin_with_logs_that_are_read():
    """Else atheris would look for what a checksum or a header refuses."""
    for data in corpus().values():
        assert enter(data) == "read"
    assert enter(b"") == "refused"


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
